//! Journals that an earlier version wrote. Version 0.1.0 stored values in the messages of conditions that have separate
//! fields now; only this file contains its wording. Pure.

use super::state::{condition, current};
use crate::api::{
    conditions::{self, ConditionReason},
    saga::{Cause, ErrorKind, SagaPhase, SagaStatus, StepState, StopReason},
};

/// The start of version 0.1.0's message for a saga that is stuck because it had to stop.
const STOPS: [(&str, StopReason); 3] = [
    ("it was deleted before it was finished", StopReason::Deleted),
    ("it was cancelled", StopReason::Cancelled),
    ("it was not done within its ", StopReason::TimedOut),
];
const STOP_REASONS: [ConditionReason; 4] =
    [ConditionReason::Irreversible, ConditionReason::Deleted, ConditionReason::Cancelled, ConditionReason::TimedOut];

/// Fills the fields that the journal lacks.
pub(super) fn upgrade(status: &mut SagaStatus) {
    if status.phase == SagaPhase::RollingBack && status.rolled_back_by.is_none() {
        status.rolled_back_by = condition(status, conditions::SUCCEEDED)
            .filter(|said| {
                ![ConditionReason::Suspended, ConditionReason::RollingBack].iter().any(|reason| said.reason == *reason)
            })
            .map(|said| Cause { reason: said.reason.clone(), message: said.message.clone() });
    }
    if status.phase == SagaPhase::Stuck && status.stuck_by.is_none() {
        status.stuck_by = condition(status, conditions::STALLED)
            .map(|said| Cause { reason: said.reason.clone(), message: said.message.clone() });
    }
    if status.phase == SagaPhase::Stuck && status.stalled_by.is_none() {
        status.stalled_by = condition(status, conditions::STALLED)
            .filter(|said| STOP_REASONS.iter().any(|reason| said.reason == *reason))
            .and_then(|said| STOPS.into_iter().find(|(text, _)| said.message.starts_with(text)))
            .map(|(_, reason)| reason);
    }
    let said = condition(status, conditions::SUCCEEDED).filter(|said| said.reason == ConditionReason::Running);
    let said = said.map(|said| said.message.clone());
    let phase = status.phase;
    let Some(entry) = current(status).and_then(|index| status.steps.get_mut(index)) else { return };
    let may_wait = phase == SagaPhase::Running && matches!(entry.state, StepState::Pending | StepState::Running);
    if may_wait && entry.waiting_for.is_none() && entry.error.is_none() {
        let prefix = format!("step {:?}: ", entry.name);
        entry.waiting_for = said.and_then(|said| said.strip_prefix(&prefix).map(str::to_owned));
    }
    if let Some(undo) = &mut entry.undo
        && let Some(error) = undo.error.take_if(|error| error.kind == ErrorKind::Waiting)
    {
        undo.waiting_for = Some(error.message);
    }
}
