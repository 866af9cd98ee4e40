//! What is next for a saga. Pure: values in, one move out. The runner makes the move and asks again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    journal::{Choice, Direction, Event, Why, condition, current, direction, has_room, waiting_message},
    order::{Order, Ordered, json_size},
    step::{Failure, Found, Progress, Undo, has_passed},
};
use crate::{
    api::{
        conditions::{self, reason},
        saga::{
            ErrorKind, Resolution, Retry, SagaKind, SagaPhase, SagaSpec, SagaStatus, StepError, StepState, StepStatus,
            Values,
        },
    },
    digitalocean::ActionState,
};

/// How long until a failed look is made again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long what the cloud wants to have later waits at first, and at the longest.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// All that is known of a saga.
pub struct Seen<'a> {
    /// Its order.
    pub spec: &'a SagaSpec,
    /// Its journal.
    pub status: &'a SagaStatus,
    /// The version of the spec.
    pub generation: i64,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Whether a deletion waits for it.
    pub has_finalizer: bool,
    /// The steps; for `kind: rollback` those of the saga that is undone. Or why there are none.
    pub order: Result<&'a Order, &'a str>,
    /// The saga that is undone, for `kind: rollback`.
    pub undoes: Option<Undoes<'a>>,
    /// The digest of its order as it is now.
    pub digest: &'a str,
    /// The saga with its concurrency key that goes first.
    pub waits_for: Option<&'a str>,
    /// How a person wants to help.
    pub help: Option<&'a Help>,
    /// What became of the cloud action that the current step waits for.
    pub action: Option<ActionState>,
    /// What this process knows beyond the journal.
    pub hand: Hand,
    /// How long after a call what it did may not be seen yet.
    pub settle: Duration,
    /// The moment.
    pub now: Timestamp,
}

/// The saga that a saga of kind rollback undoes.
pub struct Undoes<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// Where it stands.
    pub phase: SagaPhase,
    /// Its journal.
    pub steps: &'a [StepStatus],
    /// Another saga that has undone it.
    pub undone_by: Option<&'a str>,
}

/// How a person wants to help a saga that is stuck.
#[derive(Clone, Debug, PartialEq)]
pub enum Help {
    /// By one of the choices.
    Choose(Choice, Resolution),
    /// By naming what the step made.
    Adopt(String, Resolution),
    /// By a word that is none.
    Unknown(String),
}

/// What this process knows of the current step beyond the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hand {
    /// Nothing: if the step was begun, it is in doubt.
    #[default]
    Empty,
    /// It has just written that it will call.
    Intent,
    /// It knows that no call is under way, and that none counts before this time.
    Calm(Timestamp),
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Write this into the journal; what follows may share the write.
    Note(Event),
    /// Write this into the journal, now: a call follows.
    Intend(Event),
    /// Read how things are before a step and begin it.
    Prepare(usize),
    /// Do a step.
    Call(usize),
    /// Ask a step that only waits.
    Poll(usize),
    /// Look for what a step did.
    Look(usize),
    /// Undo a step.
    CallUndo(usize),
    /// Take over what a person says that a step made.
    Adopt(usize, String, Resolution),
    /// Remove the annotations by which a person helped; they were heeded, or nothing waited for help.
    Forget {
        /// What to tell, where they were not heeded.
        refusal: Option<String>,
    },
    /// Let no deletion go through before it is finished.
    Hold,
    /// Let a deletion go through.
    LetGo,
    /// Delete it: it has been finished for long enough.
    Expire,
    /// Tell that it cannot be cancelled any more.
    RefuseCancel,
    /// Nothing, until something changes or this time has passed.
    Rest(Option<Duration>),
}

