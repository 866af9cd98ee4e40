//! The journal: the state machine that a saga's status goes through. Pure. [`apply`] is the one place that changes a
//! status, and says which change is legal when; everything else is an error.
//!
//! ```text
//! Pending ─► Running ─► Succeeded
//!    │          │  ▲
//!    ▼          ▼  └──────┐
//!  Failed   RollingBack ─► Stuck ─► Failed (given up)
//!               │  ▲        │
//!               ▼  └────────┘
//!           RolledBack (a saga of kind rollback: Succeeded)
//! ```

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::Value;

use crate::api::{
    conditions::{self, Truth, reason},
    saga::{
        Cause, MAX_OUTPUT_BYTES, MAX_STATUS_BYTES, Resolution, SagaPhase, SagaStatus, StepError, StepState,
        StepStatus, StopReason, Values,
    },
};

use super::{clock, order::json_size};

/// How long a message in the journal may be, in bytes.
const LONGEST_MESSAGE: usize = 600;
/// How long the message of an order that is refused may be: nothing else is in the journal then.
const LONGEST_REFUSAL: usize = 6000;
/// How long the text may be that says what a step waits for, in bytes.
pub const LONGEST_WAIT: usize = 400;
/// What undoing one step adds to the journal, as JSON, and what the end of the saga does: the messages of two
/// conditions, why it was rolled back, and what the last step waits for.
const UNDO_BYTES: usize = 66;
const END_BYTES: usize = 3 * LONGEST_MESSAGE + LONGEST_WAIT + 300;
/// An empty map has its place always.
const NOTHING_BYTES: usize = 4;
/// How many resolutions and ids are kept.
const MOST_RESOLUTIONS: usize = 8;
const MOST_IDS: usize = 16;

/// Something that happened, or is about to.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The saga begins, with these steps. With a UID, it undoes the saga that did them.
    Start {
        /// The steps: all pending, or as the journal of the saga to undo has them.
        steps: Vec<StepStatus>,
        /// The digest of its order.
        digest: String,
        /// The saga that is undone.
        rollback_of: Option<String>,
    },
    /// It ends before anything was done.
    Refuse {
        /// Why.
        why: Why,
    },
    /// It waits before its first step for another saga to end.
    Hold {
        /// The other saga.
        other: String,
        /// The concurrency key of both.
        key: String,
    },
    /// It is suspended.
    Suspend,
    /// It is resumed.
    Unsuspend,
    /// A step is about to be done for the first time.
    Begin {
        /// The step.
        step: usize,
        /// How things are before it.
        before: Value,
    },
    /// A step could not be begun, and will be tried again.
    Delay {
        /// The step.
        step: usize,
        /// Why.
        error: StepError,
        /// When.
        retry_at: Timestamp,
        /// How many attempts there are in all.
        of: i32,
    },
    /// A step is about to be called again.
    Renew {
        /// The step.
        step: usize,
        /// Whether that is one more attempt.
        counts: bool,
    },
    /// The cloud works on a step.
    Await {
        /// The step.
        step: usize,
        /// The action that has to end.
        action: i64,
        /// What it has to do with.
        ids: Vec<String>,
    },
    /// A step waits, to be done or to be undone, for something that people should know of.
    Wait {
        /// The step.
        step: usize,
        /// What for.
        why: String,
    },
    /// An attempt failed and another follows.
    Retry {
        /// The step.
        step: usize,
        /// Why.
        error: StepError,
        /// When.
        retry_at: Timestamp,
        /// How many attempts there are in all.
        of: i32,
        /// When at the latest, where the effect of the attempt is looked up first.
        latest: Option<Timestamp>,
    },
    /// A step is done.
    Complete {
        /// The step.
        step: usize,
        /// What it came to.
        output: Values,
    },
    /// A step has failed for good.
    Fail {
        /// The step.
        step: usize,
        /// Why.
        error: StepError,
    },
    /// What was done is to be undone.
    RollBack {
        /// Why.
        why: Why,
    },
    /// A step is about to be undone, for the first time or again.
    Undo {
        /// The step.
        step: usize,
        /// Whether that is one more attempt.
        counts: bool,
    },
    /// The cloud works on undoing a step.
    AwaitUndo {
        /// The step.
        step: usize,
        /// The action that has to end.
        action: i64,
    },
    /// An attempt to undo failed and another follows.
    RetryUndo {
        /// The step.
        step: usize,
        /// Why.
        error: StepError,
        /// When.
        retry_at: Timestamp,
        /// How many attempts there are in all.
        of: i32,
    },
    /// A step is undone.
    CompleteUndo {
        /// The step.
        step: usize,
    },
    /// A person has to help.
    Stick {
        /// Why.
        why: Why,
        /// The request to stop that could not be met, where it is one.
        stop: Option<StopReason>,
    },
    /// A person has helped.
    Resolve {
        /// How, by whom and why.
        resolution: Resolution,
        /// What follows.
        choice: Choice,
    },
    /// There is nothing left to do.
    Finish {
        /// Whether it was an undoing that was ordered.
        is_rollback_kind: bool,
    },
    /// A change of the spec was seen.
    Observe {
        /// The version of the spec.
        generation: i64,
    },
}

