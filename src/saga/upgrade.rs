//! Journals that an earlier version wrote. Its conditions stored values in their messages, which have separate fields now;
//! only this file contains its wording. Pure.
//!
//! No version is published yet, but CHANGELOG.md supports upgrades from earlier commits, whose sagas may be in any phase:
//! tests/stored keeps some of them. Delete this file when the migration section of CHANGELOG.md drops those commits.

use super::state::{condition, current};
use crate::api::{
    conditions::{self, ConditionReason},
    saga::{Cause, ErrorKind, SagaPhase, SagaStatus, StepState, StopReason},
};

/// The start of the earlier message for a saga that is stuck because it had to stop.
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::{
        conditions::{Claim, ConditionStatus},
        saga::StepStatus,
    };

    /// A journal with one condition.
    fn journal(phase: SagaPhase, kind: &'static str, reason: ConditionReason, message: &str) -> SagaStatus {
        let claim = Claim { kind, status: ConditionStatus::True, reason, message: message.to_owned() };
        SagaStatus { phase, conditions: vec![claim.since(Timestamp::UNIX_EPOCH, 1)], ..SagaStatus::default() }
    }

    #[test]
    fn only_a_stuck_saga_gets_the_cause_for_which_it_is_stuck() {
        let cancelled = "it was cancelled; annotate";
        let stuck = |phase| journal(phase, conditions::STALLED, ConditionReason::Cancelled, cancelled);
        let mut status = stuck(SagaPhase::Stuck);
        upgrade(&mut status);
        let cause = Cause { reason: "Cancelled".to_owned(), message: cancelled.to_owned() };
        assert_eq!((status.stuck_by, status.stalled_by), (Some(cause), Some(StopReason::Cancelled)));

        let mut status = stuck(SagaPhase::Running);
        upgrade(&mut status);
        assert_eq!((status.stuck_by, status.stalled_by), (None, None));

        let known = Cause { reason: "TimedOut".to_owned(), message: "late".to_owned() };
        let mut status = SagaStatus { stuck_by: Some(known.clone()), ..stuck(SagaPhase::Stuck) };
        status.stalled_by = Some(StopReason::TimedOut);
        upgrade(&mut status);
        assert_eq!((status.stuck_by, status.stalled_by), (Some(known), Some(StopReason::TimedOut)));
    }

    #[test]
    fn the_reason_and_the_message_together_say_what_stopped_a_saga() {
        for (reason, message, wanted) in [
            (ConditionReason::Deleted, "it was deleted before it was finished", Some(StopReason::Deleted)),
            (ConditionReason::Irreversible, "it was cancelled", Some(StopReason::Cancelled)),
            (ConditionReason::TimedOut, "it was not done within its 5 s", Some(StopReason::TimedOut)),
            (ConditionReason::SeveralCandidates, "it was cancelled", None),
            (ConditionReason::Cancelled, "a person cancelled it", None),
        ] {
            let mut status = journal(SagaPhase::Stuck, conditions::STALLED, reason, message);
            upgrade(&mut status);
            assert_eq!(status.stalled_by, wanted, "{message}");
        }
    }

    #[test]
    fn only_a_step_that_runs_without_an_error_waits() {
        let waits = |phase, state| {
            let mut status =
                journal(phase, conditions::SUCCEEDED, ConditionReason::Running, "step \"a\": droplet 1 is locked");
            status.steps = vec![StepStatus { name: "a".to_owned(), state, ..StepStatus::default() }];
            upgrade(&mut status);
            status.steps[0].waiting_for.clone()
        };
        let locked = Some("droplet 1 is locked".to_owned());
        assert_eq!(waits(SagaPhase::Running, StepState::Running), locked);
        assert_eq!(waits(SagaPhase::Running, StepState::Pending), locked);
        assert_eq!(waits(SagaPhase::Running, StepState::Failed), None);
        assert_eq!(waits(SagaPhase::Stuck, StepState::Running), None);
        assert_eq!(waits(SagaPhase::RollingBack, StepState::Running), None);
    }
}
