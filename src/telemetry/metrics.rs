//! Metrics, in `OpenMetrics` text. Labels are kinds, fields of kinds and fixed words, never names of objects.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    api::DriftPhase,
    digitalocean::{Kind, SnapshotInfo, Usage},
};

/// Everything that is counted; clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    opened: Family<KindLabel, Counter>,
    resolved: Family<ResolvedLabel, Counter>,
    reconciles: Family<OutcomeLabel, Counter>,
    syncs: Family<SyncLabel, Counter>,
    sync_seconds: Family<KindLabel, Histogram>,
    open_drifts: Family<FieldLabel, Gauge>,
    records: Gauge,
    inventory_age: Family<KindLabel, Gauge>,
    inventory_resources: Family<KindLabel, Gauge>,
    cloud_calls: Family<CallLabel, Gauge>,
    budget_left: Family<WindowLabel, Gauge>,
}

/// What is true at the moment of a scrape.
pub struct Reading {
    /// Records known.
    pub records: usize,
    /// Open drifts by kind and field.
    pub open_drifts: Vec<(Kind, String, i64)>,
    /// The inventory.
    pub snapshots: Vec<SnapshotInfo>,
    /// Calls and budget.
    pub usage: Usage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResolvedLabel {
    kind: &'static str,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabel {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FieldLabel {
    kind: &'static str,
    field: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WindowLabel {
    window: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("arcadia");
        let mut metrics = Self {
            registry: Arc::default(),
            opened: Family::default(),
            resolved: Family::default(),
            reconciles: Family::default(),
            syncs: Family::default(),
            sync_seconds: Family::new_with_constructor(|| Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0])),
            open_drifts: Family::default(),
            records: Gauge::default(),
            inventory_age: Family::default(),
            inventory_resources: Family::default(),
            cloud_calls: Family::default(),
            budget_left: Family::default(),
        };
        registry.register("drifts_opened", "Drifts opened", metrics.opened.clone());
        registry.register("drifts_resolved", "Drifts resolved, by how", metrics.resolved.clone());
        registry.register("reconciles", "Records looked at, by outcome", metrics.reconciles.clone());
        registry.register("syncs", "Sweeps of a kind, by outcome", metrics.syncs.clone());
        registry.register("sync_duration_seconds", "How long a sweep of a kind took", metrics.sync_seconds.clone());
        registry.register("open_drifts", "Drifts that wait for a decision", metrics.open_drifts.clone());
        registry.register("records", "ProvisionedResources known", metrics.records.clone());
        registry.register("inventory_age_seconds", "Age of the last complete list", metrics.inventory_age.clone());
        registry.register(
            "inventory_resources",
            "Recorded resources in the inventory",
            metrics.inventory_resources.clone(),
        );
        registry.register("cloud_calls", "Calls to the provider since the start", metrics.cloud_calls.clone());
        registry.register("cloud_calls_left", "Calls that the rate limits still allow", metrics.budget_left.clone());
        metrics.registry = Arc::new(registry);
        metrics
    }
}

impl Metrics {
    /// A drift was opened.
    pub fn opened(&self, kind: Kind) {
        self.opened.get_or_create(&KindLabel { kind: kind.name() }).inc();
    }

    /// A drift was resolved.
    pub fn resolved(&self, kind: Kind, phase: DriftPhase) {
        self.resolved.get_or_create(&ResolvedLabel { kind: kind.name(), phase: phase.name() }).inc();
    }

    /// A record was looked at.
    pub fn reconciled(&self, outcome: &'static str) {
        self.reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A kind was swept.
    pub fn synced(&self, kind: Kind, took: Duration, outcome: &'static str) {
        self.syncs.get_or_create(&SyncLabel { kind: kind.name(), outcome }).inc();
        self.sync_seconds.get_or_create(&KindLabel { kind: kind.name() }).observe(took.as_secs_f64());
    }

    /// The text of a scrape.
    #[must_use]
    pub fn scrape(&self, reading: &Reading) -> String {
        self.records.set(signed(reading.records));
        self.open_drifts.clear();
        for (kind, field, count) in &reading.open_drifts {
            // Users may record any path; only fields of the kind become labels.
            let field = kind.fields().find(|known| known == field).unwrap_or("other");
            self.open_drifts.get_or_create(&FieldLabel { kind: kind.name(), field }).inc_by(*count);
        }
        for snapshot in &reading.snapshots {
            let label = KindLabel { kind: snapshot.kind.name() };
            if let Some(age) = snapshot.age {
                self.inventory_age.get_or_create(&label).set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
            }
            self.inventory_resources.get_or_create(&label).set(signed(snapshot.resources));
        }
        for ((route, status), count) in &reading.usage.calls {
            let calls = i64::try_from(*count).unwrap_or(i64::MAX);
            self.cloud_calls.get_or_create(&CallLabel { route, status: *status }).set(calls);
        }
        self.budget_left.get_or_create(&WindowLabel { window: "minute" }).set(signed(reading.usage.minute_left));
        self.budget_left.get_or_create(&WindowLabel { window: "hour" }).set(signed(reading.usage.hour_left));
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
