//! `DeleteDroplet`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId, SOON},
    droplet::{self, Next},
};
use crate::saga::step::{Failure, Found, Progress, Step, StepContext, Trace};

/// Deletes a droplet and its disk, which cannot be undone. Its volumes, snapshots and reserved addresses stay. Its backups
/// are deleted with it, so a droplet that has some is left alone unless `discard_backups` is set. One that is gone already
/// is fine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The droplet.
    droplet_provider_id: ProviderId,
    /// Whether its backups may be lost; false by default, and then the step fails where there are some. To keep one,
    /// convert it to a snapshot.
    #[serde(default)]
    discard_backups: bool,
}

/// How it was before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    existed: bool,
}

/// The step.
pub struct DeleteDroplet;

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
            Err(Next::Gone) => Ok(Progress::Done(NoOutput {})),
            Err(next) => droplet::go(context, id, next).await,
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Found<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        Ok(match droplet::droplet(context, id).await? {
            None => Found::One(Progress::Done(NoOutput {})),
            Some(_) if context.has_settled() => Found::Converges,
            Some(_) => Found::One(going(id)),
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
