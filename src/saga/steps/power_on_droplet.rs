//! The step `PowerOnDroplet`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Undo};

/// The grace period to shut down when powering on is undone, in seconds.
const GRACE: Duration = Duration::from_mins(2);

/// Powers on a droplet. A running droplet stays on. Undone by shutting it down if it was off before, and by powering it
/// off after a grace period of two minutes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    was_off: bool,
    latest_action: u64,
}

pub struct PowerOnDroplet;

impl Step for PowerOnDroplet {
    const NAME: &'static str = "PowerOnDroplet";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let was_off = !droplet::is_on(&droplet::before(context, id).await?);
        Ok(Before { was_off, latest_action: droplet::latest_action(context, id).await? })
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
        let next = match droplet::at_rest(context, id).await? {
            Ok(droplet) if before.was_off && droplet::is_on(&droplet) => {
                droplet::power_off(context, id, before.latest_action, GRACE).await?
            }
            Ok(_) => Next::Nothing,
            Err(next) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}

async fn next(context: &StepContext<'_>, parameters: &Parameters) -> Result<Next, Failure> {
    Ok(match droplet::at_rest(context, parameters.droplet_provider_id.as_str()).await? {
        Ok(droplet) if droplet::is_on(&droplet) => Next::Nothing,
        Ok(_) => droplet::power_on(),
        Err(next) => next,
    })
}