impl Move {
    /// For the log: without what is in it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Note(event) | Self::Intend(event) => event.name(),
            Self::Prepare(_) => "Prepare",
            Self::Call(_) => "Call",
            Self::Poll(_) => "Poll",
            Self::Look(_) => "Look",
            Self::CallUndo(_) => "CallUndo",
            Self::Adopt(..) => "Adopt",
            Self::Forget { .. } => "Forget",
            Self::Hold => "Hold",
            Self::LetGo => "LetGo",
            Self::Expire => "Expire",
            Self::RefuseCancel => "RefuseCancel",
            Self::Rest(_) => "Rest",
        }
    }
}

/// What is next.
#[must_use]
pub fn decide(seen: &Seen<'_>) -> Move {
    let status = seen.status;
    if seen.help.is_some() && status.phase != SagaPhase::Stuck {
        let is_handled = status.resolutions.last().is_some_and(|last| seen.help.is_some_and(|help| help.is(last)));
        let refusal = (!is_handled).then(|| "it is not Stuck, so there is nothing to resolve".to_owned());
        return Move::Forget { refusal };
    }
    match status.phase {
        SagaPhase::Pending => pending(seen),
        SagaPhase::Running | SagaPhase::RollingBack => match unfit(seen) {
            Some(why) => Move::Note(Event::Stick { why }),
            None if status.phase == SagaPhase::Running => forward(seen),
            None => back(seen),
        },
        SagaPhase::Stuck => stuck(seen),
        SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed => finished(seen),
    }
}

fn pending(seen: &Seen<'_>) -> Move {
    let refuse = |reason, message: String| Move::Note(Event::Refuse { why: Why { reason, message } });
    if seen.is_deleting {
        return if seen.has_finalizer { Move::LetGo } else { Move::Rest(None) };
    }
    if seen.spec.cancel_requested {
        return refuse(reason::CANCELLED, "cancelled before it began; nothing was done".to_owned());
    }
    let order = match (seen.order, &seen.undoes) {
        (Err(why), _) => return refuse(reason::INVALID_ORDER, format!("{why}; nothing was done")),
        (Ok(order), Some(undoes)) => match undoes.refusal(order) {
            Some(why) => return refuse(reason::INVALID_ORDER, format!("{why}; nothing was done")),
            None => order,
        },
        (Ok(order), None) => order,
    };
    match (seen.spec.suspend, seen.status.suspended_at.is_some()) {
        (true, false) => return Move::Note(Event::Suspend),
        (true, true) => return Move::Rest(None),
        (false, true) => return Move::Note(Event::Unsuspend),
        (false, false) => {}
    }
    if let Some(other) = seen.waits_for {
        let key = seen.spec.concurrency_key.as_deref().or(seen.spec.deployment_id.as_deref()).unwrap_or_default();
        let message = format!("waits for saga {other}, which has the same concurrency key ({key})");
        let said = condition(seen.status, conditions::SUCCEEDED).map(|condition| condition.message.as_str());
        if said == Some(message.as_str()) {
            return Move::Rest(None);
        }
        return Move::Note(Event::Hold { why: Why { reason: reason::WAITING_FOR_ANOTHER, message } });
    }
    let only_looks = seen.undoes.is_none() && order.steps.iter().all(|ordered| ordered.step.is_passive());
    if !seen.has_finalizer && !only_looks {
        return Move::Hold;
    }
    let rollback_of = seen.undoes.as_ref().map(|undoes| undoes.uid.to_owned());
    let new = |ordered: &Ordered| StepStatus { name: ordered.name.clone(), ..StepStatus::default() };
    let steps =
        seen.undoes.as_ref().map_or_else(|| order.steps.iter().map(new).collect(), |undoes| undoes.steps.to_vec());
    Move::Note(Event::Start { steps, digest: seen.digest.to_owned(), rollback_of })
}

/// Why an order that was begun cannot be gone on with.
fn unfit(seen: &Seen<'_>) -> Option<Why> {
    if seen.status.spec_digest.as_deref() != Some(seen.digest) {
        let message = "its order was changed while it was carried out; restore `steps` and `inputs` and resolve it by \
                       retry, or abandon it";
        return Some(Why { reason: reason::ORDER_CHANGED, message: message.to_owned() });
    }
    let why = match seen.order {
        Ok(order) if order.steps.len() == seen.status.steps.len() => return None,
        Ok(_) => "it has another number of steps than its journal",
        Err(why) => why,
    };
    Some(Why { reason: reason::INVALID_ORDER, message: format!("{why}; it was begun and cannot be gone on with") })
}

