//! `Saga`: an ordered list of cloud operations that is carried out once, survives any crash and undoes itself. The spec
//! is the order, the status the journal.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON, ValidationRule},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    conditions::{self, Claim, ConditionStatus, reason},
    schema,
};

/// The most steps that a saga has.
pub const MAX_STEPS: usize = 64;
/// The largest `spec.inputs`, as JSON.
pub const MAX_INPUT_BYTES: usize = 32 * 1024;
/// The largest spec, as JSON.
pub const MAX_SPEC_BYTES: usize = 36 * 1024;
/// The largest spec with annotations and labels: all that people write. With the journal at its largest, and what the
/// API server notes, the whole object stays below 64 KiB.
pub const MAX_ORDER_BYTES: usize = 37 * 1024;
/// The largest journal, as JSON.
pub const MAX_STATUS_BYTES: usize = 25 * 1024;
/// The largest output of one step, as JSON.
pub const MAX_OUTPUT_BYTES: usize = 8 * 1024;

/// The finalizer that holds a saga which is being deleted until what it did is undone.
pub const FINALIZER: &str = "arcadia.cloud/saga";

/// What a change of the order is refused with.
pub const FIXED: &str = "the spec of a Saga must not change but for cancelRequested, suspend and \
                         ttlSecondsAfterFinished: it is carried out as it was ordered. Make another saga";

/// A free map from names to JSON values.
pub type Values = Map<String, Value>;

/// Ordered cloud operations, undone in reverse when one fails.
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
    /// What it is for.
    pub kind: SagaKind,

    /// What is done, in this order. None for `kind: rollback`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<StepSpec>,

    /// Values that steps take their parameters from: by the same name, or by an expression such as `${inputs.region}`.
    /// At most 32 KiB.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_map")]
    pub inputs: Values,

    /// The deployment that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub deployment_id: Option<String>,

    /// Who asked for it, such as `user:jane` or `system:nightly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub triggered_by: Option<String>,

    /// Of the sagas with one key, in a namespace, one is active at a time; the others wait as Pending. The default is
    /// `deploymentId`; without either it waits for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub concurrency_key: Option<String>,

    /// The succeeded saga that is undone, for `kind: rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<SagaRef>,

    /// How long it may take from its start; then it is rolled back. Time in which it was suspended does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub timeout_seconds: Option<i32>,

    /// Stop at the next safe point and roll back. Cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,

    /// Pause, in every phase: while it is true, no step is called, looked up or undone, and no timeout runs. Only
    /// deleting the saga ends the pause as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Delete it this long after it has finished. One that is Stuck is never deleted so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// What a saga is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SagaKind {
    /// Makes resources.
    Provision,
    /// Takes resources out of service.
    Suspend,
    /// Removes resources.
    Offboard,
    /// Changes resources.
    Update,
    /// Undoes a saga that succeeded.
    Rollback,
    /// Tries things out.
    Test,
}

impl SagaKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Provision, Self::Suspend, Self::Offboard, Self::Update, Self::Rollback, Self::Test];

    /// As it is written.
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

/// One step of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepSpec {
    /// Its name, by which later steps refer to its output.
    #[schemars(length(min = 1, max = 50), regex(pattern = r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// What is done, such as `CreateDroplet`.
    #[schemars(length(min = 1, max = 63))]
    pub step: String,

    /// Its parameters. Those that are missing here are taken from `inputs`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_map")]
    pub with: Values,

    /// How long it may take with all its retries; then it has failed. Each kind of step has its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout_seconds: Option<i32>,

    /// How often it is tried.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,

    /// Must be true for a step that cannot be undone: once it succeeded, the saga is not rolled back any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

/// How often a step is tried, for failures that may pass. Waiting for the cloud counts as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// How often at most, the first time included. Undoing it is tried twice as often.
    #[schemars(range(min = 1, max = 20))]
    pub attempts: i32,
    /// The pause after the first failure; it doubles from then on, and each is random by a half.
    #[schemars(range(min = 0, max = 3600))]
    pub min_seconds: i32,
    /// The longest pause.
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

/// Another saga of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How far it is: the journal. Written by the operator only, and before and after each thing that it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagaStatus {
    /// Where it stands.
    #[serde(default)]
    pub phase: SagaPhase,

    /// The version of the spec that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Steps that are done, of all: `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// The step that is being worked on, or was when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,

    /// When its first step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,

    /// Since when it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Time>,

    /// For how many seconds it was suspended before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended_seconds: i64,

    /// A digest of the order as it was when it began: it must not change under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub spec_digest: Option<String>,

    /// The UID of the saga that it undoes, for `kind: rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rollback_of_uid: Option<String>,

    /// The saga with the same concurrency key that has to end first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub waiting_for_saga: Option<String>,

    /// Why it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_by: Option<Cause>,

    /// The request to stop that made it stuck. Resolving the saga overrules it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_by: Option<StopReason>,

    /// What was done, by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<StepStatus>,

    /// How people helped when it was stuck, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub resolutions: Vec<Resolution>,

    /// The requests to stop that a person overruled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub overruled: Vec<StopReason>,

    /// `Succeeded`, `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// A reason with its message, as conditions have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// A word for programs.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Why a saga has to stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StopReason {
    /// It is being deleted.
    Deleted,
    /// `spec.cancelRequested` is true.
    Cancelled,
    /// `spec.timeoutSeconds` are over.
    TimedOut,
}

