//! The reasons of Events. Users and alerts select on them.

/// The reason of an Event: its word, its type and its documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventReason {
    /// The reason.
    pub name: &'static str,
    /// True if a person should act: the type is Warning, not Normal.
    pub is_warning: bool,
    /// The text of its documentation, which begins with a space.
    pub text: &'static str,
}

/// Declares a constant for each reason, and `ALL` of them, in the order of the reference.
macro_rules! events {
    (@is_warning Warning) => { true };
    (@is_warning Normal) => { false };
    ($(#[doc = $text:literal] $constant:ident = $kind:ident $name:literal;)+) => {
        $(#[doc = $text] pub const $constant: EventReason =
            EventReason { name: $name, is_warning: events!(@is_warning $kind), text: $text };)+

        /// All reasons, in the order of the reference.
        pub const ALL: &[EventReason] = &[$($constant),+];
    };
}

events! {
    /// A drift was opened.
    DRIFT_DETECTED = Warning "DriftDetected";
    /// A drift was opened because the resource no longer exists.
    RESOURCE_GONE = Warning "ResourceGone";
    /// A decision could not be carried out, or came after the drift was resolved.
    DECISION_REFUSED = Warning "DecisionRefused";
    /// A drift was accepted.
    DRIFT_ACCEPTED = Normal "DriftAccepted";
    /// The end of an acceptance that stands was changed.
    ACCEPTANCE_RESCHEDULED = Normal "AcceptanceRescheduled";
    /// The same value was accepted again, in other words or for another reason.
    ACCEPTANCE_REAFFIRMED = Normal "AcceptanceReaffirmed";
    /// An acceptance that stood on a drift ended; the note names the cause.
    ACCEPTANCE_ENDED = Normal "AcceptanceEnded";
    /// The plan of a revert is in the status of the drift.
    REVERT_PLANNED = Normal "RevertPlanned";
    /// A saga started to revert a drift.
    REVERTING = Normal "Reverting";
    /// A drift was reverted.
    DRIFT_REVERTED = Normal "DriftReverted";
    /// A saga could not revert a drift; the note has its message.
    REVERT_FAILED = Warning "RevertFailed";
    /// The saga that reverts a drift needs a person.
    REVERT_STUCK = Warning "RevertStuck";
    /// A drift was closed as Stale.
    DRIFT_RESOLVED = Normal "DriftResolved";
    /// The inventory became too old for a comparison.
    INVENTORY_STALE = Warning "InventoryStale";
    /// A saga started to undo its steps; the note names the cause.
    ROLLING_BACK = Warning "RollingBack";
    /// All completed steps of a saga are undone.
    ROLLED_BACK = Warning "RolledBack";
    /// A saga ended before it changed anything.
    SAGA_FAILED = Warning "SagaFailed";
    /// A saga needs a person; the note names the action.
    SAGA_STUCK = Warning "SagaStuck";
    /// A person resolved a saga that was stuck.
    RESOLVED = Normal "Resolved";
    /// A resolution could not be applied; the note names the cause.
    RESOLUTION_REFUSED = Warning "ResolutionRefused";
    /// A saga could not be cancelled: it had succeeded, or its last step could not be undone.
    CANCEL_REFUSED = Warning "CancelRefused";
}