fn forward(seen: &Seen<'_>) -> Move {
    let status = seen.status;
    let Some(index) = current(status) else {
        return Move::Note(Event::Finish { is_rollback_kind: seen.spec.kind == SagaKind::Rollback });
    };
    let (Some(entry), Some(ordered)) = (status.steps.get(index), seen.ordered(index)) else { return Move::Rest(None) };
    match entry.state {
        StepState::Failed => failed(seen, index, entry),
        StepState::Pending => {
            if let Some(why) = stop(seen) {
                return seen.turn_back(why);
            }
            match (seen.spec.suspend, status.suspended_at.is_some()) {
                (true, false) => return Move::Note(Event::Suspend),
                (true, true) => return Move::Rest(None),
                (false, true) => return Move::Note(Event::Unsuspend),
                (false, false) => {}
            }
            if let Some(wait) = entry.retry_at.as_ref().and_then(|at| seen.until(at.0)) {
                return Move::Rest(Some(wait));
            }
            Move::Prepare(index)
        }
        _ => running(seen, index, entry, ordered),
    }
}

fn running(seen: &Seen<'_>, index: usize, entry: &StepStatus, ordered: &Ordered) -> Move {
    if seen.hand == Hand::Intent {
        return Move::Call(index);
    }
    let is_late = entry.started_at.as_ref().is_some_and(|began| has_passed(began.0, ordered.timeout, seen.now));
    if is_late {
        let seconds = ordered.timeout.as_secs();
        let last = entry.error.as_ref().map_or_else(String::new, |error| format!("; last: {}", error.message));
        let message = format!("it was not done within {seconds} s{last}");
        return Move::Note(Event::Fail { step: index, error: StepError { kind: ErrorKind::Timeout, message } });
    }
    if entry.action.is_some() {
        return match seen.action {
            // It cannot be stopped, and nothing else can be done with the resource until it has ended.
            None => Move::Rest(None),
            Some(ActionState::Errored) => {
                let message = "the cloud began it and says that it failed".to_owned();
                Move::Note(missed(seen, index, entry, StepError { kind: ErrorKind::Transient, message }))
            }
            Some(ActionState::Completed | ActionState::Gone) => Move::Look(index),
        };
    }
    // Nothing is under way: here it can be stopped. What cannot be undone is first known to be done or not.
    if (ordered.irreversible.is_none() || ordered.step.is_passive())
        && let Some(why) = stop(seen)
    {
        return seen.turn_back(why);
    }
    if ordered.step.is_passive() {
        return match entry.retry_at.as_ref().and_then(|at| seen.until(at.0)) {
            Some(wait) => Move::Rest(Some(wait)),
            None if entry.retry_at.is_some() => Move::Note(Event::Renew { step: index, counts: true, waited: None }),
            None => Move::Poll(index),
        };
    }
    if let Hand::Calm(until) = seen.hand {
        if let Some(wait) = seen.until(until) {
            return Move::Rest(Some(wait));
        }
        let waited = entry.error.as_ref().filter(|error| error.kind == ErrorKind::Waiting);
        let waited = waited.map(|error| error.message.clone());
        return Move::Intend(Event::Renew { step: index, counts: false, waited });
    }
    let is_doubtful = entry.error.as_ref().is_none_or(|error| error.kind == ErrorKind::Doubt);
    match &entry.retry_at {
        Some(at) => match seen.until(at.0) {
            Some(wait) => Move::Rest(Some(wait)),
            None if is_doubtful => Move::Look(index),
            None => Move::Intend(Event::Renew { step: index, counts: true, waited: None }),
        },
        None => Move::Look(index),
    }
}

