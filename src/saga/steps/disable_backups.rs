//! The step `DisableBackups`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backups::{self, BackupPolicy},
    common::ProviderId,
    converging::Converging,
    droplet::{self, NextAction},
};
use crate::saga::step::{Failure, StepContext};

/// Disables backups of a droplet. DigitalOcean may also delete existing backups (its documents disagree), so the step
/// refuses a droplet with backups unless `discard_backups` is set. Undone by enabling them with the earlier schedule,
/// if they were enabled before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// Whether existing backups may be lost. By default the step fails if there are any. With true the step cannot be
    /// undone. To keep a backup, convert it to a snapshot.
    #[serde(default)]
    discard_backups: bool,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    were_enabled: bool,
    had_some: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<BackupPolicy>,
}

pub(super) struct DisableBackups;

impl Converging for DisableBackups {
    const NAME: &'static str = "DisableBackups";

    type Parameters = Parameters;
    type Before = Before;

    fn droplet(parameters: &Parameters) -> &ProviderId {
        &parameters.droplet_provider_id
    }

    fn irreversible(&self, parameters: &Parameters) -> Option<&'static str> {
        parameters.discard_backups.then_some("existing backups may be deleted")
    }

    fn check(&self, parameters: &Parameters, droplet: &Value) -> Result<(), Failure> {
        if !droplet::has_backups(droplet) {
            return Ok(());
        }
        droplet::check_backups(parameters.droplet_provider_id.as_str(), droplet, parameters.discard_backups)
    }

    async fn before(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        droplet: &Value,
    ) -> Result<Before, Failure> {
        let were_enabled = droplet::has_backups(droplet);
        let id = parameters.droplet_provider_id.as_str();
        let policy = if were_enabled { backups::policy(context, id).await? } else { None };
        // Without the scope to list backups, there could be some.
        let had_some = droplet::backups(droplet).is_none_or(|backups| backups > 0);
        Ok(Before { were_enabled, had_some, policy })
    }

    async fn next(
        &self,
        _: &StepContext<'_>,
        _: &Parameters,
        _: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        Ok(if droplet::has_backups(droplet) { backups::disable() } else { NextAction::Nothing })
    }

    async fn previous(
        &self,
        _: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        if !before.were_enabled || droplet::has_backups(droplet) {
            return Ok(NextAction::Nothing);
        }
        if before.had_some {
            let id = &parameters.droplet_provider_id;
            return Err(Failure::Permanent(format!(
                "backups of droplet {id} are disabled, and existing ones may be deleted"
            )));
        }
        Ok(backups::enable(before.policy.as_ref()))
    }
}
