//! Condition types and reasons. They are constants, since users and tools select on them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::{EnumString, IntoStaticStr};

/// The operator can compare this record with the cloud.
pub const READY: &str = "Ready";
/// Every compared field has its desired value.
pub const IN_SYNC: &str = "InSync";
/// The operator is still working towards a verdict (as kstatus reads it).
pub const RECONCILING: &str = "Reconciling";
/// A person has to act before the operator can continue (as kstatus reads it).
pub const STALLED: &str = "Stalled";
/// On a Saga: all steps are done.
pub const SUCCEEDED: &str = "Succeeded";
/// On a Drift: it was decided or has disappeared.
pub const RESOLVED: &str = "Resolved";
/// On a Drift: its accepted value stands in for the declared one.
pub const STANDING: &str = "Standing";
/// On a record: no acceptance stands, so every manifest says what is desired.
pub const MANIFEST_CURRENT: &str = "ManifestCurrent";
/// On a Drift: False for a decision that was made after the drift was resolved.
pub const DECISION_APPLIED: &str = "DecisionApplied";

/// Reasons, in groups.
pub mod reason {
    /// The operator has not read this object yet.
    pub const PENDING: &str = "Pending";
    /// The record was compared with the live resource.
    pub const COMPARED: &str = "Compared";
    /// No compared field differs.
    pub const NO_DRIFT: &str = "NoDrift";
    /// One or more Drifts are open.
    pub const DRIFT_OPEN: &str = "DriftOpen";
    /// The live resource is gone.
    pub const RESOURCE_GONE: &str = "ResourceGone";
    /// The inventory is older than its limit, or missing.
    pub const INVENTORY_STALE: &str = "InventoryStale";
    /// The live resource could not be read, so its state is unknown.
    pub const LIVE_UNKNOWN: &str = "LiveUnknown";
    /// The live resource was never found in this account.
    pub const RESOURCE_NOT_FOUND: &str = "ResourceNotFound";
    /// A list shows a difference that no second read has confirmed yet.
    pub const UNCONFIRMED: &str = "Unconfirmed";
    /// The API server refused a write about a field.
    pub const WRITE_REFUSED: &str = "WriteRefused";
    /// The values of some recorded fields are unknown, for instance because the token lacks a scope.
    pub const FIELDS_UNKNOWN: &str = "FieldsUnknown";
    /// A recorded field does not exist on this kind, or cannot be compared.
    pub const INVALID_FIELD: &str = "InvalidField";
    /// An older record describes the same live resource.
    pub const DUPLICATE_RECORD: &str = "DuplicateRecord";
    /// `spec.suspend` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// The drift waits for a decision.
    pub const AWAITING_DECISION: &str = "AwaitingDecision";
    /// The decision is valid and waits for its precondition.
    pub const DECISION_WAITING: &str = "DecisionWaiting";
    /// The decision could not be applied.
    pub const DECISION_REFUSED: &str = "DecisionRefused";
    /// The manifest says the accepted value now.
    pub const IN_MANIFEST: &str = "InManifest";
    /// The manifest says a third value now.
    pub const MANIFEST_CHANGED: &str = "ManifestChanged";
    /// The time of the acceptance is up.
    pub const EXPIRED: &str = "Expired";
    /// The decision was removed.
    pub const WITHDRAWN: &str = "Withdrawn";
    /// A later acceptance of the same field replaced this one.
    pub const SUPERSEDED: &str = "Superseded";
    /// One or more acceptances stand in for what the manifest says.
    pub const ACCEPTANCES_STAND: &str = "AcceptancesStand";
    /// No acceptance stands.
    pub const NO_ACCEPTANCE_STANDS: &str = "NoAcceptanceStands";
    /// A saga puts the live value back.
    pub const REVERTING: &str = "Reverting";
    /// A saga put the live value back.
    pub const REVERTED: &str = "Reverted";
    /// The saga could not put the live value back.
    pub const REVERT_FAILED: &str = "RevertFailed";
    /// The saga that puts the live value back needs a person.
    pub const REVERT_STUCK: &str = "RevertStuck";
    /// The drift was resolved before the decision was made.
    pub const ALREADY_RESOLVED: &str = "AlreadyResolved";
    /// The record of the drift was deleted.
    pub const RECORD_GONE: &str = "RecordGone";
    /// The live value became the desired one.
    pub const ACCEPTED: &str = "Accepted";
    /// The live value equals the desired one again.
    pub const LIVE_RETURNED: &str = "LiveReturned";
    /// The desired value changed, so the drift is a different one now.
    pub const DESIRED_CHANGED: &str = "DesiredChanged";
    /// The field is no longer recorded.
    pub const NO_LONGER_RECORDED: &str = "NoLongerRecorded";
    /// The field is listed in `spec.drift.ignore`.
    pub const IGNORED: &str = "Ignored";
    /// The saga waits for another saga with the same concurrency key.
    pub const WAITING_FOR_ANOTHER: &str = "WaitingForAnother";
    /// The saga's steps are being executed.
    pub const RUNNING: &str = "Running";
    /// The saga's steps are being undone.
    pub const ROLLING_BACK: &str = "RollingBack";
    /// All steps of the saga are done.
    pub const SUCCEEDED: &str = "Succeeded";
    /// All steps of the saga are undone.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// The saga's spec is invalid; nothing was done.
    pub const INVALID_ORDER: &str = "InvalidOrder";
    /// The saga was cancelled.
    pub const CANCELLED: &str = "Cancelled";
    /// The saga is being deleted.
    pub const DELETED: &str = "Deleted";
    /// A step of the saga failed.
    pub const STEP_FAILED: &str = "StepFailed";
    /// The saga or one of its steps exceeded its timeout.
    pub const TIMED_OUT: &str = "TimedOut";
    /// Several resources could be the result of one step.
    pub const SEVERAL_CANDIDATES: &str = "SeveralCandidates";
    /// An irreversible step prevents the rollback.
    pub const IRREVERSIBLE: &str = "Irreversible";
    /// Undoing a step failed.
    pub const UNDO_FAILED: &str = "UndoFailed";
    /// The saga's spec changed after it started.
    pub const ORDER_CHANGED: &str = "OrderChanged";
    /// A person abandoned the saga.
    pub const ABANDONED: &str = "Abandoned";
}