/// A step has failed for good: back, or stuck where there is no way back.
fn failed(seen: &Seen<'_>, index: usize, entry: &StepStatus) -> Move {
    let error = entry.error.as_ref();
    let what = error.map_or("", |error| error.message.as_str());
    let message = format!("step {:?} failed: {what}", entry.name);
    let kind = error.map(|error| error.kind);
    if kind == Some(ErrorKind::Ambiguous) {
        let message = format!(
            "{message}; look at them and annotate the saga with arcadia.cloud/adopt=ID, or arcadia.cloud/resolve=retry, \
             skip or abandon"
        );
        return Move::Note(Event::Stick { why: Why { reason: reason::SEVERAL_CANDIDATES, message } });
    }
    let is_irreversible = seen.ordered(index).is_some_and(|ordered| ordered.irreversible.is_some());
    if is_irreversible && matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Doubt)) {
        let message = format!(
            "{message}; it may have been done and cannot be undone. Look, and annotate the saga with \
             arcadia.cloud/resolve=retry, skip or abandon"
        );
        return Move::Note(Event::Stick { why: Why { reason: reason::IRREVERSIBLE, message } });
    }
    let reason = if kind == Some(ErrorKind::Timeout) { reason::TIMED_OUT } else { reason::STEP_FAILED };
    seen.turn_back(Why { reason, message })
}

/// How long until the saga or its step is late, so that it is looked at then.
#[must_use]
pub fn late_in(seen: &Seen<'_>) -> Option<Duration> {
    if seen.status.phase != SagaPhase::Running {
        return None;
    }
    let step = current(seen.status).and_then(|index| {
        let (entry, ordered) = (seen.status.steps.get(index)?, seen.ordered(index)?);
        Some(seen.left(entry.started_at.as_ref()?.0, ordered.timeout))
    });
    let saga = seen.time_limit().filter(|_| seen.status.suspended_at.is_none());
    let saga = saga.map(|(since, limit)| seen.left(since, limit)).filter(|left| !left.is_zero());
    step.into_iter().chain(saga).min()
}

/// Why the saga should go no further.
fn stop(seen: &Seen<'_>) -> Option<Why> {
    if seen.irreversible_done().is_some() && !seen.status.resolutions.is_empty() {
        // A person said to go on although there is no way back.
        return None;
    }
    if seen.is_deleting {
        return Some(Why { reason: reason::DELETED, message: "it was deleted before it was finished".to_owned() });
    }
    if seen.spec.cancel_requested {
        return Some(Why { reason: reason::CANCELLED, message: "it was cancelled".to_owned() });
    }
    let (since, limit) = seen.time_limit()?;
    let is_late = has_passed(since, limit, seen.now);
    let message = format!("it was not done within its {} s", limit.as_secs());
    is_late.then_some(Why { reason: reason::TIMED_OUT, message })
}

fn back(seen: &Seen<'_>) -> Move {
    let Some(index) = current(seen.status) else {
        return Move::Note(Event::Finish { is_rollback_kind: seen.spec.kind == SagaKind::Rollback });
    };
    let (Some(entry), Some(ordered)) = (seen.status.steps.get(index), seen.ordered(index)) else {
        return Move::Rest(None);
    };
    if ordered.step.is_passive() {
        return Move::Note(Event::CompleteUndo { step: index });
    }
    if entry.state != StepState::Undoing {
        // What goes on in the cloud cannot be undone before it has ended.
        let is_over = entry.action.is_none()
            || seen.action.is_some()
            || entry.started_at.as_ref().is_none_or(|began| has_passed(began.0, ordered.timeout * 2, seen.now));
        return if is_over {
            Move::Intend(Event::Undo { step: index, counts: true })
        } else {
            Move::Rest(entry.started_at.as_ref().map(|began| seen.left(began.0, ordered.timeout * 2)))
        };
    }
    let undo = entry.undo.clone().unwrap_or_default();
    match (undo.action, seen.action) {
        (Some(_), None) => return Move::Rest(None),
        (Some(_), Some(ActionState::Errored)) => {
            let message = "the cloud began to undo it and says that this failed".to_owned();
            return Move::Note(missed_undo(seen, index, entry, StepError { kind: ErrorKind::Transient, message }));
        }
        _ => {}
    }
    match (seen.hand, &undo.retry_at) {
        (Hand::Intent, _) => Move::CallUndo(index),
        (Hand::Calm(until), _) => match seen.until(until) {
            Some(wait) => Move::Rest(Some(wait)),
            None => Move::CallUndo(index),
        },
        (Hand::Empty, Some(at)) => match seen.until(at.0) {
            Some(wait) => Move::Rest(Some(wait)),
            None => Move::Intend(Event::Undo { step: index, counts: true }),
        },
        (Hand::Empty, None) => Move::Intend(Event::Undo { step: index, counts: false }),
    }
}

