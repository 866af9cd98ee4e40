//! The step `PowerOffDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Undo};

/// Powers off a droplet: shuts it down, and cuts the power after a grace period. A droplet that is off costs the same.
/// Undone by powering it on, if it was on before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The grace period to shut down before the power is cut, in seconds. With 0, the power is cut at once.
    #[serde(default = "droplet::default_grace_seconds")]
    #[schemars(range(min = 0, max = 600))]
    grace_seconds: u32,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    was_on: bool,
    latest_action: u64,
}

pub struct PowerOffDroplet;

impl Step for PowerOffDroplet {
    const NAME: &'static str = "PowerOffDroplet";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let was_on = droplet::is_on(&droplet::before(context, id).await?);
        Ok(Before { was_on, latest_action: droplet::latest_action(context, id).await? })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        droplet::go(context, parameters.droplet_provider_id.as_str(), next(context, parameters, before).await?).await
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Found<NoOutput>, Failure> {
        Ok(droplet::found(parameters.droplet_provider_id.as_str(), next(context, parameters, before).await?))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(_) if !before.was_on => Next::Nothing,
            Ok(droplet) if droplet::is_on(&droplet) => {
                // It may have been powered off after it was read.
                let grace = droplet::grace(parameters.grace_seconds);
                droplet::stays_on(context, id, before.latest_action, grace).await?
            }
            Ok(_) => droplet::power_on(),
            Err(next) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}

async fn next(context: &StepContext<'_>, parameters: &Parameters, before: &Before) -> Result<Next, Failure> {
    let id = parameters.droplet_provider_id.as_str();
    match droplet::at_rest(context, id).await? {
        Ok(droplet) if droplet::is_on(&droplet) => {
            droplet::power_off(context, id, before.latest_action, droplet::grace(parameters.grace_seconds)).await
        }
        Ok(_) => Ok(Next::Nothing),
        Err(next) => Ok(next),
    }
}
