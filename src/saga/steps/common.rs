//! What several steps need: ids as people write them, and what answers say.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::{
    api::saga::ActionId,
    digitalocean::Path,
    saga::step::{Failure, StepContext, Undo, has_passed},
};

/// How long to wait before a change that is not announced by an action is looked for again.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// An id that the provider gave, as text or as a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct ProviderId(String);

impl ProviderId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As the bodies of calls have the ids of droplets.
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

/// An id, as text whatever it was written as.
pub(super) fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(de::Error::custom("an id is text or a number")),
    }
}

/// The schema of the id of a resource of any kind.
pub(super) fn any_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "integer"], "minLength": 1, "maxLength": 253 })
}

/// The schema of a kind's name. Which there are is said by the error, with the nearest.
pub(super) fn kind_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

/// Nothing that later steps could refer to.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoOutput {}

/// What a droplet's actions of one type say of a call that nobody heard the answer of.
pub(super) enum Lately {
    /// This one is in progress. One action at a time goes on with a droplet, so it is the call's own or came before it.
    InProgress(ActionId),
    /// One has ended a moment ago: what it made may not be seen yet.
    JustEnded,
    /// Neither.
    Nothing,
}

/// Looks at a droplet's latest actions of this type. Ask before what they make is looked for: an action that ends
/// between the two questions is then seen in one of the answers at least.
pub(super) async fn lately(context: &StepContext<'_>, id: &ProviderId, kind: &str) -> Result<Lately, Failure> {
    let route = "/v2/droplets/{id}/actions";
    let path = Path { route, parent: None, id: Some(id.as_str()), scope: "droplet:read" };
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

/// The action that is in progress, of those listed at a path.
pub(super) async fn in_progress(
    context: &StepContext<'_>,
    path: Path<'_>,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Option<ActionId>, Failure> {
    Ok(latest(context, path, is_wanted).await?.iter().find_map(in_progress_id))
}

/// The latest actions that are listed at a path.
async fn latest(
    context: &StepContext<'_>,
    path: Path<'_>,
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

/// What undoing comes to where nothing of the step is left: if it was done, it is undone; otherwise what it did may yet
/// be seen.
pub(super) fn nothing_left<O>(output: Option<&O>) -> Undo {
    if output.is_some() { Undo::Done } else { Undo::NothingThere }
}

/// The id of the action in the answer to a call that began one.
pub(super) fn action_id(answer: &Value) -> Result<ActionId, Failure> {
    let id = named(answer.pointer("/action/id"));
    // The call was answered with success, so something was begun that nobody can name.
    id.ok_or_else(|| unnamed("action"))
}

/// The action that a document names by this.
pub(super) fn named(id: Option<&Value>) -> Option<ActionId> {
    id.and_then(Value::as_u64).and_then(ActionId::new)
}

/// What a change is in whose answer the API should have named this: whoever answered may have done something else.
pub(super) fn unnamed(what: &str) -> Failure {
    Failure::Doubt(format!("the response lacks the documented {what}"))
}

/// Takes the answer to a change that the API answers with nothing (204).
pub(super) fn nothing(answer: &Value) -> Result<(), Failure> {
    if answer.is_null() {
        return Ok(());
    }
    Err(Failure::Doubt("the response has a body where the API documents none".to_owned()))
}

/// Whether the step made this, by the tag that it has.
pub(super) fn is_own(context: &StepContext<'_>, document: &Value, what: &str) -> Result<bool, Failure> {
    let tags = document.get("tags").and_then(Value::as_array).ok_or_else(|| {
        Failure::Permanent(format!(
            "checking whether this step created {what}: the response has no tags; give the token the scope `tag:read`"
        ))
    })?;
    let own = context.identity.tag();
    Ok(tags.iter().filter_map(Value::as_str).any(|tag| tag.eq_ignore_ascii_case(&own)))
}

/// An id of the cloud, as text.
pub(super) fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The text of a field.
pub(super) fn text<'v>(document: &'v Value, field: &str) -> Option<&'v str> {
    document.get(field).and_then(Value::as_str)
}
