//! The `Saga` resource: an ordered list of cloud operations that runs once, survives any crash and undoes itself. The
//! spec lists the steps; the status is the journal.

use std::{borrow::Cow, fmt};

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON, ValidationRule},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{conditions::reason, schema};

/// The maximum number of steps.
pub const MAX_STEPS: usize = 64;
/// The maximum size of `spec.inputs` as JSON, in bytes.
pub const MAX_INPUT_BYTES: usize = 32 * 1024;
/// The maximum size of the spec as JSON, in bytes.
pub const MAX_SPEC_BYTES: usize = 36 * 1024;
/// The maximum size of the spec, annotations and labels together as JSON, in bytes. Together with the largest journal
/// and the metadata of the API server, the object stays below 64 KiB.
pub const MAX_ORDER_BYTES: usize = 37 * 1024;
/// The maximum size of the journal as JSON, in bytes.
pub const MAX_STATUS_BYTES: usize = 25 * 1024;
/// The maximum size of the output of one step as JSON, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 8 * 1024;

/// The finalizer that delays the deletion of a saga until its steps are undone.
pub const FINALIZER: &str = "arcadia.cloud/saga";

/// The message that refuses a change of the spec.
pub const FIXED: &str = "the spec of a Saga must not change but for cancelRequested, suspend and \
                         ttlSecondsAfterFinished: it is carried out as it was ordered. Make another saga";

/// A map from names to any JSON values.
pub type Values = Map<String, Value>;

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
    #[serde(default, skip_serializing_if = "Map::is_empty")]
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

    /// At most one saga with the same key is active in a namespace at a time; the others wait as Pending. Defaults to
    /// `deploymentId`. Without either, the saga does not wait.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    /// All kinds, in the order of the reference.
    pub const ALL: [Self; 6] =
        [Self::Provision, Self::Suspend, Self::Offboard, Self::Update, Self::Rollback, Self::Test];

    /// The value of `spec.kind`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Suspend => "suspend",
            Self::Offboard => "offboard",
            Self::Update => "update",
            Self::Rollback => "rollback",
            Self::Test => "test",
        }
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
    #[serde(default, skip_serializing_if = "Map::is_empty")]
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

/// The journal of the saga. Only the operator writes it: before and after every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagaStatus {
    /// The phase of the saga.
    #[serde(default)]
    pub phase: SagaPhase,

    /// The generation of the spec that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The number of steps that are done, of all steps, such as `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// The current step, or the last one if the saga has finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,

    /// The start of the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// The time at which the saga finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,

    /// The start of the current suspension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Time>,

    /// The total duration of earlier suspensions, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended_seconds: i64,

    /// The digest of the spec at the start. A started saga must not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub spec_digest: Option<String>,

    /// The UID of the saga to undo, for `kind: rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rollback_of_uid: Option<String>,

    /// The saga with the same concurrency key that runs first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub waiting_for_saga: Option<String>,

    /// The cause of the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_by: Option<Cause>,

    /// The stop request that made the saga Stuck. Resolving the saga overrules it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_by: Option<StopReason>,

    /// The state of each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<StepStatus>,

    /// The resolutions of people while the saga was Stuck, latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub resolutions: Vec<Resolution>,

    /// The stop requests that a person overruled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub overruled: Vec<StopReason>,

    /// The conditions `Succeeded`, `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// A reason with its message, as conditions hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// The machine-readable reason.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// The message for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A request to stop a saga before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StopReason {
    /// The saga is being deleted.
    Deleted,
    /// `spec.cancelRequested` is true.
    Cancelled,
    /// `spec.timeoutSeconds` has passed.
    TimedOut,
}

impl StopReason {
    /// The reason of the condition for this request.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Deleted => reason::DELETED,
            Self::Cancelled => reason::CANCELLED,
            Self::TimedOut => reason::TIMED_OUT,
        }
    }
}

/// The phase of a saga.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SagaPhase {
    /// The saga has not started.
    #[default]
    Pending,
    /// The steps are being executed.
    Running,
    /// The steps are being undone.
    RollingBack,
    /// All steps are done.
    Succeeded,
    /// All steps are undone.
    RolledBack,
    /// The saga ended before its first step, or a person abandoned it; the condition says which.
    Failed,
    /// The saga needs a person to resolve it.
    Stuck,
}

impl SagaPhase {
    /// All phases, in the order of the reference.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Running, Self::RollingBack, Self::Succeeded, Self::RolledBack, Self::Failed, Self::Stuck];

    /// The value of `status.phase`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::RollingBack => "RollingBack",
            Self::Succeeded => "Succeeded",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
            Self::Stuck => "Stuck",
        }
    }

    /// Whether the operator is done with the saga.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::RolledBack | Self::Failed)
    }

    /// Whether the saga has started and not finished.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::RollingBack | Self::Stuck)
    }
}

/// The journal of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// The name of the step.
    #[schemars(length(max = 50))]
    pub name: String,

    /// The state of the step.
    #[serde(default)]
    pub state: StepState,

    /// The number of attempts.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub attempts: i32,

    /// The start of the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// The time for which the step was suspended since its start, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended_seconds: i64,

    /// The time of the latest call, recorded before the call. Its effect may appear only after the settle time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_at: Option<Time>,

    /// The earliest time of the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// The time at which the step was done or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,

    /// The id of the cloud action that the step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,

    /// The cloud resources of the step, such as `droplets/3164444`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub external_ids: Vec<String>,

    /// The state before the step, as far as undoing needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub before: Option<Value>,

    /// The output, to which later steps can refer.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_map")]
    pub output: Values,

    /// The current wait of the step, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting_for: Option<String>,

    /// The latest error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,

    /// The journal of undoing the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoStatus>,
}

