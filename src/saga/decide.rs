//! Decides the next command for a saga. Pure: values in, one command out. The runner executes the command and decides
//! again.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    clock::{self, has_passed},
    event::{Choice, Event, StepEvent, Why},
    journal::{Direction, LONGEST_WAIT as LONGEST_WAIT_TEXT, current, direction, has_room, short},
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

/// The pause before a failed lookup is repeated.
const LOOKUP_RETRY: Duration = Duration::from_secs(5);
/// The shortest and the longest pause of a step that the cloud postpones.
const SHORTEST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The pause before the first lookup of a call whose response was lost, and the longest pause between two lookups. In
/// between, the pause is as long as the time since the call.
const FIRST_LOOKUP: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The time that a step waits after its call before the journal shows it. Shorter waits are not worth a write.
const SILENT_WAIT: Duration = Duration::from_secs(5);

/// Everything that a decision depends on.
pub struct SagaView<'a> {
    pub spec: &'a SagaSpec,
    /// The journal.
    pub status: &'a SagaStatus,
    /// The generation of the spec.
    pub generation: i64,
    pub is_deleting: bool,
    /// Whether the saga's finalizer delays a deletion.
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
pub struct Undoes<'a> {
    pub uid: &'a str,
    pub kind: SagaKind,
    /// Whether its steps and inputs are still those that it executed.
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
pub enum CallState {
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

/// The next thing that the runner does.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Record this event; the following events may share the write.
    Note(Event),
    /// Record this event and write the journal now: a call follows.
    Intend(Event),
    /// Read the state before a step and start it.
    Prepare(usize),
    /// Call a step.
    Call(usize),
    /// Poll a step that only waits.
    Poll(usize),
    /// Look up the effect of a step.
    LookUp(usize),
    /// Undo a step.
    CallUndo(usize),
    /// Adopt the resource that a person names as created by the step.
    Adopt(usize, String, Resolution),
    /// Remove the annotations of an intervention that was applied or refused.
    Forget {
        /// The event to publish where the intervention was refused.
        refusal: Option<String>,
    },
    /// Add the finalizer, so that no deletion completes before the saga has finished.
    Hold,
    /// Remove the finalizer.
    LetGo,
    /// Delete the saga: its time to live after finishing is over.
    Expire,
    /// Publish that the saga can no longer be cancelled.
    RefuseCancel,
    /// Wait for a change, or for this time.
    Rest(Option<Duration>),
}

