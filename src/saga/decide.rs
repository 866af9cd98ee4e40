//! What is next for a saga. Pure: values in, one move out. The runner makes the move and asks again.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    clock::{self, has_passed},
    event::{Choice, Event, StepEvent, Why},
    journal::{Direction, LONGEST_WAIT as LONGEST_NEWS, current, direction, has_room, short},
    order::{Order, Ordered, json_size},
    step::{Failure, Found, Progress, Undo},
};
use crate::{
    api::{
        conditions::reason,
        saga::{
            ErrorKind, Resolution, Retry, SagaKind, SagaPhase, SagaSpec, SagaStatus, StepError, StepState, StepStatus,
            StopReason, Values,
        },
    },
    digitalocean::ActionState,
};

/// How long until a failed look is made again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long what the cloud wants to have later waits at first, and at the longest.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How long until the first look for the effect of a call whose response was lost, and the longest pause between two
/// looks. In between a pause is as long as the time since the call.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// How long a step may wait after its call before the journal says so: a write for what is over in a moment is one too
/// many.
const SILENT_WAIT: Duration = Duration::from_secs(5);

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
    /// The saga that is undoing this one.
    pub undone_by: Option<&'a str>,
    /// How a person wants to help.
    pub help: Option<&'a Help>,
    /// What became of the cloud action that the current step waits for.
    pub action: Option<ActionState>,
    /// What this process knows beyond the journal.
    pub hand: Hand,
    /// How long to wait for the effect of a call whose response was lost.
    pub settle: Duration,
    /// The moment.
    pub now: Timestamp,
    /// A random number from 0 to 1, by which pauses differ.
    pub dice: f64,
}