fn stuck(seen: &Seen<'_>) -> Move {
    let index = current(seen.status);
    match seen.help {
        None => Move::Rest(None),
        Some(Help::Choose(choice, resolution)) => {
            Move::Note(Event::Resolve { resolution: resolution.clone(), choice: *choice })
        }
        Some(Help::Adopt(id, resolution)) => match (index, direction(seen.status)) {
            (Some(index), Direction::Forward) => Move::Adopt(index, id.clone(), resolution.clone()),
            _ => Move::Forget { refusal: Some("it is being undone, so there is nothing to adopt".to_owned()) },
        },
        Some(Help::Unknown(word)) => Move::Forget {
            refusal: Some(format!("arcadia.cloud/resolve must be retry, skip or abandon, not {word:?}")),
        },
    }
}

fn finished(seen: &Seen<'_>) -> Move {
    if seen.is_deleting {
        return if seen.has_finalizer { Move::LetGo } else { Move::Rest(None) };
    }
    let is_news = seen.status.observed_generation != Some(seen.generation);
    if is_news && seen.status.phase == SagaPhase::Succeeded && seen.spec.cancel_requested {
        return Move::RefuseCancel;
    }
    let Some(ttl) = seen.spec.ttl_seconds_after_finished else { return Move::Rest(None) };
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or_default());
    let Some(finished) = &seen.status.finished_at else { return Move::Rest(None) };
    match seen.left(finished.0, ttl) {
        Duration::ZERO => Move::Expire,
        left => Move::Rest(Some(left)),
    }
}

impl Seen<'_> {
    fn ordered(&self, index: usize) -> Option<&Ordered> {
        self.order.ok()?.steps.get(index)
    }

    /// How long until then; nothing when it has passed.
    fn until(&self, time: Timestamp) -> Option<Duration> {
        Duration::try_from(time.duration_since(self.now)).ok().filter(|wait| !wait.is_zero())
    }

    /// How much of a time from then on is left.
    fn left(&self, since: Timestamp, time: Duration) -> Duration {
        let passed = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
        // See `has_passed`: and a moment more, so that it has passed when it is looked at.
        if has_passed(since, time, self.now) {
            Duration::ZERO
        } else {
            (time + Duration::from_secs(1)).saturating_sub(passed) + Duration::from_millis(10)
        }
    }

    /// What to say once of a step that only waits: for people, and maybe for what they have to do.
    fn news_of_waiting(&self, index: usize, why: String) -> Option<Event> {
        let (entry, ordered) = (self.status.steps.get(index)?, self.ordered(index)?);
        let said = condition(self.status, conditions::SUCCEEDED).map(|condition| condition.message.as_str());
        let is_news = said != Some(waiting_message(&entry.name, &why).as_str());
        (ordered.step.is_passive() && is_news).then_some(Event::Wait { step: index, why })
    }

    /// How long the saga may take, and from when on: as if it had begun later by all the time it was suspended.
    fn time_limit(&self) -> Option<(Timestamp, Duration)> {
        let limit = Duration::from_secs(u64::try_from(self.spec.timeout_seconds?).ok()?);
        let status = self.status;
        let now = status.suspended_at.as_ref().map(|since| self.now.duration_since(since.0)).unwrap_or_default();
        let suspended = now + SignedDuration::from_secs(status.suspended_seconds);
        Some((status.started_at.as_ref()?.0.saturating_add(suspended).ok()?, limit))
    }

    /// The step that is done and cannot be undone.
    fn irreversible_done(&self) -> Option<(&Ordered, &'static str)> {
        let order = self.order.ok()?;
        let mut done = order.steps.iter().zip(&self.status.steps).filter(|(_, entry)| entry.state == StepState::Done);
        done.find_map(|(ordered, _)| Some((ordered, ordered.irreversible?)))
    }

    /// Back, or stuck where there is no way back.
    fn turn_back(&self, why: Why) -> Move {
        let Some((step, because)) = self.irreversible_done() else { return Move::Note(Event::RollBack { why }) };
        let message = format!(
            "{}. It cannot be rolled back: step {:?} is done and cannot be undone ({because}). Annotate it with \
             arcadia.cloud/resolve=retry to go on, skip to go on without the step, or abandon",
            why.message, step.name
        );
        Move::Note(Event::Stick { why: Why { reason: reason::IRREVERSIBLE, message } })
    }
}

