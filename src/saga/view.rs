//! Everything that a decision about a saga depends on. Pure.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    clock::{self, has_passed},
    event::{Choice, Event, StepEvent, Why},
    order::{Order, Ordered},
    state::{Direction, LONGEST_WAIT, current, direction, short},
};
use crate::{
    api::{
        conditions::ConditionReason,
        saga::{Resolution, SagaKind, SagaPhase, SagaSpec, SagaStatus, StepError, StepState, StepStatus, StopReason},
    },
    digitalocean::ActionState,
};

/// Everything that a decision depends on.
pub(crate) struct SagaView<'a> {
    pub spec: &'a SagaSpec,
    /// The journal.
    pub status: &'a SagaStatus,
    /// The generation of the spec.
    pub generation: i64,
    pub is_deleting: bool,
    /// True if the saga's finalizer delays a deletion.
    pub has_finalizer: bool,
    /// The steps, or why the spec is invalid. For `kind: rollback`, the steps of the saga to undo.
    pub order: Result<&'a Order, &'a str>,
    /// The saga to undo, for `kind: rollback`.
    pub undoes: Option<Undoes<'a>>,
    /// The digest of the current spec.
    pub digest: &'a str,
    /// The saga with the same concurrency key that runs first.
    pub waits_for: Option<&'a str>,
    /// The saga that is undoing this one.
    pub undone_by: Option<&'a str>,
    pub intervention: Option<&'a Intervention>,
    /// The result of the cloud action that the current step waits for.
    pub action: Option<ActionState>,
    pub call_state: CallState,
    /// The time to wait for the effect of a call whose response was lost.
    pub settle: Duration,
    pub now: Timestamp,
    /// A random number from 0 to 1 that spreads the pauses.
    pub dice: f64,
}

/// The saga that a saga of kind rollback undoes.
pub(crate) struct Undoes<'a> {
    pub uid: &'a str,
    pub kind: SagaKind,
    /// True if its steps and inputs are the executed ones.
    pub is_unchanged: bool,
    pub phase: SagaPhase,
    /// The journal of its steps.
    pub steps: &'a [StepStatus],
    /// Another saga that has undone it, or is about to.
    pub undone_by: Option<&'a str>,
}

/// An intervention that a person requests for a stuck saga.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// One of the choices of `arcadia.cloud/resolve`.
    Choose(Choice, Resolution),
    /// The id of the resource that the step created.
    Adopt(String, Resolution),
    /// An unknown value of `arcadia.cloud/resolve`.
    Unknown(String),
}

/// The state of the current step's call, as far as this process knows it beyond the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallState {
    /// Unknown: a step that was started is in doubt.
    #[default]
    Unknown,
    /// The intent to call was just written.
    Intent,
    /// No call is in flight, and the next one counts from this time.
    Idle(Timestamp),
    /// The step was just called or looked up, and the next lookup is due at this time.
    InDoubt(Timestamp),
}

/// The time until the saga or its step exceeds its timeout.
#[must_use]
pub(super) fn late_in(view: &SagaView<'_>) -> Option<Duration> {
    let status = view.status;
    let current = current(status).and_then(|index| Some((status.steps.get(index)?, view.ordered(index)?)));
    if status.suspended_at.is_some() {
        return None;
    }
    let step = match status.phase {
        SagaPhase::Running => {
            current.and_then(|(entry, ordered)| Some((clock::step_began(status, entry, view.now)?, ordered.timeout)))
        }
        // A call or a wait is judged by its next response. Only an action can run without end.
        SagaPhase::RollingBack if view.action.is_none() => current.and_then(|(entry, ordered)| {
            let undo = entry.undo.as_ref().filter(|undo| undo.action.is_some())?;
            Some((clock::undo_began(status, undo, view.now)?, view.undo_limit(ordered)))
        }),
        SagaPhase::RollingBack => None,
        SagaPhase::Pending | SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed | SagaPhase::Stuck => {
            return None;
        }
    };
    let step = step.map(|(since, limit)| view.left(since, limit));
    let is_by_order = status.phase == SagaPhase::Running || view.spec.kind == SagaKind::Rollback;
    let saga = view.time_limit().filter(|_| is_by_order);
    let saga = saga.map(|(since, limit)| view.left(since, limit)).filter(|left| !left.is_zero());
    step.into_iter().chain(saga).min()
}

/// The reason why a saga stops, with the stop request that this fulfils.
pub(super) struct Stop {
    pub(super) why: Why,
    pub(super) request: Option<StopReason>,
}

/// The reason to stop the saga before it is done, if there is one.
pub(super) fn stop(view: &SagaView<'_>) -> Option<Stop> {
    let late = view.time_limit().filter(|(since, limit)| has_passed(*since, *limit, view.now)).map(|(_, limit)| limit);
    // A saga of kind rollback completes the undoing before it stops.
    let is_deleted = view.is_deleting && view.spec.kind != SagaKind::Rollback;
    let stops = [
        is_deleted.then(|| (StopReason::Deleted, "deleted before it finished".to_owned())),
        view.spec.cancel_requested.then(|| (StopReason::Cancelled, "cancelled".to_owned())),
        late.map(|limit| (StopReason::TimedOut, format!("not done within its timeout of {} s", limit.as_secs()))),
    ];
    let mut stops = stops.into_iter().flatten();
    let (request, message) = stops.find(|(request, _)| !view.status.overruled.contains(request))?;
    Some(Stop { why: Why { reason: request.reason(), message }, request: Some(request) })
}