/// A reason and what it means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// One of [`reason`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What a person chose for a saga that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Try the step again.
    Retry,
    /// Go on without the step.
    Skip,
    /// Give the saga up.
    Abandon,
    /// The step is as it should be: a candidate was chosen.
    Adopt,
}

/// A change that the state machine does not know: a mistake in this program, or a journal that somebody else wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal does not allow it: {event} of step {step:?} in phase {}", phase.name())]
pub struct Illegal {
    event: &'static str,
    step: Option<usize>,
    phase: SagaPhase,
}

/// Which way a saga goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Its steps are done.
    Forward,
    /// Its steps are undone.
    Back,
}

/// Which way this saga goes, or went when it got stuck.
#[must_use]
pub fn direction(status: &SagaStatus) -> Direction {
    let undoes = |entry: &StepStatus| matches!(entry.state, StepState::Undoing | StepState::Undone | StepState::Left);
    let is_back =
        status.phase == SagaPhase::RollingBack || status.rollback_of_uid.is_some() || status.steps.iter().any(undoes);
    if is_back { Direction::Back } else { Direction::Forward }
}

/// The step that is next in the saga's direction.
#[must_use]
pub fn current(status: &SagaStatus) -> Option<usize> {
    match direction(status) {
        Direction::Forward => {
            status.steps.iter().position(|entry| !matches!(entry.state, StepState::Done | StepState::Skipped))
        }
        Direction::Back => status.steps.iter().rposition(|entry| {
            matches!(entry.state, StepState::Running | StepState::Done | StepState::Failed | StepState::Undoing)
        }),
    }
}

/// Whether there is still room for so much in the journal: what undoing each step adds, and what is said in the end,
/// has its place already.
#[must_use]
pub fn has_room(status: &SagaStatus, bytes: usize) -> bool {
    let kept = status.steps.len().saturating_mul(UNDO_BYTES).saturating_add(END_BYTES);
    let taken = json_size(status).saturating_add(kept);
    bytes <= NOTHING_BYTES || (bytes <= MAX_OUTPUT_BYTES && taken.saturating_add(bytes) <= MAX_STATUS_BYTES)
}

/// Writes an event into the journal.
///
/// # Errors
/// When it is not legal now. The status is as it was then.
pub fn apply(status: &mut SagaStatus, event: Event, now: Timestamp) -> Result<(), Illegal> {
    let illegal = Illegal { event: event.name(), step: event.step(), phase: status.phase };
    if !is_legal(status, &event) {
        return Err(illegal);
    }
    let time = Some(Time(now));
    match event {
        Event::Start { steps, digest, rollback_of } => {
            status.started_at = time;
            status.spec_digest = Some(digest);
            status.waiting_for_saga = None;
            status.phase = if rollback_of.is_some() { SagaPhase::RollingBack } else { SagaPhase::Running };
            status.rollback_of_uid = rollback_of;
            status.steps = steps;
            go_on(status, now);
        }
        Event::Refuse { why } => {
            status.finished_at = time;
            status.waiting_for_saga = None;
            enter(status, SagaPhase::Failed, why.reason, short(why.message, LONGEST_REFUSAL), now);
        }
        Event::Hold { other, key } => {
            let message = format!("waits for saga {other}, which has the same concurrency key ({key})");
            status.waiting_for_saga = Some(other);
            enter(status, SagaPhase::Pending, reason::WAITING_FOR_ANOTHER, message, now);
        }
        Event::Suspend => {
            status.suspended_at = time;
            status.waiting_for_saga = None;
            enter(status, status.phase, reason::SUSPENDED, "", now);
        }
        Event::Unsuspend => unsuspend(status, now),
        Event::Resolve { resolution, choice } => {
            let overruled = status.stalled_by.take().filter(|reason| !status.overruled.contains(reason));
            status.overruled.extend(overruled);
            resolve(status, resolution, choice, now);
        }
        Event::RollBack { why } => {
            let message = short(why.message, LONGEST_MESSAGE);
            status.rolled_back_by = Some(Cause { reason: why.reason.to_owned(), message });
            status.phase = SagaPhase::RollingBack;
            go_on(status, now);
        }
        Event::Stick { why, stop } => {
            status.stalled_by = stop;
            enter(status, SagaPhase::Stuck, why.reason, short(why.message, LONGEST_MESSAGE), now);
        }
        Event::Finish { is_rollback_kind } => finish(status, is_rollback_kind, now),
        Event::Observe { generation } => {
            status.observed_generation = Some(generation);
            for condition in &mut status.conditions {
                condition.observed_generation = Some(generation);
            }
        }
        step_event => {
            let index = step_event.step().unwrap_or_default();
            let next = next_attempt(&step_event, now);
            if let Some(entry) = status.steps.get_mut(index) {
                write_step(entry, step_event, now);
            }
            match next {
                Some(next) => go_on_with(status, &attempts(status, index, &next), now),
                None => go_on(status, now),
            }
        }
    }
    summarise(status);
    Ok(())
}

