//! The tested files.

use std::{fs, path::Path};

use serde_json::Value;

/// A file of the project.
pub(crate) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn alerts() -> Value {
    serde_saphyr::from_str(&read("deploy/observability/alerts.yaml")).unwrap()
}

pub(crate) fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/observability/dashboard.json")).unwrap()
}

/// All rules of the `PrometheusRule`.
pub(crate) fn rules(alerts: &Value) -> Vec<&Value> {
    let groups = alerts["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect()
}

/// Every expression, with its origin. Grafana's own variables are replaced by values.
pub(crate) fn expressions() -> Vec<(String, String)> {
    let alerts = alerts();
    let of_alerts = rules(&alerts).into_iter().map(|rule| (text(&rule["alert"]), text(&rule["expr"])));
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panels = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"])))
    });
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let of_variables = variables.iter().filter_map(|variable| {
        let query = variable["query"]["query"].as_str()?;
        let (selector, _) = query.strip_prefix("label_values(")?.rsplit_once(", ")?;
        Some((text(&variable["name"]), selector.to_owned()))
    });
    let all = of_alerts.chain(of_panels).chain(of_variables);
    all.map(|(of, expression)| (of, expression.replace("$__rate_interval", "1m"))).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