/// The saga that a saga of kind rollback undoes.
pub struct Undoes<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// What it is for.
    pub kind: SagaKind,
    /// Whether its order is the one that it carried out.
    pub is_unchanged: bool,
    /// Where it stands.
    pub phase: SagaPhase,
    /// Its journal.
    pub steps: &'a [StepStatus],
    /// Another saga that has undone it, or is about to.
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
    /// It has just called or looked the step up, and the next look is due at this time.
    Looked(Timestamp),
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
        SagaPhase::Running | SagaPhase::RollingBack => {
            if let Some(why) = unfit(seen) {
                return Move::Note(Event::Stick { why, stop: None });
            }
            // A call that the journal announces is made.
            if let Some(pause) = pause(seen).filter(|_| seen.hand != Hand::Intent) {
                return pause;
            }
            if status.phase == SagaPhase::Running { forward(seen) } else { back(seen) }
        }
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
    if seen.undoes.is_none()
        && let Err(why) = order.objections()
    {
        return refuse(reason::INVALID_ORDER, format!("{why}; nothing was done"));
    }
    if let Some(pause) = pause(seen) {
        return pause;
    }
    if let Some(other) = seen.waits_for {
        let key = seen.spec.concurrency_key.as_deref().or(seen.spec.deployment_id.as_deref()).unwrap_or_default();
        if seen.status.waiting_for_saga.as_deref() == Some(other) {
            return Move::Rest(None);
        }
        return Move::Note(Event::Hold { other: other.to_owned(), key: key.to_owned() });
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

/// What a suspended saga does: nothing. Deleting a saga resumes it, so that a deletion never waits for a person.
fn pause(seen: &Seen<'_>) -> Option<Move> {
    match (seen.spec.suspend && !seen.is_deleting, seen.status.suspended_at.is_some()) {
        (true, false) => Some(Move::Note(Event::Suspend)),
        (true, true) => Some(Move::Rest(None)),
        (false, true) => Some(Move::Note(Event::Unsuspend)),
        (false, false) => None,
    }
}

/// Why an order that was started cannot be resumed.
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
    Some(Why { reason: reason::INVALID_ORDER, message: format!("{why}; the saga was started and cannot be resumed") })
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
                return Move::Note(seen.turn_back(why));
            }
            if let Some(wait) = entry.retry_at.as_ref().and_then(|at| seen.until(at.0)).or(seen.calm()) {
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
    let began = clock::step_began(seen.status, entry, seen.now);
    let is_late = began.is_some_and(|began| has_passed(began, ordered.timeout, seen.now));
    if is_late {
        let seconds = ordered.timeout.as_secs();
        let message =
            format!("it was not done within {seconds} s{}", last(entry.error.as_ref(), entry.waiting_for.as_deref()));
        return Move::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Timeout, message } }.of(index));
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
    let kind = entry.error.as_ref().map(|error| error.kind);
    // An earlier call, of which nobody heard, could be carried out yet.
    let did_nothing = entry.attempts <= 1 && (matches!(seen.hand, Hand::Calm(_)) || kind == Some(ErrorKind::Transient));
    if (ordered.irreversible.is_none() || ordered.step.is_passive() || did_nothing)
        && let Some(why) = stop(seen)
    {
        return Move::Note(seen.turn_back(why));
    }
    if ordered.step.is_passive() {
        return match entry.retry_at.as_ref().and_then(|at| seen.until(at.0)) {
            Some(wait) => Move::Rest(Some(wait)),
            None if entry.retry_at.is_some() => Move::Note(StepEvent::Renew { counts: true }.of(index)),
            None => Move::Poll(index),
        };
    }
    if let Hand::Calm(until) = seen.hand {
        if let Some(wait) = seen.until(until) {
            return Move::Rest(Some(wait));
        }
        return Move::Intend(StepEvent::Renew { counts: false }.of(index));
    }
    let is_doubtful = entry.error.as_ref().is_none_or(|error| error.kind == ErrorKind::Doubt);
    let wait = match (&entry.retry_at, seen.hand) {
        (Some(at), _) if !is_doubtful => seen.until(at.0),
        (_, Hand::Looked(until)) => seen.until(until),
        _ => None,
    };
    match (wait, &entry.retry_at) {
        (Some(wait), _) => Move::Rest(Some(wait)),
        (None, Some(_)) if !is_doubtful => Move::Intend(StepEvent::Renew { counts: true }.of(index)),
        (None, _) => Move::Look(index),
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
        return Move::Note(Event::Stick { why: Why { reason: reason::SEVERAL_CANDIDATES, message }, stop: None });
    }
    let is_irreversible = seen.ordered(index).is_some_and(|ordered| ordered.irreversible.is_some());
    if is_irreversible && matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Doubt)) {
        let message = format!(
            "{message}; it may have been done and cannot be undone. Look, and annotate the saga with \
             arcadia.cloud/resolve=retry, skip or abandon"
        );
        return Move::Note(Event::Stick { why: Why { reason: reason::IRREVERSIBLE, message }, stop: None });
    }
    let reason = if kind == Some(ErrorKind::Timeout) { reason::TIMED_OUT } else { reason::STEP_FAILED };
    Move::Note(seen.turn_back(Stop { why: Why { reason, message }, request: None }))
}

/// How long until the saga or its step is late, so that it is looked at then.
#[must_use]
pub fn late_in(seen: &Seen<'_>) -> Option<Duration> {
    let status = seen.status;
    let current = current(status).and_then(|index| Some((status.steps.get(index)?, seen.ordered(index)?)));
    if status.suspended_at.is_some() {
        return None;
    }
    let step = match status.phase {
        SagaPhase::Running => {
            current.and_then(|(entry, ordered)| Some((clock::step_began(status, entry, seen.now)?, ordered.timeout)))
        }
        // Of a call or a wait it is judged by the next answer. Only an action can be under way for ever.
        SagaPhase::RollingBack if seen.action.is_none() => current.and_then(|(entry, ordered)| {
            let undo = entry.undo.as_ref().filter(|undo| undo.action.is_some())?;
            Some((clock::undo_began(status, undo, seen.now)?, seen.undo_limit(ordered)))
        }),
        SagaPhase::RollingBack => None,
        _ => return None,
    };
    let step = step.map(|(since, limit)| seen.left(since, limit));
    let is_by_order = status.phase == SagaPhase::Running || seen.spec.kind == SagaKind::Rollback;
    let saga = seen.time_limit().filter(|_| is_by_order);
    let saga = saga.map(|(since, limit)| seen.left(since, limit)).filter(|left| !left.is_zero());
    step.into_iter().chain(saga).min()
}

