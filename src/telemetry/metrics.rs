//! Metrics in `OpenMetrics` text. Label values are kinds, fields of kinds and fixed words, never names of objects.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use http::StatusCode;
use jiff::Timestamp;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::{
    api::{DriftPhase, SagaKind, SagaPhase},
    digitalocean::{Kind, SnapshotInfo, Usage},
    drift::{controller::Context, index::OpenDrifts},
    saga::index::Census,
};

/// The label value of a field that the kind does not declare: users may record any path.
const OTHER: &str = "other";

/// The outcome of a success.
const OK: &str = "ok";

/// The counters and histograms of the process. Clones share them. The gauges are in [`Reading`].
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    opened: Family<KindLabel, Counter>,
    resolved: Family<ResolvedLabel, Counter>,
    reconciles: Family<OutcomeLabel, Counter>,
    reconcile_seconds: Histogram,
    syncs: Family<SyncLabel, Counter>,
    sync_seconds: Family<KindLabel, Histogram>,
    saga_reconciles: Family<OutcomeLabel, Counter>,
    saga_reconcile_seconds: Histogram,
    sagas_ended: Family<SagaLabel, Counter>,
    step_seconds: Family<StepLabel, Histogram>,
}

/// The values of the gauges at a scrape.
pub struct Reading {
    /// The time of the scrape.
    pub now: Timestamp,
    /// Whether this process leads.
    pub is_leader: bool,
    /// The number of cached records.
    pub records: usize,
    /// Open drifts by kind and field.
    pub open_drifts: Vec<OpenDrifts>,
    /// Sagas by kind and phase.
    pub sagas: Census,
    /// The maximum age of an inventory that is still compared.
    pub max_age: Duration,
    /// The state of the inventory.
    pub snapshots: Vec<SnapshotInfo>,
    /// The calls and the budget of the cloud client.
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
    reason: &'static str,
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
struct SagaLabel {
    kind: &'static str,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    method: &'static str,
    route: &'static str,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WindowLabel {
    window: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabel {
    version: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("arcadia");
        let mut metrics = Self {
            registry: Arc::default(),
            opened: Family::default(),
            resolved: Family::default(),
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0]),
            syncs: Family::default(),
            // A sweep that exceeds the rate limit waits for up to an hour.
            sync_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
            }),
            saga_reconciles: Family::default(),
            saga_reconcile_seconds: Histogram::new([0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0, 60.0]),
            sagas_ended: Family::default(),
            // A snapshot of a large droplet takes hours.
            step_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0])
            }),
        };
        registry.register("drifts_opened", "Drifts opened", metrics.opened.clone());
        registry.register("drifts_resolved", "Drifts resolved, by how and why", metrics.resolved.clone());
        registry.register("reconciles", "Reconciles of records, by outcome", metrics.reconciles.clone());
        let help = "Duration of one reconcile of a record";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, metrics.reconcile_seconds.clone());
        registry.register("syncs", "Sweeps of a kind, by outcome", metrics.syncs.clone());
        let help = "Duration of one sweep of a kind";
        registry.register_with_unit("sync_duration", help, Unit::Seconds, metrics.sync_seconds.clone());
        registry.register("saga_reconciles", "Reconciles of sagas, by outcome", metrics.saga_reconciles.clone());
        let help = "Duration of one reconcile of a saga";
        registry.register_with_unit(
            "saga_reconcile_duration",
            help,
            Unit::Seconds,
            metrics.saga_reconcile_seconds.clone(),
        );
        registry.register(
            "sagas_ended",
            "Sagas that ended or became Stuck, by kind and phase",
            metrics.sagas_ended.clone(),
        );
        let help = "Duration of saga steps with all retries, by outcome";
        registry.register_with_unit("saga_step_duration", help, Unit::Seconds, metrics.step_seconds.clone());
        let build = Info::new(BuildLabel { version: env!("CARGO_PKG_VERSION") });
        registry.register("build", "The version of the operator", build);
        metrics.registry = Arc::new(registry);
        metrics
    }
}

impl Metrics {
    /// Counts an opened drift.
    pub fn opened(&self, kind: Kind) {
        self.opened.get_or_create(&KindLabel { kind: kind.name() }).inc();
    }

