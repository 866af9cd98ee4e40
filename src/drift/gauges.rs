//! The gauges of records, open drifts and the inventory.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{context::DriftContext, index::OpenDrifts, metrics::KindLabel, sweeps::SweepInfo};
use crate::{
    digitalocean::SnapshotInfo,
    telemetry::metrics::{Seconds, seconds, signed, whole},
};

/// The label value of a field that the kind does not declare: users may record any path.
const OTHER: &str = "other";

/// The gauges at a scrape.
pub struct Gauges {
    /// The time of the scrape.
    pub now: Timestamp,
    /// The number of cached records.
    pub records: usize,
    /// Open drifts by kind and field.
    pub open_drifts: Vec<OpenDrifts>,
    /// The maximum age of an inventory that is still compared.
    pub max_age: Duration,
    /// The state of the inventory.
    pub snapshots: Vec<SnapshotInfo>,
    /// The sweep frequency of each kind.
    pub sweeps: Vec<SweepInfo>,
    /// The number of records that are queued or being reconciled.
    pub queued: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FieldLabel {
    kind: &'static str,
    field: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PaceLabel {
    kind: &'static str,
    reason: &'static str,
    urgency: &'static str,
}

impl Gauges {
    /// The values of this moment.
    #[must_use]
    pub fn of(context: &DriftContext) -> Self {
        let mut snapshots = context.inventory.snapshots();
        let sweeps = context.sweeps();
        let index = context.index();
        // A kind that is no longer recorded is no longer listed, so its age is meaningless.
        let kinds = index.kinds();
        snapshots.retain(|snapshot| kinds.contains(&snapshot.kind));
        Self {
            now: Timestamp::now(),
            records: index.len(),
            open_drifts: index.open_drifts(),
            max_age: context.settings.max_age,
            snapshots,
            sweeps,
            queued: context.queue.pending(),
        }
    }

    /// Registers the gauges.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("records", "Records in the cache", whole(signed(self.records)));
        registry.register("queued_records", "Records that are queued or being reconciled", whole(signed(self.queued)));
        self.register_drifts(registry);
        self.register_inventory(registry);
        self.register_sweeps(registry);
    }

    fn register_drifts(&self, registry: &mut Registry) {
        let open = Family::<FieldLabel, Gauge>::default();
        let oldest = Family::<KindLabel, Seconds>::default();
        for drifts in &self.open_drifts {
            let kind = drifts.kind.name();
            let field = drifts.kind.fields().find(|known| *known == drifts.field).unwrap_or(OTHER);
            open.get_or_create(&FieldLabel { kind, field }).inc_by(drifts.count);
            let gauge = oldest.get_or_create(&KindLabel { kind });
            // Never negative: the API server's clock may be ahead.
            gauge.set(gauge.get().max(self.now.duration_since(drifts.oldest).as_secs_f64()));
        }
        registry.register("open_drifts", "Drifts that wait for a decision; dotted paths count as `other`", open);
        let help = "Age of the oldest open drift";
        registry.register_with_unit("oldest_open_drift_age", help, Unit::Seconds, oldest);
    }

    fn register_inventory(&self, registry: &mut Registry) {
        let ages = Family::<KindLabel, Seconds>::default();
        let resources = Family::<KindLabel, Gauge>::default();
        let unrecorded = Family::<KindLabel, Gauge>::default();
        for snapshot in &self.snapshots {
            let label = KindLabel { kind: snapshot.kind.name() };
            if let Some(age) = snapshot.age {
                ages.get_or_create(&label).set(age.as_secs_f64());
            }
            resources.get_or_create(&label).set(signed(snapshot.resources));
            if let Some(number) = snapshot.unrecorded {
                unrecorded.get_or_create(&label).set(signed(number));
            }
        }
        let help = "Age of the last sweep that read the list of the kind, or at least one of its lists";
        registry.register_with_unit("inventory_age", help, Unit::Seconds, ages);
        let help = "Age at which the inventory is too old for a comparison";
        registry.register_with_unit("inventory_max_age", help, Unit::Seconds, seconds(self.max_age));
        registry.register("inventory_resources", "Recorded resources in the inventory", resources);
        let help = "Resources of recorded kinds that no record names, except those that Kubernetes created";
        registry.register("unrecorded_resources", help, unrecorded);
    }

    fn register_sweeps(&self, registry: &mut Registry) {
        let calls = Family::<KindLabel, Gauge>::default();
        let due = Family::<KindLabel, Seconds>::default();
        let schedule = Family::<KindLabel, Seconds>::default();
        let intervals = Family::<PaceLabel, Seconds>::default();
        for sweeps in &self.sweeps {
            let kind = sweeps.kind.name();
            let label = KindLabel { kind };
            calls.get_or_create(&label).set(signed(sweeps.calls));
            due.get_or_create(&label).set(sweeps.due.unwrap_or_default().as_secs_f64());
            schedule.get_or_create(&label).set(sweeps.scheduled.as_secs_f64());
            let label = PaceLabel { kind, reason: sweeps.pace.reason.into(), urgency: sweeps.pace.urgency.into() };
            intervals.get_or_create(&label).set(sweeps.pace.interval.as_secs_f64());
        }
        registry.register("sync_calls", "Calls of the last sweep of a kind", calls);
        let help = "Time until the next sweep of a kind is due; 0 during a sweep";
        registry.register_with_unit("sync_due", help, Unit::Seconds, due);
        let help = "Time between two sweeps of a kind by `--sync-schedule`";
        registry.register_with_unit("sync_schedule", help, Unit::Seconds, schedule);
        let help = "Time between two sweeps of a kind, and the reason: `Schedule`, `OwnLimit`, `TokenLimit` (longer, within \
                    `--inventory-max-age`), `Shortage` (longer than that)";
        registry.register_with_unit("sync_interval", help, Unit::Seconds, intervals);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::{
        api::{DriftPhase, conditions::ConditionReason},
        digitalocean::Kind,
        drift::{
            metrics::DriftMetrics,
            pace::{Pace, Reason, Urgency},
        },
    };

    fn nothing() -> Gauges {
        Gauges {
            now: Timestamp::UNIX_EPOCH,
            records: 0,
            open_drifts: Vec::new(),
            max_age: Duration::from_mins(15),
            snapshots: Vec::new(),
            sweeps: Vec::new(),
            queued: 0,
        }
    }

    fn open(kind: &str, field: &str, count: i64, age: i64) -> OpenDrifts {
        let oldest = Timestamp::from_second(-age).unwrap();
        OpenDrifts { kind: Kind::named(kind).unwrap(), field: field.to_owned(), count, oldest }
    }

    fn scrape(metrics: &DriftMetrics, gauges: &Gauges) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        gauges.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    /// The lines with this prefix.
    fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        text.lines().filter(|line| line.starts_with(start)).collect()
    }

    #[test]
    fn hostile_fields_make_few_series() {
        let field = |number: usize| match number % 4 {
            0 => format!("metadata.{number}"),
            1 => format!("name\",kind=\"x{number}"),
            2 => format!("x{number}\n# EOF"),
            _ => "ü".repeat(number),
        };
        let mut gauges = nothing();
        gauges.open_drifts = (0..1000).map(|number| open("Droplet", &field(number), 1, 60)).collect();
        gauges.open_drifts.push(open("Droplet", "name", 2, 60));
        gauges.open_drifts.push(open("Volume", "no_such_field", 1, 60));
        let text = scrape(&DriftMetrics::default(), &gauges);
        let wanted = [
            r#"open_drifts{kind="Droplet",field="name"} 2"#,
            r#"open_drifts{kind="Droplet",field="other"} 1000"#,
            r#"open_drifts{kind="Volume",field="other"} 1"#,
        ];
        let open: BTreeSet<_> = lines(&text, "open_drifts{").into_iter().collect();
        assert_eq!(open, BTreeSet::from(wanted));
    }

    #[test]
    fn all_metrics_together_are_a_few_thousand_series() {
        let metrics = DriftMetrics::default();
        let mut gauges = nothing();
        let reasons = [
            ConditionReason::Accepted,
            ConditionReason::LiveReturned,
            ConditionReason::DesiredChanged,
            ConditionReason::NoLongerRecorded,
            ConditionReason::Ignored,
            ConditionReason::ResourceGone,
        ];
        for kind in Kind::all() {
            metrics.opened(kind);
            for reason in reasons {
                metrics.resolved(kind, DriftPhase::Stale, reason);
            }
            metrics.synced(kind, Duration::ZERO, "ok");
            let fields = kind.fields().map(str::to_owned).chain(["no.such.field".to_owned()]);
            let drifts = fields.map(|field| OpenDrifts { kind, field, count: 1, oldest: gauges.now });
            gauges.open_drifts.extend(drifts);
            let snapshot =
                SnapshotInfo { kind, age: Some(Duration::ZERO), resources: 1, unrecorded: Some(2), last_error: None };
            gauges.snapshots.push(snapshot);
            gauges.sweeps.push(SweepInfo {
                kind,
                calls: 1,
                pace: Pace { interval: Duration::ZERO, reason: Reason::TokenLimit, urgency: Urgency::Quiet },
                due: None,
                scheduled: Duration::ZERO,
                calls_per_hour: 1,
            });
        }
        metrics.reconciled(Duration::ZERO, "ok");
        let text = scrape(&metrics, &gauges);
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series < 2600, "{series} series");
    }

    #[test]
    fn the_age_of_the_oldest_open_drift_of_a_kind_is_exported_and_never_negative() {
        let mut gauges = nothing();
        gauges.open_drifts = vec![
            open("Droplet", "name", 1, 60),
            open("Droplet", "size_slug", 3, 86_401),
            open("Droplet", "region", 1, 5),
            open("Volume", "name", 1, -30),
        ];
        let text = scrape(&DriftMetrics::default(), &gauges);
        let oldest: BTreeSet<_> = lines(&text, "oldest_open_drift_age_seconds{").into_iter().collect();
        let wanted = [
            r#"oldest_open_drift_age_seconds{kind="Droplet"} 86401.0"#,
            r#"oldest_open_drift_age_seconds{kind="Volume"} 0.0"#,
        ];
        assert_eq!(oldest, BTreeSet::from(wanted));
    }

    #[test]
    fn durations_are_seconds() {
        let text = scrape(&DriftMetrics::default(), &nothing());
        for line in ["# UNIT inventory_max_age_seconds seconds", "inventory_max_age_seconds 900.0"] {
            assert!(text.lines().any(|said| said == line), "wanted {line} in:\n{text}");
        }
    }
}
