//! Grafana can show the dashboard, with any data source that it is imported to.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::documents::{dashboard, text};

/// The columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// Panels that are no rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

#[test]
fn the_dashboard_has_the_fields_that_grafana_needs() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "arcadia-operator");
    assert!(!text(&dashboard["title"]).is_empty());
    // A later Grafana migrates its changes automatically.
    assert!((36..=42).contains(&dashboard["schemaVersion"].as_u64().unwrap()));
    // Grafana assigns the id, and inputs belong to dashboards that prompt for values.
    assert!(dashboard.get("id").is_none_or(Value::is_null) && dashboard.get("__inputs").is_none());
    let rows = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.map(|row| text(&row["title"])).collect();
    assert_eq!(rows, ["Drift", "Sagas", "Inventory", "Cloud calls and budget", "Reconciles", "Lease"]);
    let types = ["timeseries", "stat", "table", "state-timeline"];
    for panel in panels(&dashboard) {
        let title = text(&panel["title"]);
        assert!(types.contains(&text(&panel["type"]).as_str()), "{title}: {}", panel["type"]);
        assert!(!text(&panel["description"]).is_empty(), "{title}");
        assert!(
            panel["fieldConfig"]["defaults"].is_object() && panel["fieldConfig"]["overrides"].is_array(),
            "{title}"
        );
        assert!(panel["options"].is_object(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        let ids: BTreeSet<_> = targets.iter().map(|target| text(&target["refId"])).collect();
        assert!(!targets.is_empty() && ids.len() == targets.len(), "{title}");
    }
}

#[test]
fn panels_have_unique_ids_and_do_not_overlap() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{}: {}", panel["title"], panel["gridPos"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} lies on another panel", panel["title"]);
        }
    }
}

#[test]
fn queries_use_only_the_selected_data_source_and_installation() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| text(&variable["name"])).collect();
    assert_eq!(names, ["datasource", "namespace", "job"]);
    assert_eq!((&variables[0]["type"], &variables[0]["query"]), (&"datasource".into(), &"prometheus".into()));
    let chosen = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    for variable in &variables[1..] {
        assert_eq!(variable["datasource"], chosen);
    }
    for panel in panels(&dashboard) {
        assert_eq!(panel["datasource"], chosen, "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"], chosen, "{}", panel["title"]);
            let expression = text(&target["expr"]);
            let selectors = expression.matches("arcadia_").count();
            let filtered = expression.matches(r#"{namespace=~"$namespace", job=~"$job""#).count();
            assert_eq!(filtered, selectors, "{}: {expression}", panel["title"]);
        }
    }
}
