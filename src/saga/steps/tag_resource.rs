//! The step `TagResource`.

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
pub(super) struct RawTagParameters {
    /// The tag: letters, digits, colons, dashes and underscores. Case is ignored, and the spelling of the first use is
    /// kept.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9_\-:]+$"))]
    tag: String,
    /// The id of the droplet to tag, unless `resource_type` and `resource_id` are set.
    #[serde(default)]
    droplet_provider_id: Option<ProviderId>,
    /// The type of the resource to tag. Snapshots of droplets are images here.
    #[serde(default)]
    resource_type: Option<TaggedKind>,
    /// The id of the resource.
    #[serde(default)]
    resource_id: Option<ProviderId>,
}

/// Tags a resource, and creates a missing tag. Undone by removing the tag from the resource, unless the resource had it
/// before; the tag itself is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "RawTagParameters")]
pub(super) struct Parameters {
    tag: String,
    target: TaggedResource,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    lacked_it: bool,
}

pub(super) struct TagResource;

impl Step for TagResource {
    const NAME: &'static str = "TagResource";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        match parameters.read(context).await? {
            TagState::Gone => Err(parameters.target.gone()),
            TagState::Untagged => Ok(Before { lacked_it: true }),
            TagState::Tagged(_) => Ok(Before { lacked_it: false }),
        }
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { tag, target } = parameters;
        if !before.lacked_it {
            match parameters.read(context).await? {
                TagState::Gone => return Err(target.gone()),
                TagState::Tagged(_) => return Ok(Progress::Done(NoOutput {})),
                TagState::Untagged => {}
            }
        }
        if tagging::put_on(context, target, tag).await? {
            Ok(Progress::Done(NoOutput {}))
        } else {
            Ok(Progress::NotYet { again: SOON, why: format!("waiting until the new tag {tag} is usable") })
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Lookup<NoOutput>, Failure> {
        Ok(match parameters.read(context).await? {
            TagState::Tagged(_) => Lookup::One(Progress::Done(NoOutput {})),
            TagState::Gone | TagState::Untagged => Lookup::Converges,
        })
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        match parameters.read(context).await? {
            TagState::Tagged(spelled) if before.lacked_it => {
                tagging::take_off(context, &parameters.target, &spelled).await?;
                Ok(Undo::Done)
            }
            _ if output.is_some() => Ok(Undo::Done),
            _ => Ok(Undo::NothingThere),
        }
    }
}

impl TryFrom<RawTagParameters> for Parameters {
    type Error = &'static str;

    fn try_from(given: RawTagParameters) -> Result<Self, Self::Error> {
        let target = TaggedResource::new(given.droplet_provider_id, given.resource_type, given.resource_id)?;
        Ok(Self { tag: given.tag, target })
    }
}

impl Parameters {
    async fn read(&self, context: &StepContext<'_>) -> Result<TagState, Failure> {
        tagging::read(context, &self.target, &self.tag).await
    }
}
