//! The step `UntagResource`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NoOutput, ProviderId, SOON},
    tagging::{self, TagState, TaggedKind, TaggedResource},
};
use crate::saga::step::{Failure, Lookup, Progress, Step, StepContext, Undo};

/// The unvalidated parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUntagParameters {
    /// The tag: letters, digits, colons, dashes and underscores. Case is ignored.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9_\-:]+$"))]
    tag: String,
    /// The id of the droplet to untag, unless `resource_type` and `resource_id` are set.
    #[serde(default)]
    droplet_provider_id: Option<ProviderId>,
    /// The type of the resource to untag. Snapshots of droplets are images here.
    #[serde(default)]
    resource_type: Option<TaggedKind>,
    /// The id of the resource.
    #[serde(default)]
    resource_id: Option<ProviderId>,
}

/// Removes a tag from a resource; the tag itself is kept. Undone by adding it again, if the resource had it before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "RawUntagParameters")]
pub(super) struct Parameters {
    tag: String,
    target: TaggedResource,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The resource's spelling of the tag, if it had the tag.
    had: Option<String>,
}

pub(super) struct UntagResource;

impl Step for UntagResource {
    const NAME: &'static str = "UntagResource";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        match parameters.read(context).await? {
            TagState::Gone => Err(parameters.target.gone()),
            TagState::Untagged => Ok(Before { had: None }),
            TagState::Tagged(spelled) => Ok(Before { had: Some(spelled) }),
        }
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let target = &parameters.target;
        match &before.had {
            Some(spelled) => tagging::take_off(context, target, spelled).await?,
            None => match parameters.read(context).await? {
                TagState::Gone => return Err(target.gone()),
                TagState::Untagged => {}
                TagState::Tagged(spelled) => tagging::take_off(context, target, &spelled).await?,
            },
        }
        Ok(Progress::Done(NoOutput {}))
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Lookup<NoOutput>, Failure> {
        Ok(match parameters.read(context).await? {
            TagState::Untagged => Lookup::One(Progress::Done(NoOutput {})),
            TagState::Gone | TagState::Tagged(_) => Lookup::Converges,
        })
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        match (parameters.read(context).await?, &before.had) {
            (TagState::Untagged, Some(tag)) => {
                let is_on = tagging::put_on(context, &parameters.target, tag).await?;
                Ok(if is_on { Undo::Done } else { Undo::not_yet(SOON) })
            }
            _ if output.is_some() => Ok(Undo::Done),
            _ => Ok(Undo::NothingThere),
        }
    }
}

impl TryFrom<RawUntagParameters> for Parameters {
    type Error = &'static str;

    fn try_from(given: RawUntagParameters) -> Result<Self, Self::Error> {
        let target = TaggedResource::new(given.droplet_provider_id, given.resource_type, given.resource_id)?;
        Ok(Self { tag: given.tag, target })
    }
}

impl Parameters {
    async fn read(&self, context: &StepContext<'_>) -> Result<TagState, Failure> {
        tagging::read(context, &self.target, &self.tag).await
    }
}
