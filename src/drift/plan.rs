//! A plan: the writes about the drifts of one record, in order, and the situation that the record's status shows. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use strum::IntoStaticStr;

use super::{known::LastAccepted, observed::NeedsFreshRead, shown::Shown};
use crate::{
    api::{DriftPhase, SagaSpec, conditions::ConditionReason},
    comparison::show::{cut, visible},
    digitalocean::revert::{self, Allow},
};

/// The maximum length of a condition's message that this module writes.
const LONGEST_MESSAGE: usize = 4096;

/// A live value that becomes the desired one.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The name of the drift that was accepted.
    pub drift: Box<str>,
    /// The field.
    pub field: String,
    /// The live value.
    pub value: Value,
    /// The accepted value, as the drift shows it.
    pub accepted: Accepted,
    /// The value was accepted before and stands on the drift.
    pub stands: bool,
}

/// An accepted value and the one that it replaces. Credentials are fingerprints.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The accepted value.
    pub value: Value,
    /// The value that the record declared.
    pub declared: Value,
}

/// The reason why a drift is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The live value became the desired one.
    Accepted,
    /// A saga reverted the live value.
    Reverted,
    /// The live value equals the desired one again.
    LiveReturned,
    /// The desired value changed.
    DesiredChanged,
    /// The field is no longer recorded.
    NoLongerRecorded,
    /// The field is ignored.
    Ignored,
    /// The resource itself is gone.
    ResourceGone,
    /// The record is gone.
    RecordGone,
}

impl Closing {
    /// The phase of the resolved drift.
    #[must_use]
    pub const fn phase(self) -> DriftPhase {
        match self {
            Self::Accepted => DriftPhase::Accepted,
            Self::Reverted => DriftPhase::Reverted,
            Self::LiveReturned
            | Self::DesiredChanged
            | Self::NoLongerRecorded
            | Self::Ignored
            | Self::ResourceGone
            | Self::RecordGone => DriftPhase::Stale,
        }
    }

    /// The reason of its condition.
    #[must_use]
    pub const fn reason(self) -> ConditionReason {
        match self {
            Self::Accepted => ConditionReason::Accepted,
            Self::Reverted => ConditionReason::Reverted,
            Self::LiveReturned => ConditionReason::LiveReturned,
            Self::DesiredChanged => ConditionReason::DesiredChanged,
            Self::NoLongerRecorded => ConditionReason::NoLongerRecorded,
            Self::Ignored => ConditionReason::Ignored,
            Self::ResourceGone => ConditionReason::ResourceGone,
            Self::RecordGone => ConditionReason::RecordGone,
        }
    }
}

/// The reason why an acceptance no longer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The manifest declares the accepted value.
    InManifest,
    /// The policy of the record wants accepted values in the record, and it is there now.
    InRecord,
    /// The manifest declares a third value.
    ManifestChanged,
    /// The live value equals the declared one.
    LiveReturned,
    /// It expired.
    Expired,
    /// The decision was removed.
    Withdrawn,
    /// A later acceptance replaced it.
    Superseded,
    /// The field is no longer compared.
    Ignored,
    /// The record was deleted.
    RecordGone,
}

impl Ending {
    /// The reason of the condition `Standing`.
    #[must_use]
    pub const fn reason(self) -> ConditionReason {
        match self {
            Self::InManifest => ConditionReason::InManifest,
            Self::InRecord => ConditionReason::InRecord,
            Self::ManifestChanged => ConditionReason::ManifestChanged,
            Self::LiveReturned => ConditionReason::LiveReturned,
            Self::Expired => ConditionReason::Expired,
            Self::Withdrawn => ConditionReason::Withdrawn,
            Self::Superseded => ConditionReason::Superseded,
            Self::Ignored => ConditionReason::Ignored,
            Self::RecordGone => ConditionReason::RecordGone,
        }
    }
}

