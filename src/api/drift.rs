//! `Drift`: one recorded field whose live value differs from the desired one, and its resolution.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::IntoStaticStr;

use super::{
    conditions::{self, Claim, ConditionReason, ConditionStatus},
    saga::SagaRef,
    schema::{self, CloudResource},
};

pub use crate::digitalocean::revert::RevertClass;

/// The field under which the loss of a whole resource is reported.
pub const EXISTS: &str = "exists";

/// One field of one record that diverged. Written by the operator only.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "arcadia.cloud",
    version = "v1alpha1",
    kind = "Drift",
    plural = "drifts",
    shortname = "dr",
    category = "arcadia",
    namespaced,
    status = "DriftStatus",
    derive = "PartialEq",
    selectable = ".status.phase",
    selectable = ".spec.field",
    selectable = ".spec.resourceRef.name",
    selectable = ".spec.resource.kind",
    printcolumn(name = "Resource", type_ = "string", json_path = ".spec.resourceRef.name"),
    // A union returns the first existing field: the full text if there is no short form.
    printcolumn(name = "Field", type_ = "string", json_path = ".spec['fieldShort','field']"),
    printcolumn(
        name = "Expected",
        type_ = "string",
        json_path = ".spec['expectedShort','expected']",
        description = "The desired value in short form; of a composite value, the first part that differs"
    ),
    printcolumn(
        name = "Actual",
        type_ = "string",
        json_path = ".spec['actualShort','actual']",
        description = "The live value when the drift was found, in short form"
    ),
    printcolumn(
        name = "Now",
        type_ = "string",
        json_path = ".status['actualShort','actual']",
        description = "The live value in short form, if it changed after the drift was found"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Revert",
        type_ = "string",
        json_path = ".spec.revert",
        description = "The effect of reverting the field"
    ),
    printcolumn(
        name = "Difference",
        type_ = "string",
        json_path = ".spec.difference",
        priority = 1,
        description = "How the live value differed when the drift was found"
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "DecidedBy", type_ = "string", json_path = ".status.decidedBy", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    doc = "One recorded field whose live value differs from the desired one, and its resolution."
)]
#[serde(rename_all = "camelCase")]
pub struct DriftSpec {
    /// The record, which owns the drift.
    pub resource_ref: RecordRef,

    /// The live resource.
    pub resource: CloudResource,

    /// The recorded field; `exists` if the whole resource is gone.
    #[schemars(length(min = 1, max = 4096))]
    pub field: String,

    /// The field in short form, if the field itself is too long for a column or has characters that do not print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub field_short: Option<String>,

    /// The number of this drift among the drifts of the field of the record, from 1.
    #[schemars(range(min = 1))]
    pub episode: i64,

    /// The desired value when the drift was found: text as it is, any other value as JSON.
    #[schemars(length(max = 32768))]
    pub expected: String,

    /// The live value when the drift was found: text as it is, any other value as JSON.
    #[schemars(length(max = 32768))]
    pub actual: String,

    /// The desired value in at most 40 columns, for lists of drifts. Of a composite value: the path of the first part
    /// that differs, and its desired value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub expected_short: Option<String>,

    /// The live value in at most 40 columns, for lists of drifts. Of a composite value: the path of the first part that
    /// differs, and its live value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub actual_short: Option<String>,

    /// The first difference in one line, such as `services.0.instance_count: 1 -> 2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub difference: Option<String>,

    /// The places at which the two values differ, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub differences: Vec<DriftDifference>,

    /// The likely cause, where the provider is known to change the field by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub note: Option<String>,

    /// The effect of reverting the field, from the live value to the desired one. While the drift is open, it follows the
    /// live value and the resources that select by its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertClass>,

    /// The effect in a sentence, or the reason why the field cannot be reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub revert_note: Option<String>,

    /// The version (`metadata.generation`) of the record when the drift was found.
    pub spec_version: i64,
}

/// One place at which a live value differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftDifference {
    /// The dotted path below the field; empty for the field itself.
    #[schemars(length(max = 4096))]
    pub path: String,
    /// The desired value in short form. Missing for an item or a key that only the live value has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub expected: Option<String>,
    /// The live value in short form. Missing for an item or a key that only the record has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub actual: Option<String>,
}

