//! `UnrecordProvisioned`.

use std::{collections::BTreeMap, time::Duration};

use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    common::{NoOutput, SOON},
    record::{self, NAME, Owners},
};
use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceSpec},
    drift::record::{Target, apply},
    kube_ext::call::bounded,
    saga::step::{Failure, Progress, Step, StepContext, Undo},
};

/// Deletes the `ProvisionedResource` of this name, and its drifts with it; the resource itself stays. One that does not
/// exist counts as deleted. Undone by making the record again as it was; its drifts are found anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The record's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    name: String,
}

/// How it was before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Before {
    record: Option<Kept>,
}

/// A record as it was.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    uid: String,
    spec: ProvisionedResourceSpec,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// The step.
pub struct UnrecordProvisioned;

impl Step for UnrecordProvisioned {
    const NAME: &'static str = "UnrecordProvisioned";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let record = record::get(context, &parameters.name).await?;
        Ok(Before { record: record.map(|record| Kept::of(&record)) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        // Only the record that was kept is deleted: not one that somebody has made in its place.
        let Some(kept) = &before.record else { return Ok(Progress::Done(NoOutput {})) };
        let record = record::get(context, &parameters.name).await?;
        let Some(record) = record.filter(|record| kept.is(record)) else { return Ok(Progress::Done(NoOutput {})) };
        if record::delete(context, &record).await? {
            return Ok(Progress::Done(NoOutput {}));
        }
        let held = record.finalizers().join(", ");
        Ok(Progress::NotYet { again: SOON, why: format!("waiting for its finalizers: {held}") })
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        _: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let Some(kept) = &before.record else { return Ok(Undo::Done) };
        match record::get(context, &parameters.name).await? {
            Some(record) if kept.is(&record) && record.metadata.deletion_timestamp.is_some() => Ok(Undo::not_yet(SOON)),
            Some(record) if kept.is(&record) => Ok(Undo::NothingThere),
            // Somebody else was quicker: what they say stands.
            Some(record) if record.spec != kept.spec || Owners::of(&record).own.is_empty() => Ok(Undo::Done),
            Some(record) => kept.label(context, &record).await,
            None => {
                let target = Target { name: &parameters.name, uid: None };
                // Without force: nothing is taken from one that somebody makes at the same time.
                let params = PatchParams::apply(OPERATOR);
                let made = apply(context.kube, context.namespace, target, &kept.spec, &params).await?;
                Ok(if kept.is_labelled(&made) { Undo::Done } else { Undo::not_yet(Duration::ZERO) })
            }
        }
    }
}

impl Kept {
    fn of(record: &ProvisionedResource) -> Self {
        Self {
            uid: record.uid().unwrap_or_default(),
            spec: record.spec.clone(),
            labels: record.labels().clone(),
            annotations: record.annotations().clone(),
        }
    }

    /// Whether this is the record itself, not another of its name.
    fn is(&self, record: &ProvisionedResource) -> bool {
        record.uid().as_ref() == Some(&self.uid)
    }

    fn is_labelled(&self, record: &ProvisionedResource) -> bool {
        let has =
            |kept: &BTreeMap<_, _>, there: &BTreeMap<_, _>| kept.keys().all(|key: &String| there.contains_key(key));
        has(&self.labels, record.labels()) && has(&self.annotations, record.annotations())
    }

    /// Gives the record that was made again its labels and annotations. They are not among what is recorded from here:
    /// recording it anew must not take them away.
    async fn label(&self, context: &StepContext<'_>, record: &ProvisionedResource) -> Result<Undo, Failure> {
        if self.is_labelled(record) {
            return Ok(Undo::Done);
        }
        let name = record.name_any();
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let metadata = json!({ "uid": record.uid(), "labels": self.labels, "annotations": self.annotations });
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let doing = format!("labelling ProvisionedResource {}/{name}", context.namespace);
        bounded(&doing, record::records(context).patch(&name, &params, &patch)).await?;
        Ok(Undo::Done)
    }
}