/// Why a saga stops, and the request to stop that this meets.
struct Stop {
    why: Why,
    request: Option<StopReason>,
}

/// Why the saga should go no further.
fn stop(seen: &Seen<'_>) -> Option<Stop> {
    let late = seen.time_limit().filter(|(since, limit)| has_passed(*since, *limit, seen.now)).map(|(_, limit)| limit);
    // A saga that undoes another is done with that before it goes.
    let is_deleted = seen.is_deleting && seen.spec.kind != SagaKind::Rollback;
    let stops = [
        is_deleted.then(|| (StopReason::Deleted, "it was deleted before it was finished".to_owned())),
        seen.spec.cancel_requested.then(|| (StopReason::Cancelled, "it was cancelled".to_owned())),
        late.map(|limit| (StopReason::TimedOut, format!("it was not done within its {} s", limit.as_secs()))),
    ];
    let mut stops = stops.into_iter().flatten();
    let (request, message) = stops.find(|(request, _)| !seen.status.overruled.contains(request))?;
    Some(Stop { why: Why { reason: request.text(), message }, request: Some(request) })
}

/// What a message ends with: what went wrong last, or what was waited for.
fn last(error: Option<&StepError>, said: Option<&str>) -> String {
    let last = error.map(|error| error.message.as_str()).filter(|message| !message.is_empty()).or(said);
    last.map_or_else(String::new, |last| format!("; last: {last}"))
}

fn back(seen: &Seen<'_>) -> Move {
    let Some(index) = current(seen.status) else {
        return Move::Note(Event::Finish { is_rollback_kind: seen.spec.kind == SagaKind::Rollback });
    };
    let (Some(entry), Some(ordered)) = (seen.status.steps.get(index), seen.ordered(index)) else {
        return Move::Rest(None);
    };
    if entry.state != StepState::Undoing
        && seen.spec.kind == SagaKind::Rollback
        && let Some(Stop { why: Why { reason, message }, request }) = stop(seen)
    {
        let message = format!(
            "{message}; what is undone stays undone. Annotate it with arcadia.cloud/resolve=retry to go on, skip to leave \
             step {:?} as it is, or abandon",
            entry.name
        );
        return Move::Note(Event::Stick { why: Why { reason, message }, stop: request });
    }
    // A step that was never begun is not asked: what it lacked to begin it would lack now.
    if ordered.step.is_passive() || entry.started_at.is_none() {
        return Move::Note(StepEvent::CompleteUndo.of(index));
    }
    if entry.state != StepState::Undoing {
        // What goes on in the cloud cannot be undone before it has ended.
        let is_over = entry.action.is_none() || seen.action.is_some();
        let left =
            clock::step_began(seen.status, entry, seen.now).map(|began| seen.left(began, ordered.undo_timeout()));
        return match left.filter(|left| !is_over && !left.is_zero()) {
            Some(left) => Move::Rest(Some(left)),
            None => Move::Intend(StepEvent::Undo { counts: true }.of(index)),
        };
    }
    let undo = entry.undo.clone().unwrap_or_default();
    if seen.hand == Hand::Intent {
        return Move::CallUndo(index);
    }
    match (undo.action, seen.action) {
        (Some(_), None) => return seen.late_undo(index).map_or(Move::Rest(None), Move::Note),
        (Some(_), Some(ActionState::Errored)) => {
            let message = "the cloud began to undo it and says that this failed".to_owned();
            return Move::Note(missed_undo(seen, index, entry, StepError { kind: ErrorKind::Transient, message }));
        }
        _ => {}
    }
    let until = undo.retry_at.as_ref().map(|at| at.0);
    if let Some(wait) = until.and_then(|until| seen.until(until)).or(seen.calm()) {
        return Move::Rest(Some(wait));
    }
    Move::Intend(StepEvent::Undo { counts: until.is_some() }.of(index))
}

