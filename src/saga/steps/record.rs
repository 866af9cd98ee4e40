//! Parts that the record steps share: reading and deleting a record, and the owners of its fields.

use std::collections::{BTreeMap, BTreeSet};

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::{Map, Value};

use crate::{
    api::{
        Drift, ProvisionedResource, ProvisionedResourceSpec,
        managed_fields::{self, DESIRED},
    },
    comparison::secret,
    digitalocean::{Beside, ResourceKey},
    drift::known::KnownDrift,
    kube_ext::call::{self, bounded},
    saga::step::{Failure, StepContext},
};

/// The fields of a spec: `desired.size_slug` for each recorded value, and the others by their names.
pub(super) type Fields = BTreeMap<String, Value>;

/// A valid name of a record: a DNS subdomain (RFC 1123).
pub(super) const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The records in the saga's namespace.
pub(super) fn records(context: &StepContext<'_>) -> Api<ProvisionedResource> {
    Api::namespaced(context.kube.clone(), context.namespace)
}

/// Reads a record.
pub(super) async fn get(context: &StepContext<'_>, name: &str) -> Result<Option<ProvisionedResource>, Failure> {
    let doing = format!("reading ProvisionedResource {}/{name}", context.namespace);
    Ok(bounded(&doing, records(context).get_opt(name)).await?)
}

/// The effective desired value of a field of a record; none if the record does not contain the field. A standing
/// accepted value is read from its Drift.
pub(super) async fn desired(
    context: &StepContext<'_>,
    record: &ProvisionedResource,
    field: &str,
) -> Result<Option<Value>, Failure> {
    let declared = || record.spec.desired.get(field).cloned();
    let mut acceptances = record.status.iter().flat_map(|status| &status.acceptances);
    let Some(stands) = acceptances.find(|stands| stands.field == field) else { return Ok(declared()) };
    let drifts: Api<Drift> = Api::namespaced(context.kube.clone(), context.namespace);
    let doing = format!("reading Drift {}/{}", context.namespace, stands.drift);
    let drift = bounded(&doing, drifts.get_opt(&stands.drift)).await?;
    let value = match drift.as_ref().and_then(KnownDrift::standing_of) {
        None => return Ok(declared()),
        Some(standing) => standing.accepted(),
    };
    if secret::is_hidden(&value) {
        return Err(Failure::Permanent(format!(
            "the accepted value of {field} holds a credential, which Drift {} keeps as a fingerprint; commit it to the \
             manifest first",
            stands.drift
        )));
    }
    Ok(Some(value))
}

/// Reads the record of this name, which must be about this resource.
pub(super) async fn about(
    context: &StepContext<'_>,
    name: &str,
    key: &ResourceKey,
) -> Result<ProvisionedResource, Failure> {
    let what = format!("ProvisionedResource {}/{name}", context.namespace);
    let record = get(context, name).await?.ok_or_else(|| Failure::Permanent(format!("{what} does not exist")))?;
    let is = record.spec.resource.key();
    if is == *key { Ok(record) } else { Err(Failure::Permanent(format!("{what} describes {is}, not {key}"))) }
}

/// The record for which a live resource is compared.
pub(super) fn beside(record: &ProvisionedResource) -> Beside {
    let certificates = record.status.as_ref().map(|status| status.certificates.clone()).unwrap_or_default();
    Beside { desired: record.spec.desired.clone(), certificates }
}

/// The effective desired value of a field of a record, which must contain the field.
pub(super) async fn desired_value(
    context: &StepContext<'_>,
    record: &ProvisionedResource,
    field: &str,
) -> Result<Value, Failure> {
    let name = record.name_any();
    let value = desired(context, record, field).await?;
    value.ok_or_else(|| {
        Failure::Permanent(format!("ProvisionedResource {}/{name} no longer records {field}", context.namespace))
    })
}

/// Deletes this record by UID. Returns whether it is deleted: finalizers may delay that.
pub(super) async fn delete(context: &StepContext<'_>, record: &ProvisionedResource) -> Result<bool, Failure> {
    if record.metadata.deletion_timestamp.is_some() {
        return Ok(false);
    }
    let name = record.name_any();
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: record.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    let doing = format!("deleting ProvisionedResource {}/{name}", context.namespace);
    match bounded(&doing, records(context).delete(&name, &params)).await {
        Ok(answer) => Ok(answer.is_right()),
        Err(call::Error::NotFound { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Returns true if this saga created a record, by a field that only the operator owns.
pub(super) fn is_of_saga(context: &StepContext<'_>, record: &ProvisionedResource) -> bool {
    let is_named = record.spec.saga_ref.as_ref().is_some_and(|saga| saga.name == context.saga);
    is_named && FieldManagers::of(record).own.contains("sagaRef")
}

/// The fields of a spec, one by one.
pub(super) fn fields(spec: &ProvisionedResourceSpec) -> Result<Fields, Failure> {
    let Value::Object(spec) = serde_json::to_value(spec).map_err(Failure::permanent)? else {
        return Ok(Fields::new());
    };
    let mut fields = Fields::new();
    for (name, value) in spec {
        match value {
            Value::Object(desired) if name == "desired" => {
                fields.extend(desired.into_iter().map(|(field, value)| (format!("{DESIRED}{field}"), value)));
            }
            value => drop(fields.insert(name, value)),
        }
    }
    Ok(fields)
}

/// The part of a spec with these fields. `desired` is always present, since every record needs it.
pub(super) fn spec(fields: Fields) -> Value {
    let mut desired = Map::new();
    let mut spec = Map::new();
    for (name, value) in fields {
        match name.strip_prefix(DESIRED) {
            Some(field) => desired.insert(field.to_owned(), value),
            None => spec.insert(name, value),
        };
    }
    spec.insert("desired".to_owned(), Value::Object(desired));
    Value::Object(spec)
}

/// The owners of a record's fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldManagers {
    /// Fields that the step's field manager owns. A manager that changes one becomes its owner.
    pub(super) own: BTreeSet<String>,
    /// Fields that other managers own, including the operator when it adopts a live value.
    pub(super) others: BTreeSet<String>,
}

impl FieldManagers {
    pub(super) fn of(record: &ProvisionedResource) -> Self {
        let mut owners = Self::default();
        for entry in record.metadata.managed_fields.iter().flatten() {
            if managed_fields::is_of_object(entry) {
                let is_own = managed_fields::is_own_apply(entry);
                if is_own { &mut owners.own } else { &mut owners.others }.extend(managed_fields::of_spec(entry));
            }
        }
        owners
    }
}
