//! The step `PowerOnDroplet`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    common::ProviderId,
    converging::Converging,
    droplet::{self, NextAction},
};
use crate::saga::step::{Failure, StepContext};

/// The grace period to shut down when powering on is undone, in seconds.
const GRACE: Duration = Duration::from_mins(2);

/// Powers on a droplet. A running droplet stays on. Undone by shutting it down if it was off before, and by powering it
/// off after a grace period of two minutes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    was_off: bool,
    latest_action: u64,
}

pub(super) struct PowerOnDroplet;

impl Converging for PowerOnDroplet {
    const NAME: &'static str = "PowerOnDroplet";

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
        Ok(Before { was_off: !droplet::is_on(droplet), latest_action: droplet::latest_action(context, id).await? })
    }

    async fn next(
        &self,
        _: &StepContext<'_>,
        _: &Parameters,
        _: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        Ok(if droplet::is_on(droplet) { NextAction::Nothing } else { droplet::power_on() })
    }

    async fn previous(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        if before.was_off && droplet::is_on(droplet) {
            let id = parameters.droplet_provider_id.as_str();
            return droplet::power_off(context, id, before.latest_action, GRACE).await;
        }
        Ok(NextAction::Nothing)
    }
}