fn stuck(seen: &Seen<'_>) -> Move {
    let index = current(seen.status);
    match seen.help {
        None => pause(seen).unwrap_or(Move::Rest(None)),
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
    // Its journal is what it is undone by.
    if seen.undone_by.is_some() {
        return Move::Rest(None);
    }
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

    /// How long until the next call counts, where no call is under way.
    fn calm(&self) -> Option<Duration> {
        match self.hand {
            Hand::Calm(until) => self.until(until),
            _ => None,
        }
    }

    /// How long undoing a step may take: never so short that what was done could not come into sight.
    fn undo_limit(&self, ordered: &Ordered) -> Duration {
        ordered.undo_timeout().max(self.settle.saturating_mul(2))
    }

    /// That undoing a step has taken too long.
    fn late_undo(&self, index: usize) -> Option<Event> {
        let (entry, ordered) = (self.status.steps.get(index)?, self.ordered(index)?);
        let (undo, limit) = (entry.undo.as_ref()?, self.undo_limit(ordered));
        let is_late = has_passed(clock::undo_began(self.status, undo, self.now)?, limit, self.now);
        let last = || last(undo.error.as_ref(), undo.waiting_for.as_deref());
        is_late.then(|| not_undone(entry, &format!("not within {} s{}", limit.as_secs(), last())))
    }

    /// How long until then; nothing when it has passed.
    fn until(&self, time: Timestamp) -> Option<Duration> {
        clock::until(time, self.now)
    }

    /// How much of a time from then on is left.
    fn left(&self, since: Timestamp, time: Duration) -> Duration {
        clock::left(since, time, self.now)
    }

    /// How much of the settle time after the step's latest call is left.
    fn unsettled(&self, entry: &StepStatus) -> Duration {
        entry.called_at.as_ref().map_or(Duration::ZERO, |called| self.left(called.0, self.settle))
    }

    /// How long ago the step's latest call was.
    fn since_call(&self, entry: &StepStatus) -> Duration {
        let passed = entry.called_at.as_ref().map(|called| self.now.duration_since(called.0)).unwrap_or_default();
        Duration::try_from(passed).unwrap_or_default()
    }

    /// What to say, once, of a step that waits: for people, and maybe for what they have to do.
    #[must_use]
    pub fn news_of_waiting(&self, index: usize, why: &str) -> Option<Event> {
        let entry = self.status.steps.get(index)?;
        let said = match (direction(self.status), &entry.undo) {
            (Direction::Forward, _) => entry.waiting_for.as_deref(),
            (Direction::Back, undo) => undo.as_ref().and_then(|undo| undo.waiting_for.as_deref()),
        };
        let why = short(why.to_owned(), LONGEST_NEWS);
        (said != Some(&why) && !why.is_empty()).then_some(StepEvent::Wait { why }.of(index))
    }

    /// Nothing yet: the next look is due after this time. The journal says what the step waits for once that is not over
    /// in a moment.
    fn look_again(&self, index: usize, entry: &StepStatus, again: Duration, why: &str) -> After {
        let is_passive = self.ordered(index).is_some_and(|ordered| ordered.step.is_passive());
        let is_news = is_passive || self.since_call(entry) > SILENT_WAIT;
        match self.news_of_waiting(index, why).filter(|_| is_news) {
            Some(news) => After::Tell(news, again),
            None => After::Rest(again),
        }
    }

    /// How long the saga may take, and from when on: as if it had begun later by all the time it was suspended.
    fn time_limit(&self) -> Option<(Timestamp, Duration)> {
        let limit = Duration::from_secs(u64::try_from(self.spec.timeout_seconds?).ok()?);
        Some((clock::saga_began(self.status, self.now)?, limit))
    }

    /// The step that is done and cannot be undone.
    fn irreversible_done(&self) -> Option<(&Ordered, &'static str)> {
        let order = self.order.ok()?;
        let mut done = order.steps.iter().zip(&self.status.steps).filter(|(_, entry)| entry.state == StepState::Done);
        done.find_map(|(ordered, _)| Some((ordered, ordered.irreversible?)))
    }

    /// Back, or stuck where there is no way back.
    fn turn_back(&self, Stop { why, request }: Stop) -> Event {
        let Some((step, because)) = self.irreversible_done() else { return Event::RollBack { why } };
        let message = format!(
            "{}. It cannot be rolled back: step {:?} is done and cannot be undone ({because}). Annotate it with \
             arcadia.cloud/resolve=retry to go on, skip to go on without the step, or abandon",
            why.message, step.name
        );
        Event::Stick { why: Why { reason: reason::IRREVERSIBLE, message }, stop: request }
    }
}

impl Undoes<'_> {
    /// Why it cannot be undone.
    fn refusal(&self, order: &Order) -> Option<String> {
        if self.kind == SagaKind::Rollback {
            return Some("rollbackOf is a saga of kind rollback itself, which cannot be undone".to_owned());
        }
        if self.phase != SagaPhase::Succeeded {
            return Some(format!("only a saga that Succeeded can be undone, and rollbackOf is {}", self.phase.name()));
        }
        if let Some(other) = self.undone_by {
            return Some(format!("saga {other} has undone it, or is doing so"));
        }
        if !self.is_unchanged || order.steps.len() != self.steps.len() {
            return Some("the steps or inputs of rollbackOf are not those that it carried out".to_owned());
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
    /// The same, and this goes into the journal for people to see.
    Tell(Event, Duration),
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
            let event = missed(seen, index, entry, StepError { kind: ErrorKind::Doubt, message });
            let is_last = matches!(event, Event::Step { event: StepEvent::Fail { .. }, .. });
            if is_last { After::Note(event) } else { After::Tell(event, FIRST_LOOK) }
        }
        Err(Failure::Permanent(message)) => {
            After::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Permanent, message } }.of(index))
        }
    }
}