/// What is said of the attempts at a step, after the step's name and before the error: the numbers are known to whoever
/// decides alone.
struct NextAttempt {
    of: i32,
    when: String,
}

fn next_attempt(event: &Event, now: Timestamp) -> Option<NextAttempt> {
    let seconds = |at: Timestamp| {
        let wait = clock::until(at, now).unwrap_or_default();
        wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
    };
    match event {
        Event::Retry { retry_at, of, latest: Some(latest), .. } => {
            let latest = seconds((*latest).max(*retry_at));
            Some(NextAttempt { of: *of, when: format!("next in up to {latest} s, once its effect was looked up") })
        }
        Event::Delay { retry_at, of, .. } | Event::Retry { retry_at, of, .. } | Event::RetryUndo { retry_at, of, .. } => {
            Some(NextAttempt { of: *of, when: format!("next in {} s", seconds(*retry_at)) })
        }
        _ => None,
    }
}

fn attempts(status: &SagaStatus, index: usize, next: &NextAttempt) -> String {
    let Some(entry) = status.steps.get(index) else { return String::new() };
    let (attempts, error) = match (direction(status), &entry.undo) {
        (Direction::Back, Some(undo)) => (undo.attempts, undo.error.as_ref()),
        _ => (entry.attempts, entry.error.as_ref()),
    };
    let why = error.map_or("", |error| error.message.as_str());
    let NextAttempt { of, when } = next;
    about_step(status, entry, &format!("attempt {attempts} of {of}, {when}: {why}"))
}

/// What the step that is worked on waits for, or why it has to be tried again; empty where it is just worked on.
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

fn unsuspend(status: &mut SagaStatus, now: Timestamp) {
    let paused = status.suspended_at.take();
    let seconds = |since: Option<&Time>| {
        let since = since.map_or(now, |since| since.0);
        clock::pause(paused.as_ref(), since, now).as_secs()
    };
    let whole = seconds(paused.as_ref());
    status.suspended_seconds = status.suspended_seconds.saturating_add(whole);
    if let Some(entry) = current(status).and_then(|index| status.steps.get_mut(index)) {
        if entry.started_at.is_some() {
            let pause = seconds(entry.started_at.as_ref());
            entry.suspended_seconds = entry.suspended_seconds.saturating_add(pause);
        }
        if let Some(undo) = entry.undo.as_mut().filter(|undo| undo.started_at.is_some()) {
            let pause = seconds(undo.started_at.as_ref());
            undo.suspended_seconds = undo.suspended_seconds.saturating_add(pause);
        }
    }
    match status.phase {
        SagaPhase::Pending => enter(status, SagaPhase::Pending, reason::PENDING, "", now),
        SagaPhase::Stuck => {
            let why = condition(status, conditions::STALLED).map(|it| (it.reason.clone(), it.message.clone()));
            let (why, message) = why.unwrap_or_default();
            enter(status, SagaPhase::Stuck, &why, message, now);
        }
        _ => go_on(status, now),
    }
}

/// The one function that says what may happen when.
#[expect(clippy::match_same_arms, reason = "each row is a rule by itself")]
fn is_legal(status: &SagaStatus, event: &Event) -> bool {
    let state = |step: usize| status.steps.get(step).map(|entry| entry.state);
    let is_current = |step: usize| current(status) == Some(step);
    match (status.phase, event) {
        (_, Event::Observe { .. }) => true,
        (SagaPhase::Pending, Event::Start { steps, .. }) => !steps.is_empty(),
        (SagaPhase::Pending, Event::Refuse { .. } | Event::Hold { .. }) => status.steps.is_empty(),
        (phase, Event::Suspend) => !phase.is_finished() && status.suspended_at.is_none(),
        (phase, Event::Unsuspend) => !phase.is_finished() && status.suspended_at.is_some(),
        (SagaPhase::Running, Event::Begin { step, .. } | Event::Delay { step, .. }) => {
            is_current(*step) && state(*step) == Some(StepState::Pending)
        }
        (SagaPhase::Running, Event::Wait { step, .. }) => {
            is_current(*step) && matches!(state(*step), Some(StepState::Running | StepState::Pending))
        }
        (
            SagaPhase::Running,
            Event::Renew { step, .. }
            | Event::Await { step, .. }
            | Event::Retry { step, .. }
            | Event::Complete { step, .. },
        ) => is_current(*step) && state(*step) == Some(StepState::Running),
        (SagaPhase::Running, Event::Fail { step, .. }) => {
            is_current(*step) && matches!(state(*step), Some(StepState::Running | StepState::Pending))
        }
        (SagaPhase::Running, Event::RollBack { .. }) => true,
        (SagaPhase::RollingBack, Event::Undo { step, .. }) => is_current(*step),
        (SagaPhase::RollingBack, Event::CompleteUndo { step }) => is_current(*step),
        (
            SagaPhase::RollingBack,
            Event::AwaitUndo { step, .. } | Event::RetryUndo { step, .. } | Event::Wait { step, .. },
        ) => is_current(*step) && state(*step) == Some(StepState::Undoing),
        (SagaPhase::Running | SagaPhase::RollingBack, Event::Stick { .. }) => true,
        (SagaPhase::Running | SagaPhase::RollingBack, Event::Finish { .. }) => current(status).is_none(),
        (SagaPhase::Stuck, Event::Resolve { choice, .. }) => {
            *choice != Choice::Adopt || direction(status) == Direction::Forward
        }
        // A choice among candidates is followed by what the step makes of it.
        _ => false,
    }
}

