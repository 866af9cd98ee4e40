//! What happens to a saga and to its steps: what the journal is told.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::saga::{ActionId, Resolution, StepError, StepStatus, StopReason, Values};

/// Something that happened to a saga, or is about to.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The saga begins, with these steps. With a UID, it undoes the saga that did them.
    Start {
        /// The steps: all pending, or as the journal of the saga to undo has them.
        steps: Vec<StepStatus>,
        /// The digest of its order.
        digest: String,
        /// The saga that is undone.
        rollback_of: Option<String>,
    },
    /// It ends before anything was done.
    Refuse {
        /// Why.
        why: Why,
    },
    /// It waits before its first step for another saga to end.
    Hold {
        /// The other saga.
        other: String,
        /// The concurrency key of both.
        key: String,
    },
    /// It is suspended.
    Suspend,
    /// It is resumed.
    Unsuspend,
    /// What was done is to be undone.
    RollBack {
        /// Why.
        why: Why,
    },
    /// A person has to help.
    Stick {
        /// Why.
        why: Why,
        /// The request to stop that could not be met, where it is one.
        stop: Option<StopReason>,
    },
    /// A person has helped.
    Resolve {
        /// How, by whom and why.
        resolution: Resolution,
        /// What follows.
        choice: Choice,
    },
    /// There is nothing left to do.
    Finish {
        /// Whether it was an undoing that was ordered.
        is_rollback_kind: bool,
    },
    /// A change of the spec was seen.
    Observe {
        /// The version of the spec.
        generation: i64,
    },
    /// Something happened to one of its steps.
    Step {
        /// The step's place in the order.
        index: usize,
        /// What.
        event: StepEvent,
    },
}

/// Something that happened to a step, or is about to.
#[derive(Clone, Debug, PartialEq)]
pub enum StepEvent {
    /// It is about to be done for the first time.
    Begin {
        /// How things are before it.
        before: Value,
    },
    /// It could not be begun, and will be tried again.
    Delay {
        /// Why.
        error: StepError,
        /// When.
        retry_at: Timestamp,
        /// How many attempts there are in all.
        of: i32,
    },
    /// It is about to be called again.
    Renew {
        /// Whether that is one more attempt.
        counts: bool,
    },
    /// The cloud works on it.
    Await {
        /// The action that has to end.
        action: ActionId,
        /// What it has to do with.
        ids: Vec<String>,
    },
    /// It waits, to be done or to be undone, for something that people should know of.
    Wait {
        /// What for.
        why: String,
    },
    /// An attempt failed and another follows.
    Retry {
        /// Why.
        error: StepError,
        /// When.
        retry_at: Timestamp,
        /// How many attempts there are in all.
        of: i32,
        /// When at the latest, where the effect of the attempt is looked up first.
        latest: Option<Timestamp>,
    },
    /// It is done.
    Complete {
        /// What it came to.
        output: Values,
    },
    /// It has failed for good.
    Fail {
        /// Why.
        error: StepError,
    },
    /// It is about to be undone, for the first time or again.
    Undo {
        /// Whether that is one more attempt.
        counts: bool,
    },
    /// The cloud works on undoing it.
    AwaitUndo {
        /// The action that has to end.
        action: ActionId,
    },
    /// An attempt to undo it failed and another follows.
    RetryUndo {
        /// Why.
        error: StepError,
        /// When.
        retry_at: Timestamp,
        /// How many attempts there are in all.
        of: i32,
    },
    /// It is undone.
    CompleteUndo,
}

/// A reason and what it means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// One of [`reason`](crate::api::conditions::reason).
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What a person chose for a saga that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Try the step again.
    Retry,
    /// Go on without the step.
    Skip,
    /// Give the saga up.
    Abandon,
    /// The step is as it should be: a candidate was chosen.
    Adopt,
}

impl Event {
    /// For messages and the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "Start",
            Self::Refuse { .. } => "Refuse",
            Self::Hold { .. } => "Hold",
            Self::Suspend => "Suspend",
            Self::Unsuspend => "Unsuspend",
            Self::RollBack { .. } => "RollBack",
            Self::Stick { .. } => "Stick",
            Self::Resolve { .. } => "Resolve",
            Self::Finish { .. } => "Finish",
            Self::Observe { .. } => "Observe",
            Self::Step { event, .. } => event.name(),
        }
    }

    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        match self {
            Self::Step { index, .. } => Some(*index),
            _ => None,
        }
    }
}

impl StepEvent {
    /// The event of the step at this place.
    #[must_use]
    pub fn of(self, index: usize) -> Event {
        Event::Step { index, event: self }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "Begin",
            Self::Delay { .. } => "Delay",
            Self::Renew { .. } => "Renew",
            Self::Await { .. } => "Await",
            Self::Wait { .. } => "Wait",
            Self::Retry { .. } => "Retry",
            Self::Complete { .. } => "Complete",
            Self::Fail { .. } => "Fail",
            Self::Undo { .. } => "Undo",
            Self::AwaitUndo { .. } => "AwaitUndo",
            Self::RetryUndo { .. } => "RetryUndo",
            Self::CompleteUndo => "CompleteUndo",
        }
    }
}
