//! `ProvisionedResource`: the expected fields of one cloud resource. `kubectl apply` creates and updates it; the
//! object's generation is the version of the record.

use std::collections::BTreeMap;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    conditions::ConditionReason,
    saga::SagaRef,
    schema::{self, CloudResource},
};

/// The expected fields of one cloud resource.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "arcadia.cloud",
    version = "v1alpha1",
    kind = "ProvisionedResource",
    plural = "provisionedresources",
    shortname = "pr",
    category = "arcadia",
    namespaced,
    status = "ProvisionedResourceStatus",
    derive = "PartialEq",
    selectable = ".spec.resource.kind",
    selectable = ".spec.resource.id",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.resource.kind"),
    printcolumn(name = "ID", type_ = "string", json_path = ".spec.resource.id"),
    printcolumn(name = "InSync", type_ = "string", json_path = ".status.conditions[?(@.type=='InSync')].status"),
    printcolumn(name = "Drifts", type_ = "integer", json_path = ".status.openDrifts"),
    printcolumn(
        name = "Fields",
        type_ = "string",
        json_path = ".status.driftedFieldsShort",
        priority = 1,
        description = "The fields that have an open Drift, in short form"
    ),
    printcolumn(
        name = "Difference",
        type_ = "string",
        json_path = ".status.differenceShort",
        priority = 1,
        description = "The first of these fields with both values, in short form"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        priority = 1,
        description = "The reason of InSync or, unless Ready is True, of Ready"
    ),
    printcolumn(
        name = "Manifest",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='ManifestCurrent')].status",
        priority = 1,
        description = "False while an accepted value stands in for what a manifest declares"
    ),
    printcolumn(name = "Version", type_ = "integer", json_path = ".metadata.generation", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    doc = "The expected fields of one cloud resource. The operator opens a Drift for each field that differs in the cloud."
)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionedResourceSpec {
    /// The live resource. Immutable.
    pub resource: CloudResource,

    /// The expected value of each recorded field: a scalar, a list (compared as a set) or a map (compared by the keys
    /// recorded here). A name is a field of the kind, such as `size_slug`, or a dotted path into the document that the
    /// provider's API returns. Fields that are not recorded are never compared.
    #[schemars(schema_with = "schema::desired_fields")]
    pub desired: BTreeMap<String, Value>,

    /// The treatment of drift.
    #[serde(default, skip_serializing_if = "DriftPolicy::is_default")]
    pub drift: DriftPolicy,

    /// While true, the operator does not compare the record, and opens, closes, accepts and reverts no drift. Decisions and
    /// acceptances can still be withdrawn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// The author of the record, for people and audits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub provisioned_by: Option<String>,

    /// The saga that created the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga_ref: Option<SagaRef>,
}

/// The treatment of drift of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftPolicy {
    /// Recorded fields that are not compared. `Ready` names fields in it that are not recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub ignore: Vec<String>,

    /// The place of accepted values.
    #[serde(default, skip_serializing_if = "AcceptPolicy::is_default")]
    pub accept: AcceptPolicy,
}

/// The place of accepted values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AcceptPolicy {
    /// In `spec.desired`; on the Drift if a manifest declares the field or the acceptance has an end.
    #[default]
    Auto,
    /// Always in `spec.desired`. A manifest that declares the field puts its own value back. Acceptances without an end
    /// that stand on a Drift move into `spec.desired`.
    InPlace,
    /// Always on the Drift.
    Standing,
}

impl AcceptPolicy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl DriftPolicy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The result of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionedResourceStatus {
    /// The version of the record that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The number of open drifts.
    #[serde(default)]
    pub open_drifts: i32,

    /// The fields of the open drifts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifted_fields: Vec<String>,

    /// `driftedFields` in at most 40 columns, for lists of records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub drifted_fields_short: String,

    /// The first drifted field with its desired and its live value, in at most 60 columns, for lists of records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub difference_short: String,

    /// The reason of `InSync` or, unless `Ready` is True, of `Ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,

    /// No longer written; `metadata.creationTimestamp` is the same time.
    // An earlier version still does, which needs the definition: an apply of an undeclared field is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned_at: Option<Time>,

    /// The time at which the operator first read the live resource. Missing if it was never seen in this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_at: Option<Time>,

    /// The last value of `arcadia.cloud/sync-requested-at` that was handled. A request waits if the list fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_sync_at: Option<String>,

    /// The name of each certificate that the record mentions by its id. A renewal replaces the id and keeps the name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,

    /// The acceptances that stand in for what a manifest declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["field"]))]
    pub acceptances: Vec<StandingAcceptance>,

    /// `Ready`, `InSync` and `ManifestCurrent`; `Reconciling` and `Stalled` while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// An acceptance that stands in for what a manifest declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingAcceptance {
    /// The recorded field.
    #[schemars(length(min = 1, max = 4096))]
    pub field: String,

    /// The Drift that carries the accepted value.
    #[schemars(length(min = 1, max = 253))]
    pub drift: String,

    /// The accepted value in short form. `status.acceptance.value` of the Drift is the whole value.
    #[schemars(length(max = 256))]
    pub accepted: String,

    /// The declared value in short form. `status.acceptance.declared` of the Drift is the whole value.
    #[schemars(length(max = 256))]
    pub declared: String,

    /// The time of the decision.
    pub since: Time,

    /// The time at which the acceptance ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// The definition, with the parts that the derive macro cannot express.
pub(super) fn crd() -> CustomResourceDefinition {
    let mut crd = ProvisionedResource::crd();
    // A new record must not count as finished: kstatus treats it as in progress while `observedGeneration` differs. The
    // API server fills in this default, so that it costs no write. It has no conditions, since it cannot know their
    // transition times.
    schema::amend(&mut crd, &["status"], |status| {
        status.default =
            Some(JSON(json!({ "observedGeneration": 0, "openDrifts": 0, "reason": ConditionReason::Pending })));
        // The names of its fields would take half of what the API server stores of a record. `spec.desired` is not
        // atomic: each of its fields may have its own manager.
        schema::atomic(status);
    });
    schema::amend(&mut crd, &["spec", "resource"], |resource| {
        schema::atomic(resource);
        resource.x_kubernetes_validations.get_or_insert_default().push(schema::immutable(
            "resource must not change: it names the live resource of this record; \
             create another ProvisionedResource for another resource",
        ));
    });
    crd
}