impl Command {
    /// The command without its data, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Note(event) | Self::Intend(event) => event.name(),
            Self::Prepare(_) => "Prepare",
            Self::Call(_) => "Call",
            Self::Poll(_) => "Poll",
            Self::LookUp(_) => "LookUp",
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

/// Decides the next command.
#[must_use]
pub fn decide(view: &SagaView<'_>) -> Command {
    let status = view.status;
    if view.intervention.is_some() && status.phase != SagaPhase::Stuck {
        let is_handled = status
            .resolutions
            .last()
            .is_some_and(|last| view.intervention.is_some_and(|intervention| intervention.is(last)));
        let refusal =
            (!is_handled).then(|| "resolving the saga: its phase is not Stuck; nothing was changed".to_owned());
        return Command::Forget { refusal };
    }
    match status.phase {
        SagaPhase::Pending => pending(view),
        SagaPhase::Running | SagaPhase::RollingBack => {
            if let Some(why) = unfit(view) {
                return Command::Note(Event::Stick { why, stop: None });
            }
            // A call that the journal announces is made even if the saga was suspended since.
            if let Some(pause) = pause(view).filter(|_| view.call_state != CallState::Intent) {
                return pause;
            }
            if status.phase == SagaPhase::Running { forward(view) } else { back(view) }
        }
        SagaPhase::Stuck => stuck(view),
        SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed => finished(view),
    }
}

fn pending(view: &SagaView<'_>) -> Command {
    let refuse = |reason, message: String| Command::Note(Event::Refuse { why: Why { reason, message } });
    if view.is_deleting {
        return if view.has_finalizer { Command::LetGo } else { Command::Rest(None) };
    }
    if view.spec.cancel_requested {
        return refuse(reason::CANCELLED, "cancelled before the first step; nothing was done".to_owned());
    }
    let order = match (view.order, &view.undoes) {
        (Err(why), _) => return refuse(reason::INVALID_ORDER, format!("{why}; nothing was done")),
        (Ok(order), Some(undoes)) => match undoes.refusal(order) {
            Some(why) => return refuse(reason::INVALID_ORDER, format!("{why}; nothing was done")),
            None => order,
        },
        (Ok(order), None) => order,
    };
    if view.undoes.is_none()
        && let Err(why) = order.objections()
    {
        return refuse(reason::INVALID_ORDER, format!("{why}; nothing was done"));
    }
    if let Some(pause) = pause(view) {
        return pause;
    }
    if let Some(other) = view.waits_for {
        let key = view.spec.concurrency_key.as_deref().or(view.spec.deployment_id.as_deref()).unwrap_or_default();
        if view.status.waiting_for_saga.as_deref() == Some(other) {
            return Command::Rest(None);
        }
        return Command::Note(Event::Hold { other: other.to_owned(), key: key.to_owned() });
    }
    let only_looks = view.undoes.is_none() && order.steps.iter().all(|ordered| ordered.step.is_passive());
    if !view.has_finalizer && !only_looks {
        return Command::Hold;
    }
    let rollback_of = view.undoes.as_ref().map(|undoes| undoes.uid.to_owned());
    let new = |ordered: &Ordered| StepStatus { name: ordered.name.clone(), ..StepStatus::default() };
    let steps =
        view.undoes.as_ref().map_or_else(|| order.steps.iter().map(new).collect(), |undoes| undoes.steps.to_vec());
    Command::Note(Event::Start { steps, digest: view.digest.to_owned(), rollback_of })
}

/// The command of a suspended saga: wait. Deleting a saga resumes it, so that no deletion waits for a person.
fn pause(view: &SagaView<'_>) -> Option<Command> {
    match (view.spec.suspend && !view.is_deleting, view.status.suspended_at.is_some()) {
        (true, false) => Some(Command::Note(Event::Suspend)),
        (true, true) => Some(Command::Rest(None)),
        (false, true) => Some(Command::Note(Event::Unsuspend)),
        (false, false) => None,
    }
}

/// The reason why a started saga cannot be resumed.
fn unfit(view: &SagaView<'_>) -> Option<Why> {
    if view.status.spec_digest.as_deref() != Some(view.digest) {
        let message = "the spec changed after the saga started; restore `steps` and `inputs` and annotate the saga \
                       with arcadia.cloud/resolve=retry, or abandon";
        return Some(Why { reason: reason::ORDER_CHANGED, message: message.to_owned() });
    }
    let why = match view.order {
        Ok(order) if order.steps.len() == view.status.steps.len() => return None,
        Ok(_) => "the number of steps differs from the journal",
        Err(why) => why,
    };
    Some(Why { reason: reason::INVALID_ORDER, message: format!("{why}; the saga was started and cannot be resumed") })
}

fn forward(view: &SagaView<'_>) -> Command {
    let status = view.status;
    let Some(index) = current(status) else {
        return Command::Note(Event::Finish { is_rollback_kind: view.spec.kind == SagaKind::Rollback });
    };
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
        _ => running(view, index, entry, ordered),
    }
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
    let wait = match (&entry.retry_at, view.call_state) {
        (Some(at), _) if !is_doubtful => view.until(at.0),
        (_, CallState::InDoubt(until)) => view.until(until),
        _ => None,
    };
    match (wait, &entry.retry_at) {
        (Some(wait), _) => Command::Rest(Some(wait)),
        (None, Some(_)) if !is_doubtful => Command::Intend(StepEvent::Renew { counts: true }.of(index)),
        (None, _) => Command::LookUp(index),
    }
}

