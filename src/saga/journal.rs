//! The journal: the state machine of a saga's status. Pure. Only [`apply`] changes a status. It decides which events
//! are legal; every other event is an error.
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

#![warn(clippy::wildcard_enum_match_arm)]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    claims::{attempts, enter, next_attempt, set_active, set_active_with},
    clock,
    event::{Choice, Event, StepEvent},
    state::{
        Direction, LONGEST_MESSAGE, LONGEST_REFUSAL, LONGEST_WAIT, NOTHING_BYTES, current, direction, has_room, short,
    },
};
use crate::api::{
    conditions::ConditionReason,
    saga::{ActionId, Cause, Resolution, SagaPhase, SagaStatus, StepError, StepState, StepStatus},
};

/// The maximum number of resolutions and of ids in the journal.
const MOST_RESOLUTIONS: usize = 8;
const MOST_IDS: usize = 16;

/// An illegal event: a bug, or a journal that another program wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("recording {event} of step {step:?}: it is not legal in phase {}", phase.name())]
pub struct Illegal {
    event: &'static str,
    step: Option<usize>,
    phase: SagaPhase,
}

/// Records an event in the journal.
///
/// # Errors
/// When the event is not legal. The status is unchanged then.
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
            set_active(status, now);
        }
        Event::Refuse { why } => {
            status.finished_at = time;
            status.waiting_for_saga = None;
            enter(status, SagaPhase::Failed, why.reason, short(why.message, LONGEST_REFUSAL), now);
        }
        Event::Hold { other, key } => {
            let message = format!("waiting for saga {other}, which has the same concurrency key ({key})");
            status.waiting_for_saga = Some(other);
            enter(status, SagaPhase::Pending, ConditionReason::WaitingForAnother, message, now);
        }
        Event::Suspend => {
            status.suspended_at = time;
            status.waiting_for_saga = None;
            enter(status, status.phase, ConditionReason::Suspended, "", now);
        }
        Event::Unsuspend => unsuspend(status, now),
        Event::Resolve { resolution, choice } => {
            status.stuck_by = None;
            let overruled = status.stalled_by.take().filter(|reason| !status.overruled.contains(reason));
            status.overruled.extend(overruled);
            resolve(status, resolution, choice, now);
        }
        Event::RollBack { why } => {
            let message = short(why.message, LONGEST_MESSAGE);
            status.rolled_back_by = Some(Cause { reason: why.reason.into(), message });
            status.phase = SagaPhase::RollingBack;
            set_active(status, now);
        }
        Event::Stick { why, stop } => {
            let message = short(why.message, LONGEST_MESSAGE);
            status.stalled_by = stop;
            status.stuck_by = Some(Cause { reason: why.reason.into(), message: message.clone() });
            enter(status, SagaPhase::Stuck, why.reason, message, now);
        }
        Event::Finish { is_rollback_kind } => finish(status, is_rollback_kind, now),
        Event::Observe { generation } => {
            status.observed_generation = Some(generation);
            for condition in &mut status.conditions {
                condition.observed_generation = Some(generation);
            }
        }
        Event::Step { index, event } => {
            let next = next_attempt(&event, now);
            if let Some(entry) = status.steps.get_mut(index) {
                write_step(entry, event, now);
            }
            match next {
                Some(next) => set_active_with(status, &attempts(status, index, &next), now),
                None => set_active(status, now),
            }
        }
    }
    summarise(status);
    Ok(())
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
        SagaPhase::Pending => enter(status, SagaPhase::Pending, ConditionReason::Pending, "", now),
        SagaPhase::Stuck => {
            let Cause { reason, message } = status.stuck_by.clone().unwrap_or_default();
            enter(status, SagaPhase::Stuck, reason, message, now);
        }
        SagaPhase::Running
        | SagaPhase::RollingBack
        | SagaPhase::Succeeded
        | SagaPhase::RolledBack
        | SagaPhase::Failed => set_active(status, now),
    }
}

