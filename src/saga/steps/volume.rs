//! The calls about a volume that several steps share.

use serde_json::{Value, json};

use super::common::{self, NoOutput, ProviderId, id_text};
use crate::{
    api::saga::ActionId,
    digitalocean::{ChangeMethod, Endpoint},
    saga::step::{Failure, Progress, StepContext},
};

/// Fetches a volume.
pub(super) async fn get(context: &StepContext<'_>, id: &ProviderId) -> Result<Option<Value>, Failure> {
    Ok(context.cloud.fetch(path(id.as_str(), "block_storage:read"), "volume", &[]).await?)
}

/// Fetches a volume that must exist.
pub(super) async fn existing(context: &StepContext<'_>, id: &ProviderId) -> Result<Value, Failure> {
    get(context, id).await?.ok_or_else(|| Failure::Permanent(format!("there is no volume {id}")))
}

/// The path of a volume.
pub(super) fn path<'p>(id: &'p str, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route: "/v2/volumes/{id}", parent: None, id: Some(id), scope }
}

/// The droplets of a volume: at most one at present.
pub(super) fn droplets(volume: &Value) -> Vec<String> {
    let ids = volume.get("droplet_ids").and_then(Value::as_array);
    ids.into_iter().flatten().map(id_text).collect()
}

/// Returns true if a volume is attached to this droplet.
pub(super) fn is_attached(volume: &Value, droplet: &ProviderId) -> bool {
    droplets(volume).iter().any(|id| id == droplet.as_str())
}

/// The size of a volume, in GiB.
pub(super) fn size(volume: &Value) -> Option<u64> {
    volume.get("size_gigabytes").and_then(Value::as_u64)
}

/// Starts to attach a volume, and returns the action's id; none if it is already attached.
pub(super) async fn attach(
    context: &StepContext<'_>,
    id: &ProviderId,
    droplet: &ProviderId,
) -> Result<Option<ActionId>, Failure> {
    set(context, id, droplet, true).await
}

/// Starts to detach a volume, and returns the action's id; none if it is already detached.
pub(super) async fn detach(
    context: &StepContext<'_>,
    id: &ProviderId,
    droplet: &ProviderId,
) -> Result<Option<ActionId>, Failure> {
    set(context, id, droplet, false).await
}

async fn set(
    context: &StepContext<'_>,
    id: &ProviderId,
    droplet: &ProviderId,
    is_wanted: bool,
) -> Result<Option<ActionId>, Failure> {
    let kind = if is_wanted { "attach" } else { "detach" };
    let refused = match act(context, id, &json!({ "type": kind, "droplet_id": droplet.as_number()? })).await {
        Ok(action) => return Ok(Some(action)),
        Err(refused) => refused,
    };
    // An earlier call may have ended right after the volume was read.
    let volume = get(context, id).await?;
    let is_attached = volume.is_some_and(|volume| is_attached(&volume, droplet));
    if is_attached == is_wanted { Ok(None) } else { Err(refused.about(&format!("droplet {droplet}"))) }
}

/// Starts an action on a volume, and returns its id.
pub(super) async fn act(context: &StepContext<'_>, id: &ProviderId, action: &Value) -> Result<ActionId, Failure> {
    let path = actions(id, "block_storage_action:create");
    common::action_id(&context.cloud.send(ChangeMethod::Post, path, Some(action)).await?)
}

/// The volume's action in progress: there is at most one.
pub(super) async fn pending(context: &StepContext<'_>, id: &ProviderId) -> Result<Option<ActionId>, Failure> {
    common::in_progress(context, actions(id, "block_storage_action:read"), |_| true).await
}

/// The progress of attaching or detaching a volume.
pub(super) fn progress(action: Option<ActionId>, id: &ProviderId, droplet: &ProviderId) -> Progress<NoOutput> {
    match action {
        Some(action) => Progress::Started { action, ids: vec![format!("volumes/{id}"), format!("droplets/{droplet}")] },
        None => Progress::Done(NoOutput {}),
    }
}

fn actions<'p>(id: &'p ProviderId, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route: "/v2/volumes/{id}/actions", parent: None, id: Some(id.as_str()), scope }
}
