//! The step `DeleteSnapshot`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{NoOutput, ProviderId};
use crate::{
    digitalocean::{ChangeMethod, Endpoint, Error},
    saga::step::{Failure, Lookup, Progress, Step, StepContext, Trace},
};

/// Deletes a snapshot of a droplet or volume. Cannot be undone. A snapshot that does not exist counts as deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the snapshot, such as the `snapshot_id` of `CreateDropletSnapshot`.
    snapshot_id: ProviderId,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    existed: bool,
}

pub(super) struct DeleteSnapshot;

impl Step for DeleteSnapshot {
    const NAME: &'static str = "DeleteSnapshot";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("a deleted snapshot is lost")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        Ok(Before { existed: exists(context, parameters).await? })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        match context.cloud.send(ChangeMethod::Delete, path(parameters, "snapshot:delete, image:delete"), None).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Progress::Done(NoOutput {})),
            Err(error) => Err(error.into()),
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Lookup<NoOutput>, Failure> {
        let is_there = exists(context, parameters).await?;
        Ok(if is_there { Lookup::Converges } else { Lookup::One(Progress::Done(NoOutput {})) })
    }

    async fn trace(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Trace, Failure> {
        if !before.existed || exists(context, parameters).await? {
            return Ok(Trace::Nothing);
        }
        Ok(Trace::There(format!("snapshot {} is deleted and cannot be restored", parameters.snapshot_id)))
    }
}

async fn exists(context: &StepContext<'_>, parameters: &Parameters) -> Result<bool, Failure> {
    let path = path(parameters, "snapshot:read, block_storage_snapshot:read");
    Ok(context.cloud.fetch(path, "snapshot", &[]).await?.is_some())
}

fn path<'p>(parameters: &'p Parameters, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route: "/v2/snapshots/{id}", parent: None, id: Some(parameters.snapshot_id.as_str()), scope }
}
