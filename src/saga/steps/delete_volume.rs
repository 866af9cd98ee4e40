//! The step `DeleteVolume`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId},
    volume,
};
use crate::{
    digitalocean::{ChangeMethod, Error},
    saga::step::{Failure, Progress, Step, StepContext, Trace},
};

/// Deletes a volume with its data. It must not be attached to a droplet. A volume that does not exist counts as
/// deleted. Cannot be undone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the volume.
    volume_id: ProviderId,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    existed: bool,
}

pub(super) struct DeleteVolume;

impl Step for DeleteVolume {
    const NAME: &'static str = "DeleteVolume";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("the data on the volume is lost")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        Ok(Before { existed: volume::get(context, &parameters.volume_id).await?.is_some() })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let id = &parameters.volume_id;
        let Some(volume) = volume::get(context, id).await? else { return Ok(Progress::Done(NoOutput {})) };
        if let Some(droplet) = volume::droplets(&volume).first() {
            return Err(Failure::Permanent(format!("volume {id} is attached to droplet {droplet}; detach it first")));
        }
        match context.cloud.send(ChangeMethod::Delete, volume::path(id.as_str(), "block_storage:delete"), None).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Progress::Done(NoOutput {})),
            Err(error) => Err(error.into()),
        }
    }

    async fn trace(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Trace, Failure> {
        let id = &parameters.volume_id;
        if !before.existed || volume::get(context, id).await?.is_some() {
            return Ok(Trace::Nothing);
        }
        Ok(Trace::There(format!("volume {id} is deleted with its data")))
    }
}
