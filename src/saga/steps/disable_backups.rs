//! The step `DisableBackups`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    backups::{self, BackupPolicy},
    common::{NoOutput, ProviderId},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Undo};

/// Disables backups of a droplet. DigitalOcean may also delete existing backups (its documents disagree), so the step
/// refuses a droplet with backups unless `discard_backups` is set. Undone by enabling them with the earlier schedule,
/// if they were enabled before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// Whether existing backups may be lost. By default the step fails if there are any. With true the step cannot be
    /// undone. To keep a backup, convert it to a snapshot.
    #[serde(default)]
    discard_backups: bool,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    were_enabled: bool,
    had_some: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<BackupPolicy>,
}

pub struct DisableBackups;

impl Step for DisableBackups {
    const NAME: &'static str = "DisableBackups";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, parameters: &Parameters) -> Option<&'static str> {
        parameters.discard_backups.then_some("existing backups may be deleted")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let droplet = droplet::before(context, id).await?;
        let were_enabled = droplet::has_backups(&droplet);
        let policy = if were_enabled { backups::policy(context, id).await? } else { None };
        // Without the scope to list backups, there could be some.
        let had_some = droplet::backups(&droplet).is_none_or(|backups| backups > 0);
        Ok(Before { were_enabled, had_some, policy })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(droplet) if droplet::has_backups(&droplet) => {
                droplet::check_backups(id, &droplet, parameters.discard_backups)?;
                backups::disable()
            }
            Ok(_) => Next::Nothing,
            Err(next) => next,
        };
        droplet::go(context, id, next).await
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Found<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(droplet) if droplet::has_backups(&droplet) => backups::disable(),
            Ok(_) => Next::Nothing,
            Err(next) => next,
        };
        Ok(droplet::found(id, next))
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
            Ok(droplet) if !before.were_enabled || droplet::has_backups(&droplet) => Next::Nothing,
            Ok(_) if before.had_some => {
                return Err(Failure::Permanent(format!(
                    "backups of droplet {id} are disabled, and existing ones may be deleted"
                )));
            }
            Ok(_) => backups::enable(before.policy.as_ref()),
            Err(next) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}
