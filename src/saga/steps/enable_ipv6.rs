//! The step `EnableIPv6`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{NoOutput, ProviderId},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Undo};

/// Enables IPv6 of a droplet. A running droplet is powered off as by `PowerOffDroplet`, and powered on afterwards; its
/// operating system has to be configured for the address. Cannot be undone: IPv6 of a droplet cannot be disabled.
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
    had_it: bool,
    was_on: bool,
    latest_action: u64,
}

pub struct EnableIPv6;

impl Step for EnableIPv6 {
    const NAME: &'static str = "EnableIPv6";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("IPv6 of a droplet cannot be disabled")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let droplet = droplet::before(context, id).await?;
        Ok(Before {
            had_it: has_ipv6(&droplet),
            was_on: droplet::is_on(&droplet),
            latest_action: droplet::latest_action(context, id).await?,
        })
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
            Ok(droplet) if before.was_on && !droplet::is_on(&droplet) => droplet::power_on(),
            Ok(droplet) if has_ipv6(&droplet) && !before.had_it => {
                return Err(Failure::Permanent(format!("IPv6 of droplet {id} is enabled and cannot be disabled")));
            }
            Ok(_) if before.was_on => {
                droplet::stays_on(context, id, before.latest_action, droplet::grace(parameters.grace_seconds)).await?
            }
            Ok(_) => Next::Nothing,
            Err(next) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}

/// The next operation: IPv6 is enabled while the droplet is off.
async fn next(context: &StepContext<'_>, parameters: &Parameters, before: &Before) -> Result<Next, Failure> {
    let id = parameters.droplet_provider_id.as_str();
    let droplet = match droplet::at_rest(context, id).await? {
        Ok(droplet) => droplet,
        Err(next) => return Ok(next),
    };
    if has_ipv6(&droplet) {
        let is_as_before = droplet::is_on(&droplet) || !before.was_on || before.had_it;
        return Ok(if is_as_before { Next::Nothing } else { droplet::power_on() });
    }
    if droplet::is_on(&droplet) {
        return droplet::power_off(context, id, before.latest_action, droplet::grace(parameters.grace_seconds)).await;
    }
    Ok(Next::Act(json!({ "type": "enable_ipv6" })))
}

fn has_ipv6(droplet: &Value) -> bool {
    let features = droplet.get("features").and_then(Value::as_array);
    features.into_iter().flatten().any(|feature| feature == "ipv6")
}