/// The record that a drift belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordRef {
    /// The name of the record, in the namespace of the drift.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The UID of the record.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// The state of a drift.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// The phase of the drift.
    #[serde(default)]
    pub phase: DriftPhase,

    /// The current live value, if it changed after the drift was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub actual: Option<String>,

    /// `actual` in short form, as `spec.actualShort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub actual_short: Option<String>,

    /// The first difference between `actual` and the desired value, as `spec.difference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub difference: Option<String>,

    /// The places at which `actual` differs from the desired value, as `spec.differences`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub differences: Vec<DriftDifference>,

    /// The time at which the live value last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_changed_at: Option<Time>,

    /// The time of resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,

    /// The user who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,

    /// The decision that was carried out: the text of the annotation `arcadia.cloud/accept` or `arcadia.cloud/revert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub decision: Option<String>,

    /// The reason of the decision: the text of the annotation `arcadia.cloud/because`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub because: Option<String>,

    /// The acceptance that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<Acceptance>,

    /// The merge patch that brings the manifest up to date while the acceptance stands. Missing if the accepted value
    /// holds a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub manifest_patch: Option<Value>,

    /// The saga that reverts the drift, or that reverted it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga_ref: Option<SagaRef>,

    /// The plan of a revert, as requested with `arcadia.cloud/revert=plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RevertPlan>,

    /// The reason of the phase, in one `CamelCase` word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// `Resolved`, whose message names the cause if a decision was refused or waits; `Standing`, if the accepted value
    /// stands or stood in for the declared one; and `DecisionApplied`, which is False for a decision that came after the
    /// drift was resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// The plan of a revert. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertPlan {
    /// The time of the plan.
    pub planned_at: Time,

    /// The effect of the revert.
    pub class: RevertClass,

    /// The effect in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub effect: Option<String>,

    /// The value of the annotation `arcadia.cloud/revert` that the revert needs.
    #[schemars(length(max = 64))]
    pub needs: String,

    /// The steps of the saga.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub steps: Vec<PlannedStep>,

    /// The calls that change something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub calls: Vec<PlannedCall>,

    /// Side effects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub warnings: Vec<String>,
}

/// A step of a planned saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    /// The name of the step.
    pub name: String,
    /// The kind of step.
    pub step: String,
    /// Whether the step cannot be undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

/// A call of a planned saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedCall {
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The parts of the body that change, with both values in short form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub changes: Vec<String>,
}

/// An acceptance that was carried out. Credentials are shown as fingerprints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// The place of the accepted value.
    pub mode: AcceptanceMode,

    /// The accepted value in its native type.
    #[serde(default)]
    #[schemars(schema_with = "schema::any_value")]
    pub value: Value,

    /// The value that the record declared when it was accepted, in its native type.
    #[serde(default)]
    #[schemars(schema_with = "schema::any_value")]
    pub declared: Value,

    /// The time of the decision.
    pub since: Time,

    /// The time at which the acceptance ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,

    /// The text of the annotation `arcadia.cloud/accept-until` from which `until` was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub until_requested: Option<String>,
}

/// The place of an accepted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AcceptanceMode {
    /// In `spec.desired` of the record.
    InPlace,
    /// On the Drift: it stands in for the value that a manifest declares, and the record is not written to.
    Standing,
}

/// The phase of a drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
pub enum DriftPhase {
    /// The drift waits for a decision. At most one drift per record and field is open.
    #[default]
    Open,
    /// The live value became the desired value: in the record, or because the acceptance stands.
    Accepted,
    /// A saga restored the recorded value in the cloud.
    Reverted,
    /// The drift was closed without a decision.
    Stale,
}

impl DriftPhase {
    /// The word in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Drift {
    /// The live value that this drift shows now.
    #[must_use]
    pub fn actual_now(&self) -> &str {
        self.status.as_ref().and_then(|status| status.actual.as_deref()).unwrap_or(&self.spec.actual)
    }
}

/// The condition of an undecided drift.
pub(crate) fn awaiting_decision() -> Claim {
    let message =
        "accept it with the annotation arcadia.cloud/accept, or revert it with arcadia.cloud/revert".to_owned();
    Claim {
        kind: conditions::RESOLVED,
        status: ConditionStatus::False,
        reason: ConditionReason::AwaitingDecision,
        message,
    }
}

/// The definition, with the parts that the derive macro cannot express.
pub(super) fn crd() -> CustomResourceDefinition {
    let mut crd = Drift::crd();
    // A create cannot set a status. With the default, an inbox is correct after the first write. The default has no
    // conditions, since it cannot know their transition times.
    schema::amend(&mut crd, &["status"], |status| {
        status.default = Some(JSON(json!({
            "phase": DriftPhase::Open,
            "reason": ConditionReason::AwaitingDecision,
        })));
    });
    // The status is not atomic: the answer to a decision applies one condition beside the others.
    schema::amend(&mut crd, &["spec"], |spec| {
        schema::atomic(spec);
        let message = "the spec of a Drift must not change: it says what the operator found. \
                       Decide it with the annotation arcadia.cloud/accept or arcadia.cloud/revert";
        let mut rule = schema::immutable_except(spec, &["revert", "revertNote"], message);
        rule.rule.push_str(" && (has(self.revert) || !has(oldSelf.revert))");
        spec.x_kubernetes_validations.get_or_insert_default().push(rule);
    });
    crd
}
