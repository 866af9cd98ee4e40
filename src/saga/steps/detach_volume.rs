//! The step `DetachVolume`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId, nothing_left},
    volume,
};
use crate::saga::step::{Failure, Progress, Step, StepContext, Undo};

/// Detaches a volume from a droplet. Unmount it there first, or power off the droplet. Undone by attaching it again, if
/// it was attached before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the volume.
    volume_id: ProviderId,
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    was_attached: bool,
}

pub(super) struct DetachVolume;

impl Step for DetachVolume {
    const NAME: &'static str = "DetachVolume";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let volume = volume::existing(context, &parameters.volume_id).await?;
        Ok(Before { was_attached: volume::is_attached(&volume, &parameters.droplet_provider_id) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { volume_id, droplet_provider_id } = parameters;
        let volume = volume::existing(context, volume_id).await?;
        if !volume::is_attached(&volume, droplet_provider_id) {
            return Ok(Progress::Done(NoOutput {}));
        }
        let action = volume::detach(context, volume_id, droplet_provider_id).await?;
        Ok(volume::progress(action, volume_id, droplet_provider_id))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let Parameters { volume_id, droplet_provider_id } = parameters;
        if !before.was_attached {
            return Ok(Undo::Done);
        }
        // Read before the volume, so that an action which ends in between shows there.
        if let Some(action) = volume::pending(context, volume_id).await? {
            return Ok(Undo::Started(action));
        }
        let volume = volume::existing(context, volume_id).await?;
        if volume::is_attached(&volume, droplet_provider_id) {
            return Ok(nothing_left(output));
        }
        if let Some(other) = volume::droplets(&volume).first() {
            return Err(Failure::Permanent(format!(
                "volume {volume_id} was attached to droplet {droplet_provider_id} and is attached to droplet {other} now: \
                 detach it there"
            )));
        }
        let action = volume::attach(context, volume_id, droplet_provider_id).await?;
        Ok(action.map_or(Undo::Done, Undo::Started))
    }
}