/// A step has failed permanently: the saga rolls back, or is stuck where it cannot.
fn failed(view: &SagaView<'_>, index: usize, entry: &StepStatus) -> Command {
    let error = entry.error.as_ref();
    let what = error.map_or("", |error| error.message.as_str());
    let message = format!("step {:?} failed: {what}", entry.name);
    let kind = error.map(|error| error.kind);
    if kind == Some(ErrorKind::Ambiguous) {
        let message = format!(
            "{message}; inspect them and annotate the saga with arcadia.cloud/adopt=ID, or \
             arcadia.cloud/resolve=retry, \
             skip or abandon"
        );
        return Command::Note(Event::Stick { why: Why { reason: reason::SEVERAL_CANDIDATES, message }, stop: None });
    }
    let is_irreversible = view.ordered(index).is_some_and(|ordered| ordered.irreversible.is_some());
    if is_irreversible && matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Doubt)) {
        let message = format!(
            "{message}; it may be done and cannot be undone; inspect it and annotate the saga with \
             arcadia.cloud/resolve=retry, skip or abandon"
        );
        return Command::Note(Event::Stick { why: Why { reason: reason::IRREVERSIBLE, message }, stop: None });
    }
    let reason = if kind == Some(ErrorKind::Timeout) { reason::TIMED_OUT } else { reason::STEP_FAILED };
    Command::Note(view.turn_back(Stop { why: Why { reason, message }, request: None }))
}

/// The time until the saga or its step exceeds its timeout.
#[must_use]
pub fn late_in(view: &SagaView<'_>) -> Option<Duration> {
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
        _ => return None,
    };
    let step = step.map(|(since, limit)| view.left(since, limit));
    let is_by_order = status.phase == SagaPhase::Running || view.spec.kind == SagaKind::Rollback;
    let saga = view.time_limit().filter(|_| is_by_order);
    let saga = saga.map(|(since, limit)| view.left(since, limit)).filter(|left| !left.is_zero());
    step.into_iter().chain(saga).min()
}

/// Why a saga stops, with the stop request that this meets.
struct Stop {
    why: Why,
    request: Option<StopReason>,
}

/// The reason to stop the saga before it is done, if there is one.
fn stop(view: &SagaView<'_>) -> Option<Stop> {
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
    Some(Stop { why: Why { reason: request.text(), message }, request: Some(request) })
}

/// The end of a message: the last error, or the last wait.
fn last(error: Option<&StepError>, said: Option<&str>) -> String {
    let last = error.map(|error| error.message.as_str()).filter(|message| !message.is_empty()).or(said);
    last.map_or_else(String::new, |last| format!("; last: {last}"))
}

fn back(view: &SagaView<'_>) -> Command {
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
             skip to leave \
             step {:?} as it is, or abandon",
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
    match (undo.action, view.action) {
        (Some(_), None) => return view.late_undo(index).map_or(Command::Rest(None), Command::Note),
        (Some(_), Some(ActionState::Errored)) => {
            let message = "the cloud started the action that undoes it and reports that it failed".to_owned();
            return Command::Note(missed_undo(view, index, entry, StepError { kind: ErrorKind::Transient, message }));
        }
        _ => {}
    }
    let until = undo.retry_at.as_ref().map(|at| at.0);
    if let Some(wait) = until.and_then(|until| view.until(until)).or(view.idle()) {
        return Command::Rest(Some(wait));
    }
    Command::Intend(StepEvent::Undo { counts: until.is_some() }.of(index))
}

