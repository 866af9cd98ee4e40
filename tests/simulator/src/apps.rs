//! Specs of apps: the API encrypts their secrets, omits zero values, and validates changes.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::values::set;
use crate::{
    cloud::Cloud,
    deployments, places,
    reply::{Refusal, Reply},
    request::Call,
    writes::{Target, items},
};

/// Credentials of a spec besides the variables of type SECRET.
const CREDENTIALS: &[&str] = &[
    "*.*.image.registry_credentials",
    "*.*.log_destinations.*.papertrail.endpoint",
    "*.*.log_destinations.*.datadog.api_key",
    "*.*.log_destinations.*.logtail.token",
    "*.*.log_destinations.*.open_search.basic_auth.password",
];

/// Lists of environment variables: the app's own, and those of its components.
const VARIABLES: &[&str] = &["envs.*", "*.*.envs.*"];

/// A spec as the API returns it.
pub(crate) fn answered(spec: &mut Value) {
    for place in VARIABLES {
        places::visit(spec, place, &mut |variable| {
            if variable.get("type").and_then(Value::as_str) == Some("SECRET") {
                places::visit(variable, "value", &mut encrypt);
            }
        });
    }
    for place in CREDENTIALS {
        places::visit(spec, place, &mut encrypt);
    }
    leave_out_zeros(spec);
}

/// Replaces plain text with ciphertext. Equal texts get different ciphertexts.
fn encrypt(value: &mut Value) {
    let Some(text) = value.as_str().filter(|text| !text.is_empty() && !text.starts_with("EV[")) else { return };
    let (nonce, sealed) = (noise(32), noise(text.len() + 24));
    *value = Value::from(format!("EV[1:{nonce}:{sealed}]"));
}

/// Random characters of the base64 alphabet.
fn noise(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sign = |_| ALPHABET.get(usize::from(rand::random::<u8>()) % ALPHABET.len()).copied().map_or('A', char::from);
    (0..length).map(sign).collect()
}

/// Removes false, 0, empty text, the first names of enumerations and empty lists from every object, as the API's encoder does. Empty objects are kept.
fn leave_out_zeros(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(leave_out_zeros);
            // The value of a variable is a text in any case.
            fields.retain(|key, value| {
                !is_zero(value) || (key == "value" && value.as_str().is_some_and(|text| !text.is_empty()))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_zeros),
        _ => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => is_first_of_enumeration(text),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// Returns true for an empty text, and for the name that an enumeration uses for none.
fn is_first_of_enumeration(text: &str) -> bool {
    matches!(text, "" | "UNSET" | "UNSPECIFIED" | "AUTOASSIGN") || text.starts_with("UNSPECIFIED_")
}

/// Completes an app that a test stored: it is already deployed.
pub(crate) fn complete(app: &mut Value) {
    places::visit(app, "spec", &mut answered);
    if app.get("active_deployment").is_none() {
        let deployment = deployments::of(app, "ACTIVE");
        set(app, "active_deployment", deployment);
    }
}

/// Adapts an app to a merge patch: the active deployment gets the new spec.
pub(crate) fn changed(app: &mut Value, patch: &Value) {
    places::visit(app, "spec", &mut answered);
    if patch.get("spec").is_some() && patch.get("active_deployment").is_none() {
        let spec = app.get("spec").cloned().unwrap_or_default();
        places::visit(app, "active_deployment.spec", &mut |copy| *copy = spec.clone());
    }
}

/// Components of a spec, by their lists.
const COMPONENTS: &[&str] = &["services", "static_sites", "workers", "jobs", "functions"];

/// Checks the body of a PUT, and keeps only the spec, as the API returns it.
pub(crate) fn prepare(cloud: &Cloud, target: &Target<'_>, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    deployments::check_unpinned(target.old)?;
    if let Some(field) = body.keys().find(|field| !["spec", "update_all_source_versions"].contains(&field.as_str())) {
        return Err(Refusal::bad_request(format!("unknown field {field:?}")));
    }
    body.remove("update_all_source_versions");
    let Some(spec) = body.get_mut("spec").filter(|it| it.is_object()) else {
        return Err(Refusal::bad_request("missing app spec"));
    };
    check_spec(spec)?;
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_free(cloud, name, target.old.get("id")) {
        return Err(taken(name));
    }
    check_secrets(cloud, target, spec)?;
    answered(spec);
    Ok(())
}

/// Checks the body of a POST.
pub(crate) fn check_new(cloud: &Cloud, body: &Map<String, Value>) -> Result<(), Refusal> {
    let spec = body.get("spec").filter(|it| it.is_object()).ok_or_else(|| Refusal::bad_request("missing app spec"))?;
    check_spec(spec)?;
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    if is_free(cloud, name, None) { Ok(()) } else { Err(taken(name)) }
}

fn taken(name: &str) -> Refusal {
    Refusal::conflict(format!("app name {name:?} is already in use"))
}

fn is_free(cloud: &Cloud, name: &str, app: Option<&Value>) -> bool {
    let is_it =
        |other: &Value| other.pointer("/spec/name").and_then(Value::as_str) == Some(name) && other.get("id") != app;
    !cloud.store.all("apps").iter().any(is_it)
}

fn check_spec(spec: &Value) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::bad_request(message));
    if spec.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return refuse("app spec: name is required".to_owned());
    }
    let region = spec.get("region").and_then(Value::as_str).unwrap_or_default();
    if !region.is_empty() && !deployments::REGIONS.iter().any(|it| it.0 == region) {
        return refuse(format!("app spec: {region:?} is not a valid region"));
    }
    let mut names = Vec::new();
    for component in COMPONENTS.iter().flat_map(|list| items(spec, list)) {
        let name = component.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() || names.contains(&name) {
            return refuse(format!("app spec: components need names of their own, and {name:?} is none"));
        }
        names.push(name);
        if component.get("autoscaling").is_some_and(Value::is_object) && component.get("instance_count").is_some() {
            return refuse(format!("app spec: {name:?} has autoscaling, so it cannot have instance_count"));
        }
    }
    Ok(())
}

