//! One turn of one saga: its state, what it sees, and its writes.

#![warn(clippy::wildcard_enum_match_arm)]

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::info;

use super::{
    cached::{intervention, is_held},
    call_states::At,
    context::SagaContext,
    event::Event,
    intent::{Intent, Written, write_journal},
    journal,
    order::digest,
    orders::ReadOrder,
    report::TurnReport,
    state::{current, direction},
    upgrade::upgrade,
    view::{CallState, Intervention, SagaView, Undoes},
};
use crate::{
    api::{
        OPERATOR, Saga, SagaPhase, SagaStatus, annotations, events,
        saga::{FINALIZER, StepState},
    },
    kube_ext::{
        call::{Error, bounded},
        key::ObjectKey,
    },
};

pub(super) struct SagaTurn<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) context: &'a SagaContext,
    /// The latest object that this process read from the API server.
    pub(super) saga: Arc<Saga>,
    pub(super) intervention: Option<Arc<Intervention>>,
    /// The saga that defines the steps: for `kind: rollback` the saga to undo.
    pub(super) author: Option<Arc<Saga>>,
    pub(super) order: Arc<ReadOrder>,
    pub(super) digest: String,
    /// The journal, including unwritten events.
    pub(super) status: SagaStatus,
    pub(super) is_dirty: bool,
    pub(super) call_state: CallState,
    pub(super) waits: u32,
    pub(super) began: Instant,
    /// The latest intent, until its call was made.
    pub(super) intent: Option<Arc<Intent>>,
    pub(super) report: TurnReport,
}

/// The relations of a saga to other sagas.
#[derive(Default)]
pub(super) struct Others {
    pub(super) waits_for: Option<String>,
    /// The saga that has undone the saga to undo.
    pub(super) has_undone: Option<String>,
    pub(super) undone_by: Option<String>,
}

