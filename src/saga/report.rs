//! Reports on a saga: log lines at once; events and metrics after the journal is written.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use tracing::{info, warn};

use super::{
    clock,
    event::{Event, StepEvent},
    metrics::SagaMetrics,
    state::condition,
};
use crate::{
    api::{
        Saga, SagaKind, SagaPhase, SagaStatus, conditions,
        events::{self, EventReason},
        saga::{StepError, StepStatus},
    },
    kube_ext::{
        events::{EventDraft, Events},
        key::ObjectKey,
    },
};

/// A report that is published once the journal is written.
#[derive(Default)]
pub(super) struct TurnReport(Vec<ReportEntry>);

enum ReportEntry {
    Event(Box<EventDraft>),
    SagaEnded(SagaKind, SagaPhase),
    StepEnded { step: &'static str, outcome: &'static str, took: Duration },
}

impl TurnReport {
    /// Reports a step's result, by an event that is about to be recorded.
    pub(super) fn step(&mut self, saga: &ObjectKey, kind: &'static str, entry: &StepStatus, event: &Event) {
        let step = entry.name.as_str();
        let Event::Step { event, .. } = event else { return };
        let (outcome, began, error) = match event {
            StepEvent::Complete { .. } => ("done", began(entry), None),
            StepEvent::Fail { error, .. } => ("failed", began(entry), Some(error)),
            StepEvent::CompleteUndo => ("undone", undo_began(entry), None),
            StepEvent::Delay { error, .. } | StepEvent::Retry { error, .. } | StepEvent::RetryUndo { error, .. } => {
                let StepError { kind: failure, message } = error;
                return info!(%saga, step, kind, ?failure, why = message, "the attempt failed; retrying");
            }
            StepEvent::Begin { .. }
            | StepEvent::Renew { .. }
            | StepEvent::Await { .. }
            | StepEvent::Wait { .. }
            | StepEvent::Undo { .. }
            | StepEvent::AwaitUndo { .. } => return,
        };
        let took = began.map(since).unwrap_or_default();
        if let Some(StepError { kind: failure, message }) = error {
            warn!(%saga, step, kind, ?failure, why = message, "the step failed");
        } else {
            info!(%saga, step, kind, outcome, ?took, "the step ended");
        }
        self.0.push(ReportEntry::StepEnded { step: kind, outcome, took });
    }

    /// Reports a new phase.
    pub(super) fn phase(&mut self, saga: &Saga, status: &SagaStatus, is_resolution: bool) {
        let phase = status.phase;
        let why = condition(status, conditions::SUCCEEDED);
        let message = why.map_or_else(String::new, |condition| condition.message.clone());
        let reason = why.map_or("", |condition| condition.reason.as_str());
        let key = ObjectKey::of(saga);
        info!(saga = %key, phase = phase.name(), reason, why = message, "the phase changed");
        if phase.is_finished() || phase == SagaPhase::Stuck {
            self.0.push(ReportEntry::SagaEnded(saga.spec.kind, phase));
        }
        if is_resolution {
            return self.event(saga, events::RESOLVED, "Resolve", message);
        }
        match phase {
            SagaPhase::Stuck => self.event(saga, events::SAGA_STUCK, "Run", message),
            SagaPhase::RollingBack if saga.spec.kind != SagaKind::Rollback => {
                self.event(saga, events::ROLLING_BACK, "RollBack", message);
            }
            SagaPhase::RolledBack => self.event(saga, events::ROLLED_BACK, "RollBack", message),
            SagaPhase::Failed => self.event(saga, events::SAGA_FAILED, "Run", message),
            // Progress is no event: the phase shows it, and an event is a write.
            SagaPhase::Pending | SagaPhase::Running | SagaPhase::RollingBack | SagaPhase::Succeeded => {}
        }
    }

    /// Queues an event for people.
    pub(super) fn event(&mut self, saga: &Saga, event: EventReason, action: &'static str, note: String) {
        let about = ObjectReference {
            api_version: Some(Saga::api_version(&()).into_owned()),
            kind: Some(Saga::kind(&()).into_owned()),
            namespace: saga.metadata.namespace.clone(),
            name: saga.metadata.name.clone(),
            uid: saga.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let group = None;
        self.0.push(ReportEntry::Event(Box::new(EventDraft { about, related: None, event, action, note, group })));
    }

    /// Publishes all reports, now that the journal is written.
    pub(super) fn publish(&mut self, events: &Events, metrics: &SagaMetrics) {
        for entry in self.0.drain(..) {
            match entry {
                ReportEntry::Event(news) => events.publish(*news),
                ReportEntry::SagaEnded(kind, phase) => metrics.ended(kind, phase),
                ReportEntry::StepEnded { step, outcome, took } => metrics.step_ended(step, outcome, took),
            }
        }
    }
}

/// The start of a step, moved by the time for which the saga was suspended since.
fn began(entry: &StepStatus) -> Option<Timestamp> {
    clock::step_began(&SagaStatus::default(), entry, Timestamp::now())
}

fn undo_began(entry: &StepStatus) -> Option<Timestamp> {
    clock::undo_began(&SagaStatus::default(), entry.undo.as_ref()?, Timestamp::now())
}

fn since(began: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(began)).unwrap_or_default()
}