    /// Counts a resolved drift, with one of the reasons of [`crate::api::conditions::reason`].
    pub fn resolved(&self, kind: Kind, phase: DriftPhase, reason: &'static str) {
        self.resolved.get_or_create(&ResolvedLabel { kind: kind.name(), phase: phase.name(), reason }).inc();
    }

    /// Observes a reconcile of a record.
    pub fn reconciled(&self, took: Duration, outcome: &'static str) {
        self.reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Observes a reconcile of a saga.
    pub fn saga_reconciled(&self, took: Duration, outcome: &'static str) {
        self.saga_reconcile_seconds.observe(took.as_secs_f64());
        self.saga_reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a saga that ended or became Stuck.
    pub fn saga_ended(&self, kind: SagaKind, phase: SagaPhase) {
        self.sagas_ended.get_or_create(&SagaLabel { kind: kind.name(), phase: phase.name() }).inc();
    }

    /// Observes a step that ended.
    pub fn step_ended(&self, step: &'static str, outcome: &'static str, took: Duration) {
        self.step_seconds.get_or_create(&StepLabel { step, outcome }).observe(took.as_secs_f64());
    }

    /// Observes a sweep of a kind.
    pub fn synced(&self, kind: Kind, took: Duration, outcome: &'static str) {
        // Starts at 0, so that the first success after failures is visible as an increase.
        drop(self.syncs.get_or_create(&SyncLabel { kind: kind.name(), outcome: OK }));
        self.syncs.get_or_create(&SyncLabel { kind: kind.name(), outcome }).inc();
        self.sync_seconds.get_or_create(&KindLabel { kind: kind.name() }).observe(took.as_secs_f64());
    }

    /// The text of a scrape.
    #[must_use]
    pub fn scrape(&self, reading: &Reading) -> String {
        // Writing to a String does not fail.
        written(&[&self.registry, &reading.registry()]).unwrap_or_default()
    }
}

impl Reading {
    /// Sets the gauges.
    #[must_use]
    pub fn of(context: &Context, sagas: Census, usage: Usage) -> Self {
        let mut snapshots = context.inventory.snapshots();
        let index = context.index();
        // A kind that is no longer recorded is no longer listed, so its age is meaningless.
        let kinds = index.kinds();
        snapshots.retain(|snapshot| kinds.contains(&snapshot.kind));
        Self {
            now: Timestamp::now(),
            is_leader: context.process.leadership.is_leader(),
            records: index.len(),
            open_drifts: index.open_drifts(),
            sagas,
            max_age: context.settings.max_age,
            snapshots,
            usage,
        }
    }

    /// Created for each scrape, so that concurrent scrapes do not interfere, and stale labels disappear.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("arcadia");
        registry.register(
            "leader",
            "1 in the replica that holds the lease, 0 in a standby",
            whole(self.is_leader.into()),
        );
        registry.register("records", "ProvisionedResources in the cache", whole(signed(self.records)));
        self.register_drifts(&mut registry);
        self.register_inventory(&mut registry);
        self.register_cloud(&mut registry);
        self.register_sagas(&mut registry);
        registry
    }

    fn register_sagas(&self, registry: &mut Registry) {
        let sagas = Family::<SagaLabel, Gauge>::default();
        let oldest = Family::<SagaLabel, Seconds>::default();
        for ((kind, phase), known) in &self.sagas {
            let label = SagaLabel { kind: kind.name(), phase: phase.name() };
            sagas.get_or_create(&label).set(signed(known.count));
            if let Some(since) = known.since {
                oldest.get_or_create(&label).set(self.since(since));
            }
        }
        registry.register("sagas", "Sagas by kind and phase", sagas);
        let help = "Age of the oldest active or Stuck saga";
        registry.register_with_unit("oldest_active_saga_age", help, Unit::Seconds, oldest);
    }

    fn register_drifts(&self, registry: &mut Registry) {
        let open = Family::<FieldLabel, Gauge>::default();
        let oldest = Family::<KindLabel, Seconds>::default();
        for drifts in &self.open_drifts {
            let kind = drifts.kind.name();
            let field = drifts.kind.fields().find(|known| *known == drifts.field).unwrap_or(OTHER);
            open.get_or_create(&FieldLabel { kind, field }).inc_by(drifts.count);
            let gauge = oldest.get_or_create(&KindLabel { kind });
            gauge.set(gauge.get().max(self.since(drifts.oldest)));
        }
        registry.register("open_drifts", "Drifts that wait for a decision", open);
        let help = "Age of the oldest open drift";
        registry.register_with_unit("oldest_open_drift_age", help, Unit::Seconds, oldest);
    }

    /// The seconds since then; zero if the API server's clock is ahead.
    fn since(&self, time: Timestamp) -> f64 {
        self.now.duration_since(time).as_secs_f64().max(0.0)
    }

    fn register_inventory(&self, registry: &mut Registry) {
        let ages = Family::<KindLabel, Seconds>::default();
        let resources = Family::<KindLabel, Gauge>::default();
        for snapshot in &self.snapshots {
            let label = KindLabel { kind: snapshot.kind.name() };
            if let Some(age) = snapshot.age {
                ages.get_or_create(&label).set(age.as_secs_f64());
            }
            resources.get_or_create(&label).set(signed(snapshot.resources));
        }
        registry.register_with_unit("inventory_age", "Age of the last complete list", Unit::Seconds, ages);
        let help = "Age from which the inventory is too old to compare";
        registry.register_with_unit("inventory_max_age", help, Unit::Seconds, seconds(self.max_age));
        registry.register("inventory_resources", "Recorded resources in the inventory", resources);
    }

    fn register_cloud(&self, registry: &mut Registry) {
        let calls = Family::<CallLabel, Counter>::default();
        for ((method, route, status), count) in &self.usage.calls {
            calls.get_or_create(&CallLabel { method, route, status: said(*status) }).inc_by(*count);
        }
        let left = Family::<WindowLabel, Gauge>::default();
        let limit = Family::<WindowLabel, Gauge>::default();
        let usage = &self.usage;
        for (window, calls_left, calls_limit) in
            [("minute", usage.minute_left, usage.minute_limit), ("hour", usage.hour_left, usage.hour_limit)]
        {
            left.get_or_create(&WindowLabel { window }).set(signed(calls_left));
            limit.get_or_create(&WindowLabel { window }).set(signed(calls_limit));
        }
        registry.register("cloud_calls", "Calls to the provider", calls);
        registry.register("cloud_calls_left", "Calls left to sweeps within the rate limits", left);
        registry.register("cloud_calls_limit", "Calls allowed to sweeps by the rate limits", limit);
        let help = "Remaining pause of all calls, as the provider requested";
        registry.register_with_unit("cloud_pause", help, Unit::Seconds, seconds(usage.paused.unwrap_or_default()));
    }
}

fn written(registries: &[&Registry]) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for registry in registries {
        encode_registry(&mut text, registry)?;
    }
    encode_eof(&mut text)?;
    Ok(text)
}

