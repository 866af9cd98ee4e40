//! Failed attempts: another follows, or it was the last. Pure.

use std::time::Duration;

use super::{
    clock::{self, has_passed},
    event::{Event, StepEvent, Why},
    view::{SagaView, last},
};
use crate::{
    api::{
        conditions::ConditionReason,
        saga::{ErrorKind, Retry, StepError, StepStatus},
    },
    backoff::Backoff,
};

/// The shortest and the longest pause of a step that the cloud postpones.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);

/// The pause of a step that waited for the budget without success. It keeps its place.
pub(super) const WAIT_FOR_CALLS: Duration = Duration::from_secs(5);

pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl SagaView<'_> {
    /// The command when undoing a step exceeds its timeout.
    pub(super) fn late_undo(&self, index: usize) -> Option<Event> {
        let (entry, ordered) = (self.status.steps.get(index)?, self.ordered(index)?);
        let (undo, limit) = (entry.undo.as_ref()?, self.undo_limit(ordered));
        let is_late = has_passed(clock::undo_began(self.status, undo, self.now)?, limit, self.now);
        let last = || last(undo.error.as_ref(), undo.waiting_for.as_deref());
        is_late.then(|| not_undone(entry, &format!("not done within {} s{}", limit.as_secs(), last())))
    }
}

/// Records a failed attempt: another follows, or it was the last.
pub(super) fn missed(view: &SagaView<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
    match view.ordered(index) {
        Some(ordered) if entry.attempts < ordered.retry.attempts => {
            let retry_at = view.now + backoff(ordered.retry, entry.attempts, view.dice);
            let latest = (error.kind == ErrorKind::Doubt).then(|| view.now + view.unsettled(entry));
            StepEvent::Retry { error, retry_at, of: ordered.retry.attempts, latest }.of(index)
        }
        _ => StepEvent::Fail { error }.of(index),
    }
}

/// Records a failed attempt to undo: another follows, or the saga is stuck.
pub(super) fn missed_undo(view: &SagaView<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
    let retry = view.ordered(index).map(|ordered| ordered.retry).unwrap_or_default();
    let tried = entry.undo.as_ref().map_or(0, |undo| undo.attempts);
    let of = retry.attempts.saturating_mul(2);
    if tried < of && view.late_undo(index).is_none() {
        let retry_at = view.now + backoff(retry, tried, view.dice);
        return StepEvent::RetryUndo { error, retry_at, of }.of(index);
    }
    not_undone(entry, &error.message)
}

/// Stops as stuck: a person has to intervene.
pub(super) fn not_undone(entry: &StepStatus, why: &str) -> Event {
    let message = format!(
        "undoing step {:?} failed: {why}; fix the cause and annotate the saga with arcadia.cloud/resolve=retry, skip \
         to leave it as it is, or abandon",
        entry.name
    );
    Event::Stick { why: Why { reason: ConditionReason::UndoFailed, message }, stop: None }
}

/// The pause after this many attempts.
pub(super) fn backoff(retry: Retry, tried: i32, dice: f64) -> Duration {
    let seconds = |number: i32| Duration::from_secs(u64::try_from(number).unwrap_or_default());
    let (shortest, longest) = (seconds(retry.min_seconds), seconds(retry.max_seconds));
    Backoff::new(shortest, longest.max(shortest)).spread(u32::try_from(tried).unwrap_or_default(), dice)
}

/// The pause of a step that the cloud has postponed this many times.
pub(super) fn wait(waits: u32) -> Duration {
    Backoff::new(SHORTEST_WAIT, LONGEST_WAIT).after(waits.saturating_add(1))
}