/// What follows from reading how things are before a step.
#[must_use]
pub fn after_prepare(seen: &Seen<'_>, index: usize, answer: Result<serde_json::Value, Failure>, waits: u32) -> After {
    let Some(entry) = seen.status.steps.get(index) else { return After::Rest(LOOK_AGAIN) };
    let permanent = |message: String| {
        After::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Permanent, message } }.of(index))
    };
    match answer {
        Ok(before) if !has_room(seen.status, json_size(&before)) => {
            permanent("what undoing it would take does not fit into the saga, so it was not begun".to_owned())
        }
        Ok(before) if seen.ordered(index).is_some_and(|ordered| ordered.step.is_passive()) => {
            After::Note(StepEvent::Begin { before }.of(index))
        }
        Ok(before) => After::Intend(StepEvent::Begin { before }.of(index)),
        Err(Failure::Waiting(why)) => After::Calm { until: seen.now + wait(waits), why },
        Err(Failure::Permanent(message)) => permanent(message),
        Err(Failure::Transient(message) | Failure::Doubt(message)) => {
            // Nothing was called yet, so nothing is in doubt.
            let error = StepError { kind: ErrorKind::Transient, message };
            let tried = entry.attempts.saturating_add(1);
            match seen.ordered(index) {
                Some(ordered) if tried < ordered.retry.attempts => {
                    let retry_at = seen.now + backoff(ordered.retry, tried, seen.dice);
                    After::Note(StepEvent::Delay { error, retry_at, of: ordered.retry.attempts }.of(index))
                }
                _ => After::Note(StepEvent::Fail { error }.of(index)),
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
        Ok(Found::One(Progress::Started { action, .. })) if entry.action == Some(action) => After::Rest(LOOK_AGAIN),
        Ok(Found::One(progress)) => progressed(seen, index, progress),
        // It is done again only if that is still wanted. Undoing it looks for what was done of it.
        Ok(Found::Converges) if let Some(why) = stop(seen) => After::Note(seen.turn_back(why)),
        Ok(Found::Converges) if let Some(wait) = entry.retry_at.as_ref().and_then(|at| seen.until(at.0)) => {
            After::Rest(wait)
        }
        Ok(Found::Converges) => {
            After::Intend(StepEvent::Renew { counts: is_doubtful && entry.action.is_none() }.of(index))
        }
        // The cloud says that it was done, so it will be seen; doing it again would do it twice.
        Ok(Found::Nothing) if entry.action.is_some() && seen.action == Some(ActionState::Completed) => {
            seen.look_again(index, entry, LOOK_AGAIN, "the cloud has done it, and does not show the result yet")
        }
        Ok(Found::Nothing) => {
            let called = seen.unsettled(entry);
            let wait = entry.retry_at.as_ref().and_then(|at| seen.until(at.0)).unwrap_or_default().max(called);
            if !wait.is_zero() {
                let again = seen.since_call(entry).clamp(FIRST_LOOK, BETWEEN_LOOKS).min(wait);
                let why = "the response to its call is lost; the call is repeated if its effect does not appear";
                // The error says so already.
                let is_told = entry.error.is_some();
                return if is_told { After::Rest(again) } else { seen.look_again(index, entry, again, why) };
            }
            match stop(seen) {
                Some(why) => After::Note(seen.turn_back(why)),
                None => After::Intend(StepEvent::Renew { counts: is_doubtful }.of(index)),
            }
        }
        Ok(Found::Several(ids)) => {
            let message = format!("any of these could be its doing: {}", ids.join(", "));
            After::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Ambiguous, message } }.of(index))
        }
        // That it cannot be seen says nothing about whether it was done.
        Err(failure) => {
            let again = LOOK_AGAIN.min(seen.settle);
            match seen.news_of_waiting(index, &format!("looking up whether it is done failed: {failure}")) {
                Some(news) => After::Tell(news, again),
                None => After::Rest(again),
            }
        }
    }
}