/// The `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The operator cannot decide at the moment.
    Unknown,
}

impl ConditionStatus {
    /// The text in a condition's `status`.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.into()
    }

    /// Reads a condition's `status`; any other text is Unknown.
    #[must_use]
    pub fn read(text: &str) -> Self {
        text.parse().unwrap_or(Self::Unknown)
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A condition without its transition time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim<R = &'static str> {
    /// One of the condition types above.
    pub kind: &'static str,
    /// The status of the condition.
    pub status: ConditionStatus,
    /// One of [`reason`].
    pub reason: R,
    /// The state and the remedy, for people.
    pub message: String,
}

impl<R: Into<String>> Claim<R> {
    /// The condition after a previous one: its transition time moves only with its status.
    #[must_use]
    pub fn onto(self, previous: Option<(ConditionStatus, Timestamp)>, now: Timestamp, generation: i64) -> Condition {
        // The API server's default has a transition time in 1970; the operator's first status starts now.
        let is_same =
            |(status, since): &(ConditionStatus, Timestamp)| *status == self.status && *since != Timestamp::UNIX_EPOCH;
        let since = previous.filter(is_same).map_or(now, |(_, since)| since);
        self.since(since, generation)
    }

    /// The condition, with the time at which its status last changed.
    #[must_use]
    pub fn since(self, transition: Timestamp, generation: i64) -> Condition {
        Condition {
            type_: self.kind.to_owned(),
            status: self.status.text().to_owned(),
            reason: self.reason.into(),
            message: self.message,
            last_transition_time: Time(transition),
            observed_generation: Some(generation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let [before, now] = [5, 9].map(|second| Timestamp::from_second(second).unwrap());
        let claim = |status| Claim { kind: READY, status, reason: reason::COMPARED, message: String::new() };
        let since = |previous| claim(ConditionStatus::True).onto(previous, now, 1).last_transition_time.0;
        assert_eq!(since(Some((ConditionStatus::True, before))), before);
        assert_eq!(since(Some((ConditionStatus::False, before))), now);
        assert_eq!(since(Some((ConditionStatus::True, Timestamp::UNIX_EPOCH))), now, "a default");
        assert_eq!(since(None), now);
    }
}
