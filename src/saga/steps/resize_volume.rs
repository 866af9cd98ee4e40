//! The step `ResizeVolume`.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{NoOutput, ProviderId},
    decided::{self, LiveDigest},
    volume,
};
use crate::saga::step::{Failure, Progress, Step, StepContext, Trace};

/// Enlarges a volume. Grow its file system on the droplet afterwards. Cannot be undone: a volume only grows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the volume.
    volume_id: ProviderId,
    /// The new size, at least the current one.
    #[schemars(range(min = 1, max = 16_384))]
    size_gigabytes: u64,
    /// The digest of the live size that was decided on. The step fails, before it changes anything, if it is neither this
    /// one nor the desired one by then.
    #[serde(default)]
    live: Option<LiveDigest>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    size_gigabytes: Option<u64>,
}

pub(super) struct ResizeVolume;

impl Step for ResizeVolume {
    const NAME: &'static str = "ResizeVolume";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("a volume only grows")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let volume = volume::existing(context, &parameters.volume_id).await?;
        parameters.check_live(&volume)?;
        Ok(Before { size_gigabytes: volume::size(&volume) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { volume_id, size_gigabytes, .. } = parameters;
        let volume = volume::existing(context, volume_id).await?;
        parameters.check_live(&volume)?;
        let now = volume::size(&volume).unwrap_or_default();
        match now.cmp(size_gigabytes) {
            Ordering::Equal => Ok(Progress::Done(NoOutput {})),
            Ordering::Greater => {
                Err(Failure::Permanent(format!("volume {volume_id} has {now} GiB and cannot be shrunk")))
            }
            Ordering::Less => {
                let action = json!({ "type": "resize", "size_gigabytes": size_gigabytes });
                let refused = match volume::act(context, volume_id, &action).await {
                    Ok(action) => return Ok(Progress::Started { action, ids: vec![format!("volumes/{volume_id}")] }),
                    Err(refused) => refused,
                };
                // An earlier call may have ended right after the volume was read.
                let now = volume::size(&volume::existing(context, volume_id).await?);
                if now == Some(*size_gigabytes) { Ok(Progress::Done(NoOutput {})) } else { Err(refused) }
            }
        }
    }

    async fn trace(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Trace, Failure> {
        let Parameters { volume_id, .. } = parameters;
        // Read before the volume, so that an action which ends in between shows there.
        if let Some(action) = volume::pending(context, volume_id).await? {
            return Ok(Trace::UnderWay(action));
        }
        let Some(volume) = volume::get(context, volume_id).await? else { return Ok(Trace::Nothing) };
        Ok(match (volume::size(&volume), before.size_gigabytes) {
            (Some(now), Some(was)) if now > was => {
                Trace::There(format!("volume {volume_id} has grown from {was} to {now} GiB, and a volume only grows"))
            }
            _ => Trace::Nothing,
        })
    }
}

impl Parameters {
    /// Refuses a size other than the decided and the desired one.
    fn check_live(&self, volume: &Value) -> Result<(), Failure> {
        if volume::size(volume) == Some(self.size_gigabytes) {
            return Ok(());
        }
        let now = volume.get("size_gigabytes").unwrap_or(&Value::Null);
        decided::check(self.live.as_ref(), "size_gigabytes", now, &format_args!("volume {}", self.volume_id))
    }
}
