//! The owners of a record's fields, read from `metadata.managedFields`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use super::OPERATOR;

/// The fields of the spec that one entry owns: `desired.size_slug` for each recorded value, and the others by their
/// names.
#[must_use]
pub(crate) fn of_spec(entry: &ManagedFieldsEntry) -> Vec<String> {
    let spec = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
    let mut owned = Vec::new();
    for (name, below) in names(spec) {
        if name == "desired" {
            owned.extend(names(Some(below)).map(|(field, _)| format!("{DESIRED}{field}")));
        } else {
            owned.push(name.to_owned());
        }
    }
    owned
}

/// The prefix of recorded fields.
pub(crate) const DESIRED: &str = "desired.";

/// Returns true if an entry is about the object itself, not about a subresource such as its status.
#[must_use]
pub(crate) fn is_of_object(entry: &ManagedFieldsEntry) -> bool {
    entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Returns true if an entry owns a part of the status. An entry about the status may own other fields instead.
#[must_use]
pub(crate) fn owns_status(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:status").is_some())
}

/// Returns true if an entry is of an apply by the operator.
#[must_use]
pub(crate) fn is_own_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(OPERATOR) && is_apply(entry)
}

/// Returns true if an entry is of an apply.
#[must_use]
pub(crate) fn is_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.operation.as_deref() == Some("Apply")
}

fn names(fields: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let fields = fields.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, below)| Some((name.strip_prefix("f:")?, below)))
}
