//! The table of metrics, from a scrape that contains a value of each: the names, labels and texts are those of a
//! running operator.

use std::{collections::BTreeMap, time::Duration};

use arcadia_operator::{
    api::{DriftPhase, SagaKind, SagaPhase, conditions::ConditionReason},
    digitalocean::{self, Kind, SnapshotInfo, Usage},
    drift,
    drift::{
        gauges::Gauges,
        index::OpenDrifts,
        pace::{Pace, Reason, Urgency},
        sweeps::SweepInfo,
    },
    kube_ext::leader::Leadership,
    saga,
    saga::index::{Census, InPhase},
    telemetry::metrics::{MetricsRegistry, register_tasks},
};
use jiff::Timestamp;

use super::{
    markdown::{cell, code, table},
    page::generation_failed,
};
use crate::Error;

/// A row for each metric.
pub(super) fn metrics() -> Result<String, Error> {
    let scrape = scrape_of_everything()?;
    let about = |word: &str| -> BTreeMap<String, String> {
        let lines = scrape.lines().filter_map(|line| line.strip_prefix(&format!("# {word} "))?.split_once(' '));
        lines.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    };
    let (helps, types) = (about("HELP"), about("TYPE"));
    let mut rows: Vec<[String; 3]> = Vec::new();
    for (series, labels) in scrape.lines().filter_map(series) {
        let is_of = |family: &str| {
            let end = series.strip_prefix(family);
            end.is_some_and(|end| ["", "_total", "_info", "_bucket", "_sum", "_count"].contains(&end))
        };
        let (family, help) = helps
            .iter()
            .find(|(family, _)| is_of(family))
            .ok_or_else(|| generation_failed(format!("the metric {series} has no text")))?;
        let is_histogram = types.get(family).is_some_and(|kind| kind == "histogram");
        let name = if is_histogram { family.clone() } else { series.to_owned() };
        let mark = if is_histogram { " (histogram)" } else { "" };
        let row = [code(&name), labels, cell(help) + mark];
        if !rows.iter().any(|[known, ..]| *known == code(&name)) {
            rows.push(row);
        }
    }
    rows.sort();
    Ok(table(["metric", "labels", "is"], rows))
}

/// The name and the labels in a line of a scrape.
fn series(line: &str) -> Option<(&str, String)> {
    let (series, _) = line.split_once(' ').filter(|(start, _)| *start != "#")?;
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
    let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name);
    Some((name, labels.filter(|label| *label != "le").collect::<Vec<_>>().join(", ")))
}

/// A scrape that contains a value of every metric.
fn scrape_of_everything() -> Result<String, Error> {
    let kind = Kind::named("Droplet").ok_or_else(|| generation_failed("there is no kind Droplet"))?;
    let drifts = drift::metrics::DriftMetrics::default();
    drifts.opened(kind);
    drifts.resolved(kind, DriftPhase::Stale, ConditionReason::LiveReturned);
    drifts.reconciled(Duration::ZERO, "ok");
    drifts.synced(kind, Duration::ZERO, "ok");
    let sagas = saga::metrics::SagaMetrics::default();
    sagas.reconciled(Duration::ZERO, "ok");
    sagas.ended(SagaKind::Test, SagaPhase::Succeeded);
    sagas.step_ended("Sleep", "done", Duration::ZERO);
    let mut metrics = MetricsRegistry::default();
    drifts.register(metrics.counters());
    sagas.register(metrics.counters());
    metrics.add_gauges(move |registry| {
        let now = Timestamp::UNIX_EPOCH;
        let census = Census::from([((SagaKind::Test, SagaPhase::Running), InPhase { count: 1, since: Some(now) })]);
        saga::metrics::register_gauges(&census, 0, now, registry);
        register_tasks(0, registry);
        let usage = Usage { calls: [(("GET", "/v2/droplets", 200), 1)].into(), ..Usage::default() };
        digitalocean::metrics::register(&usage, registry);
        Leadership::unelected().register_gauge(registry);
        let gauges = Gauges {
            now,
            records: 1,
            open_drifts: vec![OpenDrifts { kind, field: "name".to_owned(), count: 1, oldest: now }],
            max_age: Duration::ZERO,
            snapshots: vec![SnapshotInfo {
                kind,
                age: Some(Duration::ZERO),
                resources: 1,
                unrecorded: Some(0),
                last_error: None,
            }],
            sweeps: vec![SweepInfo {
                kind,
                calls: 1,
                pace: Pace { interval: Duration::ZERO, reason: Reason::Schedule, urgency: Urgency::Quiet },
                due: None,
                scheduled: Duration::ZERO,
                calls_per_hour: 1,
            }],
            queued: 0,
        };
        gauges.register(registry);
    });
    Ok(metrics.scrape())
}