fn stuck(view: &SagaView<'_>) -> Command {
    let index = current(view.status);
    match view.intervention {
        None => pause(view).unwrap_or(Command::Rest(None)),
        Some(Intervention::Choose(choice, resolution)) => {
            Command::Note(Event::Resolve { resolution: resolution.clone(), choice: *choice })
        }
        Some(Intervention::Adopt(id, resolution)) => match (index, direction(view.status)) {
            (Some(index), Direction::Forward) => Command::Adopt(index, id.clone(), resolution.clone()),
            _ => Command::Forget {
                refusal: Some(
                    "adopting a resource: the step is being undone, so nothing can be \
                                                  adopted"
                        .to_owned(),
                ),
            },
        },
        Some(Intervention::Unknown(word)) => Command::Forget {
            refusal: Some(format!("arcadia.cloud/resolve must be retry, skip or abandon, not {word:?}")),
        },
    }
}

fn finished(view: &SagaView<'_>) -> Command {
    // The journal holds the state that undoing needs.
    if view.undone_by.is_some() {
        return Command::Rest(None);
    }
    if view.is_deleting {
        return if view.has_finalizer { Command::LetGo } else { Command::Rest(None) };
    }
    let is_news = view.status.observed_generation != Some(view.generation);
    if is_news && view.status.phase == SagaPhase::Succeeded && view.spec.cancel_requested {
        return Command::RefuseCancel;
    }
    let Some(ttl) = view.spec.ttl_seconds_after_finished else { return Command::Rest(None) };
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or_default());
    let Some(finished) = &view.status.finished_at else { return Command::Rest(None) };
    match view.left(finished.0, ttl) {
        Duration::ZERO => Command::Expire,
        left => Command::Rest(Some(left)),
    }
}

impl SagaView<'_> {
    fn ordered(&self, index: usize) -> Option<&Ordered> {
        self.order.ok()?.steps.get(index)
    }

    /// The time until the next call counts, where no call is in flight.
    fn idle(&self) -> Option<Duration> {
        match self.call_state {
            CallState::Idle(until) => self.until(until),
            _ => None,
        }
    }

    /// The timeout of undoing a step. It is never shorter than the settle time, so that late effects are still found.
    fn undo_limit(&self, ordered: &Ordered) -> Duration {
        ordered.undo_timeout().max(self.settle.saturating_mul(2))
    }

    /// The command when undoing a step exceeds its timeout.
    fn late_undo(&self, index: usize) -> Option<Event> {
        let (entry, ordered) = (self.status.steps.get(index)?, self.ordered(index)?);
        let (undo, limit) = (entry.undo.as_ref()?, self.undo_limit(ordered));
        let is_late = has_passed(clock::undo_began(self.status, undo, self.now)?, limit, self.now);
        let last = || last(undo.error.as_ref(), undo.waiting_for.as_deref());
        is_late.then(|| not_undone(entry, &format!("not done within {} s{}", limit.as_secs(), last())))
    }

    /// The time until then; none if it has passed.
    fn until(&self, time: Timestamp) -> Option<Duration> {
        clock::until(time, self.now)
    }

    /// The remaining part of a period.
    fn left(&self, since: Timestamp, time: Duration) -> Duration {
        clock::left(since, time, self.now)
    }

    /// The remaining settle time after the step's latest call.
    fn unsettled(&self, entry: &StepStatus) -> Duration {
        entry.called_at.as_ref().map_or(Duration::ZERO, |called| self.left(called.0, self.settle))
    }

    /// The time since the step's latest call.
    fn since_call(&self, entry: &StepStatus) -> Duration {
        let passed = entry.called_at.as_ref().map(|called| self.now.duration_since(called.0)).unwrap_or_default();
        Duration::try_from(passed).unwrap_or_default()
    }

    /// Publishes a wait once: for people, with the action that they can take.
    #[must_use]
    pub fn publish_wait(&self, index: usize, why: &str) -> Option<Event> {
        let entry = self.status.steps.get(index)?;
        let said = match (direction(self.status), &entry.undo) {
            (Direction::Forward, _) => entry.waiting_for.as_deref(),
            (Direction::Back, undo) => undo.as_ref().and_then(|undo| undo.waiting_for.as_deref()),
        };
        let why = short(why.to_owned(), LONGEST_WAIT_TEXT);
        (said != Some(&why) && !why.is_empty()).then_some(StepEvent::Wait { why }.of(index))
    }

    /// Waits for the next lookup. The journal says what the step waits for once the wait is longer than a moment.
    fn wait_for_lookup(&self, index: usize, entry: &StepStatus, again: Duration, why: &str) -> StepOutcome {
        let is_passive = self.ordered(index).is_some_and(|ordered| ordered.step.is_passive());
        let is_news = is_passive || self.since_call(entry) > SILENT_WAIT;
        match self.publish_wait(index, why).filter(|_| is_news) {
            Some(news) => StepOutcome::Publish(news, again),
            None => StepOutcome::Rest(again),
        }
    }

    /// The saga's timeout and the time from which it counts. Suspended time moves the start.
    fn time_limit(&self) -> Option<(Timestamp, Duration)> {
        let limit = Duration::from_secs(u64::try_from(self.spec.timeout_seconds?).ok()?);
        Some((clock::saga_began(self.status, self.now)?, limit))
    }

    /// The irreversible step that is done.
    fn irreversible_done(&self) -> Option<(&Ordered, &'static str)> {
        let order = self.order.ok()?;
        let mut done = order.steps.iter().zip(&self.status.steps).filter(|(_, entry)| entry.state == StepState::Done);
        done.find_map(|(ordered, _)| Some((ordered, ordered.irreversible?)))
    }

    /// Rolls back, or stops as stuck where an irreversible step is done.
    fn turn_back(&self, Stop { why, request }: Stop) -> Event {
        let Some((step, because)) = self.irreversible_done() else { return Event::RollBack { why } };
        let message = format!(
            "{}; rolling back is impossible: step {:?} is done and cannot be undone ({because}); annotate the saga \
             with arcadia.cloud/resolve=retry to continue, skip to continue without the step, or abandon",
            why.message, step.name
        );
        Event::Stick { why: Why { reason: reason::IRREVERSIBLE, message }, stop: request }
    }
}