/// Decides which event is legal when.
fn is_legal(status: &SagaStatus, event: &Event) -> bool {
    use SagaPhase::{Pending, RollingBack, Running, Stuck};
    let phase = status.phase;
    let is_under_way = matches!(phase, Running | RollingBack);
    match event {
        Event::Observe { .. } => true,
        Event::Start { steps, .. } => phase == Pending && !steps.is_empty(),
        Event::Refuse { .. } | Event::Hold { .. } => phase == Pending && status.steps.is_empty(),
        Event::Suspend => !phase.is_finished() && status.suspended_at.is_none(),
        Event::Unsuspend => !phase.is_finished() && status.suspended_at.is_some(),
        Event::RollBack { .. } => phase == Running,
        Event::Stick { .. } => is_under_way,
        Event::Finish { .. } => is_under_way && current(status).is_none(),
        // The step itself adopts the candidate afterwards.
        Event::Resolve { choice, .. } => {
            phase == Stuck && (*choice != Choice::Adopt || direction(status) == Direction::Forward)
        }
        Event::Step { index, event } => {
            let entry = status.steps.get(*index).filter(|_| current(status) == Some(*index));
            entry.is_some_and(|entry| is_legal_step(phase, entry.state, event))
        }
    }
}

/// Returns true if an event is legal for the next step in the saga's direction.
fn is_legal_step(phase: SagaPhase, state: StepState, event: &StepEvent) -> bool {
    let is_forward = |states: &[StepState]| phase == SagaPhase::Running && states.contains(&state);
    let is_undone = phase == SagaPhase::RollingBack && state == StepState::Undoing;
    match event {
        StepEvent::Begin { .. } | StepEvent::Delay { .. } => is_forward(&[StepState::Pending]),
        StepEvent::Renew { .. } | StepEvent::Await { .. } | StepEvent::Retry { .. } | StepEvent::Complete { .. } => {
            is_forward(&[StepState::Running])
        }
        StepEvent::Fail { .. } => is_forward(&[StepState::Pending, StepState::Running]),
        StepEvent::Wait { .. } => is_forward(&[StepState::Pending, StepState::Running]) || is_undone,
        StepEvent::Undo { .. } | StepEvent::CompleteUndo => phase == SagaPhase::RollingBack,
        StepEvent::AwaitUndo { .. } | StepEvent::RetryUndo { .. } => is_undone,
    }
}

