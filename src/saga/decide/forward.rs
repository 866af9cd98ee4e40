//! The next command of a saga that executes its steps.

use crate::{
    api::{
        conditions::ConditionReason,
        saga::{ErrorKind, SagaKind, StepError, StepState, StepStatus, StopReason},
    },
    digitalocean::ActionState,
    saga::{
        attempts::missed,
        clock::{self, has_passed},
        command::Command,
        event::{Event, StepEvent, Why},
        order::Ordered,
        state::current,
        view::{CallState, SagaView, Stop, last, stop},
    },
};

pub(super) fn forward(view: &SagaView<'_>) -> Command {
    let status = view.status;
    let Some(index) = current(status) else { return Command::Note(done(view)) };
    let (Some(entry), Some(ordered)) = (status.steps.get(index), view.ordered(index)) else {
        return Command::Rest(None);
    };
    match entry.state {
        StepState::Failed => failed(view, index, entry),
        StepState::Pending => {
            if let Some(why) = stop(view) {
                return Command::Note(view.turn_back(why));
            }
            if let Some(wait) = entry.retry_at.as_ref().and_then(|at| view.until(at.0)).or(view.idle()) {
                return Command::Rest(Some(wait));
            }
            Command::Prepare(index)
        }
        StepState::Running
        | StepState::Done
        | StepState::Skipped
        | StepState::Undoing
        | StepState::Undone
        | StepState::Left => running(view, index, entry, ordered),
    }
}

/// All steps are done. A request to stop that came during the last one is followed now, unless a step cannot be undone.
fn done(view: &SagaView<'_>) -> Event {
    let is_rollback_kind = view.spec.kind == SagaKind::Rollback;
    let asks = |stop: &Stop| matches!(stop.request, Some(StopReason::Cancelled | StopReason::Deleted));
    let back = stop(view).filter(|stop| !is_rollback_kind && asks(stop)).map(|stop| view.turn_back(stop));
    back.filter(|event| matches!(event, Event::RollBack { .. })).unwrap_or(Event::Finish { is_rollback_kind })
}

fn running(view: &SagaView<'_>, index: usize, entry: &StepStatus, ordered: &Ordered) -> Command {
    if view.call_state == CallState::Intent {
        return Command::Call(index);
    }
    let began = clock::step_began(view.status, entry, view.now);
    let is_late = began.is_some_and(|began| has_passed(began, ordered.timeout, view.now));
    if is_late {
        let seconds = ordered.timeout.as_secs();
        let message =
            format!("not done within {seconds} s{}", last(entry.error.as_ref(), entry.waiting_for.as_deref()));
        return Command::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Timeout, message } }.of(index));
    }
    if entry.action.is_some() {
        return match view.action {
            // A cloud action cannot be stopped, and it blocks the resource until it ends.
            None => Command::Rest(None),
            Some(ActionState::Errored) => {
                let message = "the cloud started the action and reports that it failed".to_owned();
                Command::Note(missed(view, index, entry, StepError { kind: ErrorKind::Transient, message }))
            }
            Some(ActionState::Completed | ActionState::Gone) => Command::LookUp(index),
        };
    }
    // No action is in progress, so the saga may stop here. An irreversible step is looked up before that.
    let kind = entry.error.as_ref().map(|error| error.kind);
    // An earlier call whose response was lost may still take effect.
    let did_nothing =
        entry.attempts <= 1 && (matches!(view.call_state, CallState::Idle(_)) || kind == Some(ErrorKind::Transient));
    if (ordered.irreversible.is_none() || ordered.step.is_passive() || did_nothing)
        && let Some(why) = stop(view)
    {
        return Command::Note(view.turn_back(why));
    }
    if ordered.step.is_passive() {
        return match entry.retry_at.as_ref().and_then(|at| view.until(at.0)) {
            Some(wait) => Command::Rest(Some(wait)),
            None if entry.retry_at.is_some() => Command::Note(StepEvent::Renew { counts: true }.of(index)),
            None => Command::Poll(index),
        };
    }
    if let CallState::Idle(until) = view.call_state {
        if let Some(wait) = view.until(until) {
            return Command::Rest(Some(wait));
        }
        return Command::Intend(StepEvent::Renew { counts: false }.of(index));
    }
    let is_doubtful = entry.error.as_ref().is_none_or(|error| error.kind == ErrorKind::Doubt);
    let retry_at = entry.retry_at.as_ref().map(|at| at.0).filter(|_| !is_doubtful);
    let may_appear_until = match view.call_state {
        CallState::InDoubt(until) => Some(until),
        CallState::Unknown | CallState::Intent | CallState::Idle(_) => None,
    };
    match retry_at.or(may_appear_until).and_then(|until| view.until(until)) {
        Some(wait) => Command::Rest(Some(wait)),
        None if retry_at.is_some() => Command::Intend(StepEvent::Renew { counts: true }.of(index)),
        None => Command::LookUp(index),
    }
}

/// A step has failed permanently: the saga rolls back, or is stuck if it cannot.
fn failed(view: &SagaView<'_>, index: usize, entry: &StepStatus) -> Command {
    let error = entry.error.as_ref();
    let what = error.map_or("", |error| error.message.as_str());
    let message = format!("step {:?} failed: {what}", entry.name);
    let kind = error.map(|error| error.kind);
    if kind == Some(ErrorKind::Ambiguous) {
        let message = format!(
            "{message}; inspect them and annotate the saga with arcadia.cloud/adopt=ID, or \
             arcadia.cloud/resolve=retry, skip or abandon"
        );
        return Command::Note(Event::Stick {
            why: Why { reason: ConditionReason::SeveralCandidates, message },
            stop: None,
        });
    }
    let is_irreversible = view.ordered(index).is_some_and(|ordered| ordered.irreversible.is_some());
    if is_irreversible && matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Doubt)) {
        let message = format!(
            "{message}; it may be done and cannot be undone; inspect it and annotate the saga with \
             arcadia.cloud/resolve=retry, skip or abandon"
        );
        return Command::Note(Event::Stick { why: Why { reason: ConditionReason::Irreversible, message }, stop: None });
    }
    let reason = if kind == Some(ErrorKind::Timeout) { ConditionReason::TimedOut } else { ConditionReason::StepFailed };
    Command::Note(view.turn_back(Stop { why: Why { reason, message }, request: None }))
}
