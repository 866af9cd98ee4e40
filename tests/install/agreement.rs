//! Chart and kustomize install the same objects, and the definitions match the code.

use std::{collections::BTreeMap, path::Path, process::Command};

use arcadia_operator::api;
use serde_json::Value;

use crate::helm::{Helm, in_repository, objects};

/// The output of `kubectl kustomize` for a folder.
fn kustomized(folder: &Path) -> BTreeMap<String, Value> {
    let mut kubectl = Command::new(control_plane::find().unwrap().kubectl);
    let output = kubectl.arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).unwrap())
}

fn overlay(name: &str) -> BTreeMap<String, Value> {
    kustomized(&in_repository("deploy/overlays").join(name))
}

/// The objects of the chart, without the labels and hooks that only Helm adds.
fn of_the_chart(arguments: &[&str]) -> BTreeMap<String, Value> {
    // kustomize has no hooks.
    let rendered = Helm::new().template(&[&["--no-hooks"], arguments].concat()).unwrap();
    let mut objects = objects(&rendered);
    for object in objects.values_mut() {
        let metadata = object["metadata"].as_object_mut().unwrap();
        let labels = metadata["labels"].as_object_mut().unwrap();
        for label in ["app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"] {
            labels.remove(label).unwrap();
        }
        if object["kind"] == "CustomResourceDefinition" {
            object["metadata"].as_object_mut().unwrap().remove("annotations").unwrap();
        }
    }
    objects
}

fn assert_same(mut chart: BTreeMap<String, Value>, mut kustomize: BTreeMap<String, Value>) {
    // A chart is installed into an existing namespace, and watches existing namespaces.
    assert!(kustomize.contains_key("Namespace -/arcadia-system"), "the base has its namespace");
    kustomize.retain(|_, object| object["kind"] != "Namespace");
    for objects in [&mut chart, &mut kustomize] {
        for deployment in objects.values_mut().filter(|object| object["kind"] == "Deployment") {
            let arguments = &mut deployment["spec"]["template"]["spec"]["containers"][0]["args"];
            arguments.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
    }
    assert_eq!(chart.keys().collect::<Vec<_>>(), kustomize.keys().collect::<Vec<_>>());
    for (name, of_the_chart) in &chart {
        assert_equal(name, of_the_chart, &kustomize[name]);
    }
}

/// Fails with the differences between two objects, and not with the whole objects.
fn assert_equal(name: &str, left: &Value, right: &Value) {
    let [left, right] = [left, right].map(|object| serde_json::to_string_pretty(&canonical(object)).unwrap());
    let differs = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert!(left == right, "{name}: {differs:?}");
}

/// Normalizes numbers: `1.0` equals `1`.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), canonical(value))).collect(),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Number(number) => format!("{}", number.as_f64().unwrap()).into(),
        other => other.clone(),
    }
}

#[test]
fn both_install_the_same_for_the_whole_cluster() {
    assert_same(of_the_chart(&[]), overlay("cluster-wide"));
}

#[test]
fn both_install_the_same_for_one_namespace() {
    let overlay = overlay("namespaced");
    assert!(overlay.contains_key("Namespace -/arcadia-records"), "the overlay has the namespace that it watches");
    assert_same(of_the_chart(&["--set", "watchNamespaces={arcadia-records}"]), overlay);
}

/// The overlay for the whole cluster with a component.
fn with_component(name: &str) -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    // kustomize accepts only paths relative to the folder.
    let up = "../".repeat(folder.path().components().count() - 1);
    let deploy = in_repository("deploy").display().to_string();
    let deploy = format!("{up}{}", deploy.trim_start_matches('/'));
    let kustomization =
        format!("resources: [{deploy}/overlays/cluster-wide]\ncomponents: [{deploy}/components/{name}]\n");
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization).unwrap();
    kustomized(folder.path())
}

#[test]
fn without_mutating_policies_both_install_the_same() {
    let kustomize = with_component("before-kubernetes-1.36");
    assert_same(of_the_chart(&["--set", "admissionPolicies.mutating=false"]), kustomize);
}

