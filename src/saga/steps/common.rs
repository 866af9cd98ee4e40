//! What several steps need: ids as people write them, and the calls about one droplet.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};

use crate::{
    digitalocean::{Path, Verb},
    saga::step::{Failure, Scene, has_passed},
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
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(de::Error::custom("an id is text or a number")),
        };
        let is_id = (1..=253).contains(&text.len())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter));
        if is_id { Ok(Self(text)) } else { Err(de::Error::custom(format!("{text:?} is not an id"))) }
    }
}

impl JsonSchema for ProviderId {
    fn schema_name() -> Cow<'static, str> {
        "ProviderId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minLength": 1, "maxLength": 253 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Nothing that later steps could refer to.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoOutput {}

/// Begins an action on a droplet, and returns the action's id.
pub(super) async fn act(scene: &Scene<'_>, id: &ProviderId, action: &Value) -> Result<u64, Failure> {
    let route = "/v2/droplets/{id}/actions";
    let path = Path { route, parent: None, id: Some(id.as_str()), scope: "droplet:update" };
    action_id(&scene.cloud.send(Verb::Post, path, Some(action)).await?)
}

/// What a droplet's actions of one type say of a call that nobody heard the answer of.
pub(super) enum Lately {
    /// This one is in progress. One action at a time goes on with a droplet, so it is the call's own or came before it.
    InProgress(u64),
    /// One has ended a moment ago: what it made may not be seen yet.
    JustEnded,
    /// Neither.
    Nothing,
}

/// Looks at a droplet's latest actions of this type. Ask before what they make is looked for: an action that ends
/// between the two questions is then seen in one of the answers at least.
pub(super) async fn lately(scene: &Scene<'_>, id: &ProviderId, kind: &str) -> Result<Lately, Failure> {
    let route = "/v2/droplets/{id}/actions";
    let path = Path { route, parent: None, id: Some(id.as_str()), scope: "droplet:read" };
    let answer = scene.cloud.fetch(path, &[("per_page", "20")]).await?.unwrap_or_default();
    let actions = answer.get("actions").and_then(Value::as_array).into_iter().flatten();
    let actions: Vec<_> = actions.filter(|action| text(action, "type") == Some(kind)).collect();
    let in_progress = actions.iter().find(|action| text(action, "status") == Some("in-progress"));
    if let Some(action) = in_progress.and_then(|action| action.get("id")?.as_u64()) {
        return Ok(Lately::InProgress(action));
    }
    let just_ended = |action: &&Value| {
        let ended = text(action, "completed_at").and_then(|time| time.parse::<Timestamp>().ok());
        ended.is_some_and(|ended| !has_passed(ended, scene.settle, scene.now))
    };
    Ok(if actions.iter().copied().any(|action| just_ended(&action)) { Lately::JustEnded } else { Lately::Nothing })
}

/// The id of the action in the answer to a call that began one.
pub(super) fn action_id(answer: &Value) -> Result<u64, Failure> {
    let id = answer.pointer("/action/id").and_then(Value::as_u64);
    // The call was answered with success, so something was begun that nobody can name.
    id.ok_or_else(|| Failure::Doubt("the answer names no action, as the API documents it".to_owned()))
}

/// The text of a field.
pub(super) fn text<'v>(document: &'v Value, field: &str) -> Option<&'v str> {
    document.get(field).and_then(Value::as_str)
}
