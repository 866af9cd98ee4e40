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
        saga::{StepError, StepStatus, StopReason},
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
        let message = status.explanation().to_owned();
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
            SagaPhase::Succeeded
                if saga.spec.cancel_requested && !status.overruled.contains(&StopReason::Cancelled) =>
            {
                let note = "cancelling the saga: its last step was running already and cannot be undone; the saga has succeeded";
                self.cancel_refused(saga, note);
            }
            // Progress is no event: the phase shows it, and an event is a write.
            SagaPhase::Pending | SagaPhase::Running | SagaPhase::RollingBack | SagaPhase::Succeeded => {}
        }
    }

    /// Reports that a saga could not be cancelled.
    pub(super) fn cancel_refused(&mut self, saga: &Saga, note: &str) {
        self.event(saga, events::CANCEL_REFUSED, "Cancel", note.to_owned());
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The events of a saga that gets this status.
    fn events_of(spec: &Value, status: Value) -> Vec<(EventReason, String)> {
        let saga = json!({ "metadata": { "name": "saga" }, "spec": spec });
        let saga: Saga = serde_json::from_value(saga).unwrap();
        let mut report = TurnReport::default();
        report.phase(&saga, &serde_json::from_value(status).unwrap(), false);
        let event = |entry| match entry {
            ReportEntry::Event(draft) => Some((draft.event, draft.note)),
            ReportEntry::SagaEnded(..) | ReportEntry::StepEnded { .. } => None,
        };
        report.0.into_iter().filter_map(event).collect()
    }

    #[test]
    fn a_saga_that_succeeds_although_it_was_cancelled_is_an_event() {
        let spec = |cancelled| json!({ "kind": "provision", "steps": [], "cancelRequested": cancelled });
        assert!(events_of(&spec(false), json!({ "phase": "Succeeded" })).is_empty());
        let cancelled = events_of(&spec(true), json!({ "phase": "Succeeded" }));
        assert!(matches!(&cancelled[..], [(events::CANCEL_REFUSED, _)]), "{cancelled:?}");
        // A person continued the saga in spite of the request.
        let overruled = json!({ "phase": "Succeeded", "overruled": ["Cancelled"] });
        assert!(events_of(&spec(true), overruled).is_empty());
    }

    #[test]
    fn the_event_of_a_suspended_saga_says_why_it_is_stuck() {
        let status = json!({
            "phase": "Stuck",
            "stuckBy": { "reason": "StepFailed", "message": "the step failed" },
            "conditions": [{ "type": "Succeeded", "status": "Unknown", "reason": "Suspended", "message": "suspended",
                "lastTransitionTime": "2026-05-10T09:00:00Z" }],
        });
        let spec = json!({ "kind": "provision", "steps": [], "suspend": true });
        assert_eq!(events_of(&spec, status), [(events::SAGA_STUCK, "the step failed".to_owned())]);
    }
}