#[test]
fn with_secrets_for_sagas_both_install_the_same() {
    let mut kustomize = with_component("saga-secrets");
    // A component is applied after the labels of the overlay.
    for name in ["ClusterRole -/arcadia-operator-secrets", "ClusterRoleBinding -/arcadia-operator-secrets"] {
        let role = kustomize.get("ClusterRole -/arcadia-operator").unwrap()["metadata"]["labels"].clone();
        kustomize.get_mut(name).unwrap()["metadata"]["labels"] = role;
    }
    assert_same(of_the_chart(&["--set", "sagas.secrets={http-request}"]), kustomize);
}

#[test]
fn only_named_secrets_can_be_read() {
    let secrets = |objects: &BTreeMap<String, Value>| -> Vec<Value> {
        let rules = objects.values().filter_map(|object| object["rules"].as_array());
        let of_secrets =
            |rule: &&Value| rule["resources"].as_array().is_some_and(|all| all.contains(&"secrets".into()));
        rules.flatten().filter(of_secrets).cloned().collect()
    };
    assert!(secrets(&of_the_chart(&[])).is_empty());
    assert!(secrets(&overlay("cluster-wide")).is_empty());
    let named = of_the_chart(&["--set", "sagas.secrets={a,b},watchNamespaces={one,two}"]);
    let rule = serde_json::json!({ "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"], "verbs": ["get"] });
    assert_eq!(secrets(&named), [rule.clone(), rule]);
    assert!(
        named.contains_key("Role one/arcadia-operator-secrets")
            && named.contains_key("RoleBinding two/arcadia-operator-secrets")
    );
}

#[test]
fn the_definitions_are_those_of_the_code() {
    let chart = of_the_chart(&[]);
    for definition in api::crds() {
        let name = format!("CustomResourceDefinition -/{}", definition.metadata.name.as_ref().unwrap());
        assert_equal(&name, &chart[&name]["spec"], &serde_json::to_value(&definition.spec).unwrap());
    }
}

#[test]
fn alerts_monitor_and_dashboard_are_those_of_the_repository() {
    let enabled = "metrics.prometheusRule.enabled=true,metrics.podMonitor.enabled=true,metrics.dashboard.enabled=true";
    let chart = of_the_chart(&["--set", enabled]);
    let read = |file: &str| std::fs::read_to_string(in_repository("deploy/observability").join(file)).unwrap();
    for (kind, file) in [("PrometheusRule", "alerts.yaml"), ("PodMonitor", "podmonitor.yaml")] {
        let object: Value = serde_saphyr::from_str(&read(file)).unwrap();
        assert_eq!(object["kind"], kind);
        let name = format!("{kind} arcadia-system/arcadia-operator");
        assert_equal(file, &chart[&name]["spec"], &object["spec"]);
    }
    let map = &chart["ConfigMap arcadia-system/arcadia-operator-dashboard"];
    let shown: Value = serde_json::from_str(map["data"]["arcadia-operator.json"].as_str().unwrap()).unwrap();
    assert_equal("dashboard", &shown, &serde_json::from_str(&read("dashboard.json")).unwrap());
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
}

#[test]
fn alerts_link_to_the_runbook() {
    let url = "https://runbooks.example.com/arcadia.md";
    let values = format!("metrics.prometheusRule.enabled=true,metrics.prometheusRule.runbookUrl={url}");
    let (there, here) =
        (of_the_chart(&["--set", &values]), of_the_chart(&["--set", "metrics.prometheusRule.enabled=true"]));
    let rule = "PrometheusRule arcadia-system/arcadia-operator";
    let moved = here[rule]["spec"].to_string().replace("docs/troubleshooting.md#", &format!("{url}#"));
    assert_eq!(there[rule]["spec"].to_string(), moved);
    assert_eq!(moved.matches(url).count(), here[rule]["spec"].to_string().matches("runbook_url").count());
}

#[test]
fn uninstalling_a_release_keeps_the_definitions() {
    let objects = objects(&Helm::new().template(&[]).unwrap());
    for (name, object) in objects.iter().filter(|(_, object)| object["kind"] == "CustomResourceDefinition") {
        assert_eq!(object["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{name}");
    }
}
