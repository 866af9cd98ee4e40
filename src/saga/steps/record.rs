//! What the steps about records have in common: reading and deleting one, and telling whose field is whose.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::{Map, Value};

use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceSpec},
    kube_ext::call::{self, bounded},
    saga::step::{Failure, StepContext},
};

/// Fields of a spec: `desired.size_slug` for each recorded value, and the others by their names.
pub(super) type Fields = BTreeMap<String, Value>;

/// What Kubernetes takes for the name of a record: a DNS subdomain (RFC 1123).
pub(super) const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Between `desired` and the field that is recorded there.
const DESIRED: &str = "desired.";

/// The records of the saga's namespace.
pub(super) fn records(context: &StepContext<'_>) -> Api<ProvisionedResource> {
    Api::namespaced(context.kube.clone(), context.namespace)
}

/// A record as it is.
pub(super) async fn get(context: &StepContext<'_>, name: &str) -> Result<Option<ProvisionedResource>, Failure> {
    let doing = format!("reading ProvisionedResource {}/{name}", context.namespace);
    Ok(bounded(&doing, records(context).get_opt(name)).await?)
}

/// Deletes this very record, not one that has its name since. Whether it is gone: finalizers may hold it.
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

/// Whether a record says that this saga made it, by the operator's word and nobody else's.
pub(super) fn is_of_saga(context: &StepContext<'_>, record: &ProvisionedResource) -> bool {
    let is_named = record.spec.saga_ref.as_ref().is_some_and(|saga| saga.name == context.saga);
    is_named && Owners::of(record).own.contains("sagaRef")
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

/// The part of a spec that these fields make up. `desired` is always there, since no record goes without.
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

/// Whose field is whose.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// Fields that were recorded from here, as `record_provisioned` does. Whoever changes one takes it over.
    pub(super) own: BTreeSet<String>,
    /// Fields that others have written, the operator when it adopts a live value among them.
    pub(super) others: BTreeSet<String>,
}

impl Owners {
    pub(super) fn of(record: &ProvisionedResource) -> Self {
        let mut owners = Self::default();
        for entry in record.metadata.managed_fields.iter().flatten() {
            if entry.subresource.as_deref().unwrap_or_default().is_empty() {
                let is_own = entry.manager.as_deref() == Some(OPERATOR) && entry.operation.as_deref() == Some("Apply");
                if is_own { &mut owners.own } else { &mut owners.others }.extend(written(entry));
            }
        }
        owners
    }
}

/// The fields of the spec that an entry of `managedFields` lists.
fn written(entry: &ManagedFieldsEntry) -> Vec<String> {
    let names = |fields: Option<&Value>| -> Vec<(String, Value)> {
        let fields = fields.and_then(Value::as_object).into_iter().flatten();
        fields.filter_map(|(name, below)| Some((name.strip_prefix("f:")?.to_owned(), below.clone()))).collect()
    };
    let spec = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
    let mut written = Vec::new();
    for (name, below) in names(spec) {
        if name == "desired" {
            written.extend(names(Some(&below)).into_iter().map(|(field, _)| format!("{DESIRED}{field}")));
        } else {
            written.push(name);
        }
    }
    written
}