/// What follows from the answer to undoing a step.
#[must_use]
pub fn after_undo(seen: &Seen<'_>, index: usize, answer: Result<Undo, Failure>, waits: u32) -> After {
    let Some(entry) = seen.status.steps.get(index) else { return After::Rest(LOOK_AGAIN) };
    let (again, why) = match answer {
        Ok(Undo::Done) => return After::Note(StepEvent::CompleteUndo.of(index)),
        Ok(Undo::NothingThere) => {
            // What a call of a moment ago did may come into sight yet, unless the only one was answered with that it did
            // nothing.
            let error = entry.error.as_ref().map(|error| error.kind);
            let is_sure = entry.attempts <= 1 && matches!(error, Some(ErrorKind::Permanent | ErrorKind::Transient));
            let called = if is_sure { Duration::ZERO } else { seen.unsettled(entry) };
            if called.is_zero() {
                return After::Note(StepEvent::CompleteUndo.of(index));
            }
            // Each look is written down first, so the pauses grow.
            let again = seen.since_call(entry).max(FIRST_LOOK).min(called);
            (again, "the response to its call is lost; its effect is undone if it appears".to_owned())
        }
        Ok(Undo::Started(action)) => {
            let is_known = entry.undo.as_ref().and_then(|undo| undo.action) == Some(action);
            let awaits = StepEvent::AwaitUndo { action }.of(index);
            return if is_known { After::Rest(LOOK_AGAIN) } else { After::Note(awaits) };
        }
        Ok(Undo::NotYet { again, why }) => {
            (again.saturating_mul(2_u32.saturating_pow(waits)).min(LONGEST_WAIT.max(again)), why)
        }
        Err(Failure::Waiting(why)) => (wait(waits), why),
        Err(failure) => {
            let kind = match failure {
                Failure::Permanent(_) => ErrorKind::Permanent,
                Failure::Doubt(_) => ErrorKind::Doubt,
                _ => ErrorKind::Transient,
            };
            return After::Note(missed_undo(seen, index, entry, StepError { kind, message: failure.to_string() }));
        }
    };
    match seen.late_undo(index) {
        Some(event) => After::Note(event),
        None => After::Calm { until: seen.now + again, why },
    }
}

