//! Runs a saga until it has to wait: decides with [`decide`], executes the command and writes the journal.
//!
//! One rule makes it crash-proof: *a call that changes something is made only right after this process wrote its intent
//! into the journal, bound to the version of the journal that it decided from*. So a stale cache, a second runner or a
//! process that ended leads to a superfluous lookup, never to a second call.

#![warn(clippy::wildcard_enum_match_arm)]

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::timeout;
use tracing::debug;

use super::{
    attempts::WAIT_FOR_CALLS,
    cached::{CachedSaga, intervention, is_held},
    call_states::KeptCallState,
    command::Command,
    context::SagaContext,
    decide::decide,
    event::{Choice, Event, StepEvent},
    outcome::{StepOutcome, after_call, after_lookup, after_prepare, after_undo},
    state::{Direction, direction},
    step::{AnyStep, Failure, Identity, Progress, StepContext},
    steps,
    turn::{Others, SagaTurn, read},
    view::{CallState, SagaView, late_in},
};
use crate::{
    api::{annotations, saga::Resolution},
    failpoint,
    kube_ext::{call::Error, key::ObjectKey, leader::AllowedRequests, work::Requeue},
};

/// After this time a saga returns to the queue, so that no turn is endless.
const LONGEST_TURN: Duration = Duration::from_mins(1);
/// The time for which the result of a step may stay unwritten while the next one is prepared, so that both share a write.
const LONGEST_DELAY_OF_A_RESULT: Duration = Duration::from_secs(2);

/// The number of waits after which a wait is shown. Short waits are not worth a write.
const SILENT_WAITS: u32 = 2;

/// Runs a saga until it has to wait.
///
/// # Errors
/// When the journal cannot be written. A call without a written intent was not made; a call without a written result is
/// in doubt and is looked up.
pub(crate) async fn turn(key: &ObjectKey, context: &Arc<SagaContext>) -> Result<Requeue, Error> {
    failpoint::crash("turn");
    let known = context.index().get(key);
    let (saga, intervention) = match known {
        Some(CachedSaga::Whole(saga, intervention)) => (saga, intervention),
        Some(CachedSaga::Finished(finished)) => {
            context.forget(key);
            if let Some(next) = finished.rest(Timestamp::now()) {
                return Ok(next);
            }
            let Some(saga) = read(context, key, &key.name).await? else { return Ok(Requeue::Settled) };
            let intervention = intervention(&saga).map(Arc::new);
            (saga, intervention)
        }
        None => {
            context.forget(key);
            return Ok(Requeue::Settled);
        }
    };
    let turn = SagaTurn::new(key, context, saga, intervention).await?;
    let _release = Release { key, context };
    turn.run().await
}

/// Releases the saga's claim at the end of its turn, so that the sagas waiting for it can start.
struct Release<'a> {
    key: &'a ObjectKey,
    context: &'a SagaContext,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.context.release(self.key);
    }
}

/// The result of a call of a step.
type StepFuture<'s, T> = BoxFuture<'s, Result<T, Failure>>;

