//! Alert policies and uptime checks: an update contains all fields.

use serde_json::{Map, Value};

use crate::{
    reply::Refusal,
    writes::{check_one_of, check_text, items},
};

/// Checks the body of a PUT of an alert policy.
pub(crate) fn check_policy(body: &Map<String, Value>) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::unprocessable(message));
    check_one_of(body, "compare", &["GreaterThan", "LessThan"])?;
    check_one_of(body, "window", &["5m", "10m", "30m", "1h"])?;
    if !body.get("type").and_then(Value::as_str).is_some_and(|it| it.starts_with("v1/")) {
        return refuse("type is not a valid alert type");
    }
    if !body.get("value").is_some_and(Value::is_number) || !body.get("enabled").is_some_and(Value::is_boolean) {
        return refuse("value must be a number, and enabled true or false");
    }
    for field in ["entities", "tags"] {
        let is_texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
        if !body.get(field).is_some_and(is_texts) {
            return refuse("entities and tags must be lists of text");
        }
    }
    let Some(alerts) = body.get("alerts") else { return refuse("alerts is required") };
    if ["email", "slack"].iter().any(|field| !alerts.get(*field).is_some_and(Value::is_array)) {
        return refuse("alerts must have email and slack");
    }
    let has_address = |slack: &Value| {
        ["channel", "url"]
            .iter()
            .all(|field| slack.get(*field).and_then(Value::as_str).is_some_and(|it| !it.is_empty()))
    };
    if items(alerts, "slack").iter().all(has_address) { Ok(()) } else { refuse("slack must have channel and url") }
}

/// Checks the body of a PUT of an uptime check.
pub(crate) fn check_check(body: &Map<String, Value>) -> Result<(), Refusal> {
    check_text(body, "name")?;
    check_text(body, "target")?;
    check_one_of(body, "type", &["ping", "http", "https"])?;
    let regions = body.get("regions").and_then(Value::as_array);
    let is_region = |region: &Value| ["us_east", "us_west", "eu_west", "se_asia"].iter().any(|it| region == it);
    let is_valid = regions.is_some_and(|regions| !regions.is_empty() && regions.iter().all(is_region));
    if is_valid { Ok(()) } else { Err(Refusal::unprocessable("regions must have at least one known region")) }
}
