//! Runs a saga until it has to wait: decides with [`decide`], executes the command and writes the journal.
//!
//! One rule makes it crash-proof: *a call that changes something is made only right after this process wrote its intent
//! into the journal, bound to the version of the journal that it decided from*. So a stale cache, a second runner or a
//! process that ended leads to a superfluous lookup, never to a second call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, info};

use super::{
    call_states::{At, KeptCallState},
    command::Command,
    context::Context,
    decide::decide,
    event::{Choice, Event, StepEvent},
    index::{IndexedSaga, is_held},
    journal,
    order::digest,
    orders::ReadOrder,
    outcome::{StepOutcome, after_call, after_lookup, after_prepare, after_undo},
    report::Report,
    state::{Direction, current, direction},
    step::{AnyStep, Failure, Identity, Progress, StepContext},
    upgrade::upgrade,
    view::{CallState, Intervention, SagaView, Undoes, late_in},
};
use crate::{
    api::{
        OPERATOR, Saga, SagaPhase, SagaStatus, annotations,
        saga::{FINALIZER, Resolution, StepState},
    },
    failpoint,
    kube_ext::{
        call::{Error, bounded},
        key::ObjectKey,
        leader::Permit,
        work::Next,
    },
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
pub async fn turn(key: &ObjectKey, context: &Arc<Context>) -> Result<Next, Error> {
    failpoint::crash("turn");
    let Some(known) = context.index().get(key) else {
        context.call_states.forget(key);
        context.actions.forget(key);
        context.orders.forget(key);
        return Ok(Next::Settled);
    };
    let turn = Turn::new(key, context, known).await?;
    let _release = Release { key, context };
    turn.run().await
}

/// Releases the saga's claim at the end of its turn, so that the sagas waiting for it can start.
struct Release<'a> {
    key: &'a ObjectKey,
    context: &'a Context,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.context.release(self.key);
    }
}

/// One turn of one saga.
struct Turn<'a> {
    key: &'a ObjectKey,
    context: &'a Context,
    /// The latest object that this process read from the API server.
    saga: Arc<Saga>,
    intervention: Option<Intervention>,
    /// The saga that defines the steps: for `kind: rollback` the saga to undo.
    author: Option<Arc<Saga>>,
    order: Arc<ReadOrder>,
    digest: String,
    /// The journal, including unwritten events.
    status: SagaStatus,
    is_dirty: bool,
    call_state: CallState,
    waits: u32,
    began: Instant,
    /// The time at which the latest intent was written.
    intended: Option<Instant>,
    report: Report,
}

/// The result of a call of a step.
type StepFuture<'s, T> = BoxFuture<'s, Result<T, Failure>>;

/// The relations of a saga to other sagas.
#[derive(Default)]
struct Others {
    waits_for: Option<String>,
    /// The saga that has undone the saga to undo.
    has_undone: Option<String>,
    undone_by: Option<String>,
}

impl<'a> Turn<'a> {
    async fn new(key: &'a ObjectKey, context: &'a Context, known: IndexedSaga) -> Result<Self, Error> {
        let saga = known.saga;
        let is_finished = saga.phase().is_finished();
        let author = match &saga.spec.rollback_of {
            Some(other) if !is_finished => read(context, key, &other.name).await?,
            _ => None,
        };
        let mut status = saga.status.clone().unwrap_or_default();
        upgrade(&mut status);
        let digest = digest(&saga.spec);
        let order = context.orders.order_of(key, &saga, author.as_deref(), &digest);
        let mut turn = Self {
            key,
            context,
            intervention: known.intervention,
            author,
            order,
            digest,
            status,
            is_dirty: false,
            call_state: CallState::Unknown,
            waits: 0,
            began: Instant::now(),
            intended: None,
            report: Report::default(),
            saga,
        };
        if let Some(held) = context.call_states.get(key).filter(|held| held.at == turn.at()) {
            turn.call_state = held.call_state;
            turn.waits = held.waits;
        }
        Ok(turn)
    }

