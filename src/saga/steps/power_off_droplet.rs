//! The step `PowerOffDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    common::ProviderId,
    converging::Converging,
    droplet::{self, NextAction},
};
use crate::saga::step::{Failure, StepContext};

/// Powers off a droplet: shuts it down, and cuts the power after a grace period. A droplet that is off costs the same.
/// Undone by powering it on, if it was on before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The grace period to shut down before the power is cut, in seconds. With 0, the power is cut at once.
    #[serde(default = "droplet::default_grace_seconds")]
    #[schemars(range(min = 0, max = 600))]
    grace_seconds: u32,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    was_on: bool,
    latest_action: u64,
}

pub(super) struct PowerOffDroplet;

impl Converging for PowerOffDroplet {
    const NAME: &'static str = "PowerOffDroplet";

    type Parameters = Parameters;
    type Before = Before;

    fn droplet(parameters: &Parameters) -> &ProviderId {
        &parameters.droplet_provider_id
    }

    async fn before(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        droplet: &Value,
    ) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        Ok(Before { was_on: droplet::is_on(droplet), latest_action: droplet::latest_action(context, id).await? })
    }

    async fn next(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        if !droplet::is_on(droplet) {
            return Ok(NextAction::Nothing);
        }
        let (id, grace) = (parameters.droplet_provider_id.as_str(), droplet::grace(parameters.grace_seconds));
        droplet::power_off(context, id, before.latest_action, grace).await
    }

    async fn previous(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        if !before.was_on {
            return Ok(NextAction::Nothing);
        }
        if droplet::is_on(droplet) {
            // It may have been powered off after it was read.
            let (id, grace) = (parameters.droplet_provider_id.as_str(), droplet::grace(parameters.grace_seconds));
            return droplet::stays_on(context, id, before.latest_action, grace).await;
        }
        Ok(droplet::power_on())
    }
}
