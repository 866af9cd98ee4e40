//! Parts that several steps share: ids in parameters, and fields of responses.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::{
    api::saga::ActionId,
    digitalocean::Endpoint,
    saga::step::{Failure, StepContext, Undo, has_passed},
};

/// The pause before a change without an action is looked up again.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// An id from the cloud, as text or as a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ProviderId(String);

impl ProviderId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a number, as the bodies of calls need it for droplets.
    pub(super) fn as_number(&self) -> Result<u64, Failure> {
        self.0.parse().map_err(|_| Failure::Permanent(format!("the id of a droplet is a number, not {:?}", self.0)))
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_or_number(deserializer)?;
        let is_id = (1..=253).contains(&text.len())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter));
        if is_id { Ok(Self(text)) } else { Err(de::Error::custom(format!("{text:?} is not an id"))) }
    }
}

impl JsonSchema for ProviderId {
    fn schema_name() -> Cow<'static, str> {
        "ProviderId".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        any_id(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Reads an id as text, from text or a number.
pub(super) fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(de::Error::custom("an id is text or a number")),
    }
}

/// Reads a value that may be null, which is not the same as one that is missing.
pub(super) fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The schema of the id of a resource of any kind.
pub(super) fn any_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "integer"], "minLength": 1, "maxLength": 253 })
}

/// The schema of a kind's name. The error of an unknown kind suggests similar ones.
pub(super) fn kind_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

/// An empty output.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoOutput {}

/// The latest actions of one type on a droplet, in relation to a call whose response was lost.
pub(super) enum Lately {
    /// An action is in progress. A droplet runs one action at a time, so it is the call's own or an earlier one.
    InProgress(ActionId),
    /// An action ended within the settle time: its effect may not appear yet.
    JustEnded,
    /// Neither.
    Nothing,
}

/// Reads a droplet's latest actions of this type. Call it before looking up their effect: an action that ends in
/// between then appears in at least one of the two responses.
pub(super) async fn lately(context: &StepContext<'_>, id: &ProviderId, kind: &str) -> Result<Lately, Failure> {
    let route = "/v2/droplets/{id}/actions";
    let path = Endpoint { route, parent: None, id: Some(id.as_str()), scope: "droplet:read" };
    let actions = latest(context, path, |action| text(action, "type") == Some(kind)).await?;
    if let Some(action) = actions.iter().find_map(in_progress_id) {
        return Ok(Lately::InProgress(action));
    }
    let just_ended = |action: &Value| {
        let ended = text(action, "completed_at").and_then(|time| time.parse::<Timestamp>().ok());
        ended.is_some_and(|ended| !has_passed(ended, context.settle, context.now))
    };
    Ok(if actions.iter().any(just_ended) { Lately::JustEnded } else { Lately::Nothing })
}

/// The action in progress, among the actions at a path.
pub(super) async fn in_progress(
    context: &StepContext<'_>,
    path: Endpoint<'_>,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Option<ActionId>, Failure> {
    Ok(latest(context, path, is_wanted).await?.iter().find_map(in_progress_id))
}

/// The latest actions at a path.
async fn latest(
    context: &StepContext<'_>,
    path: Endpoint<'_>,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>, Failure> {
    let actions = context.cloud.fetch(path, "actions", &[("per_page", "20")]).await?;
    let Some(Value::Array(mut actions)) = actions else { return Ok(Vec::new()) };
    actions.retain(is_wanted);
    Ok(actions)
}

fn in_progress_id(action: &Value) -> Option<ActionId> {
    named(action.get("id")).filter(|_| text(action, "status") == Some("in-progress"))
}

/// The result of undoing if no effect of the step is found: done if the step had an output, otherwise the effect may
/// still appear.
pub(super) fn nothing_left<O>(output: Option<&O>) -> Undo {
    if output.is_some() { Undo::Done } else { Undo::NothingThere }
}

/// The failure of undoing a value that has been changed since.
pub(super) fn changed_since(field: &str, of: &impl fmt::Display) -> Failure {
    Failure::Permanent(format!(
        "{field} of {of} is neither the earlier value nor the one that this step wrote: it was changed since. Compare it, \
         and set it by hand if needed"
    ))
}

/// The id of the action in the response to a call that started one.
pub(super) fn action_id(answer: &Value) -> Result<ActionId, Failure> {
    let id = named(answer.pointer("/action/id"));
    // The call succeeded, so an action was started whose id is unknown.
    id.ok_or_else(|| unnamed("action"))
}

/// The id under this key in a document.
pub(super) fn named(id: Option<&Value>) -> Option<ActionId> {
    id.and_then(Value::as_u64).and_then(ActionId::new)
}

/// The failure of a change whose response lacks this field: another server may have responded.
pub(super) fn unnamed(what: &str) -> Failure {
    Failure::Doubt(format!("the response lacks the documented {what}"))
}

/// Checks the response to a change that the API answers without a body (204).
pub(super) fn nothing(answer: &Value) -> Result<(), Failure> {
    if answer.is_null() {
        return Ok(());
    }
    Err(Failure::Doubt("the response has a body where the API documents none".to_owned()))
}

/// Returns true if this step created the resource, by its tag.
pub(super) fn is_own(context: &StepContext<'_>, document: &Value, what: &str) -> Result<bool, Failure> {
    let tags = document.get("tags").and_then(Value::as_array).ok_or_else(|| {
        Failure::Permanent(format!(
            "checking whether this step created {what}: the response has no tags; give the token the scope `tag:read`"
        ))
    })?;
    let own = context.identity.tag();
    Ok(tags.iter().filter_map(Value::as_str).any(|tag| tag.eq_ignore_ascii_case(&own)))
}

/// An id as text.
pub(super) fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The text in a field.
pub(super) fn text<'v>(document: &'v Value, field: &str) -> Option<&'v str> {
    document.get(field).and_then(Value::as_str)
}
