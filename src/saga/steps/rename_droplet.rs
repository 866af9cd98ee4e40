//! The step `RenameDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{NoOutput, ProviderId, text},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Undo};

/// Renames a droplet; its host name inside stays the same. Undone by restoring the earlier name, unless it has been
/// renamed since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The new name: letters, digits, dots and dashes. A domain of the account also sets the droplet's PTR record.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$"))]
    name: String,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    name: Option<String>,
}

pub struct RenameDroplet;

impl Step for RenameDroplet {
    const NAME: &'static str = "RenameDroplet";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let droplet = droplet::before(context, parameters.droplet_provider_id.as_str()).await?;
        Ok(Before { name: text(&droplet, "name").map(str::to_owned) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        droplet::go(context, parameters.droplet_provider_id.as_str(), next(context, parameters).await?).await
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Found<NoOutput>, Failure> {
        Ok(droplet::found(parameters.droplet_provider_id.as_str(), next(context, parameters).await?))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let next = match (droplet::at_rest(context, id).await?, &before.name) {
            (Ok(droplet), Some(name)) if is_named(&droplet, &parameters.name) && *name != parameters.name => {
                rename(name)
            }
            (Ok(_), _) => Next::Nothing,
            (Err(next), _) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}

async fn next(context: &StepContext<'_>, parameters: &Parameters) -> Result<Next, Failure> {
    Ok(match droplet::at_rest(context, parameters.droplet_provider_id.as_str()).await? {
        Ok(droplet) if is_named(&droplet, &parameters.name) => Next::Nothing,
        Ok(_) => rename(&parameters.name),
        Err(next) => next,
    })
}

fn is_named(droplet: &Value, name: &str) -> bool {
    text(droplet, "name") == Some(name)
}

fn rename(name: &str) -> Next {
    Next::Act(json!({ "type": "rename", "name": name }))
}