impl Undoes<'_> {
    /// Why it cannot be undone.
    fn refusal(&self, order: &Order) -> Option<String> {
        if self.phase != SagaPhase::Succeeded {
            return Some(format!("only a saga that Succeeded can be undone, and rollbackOf is {}", self.phase.name()));
        }
        if let Some(other) = self.undone_by {
            return Some(format!("saga {other} has undone it already"));
        }
        let mut done = order.steps.iter().zip(self.steps).filter(|(_, entry)| entry.state == StepState::Done);
        let (step, why) = done.find_map(|(ordered, _)| Some((ordered, ordered.irreversible?)))?;
        Some(format!("its step {:?} cannot be undone ({why})", step.name))
    }
}

impl Help {
    /// Whether this is the help that a resolution in the journal tells of.
    fn is(&self, resolution: &Resolution) -> bool {
        match self {
            Self::Choose(_, asked) | Self::Adopt(_, asked) => asked.what == resolution.what,
            Self::Unknown(_) => false,
        }
    }
}

/// What follows from a call, a poll or a look.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// This goes into the journal.
    Note(Event),
    /// This goes into the journal, and a call follows.
    Intend(Event),
    /// Nothing yet: no call is under way, and the next counts from this time on.
    Calm {
        /// The time.
        until: Timestamp,
        /// What it waits for.
        why: String,
    },
    /// Nothing yet: to be looked at again after this time.
    Rest(Duration),
}

/// What follows from the answer to a step's call or poll.
#[must_use]
pub fn after_call(seen: &Seen<'_>, index: usize, answer: Result<Progress<Values>, Failure>, waits: u32) -> After {
    let Some(entry) = seen.status.steps.get(index) else { return After::Rest(LOOK_AGAIN) };
    match answer {
        Ok(progress) => progressed(seen, index, progress),
        Err(Failure::Waiting(why)) => After::Calm { until: seen.now + wait(waits), why },
        Err(Failure::Transient(message)) => {
            After::Note(missed(seen, index, entry, StepError { kind: ErrorKind::Transient, message }))
        }
        Err(Failure::Doubt(message)) => {
            After::Note(missed(seen, index, entry, StepError { kind: ErrorKind::Doubt, message }))
        }
        Err(Failure::Permanent(message)) => {
            After::Note(Event::Fail { step: index, error: StepError { kind: ErrorKind::Permanent, message } })
        }
    }
}

