//! The output of the chart for several files of values.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use arcadia_operator::{api, config::Cli};
use clap::Parser as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    helm::{Helm, arguments, chart, in_repository, objects},
    monitoring,
};

/// Each case is a file in `values/` and one in `golden/`.
const CASES: [&str; 4] = ["defaults", "everything", "minimal", "namespaced"];

fn values(case: &str) -> PathBuf {
    in_repository("tests/install/values").join(case).with_extension("yaml")
}

fn rendered(values: &Path) -> String {
    Helm::new().template(&["--values", values.to_str().unwrap()]).unwrap()
}

/// The files of the cases, and the examples of the chart.
fn all_values() -> Vec<PathBuf> {
    let examples = fs::read_dir(chart().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples: Vec<_> = examples.collect();
    assert!(examples.len() >= 4, "{examples:?}");
    CASES.map(values).into_iter().chain(examples).collect()
}

#[test]
fn the_chart_renders_the_reviewed_output() {
    for case in CASES {
        // Definitions, alerts and the dashboard are checked in, and other tests compare them.
        let rendered = rendered(&values(case));
        let is_elsewhere = |object: &&str| {
            ["crd-", "prometheusrule.", "dashboard."].iter().any(|name| object.contains(&format!("/templates/{name}")))
        };
        let objects = rendered.split("---\n").filter(|object| !is_elsewhere(object));
        let rendered = objects.collect::<Vec<_>>().join("---\n");
        let golden = in_repository("tests/install/golden").join(case).with_extension("yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &rendered).unwrap();
        }
        let reviewed = fs::read_to_string(&golden).unwrap_or_default();
        let differs = rendered.lines().zip(reviewed.lines()).find(|(now, then)| now != then);
        assert!(
            rendered == reviewed,
            "the chart renders something else for {case}: {differs:?}; if that is meant, run UPDATE_GOLDEN=1 cargo test \
             --test install, and read the diff of tests/install/golden"
        );
    }
}

#[tokio::test]
async fn an_api_server_accepts_every_rendered_object() {
    let Some(cluster) = Cluster::empty().await else { return };
    for namespace in ["arcadia-system", "team-a", "team-b", "team-c", "123"] {
        cluster.restricted_namespace(namespace).await;
    }
    monitoring::define(&cluster).await;
    let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let kubectl = cluster.control_plane.kubectl();
    for values in all_values() {
        let applied = kubectl.run_with_input(&apply, &rendered(&values)).await;
        applied.unwrap_or_else(|error| panic!("{}: {error}", values.display()));
    }
    kubectl.apply(&api::crds_as_yaml().unwrap()).await.unwrap();
    cluster.is_established().await;
    for example in listed("artifacthub.io/crdsExamples") {
        kubectl.run_with_input(&apply, &example.to_string()).await.unwrap();
    }
}

#[test]
fn an_administrator_installs_what_a_team_with_restricted_rights_may_not() {
    let parts = ["rbac", "rbac-watched", "roles", "policies", "policies-mutating"];
    let files: Vec<_> = parts.iter().map(|part| format!("templates/{part}.yaml")).collect();
    let mut arguments = vec!["--set", "watchNamespaces={team-a}"];
    arguments.extend(files.iter().flat_map(|file| ["-s", file]));
    let of_administrator = objects(&Helm::new().template(&arguments).unwrap());
    let of_team = objects(&rendered(&chart().join("examples/restricted-cluster.yaml")));
    let needs_rights = |object: &Value| {
        let kind = object["kind"].as_str().unwrap();
        ["Role", "AdmissionPolicy", "CustomResourceDefinition"].iter().any(|part| kind.contains(part))
    };
    assert!(of_administrator.values().all(needs_rights), "{:?}", of_administrator.keys());
    assert!(!of_team.values().any(needs_rights), "{:?}", of_team.keys());
    let all = objects(&Helm::new().template(&["--set", "watchNamespaces={team-a}"]).unwrap());
    let needed: Vec<_> = all.iter().filter(|(_, object)| needs_rights(object)).map(|(name, _)| name).collect();
    let installed = |name: &&&String| !of_administrator.contains_key(**name);
    let missing: Vec<_> = needed.iter().filter(installed).filter(|name| !name.starts_with("CustomResource")).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The items of an annotation of the chart that is a YAML list.
fn listed(annotation: &str) -> Vec<Value> {
    let chart: Value = serde_saphyr::from_str(&Helm::new().run(&["show", "chart", "charts/arcadia-operator"])).unwrap();
    serde_saphyr::from_str(chart["annotations"][annotation].as_str().unwrap()).unwrap()
}

#[test]
fn artifact_hub_lists_the_definitions_of_the_code() {
    let listed = listed("artifacthub.io/crds");
    let listed: Vec<_> =
        listed.iter().map(|crd| (crd["kind"].as_str().unwrap(), crd["name"].as_str().unwrap())).collect();
    let crds = api::crds();
    let name = |crd: &CustomResourceDefinition| crd.metadata.name.clone().unwrap();
    let defined: Vec<_> = crds.iter().map(|crd| (crd.spec.names.kind.as_str(), name(crd))).collect();
    assert_eq!(listed, defined.iter().map(|(kind, name)| (*kind, name.as_str())).collect::<Vec<_>>());
}

#[test]
fn the_readme_of_the_chart_is_short() {
    let readme = Helm::new().run(&["show", "readme", "charts/arcadia-operator"]);
    assert!(readme.lines().count() <= 50, "{} lines; move text to docs/", readme.lines().count());
    for example in fs::read_dir(chart().join("examples")).unwrap() {
        let name = example.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(readme.contains(&format!("`{name}`")), "the README of the chart does not name the example {name}");
    }
}

#[test]
fn the_program_accepts_the_arguments_of_every_pod() {
    for values in all_values() {
        let objects = objects(&rendered(&values));
        let deployment = objects.values().find(|object| object["kind"] == "Deployment").unwrap();
        let test = objects.values().find(|object| object["kind"] == "Pod").unwrap();
        assert_eq!(test["metadata"]["annotations"]["helm.sh/hook"], "test");
        for pod in [&deployment["spec"]["template"], test] {
            let arguments = arguments(pod);
            let parsed =
                Cli::try_parse_from(std::iter::once("arcadia-operator").chain(arguments.iter().map(String::as_str)));
            assert!(parsed.is_ok(), "{}: {arguments:?}: {}", values.display(), parsed.unwrap_err());
        }
        // The Service selects the operator's pods only.
        let service = objects.values().find(|object| object["kind"] == "Service").unwrap();
        let selected = service["spec"]["selector"].as_object().unwrap();
        let has = |pod: &Value| selected.iter().all(|(label, value)| pod["metadata"]["labels"][label] == *value);
        assert!(has(&deployment["spec"]["template"]) && !has(test));
        let url = arguments(test).pop().unwrap();
        let (name, port) = (&service["metadata"]["name"], &service["spec"]["ports"][0]["port"]);
        assert_eq!(url, format!("http://{}.arcadia-system.svc:{port}/readyz", name.as_str().unwrap()));
    }
}

#[test]
fn no_value_is_left_out_of_the_cases() {
    let read = |path: PathBuf| serde_saphyr::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap();
    let mut tried = BTreeSet::new();
    for case in CASES {
        leaves("", &read(values(case)), &mut tried);
    }
    let mut all = BTreeSet::new();
    leaves("", &read(chart().join("values.yaml")), &mut all);
    let missing: Vec<_> = all.iter().filter(|path| !tried.iter().any(|tried| tried.starts_with(*path))).collect();
    assert!(missing.is_empty(), "set in no file of tests/install/values: {missing:?}");
}

fn leaves(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value.as_object().filter(|below| !below.is_empty()) {
        Some(below) => below.iter().for_each(|(key, value)| leaves(&format!("{path}.{key}"), value, found)),
        None => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn helm_lint_reports_nothing() {
    for values in all_values() {
        Helm::new().run(&["lint", "--strict", "charts/arcadia-operator", "--values", values.to_str().unwrap()]);
    }
}
