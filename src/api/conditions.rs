//! Condition types and reasons. Users and tools select on them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr};

use crate::{api::terms::Term, comparison::show::visible};

/// The meaning of a condition on one kind of object. An empty text marks a status that the condition never has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The type of the condition.
    pub kind: &'static str,
    /// The object: `record`, `drift` or `saga`.
    pub on: &'static str,
    /// The meaning of each status, as in the reference.
    pub when: [(ConditionStatus, &'static str); 3],
}

/// Declares a constant for each condition type, and `ALL` meanings, in the order of the reference.
macro_rules! conditions {
    ($($constant:ident = $kind:literal { $($object:ident: $is:literal, $is_not:literal, $unknown:literal;)+ })+) => {
        $($(#[doc = concat!("On a ", stringify!($object), ". True: ", $is, ". False: ", $is_not, ".\n")])+
        pub const $constant: &str = $kind;)+

        /// All meanings, in the order of the reference.
        pub const ALL: &[Meaning] = &[$($(Meaning {
            kind: $kind,
            on: stringify!($object),
            when: [
                (ConditionStatus::True, $is),
                (ConditionStatus::False, $is_not),
                (ConditionStatus::Unknown, $unknown),
            ],
        }),+),+];
    };
}

conditions! {
    READY = "Ready" {
        record: "the record can be compared with the cloud",
            "the record cannot be compared, or a field of it cannot; the reason names the cause",
            "suspended";
    }
    IN_SYNC = "InSync" {
        record: "every compared field has its desired value",
            "drifts are open; the message shows the first three differences",
            "not known at the moment";
    }
    MANIFEST_CURRENT = "ManifestCurrent" {
        record: "no acceptance stands",
            "an accepted value stands in for what a manifest declares; the message names each field with both values",
            "";
    }
    RECONCILING = "Reconciling" {
        record: "the result of the comparison is pending; without this condition the result is known", "", "";
        saga: "the saga runs, or waits to run; without this condition it has ended, or is Stuck", "", "";
    }
    STALLED = "Stalled" {
        record: "a person has to act first; without this condition no action is needed", "", "";
        saga: "the saga is Stuck; without this condition it is not", "", "";
    }
    RESOLVED = "Resolved" {
        drift: "the drift is closed",
            "the drift is open: `AwaitingDecision`, `DecisionRefused`, `DecisionWaiting` while a decision waits, for example for a \
             provider that does not respond, `Reverting`, `RevertFailed` or `RevertStuck`",
            "";
    }
    STANDING = "Standing" {
        drift: "the accepted value stands in for what the manifest declares",
            "the acceptance ended; the reason names the cause. A drift without this condition was accepted in the \
             record, or not accepted",
            "";
    }
    DECISION_APPLIED = "DecisionApplied" {
        drift: "", "a decision was made, changed or withdrawn after the drift was resolved", "";
    }
    SUCCEEDED = "Succeeded" {
        saga: "all steps are complete", "the saga was rolled back, or failed", "the saga has not ended";
    }
}

/// Declares the reasons, and the table of them in the order of the reference. The name of a variant is the text in the
/// API.
macro_rules! reasons {
    ($($(#[doc = $text:literal])+ $variant:ident on $($object:literal),+;)+) => {
        /// The reason of a condition or of a status. Other versions of the operator may write others.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Display, EnumString, IntoStaticStr)]
        pub enum ConditionReason {
            $($(#[doc = $text])+ $variant,)+
        }

        /// All reasons, in the order of the reference.
        pub const REASONS: &[Term] =
            &[$(Term { name: stringify!($variant), on: &[$($object),+], text: concat!($($text),+) }),+];
    };
}

reasons! {
    /// Not reconciled yet; `status.reason` of a new record. If this persists, the operator does not run or
    /// watches other namespaces.
    Pending on "record", "saga";
    /// Compared with the live resource.
    Compared on "record";
    /// No compared field differs.
    NoDrift on "record";
    /// One or more drifts are open: decide them.
    DriftOpen on "record";
    /// The live resource does not exist any more. A drift on one of its fields closes for this reason.
    ResourceGone on "record", "drift";
    /// The resource was never seen in this account: check the id and the token.
    ResourceNotFound on "record";
    /// A list shows a difference that the next read has to confirm.
    Unconfirmed on "record";
    /// The API server refused a write about a field; `Ready` names the field and quotes the refusal. The other
    /// fields are compared.
    WriteRefused on "record";
    /// The last complete list is too old or missing; the message names the reason why no newer list exists.
    InventoryStale on "record";
    /// The resource could not be read; the message names the cause.
    LiveUnknown on "record";
    /// Some fields or parts of them cannot be compared, for example because the token lacks a scope, or because
    /// a recorded secret stands against a ciphertext. The message names each with its cause.
    FieldsUnknown on "record";
    /// A recorded field does not exist, is never returned or is too long: correct `spec.desired`.
    InvalidField on "record";
    /// An older record exists for the same resource: delete one of the two.
    DuplicateRecord on "record";
    /// `spec.suspend` is true.
    Suspended on "record", "saga";
    /// The drift is open and undecided.
    AwaitingDecision on "drift";
    /// The drift is decided; the operator waits for the data it needs to carry the decision out safely. The
    /// condition `Resolved` names the data.
    DecisionWaiting on "drift";
    /// The decision could not be carried out; the condition `Resolved` names the cause.
    DecisionRefused on "drift";
    /// The decision was made, changed or withdrawn after the drift was resolved, and that changed nothing.
    AlreadyResolved on "drift";
    /// The record was deleted and left the drift behind.
    RecordGone on "drift";
    /// The live value became the desired value.
    Accepted on "drift";
    /// The accepted value stands on the drift.
    Standing on "drift";
    /// Every manifest declares the desired value.
    NoAcceptanceStands on "record";
    /// One or more accepted values are missing from the manifest: commit `status.manifestPatch` of their
    /// drifts.
    AcceptancesStand on "record";
    /// The acceptance ended: the manifest declares the accepted value.
    InManifest on "drift";
    /// The acceptance ended: `spec.drift.accept` of the record is `InPlace`, so the accepted value was written into
    /// the record.
    InRecord on "drift";
    /// The acceptance ended: the manifest declares another value, or does not declare the field any more.
    ManifestChanged on "drift";
    /// The acceptance ended: it expired.
    Expired on "drift";
    /// The acceptance ended: the annotation `accept` was removed.
    Withdrawn on "drift";
    /// The acceptance ended: a later one of the same field replaced it.
    Superseded on "drift";
    /// A saga reverts the live value; the resource is not compared meanwhile.
    Reverting on "record", "drift";
    /// A saga restored the recorded value in the cloud, and a second read confirmed it.
    Reverted on "drift";
    /// The saga of the revert was rolled back, failed or was deleted, or the live value still differs: read the
    /// message, and decide again.
    RevertFailed on "drift";
    /// The saga of the revert needs a person: resolve it.
    RevertStuck on "drift";
    /// The live value equals the desired value again.
    LiveReturned on "drift";
    /// The desired value was changed, so the drift no longer applies.
    DesiredChanged on "drift";
    /// The field was removed from `spec.desired`.
    NoLongerRecorded on "drift";
    /// The drift was closed, or the acceptance ended: the field is in `spec.drift.ignore`.
    Ignored on "drift";
    /// Another saga with the same concurrency key is active; the message names it.
    WaitingForAnother on "saga";
    /// Steps are being executed.
    Running on "saga";
    /// Completed steps are being undone because a person requested it.
    RollingBack on "saga";
    /// All steps are complete.
    Succeeded on "saga";
    /// All completed steps are undone; the message names the cause.
    RolledBack on "saga";
    /// The spec cannot be executed; nothing was changed. The message lists up to ten mistakes, each with the
    /// step, the parameter and the valid form.
    InvalidOrder on "saga";
    /// `spec.cancelRequested` is true.
    Cancelled on "saga";
    /// The saga is being deleted and rolls back first.
    Deleted on "saga";
    /// A step failed permanently.
    StepFailed on "saga";
    /// The saga or one of its steps exceeded its timeout.
    TimedOut on "saga";
    /// Several resources may be the result of one step: check them, and name the right one with `adopt`.
    SeveralCandidates on "saga";
    /// The saga must roll back, and a completed step cannot be undone.
    Irreversible on "saga";
    /// A step could not be undone: remove the cause that the message names, then `retry`.
    UndoFailed on "saga";
    /// `steps` or `inputs` were changed during execution: restore them, then `retry`.
    OrderChanged on "saga";
    /// A person gave the saga up; the message lists the steps that are not undone.
    Abandoned on "saga";
}

impl ConditionReason {
    /// The text in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Reads a text of the API; none if this version does not know it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl From<ConditionReason> for String {
    fn from(reason: ConditionReason) -> Self {
        reason.name().to_owned()
    }
}

impl PartialEq<ConditionReason> for String {
    fn eq(&self, reason: &ConditionReason) -> bool {
        self == reason.name()
    }
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

/// The condition of this type.
#[must_use]
pub fn find<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// A condition without its transition time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim<R = ConditionReason> {
    /// One of the condition types above.
    pub kind: &'static str,
    /// The status of the condition.
    pub status: ConditionStatus,
    /// The reason; a text if an earlier version may have written it.
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

    /// The condition, with the time at which its status last changed. Columns show its message, which may quote other
    /// programs: invisible characters are escaped.
    #[must_use]
    pub fn since(self, transition: Timestamp, generation: i64) -> Condition {
        Condition {
            type_: self.kind.to_owned(),
            status: self.status.text().to_owned(),
            reason: self.reason.into(),
            message: visible(&self.message).into_owned(),
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
        let claim = |status| Claim { kind: READY, status, reason: ConditionReason::Compared, message: String::new() };
        let since = |previous| claim(ConditionStatus::True).onto(previous, now, 1).last_transition_time.0;
        assert_eq!(since(Some((ConditionStatus::True, before))), before);
        assert_eq!(since(Some((ConditionStatus::False, before))), now);
        assert_eq!(since(Some((ConditionStatus::True, Timestamp::UNIX_EPOCH))), now, "a default");
        assert_eq!(since(None), now);
    }
}
