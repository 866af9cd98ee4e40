//! Parts that the steps for tags share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::IntoStaticStr;

use super::common::{self, ProviderId, text, unnamed};
use crate::{
    digitalocean::{ChangeMethod, Endpoint, Error},
    saga::step::{Failure, StepContext},
};

/// The resource of a tag.
#[derive(Clone, Debug, JsonSchema)]
pub(super) struct TaggedResource {
    kind: TaggedKind,
    id: ProviderId,
}

/// The types of taggable resources, by their names in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(super) enum TaggedKind {
    Droplet,
    Volume,
    VolumeSnapshot,
    Image,
    Database,
}

/// The state of a tag on a resource.
pub(super) enum TagState {
    /// The resource does not exist.
    Gone,
    /// The resource lacks the tag.
    Untagged,
    /// The resource has the tag in this spelling.
    Tagged(String),
}

impl TaggedResource {
    /// Reads the target from the parameters of a step.
    pub(super) fn new(
        droplet: Option<ProviderId>,
        kind: Option<TaggedKind>,
        id: Option<ProviderId>,
    ) -> Result<Self, &'static str> {
        match (droplet, kind, id) {
            // `droplet_provider_id` may be an input that is meant for other steps.
            (_, Some(kind), Some(id)) => Ok(Self { kind, id }),
            (Some(id), None, None) => Ok(Self { kind: TaggedKind::Droplet, id }),
            (None, None, None) => Err("`droplet_provider_id`, or `resource_type` and `resource_id`, must be set"),
            _ => Err("`resource_type` and `resource_id` must be given together"),
        }
    }

    /// The failure of a step whose resource does not exist.
    pub(super) fn gone(&self) -> Failure {
        Failure::Permanent(format!("there is no {} {}", self.kind.name().replace('_', " "), self.id))
    }

    /// The scopes to tag it. The API also needs the update scope of the resource, but has none for volumes and their
    /// snapshots.
    fn scope_to_tag(&self) -> &'static str {
        match self.kind {
            TaggedKind::Droplet => "tag:create, droplet:update",
            TaggedKind::Volume | TaggedKind::VolumeSnapshot => "tag:create",
            TaggedKind::Image => "tag:create, image:update",
            TaggedKind::Database => "tag:create, database:update",
        }
    }

    /// The scopes to remove a tag from it.
    fn scope_to_untag(&self) -> &'static str {
        match self.kind {
            TaggedKind::Droplet => "tag:delete, droplet:update",
            TaggedKind::Volume | TaggedKind::VolumeSnapshot => "tag:delete",
            TaggedKind::Image => "tag:delete, image:update",
            TaggedKind::Database => "tag:delete, database:update",
        }
    }

    fn path(&self) -> Endpoint<'_> {
        let (route, scope) = match self.kind {
            TaggedKind::Droplet => ("/v2/droplets/{id}", "droplet:read"),
            TaggedKind::Volume => ("/v2/volumes/{id}", "block_storage:read"),
            TaggedKind::VolumeSnapshot => ("/v2/snapshots/{id}", "snapshot:read"),
            TaggedKind::Image => ("/v2/images/{id}", "image:read"),
            TaggedKind::Database => ("/v2/databases/{id}", "database:read"),
        };
        Endpoint { route, parent: None, id: Some(self.id.as_str()), scope }
    }

    fn to_json(&self) -> Value {
        json!({ "resources": [{ "resource_id": self.id, "resource_type": self.kind.name() }] })
    }
}

impl TaggedKind {
    fn name(self) -> &'static str {
        self.into()
    }

    /// The field of a response that holds the document.
    fn envelope(self) -> &'static str {
        if self == Self::VolumeSnapshot { "snapshot" } else { self.name() }
    }
}

/// Reads the state of a tag on a resource. Case is ignored.
pub(super) async fn read(context: &StepContext<'_>, target: &TaggedResource, tag: &str) -> Result<TagState, Failure> {
    let document = context.cloud.fetch(target.path(), target.kind.envelope(), &[]).await?;
    let Some(document) = document else { return Ok(TagState::Gone) };
    let tags = match document.get("tags") {
        Some(Value::Array(tags)) => tags.as_slice(),
        Some(Value::Null) => &[],
        // The response does not show tags.
        _ => {
            return Err(Failure::Permanent(
                "reading tags: the response has none; give the token the scope `tag:read`".to_owned(),
            ));
        }
    };
    let spelled = tags.iter().filter_map(Value::as_str).find(|spelled| spelled.eq_ignore_ascii_case(tag));
    Ok(spelled.map_or(TagState::Untagged, |spelled| TagState::Tagged(spelled.to_owned())))
}

