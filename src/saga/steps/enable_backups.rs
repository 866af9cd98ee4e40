//! The step `EnableBackups`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    backups::{self, BackupPolicy},
    common::{NoOutput, ProviderId},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Undo};

/// Enables backups of a droplet. Undone by disabling them if they were disabled before, which may delete backups taken
/// since; otherwise by restoring the earlier schedule, unless it has been changed since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The schedule of backups. By default daily, or the current schedule if backups are already enabled.
    #[serde(default)]
    backup_policy: Option<BackupPolicy>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    were_disabled: bool,
    /// The earlier schedule, if the step changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<BackupPolicy>,
}

pub struct EnableBackups;

impl Step for EnableBackups {
    const NAME: &'static str = "EnableBackups";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let were_disabled = !droplet::has_backups(&droplet::before(context, id).await?);
        let policy = match &parameters.backup_policy {
            Some(wanted) if !were_disabled => Some(now(context, id).await?).filter(|now| !wanted.is_met_by(now)),
            _ => None,
        };
        Ok(Before { were_disabled, policy })
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
            Ok(droplet) if !droplet::has_backups(&droplet) => Next::Nothing,
            Ok(_) if before.were_disabled => backups::disable(),
            Ok(_) => match (&parameters.backup_policy, &before.policy) {
                (Some(wanted), Some(was)) if wanted.is_met_by(&now(context, id).await?) => backups::change(was),
                _ => Next::Nothing,
            },
            Err(next) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}

async fn next(context: &StepContext<'_>, parameters: &Parameters) -> Result<Next, Failure> {
    let id = parameters.droplet_provider_id.as_str();
    Ok(match (droplet::at_rest(context, id).await?, &parameters.backup_policy) {
        (Ok(droplet), policy) if !droplet::has_backups(&droplet) => backups::enable(policy.as_ref()),
        (Ok(_), Some(wanted)) if !wanted.is_met_by(&now(context, id).await?) => backups::change(wanted),
        (Ok(_), _) => Next::Nothing,
        (Err(next), _) => next,
    })
}

/// The current schedule of a droplet with enabled backups.
async fn now(context: &StepContext<'_>, id: &str) -> Result<BackupPolicy, Failure> {
    let policy = backups::policy(context, id).await?;
    policy.ok_or_else(|| {
        Failure::Permanent(format!(
            "reading the backup policy of droplet {id}: DigitalOcean returned \
                                                   none"
        ))
    })
}
