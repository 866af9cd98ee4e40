//! The metrics of sagas and their steps.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::index::Census;
use crate::{
    api::{SagaKind, SagaPhase},
    telemetry::metrics::{OutcomeLabel, Seconds, signed, whole},
};

/// The counters and histograms. Clones share them.
#[derive(Clone)]
pub struct SagaMetrics {
    reconciles: Family<OutcomeLabel, Counter>,
    reconcile_seconds: Histogram,
    ended: Family<SagaLabel, Counter>,
    step_seconds: Family<StepLabel, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SagaLabel {
    kind: &'static str,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
    outcome: &'static str,
}

impl Default for SagaMetrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new([0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0, 60.0]),
            ended: Family::default(),
            // A snapshot of a large droplet takes hours.
            step_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0])
            }),
        }
    }
}

impl SagaMetrics {
    /// Registers the counters and histograms.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "saga_reconciles",
            "Reconciles of sagas: `ok`, `panic`, or the category of the error",
            self.reconciles.clone(),
        );
        let help = "Duration of one reconcile of a saga";
        registry.register_with_unit("saga_reconcile_duration", help, Unit::Seconds, self.reconcile_seconds.clone());
        registry.register("sagas_ended", "Sagas that ended or became `Stuck`, by phase", self.ended.clone());
        let help = "Duration of saga steps with all retries: `done`, `failed` or `undone`";
        registry.register_with_unit("saga_step_duration", help, Unit::Seconds, self.step_seconds.clone());
    }

    /// Observes a reconcile of a saga.
    pub fn reconciled(&self, took: Duration, outcome: &'static str) {
        self.reconcile_seconds.observe(took.as_secs_f64());
        self.reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a saga that ended or became Stuck.
    pub fn ended(&self, kind: SagaKind, phase: SagaPhase) {
        self.ended.get_or_create(&SagaLabel { kind: kind.name(), phase: phase.name() }).inc();
    }

    /// Observes a step that ended.
    pub fn step_ended(&self, step: &'static str, outcome: &'static str, took: Duration) {
        self.step_seconds.get_or_create(&StepLabel { step, outcome }).observe(took.as_secs_f64());
    }
}

/// Registers the gauges of these sagas, of which this number is queued.
pub fn register_gauges(sagas: &Census, queued: usize, now: Timestamp, registry: &mut Registry) {
    let counts = Family::<SagaLabel, Gauge>::default();
    let oldest = Family::<SagaLabel, Seconds>::default();
    for ((kind, phase), known) in sagas {
        let label = SagaLabel { kind: kind.name(), phase: phase.name() };
        counts.get_or_create(&label).set(signed(known.count));
        if let Some(since) = known.since {
            // Never negative: the API server's clock may be ahead.
            oldest.get_or_create(&label).set(now.duration_since(since).as_secs_f64().max(0.0));
        }
    }
    registry.register("sagas", "Sagas in the cache", counts);
    registry.register("queued_sagas", "Sagas that are queued or being reconciled", whole(signed(queued)));
    let help = "Time that the oldest saga has been in progress (`Running`, `RollingBack`) or `Stuck`";
    registry.register_with_unit("oldest_active_saga_age", help, Unit::Seconds, oldest);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus_client::encoding::text::encode;
    use strum::VariantArray as _;

    use super::*;
    use crate::saga::{index::InPhase, steps};

    fn scrape(metrics: &SagaMetrics, sagas: &Census) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        register_gauges(sagas, 0, Timestamp::UNIX_EPOCH, &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn sagas_are_exported_by_kind_and_phase_with_the_age_of_the_oldest() {
        let known = |phase, count, age: Option<i64>| {
            let since = age.map(|age| Timestamp::from_second(-age).unwrap());
            ((SagaKind::Provision, phase), InPhase { count, since })
        };
        let sagas = Census::from([
            known(SagaPhase::Running, 2, Some(90)),
            known(SagaPhase::Stuck, 1, Some(-30)),
            known(SagaPhase::Succeeded, 7, None),
        ]);
        let text = scrape(&SagaMetrics::default(), &sagas);
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).collect::<BTreeSet<_>>();
        let wanted = [
            r#"sagas{kind="provision",phase="Running"} 2"#,
            r#"sagas{kind="provision",phase="Stuck"} 1"#,
            r#"sagas{kind="provision",phase="Succeeded"} 7"#,
        ];
        assert_eq!(lines("sagas{"), BTreeSet::from(wanted));
        let wanted = [
            r#"oldest_active_saga_age_seconds{kind="provision",phase="Running"} 90.0"#,
            r#"oldest_active_saga_age_seconds{kind="provision",phase="Stuck"} 0.0"#,
        ];
        assert_eq!(lines("oldest_active_saga_age_seconds{"), BTreeSet::from(wanted));
    }

    #[test]
    fn counters_are_counters_and_durations_are_seconds_in_few_series() {
        let metrics = SagaMetrics::default();
        let mut sagas = Census::new();
        let phases = |kind: &SagaKind| SagaPhase::VARIANTS.iter().map(|phase| (*kind, *phase)).collect::<Vec<_>>();
        for (kind, phase) in SagaKind::VARIANTS.iter().flat_map(phases) {
            metrics.ended(kind, phase);
            sagas.insert((kind, phase), InPhase { count: 1, since: Some(Timestamp::UNIX_EPOCH) });
        }
        for step in steps::ALL {
            for outcome in ["done", "failed", "undone"] {
                metrics.step_ended(step.name(), outcome, Duration::from_secs(3));
            }
        }
        metrics.reconciled(Duration::ZERO, "ok");
        let text = scrape(&metrics, &sagas);
        for line in [
            "# UNIT saga_step_duration_seconds seconds",
            r#"saga_step_duration_seconds_bucket{le="2.0",step="Sleep",outcome="done"} 0"#,
            r#"saga_step_duration_seconds_bucket{le="10.0",step="Sleep",outcome="done"} 1"#,
            r#"sagas_ended_total{kind="test",phase="Succeeded"} 1"#,
            r#"saga_reconciles_total{outcome="ok"} 1"#,
        ] {
            assert!(text.lines().any(|said| said == line), "wanted {line} in:\n{text}");
        }
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series < 1500, "{series} series");
    }
}