/// The journal of undoing one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UndoStatus {
    /// The number of attempts.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub attempts: i32,

    /// The start of undoing the step; absent once it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// The time for which undoing was suspended since its start, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended_seconds: i64,

    /// The earliest time of the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// The time at which the step was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,

    /// The id of the cloud action that undoing waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,

    /// The current wait of undoing the step, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting_for: Option<String>,

    /// The latest error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
}

/// The id of a cloud action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct ActionId(i64);

impl ActionId {
    /// The id, from the cloud's number; none if Kubernetes cannot store the number.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        i64::try_from(id).ok().filter(|id| *id > 0).map(Self)
    }

    /// The cloud's number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl TryFrom<i64> for ActionId {
    type Error = String;

    fn try_from(id: i64) -> Result<Self, Self::Error> {
        u64::try_from(id).ok().and_then(Self::new).ok_or_else(|| format!("{id} is not the id of an action"))
    }
}

impl From<ActionId> for i64 {
    fn from(id: ActionId) -> Self {
        id.0
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for ActionId {
    fn schema_name() -> Cow<'static, str> {
        "ActionId".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        i64::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The state of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// The step has not started.
    #[default]
    Pending,
    /// The step has started. Until the journal says more, it is unknown whether the cloud has done it.
    Running,
    /// The step is done.
    Done,
    /// A person chose to continue without the step.
    Skipped,
    /// The step has failed permanently.
    Failed,
    /// The step is being undone.
    Undoing,
    /// The step is undone.
    Undone,
    /// A person chose to leave the step as it is.
    Left,
}

/// An error of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepError {
    /// The kind of the failure.
    pub kind: ErrorKind,
    /// The message for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The kinds of failures, by the reaction to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ErrorKind {
    /// Temporary: the step is retried.
    Transient,
    /// The cloud is not ready: the step is retried without counting an attempt.
    Waiting,
    /// Unknown whether the call took effect: the step is looked up first.
    Doubt,
    /// Permanent: the step has failed.
    Permanent,
    /// The step exceeded its timeout.
    Timeout,
    /// Several resources could be the result of the step: a person has to choose one.
    Ambiguous,
}

/// The resolution of a saga that was Stuck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    /// The time of the resolution.
    pub at: Time,
    /// The name of the step.
    #[schemars(length(max = 50))]
    pub step: String,
    /// `retry`, `skip`, `abandon`, or `adopt` with the id.
    #[schemars(length(max = 300))]
    pub what: String,
    /// The person who decided.
    #[schemars(length(max = 253))]
    pub by: String,
    /// The person's reason, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub why: Option<String>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_none_yet(count: &i32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// The schema of a map from names to any values.
fn free_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// The schema of any value.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// The definition, with the parts that the derive macro cannot express.
pub(super) fn crd() -> CustomResourceDefinition {
    let mut crd = Saga::crd();
    schema::amend(&mut crd, &["status"], |status| {
        // kstatus reads a new saga as in progress while `observedGeneration` is another one.
        status.default = Some(JSON(json!({ "phase": SagaPhase::Pending, "observedGeneration": 0 })));
    });
    schema::amend(&mut crd, &["spec"], |spec| {
        spec.x_kubernetes_validations.get_or_insert_default().extend(rules());
    });
    crd
}

/// The rules that the API server checks. They cannot see into `inputs` and `with`; the operator and the admission
/// policies check those.
fn rules() -> Vec<ValidationRule> {
    let rule = |rule: &str, field: &str, message: &str| ValidationRule {
        rule: rule.to_owned(),
        message: Some(message.to_owned()),
        field_path: (!field.is_empty()).then(|| field.to_owned()),
        reason: Some("FieldValueInvalid".to_owned()),
        ..ValidationRule::default()
    };
    let same = |field: &str| {
        format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})")
    };
    let fixed: Vec<_> =
        ["kind", "steps", "deploymentId", "triggeredBy", "concurrencyKey", "rollbackOf", "timeoutSeconds"]
            .map(|field| format!("({})", same(field)))
            .into();
    vec![
        rule(
            "self.kind == 'rollback' ? !has(self.steps) || size(self.steps) == 0 : has(self.steps) && size(self.steps) > 0",
            ".steps",
            "a saga must have 1 to 64 steps, and one of kind rollback none: it undoes those of rollbackOf",
        ),
        rule(
            "(self.kind == 'rollback') == has(self.rollbackOf)",
            "",
            "rollbackOf must name a saga where kind is rollback, and be absent otherwise",
        ),
        rule(
            "!has(self.steps) || self.steps.all(step, self.steps.exists_one(other, other.name == step.name))",
            ".steps",
            "the names of steps must differ from each other",
        ),
        // Steps are immutable, so only new sagas are checked: a saga that an earlier version accepted stays valid.
        ValidationRule {
            optional_old_self: Some(true),
            ..rule(
                "oldSelf.hasValue() || !has(self.steps) || self.steps.all(step, !has(step.retry) || \
                 (has(step.retry.minSeconds) ? step.retry.minSeconds : 1) <= \
                 (has(step.retry.maxSeconds) ? step.retry.maxSeconds : 60))",
                ".steps",
                "retry.minSeconds (1 by default) must not be above retry.maxSeconds (60 by default)",
            )
        },
        rule(
            "!has(oldSelf.cancelRequested) || !oldSelf.cancelRequested || (has(self.cancelRequested) && self.cancelRequested)",
            ".cancelRequested",
            "cancelRequested must not be taken back: the saga may be rolling back already. Make another saga",
        ),
        ValidationRule { reason: Some("FieldValueForbidden".to_owned()), ..rule(&fixed.join(" && "), "", FIXED) },
    ]
}
