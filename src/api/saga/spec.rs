//! The spec of a saga: its order.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::{
    status::{SagaPhase, SagaStatus},
    values::{Values, free_map},
};

/// Ordered cloud operations, undone in reverse order when one fails.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "arcadia.cloud",
    version = "v1alpha1",
    kind = "Saga",
    plural = "sagas",
    category = "arcadia",
    namespaced,
    status = "SagaStatus",
    derive = "PartialEq",
    selectable = ".spec.kind",
    selectable = ".status.phase",
    selectable = ".spec.deploymentId",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step"),
    printcolumn(name = "Deployment", type_ = "string", json_path = ".spec.deploymentId"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    doc = "Ordered cloud operations, each persisted, undone in reverse when one fails."
)]
#[serde(rename_all = "camelCase")]
pub struct SagaSpec {
    /// The purpose of the saga.
    pub kind: SagaKind,

    /// The steps, executed in this order. Must be absent for `kind: rollback`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<StepSpec>,

    /// Values from which steps take their parameters: by the same name, or by an expression such as `${inputs.region}`.
    /// At most 32 KiB.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    #[schemars(schema_with = "free_map")]
    pub inputs: Values,

    /// The deployment to which the saga belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub deployment_id: Option<String>,

    /// The person or system that requested the saga, such as `user:jane` or `system:nightly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub triggered_by: Option<String>,

    /// At most one saga with the same key is active in a namespace at a time; the others wait as Pending. A key that names a
    /// cloud resource, such as `Droplet/3164444`, counts in all namespaces. Defaults to `deploymentId`. Without either, the
    /// saga does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub concurrency_key: Option<String>,

    /// The saga to undo, for `kind: rollback`. It must have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<SagaRef>,

    /// The maximum duration from the start, in seconds; after it the saga rolls back. Suspended time does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub timeout_seconds: Option<i32>,

    /// Stop at the next safe point and roll back. Cannot be reverted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,

    /// Pause in every phase: while true, no step is called, looked up or undone, and no timeout runs. Deleting the saga
    /// also ends the pause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Delete the saga this many seconds after it has finished. A saga that is Stuck is never deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// The purpose of a saga.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum SagaKind {
    /// Creates resources.
    Provision,
    /// Suspends resources.
    Suspend,
    /// Deletes resources.
    Offboard,
    /// Updates resources.
    Update,
    /// Undoes a saga that succeeded.
    Rollback,
    /// Runs a test.
    Test,
}

impl SagaKind {
    /// The value of `spec.kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One step of a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepSpec {
    /// The unique name of the step. Later steps refer to its output by this name.
    #[schemars(length(min = 1, max = 50), regex(pattern = r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// The kind of step, such as `CreateDroplet`.
    #[schemars(length(min = 1, max = 63))]
    pub step: String,

    /// The parameters. A parameter that is missing here is read from `inputs`.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    #[schemars(schema_with = "free_map")]
    pub with: Values,

    /// The maximum duration with all retries, in seconds; after it the step has failed. Each kind of step has its own
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout_seconds: Option<i32>,

    /// The retry policy.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,

    /// Must be true for a step that cannot be undone: once it is done, the saga cannot roll back any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

/// The retry policy for temporary failures. Waiting for the cloud does not count as an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// The maximum number of attempts, the first one included. Undoing the step has twice as many.
    #[schemars(range(min = 1, max = 20))]
    pub attempts: i32,
    /// The pause after the first failure, in seconds. It doubles with each failure and is reduced by up to half at
    /// random.
    #[schemars(range(min = 0, max = 3600))]
    pub min_seconds: i32,
    /// The maximum pause, in seconds.
    #[schemars(range(min = 0, max = 3600))]
    pub max_seconds: i32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, min_seconds: 1, max_seconds: 60 }
    }
}

impl Retry {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A reference to another saga in the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaRef {
    /// The name of the saga.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl Saga {
    /// The phase of the saga.
    #[must_use]
    pub fn phase(&self) -> SagaPhase {
        self.status.as_ref().map_or(SagaPhase::Pending, |status| status.phase)
    }

    /// The concurrency key, or the deployment without one.
    #[must_use]
    pub fn concurrency_key(&self) -> Option<&str> {
        self.spec.concurrency_key.as_deref().or(self.spec.deployment_id.as_deref())
    }
}
