//! The conditions of a saga, derived from its journal. Pure.

#![warn(clippy::wildcard_enum_match_arm)]

use jiff::Timestamp;

use super::{
    clock,
    event::StepEvent,
    state::{Direction, LONGEST_MESSAGE, LONGEST_REFUSAL, condition, current, direction, short},
};
use crate::{
    api::{
        conditions::{self, Claim, ConditionReason, ConditionStatus},
        saga::{Cause, SagaPhase, SagaStatus, StepStatus},
    },
    comparison::show::visible,
};

/// The attempts of a step, as the message shows them between the step's name and the error. Only the decision knows
/// these numbers.
pub(super) struct NextAttempt {
    of: i32,
    when: String,
}

pub(super) fn next_attempt(event: &StepEvent, now: Timestamp) -> Option<NextAttempt> {
    let seconds = |at: Timestamp| {
        let wait = clock::until(at, now).unwrap_or_default();
        wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
    };
    match event {
        StepEvent::Retry { retry_at, of, latest: Some(latest), .. } => {
            let latest = seconds((*latest).max(*retry_at));
            Some(NextAttempt { of: *of, when: format!("next in up to {latest} s, after looking up its effect") })
        }
        StepEvent::Delay { retry_at, of, .. }
        | StepEvent::Retry { retry_at, of, .. }
        | StepEvent::RetryUndo { retry_at, of, .. } => {
            Some(NextAttempt { of: *of, when: format!("next in {} s", seconds(*retry_at)) })
        }
        StepEvent::Begin { .. }
        | StepEvent::Renew { .. }
        | StepEvent::Await { .. }
        | StepEvent::Wait { .. }
        | StepEvent::Complete { .. }
        | StepEvent::Fail { .. }
        | StepEvent::Undo { .. }
        | StepEvent::AwaitUndo { .. }
        | StepEvent::CompleteUndo => None,
    }
}

pub(super) fn attempts(status: &SagaStatus, index: usize, next: &NextAttempt) -> String {
    let Some(entry) = status.steps.get(index) else { return String::new() };
    let (attempts, error) = match (direction(status), &entry.undo) {
        (Direction::Back, Some(undo)) => (undo.attempts, undo.error.as_ref()),
        _ => (entry.attempts, entry.error.as_ref()),
    };
    let why = error.map_or("", |error| error.message.as_str());
    let NextAttempt { of, when } = next;
    about_step(status, entry, &format!("attempt {attempts} of {of}, {when}: {why}"))
}

/// The wait or the error of the current step; empty while it is simply running.
fn news(status: &SagaStatus) -> String {
    let Some(entry) = current(status).and_then(|index| status.steps.get(index)) else { return String::new() };
    let (attempts, error, waiting_for) = match (direction(status), &entry.undo) {
        (Direction::Forward, _) => (entry.attempts, entry.error.as_ref(), entry.waiting_for.as_ref()),
        (Direction::Back, Some(undo)) => (undo.attempts, undo.error.as_ref(), undo.waiting_for.as_ref()),
        (Direction::Back, None) => return String::new(),
    };
    match (waiting_for, error) {
        (Some(what), _) => about_step(status, entry, what),
        (None, Some(error)) => about_step(status, entry, &format!("attempt {attempts} failed: {}", error.message)),
        (None, None) => String::new(),
    }
}

fn about_step(status: &SagaStatus, entry: &StepStatus, what: &str) -> String {
    match direction(status) {
        Direction::Forward => format!("step {:?}: {what}", entry.name),
        Direction::Back => format!("undoing step {:?}: {what}", entry.name),
    }
}

/// Sets the conditions of an active saga from the journal of its current step.
pub(super) fn set_active(status: &mut SagaStatus, now: Timestamp) {
    let news = news(status);
    set_active_with(status, &news, now);
}

/// Sets the conditions of an active saga.
pub(super) fn set_active_with(status: &mut SagaStatus, news: &str, now: Timestamp) {
    match (status.phase, &status.rolled_back_by) {
        (SagaPhase::RollingBack, Some(Cause { reason, message })) => {
            let reason = reason.clone();
            let both = if news.is_empty() { message.clone() } else { format!("{message}; {news}") };
            set_conditions(status, reason, &both, news, now);
        }
        (SagaPhase::RollingBack, None) => set_conditions(status, ConditionReason::RollingBack.into(), news, news, now),
        (
            SagaPhase::Pending
            | SagaPhase::Running
            | SagaPhase::Succeeded
            | SagaPhase::RolledBack
            | SagaPhase::Failed
            | SagaPhase::Stuck,
            _,
        ) => set_conditions(status, ConditionReason::Running.into(), news, news, now),
    }
}

/// Sets the phase and the conditions that follow from it.
pub(super) fn enter(
    status: &mut SagaStatus,
    phase: SagaPhase,
    reason: impl Into<String>,
    message: impl Into<String>,
    now: Timestamp,
) {
    status.phase = phase;
    set_conditions(status, reason.into(), &message.into(), "", now);
}

/// Sets the conditions. `message` is the whole message, `news` the current progress. The reason is a text, since the
/// journal of another version may have one that this version does not know.
fn set_conditions(status: &mut SagaStatus, reason: String, message: &str, news: &str, now: Timestamp) {
    let phase = status.phase;
    let is_stuck = phase == SagaPhase::Stuck;
    // Suspension does not change the reason of Stalled.
    let Cause { reason: cause, message: stalled } = status.stuck_by.clone().unwrap_or_default();
    let stalled = (cause, stalled);
    let is_suspended = status.suspended_at.is_some() && !phase.is_finished();
    let pause = "suspended: no step is called or undone and no timeout runs; set spec.suspend to false to resume";
    let suspended = || (ConditionReason::Suspended.into(), pause, pause);
    let (reason, message, news) = if is_suspended { suspended() } else { (reason, message, news) };
    let succeeded = match phase {
        SagaPhase::Succeeded => ConditionStatus::True,
        SagaPhase::RolledBack | SagaPhase::Failed => ConditionStatus::False,
        SagaPhase::Pending | SagaPhase::Running | SagaPhase::RollingBack | SagaPhase::Stuck => ConditionStatus::Unknown,
    };
    let is_going_on = !phase.is_finished() && !is_stuck;
    let longest = if phase == SagaPhase::Failed { LONGEST_REFUSAL } else { LONGEST_MESSAGE };
    let own = |message: &str| (reason.clone(), short(visible(message).into_owned(), longest));
    // Those that are not True say nothing that `Succeeded` does not say.
    let reconciling = is_going_on.then(|| (conditions::RECONCILING, ConditionStatus::True, own(news)));
    let stalled = is_stuck.then_some((conditions::STALLED, ConditionStatus::True, stalled));
    let claims = [Some((conditions::SUCCEEDED, succeeded, own(message))), reconciling, stalled].into_iter().flatten();
    let generation = status.observed_generation.unwrap_or_default();
    status.conditions = claims
        .map(|(kind, state, (reason, message))| {
            let known = condition(status, kind);
            let previous = known.map(|known| (ConditionStatus::read(&known.status), known.last_transition_time.0));
            Claim { kind, status: state, reason, message }.onto(previous, now, generation)
        })
        .collect();
}
