//! The declaration of a recorded field by a manifest, which a GitOps engine or a pipeline applies repeatedly. Pure.
//!
//! An accepted value must not overwrite a declared one: the next apply would restore the declared value, and the same
//! drift would open again.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use crate::api::{AcceptPolicy, AcceptanceMode, OPERATOR, annotations, drift::EXISTS, managed_fields};

/// The annotation of a client-side apply by `kubectl apply` or Argo CD.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Labels and annotations of engines whose applies may be recorded as updates, like those of any other client: by their
/// keys and, if the key is ambiguous, their values.
const LABELS: [(&str, Option<&str>); 4] = [
    ("kustomize.toolkit.fluxcd.io/name", None),
    ("helm.toolkit.fluxcd.io/name", None),
    ("argocd.argoproj.io/instance", None),
    ("app.kubernetes.io/managed-by", Some("Helm")),
];
const ANNOTATIONS: [&str; 2] = ["argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name"];

/// Argo CD's own label, which other tools set too: it only counts together with a field manager of Argo CD.
const INSTANCE: &str = "app.kubernetes.io/instance";
const ARGO_CD: &str = "argocd";

/// The recorded fields that a manifest declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeclaredFields {
    /// No field.
    #[default]
    Nothing,
    /// All fields.
    Everything,
    /// These fields.
    Fields(BTreeSet<Box<str>>),
}

impl DeclaredFields {
    /// Reads the declaration from the metadata of a record with these desired values.
    #[must_use]
    pub fn of<V>(metadata: &ObjectMeta, desired: &BTreeMap<String, V>) -> Self {
        let declared = declared(metadata, desired);
        let fields: BTreeSet<Box<str>> =
            desired.keys().filter(|field| declared.contains(*field)).map(|field| field.as_str().into()).collect();
        match fields.len() {
            // A record without fields can be declared too: it is about the resource itself.
            _ if desired.is_empty() && is_declared(metadata) => Self::Everything,
            0 => Self::Nothing,
            all if all == desired.len() => Self::Everything,
            _ => Self::Fields(fields),
        }
    }

    /// Returns true if a manifest declares the field. A manifest that declares any field also declares the record, and
    /// so the existence of the resource.
    #[must_use]
    pub fn holds(&self, field: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Fields(fields) => field == EXISTS || fields.contains(field),
        }
    }
}

/// The place of the accepted value of a field. None if the policy excludes an acceptance with an end.
#[must_use]
pub(crate) fn mode(
    policy: AcceptPolicy,
    declared: &DeclaredFields,
    field: &str,
    has_end: bool,
) -> Option<AcceptanceMode> {
    match policy {
        AcceptPolicy::InPlace if has_end => None,
        AcceptPolicy::InPlace => Some(AcceptanceMode::InPlace),
        AcceptPolicy::Auto if !has_end && !declared.holds(field) => Some(AcceptanceMode::InPlace),
        AcceptPolicy::Auto | AcceptPolicy::Standing => Some(AcceptanceMode::Standing),
    }
}

/// The names of the fields that a manifest declares.
fn declared<V>(metadata: &ObjectMeta, desired: &BTreeMap<String, V>) -> BTreeSet<String> {
    let mut declared = last_applied(metadata).unwrap_or_default();
    let is_marked = is_marked(metadata);
    let entries: Vec<_> = entries(metadata).collect();
    if is_marked && entries.is_empty() {
        // The managed fields were removed.
        declared.extend(desired.keys().cloned());
    }
    for entry in entries.into_iter().filter(|entry| is_marked || managed_fields::is_apply(entry)) {
        let fields = managed_fields::of_spec(entry).into_iter();
        declared.extend(fields.filter_map(|name| name.strip_prefix(managed_fields::DESIRED).map(str::to_owned)));
    }
    declared
}

/// Returns true if a manifest declares the record.
fn is_declared(metadata: &ObjectMeta) -> bool {
    last_applied(metadata).is_some() || is_marked(metadata) || entries(metadata).any(managed_fields::is_apply)
}

/// The entries of other managers about the object itself.
fn entries(metadata: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let entries = metadata.managed_fields.iter().flatten();
    entries.filter(|entry| managed_fields::is_of_object(entry) && entry.manager.as_deref() != Some(OPERATOR))
}

fn last_applied(metadata: &ObjectMeta) -> Option<BTreeSet<String>> {
    let applied: Value = serde_json::from_str(annotations::value(metadata, LAST_APPLIED)?).ok()?;
    let desired = applied.pointer("/spec/desired").and_then(Value::as_object);
    Some(desired.into_iter().flat_map(|desired| desired.keys().cloned()).collect())
}