/// Tags a resource, or creates the tag first. Returns whether the resource is tagged. Can be repeated.
pub(super) async fn put_on(context: &StepContext<'_>, target: &TaggedResource, tag: &str) -> Result<bool, Failure> {
    if put(context, target, tag).await? {
        return Ok(true);
    }
    let is_known = context.cloud.fetch(one(tag, "tag:read"), "tag", &[]).await?.is_some();
    let spelled = if is_known { tag.to_owned() } else { create(context, tag).await? };
    if !is_known && spelled == tag {
        return Ok(false);
    }
    if spelled != tag && put(context, target, &spelled).await? {
        return Ok(true);
    }
    // The tag or the resource does not exist, or was just deleted.
    Err(match read(context, target, tag).await? {
        TagState::Gone => target.gone(),
        _ => Failure::Transient(format!("the cloud does not know the tag {tag}")),
    })
}

/// Creates a tag, and returns the spelling of its first creation: tags that differ in case are equal, and the API
/// accepts the first spelling only.
async fn create(context: &StepContext<'_>, tag: &str) -> Result<String, Failure> {
    let tags = Endpoint { route: "/v2/tags", parent: None, id: None, scope: "tag:create" };
    let refused = match context.cloud.send(ChangeMethod::Post, tags, Some(&json!({ "name": tag }))).await {
        Ok(answer) => {
            let spelled = answer.get("tag").and_then(|tag| text(tag, "name"));
            return spelled.map(str::to_owned).ok_or_else(|| unnamed("tag"));
        }
        Err(error) if error.status() == Some(422) => error,
        Err(error) => return Err(error.into()),
    };
    // The tag may already exist.
    let tags = Endpoint { scope: "tag:read", ..tags };
    let tags = context.cloud.rows(tags, "tags", &[]).await?;
    let mut names = tags.iter().filter_map(|tag| text(tag, "name"));
    names.find(|name| name.eq_ignore_ascii_case(tag)).map(str::to_owned).ok_or_else(|| refused.into())
}

/// Tags a resource with a tag in this spelling; false if the API does not know one of both.
async fn put(context: &StepContext<'_>, target: &TaggedResource, spelled: &str) -> Result<bool, Failure> {
    match context
        .cloud
        .send(ChangeMethod::Post, resources(spelled, target.scope_to_tag()), Some(&target.to_json()))
        .await
    {
        Ok(answer) => common::nothing(&answer).map(|()| true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes a tag from a resource, in the resource's spelling.
pub(super) async fn take_off(context: &StepContext<'_>, target: &TaggedResource, spelled: &str) -> Result<(), Failure> {
    let path = resources(spelled, target.scope_to_untag());
    match context.cloud.send(ChangeMethod::Delete, path, Some(&target.to_json())).await {
        Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the tag of an undone step from the account. A tag in use is kept. A missing scope is ignored, so that
/// undoing continues.
pub(super) async fn forget(context: &StepContext<'_>, tag: &str) -> Result<(), Failure> {
    let is_idle = match context.cloud.fetch(one(tag, "tag:read"), "tag", &[]).await {
        Ok(Some(answer)) => answer.pointer("/resources/count").and_then(Value::as_u64) == Some(0),
        Ok(None) | Err(Error::Forbidden { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if !is_idle {
        return Ok(());
    }
    match context.cloud.send(ChangeMethod::Delete, one(tag, "tag:delete"), None).await {
        Ok(_) | Err(Error::NotFound { .. } | Error::Forbidden { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn one<'t>(tag: &'t str, scope: &'static str) -> Endpoint<'t> {
    Endpoint { route: "/v2/tags/{id}", parent: None, id: Some(tag), scope }
}

fn resources<'t>(tag: &'t str, scope: &'static str) -> Endpoint<'t> {
    Endpoint { route: "/v2/tags/{id}/resources", parent: None, id: Some(tag), scope }
}
