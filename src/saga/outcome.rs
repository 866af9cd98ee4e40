//! The consequences of the result of a call, a poll or a lookup of a step. Pure.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    attempts::{LONGEST_WAIT, WAIT_FOR_CALLS, backoff, missed, missed_undo, wait},
    event::{Event, StepEvent},
    state::{has_room, json_size},
    step_result::{Failure, Lookup, Progress, Undo},
    view::{SagaView, stop},
};
use crate::{
    api::saga::{ErrorKind, StepError, StepStatus, Values},
    backoff::Backoff,
    digitalocean::ActionState,
};

/// The pause before a failed lookup is repeated.
const LOOKUP_RETRY: Duration = Duration::from_secs(5);

/// The pause before the first lookup of a call whose response was lost, and the longest pause between two lookups. In
/// between, the pause is as long as the time since the call.
const FIRST_LOOKUP: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The time that a step waits after its call before the journal shows it. Shorter waits are not worth a write.
const SILENT_WAIT: Duration = Duration::from_secs(5);

impl SagaView<'_> {
    /// Waits for the next lookup. If the wait is longer than a moment, the journal shows it.
    fn wait_for_lookup(&self, index: usize, entry: &StepStatus, again: Duration, why: &str) -> StepOutcome {
        let is_passive = self.ordered(index).is_some_and(|ordered| ordered.step.is_passive());
        let is_news = is_passive || self.since_call(entry) > SILENT_WAIT;
        match self.publish_wait(index, why).filter(|_| is_news) {
            Some(news) => StepOutcome::Publish(news, again),
            None => StepOutcome::Rest(again),
        }
    }
}

/// The outcome of a call, a poll or a lookup.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StepOutcome {
    /// Record this event.
    Note(Event),
    /// Record this event; a call follows.
    Intend(Event),
    /// Wait: no call is in flight, and the next one counts from this time.
    Idle {
        until: Timestamp,
        /// The wait, for people.
        why: String,
    },
    /// Wait for this time, then look the step up again.
    Rest(Duration),
    /// Wait for this time, and publish this event.
    Publish(Event, Duration),
}

/// The outcome of calling or polling a step.
#[must_use]
pub(super) fn after_call(
    view: &SagaView<'_>,
    index: usize,
    result: Result<Progress<Values>, Failure>,
    waits: u32,
) -> StepOutcome {
    let Some(entry) = view.status.steps.get(index) else { return StepOutcome::Rest(LOOKUP_RETRY) };
    match result {
        Ok(progress) => progressed(view, index, progress),
        Err(Failure::Waiting(why)) => StepOutcome::Idle { until: view.now + wait(waits), why },
        Err(Failure::OutOfCalls(why)) => StepOutcome::Idle { until: view.now + WAIT_FOR_CALLS, why },
        Err(Failure::Transient(message)) => {
            StepOutcome::Note(missed(view, index, entry, StepError { kind: ErrorKind::Transient, message }))
        }
        Err(Failure::Doubt(message)) => {
            let event = missed(view, index, entry, StepError { kind: ErrorKind::Doubt, message });
            let is_last = matches!(event, Event::Step { event: StepEvent::Fail { .. }, .. });
            if is_last { StepOutcome::Note(event) } else { StepOutcome::Publish(event, FIRST_LOOKUP) }
        }
        Err(Failure::Permanent(message)) => {
            StepOutcome::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Permanent, message } }.of(index))
        }
    }
}

/// The outcome of reading the state before a step.
#[must_use]
pub(super) fn after_prepare(
    view: &SagaView<'_>,
    index: usize,
    result: Result<serde_json::Value, Failure>,
    waits: u32,
) -> StepOutcome {
    let Some(entry) = view.status.steps.get(index) else { return StepOutcome::Rest(LOOKUP_RETRY) };
    let permanent = |message: String| {
        StepOutcome::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Permanent, message } }.of(index))
    };
    match result {
        Ok(before) if !has_room(view.status, json_size(&before)) => permanent(
            "starting the step: the state that undoing needs does not fit into the saga; nothing was \
                       changed"
                .to_owned(),
        ),
        Ok(before) if view.ordered(index).is_some_and(|ordered| ordered.step.is_passive()) => {
            StepOutcome::Note(StepEvent::Begin { before }.of(index))
        }
        Ok(before) => StepOutcome::Intend(StepEvent::Begin { before }.of(index)),
        Err(Failure::Waiting(why)) => StepOutcome::Idle { until: view.now + wait(waits), why },
        Err(Failure::OutOfCalls(why)) => StepOutcome::Idle { until: view.now + WAIT_FOR_CALLS, why },
        Err(Failure::Permanent(message)) => permanent(message),
        Err(Failure::Transient(message) | Failure::Doubt(message)) => {
            // No call was made yet, so the step is not in doubt.
            let error = StepError { kind: ErrorKind::Transient, message };
            let tried = entry.attempts.saturating_add(1);
            match view.ordered(index) {
                Some(ordered) if tried < ordered.retry.attempts => {
                    let retry_at = view.now + backoff(ordered.retry, tried, view.dice);
                    StepOutcome::Note(StepEvent::Delay { error, retry_at, of: ordered.retry.attempts }.of(index))
                }
                _ => StepOutcome::Note(StepEvent::Fail { error }.of(index)),
            }
        }
    }
}

