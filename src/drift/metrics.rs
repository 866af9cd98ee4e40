//! The counters and histograms of records, drifts and sweeps.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{
    api::{DriftPhase, conditions::ConditionReason},
    digitalocean::Kind,
    telemetry::metrics::OutcomeLabel,
};

/// The outcome of a success.
const OK: &str = "ok";

/// The counters and histograms. Clones share them.
#[derive(Clone)]
pub struct DriftMetrics {
    opened: Family<KindLabel, Counter>,
    resolved: Family<ResolvedLabel, Counter>,
    reconciles: Family<OutcomeLabel, Counter>,
    reconcile_seconds: Histogram,
    syncs: Family<SyncLabel, Counter>,
    sync_seconds: Family<KindLabel, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResolvedLabel {
    kind: &'static str,
    phase: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabel {
    kind: &'static str,
    outcome: &'static str,
}

impl Default for DriftMetrics {
    fn default() -> Self {
        Self {
            opened: Family::default(),
            resolved: Family::default(),
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0]),
            syncs: Family::default(),
            // A sweep that exceeds the rate limit waits for up to an hour.
            sync_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
            }),
        }
    }
}

impl DriftMetrics {
    /// Registers the counters and histograms.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("drifts_opened", "Drifts opened", self.opened.clone());
        registry.register("drifts_resolved", "Drifts resolved, by phase and reason", self.resolved.clone());
        registry.register(
            "reconciles",
            "Reconciles of records: `ok`, `panic`, or the category of the error",
            self.reconciles.clone(),
        );
        let help = "Duration of one reconcile of a record";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, self.reconcile_seconds.clone());
        registry.register("syncs", "Sweeps of a kind: `ok`, or the category of the error", self.syncs.clone());
        let help = "Duration of one sweep of a kind";
        registry.register_with_unit("sync_duration", help, Unit::Seconds, self.sync_seconds.clone());
    }

    /// Counts an opened drift.
    pub fn opened(&self, kind: Kind) {
        self.opened.get_or_create(&KindLabel { kind: kind.name() }).inc();
    }

    /// Counts a resolved drift, by its phase and reason.
    pub fn resolved(&self, kind: Kind, phase: DriftPhase, reason: ConditionReason) {
        let label = ResolvedLabel { kind: kind.name(), phase: phase.name(), reason: reason.name() };
        self.resolved.get_or_create(&label).inc();
    }

    /// Observes a reconcile of a record.
    pub fn reconciled(&self, took: Duration, outcome: &'static str) {
        self.reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Observes a sweep of a kind.
    pub fn synced(&self, kind: Kind, took: Duration, outcome: &'static str) {
        // Starts at 0, so that the first success after failures is visible as an increase.
        drop(self.syncs.get_or_create(&SyncLabel { kind: kind.name(), outcome: OK }));
        self.syncs.get_or_create(&SyncLabel { kind: kind.name(), outcome }).inc();
        self.sync_seconds.get_or_create(&KindLabel { kind: kind.name() }).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn scrape(metrics: &DriftMetrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn the_first_success_after_failures_is_seen_to_be_counted() {
        let metrics = DriftMetrics::default();
        let kind = Kind::named("Droplet").unwrap();
        let succeeded = r#"syncs_total{kind="Droplet",outcome="ok"}"#;
        metrics.synced(kind, Duration::ZERO, "server");
        assert_eq!(scrape(&metrics).lines().find(|line| line.starts_with(succeeded)), Some(&*format!("{succeeded} 0")));
        metrics.synced(kind, Duration::ZERO, OK);
        assert_eq!(scrape(&metrics).lines().find(|line| line.starts_with(succeeded)), Some(&*format!("{succeeded} 1")));
    }

    #[test]
    fn durations_are_seconds() {
        let metrics = DriftMetrics::default();
        metrics.synced(Kind::named("Droplet").unwrap(), Duration::from_millis(200), OK);
        let text = scrape(&metrics);
        for line in ["# TYPE sync_duration_seconds histogram", "# UNIT sync_duration_seconds seconds"] {
            assert!(text.lines().any(|said| said == line), "wanted {line} in:\n{text}");
        }
    }
}
