//! The events of a saga and its steps, as the journal records them. Pure.

#![warn(clippy::wildcard_enum_match_arm)]

use jiff::Timestamp;
use serde_json::Value;
use strum::IntoStaticStr;

use crate::api::{
    conditions::ConditionReason,
    saga::{ActionId, Resolution, StepError, StepStatus, StopReason, Values},
};

/// An event of a saga: recorded before or after the fact.
#[derive(Clone, Debug, PartialEq, IntoStaticStr)]
pub enum Event {
    /// The saga starts with these steps. With a UID, it undoes the saga with that UID.
    Start {
        /// The steps: all pending, or as in the journal of the saga to undo.
        steps: Vec<StepStatus>,
        /// The digest of the spec.
        digest: String,
        /// The UID of the saga to undo.
        rollback_of: Option<String>,
    },
    /// The saga ends before anything was done.
    Refuse {
        /// The reason.
        why: Why,
    },
    /// The saga waits for another saga before its first step.
    Hold {
        /// The name of the other saga.
        other: String,
        /// The concurrency key of both.
        key: String,
    },
    /// The saga is suspended.
    Suspend,
    /// The saga is resumed.
    Unsuspend,
    /// The saga starts to roll back.
    RollBack {
        /// The reason.
        why: Why,
    },
    /// The saga is stuck: a person has to intervene.
    Stick {
        /// The reason.
        why: Why,
        /// The stop request that could not be met, if there is one.
        stop: Option<StopReason>,
    },
    /// A person has resolved a stuck saga.
    Resolve {
        /// The choice, the person and their reason.
        resolution: Resolution,
        /// The choice.
        choice: Choice,
    },
    /// The saga ends: nothing is left to do.
    Finish {
        /// True if the saga is of kind rollback.
        is_rollback_kind: bool,
    },
    /// A change of the spec was observed.
    Observe {
        /// The generation of the spec.
        generation: i64,
    },
    /// An event of one of the steps.
    Step {
        /// The index of the step.
        index: usize,
        /// The event.
        event: StepEvent,
    },
}

/// An event of a step: recorded before or after the fact.
#[derive(Clone, Debug, PartialEq, IntoStaticStr)]
pub enum StepEvent {
    /// The first call of the step follows.
    Begin {
        /// The state before the step.
        before: Value,
    },
    /// The step could not be started, and is retried.
    Delay {
        /// The error.
        error: StepError,
        /// The time of the next attempt.
        retry_at: Timestamp,
        /// The maximum number of attempts.
        of: i32,
    },
    /// Another call of the step follows.
    Renew {
        /// True if the call counts as an attempt.
        counts: bool,
    },
    /// The cloud has started an action for the step.
    Await {
        /// The action to wait for.
        action: ActionId,
        /// The resources of the step.
        ids: Vec<String>,
    },
    /// The step, or its undoing, waits for something that people should know.
    Wait {
        /// The wait, for people.
        why: String,
    },
    /// An attempt failed and is retried.
    Retry {
        /// The error.
        error: StepError,
        /// The time of the next attempt.
        retry_at: Timestamp,
        /// The maximum number of attempts.
        of: i32,
        /// The latest time of the next attempt, if the effect of the last one is looked up first.
        latest: Option<Timestamp>,
    },
    /// The step is done.
    Complete {
        /// The output of the step.
        output: Values,
    },
    /// The step has failed permanently.
    Fail {
        /// The error.
        error: StepError,
    },
    /// A call to undo the step follows.
    Undo {
        /// True if the call counts as an attempt.
        counts: bool,
    },
    /// The cloud has started an action that undoes the step.
    AwaitUndo {
        /// The action to wait for.
        action: ActionId,
    },
    /// An attempt to undo the step failed and is retried.
    RetryUndo {
        /// The error.
        error: StepError,
        /// The time of the next attempt.
        retry_at: Timestamp,
        /// The maximum number of attempts.
        of: i32,
    },
    /// The step is undone.
    CompleteUndo,
}

/// A reason with its message, in the form of conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The reason.
    pub reason: ConditionReason,
    /// The message for people.
    pub message: String,
}

/// The choice of a person for a stuck saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Retry the step.
    Retry,
    /// Continue without the step.
    Skip,
    /// Abandon the saga.
    Abandon,
    /// The step is resolved: a person chose one of the candidates.
    Adopt,
}

impl Event {
    /// The name in messages and logs.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other event has its own name")]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Step { event, .. } => event.into(),
            event => event.into(),
        }
    }

    /// The index of the step that the event concerns.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        match self {
            Self::Step { index, .. } => Some(*index),
            Self::Start { .. }
            | Self::Refuse { .. }
            | Self::Hold { .. }
            | Self::Suspend
            | Self::Unsuspend
            | Self::Resolve { .. }
            | Self::RollBack { .. }
            | Self::Stick { .. }
            | Self::Finish { .. }
            | Self::Observe { .. } => None,
        }
    }
}

impl StepEvent {
    /// The event, addressed to the step at this index.
    #[must_use]
    pub fn of(self, index: usize) -> Event {
        Event::Step { index, event: self }
    }
}