/// What follows from reading how things are before a step.
#[must_use]
pub fn after_prepare(seen: &Seen<'_>, index: usize, answer: Result<serde_json::Value, Failure>, waits: u32) -> After {
    let Some(entry) = seen.status.steps.get(index) else { return After::Rest(LOOK_AGAIN) };
    let permanent = |message: String| {
        After::Note(Event::Fail { step: index, error: StepError { kind: ErrorKind::Permanent, message } })
    };
    match answer {
        Ok(before) if !has_room(seen.status, json_size(&before)) => {
            permanent("what undoing it would take does not fit into the saga, so it was not begun".to_owned())
        }
        Ok(before) if seen.ordered(index).is_some_and(|ordered| ordered.step.is_passive()) => {
            After::Note(Event::Begin { step: index, before })
        }
        Ok(before) => After::Intend(Event::Begin { step: index, before }),
        Err(Failure::Waiting(_)) => After::Rest(wait(waits)),
        Err(Failure::Permanent(message)) => permanent(message),
        Err(Failure::Transient(message) | Failure::Doubt(message)) => {
            // Nothing was called yet, so nothing is in doubt.
            let error = StepError { kind: ErrorKind::Transient, message };
            let tried = entry.attempts.saturating_add(1);
            match seen.ordered(index) {
                Some(ordered) if tried < ordered.retry.attempts => {
                    let retry_at = seen.now + backoff(ordered.retry, tried);
                    After::Note(Event::Delay { step: index, error, retry_at })
                }
                _ => After::Note(Event::Fail { step: index, error }),
            }
        }
    }
}

/// What follows from looking for a step that is in doubt.
#[must_use]
pub fn after_look(seen: &Seen<'_>, index: usize, answer: Result<Found<Values>, Failure>) -> After {
    let Some(entry) = seen.status.steps.get(index) else { return After::Rest(LOOK_AGAIN) };
    let is_doubtful = entry.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Doubt);
    match answer {
        Ok(Found::One(Progress::Started { action, .. })) if entry.action == i64::try_from(action).ok() => {
            After::Rest(LOOK_AGAIN)
        }
        Ok(Found::One(progress)) => progressed(seen, index, progress),
        Ok(Found::Converges) => {
            After::Intend(Event::Renew { step: index, counts: is_doubtful && entry.action.is_none(), waited: None })
        }
        // The cloud says that it was done, so it will be seen; doing it again would do it twice.
        Ok(Found::Nothing) if entry.action.is_some() && seen.action == Some(ActionState::Completed) => {
            After::Rest(LOOK_AGAIN)
        }
        Ok(Found::Nothing) => {
            let called = entry.called_at.as_ref().map_or(Duration::ZERO, |called| seen.left(called.0, seen.settle));
            if called.is_zero() {
                After::Intend(Event::Renew { step: index, counts: is_doubtful, waited: None })
            } else {
                After::Rest(called)
            }
        }
        Ok(Found::Several(ids)) => {
            let message = format!("any of these could be its doing: {}", ids.join(", "));
            After::Note(Event::Fail { step: index, error: StepError { kind: ErrorKind::Ambiguous, message } })
        }
        // That it cannot be seen says nothing about whether it was done.
        Err(_) => After::Rest(LOOK_AGAIN.min(seen.settle)),
    }
}