impl Undoes<'_> {
    /// The reason why it cannot be undone.
    fn refusal(&self, order: &Order) -> Option<String> {
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
    /// Whether the resolution in the journal is this intervention.
    fn is(&self, resolution: &Resolution) -> bool {
        match self {
            Self::Choose(_, requested) | Self::Adopt(_, requested) => requested.what == resolution.what,
            Self::Unknown(_) => false,
        }
    }
}

/// The outcome of a call, a poll or a lookup.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
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
pub fn after_call(
    view: &SagaView<'_>,
    index: usize,
    result: Result<Progress<Values>, Failure>,
    waits: u32,
) -> StepOutcome {
    let Some(entry) = view.status.steps.get(index) else { return StepOutcome::Rest(LOOKUP_RETRY) };
    match result {
        Ok(progress) => progressed(view, index, progress),
        Err(Failure::Waiting(why)) => StepOutcome::Idle { until: view.now + wait(waits), why },
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
pub fn after_prepare(
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
pub fn after_lookup(view: &SagaView<'_>, index: usize, result: Result<Found<Values>, Failure>) -> StepOutcome {
    let Some(entry) = view.status.steps.get(index) else { return StepOutcome::Rest(LOOKUP_RETRY) };
    let is_doubtful = entry.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Doubt);
    match result {
        Ok(Found::One(Progress::Started { action, .. })) if entry.action == Some(action) => {
            StepOutcome::Rest(LOOKUP_RETRY)
        }
        Ok(Found::One(progress)) => progressed(view, index, progress),
        // The call is repeated only while the saga goes forward. Undoing looks up the effect by itself.
        Ok(Found::Converges) if let Some(why) = stop(view) => StepOutcome::Note(view.turn_back(why)),
        Ok(Found::Converges) if let Some(wait) = entry.retry_at.as_ref().and_then(|at| view.until(at.0)) => {
            StepOutcome::Rest(wait)
        }
        Ok(Found::Converges) => {
            StepOutcome::Intend(StepEvent::Renew { counts: is_doubtful && entry.action.is_none() }.of(index))
        }
        // The cloud reports it as done, so its effect will appear; a second call would do it twice.
        Ok(Found::Nothing) if entry.action.is_some() && view.action == Some(ActionState::Completed) => view
            .wait_for_lookup(
                index,
                entry,
                LOOKUP_RETRY,
                "the cloud reports it as done, but does not list the result yet",
            ),
        Ok(Found::Nothing) => {
            let called = view.unsettled(entry);
            let wait = entry.retry_at.as_ref().and_then(|at| view.until(at.0)).unwrap_or_default().max(called);
            if !wait.is_zero() {
                let again = view.since_call(entry).clamp(FIRST_LOOKUP, LONGEST_PAUSE).min(wait);
                let why = "the response to its call is lost; the call is repeated if its effect does not appear";
                // The error already says so.
                let is_told = entry.error.is_some();
                return if is_told { StepOutcome::Rest(again) } else { view.wait_for_lookup(index, entry, again, why) };
            }
            match stop(view) {
                Some(why) => StepOutcome::Note(view.turn_back(why)),
                None => StepOutcome::Intend(StepEvent::Renew { counts: is_doubtful }.of(index)),
            }
        }
        Ok(Found::Several(ids)) => {
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
pub fn after_undo(view: &SagaView<'_>, index: usize, result: Result<Undo, Failure>, waits: u32) -> StepOutcome {
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
            (again.saturating_mul(2_u32.saturating_pow(waits)).min(LONGEST_WAIT.max(again)), why)
        }
        Err(Failure::Waiting(why)) => (wait(waits), why),
        Err(failure) => {
            let kind = match failure {
                Failure::Permanent(_) => ErrorKind::Permanent,
                Failure::Doubt(_) => ErrorKind::Doubt,
                _ => ErrorKind::Transient,
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
            // The step is done all the same.
            StepOutcome::Note(StepEvent::Fail { error: StepError { kind: ErrorKind::Doubt, message } }.of(index))
        }
        Progress::Started { action, ids } => StepOutcome::Note(StepEvent::Await { action, ids }.of(index)),
        Progress::NotYet { again, why } => match view.status.steps.get(index) {
            Some(entry) => view.wait_for_lookup(index, entry, again, &why),
            None => StepOutcome::Rest(again),
        },
    }
}

/// Records a failed attempt: another follows, or it was the last.
fn missed(view: &SagaView<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
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
fn missed_undo(view: &SagaView<'_>, index: usize, entry: &StepStatus, error: StepError) -> Event {
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
fn not_undone(entry: &StepStatus, why: &str) -> Event {
    let message = format!(
        "undoing step {:?} failed: {why}; fix the cause and annotate the saga with arcadia.cloud/resolve=retry, skip \
         to leave it as it is, or abandon",
        entry.name
    );
    Event::Stick { why: Why { reason: reason::UNDO_FAILED, message }, stop: None }
}

/// The pause after this many attempts: it doubles each time, minus up to half of it at random.
fn backoff(retry: Retry, tried: i32, dice: f64) -> Duration {
    let seconds = |number: i32| u64::try_from(number).unwrap_or_default();
    let doublings = u32::try_from(tried.saturating_sub(1)).unwrap_or_default();
    let doubled = seconds(retry.min_seconds).saturating_mul(2_u64.saturating_pow(doublings));
    let longest = Duration::from_secs(doubled.min(seconds(retry.max_seconds).max(seconds(retry.min_seconds))));
    longest.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
}

/// The pause of a step that the cloud has postponed this many times.
fn wait(waits: u32) -> Duration {
    SHORTEST_WAIT.saturating_mul(2_u32.saturating_pow(waits)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests;