fn progressed(seen: &Seen<'_>, index: usize, progress: Progress<Values>) -> After {
    match progress {
        Progress::Done(output) if has_room(seen.status, json_size(&output)) => {
            After::Note(StepEvent::Complete { output }.of(index))
        }
        Progress::Done(output) => {
            let message = format!("its output ({} bytes) does not fit into the saga", json_size(&output));
            // It is done all the same.
            After::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Doubt, message } }.of(index))
        }
        Progress::Started { action, ids } => After::Note(StepEvent::Await { action, ids }.of(index)),
        Progress::NotYet { again, why } => match seen.status.steps.get(index) {
            Some(entry) => seen.look_again(index, entry, again, &why),
            None => After::Rest(again),
        },
    }
}

/// An attempt failed: another follows, or that was the last.
fn missed(seen: &Seen<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
    match seen.ordered(index) {
        Some(ordered) if entry.attempts < ordered.retry.attempts => {
            let retry_at = seen.now + backoff(ordered.retry, entry.attempts, seen.dice);
            let latest = (error.kind == ErrorKind::Doubt).then(|| seen.now + seen.unsettled(entry));
            StepEvent::Retry { error, retry_at, of: ordered.retry.attempts, latest }.of(index)
        }
        _ => StepEvent::Fail { error }.of(index),
    }
}

/// An attempt to undo failed: another follows, or a person has to help.
fn missed_undo(seen: &Seen<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
    let retry = seen.ordered(index).map(|ordered| ordered.retry).unwrap_or_default();
    let tried = entry.undo.as_ref().map_or(0, |undo| undo.attempts);
    let of = retry.attempts.saturating_mul(2);
    if tried < of && seen.late_undo(index).is_none() {
        let retry_at = seen.now + backoff(retry, tried, seen.dice);
        return StepEvent::RetryUndo { error, retry_at, of }.of(index);
    }
    not_undone(entry, &error.message)
}

/// A person has to help with undoing a step.
fn not_undone(entry: &StepStatus, why: &str) -> Event {
    let message = format!(
        "step {:?} could not be undone: {why}. Put it right and annotate the saga with arcadia.cloud/resolve=retry, or \
         with skip to leave it as it is, or abandon",
        entry.name
    );
    Event::Stick { why: Why { reason: reason::UNDO_FAILED, message }, stop: None }
}

/// The pause after so many attempts: doubled each time, and then up to a half of it off, by the dice.
fn backoff(retry: Retry, tried: i32, dice: f64) -> Duration {
    let seconds = |number: i32| u64::try_from(number).unwrap_or_default();
    let doublings = u32::try_from(tried.saturating_sub(1)).unwrap_or_default();
    let doubled = seconds(retry.min_seconds).saturating_mul(2_u64.saturating_pow(doublings));
    let longest = Duration::from_secs(doubled.min(seconds(retry.max_seconds).max(seconds(retry.min_seconds))));
    longest.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
}

/// The pause before what the cloud wanted later, when it has wanted that so often.
fn wait(waits: u32) -> Duration {
    SHORTEST_WAIT.saturating_mul(2_u32.saturating_pow(waits)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests;