/// One write to the API server, except where several are documented.
#[derive(Clone, Debug, PartialEq)]
pub enum PlannedWrite {
    /// Create a Drift.
    Open {
        /// The field that differs.
        field: String,
        /// Its number among the drifts of that field.
        episode: i64,
        /// Both values and their differences.
        shown: Box<Shown>,
    },
    /// The first write of a refresh: the label of the change follows the live value. A crash before the second write
    /// leaves a label that selects a drift whose decision is then refused, never one that accepts another value.
    Relabel {
        /// The drift's name.
        drift: Box<str>,
        /// The value of the label.
        change: String,
    },
    /// The live value of an open drift changed.
    Refresh {
        /// The drift's name.
        drift: Box<str>,
        /// Both values and their differences.
        shown: Box<Shown>,
    },
    /// The class or the effect of the revert of an open drift changed, because the live value changed, or other resources
    /// select by the field.
    Reassess {
        /// The drift's name.
        drift: Box<str>,
        /// The effect of reverting it.
        revert: Box<revert::Assessment>,
    },
    /// The first write of all accepts: the live values become the desired ones, and the record marks their drifts. Also
    /// the first write of acceptances that move from their drifts into the record. It is one write, unless the API
    /// server refuses a value: then the others are written without it.
    Adopt {
        /// The accepted drifts.
        adoptions: Vec<Adoption>,
        /// The marked drifts that are still open.
        in_doubt: LastAccepted,
    },
    /// Closes the drift.
    Close {
        /// The drift's name.
        drift: Box<str>,
        /// The reason.
        why: Closing,
        /// The value that was accepted in place, if one was.
        accepted: Option<Box<Accepted>>,
    },
    /// The only write of a standing acceptance: the record is not changed.
    Stand {
        /// The drift's name.
        drift: Box<str>,
        /// The accepted value and the declared one.
        accepted: Box<Accepted>,
        /// The end of the acceptance.
        until: Option<Timestamp>,
        /// The merge patch for the manifest, unless it would show a credential.
        patch: Option<Box<Value>>,
    },
    /// The first write of a revert: the saga that reverts the live value.
    Revert {
        /// The drift's name.
        drift: Box<str>,
        /// The saga.
        saga: Box<PlannedSaga>,
    },
    /// The second write of a revert: the drift names the saga.
    Follow {
        /// The drift's name.
        drift: Box<str>,
        /// The name of the saga.
        saga: Box<str>,
        /// For people, if the saga needs a person.
        stuck: Option<String>,
    },
    /// The desired value was changed, or the decision removed, before the saga began: it is cancelled.
    CancelRevert {
        /// The drift's name.
        drift: Box<str>,
        /// The name of the saga.
        saga: Box<str>,
    },
    /// Second write about a saga that ended, although the live value is not the desired one.
    FailRevert {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// The saga of a revert is not in the cache. If it does not exist either, the revert failed.
    LoseRevert {
        /// The drift's name.
        drift: Box<str>,
        /// The name of the saga.
        saga: Box<str>,
    },
    /// The first write of an answer to `arcadia.cloud/revert=plan`: the drift shows the plan.
    ShowPlan {
        /// The drift's name.
        drift: Box<str>,
        /// The plan.
        plan: Box<revert::RevertProposal>,
        /// The value of the annotation that the revert needs.
        needs: Allow,
    },
    /// Ends an acceptance.
    End {
        /// The drift's name.
        drift: Box<str>,
        /// The reason.
        why: Ending,
    },
    /// The same value was accepted again: the end, the reason or the notation of the decision changed.
    Reaffirm {
        /// The drift's name.
        drift: Box<str>,
        /// The new end of the acceptance.
        until: Option<Timestamp>,
    },
    /// The second write of an answer about a standing acceptance or a running revert: restores the annotations of the
    /// decision.
    RestoreDecision {
        /// The drift's name.
        drift: Box<str>,
    },
    /// The first write of a refusal: the drift shows the reason.
    Refuse {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// The drift shows the reason of a waiting decision.
    Wait {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// The decision that waited, or whose saga waited, was taken back: the drift says again that it awaits one.
    Await {
        /// The drift's name.
        drift: Box<str>,
    },
    /// The first write about a decision on a resolved drift: the drift shows why it has no effect.
    Answer {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// Second write of a refusal or an answer, and the first about a revert that failed: the annotation goes, so that it is
    /// not read again as a decision on what the drift shows next.
    DropDecision {
        /// The drift's name.
        drift: Box<str>,
    },
    /// Delete a resolved drift beyond the history limit.
    Prune {
        /// The drift's name.
        drift: Box<str>,
    },
}

impl PlannedWrite {
    /// Whether it ends the acceptance that stands on this drift.
    #[must_use]
    pub fn ends(&self, name: &str) -> bool {
        matches!(self, Self::End { drift, .. } if **drift == *name)
    }

    /// The drift that it writes, if it is an existing drift.
    #[must_use]
    pub fn drift(&self) -> Option<&str> {
        match self {
            Self::Open { .. } | Self::Adopt { .. } => None,
            Self::Relabel { drift, .. }
            | Self::Refresh { drift, .. }
            | Self::Reassess { drift, .. }
            | Self::Close { drift, .. }
            | Self::Stand { drift, .. }
            | Self::End { drift, .. }
            | Self::Revert { drift, .. }
            | Self::Follow { drift, .. }
            | Self::CancelRevert { drift, .. }
            | Self::FailRevert { drift, .. }
            | Self::LoseRevert { drift, .. }
            | Self::ShowPlan { drift, .. }
            | Self::Reaffirm { drift, .. }
            | Self::RestoreDecision { drift }
            | Self::Refuse { drift, .. }
            | Self::Wait { drift, .. }
            | Self::Await { drift }
            | Self::Answer { drift, .. }
            | Self::DropDecision { drift }
            | Self::Prune { drift } => Some(drift),
        }
    }
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftPlan {
    /// The writes, in order. Empty if nothing is new.
    pub writes: Vec<PlannedWrite>,
    /// The decision that is not among the writes because the live resource must be read again first.
    pub needs_fresh_read: Option<NeedsFreshRead>,
    /// A revert is only judged after the next list, which shows what a response lacks.
    pub awaits_list: bool,
    /// The status of the record once no step is left.
    pub situation: Situation,
    /// The time at which the next acceptance ends.
    pub next_end: Option<Timestamp>,
}

/// The state of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Situation {
    /// It must not be reconciled.
    Suspended,
    /// It is being deleted.
    Deleting,
    /// An older record (named) exists for the same resource.
    Duplicate(String),
    /// Unknown, with the reason and the message.
    Unknown(ConditionReason, String),
    /// The saga (named) reverts one of its fields: meanwhile the live value gives no verdict.
    Reverting(String),
    /// The resource does not exist, and was never seen.
    NeverSeen,
    /// It was compared.
    Compared(Compared),
}

impl Situation {
    /// Adds the messages of writes that the API server refused.
    pub fn refuse(&mut self, messages: Vec<String>) {
        if let Self::Compared(compared) = self {
            compared.refused.extend(messages);
        }
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Compared {
    /// True if the resource does not exist.
    pub gone: bool,
    /// The number of fields that could be compared.
    pub compared: usize,
    /// The number of fields among them that equal a standing acceptance, which may be that the resource is gone.
    pub accepted: usize,
    /// The reasons why fields are unknown at the moment, as messages.
    pub unknown: Vec<String>,
    /// The mistakes in recorded fields, each as a message for people.
    pub invalid: Vec<String>,
    /// Fields that differ in one list and that no second read has confirmed yet.
    pub unconfirmed: Vec<String>,
    /// Fields that are ignored and not recorded.
    pub ignored_unrecorded: Vec<String>,
    /// The messages of writes that the API server refused.
    pub refused: Vec<String>,
    /// The names of the certificates that the record mentions, by id.
    pub certificates: BTreeMap<String, String>,
}

/// The message of a waiting decision.
pub(crate) fn waiting(why: &str) -> String {
    // As the condition stores it: the next evaluation compares the two.
    let message = format!("decided, and carried out once that can be done safely: {}", visible(why));
    cut(&message, LONGEST_MESSAGE).to_owned()
}

/// The maker of a decision. A policy would be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum DecisionOrigin {
    /// A person, who annotated the Drift.
    Person,
}

/// The saga of a revert, before it is created.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSaga {
    /// Its name. The same decision has the same name, so that a crash after its creation does not create a second one.
    pub name: String,
    /// Its spec.
    pub spec: SagaSpec,
    /// The maker of its decision.
    pub origin: DecisionOrigin,
}