fn write_step(entry: &mut StepStatus, event: Event, now: Timestamp) {
    let time = Some(Time(now));
    match event {
        Event::Begin { before, .. } => {
            entry.state = StepState::Running;
            entry.attempts = entry.attempts.saturating_add(1);
            entry.started_at = time.clone();
            entry.suspended_seconds = 0;
            entry.called_at = time;
            entry.retry_at = None;
            entry.waiting_for = None;
            entry.error = None;
            entry.before = (!before.is_null()).then_some(before);
        }
        Event::Delay { error, retry_at, .. } => {
            entry.attempts = entry.attempts.saturating_add(1);
            entry.waiting_for = None;
            entry.error = Some(cut(error));
            entry.retry_at = Some(Time(retry_at));
        }
        Event::Wait { why, .. } => {
            let waiting_for = match entry.state {
                StepState::Undoing => &mut entry.undo.get_or_insert_default().waiting_for,
                _ => &mut entry.waiting_for,
            };
            *waiting_for = Some(short(why, LONGEST_WAIT));
        }
        Event::Renew { counts, .. } => {
            if counts {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.waiting_for = None;
            }
            entry.called_at = time;
            entry.retry_at = None;
            entry.action = None;
            entry.error = None;
        }
        Event::Await { action, ids, .. } => {
            entry.action = Some(action);
            entry.waiting_for = Some(waits_for_action(action, &ids));
            entry.error = None;
            for id in ids {
                if !entry.external_ids.contains(&id) && entry.external_ids.len() < MOST_IDS {
                    entry.external_ids.push(id);
                }
            }
        }
        Event::Retry { error, retry_at, .. } => {
            entry.action = None;
            entry.waiting_for = None;
            entry.error = Some(cut(error));
            entry.retry_at = Some(Time(retry_at));
        }
        Event::Complete { output, .. } => {
            entry.state = StepState::Done;
            entry.finished_at = time;
            entry.suspended_seconds = 0;
            entry.called_at = None;
            entry.retry_at = None;
            entry.action = None;
            entry.waiting_for = None;
            entry.error = None;
            entry.output = output;
        }
        Event::Fail { error, .. } => {
            entry.state = StepState::Failed;
            entry.finished_at = time;
            entry.retry_at = None;
            entry.waiting_for = None;
            entry.error = Some(cut(error));
        }
        Event::Undo { counts, .. } => {
            entry.state = StepState::Undoing;
            entry.action = None;
            entry.waiting_for = None;
            let undo = entry.undo.get_or_insert_default();
            if counts || undo.attempts == 0 {
                undo.attempts = undo.attempts.saturating_add(1);
                undo.waiting_for = None;
                undo.error = None;
            }
            undo.started_at = undo.started_at.take().or(time);
            undo.retry_at = None;
        }
        Event::AwaitUndo { action, .. } => {
            let undo = entry.undo.get_or_insert_default();
            undo.action = Some(action);
            undo.waiting_for = Some(waits_for_action(action, &entry.external_ids));
            undo.error = None;
        }
        Event::RetryUndo { error, retry_at, .. } => {
            let undo = entry.undo.get_or_insert_default();
            undo.action = None;
            undo.waiting_for = None;
            undo.error = Some(cut(error));
            undo.retry_at = Some(Time(retry_at));
        }
        Event::CompleteUndo { .. } => {
            entry.state = StepState::Undone;
            entry.called_at = None;
            entry.suspended_seconds = 0;
            entry.waiting_for = None;
            let undo = entry.undo.get_or_insert_default();
            undo.started_at = None;
            undo.suspended_seconds = 0;
            undo.retry_at = None;
            undo.action = None;
            undo.waiting_for = None;
            undo.error = None;
            undo.finished_at = time;
        }
        _ => {}
    }
}