/// Returns true if an engine marked the record as its own.
fn is_marked(metadata: &ObjectMeta) -> bool {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let is_set =
        |(key, value): &(&str, Option<&str>)| label(key).is_some_and(|text| value.is_none_or(|value| text == value));
    let is_annotated = |key: &&str| annotations::value(metadata, key).is_some();
    let is_argo_cd =
        |entry: &ManagedFieldsEntry| entry.manager.as_deref().is_some_and(|name| name.starts_with(ARGO_CD));
    LABELS.iter().any(is_set)
        || ANNOTATIONS.iter().any(is_annotated)
        || (label(INSTANCE).is_some() && entries(metadata).any(is_argo_cd))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::ProvisionedResource;

    fn record(metadata: &Value) -> ProvisionedResource {
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": metadata,
            "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": { "name": "web-1", "tags": ["web"] } },
        }))
        .unwrap()
    }

    fn entry(manager: &str, operation: &str, fields: &[&str]) -> Value {
        let fields: serde_json::Map<_, _> = fields.iter().map(|field| (format!("f:{field}"), json!({}))).collect();
        json!({
            "manager": manager, "operation": operation, "apiVersion": "arcadia.cloud/v1alpha1",
            "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:desired": fields } },
        })
    }

    fn declared(metadata: &Value) -> DeclaredFields {
        let record = record(metadata);
        DeclaredFields::of(&record.metadata, &record.spec.desired)
    }

    fn only(field: &str) -> DeclaredFields {
        DeclaredFields::Fields([field.into()].into())
    }

    #[test]
    fn an_apply_of_another_manager_declares_its_fields_and_an_update_none() {
        for (entry, expected) in [
            (entry("kubectl", "Apply", &["name"]), only("name")),
            (entry("kustomize-controller", "Apply", &["name", "tags"]), DeclaredFields::Everything),
            (entry("kubectl-create", "Update", &["name", "tags"]), DeclaredFields::Nothing),
            (entry("arcadia-operator", "Apply", &["name"]), DeclaredFields::Nothing),
        ] {
            assert_eq!(declared(&json!({ "managedFields": [entry] })), expected, "{entry}");
        }
        let mut status = entry("kubectl", "Apply", &["name"]);
        status["subresource"] = json!("status");
        assert_eq!(declared(&json!({ "managedFields": [status] })), DeclaredFields::Nothing);
    }

    #[test]
    fn what_kubectl_applied_last_is_declared() {
        let applied = json!({ "spec": { "desired": { "tags": [] } } }).to_string();
        let of = |text: &str| declared(&json!({ "annotations": { LAST_APPLIED: text } }));
        assert_eq!(of(&applied), only("tags"));
        assert_eq!(of("{}"), DeclaredFields::Nothing);
        assert_eq!(of("not JSON"), DeclaredFields::Nothing);
    }

    #[test]
    fn the_marks_of_engines_make_their_updates_declarations() {
        let by = |manager: &str| json!([entry(manager, "Update", &["name"])]);
        for (metadata, expected) in [
            (json!({ "labels": { "helm.toolkit.fluxcd.io/name": "x" }, "managedFields": by("helm-controller") }), true),
            (json!({ "labels": { "kustomize.toolkit.fluxcd.io/name": "x" }, "managedFields": by("flux") }), true),
            (json!({ "labels": { "app.kubernetes.io/managed-by": "Helm" }, "managedFields": by("helm") }), true),
            (json!({ "labels": { "app.kubernetes.io/managed-by": "me" }, "managedFields": by("helm") }), false),
            (json!({ "annotations": { "argocd.argoproj.io/tracking-id": "x" }, "managedFields": by("x") }), true),
            (json!({ "labels": { INSTANCE: "x" }, "managedFields": by("argocd-controller") }), true),
            (json!({ "labels": { INSTANCE: "x" }, "managedFields": by("kubectl-create") }), false),
        ] {
            let expected = if expected { only("name") } else { DeclaredFields::Nothing };
            assert_eq!(declared(&metadata), expected, "{metadata}");
        }
        // The managed fields were removed, as some tools do.
        assert_eq!(
            declared(&json!({ "labels": { "app.kubernetes.io/managed-by": "Helm" } })),
            DeclaredFields::Everything
        );
        // No engine owns a field that only the operator wrote.
        let labels = json!({ "app.kubernetes.io/managed-by": "Helm" });
        let entries = json!([entry("helm", "Update", &["name"]), entry(OPERATOR, "Update", &["tags"])]);
        assert_eq!(declared(&json!({ "labels": labels, "managedFields": entries })), only("name"));
    }

    #[test]
    fn existence_is_declared_with_any_field() {
        assert!(only("name").holds(EXISTS) && DeclaredFields::Everything.holds(EXISTS));
        assert!(!only("name").holds("tags") && !DeclaredFields::Nothing.holds(EXISTS));
    }

    #[test]
    fn the_policy_of_the_record_and_an_end_choose_the_mode() {
        use AcceptPolicy::{Auto, InPlace, Standing};
        let of = |policy, field, has_end| mode(policy, &only("name"), field, has_end);
        assert_eq!(of(Auto, "name", false), Some(AcceptanceMode::Standing));
        assert_eq!(of(Auto, "tags", false), Some(AcceptanceMode::InPlace));
        assert_eq!(of(Auto, "tags", true), Some(AcceptanceMode::Standing));
        assert_eq!(of(InPlace, "name", false), Some(AcceptanceMode::InPlace));
        assert_eq!(of(InPlace, "name", true), None);
        assert_eq!(of(Standing, "tags", false), Some(AcceptanceMode::Standing));
    }
}
