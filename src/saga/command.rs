//! The commands of a decision, which the runner executes. Pure.

use std::time::Duration;

use strum::IntoStaticStr;

use super::event::Event;
use crate::api::saga::Resolution;

/// The next thing that the runner does.
#[derive(Clone, Debug, PartialEq, IntoStaticStr)]
pub enum Command {
    /// Record this event; the following events may share the write.
    Note(Event),
    /// Record this event and write the journal now: a call follows.
    Intend(Event),
    /// Read the state before a step and start it.
    Prepare(usize),
    /// Call a step.
    Call(usize),
    /// Poll a step that only waits.
    Poll(usize),
    /// Look up the effect of a step.
    LookUp(usize),
    /// Undo a step.
    CallUndo(usize),
    /// Adopt the resource that a person names as created by the step.
    Adopt(usize, String, Resolution),
    /// Remove the annotations of an intervention that was applied or refused.
    Forget {
        /// The event to publish where the intervention was refused.
        refusal: Option<String>,
    },
    /// Add the finalizer, so that no deletion completes before the saga has finished.
    Hold,
    /// Remove the finalizer.
    LetGo,
    /// Delete the saga: its time to live after finishing has passed.
    Expire,
    /// Publish that the saga can no longer be cancelled.
    RefuseCancel,
    /// Wait for a change, or for this time.
    Rest(Option<Duration>),
}

impl Command {
    /// The command without its data, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Note(event) | Self::Intend(event) => event.name(),
            command => command.into(),
        }
    }
}
