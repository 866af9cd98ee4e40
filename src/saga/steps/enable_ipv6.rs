//! The step `EnableIPv6`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::ProviderId,
    converging::Converging,
    droplet::{self, NextAction},
};
use crate::saga::step::{Failure, StepContext};

/// Enables IPv6 of a droplet. A running droplet is powered off as by `PowerOffDroplet`, and powered on afterwards; its
/// operating system has to be configured for the address. Cannot be undone: IPv6 of a droplet cannot be disabled.
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
    had_it: bool,
    was_on: bool,
    latest_action: u64,
}

pub(super) struct EnableIPv6;

impl Converging for EnableIPv6 {
    const NAME: &'static str = "EnableIPv6";
    /// Another action on the droplet, such as a backup, ends first.
    const TIMEOUT: Duration = Duration::from_hours(2);

    type Parameters = Parameters;
    type Before = Before;

    fn droplet(parameters: &Parameters) -> &ProviderId {
        &parameters.droplet_provider_id
    }

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("IPv6 of a droplet cannot be disabled")
    }

    async fn before(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        droplet: &Value,
    ) -> Result<Before, Failure> {
        Ok(Before {
            had_it: has_ipv6(droplet),
            was_on: droplet::is_on(droplet),
            latest_action: droplet::latest_action(context, parameters.droplet_provider_id.as_str()).await?,
        })
    }

    /// IPv6 is enabled while the droplet is off.
    async fn next(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        if has_ipv6(droplet) {
            let is_as_before = droplet::is_on(droplet) || !before.was_on || before.had_it;
            return Ok(if is_as_before { NextAction::Nothing } else { droplet::power_on() });
        }
        if droplet::is_on(droplet) {
            let (id, grace) = (parameters.droplet_provider_id.as_str(), droplet::grace(parameters.grace_seconds));
            return droplet::power_off(context, id, before.latest_action, grace).await;
        }
        Ok(NextAction::Act(json!({ "type": "enable_ipv6" })))
    }

    async fn previous(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        if before.was_on && !droplet::is_on(droplet) {
            return Ok(droplet::power_on());
        }
        if has_ipv6(droplet) && !before.had_it {
            return Err(Failure::Permanent(format!("IPv6 of droplet {id} is enabled and cannot be disabled")));
        }
        if before.was_on {
            let grace = droplet::grace(parameters.grace_seconds);
            return droplet::stays_on(context, id, before.latest_action, grace).await;
        }
        Ok(NextAction::Nothing)
    }
}

fn has_ipv6(droplet: &Value) -> bool {
    let features = droplet.get("features").and_then(Value::as_array);
    features.into_iter().flatten().any(|feature| feature == "ipv6")
}
