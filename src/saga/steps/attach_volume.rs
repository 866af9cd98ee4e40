//! The step `AttachVolume`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId, changed_since, nothing_left},
    volume,
};
use crate::saga::step::{Failure, Progress, Step, StepContext, Undo};

/// Attaches a volume to a droplet in its region. The step fails if the volume is attached to another droplet. Undone by
/// detaching it, if it was not attached before, which is refused if it has been attached to another droplet since.
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
    was_elsewhere: bool,
    /// The droplets of the volume. Earlier versions did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    droplets: Option<Vec<String>>,
}

pub(super) struct AttachVolume;

impl Step for AttachVolume {
    const NAME: &'static str = "AttachVolume";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let volume = volume::existing(context, &parameters.volume_id).await?;
        Ok(Before {
            was_elsewhere: !volume::is_attached(&volume, &parameters.droplet_provider_id),
            droplets: Some(volume::droplets(&volume)),
        })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { volume_id, droplet_provider_id } = parameters;
        let volume = volume::existing(context, volume_id).await?;
        if volume::is_attached(&volume, droplet_provider_id) {
            return Ok(Progress::Done(NoOutput {}));
        }
        if let Some(other) = volume::droplets(&volume).first() {
            return Err(Failure::Permanent(format!(
                "volume {volume_id} is attached to droplet {other}; detach it first"
            )));
        }
        let action = volume::attach(context, volume_id, droplet_provider_id).await?;
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
        if !before.was_elsewhere {
            return Ok(Undo::Done);
        }
        // Read before the volume, so that an action which ends in between shows there.
        if let Some(action) = volume::pending(context, volume_id).await? {
            return Ok(Undo::Started(action));
        }
        let Some(volume) = volume::get(context, volume_id).await? else { return Ok(Undo::Done) };
        if volume::is_attached(&volume, droplet_provider_id) {
            let action = volume::detach(context, volume_id, droplet_provider_id).await?;
            return Ok(action.map_or(Undo::Done, Undo::Started));
        }
        let now = volume::droplets(&volume);
        if before.droplets.as_ref().is_some_and(|were| !now.is_empty() && *were != now) {
            return Err(changed_since("droplet_ids", &format_args!("volume {volume_id}")));
        }
        Ok(nothing_left(output))
    }
}
