//! The step `CreateDropletSnapshot`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    common::{self, Lately, ProviderId, SOON, id_text, text},
    droplet,
};
use crate::{
    digitalocean::{self, ChangeMethod, Endpoint},
    saga::step::{Failure, Lookup, Progress, Step, StepContext, Undo},
};

/// The interval of polling a droplet while its snapshot is created, which takes minutes.
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(15);

/// Creates a snapshot of a droplet, and waits until it is complete. A running droplet stays on. Undone by deleting the
/// snapshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The id of the droplet.
    droplet_provider_id: ProviderId,
    /// The prefix of the snapshot's name; by default the droplet's id and the date. The saga's identity follows.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    snapshot_label: Option<String>,
}

/// The output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The id of the snapshot.
    snapshot_id: String,
}

/// The values that stay the same in every attempt.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The date in the snapshot's name.
    date: String,
}

pub(super) struct CreateDropletSnapshot;

impl Step for CreateDropletSnapshot {
    const NAME: &'static str = "CreateDropletSnapshot";
    const TIMEOUT: std::time::Duration = std::time::Duration::from_hours(2);

    type Parameters = Parameters;
    type Output = Output;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, _: &Parameters) -> Result<Before, Failure> {
        Ok(Before { date: context.now.strftime("%Y-%m-%d").to_string() })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<Output>, Failure> {
        let id = &parameters.droplet_provider_id;
        let action = json!({ "type": "snapshot", "name": name(context, parameters, before) });
        let action = droplet::act(context, id.as_str(), &action).await?;
        Ok(Progress::Started { action, ids: vec![format!("droplets/{id}")] })
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Lookup<Output>, Failure> {
        let lately = common::lately(context, &parameters.droplet_provider_id, "snapshot").await?;
        let mut ids = made(context, parameters, before).await?;
        Ok(match (ids.pop(), ids.is_empty(), lately) {
            (Some(snapshot_id), true, _) => Lookup::One(Progress::Done(Output { snapshot_id })),
            (Some(last), false, _) => Lookup::Several(ids.into_iter().chain([last]).collect()),
            // The owner of the action is unknown, so its end does not show that this step's snapshot will appear.
            (None, _, Lately::InProgress(_)) => {
                let why = format!("waiting for another snapshot of droplet {}", parameters.droplet_provider_id);
                Lookup::One(Progress::NotYet { again: LONGEST_PAUSE, why })
            }
            (None, _, Lately::JustEnded) => {
                Lookup::One(Progress::NotYet { again: SOON, why: "waiting until the snapshot is listed".to_owned() })
            }
            (None, _, Lately::Nothing) => Lookup::Nothing,
        })
    }

    async fn adopt(&self, context: &StepContext<'_>, _: &Parameters, id: &str) -> Result<Progress<Output>, Failure> {
        match context.cloud.fetch(snapshot(id, "snapshot:read"), "snapshot", &[]).await? {
            Some(_) => Ok(Progress::Done(Output { snapshot_id: id.to_owned() })),
            None => Err(Failure::Permanent(format!("there is no snapshot {id}"))),
        }
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&Output>,
    ) -> Result<Undo, Failure> {
        let (lately, ids) = match output {
            Some(output) => (Lately::Nothing, vec![output.snapshot_id.clone()]),
            None => (
                common::lately(context, &parameters.droplet_provider_id, "snapshot").await?,
                made(context, parameters, before).await?,
            ),
        };
        let Some(id) = ids.first() else {
            return Ok(match lately {
                Lately::InProgress(action) => Undo::Started(action),
                Lately::JustEnded => Undo::not_yet(SOON),
                Lately::Nothing => Undo::NothingThere,
            });
        };
        match context.cloud.send(ChangeMethod::Delete, snapshot(id, "snapshot:delete, image:delete"), None).await {
            Ok(_) | Err(digitalocean::Error::NotFound { .. }) if ids.len() == 1 => Ok(Undo::Done),
            Ok(_) | Err(digitalocean::Error::NotFound { .. }) => Ok(Undo::not_yet(SOON)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The unique name of this step's snapshot.
fn name(context: &StepContext<'_>, parameters: &Parameters, before: &Before) -> String {
    let made_up = || format!("droplet-{}-{}", parameters.droplet_provider_id, before.date);
    let label = parameters.snapshot_label.clone().unwrap_or_else(made_up);
    format!("{label}-{}", context.identity.suffix())
}

/// The ids of the snapshots with this step's name.
async fn made(context: &StepContext<'_>, parameters: &Parameters, before: &Before) -> Result<Vec<String>, Failure> {
    let name = name(context, parameters, before);
    let id = Some(parameters.droplet_provider_id.as_str());
    let of_droplet = Endpoint { route: "/v2/droplets/{id}/snapshots", parent: None, id, scope: "droplet:read" };
    let snapshots = match context.cloud.rows(of_droplet, "snapshots", &[]).await {
        // Snapshots outlive their droplet.
        Err(digitalocean::Error::NotFound { .. }) => {
            let all = Endpoint { route: "/v2/snapshots", parent: None, id: None, scope: "snapshot:read" };
            context.cloud.rows(all, "snapshots", &[("resource_type", "droplet")]).await?
        }
        snapshots => snapshots?,
    };
    let named = snapshots.iter().filter(|snapshot| text(snapshot, "name") == Some(name.as_str()));
    Ok(named.filter_map(|snapshot| snapshot.get("id").map(id_text)).collect())
}

fn snapshot<'p>(id: &'p str, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route: "/v2/snapshots/{id}", parent: None, id: Some(id), scope }
}