impl SagaTurn<'_> {
    async fn run(mut self) -> Result<Requeue, Error> {
        loop {
            let must_end = self.context.process.stop.is_cancelled() || self.began.elapsed() > LONGEST_TURN;
            if must_end && self.call_state != CallState::Intent {
                self.write().await?;
                return Ok(if self.context.process.stop.is_cancelled() { Requeue::Settled } else { Requeue::Again });
            }
            match self.next() {
                Command::Note(event) => self.note(event)?,
                Command::Intend(event) => self.intend(event).await?,
                Command::Prepare(index) => {
                    if let Some(next) = self.prepare(index).await? {
                        return Ok(next);
                    }
                }
                // The intent has expired: another process may have looked the step up already.
                Command::Call(_) | Command::CallUndo(_) if !self.is_fresh().await => {
                    self.call_state = CallState::Idle(Timestamp::now());
                }
                Command::Call(_) | Command::CallUndo(_)
                    if self.context.process.leadership.permit() != AllowedRequests::Write =>
                {
                    // Another process may lead now. For that process the step is in doubt, which costs it a lookup.
                    return Ok(Requeue::Settled);
                }
                Command::Call(index) => {
                    let result = self.change(index, |step, context, parameters| step.run(context, parameters)).await;
                    let after = self.outcome(|view, waits| after_call(view, index, result, waits));
                    if let Some(next) = self.follow(index, after).await? {
                        return Ok(next);
                    }
                }
                Command::CallUndo(index) => {
                    let result = self.change(index, |step, context, parameters| step.undo(context, parameters)).await;
                    let after = self.outcome(|view, waits| after_undo(view, index, result, waits));
                    if let Some(next) = self.follow(index, after).await? {
                        return Ok(next);
                    }
                }
                Command::Poll(index) | Command::LookUp(index) if self.is_dirty => {
                    debug!(saga = %self.key, index, "writes the journal first");
                    self.write().await?;
                }
                Command::Poll(index) => {
                    let result = self.call_step(index, |step, context, parameters| step.run(context, parameters)).await;
                    let after = self.outcome(|view, waits| after_call(view, index, result, waits));
                    if let Some(next) = self.follow(index, after).await? {
                        return Ok(next);
                    }
                }
                Command::LookUp(index) => {
                    let result =
                        self.call_step(index, |step, context, parameters| step.find(context, parameters)).await;
                    let after = self.outcome(|view, _| after_lookup(view, index, result));
                    if let Some(next) = self.follow(index, after).await? {
                        return Ok(next);
                    }
                }
                Command::Adopt(index, id, resolution) => {
                    if let Some(next) = self.adopt(index, &id, resolution).await? {
                        return Ok(next);
                    }
                }
                Command::Forget { refusal } => {
                    self.write().await?;
                    self.forget_intervention(refusal).await?;
                }
                Command::Hold => self.hold().await?,
                Command::LetGo => {
                    self.write().await?;
                    self.let_go().await?;
                    return Ok(Requeue::Settled);
                }
                Command::Expire => {
                    self.expire().await?;
                    return Ok(Requeue::Settled);
                }
                Command::RefuseCancel => {
                    let note = "cancelling the saga: it has succeeded; create a saga of kind rollback to undo it";
                    self.report.cancel_refused(&self.saga, note);
                    self.observe()?;
                    self.write().await?;
                }
                Command::Rest(wait) => {
                    let is_leaving = self.saga.metadata.deletion_timestamp.is_some() && !is_held(&self.saga);
                    if self.status.observed_generation != Some(self.generation()) && !is_leaving {
                        self.observe()?;
                    }
                    self.write().await?;
                    return Ok(self.rest(wait));
                }
            }
        }
    }

    /// Ends the turn for this time, but at most until the saga or its step exceeds its timeout.
    fn rest(&self, wait: Option<Duration>) -> Requeue {
        let late = late_in(&self.view(&Others::default()));
        wait.into_iter().chain(late).min().map_or(Requeue::Settled, Requeue::After)
    }

    fn next(&self) -> Command {
        let next = decide(&self.view(&self.others()));
        let step = self.status.step.as_deref();
        debug!(saga = %self.key, phase = self.status.phase.name(), step, call_state = ?self.call_state, next = next.name(), "decided");
        next
    }

    fn outcome(&self, judge: impl FnOnce(&SagaView<'_>, u32) -> StepOutcome) -> StepOutcome {
        judge(&self.view(&Others::default()), self.waits)
    }

    /// Applies an outcome. Returns the next turn if this one ends.
    async fn follow(&mut self, index: usize, after: StepOutcome) -> Result<Option<Requeue>, Error> {
        match after {
            StepOutcome::Note(event) => {
                self.report_step(index, &event);
                self.note(event)?;
                Ok(None)
            }
            StepOutcome::Intend(event) => self.intend(event).await.map(|()| None),
            StepOutcome::Idle { until, why } => {
                let waits = self.waits.saturating_add(1);
                let news = self.view(&Others::default()).publish_wait(index, &why).filter(|_| waits > SILENT_WAITS);
                if let Some(news) = news {
                    self.note(news)?;
                }
                self.call_state = CallState::Idle(until);
                self.waits = waits;
                self.write().await?;
                // Writing resets the call state.
                self.keep(CallState::Idle(until), waits);
                let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
                debug!(saga = %self.key, index, why, ?wait, "waits");
                Ok(Some(self.rest(Some(wait))))
            }
            StepOutcome::Publish(event, wait) => {
                self.report_step(index, &event);
                self.note(event)?;
                self.write().await?;
                Ok(Some(self.lookup_after(wait)))
            }
            StepOutcome::Rest(wait) => {
                self.write().await?;
                Ok(Some(self.lookup_after(wait)))
            }
        }
    }

    /// Ends the turn; the next lookup is due after this time.
    fn lookup_after(&mut self, wait: Duration) -> Requeue {
        self.keep(CallState::InDoubt(Timestamp::now() + wait), self.waits);
        self.rest(Some(wait))
    }

    /// Keeps the call state for the next turn.
    fn keep(&mut self, call_state: CallState, waits: u32) {
        self.call_state = call_state;
        self.waits = waits;
        self.context.call_states.keep(self.key, KeptCallState { at: self.at(), call_state, waits });
    }

    /// Reads the state before a step and starts it. The result of the previous step waits for that, within a limit.
    async fn prepare(&mut self, index: usize) -> Result<Option<Requeue>, Error> {
        let limit = if self.is_dirty { LONGEST_DELAY_OF_A_RESULT } else { LONGEST_TURN };
        let Ok(result) =
            timeout(limit, self.read_step(index, |step, context, parameters| step.before(context, parameters))).await
        else {
            if self.is_dirty {
                self.write().await?;
                return Ok(None);
            }
            return Ok(Some(Requeue::After(limit)));
        };
        if result.is_err() {
            // After a success, the step keeps its place for the call that follows.
            self.leave_line(index, &result);
            self.write().await?;
        }
        let after = self.outcome(|view, waits| after_prepare(view, index, result, waits));
        self.follow(index, after).await
    }

    /// Adopts the resource that a person named. Without calls, the decision waits.
    async fn adopt(&mut self, index: usize, id: &str, resolution: Resolution) -> Result<Option<Requeue>, Error> {
        let named = id.to_owned();
        let adopt = self.call_step(index, |step, context, parameters| {
            async move { step.adopt(context, parameters, &named).await }.boxed()
        });
        let result = adopt.await;
        let event = match result {
            Ok(Progress::Done(output)) => Ok(StepEvent::Complete { output }.of(index)),
            Ok(Progress::Started { action, ids }) => Ok(StepEvent::Await { action, ids }.of(index)),
            Ok(Progress::NotYet { why, .. }) => Err(why),
            Err(Failure::OutOfCalls(_)) => return Ok(Some(Requeue::After(WAIT_FOR_CALLS))),
            Err(failure) => Err(failure.to_string()),
        };
        match event {
            Ok(event) => {
                self.note(Event::Resolve { resolution, choice: Choice::Adopt })?;
                self.note(event)?;
            }
            Err(why) => self.forget_intervention(Some(format!("adopting {id}: {why}"))).await?,
        }
        Ok(None)
    }

    /// Calls a step whose intent was just written.
    async fn change<T>(
        &mut self,
        index: usize,
        method: impl for<'s> FnOnce(&'static dyn AnyStep, &'s StepContext<'s>, &'s Value) -> StepFuture<'s, T>,
    ) -> Result<T, Failure> {
        self.call_state = CallState::Unknown;
        let wanted = || "a test wants it to fail".to_owned();
        match direction(&self.status) {
            Direction::Forward if failpoint::strikes("call-fails") => return Err(Failure::Permanent(wanted())),
            Direction::Back if failpoint::strikes("undo-fails") => return Err(Failure::Transient(wanted())),
            Direction::Forward | Direction::Back => {}
        }
        failpoint::crash("call-before");
        let result = self.call_step(index, method).await;
        self.end_intent().await;
        failpoint::crash("call-after");
        if failpoint::strikes("answer-lost") {
            return Err(Failure::Doubt("a test wants the answer to be lost".to_owned()));
        }
        result
    }

    /// Calls a method of a step that needs no more calls for now, unless this one has to wait.
    async fn call_step<T>(
        &self,
        index: usize,
        method: impl for<'s> FnOnce(&'static dyn AnyStep, &'s StepContext<'s>, &'s Value) -> StepFuture<'s, T>,
    ) -> Result<T, Failure> {
        let result = self.read_step(index, method).await;
        self.leave_line(index, &result);
        result
    }

    fn identity(&self, index: usize) -> Identity {
        let author = self.author.as_deref().unwrap_or(&self.saga);
        let uid = author.metadata.uid.as_deref().unwrap_or_default();
        Identity::new(uid, index, direction(&self.status) == Direction::Back)
    }

    /// Gives up the place of a step in the line for calls, unless it waits for one.
    fn leave_line<T>(&self, index: usize, result: &Result<T, Failure>) {
        if !matches!(result, Err(Failure::OutOfCalls(_))) {
            self.context.cloud.leave_line(&self.identity(index).idempotency_key());
        }
    }

    /// Calls a method of a step with its current parameters.
    async fn read_step<T>(
        &self,
        index: usize,
        method: impl for<'s> FnOnce(&'static dyn AnyStep, &'s StepContext<'s>, &'s Value) -> StepFuture<'s, T>,
    ) -> Result<T, Failure> {
        let order = self.order.order.as_ref().map_err(Failure::permanent)?;
        let (Some(ordered), Some(entry)) = (order.steps.get(index), self.status.steps.get(index)) else {
            return Err(Failure::Permanent("the spec has no such step".to_owned()));
        };
        let parameters = order.parameters(ordered, &self.status.steps).map_err(Failure::permanent)?;
        // Nothing is sent without an intent.
        let intent = self.intent.clone();
        let cloud = self.context.cloud.guarded(move || {
            let intent = intent.clone();
            async move { if let Some(intent) = intent { intent.holds().await } else { false } }.boxed()
        });
        let identity = self.identity(index);
        let cloud = cloud.of_step(identity.idempotency_key().into());
        let approval = format!("{}{}", annotations::APPROVE_PREFIX, entry.name);
        let context = StepContext {
            cloud: &cloud,
            kube: &self.context.process.client,
            http: &self.context.http,
            namespace: &self.key.namespace,
            saga: &self.key.name,
            identity,
            entry,
            approved_by: self.saga.annotations().get(&approval).map(String::as_str).filter(|by| !by.is_empty()),
            settle: self.context.settings.settle,
            now: Timestamp::now(),
        };
        let step = steps::named(ordered.step.name());
        let step = step.ok_or_else(|| Failure::Permanent(format!("there is no step {}", ordered.step.name())))?;
        method(step, &context, &parameters).await
    }
}