/// Refuses the ciphertext of another app, which only that app can read.
fn check_secrets(cloud: &Cloud, target: &Target<'_>, spec: &mut Value) -> Result<(), Refusal> {
    let own = target.old.to_string();
    let others: String = cloud
        .store
        .all("apps")
        .iter()
        .filter(|app| app.get("id") != target.old.get("id"))
        .map(Value::to_string)
        .collect();
    let mut is_foreign = false;
    for place in VARIABLES {
        places::visit(spec, place, &mut |variable| {
            let value = variable.get("value").and_then(Value::as_str).unwrap_or_default();
            is_foreign |= value.starts_with("EV[") && !own.contains(value) && others.contains(value);
        });
    }
    if is_foreign { Err(Refusal::bad_request("app spec: an encrypted value is not of this app")) } else { Ok(()) }
}

/// `POST /v2/apps/propose`: the spec as the API would store it, without a change.
pub(crate) fn propose(cloud: &Cloud, call: &Call) -> Result<Reply, Refusal> {
    let mut spec = call.body.get("spec").filter(|it| it.is_object()).cloned();
    let spec = spec.as_mut().ok_or_else(|| Refusal::bad_request("missing app spec"))?;
    check_spec(spec)?;
    answered(spec);
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    let is_free = is_free(cloud, name, call.body.get("app_id"));
    let answer = Map::from_iter([
        ("app_name_available".to_owned(), Value::from(is_free)),
        ("app_cost".to_owned(), Value::from(5)),
        ("spec".to_owned(), spec.clone()),
    ]);
    Ok(Reply::json(StatusCode::OK, &Value::Object(answer)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_spec_is_returned_with_encrypted_secrets_and_without_zeros() {
        let mut spec = json!({
            "name": "shop", "region": "", "envs": [{"key": "A", "value": "plain"}, {"key": "B", "value": "hidden-1", "type": "SECRET"}],
            "services": [{
                "name": "web", "instance_count": 0, "github": {"repo": "a/b", "deploy_on_push": false}, "health_check": {},
                "envs": [{"key": "C", "value": "hidden-2", "type": "SECRET"}, {"key": "D", "value": ""}, {"key": "E", "value": "EV[1:a:b]", "type": "SECRET"}],
                "image": {"registry_credentials": "user:hidden-3"},
                "log_destinations": [{"name": "l", "datadog": {"api_key": "hidden-4", "endpoint": "https://logs.example.com"}}],
            }],
            "workers": [],
        });
        answered(&mut spec);
        let text = spec.to_string();
        assert!(!text.contains("hidden-"), "{text}");
        assert_eq!(text.matches("EV[1:").count(), 5, "{text}");
        let service = &spec["services"][0];
        assert_eq!(spec["envs"][0], json!({"key": "A", "value": "plain"}));
        assert_eq!((&service["github"], &service["health_check"]), (&json!({"repo": "a/b"}), &json!({})));
        assert_eq!((&service["envs"][1], &service["envs"][2]["value"]), (&json!({"key": "D"}), &json!("EV[1:a:b]")));
        assert_eq!((spec.get("region"), spec.get("workers"), service.get("instance_count")), (None, None, None));
    }

    #[test]
    fn a_secret_gets_a_different_ciphertext_each_time() {
        let (mut one, mut two) = (Value::from("hunter2"), Value::from("hunter2"));
        encrypt(&mut one);
        encrypt(&mut two);
        assert_ne!(one, two);
    }
}
