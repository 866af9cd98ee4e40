//! What the chart renders, for several files of values.

use std::{collections::BTreeSet, fs, path::PathBuf};

use arcadia_operator::config::Cli;
use clap::Parser as _;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    helm::{Helm, arguments, chart, in_repository, objects},
    monitoring,
};

/// Each is a file in `values/` and one in `golden/`.
const CASES: [&str; 4] = ["defaults", "everything", "minimal", "namespaced"];

fn values(case: &str) -> PathBuf {
    in_repository("tests/install/values").join(case).with_extension("yaml")
}

fn rendered(case: &str) -> String {
    Helm::new().template(&["--values", values(case).to_str().unwrap()]).unwrap()
}

#[test]
fn the_chart_renders_what_was_reviewed() {
    for case in CASES {
        // Definitions, alerts and the dashboard are checked in already, and compared by other tests.
        let rendered = rendered(case);
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
async fn an_api_server_takes_all_that_is_rendered() {
    let Some(cluster) = Cluster::empty().await else { return };
    for namespace in ["arcadia-system", "team-a", "team-b", "123"] {
        cluster.restricted_namespace(namespace).await;
    }
    monitoring::define(&cluster).await;
    for case in CASES {
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let applied = cluster.control_plane.kubectl().run_with_input(&apply, &rendered(case)).await;
        applied.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
}

#[test]
fn the_program_takes_the_arguments_of_every_deployment() {
    for case in CASES {
        let objects = objects(&rendered(case));
        let deployment = objects.values().find(|object| object["kind"] == "Deployment").unwrap();
        let arguments = arguments(deployment);
        let parsed =
            Cli::try_parse_from(std::iter::once("arcadia-operator").chain(arguments.iter().map(String::as_str)));
        assert!(parsed.is_ok(), "{case}: {arguments:?}: {}", parsed.unwrap_err());
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
fn helm_finds_nothing_to_complain_about() {
    for case in CASES {
        Helm::new().run(&["lint", "--strict", "charts/arcadia-operator", "--values", values(case).to_str().unwrap()]);
    }
}
