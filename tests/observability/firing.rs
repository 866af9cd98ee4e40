//! The results of the alerts and the dashboard for two replicas, computed by Prometheus' own engine. Series have the
//! notation of promtool's rule tests: a sample a minute, `1x10` is 1 and then ten times the same, `0+1x10` counts.

use std::collections::BTreeMap;

use crate::{
    documents::{alerts, dashboard, rules, text},
    prometheus::evaluate,
};

/// The minute at which the alerts are evaluated.
const MINUTE: u32 = 40;

/// One replica's series: adds the labels of Prometheus to `metric{labels}`.
fn of(pod: &str, metric: &str, labels: &str, values: &str) -> String {
    of_installation("arcadia-system", pod, metric, labels, values)
}

fn of_installation(namespace: &str, pod: &str, metric: &str, labels: &str, values: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    format!(r#"{metric}{{{labels}{comma}namespace="{namespace}",job="operator",pod="{pod}"}} {values}"#)
}

/// The labels of each firing alert, without those of the installation.
fn fires(alert: &str, series: &[String]) -> Vec<BTreeMap<String, String>> {
    let alerts = alerts();
    let rule = rules(&alerts).into_iter().find(|rule| rule["alert"] == alert).unwrap();
    let result = evaluate(&text(&rule["expr"]), series, MINUTE);
    let labels = result.into_iter().map(|mut one| {
        one.labels.retain(|label, _| !["namespace", "job"].contains(&label.as_str()));
        one.labels
    });
    labels.collect()
}

fn label(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn no_leader_means_that_no_replica_of_an_installation_leads() {
    let leaders =
        |a: &str, b: &str| ["a", "b"].map(|pod| of(pod, "arcadia_leader", "", if pod == "a" { a } else { b }));
    assert!(fires("ArcadiaNoLeader", &leaders("1x40", "0x40")).is_empty());
    assert!(fires("ArcadiaNoLeader", &leaders("1x20", "0x30 1x10")).is_empty(), "another took over");
    assert_eq!(fires("ArcadiaNoLeader", &leaders("0x40", "0x40")).len(), 1);
    assert_eq!(fires("ArcadiaNoLeader", &leaders("1x20", "1x20")).len(), 1, "none is scraped any more");
    assert_eq!(fires("ArcadiaNoLeader", &[]).len(), 1, "none was ever scraped");
    let another = of_installation("another", "a", "arcadia_leader", "", "0x40");
    assert_eq!(fires("ArcadiaNoLeader", &[&leaders("1x40", "0x40")[..], &[another]].concat()).len(), 1);
}

#[test]
fn an_inventory_is_stale_past_the_limit_of_its_own_installation() {
    let age = |kind: &str, age: &str| of("a", "arcadia_inventory_age_seconds", &format!(r#"kind="{kind}""#), age);
    let mut series = vec![age("Droplet", "899x40"), age("Volume", "5x40")];
    series.extend(["a", "b"].map(|pod| of(pod, "arcadia_inventory_max_age_seconds", "", "900x40")));
    series.push(of_installation("another", "a", "arcadia_inventory_max_age_seconds", "", "30x40"));
    assert!(fires("ArcadiaInventoryStale", &series).is_empty());
    series[0] = age("Droplet", "901x40");
    assert_eq!(fires("ArcadiaInventoryStale", &series), [label("kind", "Droplet")]);
}

#[test]
fn the_alert_on_sweeps_fires_only_if_all_fail() {
    let syncs = |kind: &str, outcome: &str, values: &str| {
        of("a", "arcadia_syncs_total", &format!(r#"kind="{kind}",outcome="{outcome}""#), values)
    };
    let healthy = [syncs("Volume", "ok", "0+1x40")];
    assert!(fires("ArcadiaSweepsFailing", &healthy).is_empty());
    let one = [syncs("Droplet", "server", "0x30 1x10"), syncs("Droplet", "ok", "0+1x40")];
    assert!(fires("ArcadiaSweepsFailing", &one).is_empty());
    // The first success increments an existing 0, and does not start a series.
    let recovered = [syncs("Droplet", "server", "0+1x35 35x5"), syncs("Droplet", "ok", "0x36 1x4")];
    assert!(fires("ArcadiaSweepsFailing", &recovered).is_empty());
    let never_listed = [syncs("Droplet", "forbidden", "1+1x40"), syncs("Droplet", "ok", "0x40"), healthy[0].clone()];
    assert_eq!(fires("ArcadiaSweepsFailing", &never_listed), [label("kind", "Droplet")]);
}

#[test]
fn the_alert_fires_for_sweeps_rarer_than_the_age_limit_of_the_inventory_only() {
    let interval = |kind: &str, reason: &str, seconds: &str| {
        let labels = format!(r#"kind="{kind}",reason="{reason}",urgency="Quiet""#);
        of("a", "arcadia_sync_interval_seconds", &labels, seconds)
    };
    let series = [interval("Droplet", "TokenLimit", "458x40"), interval("Volume", "Shortage", "1800x40")];
    assert_eq!(fires("ArcadiaSweepsTooRare", &series), [label("kind", "Volume")]);
}

#[test]
fn the_budget_is_that_of_the_replica_that_uses_it() {
    let of_window = |pod: &str, window: &str, left: &str| {
        let label = format!(r#"window="{window}""#);
        let limit = of(pod, "arcadia_cloud_calls_limit", &label, "4500x40");
        [of(pod, "arcadia_cloud_calls_left", &label, left), limit]
    };
    let series = |hour: &str, minute: &str| {
        [of_window("a", "hour", hour), of_window("a", "minute", minute), of_window("b", "hour", "4500x40")].concat()
    };
    assert!(fires("ArcadiaBudgetNearlyGone", &series("4500x40", "0x40")).is_empty(), "a minute is soon over");
    assert!(fires("ArcadiaBudgetNearlyGone", &series("460x40", "225x40")).is_empty());
    assert_eq!(fires("ArcadiaBudgetNearlyGone", &series("440x40", "225x40")).len(), 1);
}

#[test]
fn an_old_open_drift_alerts_once_for_all_replicas() {
    let metric = "arcadia_oldest_open_drift_age_seconds";
    let series = |age: &str| {
        let both = ["a", "b"].map(|pod| of(pod, metric, r#"kind="Droplet""#, age));
        [&both[..], &[of("a", metric, r#"kind="Volume""#, "60x40")]].concat()
    };
    assert!(fires("ArcadiaDriftOpenForLong", &series("86000x40")).is_empty());
    assert_eq!(fires("ArcadiaDriftOpenForLong", &series("86500x40")), [label("kind", "Droplet")]);
}

#[test]
fn a_stuck_saga_alerts_once_and_others_do_not() {
    let sagas = |pod: &str, kind: &str, phase: &str, count: &str| {
        of(pod, "arcadia_sagas", &format!(r#"kind="{kind}",phase="{phase}""#), count)
    };
    let well = ["Pending", "Running", "RollingBack", "Succeeded", "RolledBack", "Failed"];
    let mut series = well.map(|phase| sagas("a", "update", phase, "3x40")).to_vec();
    // It was resolved, and is deleted.
    series.push(sagas("a", "provision", "Stuck", "1x30 _x10"));
    assert!(fires("ArcadiaSagaStuck", &series).is_empty());
    series.extend(["a", "b"].map(|pod| sagas(pod, "offboard", "Stuck", "0x10 2x30")));
    assert_eq!(fires("ArcadiaSagaStuck", &series), [label("kind", "offboard")]);
}

#[test]
fn a_slow_saga_and_a_stuck_saga_have_different_alerts() {
    let oldest = |kind: &str, phase: &str, age: &str| {
        let labels = format!(r#"kind="{kind}",phase="{phase}""#);
        of("a", "arcadia_oldest_active_saga_age_seconds", &labels, age)
    };
    let quick = [oldest("update", "Running", "86000x40"), oldest("test", "Stuck", "900000x40")];
    assert!(fires("ArcadiaSagaRunningForLong", &quick).is_empty());
    let slow = [oldest("update", "Running", "86500x40"), oldest("update", "RollingBack", "90000x40")];
    assert_eq!(fires("ArcadiaSagaRunningForLong", &slow), [label("kind", "update")]);
}

#[test]
fn conflicts_do_not_count_as_failed_reconciles() {
    let reconciles =
        |outcome: &str, values: &str| of("a", "arcadia_reconciles_total", &format!(r#"outcome="{outcome}""#), values);
    let usual = ["ok", "conflict", "not_found"].map(|outcome| reconciles(outcome, "0+5x40"));
    assert!(fires("ArcadiaReconcilesFailing", &usual).is_empty());
    let past = [reconciles("forbidden", "0+1x20 20x20")];
    assert!(fires("ArcadiaReconcilesFailing", &past).is_empty());
    // The lowest rate: the longest pause between two reconciles.
    let forbidden = [reconciles("forbidden", "1x5 2x5 3x5 4x5 5x5 6x5 7x5")];
    assert_eq!(fires("ArcadiaReconcilesFailing", &forbidden), [label("outcome", "forbidden")]);
    let sagas = |outcome: &str| of("a", "arcadia_saga_reconciles_total", &format!(r#"outcome="{outcome}""#), "0+1x40");
    assert!(fires("ArcadiaReconcilesFailing", &["ok", "conflict"].map(sagas)).is_empty());
    assert_eq!(fires("ArcadiaReconcilesFailing", &[sagas("forbidden")]), [label("outcome", "forbidden")]);
    assert_eq!(fires("ArcadiaReconcilesFailing", &[sagas("forbidden"), forbidden[0].clone()]).len(), 1);
}

/// The values of a panel for these series, by one label.
fn shown(title: &str, label: &str, series: &[String]) -> BTreeMap<Option<String>, f64> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let panel = panels.iter().find(|panel| panel["title"] == title).unwrap();
    let expression = text(&panel["targets"][0]["expr"]).replace("$namespace", ".*").replace("$job", ".*");
    let result = evaluate(&expression, series, MINUTE);
    result.into_iter().map(|one| (one.labels.get(label).cloned(), one.value)).collect()
}

#[test]
fn the_dashboard_counts_each_drift_once() {
    let open = |pod: &str, kind: &str, field: &str, count: &str| {
        of(pod, "arcadia_open_drifts", &format!(r#"kind="{kind}",field="{field}""#), count)
    };
    let of_pod = |pod| [open(pod, "Droplet", "name", "2x40"), open(pod, "Droplet", "tags", "3x40")];
    let mut series = [of_pod("a"), of_pod("b")].concat();
    series.push(open("a", "Volume", "name", "1x40"));
    assert_eq!(shown("Open drifts", "kind", &series), BTreeMap::from([(None, 6.0)]));
    let of_kinds = [(Some("Droplet".to_owned()), 5.0), (Some("Volume".to_owned()), 1.0)];
    assert_eq!(shown("Open drifts by kind", "kind", &series), BTreeMap::from(of_kinds));
}

#[test]
fn the_dashboard_counts_each_saga_once() {
    let of_pod = |pod| {
        let sagas = |phase: &str, count: &str| {
            of(pod, "arcadia_sagas", &format!(r#"kind="test",phase="{phase}""#), &format!("{count}x40"))
        };
        [sagas("Running", "3"), sagas("RollingBack", "1"), sagas("Stuck", "2"), sagas("Succeeded", "9")]
    };
    let series = [of_pod("a"), of_pod("b")].concat();
    assert_eq!(shown("Sagas in progress", "phase", &series), BTreeMap::from([(None, 4.0)]));
    assert_eq!(shown("Stuck sagas", "phase", &series), BTreeMap::from([(None, 2.0)]));
    let unfinished = [("Running", 3.0), ("RollingBack", 1.0), ("Stuck", 2.0)];
    let unfinished = unfinished.map(|(phase, count)| (Some(phase.to_owned()), count));
    assert_eq!(shown("Unfinished sagas by phase", "phase", &series), BTreeMap::from(unfinished));
}
