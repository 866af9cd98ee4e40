//! The step `DeleteDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId, SOON},
    droplet::{self, NextAction},
};
use crate::saga::step::{Failure, Lookup, Progress, Step, StepContext, Trace};

/// Deletes a droplet and its disk. Cannot be undone. Volumes, snapshots and reserved addresses are kept. Its backups
/// are deleted, so the step refuses a droplet with backups unless `discard_backups` is set. A droplet that does not
/// exist counts as deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// Whether backups may be lost. By default the step fails if there are any. To keep a backup, convert it to a
    /// snapshot.
    #[serde(default)]
    discard_backups: bool,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    existed: bool,
}

pub(super) struct DeleteDroplet;

impl Step for DeleteDroplet {
    const NAME: &'static str = "DeleteDroplet";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("a deleted droplet is lost with its disk")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        Ok(Before { existed: droplet::droplet(context, parameters.droplet_provider_id.as_str()).await?.is_some() })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        match droplet::at_rest(context, id).await? {
            Ok(droplet) => {
                droplet::check_backups(id, &droplet, parameters.discard_backups)?;
                droplet::delete(context, id).await?;
                Ok(going(id))
            }
            Err(NextAction::Gone) => Ok(Progress::Done(NoOutput {})),
            Err(next) => droplet::go(context, id, next).await,
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Lookup<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        Ok(match droplet::droplet(context, id).await? {
            None => Lookup::One(Progress::Done(NoOutput {})),
            Some(_) if context.has_settled() => Lookup::Converges,
            Some(_) => Lookup::One(going(id)),
        })
    }

    async fn trace(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Trace, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        if !before.existed || droplet::droplet(context, id).await?.is_some() {
            return Ok(Trace::Nothing);
        }
        Ok(Trace::There(format!("droplet {id} is deleted and cannot be restored")))
    }
}

fn going(id: &str) -> Progress<NoOutput> {
    Progress::NotYet { again: SOON, why: format!("droplet {id} is being deleted") }
}
