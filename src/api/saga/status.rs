//! The status of a saga: its journal.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::values::{Values, free_map};
use crate::api::{
    conditions::{self, ConditionReason},
    schema,
};

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

    /// The saga with the same concurrency key that runs first, as `NAMESPACE/NAME` if it is in another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub waiting_for_saga: Option<String>,

    /// The cause of the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_by: Option<Cause>,

    /// The cause of a saga that is Stuck. Resolving the saga removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_by: Option<Cause>,

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

    /// The condition `Succeeded`; `Reconciling` and `Stalled` while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// A reason with its message, as conditions hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl SagaStatus {
    /// Why the saga is in its phase, for people. The condition of a suspended saga does not say why it is stuck.
    #[must_use]
    pub fn explanation(&self) -> &str {
        let condition = || conditions::find(&self.conditions, conditions::SUCCEEDED).map(|found| &found.message);
        let cause = self.stuck_by.as_ref().filter(|_| self.phase == SagaPhase::Stuck).map(|cause| &cause.message);
        cause.or_else(condition).map_or("", String::as_str)
    }
}

impl StopReason {
    /// The reason of the condition for this request.
    #[must_use]
    pub const fn reason(self) -> ConditionReason {
        match self {
            Self::Deleted => ConditionReason::Deleted,
            Self::Cancelled => ConditionReason::Cancelled,
            Self::TimedOut => ConditionReason::TimedOut,
        }
    }
}

/// The phase of a saga.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
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
    /// The value of `status.phase`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns true if the operator has completed the saga.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::RolledBack | Self::Failed)
    }

    /// Returns true if the saga has started and not finished.
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
    #[schemars(schema_with = "schema::any_value")]
    pub before: Option<Value>,

    /// The output, to which later steps can refer.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, EnumString, IntoStaticStr,
)]
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

impl StepState {
    /// The value of `state`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_none_yet(count: &i32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}
