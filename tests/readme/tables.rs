//! The tables of the reference contain exactly what the code contains.

use std::collections::BTreeSet;

use arcadia_operator::{
    api::{self, labels, verbs},
    digitalocean::{kinds, revert},
    manifests::policies::DECISIONS,
    saga::steps,
};
use serde_json::{Value, json};

use crate::document::{code_spans, read, rows};

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
