//! The step `CreateVolume`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{ProviderId, SOON, id_text, is_own, nothing_left, text, unnamed},
    tagging, volume,
};
use crate::{
    digitalocean::{ChangeMethod, Endpoint, Error},
    saga::step::{Failure, Lookup, Progress, Step, StepContext, Undo},
};

/// Creates a volume with a tag that identifies this step; the token needs `tag:read` and `tag:create`. The step fails
/// if another volume has the name. Undone by deleting the volume, and the tag if the token has `tag:delete`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The name, unique in the region: lower-case letters, digits and dashes, starting with a letter.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z][a-z0-9\-]*$"))]
    name: String,
    /// The slug of the region.
    #[schemars(length(min = 1, max = 64))]
    region: String,
    /// The size in GiB.
    #[schemars(range(min = 1, max = 16_384))]
    size_gigabytes: u64,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    description: Option<String>,
    /// The file system; the volume is not formatted by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filesystem_type: Option<FileSystem>,
    /// The label of the file system: at most 16 characters for `ext4`, 12 for `xfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    filesystem_label: Option<String>,
    /// The id of a volume snapshot to restore from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<ProviderId>,
    /// Additional tags.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9_\-:]+$")))]
    tags: Vec<String>,
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FileSystem {
    Ext4,
    Xfs,
}

/// The output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The id of the volume.
    volume_id: String,
}

pub(super) struct CreateVolume;

impl Step for CreateVolume {
    const NAME: &'static str = "CreateVolume";

    type Parameters = Parameters;
    type Output = Output;
    type Before = ();

    fn objection(&self, parameters: &Parameters) -> Option<String> {
        let Parameters { filesystem_type, filesystem_label, .. } = parameters;
        match (filesystem_type, filesystem_label) {
            (None, Some(_)) => Some("`filesystem_label` needs `filesystem_type`".to_owned()),
            (Some(FileSystem::Xfs), Some(label)) if label.len() > 12 => {
                Some("the label of an `xfs` file system has 12 characters at the most".to_owned())
            }
            _ => None,
        }
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Progress<Output>, Failure> {
        if let Some(volume) = namesake(context, parameters).await? {
            return own(context, &volume)?.map(Progress::Done).ok_or_else(|| taken(parameters, &volume));
        }
        let path = Endpoint { route: "/v2/volumes", parent: None, id: None, scope: "block_storage:create, tag:create" };
        let answer = context.cloud.send(ChangeMethod::Post, path, Some(&body(context, parameters)?)).await?;
        match answer.pointer("/volume/id") {
            Some(id) => Ok(Progress::Done(Output { volume_id: id_text(id) })),
            None => Err(unnamed("volume")),
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Lookup<Output>, Failure> {
        let made = made(context, parameters).await?;
        Ok(made.map_or(Lookup::Nothing, |output| Lookup::One(Progress::Done(output))))
    }

    async fn adopt(&self, context: &StepContext<'_>, _: &Parameters, id: &str) -> Result<Progress<Output>, Failure> {
        if exists(context, id).await? {
            Ok(Progress::Done(Output { volume_id: id.to_owned() }))
        } else {
            Err(Failure::Permanent(format!("there is no volume {id}")))
        }
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
        output: Option<&Output>,
    ) -> Result<Undo, Failure> {
        let there = match output {
            Some(Output { volume_id }) if exists(context, volume_id).await? => Some(volume_id.clone()),
            Some(_) => None,
            None => made(context, parameters).await?.map(|output| output.volume_id),
        };
        let Some(id) = there else {
            // A volume that appears only now would lose its tag.
            if context.shows_everything() {
                tagging::forget(context, &context.identity.tag()).await?;
            }
            return Ok(nothing_left(output));
        };
        match context.cloud.send(ChangeMethod::Delete, volume::path(&id, "block_storage:delete"), None).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Undo::not_yet(SOON)),
            Err(error) => Err(error.into()),
        }
    }
}

fn body(context: &StepContext<'_>, parameters: &Parameters) -> Result<Value, Failure> {
    let mut body = serde_json::to_value(parameters).map_err(Failure::permanent)?;
    if let Some(tags) = body.get_mut("tags").and_then(Value::as_array_mut) {
        tags.push(json!(context.identity.tag()));
    }
    Ok(body)
}

async fn exists(context: &StepContext<'_>, id: &str) -> Result<bool, Failure> {
    Ok(context.cloud.fetch(volume::path(id, "block_storage:read"), "volume", &[]).await?.is_some())
}

/// The volume that this step created.
async fn made(context: &StepContext<'_>, parameters: &Parameters) -> Result<Option<Output>, Failure> {
    let volume = namesake(context, parameters).await?;
    Ok(volume.map(|volume| own(context, &volume)).transpose()?.flatten())
}

/// The volume with this name in this region: there is at most one.
async fn namesake(context: &StepContext<'_>, parameters: &Parameters) -> Result<Option<Value>, Failure> {
    let Parameters { name, region, .. } = parameters;
    let path = Endpoint { route: "/v2/volumes", parent: None, id: None, scope: "block_storage:read" };
    let volumes = context.cloud.rows(path, "volumes", &[("name", name), ("region", region)]).await?;
    Ok(volumes.into_iter().find(|volume| text(volume, "name") == Some(name)))
}

/// The volume, if this step created it.
fn own(context: &StepContext<'_>, volume: &Value) -> Result<Option<Output>, Failure> {
    let id = volume.get("id").map(id_text).unwrap_or_default();
    Ok(is_own(context, volume, &format!("volume {id}"))?.then_some(Output { volume_id: id }))
}

fn taken(parameters: &Parameters, volume: &Value) -> Failure {
    let Parameters { name, region, .. } = parameters;
    let id = volume.get("id").map(id_text).unwrap_or_default();
    Failure::Permanent(format!(
        "volume {name} already exists in {region} ({id}) and was not created by this step; choose another name"
    ))
}