/// What follows from the answer to undoing a step.
#[must_use]
pub fn after_undo(seen: &Seen<'_>, index: usize, answer: Result<Undo, Failure>, waits: u32) -> After {
    let Some(entry) = seen.status.steps.get(index) else { return After::Rest(LOOK_AGAIN) };
    match answer {
        Ok(Undo::Done) => After::Note(Event::CompleteUndo { step: index }),
        Ok(Undo::NothingThere) => {
            // What a call of a moment ago did may come into sight yet, unless its answer was that it did nothing.
            let is_sure = entry
                .error
                .as_ref()
                .is_some_and(|error| matches!(error.kind, ErrorKind::Permanent | ErrorKind::Transient));
            let called = entry.called_at.as_ref().filter(|_| !is_sure);
            let called = called.map_or(Duration::ZERO, |called| seen.left(called.0, seen.settle));
            if called.is_zero() {
                After::Note(Event::CompleteUndo { step: index })
            } else {
                After::Calm { until: seen.now + called, why: String::new() }
            }
        }
        Ok(Undo::Started(action)) => match i64::try_from(action) {
            Ok(action) if entry.undo.as_ref().and_then(|undo| undo.action) == Some(action) => After::Rest(LOOK_AGAIN),
            Ok(action) => After::Note(Event::AwaitUndo { step: index, action }),
            Err(_) => After::Rest(LOOK_AGAIN),
        },
        Ok(Undo::NotYet(again)) => After::Calm { until: seen.now + again, why: String::new() },
        Err(Failure::Waiting(why)) => After::Calm { until: seen.now + wait(waits), why },
        Err(failure) => {
            let kind = match failure {
                Failure::Permanent(_) => ErrorKind::Permanent,
                Failure::Doubt(_) => ErrorKind::Doubt,
                _ => ErrorKind::Transient,
            };
            After::Note(missed_undo(seen, index, entry, StepError { kind, message: failure.to_string() }))
        }
    }
}

fn progressed(seen: &Seen<'_>, index: usize, progress: Progress<Values>) -> After {
    match progress {
        Progress::Done(output) if has_room(seen.status, json_size(&output)) => {
            After::Note(Event::Complete { step: index, output })
        }
        Progress::Done(output) => {
            let message = format!("its output ({} bytes) does not fit into the saga", json_size(&output));
            After::Note(Event::Fail { step: index, error: StepError { kind: ErrorKind::Permanent, message } })
        }
        Progress::Started { action, ids } => match i64::try_from(action) {
            Ok(action) => After::Note(Event::Await { step: index, action, ids }),
            Err(_) => After::Rest(LOOK_AGAIN),
        },
        Progress::NotYet { again, why } => match seen.news_of_waiting(index, why) {
            Some(event) => After::Note(event),
            None => After::Rest(again),
        },
    }
}

/// An attempt failed: another follows, or that was the last.
fn missed(seen: &Seen<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
    match seen.ordered(index) {
        Some(ordered) if entry.attempts < ordered.retry.attempts => {
            let retry_at = seen.now + backoff(ordered.retry, entry.attempts);
            Event::Retry { step: index, error, retry_at }
        }
        _ => Event::Fail { step: index, error },
    }
}

/// An attempt to undo failed: another follows, or a person has to help.
fn missed_undo(seen: &Seen<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
    let retry = seen.ordered(index).map(|ordered| ordered.retry).unwrap_or_default();
    let tried = entry.undo.as_ref().map_or(0, |undo| undo.attempts);
    if tried < retry.attempts.saturating_mul(2) {
        let retry_at = seen.now + backoff(retry, tried);
        return Event::RetryUndo { step: index, error, retry_at };
    }
    let message = format!(
        "step {:?} could not be undone: {}. Put it right and annotate the saga with arcadia.cloud/resolve=retry, or with \
         skip to leave it as it is, or abandon",
        entry.name, error.message
    );
    Event::Stick { why: Why { reason: reason::UNDO_FAILED, message } }
}

/// The pause after so many attempts: doubled each time, and then a random half of it off.
fn backoff(retry: Retry, tried: i32) -> Duration {
    let seconds = |number: i32| u64::try_from(number).unwrap_or_default();
    let doublings = u32::try_from(tried.saturating_sub(1)).unwrap_or_default();
    let doubled = seconds(retry.min_seconds).saturating_mul(2_u64.saturating_pow(doublings));
    let longest = Duration::from_secs(doubled.min(seconds(retry.max_seconds).max(seconds(retry.min_seconds))));
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

/// The pause before what the cloud wanted later, when it has wanted that so often.
fn wait(waits: u32) -> Duration {
    SHORTEST_WAIT.saturating_mul(2_u32.saturating_pow(waits)).min(LONGEST_WAIT)
}
