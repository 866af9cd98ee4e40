//! What the steps have in common that put tags on resources and take them off.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, ProviderId, text, unnamed};
use crate::{
    digitalocean::{Error, Path, Verb},
    saga::step::{Failure, StepContext},
};

/// What a tag is put on or taken off.
#[derive(Clone, Debug, JsonSchema)]
pub(super) struct Target {
    kind: TaggedKind,
    id: ProviderId,
}

/// The kinds of resources that have tags, as the API calls them here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaggedKind {
    Droplet,
    Volume,
    VolumeSnapshot,
    Image,
    Database,
}

/// What is seen of a tag on a resource.
pub(super) enum TagState {
    /// The resource does not exist.
    Gone,
    /// It has not got the tag.
    Untagged,
    /// It has the tag, and spells it like this.
    Tagged(String),
}

impl Target {
    /// What the parameters of a step say.
    pub(super) fn new(
        droplet: Option<ProviderId>,
        kind: Option<TaggedKind>,
        id: Option<ProviderId>,
    ) -> Result<Self, &'static str> {
        match (droplet, kind, id) {
            // The droplet may be an input that is meant for other steps.
            (_, Some(kind), Some(id)) => Ok(Self { kind, id }),
            (Some(id), None, None) => Ok(Self { kind: TaggedKind::Droplet, id }),
            (None, None, None) => Err("`droplet_provider_id`, or `resource_type` and `resource_id`, must be set"),
            _ => Err("`resource_type` and `resource_id` must be given together"),
        }
    }

    /// Why nothing can be done to it when it is not there.
    pub(super) fn gone(&self) -> Failure {
        Failure::Permanent(format!("there is no {} {}", self.kind.name().replace('_', " "), self.id))
    }

    /// What putting a tag on it takes. The API wants the scope to update the resource too, but for volumes and their
    /// snapshots there is none.
    fn scope_to_tag(&self) -> &'static str {
        match self.kind {
            TaggedKind::Droplet => "tag:create, droplet:update",
            TaggedKind::Volume | TaggedKind::VolumeSnapshot => "tag:create",
            TaggedKind::Image => "tag:create, image:update",
            TaggedKind::Database => "tag:create, database:update",
        }
    }

    /// What taking a tag off it takes.
    fn scope_to_untag(&self) -> &'static str {
        match self.kind {
            TaggedKind::Droplet => "tag:delete, droplet:update",
            TaggedKind::Volume | TaggedKind::VolumeSnapshot => "tag:delete",
            TaggedKind::Image => "tag:delete, image:update",
            TaggedKind::Database => "tag:delete, database:update",
        }
    }

    fn path(&self) -> Path<'_> {
        let (route, scope) = match self.kind {
            TaggedKind::Droplet => ("/v2/droplets/{id}", "droplet:read"),
            TaggedKind::Volume => ("/v2/volumes/{id}", "block_storage:read"),
            TaggedKind::VolumeSnapshot => ("/v2/snapshots/{id}", "snapshot:read"),
            TaggedKind::Image => ("/v2/images/{id}", "image:read"),
            TaggedKind::Database => ("/v2/databases/{id}", "database:read"),
        };
        Path { route, parent: None, id: Some(self.id.as_str()), scope }
    }

    fn to_json(&self) -> Value {
        json!({ "resources": [{ "resource_id": self.id, "resource_type": self.kind.name() }] })
    }
}

impl TaggedKind {
    fn name(self) -> &'static str {
        match self {
            Self::Droplet => "droplet",
            Self::Volume => "volume",
            Self::VolumeSnapshot => "volume_snapshot",
            Self::Image => "image",
            Self::Database => "database",
        }
    }

    /// Under which field a document of it stands in an answer.
    fn envelope(self) -> &'static str {
        if self == Self::VolumeSnapshot { "snapshot" } else { self.name() }
    }
}

