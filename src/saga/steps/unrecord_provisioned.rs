//! The step `UnrecordProvisioned`.

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
    record::{self, FieldManagers, NAME},
};
use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceSpec},
    drift::record::{RecordTarget, apply},
    kube_ext::call::bounded,
    saga::step::{Failure, Progress, Step, StepContext, Undo},
};

/// Deletes the `ProvisionedResource` of this name and its drifts; the cloud resource is kept. A record that does not
/// exist counts as deleted. Undone by creating the record again; its drifts are detected again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The name of the record.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    name: String,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    record: Option<Kept>,
}

/// A record before its deletion.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    uid: String,
    spec: ProvisionedResourceSpec,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

pub(super) struct UnrecordProvisioned;

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
        // Deletes only the record that was read before, not a later one of the same name.
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
            // Another user has created the record meanwhile: theirs is kept.
            Some(record) if record.spec != kept.spec || FieldManagers::of(&record).own.is_empty() => Ok(Undo::Done),
            Some(record) => kept.label(context, &record).await,
            None => {
                let target = RecordTarget { name: &parameters.name, uid: None };
                // Without force: a record that another user creates at the same time is kept.
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

    /// Returns true if this is the same record, by UID.
    fn is(&self, record: &ProvisionedResource) -> bool {
        record.uid().as_ref() == Some(&self.uid)
    }

    fn is_labelled(&self, record: &ProvisionedResource) -> bool {
        let has =
            |kept: &BTreeMap<_, _>, there: &BTreeMap<_, _>| kept.keys().all(|key: &String| there.contains_key(key));
        has(&self.labels, record.labels()) && has(&self.annotations, record.annotations())
    }

    /// Restores the labels and annotations of the created record. They are patched, not applied: a later
    /// `RecordProvisioned` must not remove them.
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
