//! The next command of a saga that undoes its steps.

use crate::{
    api::saga::{ErrorKind, SagaKind, StepError, StepState},
    digitalocean::ActionState,
    saga::{
        attempts::missed_undo,
        clock,
        command::Command,
        event::{Event, StepEvent, Why},
        state::current,
        view::{CallState, SagaView, Stop, stop},
    },
};

pub(super) fn back(view: &SagaView<'_>) -> Command {
    let Some(index) = current(view.status) else {
        return Command::Note(Event::Finish { is_rollback_kind: view.spec.kind == SagaKind::Rollback });
    };
    let (Some(entry), Some(ordered)) = (view.status.steps.get(index), view.ordered(index)) else {
        return Command::Rest(None);
    };
    if entry.state != StepState::Undoing
        && view.spec.kind == SagaKind::Rollback
        && let Some(Stop { why: Why { reason, message }, request }) = stop(view)
    {
        let message = format!(
            "{message}; undone steps stay undone; annotate the saga with arcadia.cloud/resolve=retry to continue, \
             skip to leave step {:?} as it is, or abandon",
            entry.name
        );
        return Command::Note(Event::Stick { why: Why { reason, message }, stop: request });
    }
    // A step that never started is skipped: its preconditions would fail again.
    if ordered.step.is_passive() || entry.started_at.is_none() {
        return Command::Note(StepEvent::CompleteUndo.of(index));
    }
    if entry.state != StepState::Undoing {
        // A cloud action cannot be undone before it has ended.
        let is_over = entry.action.is_none() || view.action.is_some();
        let left =
            clock::step_began(view.status, entry, view.now).map(|began| view.left(began, ordered.undo_timeout()));
        return match left.filter(|left| !is_over && !left.is_zero()) {
            Some(left) => Command::Rest(Some(left)),
            None => Command::Intend(StepEvent::Undo { counts: true }.of(index)),
        };
    }
    let undo = entry.undo.clone().unwrap_or_default();
    if view.call_state == CallState::Intent {
        return Command::CallUndo(index);
    }
    if undo.action.is_some() {
        match view.action {
            None => return view.late_undo(index).map_or(Command::Rest(None), Command::Note),
            Some(ActionState::Errored) => {
                let message = "the cloud started the action that undoes it and reports that it failed".to_owned();
                let error = StepError { kind: ErrorKind::Transient, message };
                return Command::Note(missed_undo(view, index, entry, error));
            }
            Some(ActionState::Completed | ActionState::Gone) => {}
        }
    }
    let until = undo.retry_at.as_ref().map(|at| at.0);
    if let Some(wait) = until.and_then(|until| view.until(until)).or(view.idle()) {
        return Command::Rest(Some(wait));
    }
    Command::Intend(StepEvent::Undo { counts: until.is_some() }.of(index))
}