#[expect(clippy::too_many_lines, reason = "a table of the fields that each event writes")]
fn write_step(entry: &mut StepStatus, event: StepEvent, now: Timestamp) {
    let time = Some(Time(now));
    match event {
        StepEvent::Begin { before } => {
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
        StepEvent::Delay { error, retry_at, .. } => {
            entry.attempts = entry.attempts.saturating_add(1);
            entry.waiting_for = None;
            entry.error = Some(cut(error));
            entry.retry_at = Some(Time(retry_at));
        }
        StepEvent::Wait { why } => {
            let waiting_for = if entry.state == StepState::Undoing {
                &mut entry.undo.get_or_insert_default().waiting_for
            } else {
                &mut entry.waiting_for
            };
            *waiting_for = Some(short(why, LONGEST_WAIT));
        }
        StepEvent::Renew { counts } => {
            if counts {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.waiting_for = None;
            }
            entry.called_at = time;
            entry.retry_at = None;
            entry.action = None;
            entry.error = None;
        }
        StepEvent::Await { action, ids } => {
            entry.action = Some(action);
            entry.waiting_for = Some(waits_for_action(action, &ids));
            entry.error = None;
            for id in ids {
                if !entry.external_ids.contains(&id) && entry.external_ids.len() < MOST_IDS {
                    entry.external_ids.push(id);
                }
            }
        }
        StepEvent::Retry { error, retry_at, .. } => {
            entry.action = None;
            entry.waiting_for = None;
            entry.error = Some(cut(error));
            entry.retry_at = Some(Time(retry_at));
        }
        StepEvent::Complete { output } => {
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
        StepEvent::Fail { error } => {
            entry.state = StepState::Failed;
            entry.finished_at = time;
            entry.retry_at = None;
            entry.waiting_for = None;
            entry.error = Some(cut(error));
        }
        StepEvent::Undo { counts } => {
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
        StepEvent::AwaitUndo { action } => {
            let undo = entry.undo.get_or_insert_default();
            undo.action = Some(action);
            undo.waiting_for = Some(waits_for_action(action, &entry.external_ids));
            undo.error = None;
        }
        StepEvent::RetryUndo { error, retry_at, .. } => {
            let undo = entry.undo.get_or_insert_default();
            undo.action = None;
            undo.waiting_for = None;
            undo.error = Some(cut(error));
            undo.retry_at = Some(Time(retry_at));
        }
        StepEvent::CompleteUndo => {
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
    }
}

fn waits_for_action(action: ActionId, ids: &[String]) -> String {
    let about = if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) };
    format!("waiting for cloud action {action}{about}")
}

fn resolve(status: &mut SagaStatus, resolution: Resolution, choice: Choice, now: Timestamp) {
    let back = direction(status) == Direction::Back;
    let entry = current(status).and_then(|index| status.steps.get_mut(index));
    if let Some(entry) = entry {
        match (choice, back) {
            (Choice::Retry, false) if entry.state == StepState::Failed || entry.state == StepState::Running => {
                // A started step is in doubt again. Its timeout and attempts restart.
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
            // Nothing changes: a step that has not failed is only continued, `is_legal` refuses to adopt for an undone
            // step, and giving up leaves all steps.
            (Choice::Retry, false) | (Choice::Adopt, true) | (Choice::Abandon, true | false) => {}
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
            enter(status, SagaPhase::Failed, ConditionReason::Abandoned, given_up(status, &what), now);
        }
        (_, true) => {
            status.phase = SagaPhase::RollingBack;
            set_active_with(status, &what, now);
        }
        (_, false) => {
            status.phase = SagaPhase::Running;
            set_active_with(status, &what, now);
        }
    }
}

/// The message of an abandoned saga, with the steps that are not undone.
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
        enter(status, SagaPhase::Succeeded, ConditionReason::Succeeded, "all steps are done", now);
    } else {
        let why = status.rolled_back_by.as_ref().map(|cause| cause.message.clone());
        let left = status.steps.iter().filter(|entry| entry.state == StepState::Left);
        let left: Vec<_> = left.map(|entry| entry.name.as_str()).collect();
        let undone = if left.is_empty() {
            "all steps are undone".to_owned()
        } else {
            format!("all steps are undone, except those left as they are: {}", left.join(", "))
        };
        let message =
            why.filter(|why| !why.is_empty()).map_or_else(|| undone.clone(), |why| format!("{undone}: {why}"));
        enter(status, SagaPhase::RolledBack, ConditionReason::RolledBack, message, now);
    }
}

/// Sets the fields of the printer columns.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::{
            conditions,
            saga::{ErrorKind, MAX_STATUS_BYTES, Values},
        },
        saga::{event::Why, state::condition},
    };

    fn why() -> Why {
        Why { reason: ConditionReason::Cancelled, message: "because".to_owned() }
    }

    fn error() -> StepError {
        StepError { kind: ErrorKind::Transient, message: "no".to_owned() }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn action(id: u64) -> ActionId {
        ActionId::new(id).unwrap()
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
            StepEvent::Begin { before: json!(null) }.of(step),
            StepEvent::Delay { error: error(), retry_at: now(), of: 5 }.of(step),
            StepEvent::Renew { counts: true }.of(step),
            StepEvent::Await { action: action(7), ids: vec!["droplets/1".to_owned()] }.of(step),
            StepEvent::Wait { why: "soon".to_owned() }.of(step),
            StepEvent::Retry { error: error(), retry_at: now(), of: 5, latest: None }.of(step),
            StepEvent::Complete { output: Values::new() }.of(step),
            StepEvent::Fail { error: error() }.of(step),
            Event::RollBack { why: why() },
            StepEvent::Undo { counts: true }.of(step),
            StepEvent::AwaitUndo { action: action(8) }.of(step),
            StepEvent::RetryUndo { error: error(), retry_at: now(), of: 10 }.of(step),
            StepEvent::CompleteUndo.of(step),
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

    /// The names of the events that are legal for this step.
    fn legal(status: &SagaStatus, step: usize) -> Vec<&'static str> {
        let legal = events(step).into_iter().filter(|event| apply(&mut status.clone(), event.clone(), now()).is_ok());
        let mut names: Vec<_> = legal.map(|event| event.name()).collect();
        names.dedup();
        names
    }

    #[test]
    fn each_phase_allows_its_events_and_no_other() {
        let begun = [start(), StepEvent::Begin { before: json!(null) }.of(0)];
        let done = [begun.to_vec(), vec![StepEvent::Complete { output: Values::new() }.of(0)]].concat();
        let back = [done.clone(), vec![Event::RollBack { why: why() }]].concat();
        let undoing = [back.clone(), vec![StepEvent::Undo { counts: true }.of(0)]].concat();
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
                "running, the step that was started",
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
            ("rolling back, a step that never started", undoing, 1, vec!["Suspend", "Stick", "Observe"]),
            ("stuck", stuck, 0, vec!["Suspend", "Resolve", "Observe"]),
        ];
        for (what, history, step, wanted) in cases {
            assert_eq!(legal(&after(history), step), wanted, "{what}");
        }
    }

    #[test]
    fn what_has_ended_stays_as_it_is() {
        let one = Event::Start { steps: steps(1), digest: String::new(), rollback_of: None };
        let begin = StepEvent::Begin { before: json!(null) }.of(0);
        let done = StepEvent::Complete { output: Values::new() }.of(0);
        let finish = Event::Finish { is_rollback_kind: false };
        let succeeded = after([one.clone(), begin.clone(), done, finish.clone()]);
        let rolled_back = after([one, begin, Event::RollBack { why: why() }, StepEvent::CompleteUndo.of(0), finish]);
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
        let illegal = apply(&mut status, StepEvent::Complete { output: Values::new() }.of(7), now()).unwrap_err();
        assert_eq!(illegal.to_string(), "recording Complete of step Some(7): it is not legal in phase Running");
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
        let mut status = after([start(), StepEvent::Begin { before: json!(null) }.of(0)]);
        assert_eq!(claims(&status), ["Succeeded Unknown Running", "Reconciling True Running"]);
        assert_eq!((status.progress.as_deref(), status.step.as_deref()), (Some("0/2"), Some("step-0")));
        apply(&mut status, StepEvent::Complete { output: Values::new() }.of(0), now()).unwrap();
        assert_eq!((status.progress.as_deref(), status.step.as_deref()), (Some("1/2"), Some("step-1")));
        apply(&mut status, Event::Stick { why: why(), stop: None }, now()).unwrap();
        assert_eq!(claims(&status), ["Succeeded Unknown Cancelled", "Stalled True Cancelled"]);
        assert_eq!(condition(&status, conditions::STALLED).unwrap().message, "because");
    }

    #[test]
    fn the_cause_of_a_stuck_saga_survives_a_suspension_without_its_conditions() {
        let mut status = after([start(), Event::Stick { why: why(), stop: None }, Event::Suspend]);
        let stalled = |status: &SagaStatus| {
            let stalled = condition(status, conditions::STALLED).unwrap();
            (stalled.reason.clone(), stalled.message.clone())
        };
        let cause = (ConditionReason::Cancelled.name().to_owned(), "because".to_owned());
        assert_eq!(stalled(&status), cause);
        // Another program may remove the conditions.
        status.conditions.clear();
        apply(&mut status, Event::Unsuspend, now()).unwrap();
        assert_eq!(stalled(&status), cause);
        let retry = events(0).into_iter().find(|event| matches!(event, Event::Resolve { choice: Choice::Retry, .. }));
        apply(&mut status, retry.unwrap(), now()).unwrap();
        assert_eq!(status.stuck_by, None);
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
        let begin = |step| StepEvent::Begin { before: json!(null) }.of(step);
        let mut status = after([
            start(),
            begin(0),
            StepEvent::Complete { output: Values::new() }.of(0),
            Event::RollBack { why: why() },
            StepEvent::Undo { counts: true }.of(0),
            Event::Stick { why: why(), stop: None },
        ]);
        let skip = events(0).into_iter().find(|event| matches!(event, Event::Resolve { choice: Choice::Skip, .. }));
        apply(&mut status, skip.unwrap(), now()).unwrap();
        apply(&mut status, Event::Finish { is_rollback_kind: false }, now()).unwrap();
        let said = &condition(&status, conditions::SUCCEEDED).unwrap().message;
        assert!(said.starts_with("all steps are undone, except those left as they are: step-0"), "{said}");
    }

    fn resolve(status: &mut SagaStatus, what: &str, choice: Choice) -> Result<(), Illegal> {
        let [step, what, by] = ["a", what, "jane"].map(str::to_owned);
        let resolution = Resolution { at: Time(now()), step, what, by, why: None };
        apply(status, Event::Resolve { resolution, choice }, now())
    }

    fn stick(status: &mut SagaStatus) {
        apply(status, Event::Stick { why: why(), stop: None }, now()).unwrap();
    }

    #[test]
    fn the_ids_of_a_step_are_kept_once_each_up_to_a_limit() {
        let mut status = after([start(), StepEvent::Begin { before: json!(null) }.of(0)]);
        let mut ids = |numbers: &[usize]| {
            let ids = numbers.iter().map(|number| format!("droplets/{number}")).collect();
            apply(&mut status, StepEvent::Await { action: action(7), ids }.of(0), now()).unwrap();
            status.steps[0].external_ids.clone()
        };
        assert_eq!(ids(&[1]), ["droplets/1"]);
        assert_eq!(ids(&[1, 2]), ["droplets/1", "droplets/2"]);
        let many: Vec<usize> = (1..=MOST_IDS + 1).collect();
        assert_eq!(ids(&many).len(), MOST_IDS);
    }

    #[test]
    fn an_undo_counts_its_first_call_and_those_that_are_attempts() {
        let mut status =
            after([start(), StepEvent::Begin { before: json!(null) }.of(0), Event::RollBack { why: why() }]);
        for (counts, attempts) in [(false, 1), (false, 1), (true, 2)] {
            apply(&mut status, StepEvent::Undo { counts }.of(0), now()).unwrap();
            assert_eq!(status.steps[0].undo.as_ref().unwrap().attempts, attempts);
        }
    }

    #[test]
    fn a_person_who_retries_a_step_renews_its_attempts_if_it_was_started() {
        let begin = StepEvent::Begin { before: json!(null) }.of(0);
        let retry = StepEvent::Retry { error: error(), retry_at: now(), of: 5, latest: None }.of(0);
        let delay = StepEvent::Delay { error: error(), retry_at: now(), of: 5 }.of(0);
        for (events, state, attempts) in [
            (vec![begin.clone(), StepEvent::Fail { error: error() }.of(0)], StepState::Running, 0),
            (vec![begin, retry], StepState::Running, 0),
            (vec![StepEvent::Fail { error: error() }.of(0)], StepState::Pending, 0),
            (vec![delay], StepState::Pending, 1),
        ] {
            let mut status = after([vec![start()], events].concat());
            stick(&mut status);
            resolve(&mut status, "retry", Choice::Retry).unwrap();
            let entry = &status.steps[0];
            assert_eq!((entry.state, entry.attempts), (state, attempts));
            assert_eq!(entry.error.is_none() && entry.retry_at.is_none() && entry.finished_at.is_none(), attempts == 0);
        }
    }

    #[test]
    fn only_a_step_that_is_not_being_undone_adopts_a_resource() {
        let begun = [start(), StepEvent::Begin { before: json!(null) }.of(0)];
        let mut forward = after(begun.clone());
        stick(&mut forward);
        resolve(&mut forward, "adopt 1", Choice::Adopt).unwrap();
        let mut back = after([begun.to_vec(), vec![Event::RollBack { why: why() }]].concat());
        stick(&mut back);
        resolve(&mut back, "adopt 1", Choice::Adopt).unwrap_err();
        resolve(&mut back, "retry", Choice::Retry).unwrap();
        assert_eq!(back.phase, SagaPhase::RollingBack);
    }

    #[test]
    fn the_last_resolutions_are_kept_and_only_one_if_the_journal_is_full() {
        let kept = |bytes: usize| {
            let mut status = after([start(), StepEvent::Begin { before: json!(null) }.of(0)]);
            status.steps[0].output.insert("large".to_owned(), "x".repeat(bytes).into());
            let names: Vec<String> = (0..MOST_RESOLUTIONS + 2).map(|number| format!("no. {number}")).collect();
            for name in &names {
                stick(&mut status);
                resolve(&mut status, name, Choice::Retry).unwrap();
            }
            let kept: Vec<_> = status.resolutions.into_iter().map(|one| one.what).collect();
            assert!(names.ends_with(&kept), "{kept:?}");
            kept.len()
        };
        assert_eq!(kept(0), MOST_RESOLUTIONS);
        assert_eq!(kept(MAX_STATUS_BYTES), 1);
    }

    #[test]
    fn an_abandoned_saga_names_the_steps_that_are_not_undone() {
        let said = |events: &[Event]| {
            let mut status = after([&[start()], events].concat());
            stick(&mut status);
            resolve(&mut status, "abandon", Choice::Abandon).unwrap();
            condition(&status, conditions::SUCCEEDED).unwrap().message.clone()
        };
        assert_eq!(said(&[]), "abandon of \"a\" by jane");
        let begun = said(&[StepEvent::Begin { before: json!(null) }.of(0)]);
        assert_eq!(begun, "abandon of \"a\" by jane; not undone: step-0");
    }

    #[test]
    fn the_column_of_the_step_shows_the_last_one_of_a_saga_that_succeeded() {
        let done = |step| {
            let complete = StepEvent::Complete { output: Values::new() };
            [StepEvent::Begin { before: json!(null) }.of(step), complete.of(step)]
        };
        let finish = Event::Finish { is_rollback_kind: false };
        let succeeded = after([vec![start()], done(0).to_vec(), done(1).to_vec(), vec![finish.clone()]].concat());
        assert_eq!((succeeded.progress.as_deref(), succeeded.step.as_deref()), (Some("2/2"), Some("step-1")));
        let undone = vec![Event::RollBack { why: why() }, StepEvent::CompleteUndo.of(0), finish];
        let rolled_back = after([vec![start()], done(0).to_vec(), undone].concat());
        assert_eq!((rolled_back.progress.as_deref(), rolled_back.step.as_deref()), (Some("0/2"), Some("step-0")));
    }

    #[test]
    fn a_condition_keeps_its_time_for_as_long_as_its_status() {
        let later = |seconds| now() + std::time::Duration::from_secs(seconds);
        let mut status = after([start()]);
        apply(&mut status, Event::RollBack { why: why() }, later(5)).unwrap();
        let since = |status: &SagaStatus, kind| condition(status, kind).unwrap().last_transition_time.0;
        assert_eq!(since(&status, conditions::RECONCILING), now(), "it was True before");
        apply(&mut status, Event::Stick { why: why(), stop: None }, later(9)).unwrap();
        assert_eq!(since(&status, conditions::STALLED), later(9));
        assert_eq!(since(&status, conditions::SUCCEEDED), now());
    }
}