fn waits_for_action(action: i64, ids: &[String]) -> String {
    let about = if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) };
    format!("waits for action {action} of the cloud{about}")
}

fn resolve(status: &mut SagaStatus, resolution: Resolution, choice: Choice, now: Timestamp) {
    let back = direction(status) == Direction::Back;
    let entry = current(status).and_then(|index| status.steps.get_mut(index));
    if let Some(entry) = entry {
        match (choice, back) {
            (Choice::Retry, false) if entry.state == StepState::Failed || entry.state == StepState::Running => {
                // What was begun is in doubt again, and has its time and its attempts anew.
                entry.state = if entry.started_at.is_some() { StepState::Running } else { StepState::Pending };
                entry.started_at = entry.started_at.take().map(|_| Time(now));
                entry.suspended_seconds = 0;
                entry.finished_at = None;
                entry.attempts = 0;
                entry.retry_at = None;
                entry.error = None;
            }
            (Choice::Adopt, false) => {
                entry.state = StepState::Running;
                entry.finished_at = None;
                entry.retry_at = None;
                entry.error = None;
            }
            (Choice::Skip, false) => entry.state = StepState::Skipped,
            (Choice::Retry, true) => entry.undo = None,
            (Choice::Skip, true) => entry.state = StepState::Left,
            _ => {}
        }
    }
    let what = format!("{} of {:?} by {}", resolution.what, resolution.step, resolution.by);
    status.resolutions.push(resolution);
    let surplus = status.resolutions.len().saturating_sub(MOST_RESOLUTIONS);
    status.resolutions.drain(..surplus);
    while status.resolutions.len() > 1 && !has_room(status, NOTHING_BYTES + 1) {
        status.resolutions.remove(0);
    }
    match (choice, back) {
        (Choice::Abandon, _) => {
            status.finished_at = Some(Time(now));
            enter(status, SagaPhase::Failed, reason::ABANDONED, given_up(status, &what), now);
        }
        (_, true) => {
            status.phase = SagaPhase::RollingBack;
            go_on_with(status, &what, now);
        }
        (_, false) => {
            status.phase = SagaPhase::Running;
            go_on_with(status, &what, now);
        }
    }
}

/// What a saga that was given up leaves behind.
fn given_up(status: &SagaStatus, what: &str) -> String {
    let left = status
        .steps
        .iter()
        .filter(|entry| !matches!(entry.state, StepState::Pending | StepState::Undone | StepState::Skipped));
    let left: Vec<_> = left.map(|entry| entry.name.as_str()).collect();
    if left.is_empty() { what.to_owned() } else { format!("{what}; not undone: {}", left.join(", ")) }
}

fn finish(status: &mut SagaStatus, is_rollback_kind: bool, now: Timestamp) {
    status.finished_at = Some(Time(now));
    if status.phase == SagaPhase::Running || is_rollback_kind {
        enter(status, SagaPhase::Succeeded, reason::SUCCEEDED, "all steps are done", now);
    } else {
        let why = status.rolled_back_by.as_ref().map(|cause| cause.message.clone());
        let left = status.steps.iter().filter(|entry| entry.state == StepState::Left);
        let left: Vec<_> = left.map(|entry| entry.name.as_str()).collect();
        let undone = if left.is_empty() {
            "all is undone".to_owned()
        } else {
            format!("all is undone but what was left as it is: {}", left.join(", "))
        };
        let message =
            why.filter(|why| !why.is_empty()).map_or_else(|| undone.clone(), |why| format!("{undone}: {why}"));
        enter(status, SagaPhase::RolledBack, reason::ROLLED_BACK, message, now);
    }
}

/// The condition of this type.
#[must_use]
pub fn condition<'s>(status: &'s SagaStatus, kind: &str) -> Option<&'s Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Sets the conditions of a saga that is carried on, by what the journal says of the step that is worked on.
fn go_on(status: &mut SagaStatus, now: Timestamp) {
    let news = news(status);
    go_on_with(status, &news, now);
}

/// Sets the conditions of a saga that is carried on.
fn go_on_with(status: &mut SagaStatus, news: &str, now: Timestamp) {
    match (status.phase, &status.rolled_back_by) {
        (SagaPhase::RollingBack, Some(Cause { reason, message })) => {
            let reason = reason.clone();
            let both = if news.is_empty() { message.clone() } else { format!("{message}; {news}") };
            set_conditions(status, &reason, &both, news, now);
        }
        (SagaPhase::RollingBack, None) => set_conditions(status, reason::ROLLING_BACK, news, news, now),
        _ => set_conditions(status, reason::RUNNING, news, news, now),
    }
}

