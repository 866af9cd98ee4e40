//! The step `RestoreDroplet`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    common::{NoOutput, ProviderId},
    droplet::{self, DropletAction, NextAction},
};
use crate::saga::step::{Failure, Lookup, Progress, Step, StepContext, Trace};

/// Restores a droplet from one of its backups or snapshots. Its id, name, addresses and size are kept. The data on its
/// disk is replaced, so this cannot be undone; create a snapshot first to keep it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The id of the backup or snapshot, such as the `snapshot_id` of `CreateDropletSnapshot`. It must be of this
    /// droplet.
    image: ProviderId,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The id of the latest action before the step; the step's actions have higher ids. Absent if the step did not
    /// start.
    latest_action: Option<u64>,
}

pub(super) struct RestoreDroplet;

impl Step for RestoreDroplet {
    const NAME: &'static str = "RestoreDroplet";
    const TIMEOUT: Duration = Duration::from_hours(6);

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn irreversible(&self, _: &Parameters) -> Option<&'static str> {
        Some("the data on the disk is lost")
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        droplet::before(context, id).await?;
        Ok(Before { latest_action: Some(droplet::latest_action(context, id).await?) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(_) if is_restored(context, parameters, before).await? => NextAction::Nothing,
            Ok(_) => NextAction::Act(json!({ "type": "restore", "image": droplet::number_or_text(&parameters.image) })),
            Err(next) => own(context, parameters, before, next).await?,
        };
        droplet::go(context, id, next).await
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Lookup<NoOutput>, Failure> {
        let id = parameters.droplet_provider_id.as_str();
        Ok(match droplet::at_rest(context, id).await? {
            Ok(_) if is_restored(context, parameters, before).await? => Lookup::One(Progress::Done(NoOutput {})),
            // A lost call may still take effect and must not be repeated, so this waits for the settle time.
            Ok(_) | Err(NextAction::Gone) => Lookup::Nothing,
            Err(next) => droplet::found(id, own(context, parameters, before, next).await?),
        })
    }

    async fn trace(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Trace, Failure> {
        let Parameters { droplet_provider_id: id, image } = parameters;
        Ok(match restores(context, parameters, before).await?.first() {
            None => Trace::Nothing,
            Some(action) if action.status == "in-progress" => Trace::UnderWay(action.id),
            // The effect of a failed action is unknown.
            Some(_) => Trace::There(format!(
                "droplet {id} was restored from {image}, and the earlier data on its disk is \
                                      lost"
            )),
        })
    }
}

/// The next operation. The step waits for another action, but ignores its result.
async fn own(
    context: &StepContext<'_>,
    parameters: &Parameters,
    before: &Before,
    next: NextAction,
) -> Result<NextAction, Failure> {
    let NextAction::Busy(action) = next else { return Ok(next) };
    let is_own = restores(context, parameters, before).await?.iter().any(|own| own.id == action);
    Ok(if is_own { next } else { droplet::wait_for_others(parameters.droplet_provider_id.as_str()) })
}

async fn is_restored(context: &StepContext<'_>, parameters: &Parameters, before: &Before) -> Result<bool, Failure> {
    let restores = restores(context, parameters, before).await?;
    Ok(restores.first().is_some_and(|action| action.status == "completed"))
}

/// The step's own actions, newest first. Actions do not name their image, so they are recognized by their order.
async fn restores(
    context: &StepContext<'_>,
    parameters: &Parameters,
    before: &Before,
) -> Result<Vec<DropletAction>, Failure> {
    let Some(latest) = before.latest_action else { return Ok(Vec::new()) };
    let actions = droplet::actions(context, parameters.droplet_provider_id.as_str()).await?.into_iter();
    Ok(actions.filter(|action| action.id.get() > latest && action.kind == "restore").collect())
}
