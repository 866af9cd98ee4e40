//! The step `RenameDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{ProviderId, changed_since, text},
    converging::Converging,
    decided::{self, LiveDigest},
    droplet::{NextAction, of_droplet},
};
use crate::saga::step::{Failure, StepContext};

/// Renames a droplet; its host name inside stays the same. Undone by restoring the earlier name, which is refused if it
/// has been renamed since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The new name: letters, digits, dots and dashes. A domain of the account also sets the droplet's PTR record.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$"))]
    name: String,
    /// The digest of the live name that was decided on. The step fails, before it changes anything, if it is neither this
    /// one nor the desired one by then.
    #[serde(default)]
    live: Option<LiveDigest>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    name: Option<String>,
}

pub(super) struct RenameDroplet;

impl Converging for RenameDroplet {
    const NAME: &'static str = "RenameDroplet";

    type Parameters = Parameters;
    type Before = Before;

    fn droplet(parameters: &Parameters) -> &ProviderId {
        &parameters.droplet_provider_id
    }

    fn check(&self, parameters: &Parameters, droplet: &Value) -> Result<(), Failure> {
        let Parameters { droplet_provider_id: id, name, live } = parameters;
        if is_named(droplet, name) {
            return Ok(());
        }
        decided::check(live.as_ref(), "name", droplet.get("name").unwrap_or(&Value::Null), &of_droplet(id))
    }

    async fn before(&self, _: &StepContext<'_>, parameters: &Parameters, droplet: &Value) -> Result<Before, Failure> {
        self.check(parameters, droplet)?;
        Ok(Before { name: text(droplet, "name").map(str::to_owned) })
    }

    async fn next(
        &self,
        _: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        Ok(if is_named(droplet, &parameters.name) { NextAction::Nothing } else { rename(&parameters.name) })
    }

    async fn previous(
        &self,
        _: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        let Some(name) = before.name.as_ref().filter(|name| **name != parameters.name) else {
            return Ok(NextAction::Nothing);
        };
        if is_named(droplet, name) {
            return Ok(NextAction::Nothing);
        }
        if is_named(droplet, &parameters.name) {
            return Ok(rename(name));
        }
        Err(changed_since("name", &of_droplet(&parameters.droplet_provider_id)))
    }
}

fn is_named(droplet: &Value, name: &str) -> bool {
    text(droplet, "name") == Some(name)
}

fn rename(name: &str) -> NextAction {
    NextAction::Act(json!({ "type": "rename", "name": name }))
}