/// Sets the phase and the conditions that follow from it.
fn enter(status: &mut SagaStatus, phase: SagaPhase, why: &str, message: impl Into<String>, now: Timestamp) {
    status.phase = phase;
    set_conditions(status, why, &message.into(), "", now);
}

/// Sets the conditions. `message` is the whole of it, `news` says what is being done.
fn set_conditions(status: &mut SagaStatus, why: &str, message: &str, news: &str, now: Timestamp) {
    let phase = status.phase;
    let is_stuck = phase == SagaPhase::Stuck;
    let stalled = match condition(status, conditions::STALLED) {
        // Being suspended does not change why a person has to help.
        Some(known) if is_stuck && why == reason::SUSPENDED => (known.reason.clone(), known.message.clone()),
        _ => (why.to_owned(), if is_stuck { message.to_owned() } else { String::new() }),
    };
    let is_suspended = status.suspended_at.is_some() && !phase.is_finished();
    let pause = "suspended: no step is called or undone and no timeout runs; set spec.suspend to false to resume";
    let (why, message, news) = if is_suspended { (reason::SUSPENDED, pause, pause) } else { (why, message, news) };
    let stalled = if is_stuck { stalled } else { (why.to_owned(), String::new()) };
    let succeeded = match phase {
        SagaPhase::Succeeded => Truth::True,
        SagaPhase::RolledBack | SagaPhase::Failed => Truth::False,
        _ => Truth::Unknown,
    };
    let is_going_on = !phase.is_finished() && !is_stuck;
    let longest = if phase == SagaPhase::Failed { LONGEST_REFUSAL } else { LONGEST_MESSAGE };
    let own = |message: &str| (why.to_owned(), short(message.to_owned(), longest));
    let claims = [
        (conditions::SUCCEEDED, succeeded, own(message)),
        (conditions::RECONCILING, Truth::from(is_going_on), own(if is_going_on { news } else { "" })),
        (conditions::STALLED, Truth::from(is_stuck), stalled),
    ];
    let generation = status.observed_generation.unwrap_or_default();
    status.conditions = claims
        .map(|(kind, truth, (reason, message))| {
            let known = condition(status, kind).filter(|condition| condition.status == truth.text());
            let since = known.map(|condition| condition.last_transition_time.0);
            // The API server's default speaks of 1970; the operator's own word begins now.
            let since = since.filter(|since| *since != Timestamp::UNIX_EPOCH).unwrap_or(now);
            Condition {
                type_: kind.to_owned(),
                status: truth.text().to_owned(),
                reason,
                message,
                last_transition_time: Time(since),
                observed_generation: Some(generation),
            }
        })
        .into();
}

/// What columns show.
fn summarise(status: &mut SagaStatus) {
    if status.steps.is_empty() {
        return;
    }
    let total = status.steps.len();
    let done = |entry: &&StepStatus| matches!(entry.state, StepState::Done | StepState::Skipped);
    let count = status.steps.iter().filter(done).count();
    status.progress = Some(format!("{count}/{total}"));
    let index = current(status);
    if let Some(entry) = index.and_then(|index| status.steps.get(index)) {
        status.step = Some(entry.name.clone());
    } else if status.phase == SagaPhase::Succeeded && status.rollback_of_uid.is_none() {
        status.step = status.steps.last().map(|entry| entry.name.clone());
    }
}

fn cut(error: StepError) -> StepError {
    StepError { message: short(error.message, LONGEST_MESSAGE), ..error }
}