/// The outcome of looking up a step in doubt.
#[must_use]
pub(super) fn after_lookup(view: &SagaView<'_>, index: usize, result: Result<Lookup<Values>, Failure>) -> StepOutcome {
    let Some(entry) = view.status.steps.get(index) else { return StepOutcome::Rest(LOOKUP_RETRY) };
    let is_doubtful = entry.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Doubt);
    match result {
        Ok(Lookup::One(Progress::Started { action, .. })) if entry.action == Some(action) => {
            StepOutcome::Rest(LOOKUP_RETRY)
        }
        Ok(Lookup::One(progress)) => progressed(view, index, progress),
        // The call is repeated only while the saga goes forward. Undoing looks up the effect itself.
        Ok(Lookup::Converges) if let Some(why) = stop(view) => StepOutcome::Note(view.turn_back(why)),
        Ok(Lookup::Converges) if let Some(wait) = entry.retry_at.as_ref().and_then(|at| view.until(at.0)) => {
            StepOutcome::Rest(wait)
        }
        Ok(Lookup::Converges) => {
            StepOutcome::Intend(StepEvent::Renew { counts: is_doubtful && entry.action.is_none() }.of(index))
        }
        // The cloud reports it as done, so its effect will appear; a second call would do it twice.
        Ok(Lookup::Nothing) if entry.action.is_some() && view.action == Some(ActionState::Completed) => view
            .wait_for_lookup(
                index,
                entry,
                LOOKUP_RETRY,
                "the cloud reports it as done, but does not list the result yet",
            ),
        Ok(Lookup::Nothing) => {
            let called = view.unsettled(entry);
            let wait = entry.retry_at.as_ref().and_then(|at| view.until(at.0)).unwrap_or_default().max(called);
            if !wait.is_zero() {
                let again = view.since_call(entry).clamp(FIRST_LOOKUP, LONGEST_PAUSE).min(wait);
                let why = "the response to its call is lost; the call is repeated if its effect does not appear";
                // The error already contains it.
                let is_shown = entry.error.is_some();
                return if is_shown {
                    StepOutcome::Rest(again)
                } else {
                    view.wait_for_lookup(index, entry, again, why)
                };
            }
            match stop(view) {
                Some(why) => StepOutcome::Note(view.turn_back(why)),
                None => StepOutcome::Intend(StepEvent::Renew { counts: is_doubtful }.of(index)),
            }
        }
        Ok(Lookup::Several(ids)) => {
            let message = format!("several resources could be the result of this step: {}", ids.join(", "));
            StepOutcome::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Ambiguous, message } }.of(index))
        }
        // A failed lookup does not show whether the step is done.
        Err(failure) => {
            let again = LOOKUP_RETRY.min(view.settle);
            match view.publish_wait(index, &format!("looking up its effect: {failure}")) {
                Some(news) => StepOutcome::Publish(news, again),
                None => StepOutcome::Rest(again),
            }
        }
    }
}

/// The outcome of undoing a step.
#[must_use]
pub(super) fn after_undo(view: &SagaView<'_>, index: usize, result: Result<Undo, Failure>, waits: u32) -> StepOutcome {
    let Some(entry) = view.status.steps.get(index) else { return StepOutcome::Rest(LOOKUP_RETRY) };
    let (again, why) = match result {
        Ok(Undo::Done) => return StepOutcome::Note(StepEvent::CompleteUndo.of(index)),
        Ok(Undo::NothingThere) => {
            // The effect of a recent call may still appear, unless the only call was refused.
            let error = entry.error.as_ref().map(|error| error.kind);
            let is_sure = entry.attempts <= 1 && matches!(error, Some(ErrorKind::Permanent | ErrorKind::Transient));
            let called = if is_sure { Duration::ZERO } else { view.unsettled(entry) };
            if called.is_zero() {
                return StepOutcome::Note(StepEvent::CompleteUndo.of(index));
            }
            // Each lookup is recorded first, so the pauses grow.
            let again = view.since_call(entry).max(FIRST_LOOKUP).min(called);
            (again, "the response to its call is lost; its effect is undone if it appears".to_owned())
        }
        Ok(Undo::Started(action)) => {
            let is_known = entry.undo.as_ref().and_then(|undo| undo.action) == Some(action);
            let awaits = StepEvent::AwaitUndo { action }.of(index);
            return if is_known { StepOutcome::Rest(LOOKUP_RETRY) } else { StepOutcome::Note(awaits) };
        }
        Ok(Undo::NotYet { again, why }) => {
            (Backoff::new(again, LONGEST_WAIT.max(again)).after(waits.saturating_add(1)), why)
        }
        Err(Failure::Waiting(why)) => (wait(waits), why),
        Err(Failure::OutOfCalls(why)) => (WAIT_FOR_CALLS, why),
        Err(failure) => {
            let kind = match failure {
                Failure::Permanent(_) => ErrorKind::Permanent,
                Failure::Doubt(_) => ErrorKind::Doubt,
                Failure::Transient(_) | Failure::Waiting(_) | Failure::OutOfCalls(_) => ErrorKind::Transient,
            };
            return StepOutcome::Note(missed_undo(
                view,
                index,
                entry,
                StepError { kind, message: failure.to_string() },
            ));
        }
    };
    match view.late_undo(index) {
        Some(event) => StepOutcome::Note(event),
        None => StepOutcome::Idle { until: view.now + again, why },
    }
}

fn progressed(view: &SagaView<'_>, index: usize, progress: Progress<Values>) -> StepOutcome {
    match progress {
        Progress::Done(output) if has_room(view.status, json_size(&output)) => {
            StepOutcome::Note(StepEvent::Complete { output }.of(index))
        }
        Progress::Done(output) => {
            let message = format!("storing its output: {} bytes do not fit into the saga", json_size(&output));
            // The step is done nevertheless.
            StepOutcome::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Doubt, message } }.of(index))
        }
        Progress::Started { action, ids } => StepOutcome::Note(StepEvent::Await { action, ids }.of(index)),
        Progress::NotYet { again, why } => match view.status.steps.get(index) {
            Some(entry) => view.wait_for_lookup(index, entry, again, &why),
            None => StepOutcome::Rest(again),
        },
    }
}
