//! The tables of the reference match the code exactly.

use std::collections::{BTreeMap, BTreeSet};

use arcadia_operator::{
    api::{self, GROUP, labels, verbs},
    digitalocean::{kinds, revert},
    manifests::{operator::RULES, policies::DECISIONS},
    saga::steps,
};
use serde_json::{Value, json};

use crate::document::{code_spans, files, read, rows};

const RESOURCES: &str = "docs/reference/crds.md";

fn first_cells(page: &str, title: &str) -> BTreeSet<String> {
    rows(&read(page), title).into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn labels() {
    let labels = labels::ALL.iter().filter(|label| label.on.contains(&"Drift"));
    assert_eq!(first_cells("docs/decide.md", "label"), labels.map(|label| label.name.to_owned()).collect());
}

#[test]
fn verbs() {
    let documented: BTreeSet<_> =
        rows(&read("docs/security.md"), "verb").into_iter().map(|row| row[..2].to_vec()).collect();
    let decisions = DECISIONS.iter().map(|decision| (decision.verb, decision.resource));
    let asked_for = decisions.chain([(verbs::CANCEL, "sagas")]);
    assert_eq!(documented, asked_for.map(|(verb, resource)| vec![verb.to_owned(), resource.to_owned()]).collect());
}

#[test]
fn rights_of_the_operator() {
    let mut needed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for rule in RULES {
        for resource in rule.resources {
            let group = if rule.api_group == GROUP { "" } else { rule.api_group };
            needed.entry((*resource, group)).or_default().extend(rule.verbs.iter().copied());
        }
    }
    let rows = rows(&read("docs/install.md"), "resources");
    let mut documented: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    // The chart grants the right to read Secrets only on request.
    for row in rows.iter().filter(|row| !row[0].starts_with("secrets")) {
        let (resources, group) = row[0].split_once(" in ").unwrap_or((&row[0], ""));
        for resource in resources.split(", ") {
            documented.entry((resource, group)).or_default().extend(row[1].split(", "));
        }
    }
    assert_eq!(needed, documented, "left: the rights in src/manifests/operator.rs; right: those in docs/install.md");
}

#[test]
fn field_selectors() {
    let definitions: Vec<Value> = api::crds().iter().map(|definition| json!(definition)).collect();
    let spans = code_spans(&read(RESOURCES));
    for definition in &definitions {
        for field in definition["spec"]["versions"][0]["selectableFields"].as_array().unwrap() {
            let path = field["jsonPath"].as_str().unwrap().trim_start_matches('.');
            assert!(spans.iter().any(|span| span == path), "the field selector {path} is not in {RESOURCES}");
        }
    }
}

#[test]
fn keys_of_a_kind() {
    let files = files("src/digitalocean/kinds/data", &["yaml"]);
    let kinds = files.iter().map(|file| serde_saphyr::from_str::<Value>(&read(file)).unwrap());
    let used: BTreeSet<_> =
        kinds.flat_map(|kind| kind.as_object().unwrap().keys().cloned().collect::<Vec<_>>()).collect();
    let cells = first_cells("CONTRIBUTING.md", "key");
    let documented = cells.iter().flat_map(|cell| cell.split(", ")).map(str::to_owned).collect();
    assert_eq!(used, documented, "left: the keys of the kinds; right: those in CONTRIBUTING.md");
}

#[test]
fn generated_references() {
    let generated = [
        ("docs/reference/kinds.md", kinds::reference()),
        ("docs/reference/reverts.md", revert::reference()),
        ("docs/reference/steps.md", steps::reference()),
    ];
    for (page, text) in generated {
        assert!(read(page).ends_with(&text), "{page} is out of date: run `cargo xtask generate`");
    }
}