/// The beginning of a text, of no more than so many bytes.
#[must_use]
pub fn short(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

impl Event {
    /// For messages and the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "Start",
            Self::Refuse { .. } => "Refuse",
            Self::Hold { .. } => "Hold",
            Self::Suspend => "Suspend",
            Self::Unsuspend => "Unsuspend",
            Self::Begin { .. } => "Begin",
            Self::Delay { .. } => "Delay",
            Self::Renew { .. } => "Renew",
            Self::Await { .. } => "Await",
            Self::Wait { .. } => "Wait",
            Self::Retry { .. } => "Retry",
            Self::Complete { .. } => "Complete",
            Self::Fail { .. } => "Fail",
            Self::RollBack { .. } => "RollBack",
            Self::Undo { .. } => "Undo",
            Self::AwaitUndo { .. } => "AwaitUndo",
            Self::RetryUndo { .. } => "RetryUndo",
            Self::CompleteUndo { .. } => "CompleteUndo",
            Self::Stick { .. } => "Stick",
            Self::Resolve { .. } => "Resolve",
            Self::Finish { .. } => "Finish",
            Self::Observe { .. } => "Observe",
        }
    }

    fn step(&self) -> Option<usize> {
        match self {
            Self::Begin { step, .. }
            | Self::Delay { step, .. }
            | Self::Renew { step, .. }
            | Self::Await { step, .. }
            | Self::Wait { step, .. }
            | Self::Retry { step, .. }
            | Self::Complete { step, .. }
            | Self::Fail { step, .. }
            | Self::Undo { step, .. }
            | Self::AwaitUndo { step, .. }
            | Self::RetryUndo { step, .. }
            | Self::CompleteUndo { step } => Some(*step),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::saga::ErrorKind;

    fn why() -> Why {
        Why { reason: reason::CANCELLED, message: "because".to_owned() }
    }

    fn error() -> StepError {
        StepError { kind: ErrorKind::Transient, message: "no".to_owned() }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn steps(count: usize) -> Vec<StepStatus> {
        (0..count).map(|step| StepStatus { name: format!("step-{step}"), ..StepStatus::default() }).collect()
    }

    fn start() -> Event {
        Event::Start { steps: steps(2), digest: String::new(), rollback_of: None }
    }

    /// One event of each kind, about this step.
    fn events(step: usize) -> Vec<Event> {
        let resolution = |what: &str| Resolution {
            at: Time(now()),
            step: String::new(),
            what: what.to_owned(),
            by: "jane".to_owned(),
            why: None,
        };
        let resolve = |what, choice| Event::Resolve { resolution: resolution(what), choice };
        vec![
            start(),
            Event::Refuse { why: why() },
            Event::Hold { other: "first".to_owned(), key: "dep-1".to_owned() },
            Event::Suspend,
            Event::Unsuspend,
            Event::Begin { step, before: json!(null) },
            Event::Delay { step, error: error(), retry_at: now(), of: 5 },
            Event::Renew { step, counts: true },
            Event::Await { step, action: 7, ids: vec!["droplets/1".to_owned()] },
            Event::Wait { step, why: "soon".to_owned() },
            Event::Retry { step, error: error(), retry_at: now(), of: 5, latest: None },
            Event::Complete { step, output: Values::new() },
            Event::Fail { step, error: error() },
            Event::RollBack { why: why() },
            Event::Undo { step, counts: true },
            Event::AwaitUndo { step, action: 8 },
            Event::RetryUndo { step, error: error(), retry_at: now(), of: 10 },
            Event::CompleteUndo { step },
            Event::Stick { why: why(), stop: None },
            resolve("retry", Choice::Retry),
            resolve("skip", Choice::Skip),
            resolve("abandon", Choice::Abandon),
            Event::Finish { is_rollback_kind: false },
            Event::Observe { generation: 1 },
        ]
    }

    /// The journal after these events, the first of which is the start.
    fn after(events: impl IntoIterator<Item = Event>) -> SagaStatus {
        let mut status = SagaStatus::default();
        for event in events {
            apply(&mut status, event, now()).unwrap();
        }
        status
    }

    /// The names of what is legal about this step.
    fn legal(status: &SagaStatus, step: usize) -> Vec<&'static str> {
        let legal = events(step).into_iter().filter(|event| apply(&mut status.clone(), event.clone(), now()).is_ok());
        let mut names: Vec<_> = legal.map(|event| event.name()).collect();
        names.dedup();
        names
    }

    #[test]
    fn each_phase_allows_its_events_and_no_other() {
        let begun = [start(), Event::Begin { step: 0, before: json!(null) }];
        let done = [begun.to_vec(), vec![Event::Complete { step: 0, output: Values::new() }]].concat();
        let back = [done.clone(), vec![Event::RollBack { why: why() }]].concat();
        let undoing = [back.clone(), vec![Event::Undo { step: 0, counts: true }]].concat();
        let stuck = [undoing.clone(), vec![Event::Stick { why: why(), stop: None }]].concat();
        let end = ["RollBack", "Stick"];
        let cases: [(&str, Vec<Event>, usize, Vec<&str>); 9] = [
            ("pending", vec![], 0, vec!["Start", "Refuse", "Hold", "Suspend", "Observe"]),
            (
                "running, the next step",
                vec![start()],
                0,
                [&["Suspend", "Begin", "Delay", "Wait", "Fail"][..], &end, &["Observe"]].concat(),
            ),
            ("running, a later step", vec![start()], 1, [&["Suspend"][..], &end, &["Observe"]].concat()),
            (
                "running, the step that was begun",
                begun.to_vec(),
                0,
                [&["Suspend", "Renew", "Await", "Wait", "Retry", "Complete", "Fail"][..], &end, &["Observe"]].concat(),
            ),
            ("running, the step that is done", done.clone(), 0, [&["Suspend"][..], &end, &["Observe"]].concat()),
            ("rolling back, what is done", back, 0, vec!["Suspend", "Undo", "CompleteUndo", "Stick", "Observe"]),
            (
                "rolling back, what is being undone",
                undoing.clone(),
                0,
                vec!["Suspend", "Wait", "Undo", "AwaitUndo", "RetryUndo", "CompleteUndo", "Stick", "Observe"],
            ),
            ("rolling back, what was never begun", undoing, 1, vec!["Suspend", "Stick", "Observe"]),
            ("stuck", stuck, 0, vec!["Suspend", "Resolve", "Observe"]),
        ];
        for (what, history, step, wanted) in cases {
            assert_eq!(legal(&after(history), step), wanted, "{what}");
        }
    }

    #[test]
    fn what_has_ended_stays_as_it_is() {
        let one = Event::Start { steps: steps(1), digest: String::new(), rollback_of: None };
        let begin = Event::Begin { step: 0, before: json!(null) };
        let done = Event::Complete { step: 0, output: Values::new() };
        let finish = Event::Finish { is_rollback_kind: false };
        let succeeded = after([one.clone(), begin.clone(), done, finish.clone()]);
        let rolled_back = after([one, begin, Event::RollBack { why: why() }, Event::CompleteUndo { step: 0 }, finish]);
        let failed = after([Event::Refuse { why: why() }]);
        for (status, phase) in
            [(succeeded, SagaPhase::Succeeded), (rolled_back, SagaPhase::RolledBack), (failed, SagaPhase::Failed)]
        {
            assert_eq!(status.phase, phase);
            assert!(status.finished_at.is_some());
            assert_eq!(legal(&status, 0), ["Observe"], "{phase:?}");
        }
    }

    #[test]
    fn an_illegal_event_changes_nothing_and_says_so() {
        let mut status = after([start()]);
        let before = status.clone();
        let illegal = apply(&mut status, Event::Complete { step: 1, output: Values::new() }, now()).unwrap_err();
        assert_eq!(illegal.to_string(), "the journal does not allow it: Complete of step Some(1) in phase Running");
        assert_eq!(status, before);
    }

    #[test]
    fn conditions_and_columns_say_what_is_so() {
        let claims = |status: &SagaStatus| {
            status
                .conditions
                .iter()
                .map(|one| format!("{} {} {}", one.type_, one.status, one.reason))
                .collect::<Vec<_>>()
        };
        let mut status = after([start(), Event::Begin { step: 0, before: json!(null) }]);
        assert_eq!(claims(&status), ["Succeeded Unknown Running", "Reconciling True Running", "Stalled False Running"]);
        assert_eq!((status.progress.as_deref(), status.step.as_deref()), (Some("0/2"), Some("step-0")));
        apply(&mut status, Event::Complete { step: 0, output: Values::new() }, now()).unwrap();
        assert_eq!((status.progress.as_deref(), status.step.as_deref()), (Some("1/2"), Some("step-1")));
        apply(&mut status, Event::Stick { why: why(), stop: None }, now()).unwrap();
        assert_eq!(
            claims(&status),
            ["Succeeded Unknown Cancelled", "Reconciling False Cancelled", "Stalled True Cancelled"]
        );
        assert_eq!(condition(&status, conditions::STALLED).unwrap().message, "because");
    }

    #[test]
    fn a_version_of_the_spec_that_was_seen_is_seen_by_the_conditions_too() {
        let mut status = after([start(), Event::Observe { generation: 7 }]);
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
        apply(&mut status, Event::RollBack { why: why() }, now()).unwrap();
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
    }

    #[test]
    fn what_was_left_as_it_is_is_named_in_the_end() {
        let begin = |step| Event::Begin { step, before: json!(null) };
        let mut status = after([
            start(),
            begin(0),
            Event::Complete { step: 0, output: Values::new() },
            Event::RollBack { why: why() },
            Event::Undo { step: 0, counts: true },
            Event::Stick { why: why(), stop: None },
        ]);
        let skip = events(0).into_iter().find(|event| matches!(event, Event::Resolve { choice: Choice::Skip, .. }));
        apply(&mut status, skip.unwrap(), now()).unwrap();
        apply(&mut status, Event::Finish { is_rollback_kind: false }, now()).unwrap();
        let said = &condition(&status, conditions::SUCCEEDED).unwrap().message;
        assert!(said.starts_with("all is undone but what was left as it is: step-0"), "{said}");
    }

    #[test]
    fn a_condition_keeps_its_time_for_as_long_as_its_status() {
        let later = |seconds| now() + std::time::Duration::from_secs(seconds);
        let mut status = after([start()]);
        apply(&mut status, Event::RollBack { why: why() }, later(5)).unwrap();
        let since = |status: &SagaStatus, kind| condition(status, kind).unwrap().last_transition_time.0;
        assert_eq!(since(&status, conditions::RECONCILING), now(), "it was True before");
        apply(&mut status, Event::Stick { why: why(), stop: None }, later(9)).unwrap();
        assert_eq!(since(&status, conditions::RECONCILING), later(9));
        assert_eq!(since(&status, conditions::SUCCEEDED), now());
    }
}