/// The label of a status: known codes by number, others by class, so that the number of labels is bounded.
fn said(status: u16) -> String {
    match StatusCode::from_u16(status) {
        Ok(known) if known.canonical_reason().is_some() => status.to_string(),
        Ok(_) => format!("{}xx", status / 100),
        // No complete response.
        Err(_) => "none".to_owned(),
    }
}

fn whole(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

fn seconds(duration: Duration) -> Seconds {
    let gauge = Seconds::default();
    gauge.set(duration.as_secs_f64());
    gauge
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        api::conditions::reason,
        saga::{index::InPhase, steps},
    };

    fn nothing() -> Reading {
        Reading {
            now: Timestamp::UNIX_EPOCH,
            is_leader: false,
            records: 0,
            open_drifts: Vec::new(),
            sagas: Census::new(),
            max_age: Duration::from_mins(15),
            snapshots: Vec::new(),
            usage: Usage::default(),
        }
    }

    fn open(kind: &str, field: &str, count: i64, age: i64) -> OpenDrifts {
        let oldest = Timestamp::from_second(-age).unwrap();
        OpenDrifts { kind: Kind::named(kind).unwrap(), field: field.to_owned(), count, oldest }
    }

    /// The lines with this prefix.
    fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        text.lines().filter(|line| line.starts_with(start)).collect()
    }

    #[test]
    fn hostile_fields_and_statuses_make_few_series() {
        let field = |number: usize| match number % 4 {
            0 => format!("metadata.{number}"),
            1 => format!("name\",kind=\"x{number}"),
            2 => format!("x{number}\n# EOF"),
            _ => "ü".repeat(number),
        };
        let mut reading = nothing();
        reading.open_drifts = (0..1000).map(|number| open("Droplet", &field(number), 1, 60)).collect();
        reading.open_drifts.push(open("Droplet", "name", 2, 60));
        reading.open_drifts.push(open("Volume", "no_such_field", 1, 60));
        reading.usage.calls = (0..=u16::MAX).map(|status| (("GET", "/v2/droplets", status), 1)).collect();
        let text = Metrics::default().scrape(&reading);
        let wanted = [
            r#"arcadia_open_drifts{kind="Droplet",field="name"} 2"#,
            r#"arcadia_open_drifts{kind="Droplet",field="other"} 1000"#,
            r#"arcadia_open_drifts{kind="Volume",field="other"} 1"#,
        ];
        let open: BTreeSet<_> = lines(&text, "arcadia_open_drifts{").into_iter().collect();
        assert_eq!(open, BTreeSet::from(wanted));
        let calls = lines(&text, "arcadia_cloud_calls_total{");
        assert!(calls.len() < 80, "{} series", calls.len());
        assert!(
            calls.contains(&r#"arcadia_cloud_calls_total{method="GET",route="/v2/droplets",status="5xx"} 89"#),
            "{calls:?}"
        );
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    }

    #[test]
    fn all_that_can_be_said_is_a_few_thousand_series() {
        let metrics = Metrics::default();
        let mut reading = nothing();
        let reasons = [
            reason::ACCEPTED,
            reason::LIVE_RETURNED,
            reason::DESIRED_CHANGED,
            reason::NO_LONGER_RECORDED,
            reason::IGNORED,
            reason::RESOURCE_GONE,
        ];
        for kind in Kind::all() {
            metrics.opened(kind);
            for reason in reasons {
                metrics.resolved(kind, DriftPhase::Stale, reason);
            }
            metrics.synced(kind, Duration::ZERO, "ok");
            let fields = kind.fields().map(str::to_owned).chain(["no.such.field".to_owned()]);
            let drifts = fields.map(|field| OpenDrifts { kind, field, count: 1, oldest: reading.now });
            reading.open_drifts.extend(drifts);
            let snapshot = SnapshotInfo { kind, age: Some(Duration::ZERO), resources: 1, last_error: None };
            reading.snapshots.push(snapshot);
        }
        metrics.reconciled(Duration::ZERO, "ok");
        metrics.saga_reconciled(Duration::ZERO, "ok");
        for (kind, phase) in SagaKind::ALL.into_iter().flat_map(|kind| SagaPhase::ALL.map(|phase| (kind, phase))) {
            metrics.saga_ended(kind, phase);
            reading.sagas.insert((kind, phase), InPhase { count: 1, since: Some(reading.now) });
        }
        for step in steps::ALL {
            for outcome in ["done", "failed", "undone"] {
                metrics.step_ended(step.name(), outcome, Duration::ZERO);
            }
        }
        let text = metrics.scrape(&reading);
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series < 3000, "{series} series");
    }

    #[test]
    fn the_age_of_the_oldest_open_drift_of_a_kind_is_exported_and_never_negative() {
        let mut reading = nothing();
        reading.open_drifts = vec![
            open("Droplet", "name", 1, 60),
            open("Droplet", "size_slug", 3, 86_401),
            open("Droplet", "region", 1, 5),
            open("Volume", "name", 1, -30),
        ];
        let text = Metrics::default().scrape(&reading);
        let oldest: BTreeSet<_> = lines(&text, "arcadia_oldest_open_drift_age_seconds{").into_iter().collect();
        let wanted = [
            r#"arcadia_oldest_open_drift_age_seconds{kind="Droplet"} 86401.0"#,
            r#"arcadia_oldest_open_drift_age_seconds{kind="Volume"} 0.0"#,
        ];
        assert_eq!(oldest, BTreeSet::from(wanted));
    }

    #[test]
    fn sagas_are_exported_by_kind_and_phase_with_the_age_of_the_oldest() {
        let mut reading = nothing();
        let mut known = |phase, count, age: Option<i64>| {
            let since = age.map(|age| Timestamp::from_second(-age).unwrap());
            reading.sagas.insert((SagaKind::Provision, phase), InPhase { count, since });
        };
        known(SagaPhase::Running, 2, Some(90));
        known(SagaPhase::Stuck, 1, Some(-30));
        known(SagaPhase::Succeeded, 7, None);
        let text = Metrics::default().scrape(&reading);
        let sagas: BTreeSet<_> = lines(&text, "arcadia_sagas{").into_iter().collect();
        let wanted = [
            r#"arcadia_sagas{kind="provision",phase="Running"} 2"#,
            r#"arcadia_sagas{kind="provision",phase="Stuck"} 1"#,
            r#"arcadia_sagas{kind="provision",phase="Succeeded"} 7"#,
        ];
        assert_eq!(sagas, BTreeSet::from(wanted));
        let oldest: BTreeSet<_> = lines(&text, "arcadia_oldest_active_saga_age_seconds{").into_iter().collect();
        let wanted = [
            r#"arcadia_oldest_active_saga_age_seconds{kind="provision",phase="Running"} 90.0"#,
            r#"arcadia_oldest_active_saga_age_seconds{kind="provision",phase="Stuck"} 0.0"#,
        ];
        assert_eq!(oldest, BTreeSet::from(wanted));
    }

    #[test]
    fn stale_labels_disappear_and_scrapes_do_not_add_up() {
        let metrics = Metrics::default();
        let mut reading = nothing();
        reading.open_drifts = vec![open("Droplet", "name", 1, 60)];
        reading.usage.calls.insert(("GET", "/v2/droplets", 200), 7);
        for _ in 0..2 {
            let text = metrics.scrape(&reading);
            assert!(text.contains(r#"arcadia_open_drifts{kind="Droplet",field="name"} 1"#), "{text}");
            assert!(
                text.contains(r#"arcadia_cloud_calls_total{method="GET",route="/v2/droplets",status="200"} 7"#),
                "{text}"
            );
        }
        assert_eq!(lines(&metrics.scrape(&nothing()), "arcadia_open_drifts{"), [""; 0]);
    }

    #[test]
    fn the_first_success_after_failures_is_seen_to_be_counted() {
        let metrics = Metrics::default();
        let kind = Kind::named("Droplet").unwrap();
        let succeeded = r#"arcadia_syncs_total{kind="Droplet",outcome="ok"}"#;
        metrics.synced(kind, Duration::ZERO, "server");
        assert_eq!(lines(&metrics.scrape(&nothing()), succeeded), [format!("{succeeded} 0")]);
        metrics.synced(kind, Duration::ZERO, OK);
        assert_eq!(lines(&metrics.scrape(&nothing()), succeeded), [format!("{succeeded} 1")]);
    }

    #[test]
    fn counters_are_counters_and_durations_are_seconds() {
        let metrics = Metrics::default();
        metrics.synced(Kind::named("Droplet").unwrap(), Duration::from_millis(200), "ok");
        metrics.step_ended("Sleep", "done", Duration::from_secs(3));
        metrics.saga_ended(SagaKind::Test, SagaPhase::Succeeded);
        metrics.saga_reconciled(Duration::ZERO, "ok");
        let mut reading = nothing();
        reading.usage.calls.insert(("GET", "/v2/droplets", 0), 1);
        let text = metrics.scrape(&reading);
        for line in [
            "# TYPE arcadia_cloud_calls counter",
            r#"arcadia_cloud_calls_total{method="GET",route="/v2/droplets",status="none"} 1"#,
            "# TYPE arcadia_sync_duration_seconds histogram",
            "# UNIT arcadia_sync_duration_seconds seconds",
            "# UNIT arcadia_inventory_max_age_seconds seconds",
            "# UNIT arcadia_saga_step_duration_seconds seconds",
            r#"arcadia_saga_step_duration_seconds_bucket{le="2.0",step="Sleep",outcome="done"} 0"#,
            r#"arcadia_saga_step_duration_seconds_bucket{le="10.0",step="Sleep",outcome="done"} 1"#,
            r#"arcadia_sagas_ended_total{kind="test",phase="Succeeded"} 1"#,
            r#"arcadia_saga_reconciles_total{outcome="ok"} 1"#,
            "arcadia_inventory_max_age_seconds 900.0",
            concat!("arcadia_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|said| said == line), "wanted {line} in:\n{text}");
        }
    }
}