impl StopReason {
    /// The reason of the condition that says so.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Deleted => reason::DELETED,
            Self::Cancelled => reason::CANCELLED,
            Self::TimedOut => reason::TIMED_OUT,
        }
    }
}

/// Where a saga stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SagaPhase {
    /// It has not begun.
    #[default]
    Pending,
    /// Its steps are being done.
    Running,
    /// Its steps are being undone.
    RollingBack,
    /// All of it is done.
    Succeeded,
    /// All that was done is undone.
    RolledBack,
    /// It ended before anything was done, or a person gave it up; the condition says which.
    Failed,
    /// A person has to help.
    Stuck,
}

impl SagaPhase {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Running, Self::RollingBack, Self::Succeeded, Self::RolledBack, Self::Failed, Self::Stuck];

    /// As it is written.
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

    /// Whether nothing more is done about it.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::RolledBack | Self::Failed)
    }

    /// Whether it has begun and not finished.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::RollingBack | Self::Stuck)
    }
}

/// What became of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Its name.
    #[schemars(length(max = 50))]
    pub name: String,

    /// Where it stands.
    #[serde(default)]
    pub state: StepState,

    /// How often it was tried.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub attempts: i32,

    /// When it was first begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// For how many seconds it was suspended since then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended_seconds: i64,

    /// When the latest call was about to be made: until some time after, what came of it may not be seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_at: Option<Time>,

    /// Not before this time it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// When it was done or had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,

    /// The cloud action that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,

    /// What it has to do with in the cloud, such as `droplets/3164444`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub external_ids: Vec<String>,

    /// What was before, as far as undoing it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub before: Option<Value>,

    /// What later steps can refer to.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_map")]
    pub output: Values,

    /// What it waits for at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting_for: Option<String>,

    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,

    /// How it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoStatus>,
}

/// How a step was undone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UndoStatus {
    /// How often it was tried.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub attempts: i32,

    /// When undoing it began. Gone once it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// For how many seconds undoing it was suspended since then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended_seconds: i64,

    /// Not before this time it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// When it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,

    /// The cloud action that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,

    /// What undoing it waits for at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting_for: Option<String>,

    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
}

/// The id of a cloud action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct ActionId(i64);

impl ActionId {
    /// An id as the cloud gives it; nothing where Kubernetes cannot store the number.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        i64::try_from(id).ok().filter(|id| *id > 0).map(Self)
    }

    /// The id as the cloud has it.
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

/// Where a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// It has not begun.
    #[default]
    Pending,
    /// It was begun. Whether the cloud has done it is not known until the journal says more.
    Running,
    /// It is done.
    Done,
    /// A person said to go on without it.
    Skipped,
    /// It has failed for good.
    Failed,
    /// It is being undone.
    Undoing,
    /// It is undone.
    Undone,
    /// A person said to leave it as it is.
    Left,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// For people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Kinds of failure, by what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ErrorKind {
    /// It may pass: tried again.
    Transient,
    /// The cloud is not ready for it: tried again without counting.
    Waiting,
    /// Nobody knows whether it was done: looked up before anything else.
    Doubt,
    /// It will not pass.
    Permanent,
    /// It took longer than it may.
    Timeout,
    /// Several things look like its doing: a person has to say which.
    Ambiguous,
}

/// How a person helped a saga that was stuck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    /// When.
    pub at: Time,
    /// The step.
    #[schemars(length(max = 50))]
    pub step: String,
    /// `retry`, `skip`, `abandon`, or `adopt` and the id.
    #[schemars(length(max = 300))]
    pub what: String,
    /// Who.
    #[schemars(length(max = 253))]
    pub by: String,
    /// Why, if they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub why: Option<String>,
}

impl Saga {
    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> SagaPhase {
        self.status.as_ref().map_or(SagaPhase::Pending, |status| status.phase)
    }

    /// The key that one saga at a time may have.
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

/// A map from names to any values.
fn free_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Any value.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// The conditions of a saga that was not looked at yet.
fn pending() -> Vec<Condition> {
    let claims = [
        (conditions::SUCCEEDED, ConditionStatus::Unknown),
        (conditions::RECONCILING, ConditionStatus::True),
        (conditions::STALLED, ConditionStatus::False),
    ];
    claims
        .map(|(kind, status)| {
            let message = "waiting for the operator".to_owned();
            Claim { kind, status, reason: reason::PENDING, message }.since(Timestamp::UNIX_EPOCH, 0)
        })
        .into()
}

/// The definition, with what the derive cannot say.
pub(super) fn crd() -> CustomResourceDefinition {
    let mut crd = Saga::crd();
    schema::amend(&mut crd, &["status"], |status| {
        status.default = Some(JSON(json!({ "phase": SagaPhase::Pending, "conditions": pending() })));
    });
    schema::amend(&mut crd, &["spec"], |spec| {
        spec.x_kubernetes_validations.get_or_insert_default().extend(rules());
    });
    crd
}

/// What the API server itself refuses. What is in `inputs` and `with` its rules cannot see; the operator and the
/// admission policies look at those.
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
        // The steps of a saga never change, so only a new one is checked: one that an earlier version took stays as it is.
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
