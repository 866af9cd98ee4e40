//! The step `RecordProvisioned`.

use std::collections::{BTreeMap, BTreeSet};

use kube::{ResourceExt, api::PatchParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    common::{SOON, any_id, kind_name, nothing_left, text_or_number},
    record::{self, FieldManagers, Fields, NAME, is_of_saga},
};
use crate::{
    api::{CloudResource, DriftPolicy, OPERATOR, ProvisionedResource, ProvisionedResourceSpec, saga::SagaRef},
    digitalocean::Kind,
    drift::{
        record::{RecordTarget, apply},
        record_provisioned,
    },
    saga::step::{Failure, Progress, Step, StepContext, Undo},
};

/// Records the desired state of a resource: creates or updates the `ProvisionedResource` of this name, with a reference
/// to the saga. Undone by deleting the record, or by restoring its earlier fields; changes that people made since are
/// kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The name of the record.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    name: String,
    /// The kind of the resource, such as `Droplet`.
    #[schemars(schema_with = "kind_name")]
    kind: Kind,
    /// The id of the resource.
    #[serde(deserialize_with = "text_or_number")]
    #[schemars(schema_with = "any_id")]
    id: String,
    /// The desired value of each recorded field, as in `spec.desired`.
    desired: BTreeMap<String, Value>,
    /// The person or system that records it, for audits.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    provisioned_by: Option<String>,
}

/// The output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The name of the record.
    name: String,
    /// The UID of the record.
    uid: String,
    /// The generation of the record.
    version: i64,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The UID of the record; none if it did not exist.
    uid: Option<String>,
    /// The earlier values of the fields that the step may change.
    fields: Fields,
    /// The fields among them that the step's field manager owned.
    own: BTreeSet<String>,
}

pub(super) struct RecordProvisioned;

impl Step for RecordProvisioned {
    const NAME: &'static str = "RecordProvisioned";

    type Parameters = Parameters;
    type Output = Output;
    type Before = Before;

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let Some(record) = record::get(context, &parameters.name).await? else { return Ok(Before::default()) };
        let own = FieldManagers::of(&record).own;
        let wanted = record::fields(&spec(context, parameters))?;
        let mut fields = record::fields(&record.spec)?;
        fields.retain(|field, _| own.contains(field) || wanted.contains_key(field));
        Ok(Before { uid: record.uid(), fields, own })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Progress<Output>, Failure> {
        let name = &parameters.name;
        let spec = spec(context, parameters);
        let is_as_before = match record::get(context, name).await? {
            Some(record) if record.metadata.deletion_timestamp.is_some() => {
                return Err(Failure::Transient(format!("ProvisionedResource {name} is being deleted")));
            }
            Some(record) if record.spec.resource != spec.resource => {
                let (is, wanted) = (record.spec.resource.key(), spec.resource.key());
                return Err(Failure::Permanent(format!("ProvisionedResource {name} describes {is}, not {wanted}")));
            }
            Some(record) => before.uid.is_some() && before.uid == record.uid() || made(context, before, &record),
            None => before.uid.is_none(),
        };
        if !is_as_before {
            return Err(Failure::Permanent(format!(
                "ProvisionedResource {name} was created or deleted since this step started"
            )));
        }
        let record = record_provisioned(context.kube, context.namespace, name, &spec).await?;
        let uid = record.uid().unwrap_or_default();
        Ok(Progress::Done(Output { name: name.clone(), uid, version: record.metadata.generation.unwrap_or_default() }))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&Output>,
    ) -> Result<Undo, Failure> {
        let Some(record) = record::get(context, &parameters.name).await? else { return Ok(nothing_left(output)) };
        let is_own = match output {
            Some(output) => record.uid().as_ref() == Some(&output.uid),
            None => made(context, before, &record) || (before.uid == record.uid() && is_of_saga(context, &record)),
        };
        if !is_own {
            return Ok(nothing_left(output));
        }
        if before.uid.is_none() {
            let is_gone = record::delete(context, &record).await?;
            return Ok(if is_gone { Undo::Done } else { Undo::not_yet(SOON) });
        }
        let wanted = record::fields(&spec(context, parameters))?;
        let restored = restored(before, &wanted, &record::fields(&record.spec)?, &FieldManagers::of(&record));
        let target = RecordTarget { name: &parameters.name, uid: record.metadata.uid.as_deref() };
        let params = PatchParams::apply(OPERATOR).force();
        apply(context.kube, context.namespace, target, &record::spec(restored), &params).await?;
        Ok(Undo::Done)
    }
}

fn spec(context: &StepContext<'_>, parameters: &Parameters) -> ProvisionedResourceSpec {
    ProvisionedResourceSpec {
        resource: CloudResource { kind: parameters.kind, id: parameters.id.clone() },
        desired: parameters.desired.clone(),
        drift: DriftPolicy::default(),
        suspend: false,
        provisioned_by: parameters.provisioned_by.clone(),
        saga_ref: Some(SagaRef { name: context.saga.to_owned() }),
    }
}

/// Returns true if an earlier call of this step created the record.
fn made(context: &StepContext<'_>, before: &Before, record: &ProvisionedResource) -> bool {
    before.uid.is_none() && is_of_saga(context, record)
}

/// The fields to apply so that the record has its earlier values again, except where another manager has changed them
/// since. Fields that are applied now and missing here are removed, unless another manager owns them too.
fn restored(before: &Before, wanted: &Fields, now: &Fields, owners: &FieldManagers) -> Fields {
    let belongs = |(field, was): &(&String, &Value)| {
        let is_from_here = before.own.contains(*field);
        if wanted.contains_key(*field) {
            // It is unchanged since the step: a manager that changes a field becomes its owner.
            owners.own.contains(*field) && (is_from_here || !owners.others.contains(*field))
        } else {
            // The step no longer owns it.
            is_from_here && now.get(*field).is_none_or(|now| now == *was)
        }
    };
    before.fields.iter().filter(belongs).map(|(field, was)| (field.clone(), was.clone())).collect()
}