/// The end of a message: the last error, or the last wait.
pub(super) fn last(error: Option<&StepError>, said: Option<&str>) -> String {
    let last = error.map(|error| error.message.as_str()).filter(|message| !message.is_empty()).or(said);
    last.map_or_else(String::new, |last| format!("; last: {last}"))
}

impl Undoes<'_> {
    /// The reason why it cannot be undone.
    pub(super) fn refusal(&self, order: &Order) -> Option<String> {
        if self.kind == SagaKind::Rollback {
            return Some("rollbackOf names a saga of kind rollback, which cannot be undone".to_owned());
        }
        if self.phase != SagaPhase::Succeeded {
            return Some(format!(
                "rollbackOf names a saga that is {}; only a saga that Succeeded can be undone",
                self.phase.name()
            ));
        }
        if let Some(other) = self.undone_by {
            return Some(format!("saga {other} has already undone it, or is undoing it"));
        }
        if !self.is_unchanged || order.steps.len() != self.steps.len() {
            return Some("the steps or inputs of the saga that rollbackOf names have changed since it ran".to_owned());
        }
        let mut done = order.steps.iter().zip(self.steps).filter(|(_, entry)| entry.state == StepState::Done);
        let (step, why) = done.find_map(|(ordered, _)| Some((ordered, ordered.irreversible?)))?;
        Some(format!("step {:?} of the saga that rollbackOf names cannot be undone ({why})", step.name))
    }
}

impl Intervention {
    /// Returns true if the resolution in the journal is this intervention.
    pub(super) fn is(&self, resolution: &Resolution) -> bool {
        match self {
            Self::Choose(_, requested) | Self::Adopt(_, requested) => requested.what == resolution.what,
            Self::Unknown(_) => false,
        }
    }
}

impl SagaView<'_> {
    pub(super) fn ordered(&self, index: usize) -> Option<&Ordered> {
        self.order.ok()?.steps.get(index)
    }

    /// The time until the next call counts, if no call is in flight.
    pub(super) fn idle(&self) -> Option<Duration> {
        match self.call_state {
            CallState::Idle(until) => self.until(until),
            CallState::Unknown | CallState::Intent | CallState::InDoubt(_) => None,
        }
    }

    /// The timeout of undoing a step. It is never shorter than the settle time, so that late effects are still found.
    pub(super) fn undo_limit(&self, ordered: &Ordered) -> Duration {
        ordered.undo_timeout().max(self.settle.saturating_mul(2))
    }

    /// The time until then; none if it has passed.
    pub(super) fn until(&self, time: Timestamp) -> Option<Duration> {
        clock::until(time, self.now)
    }

    /// The remaining part of a period.
    pub(super) fn left(&self, since: Timestamp, time: Duration) -> Duration {
        clock::left(since, time, self.now)
    }

    /// The remaining settle time after the step's latest call.
    pub(super) fn unsettled(&self, entry: &StepStatus) -> Duration {
        entry.called_at.as_ref().map_or(Duration::ZERO, |called| self.left(called.0, self.settle))
    }

    /// The time since the step's latest call. If the clock of an earlier leader was ahead, it is the time until then,
    /// so that lookups are not repeated every second.
    pub(super) fn since_call(&self, entry: &StepStatus) -> Duration {
        let called = entry.called_at.as_ref();
        called.map_or(Duration::ZERO, |called| self.now.duration_since(called.0).unsigned_abs())
    }

    /// Publishes a wait once: for people, with the action that they can take.
    #[must_use]
    pub(crate) fn publish_wait(&self, index: usize, why: &str) -> Option<Event> {
        let entry = self.status.steps.get(index)?;
        let said = match (direction(self.status), &entry.undo) {
            (Direction::Forward, _) => entry.waiting_for.as_deref(),
            (Direction::Back, undo) => undo.as_ref().and_then(|undo| undo.waiting_for.as_deref()),
        };
        let why = short(why.to_owned(), LONGEST_WAIT);
        (said != Some(&why) && !why.is_empty()).then_some(StepEvent::Wait { why }.of(index))
    }

    /// The saga's timeout and the time from which it counts. Suspended time moves the start.
    pub(super) fn time_limit(&self) -> Option<(Timestamp, Duration)> {
        let limit = Duration::from_secs(u64::try_from(self.spec.timeout_seconds?).ok()?);
        Some((clock::saga_began(self.status, self.now)?, limit))
    }

    /// The irreversible step that is done.
    fn irreversible_done(&self) -> Option<(&Ordered, &'static str)> {
        let order = self.order.ok()?;
        let mut done = order.steps.iter().zip(&self.status.steps).filter(|(_, entry)| entry.state == StepState::Done);
        done.find_map(|(ordered, _)| Some((ordered, ordered.irreversible?)))
    }

    /// Rolls back, or stops as stuck if an irreversible step is done.
    pub(super) fn turn_back(&self, Stop { why, request }: Stop) -> Event {
        let Some((step, because)) = self.irreversible_done() else { return Event::RollBack { why } };
        let message = format!(
            "{}; rolling back is impossible: step {:?} is done and cannot be undone ({because}); annotate the saga \
             with arcadia.cloud/resolve=retry to continue, skip to continue without the step, or abandon",
            why.message, step.name
        );
        Event::Stick { why: Why { reason: ConditionReason::Irreversible, message }, stop: request }
    }
}