impl<'a> SagaTurn<'a> {
    pub(super) async fn new(
        key: &'a ObjectKey,
        context: &'a SagaContext,
        saga: Arc<Saga>,
        intervention: Option<Arc<Intervention>>,
    ) -> Result<Self, Error> {
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
            intervention,
            author,
            order,
            digest,
            status,
            is_dirty: false,
            call_state: CallState::Unknown,
            waits: 0,
            began: Instant::now(),
            intent: None,
            report: TurnReport::default(),
            saga,
        };
        if let Some(held) = context.call_states.get(key).filter(|held| held.at == turn.at()) {
            turn.call_state = held.call_state;
            turn.waits = held.waits;
        }
        Ok(turn)
    }

    /// The view from which the next command is decided.
    pub(super) fn view<'s>(&'s self, others: &'s Others) -> SagaView<'s> {
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
            intervention: self.intervention.as_deref(),
            action: self.awaited().and_then(|action| self.context.actions.state_of(action, self.key)),
            call_state: self.call_state,
            settle: self.context.settings.settle,
            now: Timestamp::now(),
            dice: rand::random_range(0.0..=1.0),
        }
    }

    /// The relations that matter in this phase.
    pub(super) fn others(&self) -> Others {
        let mut index = self.context.index();
        let spec = &self.saga.spec;
        match self.status.phase {
            SagaPhase::Pending => {
                let author = self.author.as_ref().and_then(|author| author.metadata.uid.as_deref());
                let has_undone = author.and_then(|uid| index.undone_by(self.key, uid));
                Others { has_undone, waits_for: index.claim(self.key), undone_by: None }
            }
            SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed => {
                let may_go =
                    spec.ttl_seconds_after_finished.is_some() || self.saga.metadata.deletion_timestamp.is_some();
                Others { undone_by: index.undoing(self.key).filter(|_| may_go), ..Others::default() }
            }
            SagaPhase::Running | SagaPhase::RollingBack | SagaPhase::Stuck => Others::default(),
        }
    }

    /// The result of the cloud action that the current step waits for.
    fn awaited(&self) -> Option<u64> {
        let entry = self.status.steps.get(current(&self.status)?)?;
        let action = if entry.state == StepState::Undoing { entry.undo.as_ref()?.action } else { entry.action };
        Some(action?.get())
    }

    /// Returns true if the intent of the next call was just written.
    pub(super) async fn is_fresh(&self) -> bool {
        match &self.intent {
            Some(intent) => intent.is_younger_than(self.context.settings.settle / 4).await,
            None => false,
        }
    }

    /// Records an event in memory.
    pub(super) fn note(&mut self, event: Event) -> Result<(), Error> {
        let before = self.status.phase;
        let is_resolution = matches!(event, Event::Resolve { .. });
        // The conditions describe this generation.
        self.status.observed_generation = Some(self.generation());
        journal::apply(&mut self.status, event, Timestamp::now()).map_err(|illegal| Error::Refused {
            doing: format!("advancing Saga {}", self.key),
            message: illegal.to_string(),
        })?;
        self.is_dirty = true;
        self.intent = None;
        self.call_state = CallState::Unknown;
        self.waits = 0;
        if before != self.status.phase || is_resolution {
            self.report.phase(&self.saga, &self.status, is_resolution);
        }
        Ok(())
    }

    /// Records that this generation of the spec was observed.
    pub(super) fn observe(&mut self) -> Result<(), Error> {
        self.note(Event::Observe { generation: self.generation() })
    }

    /// Records an event and writes the journal: a call follows.
    pub(super) async fn intend(&mut self, event: Event) -> Result<(), Error> {
        let waits = self.waits;
        self.note(event)?;
        self.waits = waits;
        let at = Instant::now();
        self.write().await?;
        self.call_state = CallState::Intent;
        self.intent = Some(Arc::new(Intent {
            key: self.key.clone(),
            client: self.context.process.client.clone(),
            leadership: self.context.process.leadership.clone(),
            latest: self.context.settings.settle / 2,
            state: Mutex::new(Written { saga: self.saga.clone(), at }),
        }));
        Ok(())
    }

    /// Ends the intent, since its call was made or is not made. The journal may have been written for it once more.
    pub(super) async fn end_intent(&mut self) {
        let Some(intent) = self.intent.take() else { return };
        let saga = intent.saga().await;
        if saga.metadata.resource_version != self.saga.metadata.resource_version {
            let call_state = self.call_state;
            self.learn(Saga::clone(&saga));
            self.call_state = call_state;
        }
    }

    /// Writes the journal if it has changed.
    pub(super) async fn write(&mut self) -> Result<(), Error> {
        if !self.is_dirty {
            return Ok(());
        }
        let written = write_journal(&self.context.process.client, self.key, &self.saga, &self.status).await?;
        self.learn(written);
        self.report.publish(&self.context.process.events, &self.context.metrics);
        Ok(())
    }

    /// Takes over an object that the API server returned.
    fn learn(&mut self, mut saga: Saga) {
        let intervention = intervention(&saga);
        saga.metadata.managed_fields = None;
        let saga = Arc::new(saga);
        self.context.learn(self.key, &saga, intervention);
        self.status = saga.status.clone().unwrap_or_default();
        upgrade(&mut self.status);
        self.is_dirty = false;
        self.saga = saga;
        self.context.call_states.forget(self.key);
    }

    /// Removes the annotations of an intervention.
    pub(super) async fn forget_intervention(&mut self, refusal: Option<String>) -> Result<(), Error> {
        let remove = json!({
            annotations::RESOLVE: null, annotations::ADOPT: null, annotations::BECAUSE: null, annotations::DECIDED_BY: null,
        });
        let doing = format!("removing the annotations of the intervention from Saga {}", self.key);
        self.patch(&doing, json!({ "annotations": remove })).await?;
        self.intervention = None;
        if let Some(why) = refusal {
            info!(saga = %self.key, why, "refused the resolution");
            self.report.event(&self.saga, events::RESOLUTION_REFUSED, "Resolve", why);
            self.report.publish(&self.context.process.events, &self.context.metrics);
        }
        Ok(())
    }

    pub(super) async fn hold(&mut self) -> Result<(), Error> {
        let mut finalizers = self.saga.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        let doing = format!("adding the finalizer to Saga {}", self.key);
        self.patch(&doing, json!({ "finalizers": finalizers })).await
    }

    pub(super) async fn let_go(&mut self) -> Result<(), Error> {
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

    pub(super) async fn expire(&self) -> Result<(), Error> {
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

    pub(super) fn report_step(&mut self, index: usize, event: &Event) {
        let ordered = self.order.order.as_ref().ok().and_then(|order| order.steps.get(index));
        if let (Some(entry), Some(ordered)) = (self.status.steps.get(index), ordered) {
            self.report.step(self.key, ordered.step.name(), entry, event);
        }
    }

    pub(super) fn generation(&self) -> i64 {
        self.saga.metadata.generation.unwrap_or_default()
    }

    pub(super) fn at(&self) -> At {
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

/// Reads a saga from the API server.
pub(super) async fn read(context: &SagaContext, key: &ObjectKey, name: &str) -> Result<Option<Arc<Saga>>, Error> {
    let sagas: Api<Saga> = Api::namespaced(context.process.client.clone(), &key.namespace);
    let doing = format!("reading Saga {}/{name}", key.namespace);
    Ok(bounded(&doing, sagas.get_opt(name)).await?.map(Arc::new))
}