    async fn run(mut self) -> Result<Next, Error> {
        loop {
            let must_end = self.context.process.stop.is_cancelled() || self.began.elapsed() > LONGEST_TURN;
            if must_end && self.call_state != CallState::Intent {
                self.write().await?;
                return Ok(if self.context.process.stop.is_cancelled() { Next::Settled } else { Next::Again });
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
                Command::Call(_) | Command::CallUndo(_) if !self.is_fresh() => {
                    self.call_state = CallState::Idle(Timestamp::now());
                }
                Command::Call(_) | Command::CallUndo(_)
                    if self.context.process.leadership.permit() != Permit::Write =>
                {
                    // Another process may lead now. For that process the step is in doubt, which costs it a lookup.
                    return Ok(Next::Settled);
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
                    let result = self.read_step(index, |step, context, parameters| step.run(context, parameters)).await;
                    let after = self.outcome(|view, waits| after_call(view, index, result, waits));
                    if let Some(next) = self.follow(index, after).await? {
                        return Ok(next);
                    }
                }
                Command::LookUp(index) => {
                    let result =
                        self.read_step(index, |step, context, parameters| step.find(context, parameters)).await;
                    let after = self.outcome(|view, _| after_lookup(view, index, result));
                    if let Some(next) = self.follow(index, after).await? {
                        return Ok(next);
                    }
                }
                Command::Adopt(index, id, resolution) => self.adopt(index, &id, resolution).await?,
                Command::Forget { refusal } => {
                    self.write().await?;
                    self.forget_intervention(refusal).await?;
                }
                Command::Hold => self.hold().await?,
                Command::LetGo => {
                    self.write().await?;
                    self.let_go().await?;
                    return Ok(Next::Settled);
                }
                Command::Expire => {
                    self.expire().await?;
                    return Ok(Next::Settled);
                }
                Command::RefuseCancel => {
                    let note = "cancelling the saga: it has succeeded; create a saga of kind rollback to undo it";
                    self.report.event(&self.saga, true, "CancelRefused", "Cancel", note.to_owned());
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
    fn rest(&self, wait: Option<Duration>) -> Next {
        let late = late_in(&self.view(&Others::default()));
        wait.into_iter().chain(late).min().map_or(Next::Settled, Next::After)
    }

    fn next(&self) -> Command {
        let next = decide(&self.view(&self.others()));
        let step = self.status.step.as_deref();
        debug!(saga = %self.key, phase = self.status.phase.name(), step, call_state = ?self.call_state, next = next.name(), "decided");
        next
    }

    /// The view from which the next command is decided.
    fn view<'s>(&'s self, others: &'s Others) -> SagaView<'s> {
        let undoes = self.author.as_ref().map(|author| Undoes {
            uid: author.metadata.uid.as_deref().unwrap_or_default(),
            kind: author.spec.kind,
            is_unchanged: author.status.as_ref().and_then(|status| status.spec_digest.as_deref())
                == Some(&self.order.digest),
            phase: author.phase(),
            steps: author.status.as_ref().map_or(&[], |status| &status.steps),
            undone_by: others.has_undone.as_deref(),
        });
        SagaView {
            spec: &self.saga.spec,
            status: &self.status,
            generation: self.generation(),
            is_deleting: self.saga.metadata.deletion_timestamp.is_some(),
            has_finalizer: is_held(&self.saga),
            order: self.order.order.as_ref().map_err(String::as_str),
            undoes,
            digest: &self.digest,
            waits_for: others.waits_for.as_deref(),
            undone_by: others.undone_by.as_deref(),
            intervention: self.intervention.as_ref(),
            action: self.awaited().and_then(|action| self.context.actions.look(action, self.key)),
            call_state: self.call_state,
            settle: self.context.settings.settle,
            now: Timestamp::now(),
            dice: rand::random_range(0.0..=1.0),
        }
    }

    /// The relations that matter in this phase.
    fn others(&self) -> Others {
        let mut index = self.context.index();
        let spec = &self.saga.spec;
        match self.status.phase {
            SagaPhase::Pending => {
                let author = self.author.as_ref().and_then(|author| author.metadata.uid.as_deref());
                let has_undone = author.and_then(|uid| index.undone_by(self.key, uid));
                Others { has_undone, waits_for: index.claim(self.key), undone_by: None }
            }
            phase if phase.is_finished() => {
                let may_go =
                    spec.ttl_seconds_after_finished.is_some() || self.saga.metadata.deletion_timestamp.is_some();
                Others { undone_by: index.undoing(self.key).filter(|_| may_go), ..Others::default() }
            }
            _ => Others::default(),
        }
    }

    /// The result of the cloud action that the current step waits for.
    fn awaited(&self) -> Option<u64> {
        let entry = self.status.steps.get(current(&self.status)?)?;
        let action = match entry.state {
            StepState::Undoing => entry.undo.as_ref()?.action?,
            _ => entry.action?,
        };
        Some(action.get())
    }

    fn outcome(&self, judge: impl FnOnce(&SagaView<'_>, u32) -> StepOutcome) -> StepOutcome {
        judge(&self.view(&Others::default()), self.waits)
    }

    /// Applies an outcome. Returns the next turn if this one ends.
    async fn follow(&mut self, index: usize, after: StepOutcome) -> Result<Option<Next>, Error> {
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
    fn lookup_after(&mut self, wait: Duration) -> Next {
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
    async fn prepare(&mut self, index: usize) -> Result<Option<Next>, Error> {
        let limit = if self.is_dirty { LONGEST_DELAY_OF_A_RESULT } else { LONGEST_TURN };
        let Ok(result) =
            timeout(limit, self.read_step(index, |step, context, parameters| step.before(context, parameters))).await
        else {
            if self.is_dirty {
                self.write().await?;
                return Ok(None);
            }
            return Ok(Some(Next::After(limit)));
        };
        if result.is_err() {
            self.write().await?;
        }
        let after = self.outcome(|view, waits| after_prepare(view, index, result, waits));
        self.follow(index, after).await
    }

    async fn adopt(&mut self, index: usize, id: &str, resolution: Resolution) -> Result<(), Error> {
        let named = id.to_owned();
        let adopt = self.read_step(index, |step, context, parameters| {
            async move { step.adopt(context, parameters, &named).await }.boxed()
        });
        let result = adopt.await;
        let event = match result {
            Ok(Progress::Done(output)) => StepEvent::Complete { output }.of(index),
            Ok(Progress::Started { action, ids }) => StepEvent::Await { action, ids }.of(index),
            Ok(Progress::NotYet { why, .. }) => {
                return self.forget_intervention(Some(format!("adopting {id}: {why}"))).await;
            }
            Err(failure) => return self.forget_intervention(Some(format!("adopting {id}: {failure}"))).await,
        };
        self.note(Event::Resolve { resolution, choice: Choice::Adopt })?;
        self.note(event)
    }

    /// Whether the intent of the next call was just written.
    fn is_fresh(&self) -> bool {
        self.intended.is_some_and(|intended| intended.elapsed() < self.context.settings.settle / 4)
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
            _ => {}
        }
        failpoint::crash("call-before");
        let result = self.read_step(index, method).await;
        self.intended = None;
        failpoint::crash("call-after");
        if failpoint::strikes("answer-lost") {
            return Err(Failure::Doubt("a test wants the answer to be lost".to_owned()));
        }
        result
    }

    /// Calls a method of a step with its current parameters.
    async fn read_step<T>(
        &self,
        index: usize,
        method: impl for<'s> FnOnce(&'static dyn AnyStep, &'s StepContext<'s>, &'s Value) -> StepFuture<'s, T>,
    ) -> Result<T, Failure> {
        let author = self.author.as_deref().unwrap_or(&self.saga);
        let order = self.order.order.as_ref().map_err(Failure::permanent)?;
        let (Some(ordered), Some(entry)) = (order.steps.get(index), self.status.steps.get(index)) else {
            return Err(Failure::Permanent("the spec has no such step".to_owned()));
        };
        let parameters = order.parameters(ordered, &self.status.steps).map_err(Failure::permanent)?;
        let uid = author.metadata.uid.as_deref().unwrap_or_default();
        // The next leader waits for the settle time from the intent on. So nothing may be sent later than that allows,
        // without an intent, or by a process that does not lead.
        let (intended, leadership) = (self.intended, self.context.process.leadership.clone());
        let latest = self.context.settings.settle / 2;
        let cloud = self.context.cloud.guarded(move || {
            intended.is_some_and(|intended| intended.elapsed() < latest) && leadership.permit() == Permit::Write
        });
        let approval = format!("{}{}", annotations::APPROVE_PREFIX, entry.name);
        let context = StepContext {
            cloud: &cloud,
            kube: &self.context.process.client,
            http: &self.context.http,
            namespace: &self.key.namespace,
            saga: &self.key.name,
            identity: Identity::new(uid, index, direction(&self.status) == Direction::Back),
            entry,
            approved_by: self.saga.annotations().get(&approval).map(String::as_str).filter(|by| !by.is_empty()),
            settle: self.context.settings.settle,
            now: Timestamp::now(),
        };
        method(ordered.step, &context, &parameters).await
    }

    /// Records an event in memory.
    fn note(&mut self, event: Event) -> Result<(), Error> {
        let before = self.status.phase;
        let is_resolution = matches!(event, Event::Resolve { .. });
        // The conditions describe this generation.
        self.status.observed_generation = Some(self.generation());
        journal::apply(&mut self.status, event, Timestamp::now()).map_err(|illegal| Error::Refused {
            doing: format!("advancing Saga {}", self.key),
            message: illegal.to_string(),
        })?;
        self.is_dirty = true;
        self.call_state = CallState::Unknown;
        self.waits = 0;
        if before != self.status.phase || is_resolution {
            self.report.phase(&self.saga, &self.status, is_resolution);
        }
        Ok(())
    }

    /// Records that this generation of the spec was observed.
    fn observe(&mut self) -> Result<(), Error> {
        self.note(Event::Observe { generation: self.generation() })
    }

    /// Records an event and writes the journal: a call follows.
    async fn intend(&mut self, event: Event) -> Result<(), Error> {
        let waits = self.waits;
        self.note(event)?;
        self.waits = waits;
        self.write().await?;
        self.call_state = CallState::Intent;
        self.intended = Some(Instant::now());
        Ok(())
    }

    /// Writes the journal if it has changed.
    async fn write(&mut self) -> Result<(), Error> {
        if !self.is_dirty {
            return Ok(());
        }
        failpoint::crash("journal-before");
        let mut object = Saga::clone(&self.saga);
        object.metadata.managed_fields = None;
        object.status = Some(self.status.clone());
        let doing = format!("writing the journal of Saga {}", self.key);
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let written = bounded(&doing, self.sagas().replace_status(&self.key.name, &params, &object)).await?;
        failpoint::crash("journal-after");
        self.learn(written);
        self.report.publish(&self.context.process.events, &self.context.metrics);
        Ok(())
    }

    /// Takes over an object that the API server returned.
    fn learn(&mut self, mut saga: Saga) {
        self.context.learn(self.key, &saga);
        saga.metadata.managed_fields = None;
        self.status = saga.status.clone().unwrap_or_default();
        upgrade(&mut self.status);
        self.is_dirty = false;
        self.saga = Arc::new(saga);
        self.context.call_states.forget(self.key);
    }

    /// Removes the annotations of an intervention.
    async fn forget_intervention(&mut self, refusal: Option<String>) -> Result<(), Error> {
        let remove = json!({
            annotations::RESOLVE: null, annotations::ADOPT: null, annotations::BECAUSE: null, annotations::DECIDED_BY: null,
        });
        let doing = format!("removing the annotations of the intervention from Saga {}", self.key);
        self.patch(&doing, json!({ "annotations": remove })).await?;
        self.intervention = None;
        if let Some(why) = refusal {
            info!(saga = %self.key, why, "refused the resolution");
            self.report.event(&self.saga, true, "ResolutionRefused", "Resolve", why);
            self.report.publish(&self.context.process.events, &self.context.metrics);
        }
        Ok(())
    }

    async fn hold(&mut self) -> Result<(), Error> {
        let mut finalizers = self.saga.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        let doing = format!("adding the finalizer to Saga {}", self.key);
        self.patch(&doing, json!({ "finalizers": finalizers })).await
    }

    async fn let_go(&mut self) -> Result<(), Error> {
        let mut finalizers = self.saga.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let doing = format!("removing the finalizer from Saga {}", self.key);
        match self.patch(&doing, json!({ "finalizers": finalizers })).await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Changes metadata, bound to the version that was decided from.
    async fn patch(&mut self, doing: &str, mut metadata: Value) -> Result<(), Error> {
        if let Value::Object(metadata) = &mut metadata {
            metadata.insert("resourceVersion".to_owned(), json!(self.saga.metadata.resource_version));
        }
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let (status, is_dirty) = (self.status.clone(), self.is_dirty);
        let written = bounded(doing, self.sagas().patch(&self.key.name, &params, &patch)).await?;
        self.learn(written);
        if is_dirty {
            self.status = status;
            self.is_dirty = true;
        }
        Ok(())
    }

    async fn expire(&self) -> Result<(), Error> {
        let preconditions = Preconditions {
            uid: self.saga.metadata.uid.clone(),
            resource_version: self.saga.metadata.resource_version.clone(),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let doing = format!("deleting Saga {} after its ttlSecondsAfterFinished", self.key);
        match bounded(&doing, self.sagas().delete(&self.key.name, &params)).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn report_step(&mut self, index: usize, event: &Event) {
        let ordered = self.order.order.as_ref().ok().and_then(|order| order.steps.get(index));
        if let (Some(entry), Some(ordered)) = (self.status.steps.get(index), ordered) {
            self.report.step(self.key, ordered.step.name(), entry, event);
        }
    }

    fn generation(&self) -> i64 {
        self.saga.metadata.generation.unwrap_or_default()
    }

    fn at(&self) -> At {
        let index = current(&self.status);
        let entry = index.and_then(|index| self.status.steps.get(index));
        At {
            uid: self.saga.metadata.uid.clone().unwrap_or_default(),
            index,
            direction: direction(&self.status),
            attempts: entry
                .map_or((0, 0), |entry| (entry.attempts, entry.undo.as_ref().map_or(0, |undo| undo.attempts))),
        }
    }

    fn sagas(&self) -> Api<Saga> {
        Api::namespaced(self.context.process.client.clone(), &self.key.namespace)
    }
}

/// Reads the saga to undo from the API server.
async fn read(context: &Context, key: &ObjectKey, name: &str) -> Result<Option<Arc<Saga>>, Error> {
    let sagas: Api<Saga> = Api::namespaced(context.process.client.clone(), &key.namespace);
    let doing = format!("reading Saga {}/{name}", key.namespace);
    Ok(bounded(&doing, sagas.get_opt(name)).await?.map(Arc::new))
}
