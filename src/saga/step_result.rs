//! The results of the calls of a step.

use std::{fmt::Display, time::Duration};

use crate::api::saga::ActionId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<O> {
    /// The step is done.
    Done(O),
    /// The cloud works on the step: this action has to end first.
    Started {
        action: ActionId,
        /// The resources of the step, such as `droplets/3164444`.
        ids: Vec<String>,
    },
    /// The step has to be polled again.
    NotYet {
        /// The time until then.
        again: Duration,
        /// The wait, for people.
        why: String,
    },
}

/// The result of looking up a step in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<O> {
    /// The step converges: it is simply repeated.
    Converges,
    /// The step had no effect.
    Nothing,
    /// The effect of the step.
    One(Progress<O>),
    /// Several candidates, by id.
    Several(Vec<String>),
}

/// The progress of undoing a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The step is undone.
    Done,
    /// There is nothing to undo, as far as can be seen now.
    NothingThere,
    /// This action has to end first; then the step is undone again.
    Started(ActionId),
    /// Undoing has to be repeated.
    NotYet {
        /// The time until then.
        again: Duration,
        /// The wait, for people; none for short waits.
        why: String,
    },
}

impl Undo {
    /// A wait for a call that was just made and completes soon.
    #[must_use]
    pub fn not_yet(again: Duration) -> Self {
        Self::NotYet { again, why: String::new() }
    }
}

/// Why a call failed, by the reaction to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Temporary, and nothing was changed.
    #[error("{0}")]
    Transient(String),
    /// The cloud is not ready: retried without counting an attempt.
    #[error("{0}")]
    Waiting(String),
    /// Not sent, because no call of the token was left: repeated soon, at the same place in the line.
    #[error("{0}")]
    OutOfCalls(String),
    /// Unknown whether the call took effect.
    #[error("{0}")]
    Doubt(String),
    /// Permanent.
    #[error("{0}")]
    Permanent(String),
}

impl Failure {
    pub fn permanent(why: impl Display) -> Self {
        Self::Permanent(why.to_string())
    }

    /// The same failure, as a wait that counts as no attempt.
    #[must_use]
    pub fn into_wait(self) -> Self {
        match self {
            Self::Transient(why) | Self::Doubt(why) => Self::Waiting(why),
            Self::Waiting(_) | Self::OutOfCalls(_) | Self::Permanent(_) => self,
        }
    }

    /// The same failure, with its object as a prefix.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        let said = |why: String| format!("{what}: {why}");
        match self {
            Self::Transient(why) => Self::Transient(said(why)),
            Self::Waiting(why) => Self::Waiting(said(why)),
            Self::OutOfCalls(why) => Self::OutOfCalls(said(why)),
            Self::Doubt(why) => Self::Doubt(said(why)),
            Self::Permanent(why) => Self::Permanent(said(why)),
        }
    }
}