/// Looks whether a resource has a tag. Case makes no difference.
pub(super) async fn look(context: &StepContext<'_>, target: &Target, tag: &str) -> Result<TagState, Failure> {
    let document = context.cloud.fetch(target.path(), target.kind.envelope(), &[]).await?;
    let Some(document) = document else { return Ok(TagState::Gone) };
    let tags = match document.get("tags") {
        Some(Value::Array(tags)) => tags.as_slice(),
        Some(Value::Null) => &[],
        // It does not say whether it has tags.
        _ => {
            return Err(Failure::Permanent(
                "reading tags: the response has none; give the token the scope `tag:read`".to_owned(),
            ));
        }
    };
    let spelled = tags.iter().filter_map(Value::as_str).find(|spelled| spelled.eq_ignore_ascii_case(tag));
    Ok(spelled.map_or(TagState::Untagged, |spelled| TagState::Tagged(spelled.to_owned())))
}

/// Puts a tag on a resource, or has the tag created first. Whether it is on the resource then. As often as one likes.
pub(super) async fn put_on(context: &StepContext<'_>, target: &Target, tag: &str) -> Result<bool, Failure> {
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
    // One of both is not there, or has just gone away.
    Err(match look(context, target, tag).await? {
        TagState::Gone => target.gone(),
        _ => Failure::Transient(format!("the cloud does not know the tag {tag}")),
    })
}

/// Has a tag created, and returns it as it was spelled when it was created: one that differs in case only is the same,
/// and only as it was spelled first the API takes it.
async fn create(context: &StepContext<'_>, tag: &str) -> Result<String, Failure> {
    let tags = Path { route: "/v2/tags", parent: None, id: None, scope: "tag:create" };
    let refused = match context.cloud.send(Verb::Post, tags, Some(&json!({ "name": tag }))).await {
        Ok(answer) => {
            let spelled = answer.get("tag").and_then(|tag| text(tag, "name"));
            return spelled.map(str::to_owned).ok_or_else(|| unnamed("tag"));
        }
        Err(error) if error.status() == Some(422) => error,
        Err(error) => return Err(error.into()),
    };
    // Maybe because it is there already.
    let tags = Path { scope: "tag:read", ..tags };
    let tags = context.cloud.rows(tags, "tags", &[]).await?;
    let mut names = tags.iter().filter_map(|tag| text(tag, "name"));
    names.find(|name| name.eq_ignore_ascii_case(tag)).map(str::to_owned).ok_or_else(|| refused.into())
}

/// Puts a tag that is spelled so on a resource; false where the API says that it does not know one of both.
async fn put(context: &StepContext<'_>, target: &Target, spelled: &str) -> Result<bool, Failure> {
    match context.cloud.send(Verb::Post, resources(spelled, target.scope_to_tag()), Some(&target.to_json())).await {
        Ok(answer) => common::nothing(&answer).map(|()| true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes a tag off a resource, spelled as the resource does.
pub(super) async fn take_off(context: &StepContext<'_>, target: &Target, spelled: &str) -> Result<(), Failure> {
    let path = resources(spelled, target.scope_to_untag());
    match context.cloud.send(Verb::Delete, path, Some(&target.to_json())).await {
        Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the tag of a step whose doing is undone: the account would keep it. A tag that is on something stays, and
/// where the token may not remove it, that is no reason not to go on.
pub(super) async fn forget(context: &StepContext<'_>, tag: &str) -> Result<(), Failure> {
    let is_idle = match context.cloud.fetch(one(tag, "tag:read"), "tag", &[]).await {
        Ok(Some(answer)) => answer.pointer("/resources/count").and_then(Value::as_u64) == Some(0),
        Ok(None) | Err(Error::Forbidden { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if !is_idle {
        return Ok(());
    }
    match context.cloud.send(Verb::Delete, one(tag, "tag:delete"), None).await {
        Ok(_) | Err(Error::NotFound { .. } | Error::Forbidden { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn one<'t>(tag: &'t str, scope: &'static str) -> Path<'t> {
    Path { route: "/v2/tags/{id}", parent: None, id: Some(tag), scope }
}

fn resources<'t>(tag: &'t str, scope: &'static str) -> Path<'t> {
    Path { route: "/v2/tags/{id}/resources", parent: None, id: Some(tag), scope }
}
