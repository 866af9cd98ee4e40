//! Condition types and reasons: constants, since users and tools select on them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The operator can compare this record with the cloud.
pub const READY: &str = "Ready";
/// Every compared field has its desired value.
pub const IN_SYNC: &str = "InSync";
/// The operator is still working towards a verdict (as kstatus reads it).
pub const RECONCILING: &str = "Reconciling";
/// A person has to act before the operator can go on (as kstatus reads it).
pub const STALLED: &str = "Stalled";
/// On a Saga: all of it is done.
pub const SUCCEEDED: &str = "Succeeded";
/// On a Drift: it has been decided or has gone away.
pub const RESOLVED: &str = "Resolved";
/// On a Drift: False for a decision that came after the drift was resolved.
pub const DECISION_APPLIED: &str = "DecisionApplied";

/// Reasons, by what they say.
pub mod reason {
    /// The operator has not looked at this object yet.
    pub const PENDING: &str = "Pending";
    /// The record was compared with the live resource.
    pub const COMPARED: &str = "Compared";
    /// No compared field differs.
    pub const NO_DRIFT: &str = "NoDrift";
    /// One or more Drifts are open.
    pub const DRIFT_OPEN: &str = "DriftOpen";
    /// The live resource is gone.
    pub const RESOURCE_GONE: &str = "ResourceGone";
    /// The inventory is older than its limit, or there is none.
    pub const INVENTORY_STALE: &str = "InventoryStale";
    /// The live resource could not be read, so nothing is known about it.
    pub const LIVE_UNKNOWN: &str = "LiveUnknown";
    /// The live resource was never seen in this account.
    pub const RESOURCE_NOT_FOUND: &str = "ResourceNotFound";
    /// A list shows a difference that no second read has confirmed yet.
    pub const UNCONFIRMED: &str = "Unconfirmed";
    /// The API server refused a write about a field.
    pub const WRITE_REFUSED: &str = "WriteRefused";
    /// Some recorded fields cannot be told at the moment, for instance because the token may not read them.
    pub const FIELDS_UNKNOWN: &str = "FieldsUnknown";
    /// A recorded field does not exist on this kind, or cannot be compared.
    pub const INVALID_FIELD: &str = "InvalidField";
    /// An older record stands for the same live resource.
    pub const DUPLICATE_RECORD: &str = "DuplicateRecord";
    /// `spec.suspend` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// The drift waits for a decision.
    pub const AWAITING_DECISION: &str = "AwaitingDecision";
    /// The decision is kept, and is carried out once what it waits for is so.
    pub const DECISION_WAITING: &str = "DecisionWaiting";
    /// The decision could not be carried out as it was given.
    pub const DECISION_REFUSED: &str = "DecisionRefused";
    /// The drift was resolved before the decision came.
    pub const ALREADY_RESOLVED: &str = "AlreadyResolved";
    /// The record of the drift is gone.
    pub const RECORD_GONE: &str = "RecordGone";
    /// The live value became the desired one.
    pub const ACCEPTED: &str = "Accepted";
    /// The live value is the desired one again.
    pub const LIVE_RETURNED: &str = "LiveReturned";
    /// The desired value was changed, so the question is another one now.
    pub const DESIRED_CHANGED: &str = "DesiredChanged";
    /// The field is no longer recorded.
    pub const NO_LONGER_RECORDED: &str = "NoLongerRecorded";
    /// The field is listed in `spec.drift.ignore`.
    pub const IGNORED: &str = "Ignored";
    /// The saga waits for another one with its concurrency key.
    pub const WAITING_FOR_ANOTHER: &str = "WaitingForAnother";
    /// The saga's steps are being done.
    pub const RUNNING: &str = "Running";
    /// The saga's steps are being undone.
    pub const ROLLING_BACK: &str = "RollingBack";
    /// All of the saga is done.
    pub const SUCCEEDED: &str = "Succeeded";
    /// All that the saga did is undone.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// The saga's order cannot be carried out as it is; nothing was done.
    pub const INVALID_ORDER: &str = "InvalidOrder";
    /// The saga was cancelled.
    pub const CANCELLED: &str = "Cancelled";
    /// The saga is being deleted.
    pub const DELETED: &str = "Deleted";
    /// A step of the saga failed.
    pub const STEP_FAILED: &str = "StepFailed";
    /// The saga or one of its steps took longer than it may.
    pub const TIMED_OUT: &str = "TimedOut";
    /// Several things look like the doing of one step.
    pub const SEVERAL_CANDIDATES: &str = "SeveralCandidates";
    /// A step that cannot be undone keeps the saga from being rolled back.
    pub const IRREVERSIBLE: &str = "Irreversible";
    /// A step could not be undone.
    pub const UNDO_FAILED: &str = "UndoFailed";
    /// The saga's order was changed while it was carried out.
    pub const ORDER_CHANGED: &str = "OrderChanged";
    /// A person gave the saga up.
    pub const ABANDONED: &str = "Abandoned";
}

/// Three-valued, as Kubernetes writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can tell at the moment.
    Unknown,
}

impl ConditionStatus {
    /// The text in a condition's `status`.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads a condition's `status`; anything unheard of is Unknown.
    #[must_use]
    pub fn read(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a condition should say, before it is known since when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// One of the types above.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One of [`reason`].
    pub reason: &'static str,
    /// For people: what is so, and what to do about it.
    pub message: String,
}

impl Claim {
    /// The condition, whose transition time is when its status last changed.
    #[must_use]
    pub fn since(self, transition: Timestamp, generation: i64) -> Condition {
        Condition {
            type_: self.kind.to_owned(),
            status: self.status.text().to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            last_transition_time: Time(transition),
            observed_generation: Some(generation),
        }
    }
}
