//! The step `EnableBackups`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backups::{self, BackupPolicy},
    common::{ProviderId, changed_since},
    converging::Converging,
    droplet::{self, NextAction, of_droplet},
};
use crate::saga::step::{Failure, StepContext};

/// Enables backups of a droplet. Undone by disabling them if they were disabled before, which may delete backups taken
/// since; otherwise by restoring the earlier schedule, which is refused if it has been changed since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The schedule of backups. By default daily, or the current schedule if backups are already enabled.
    #[serde(default)]
    backup_policy: Option<BackupPolicy>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    were_disabled: bool,
    /// The earlier schedule, if the step changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<BackupPolicy>,
}

pub(super) struct EnableBackups;

impl Converging for EnableBackups {
    const NAME: &'static str = "EnableBackups";

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
        let were_disabled = !droplet::has_backups(droplet);
        let policy = match &parameters.backup_policy {
            Some(wanted) if !were_disabled => {
                let now = now(context, parameters.droplet_provider_id.as_str()).await?;
                Some(now).filter(|now| !wanted.is_met_by(now))
            }
            _ => None,
        };
        Ok(Before { were_disabled, policy })
    }

    async fn next(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        Ok(match &parameters.backup_policy {
            policy if !droplet::has_backups(droplet) => backups::enable(policy.as_ref()),
            Some(wanted) if !wanted.is_met_by(&now(context, id).await?) => backups::change(wanted),
            _ => NextAction::Nothing,
        })
    }

    async fn previous(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        droplet: &Value,
    ) -> Result<NextAction, Failure> {
        let id = &parameters.droplet_provider_id;
        if before.were_disabled {
            return Ok(if droplet::has_backups(droplet) { backups::disable() } else { NextAction::Nothing });
        }
        let (Some(wanted), Some(was)) = (&parameters.backup_policy, &before.policy) else {
            return Ok(NextAction::Nothing);
        };
        let now = if droplet::has_backups(droplet) { Some(now(context, id.as_str()).await?) } else { None };
        match now {
            Some(now) if was.is_met_by(&now) => Ok(NextAction::Nothing),
            Some(now) if wanted.is_met_by(&now) => Ok(backups::change(was)),
            _ => Err(changed_since("backup_policy", &of_droplet(id))),
        }
    }
}

/// The current schedule of a droplet with enabled backups.
async fn now(context: &StepContext<'_>, id: &str) -> Result<BackupPolicy, Failure> {
    let policy = backups::policy(context, id).await?;
    policy.ok_or_else(|| {
        Failure::Permanent(format!("reading the backup policy of droplet {id}: DigitalOcean returned none"))
    })
}
