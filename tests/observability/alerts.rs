//! The alerts, and the runbook with the remedy of each.

use std::collections::BTreeSet;

use arcadia_operator::{
    api::conditions::ConditionReason,
    digitalocean::{self, SyncCategory},
    kube_ext::call,
};
use strum::VariantNames as _;

use crate::{
    documents::{alerts, expressions, read, rules, text},
    prometheus,
};

const RUNBOOK: &str = "docs/troubleshooting.md";

#[test]
fn prometheus_accepts_every_expression_rule_and_template() {
    let expressions = expressions();
    let (from, asked): (Vec<_>, Vec<_>) = expressions.iter().map(|(from, text)| (from, text.as_str())).unzip();
    assert!(asked.len() > 30, "only {} found", asked.len());
    let told = prometheus::ask(&asked, &alerts()["spec"]);
    assert_eq!(told.rules, [""; 0]);
    for ((from, expression), reading) in from.iter().zip(&asked).zip(&told.expressions) {
        assert_eq!(reading.error, "", "{from}: {expression}");
        assert!(!reading.selectors.is_empty(), "{from}: {expression}");
    }

    // Proves that it does not accept everything.
    let wrong = serde_json::json!({"groups": [{"name": "x", "rules": [
        {"alert": "x", "expr": "up ==", "annotations": {"summary": "{{ $lables.kind }}"}},
    ]}]});
    let told = prometheus::ask(&["sum(("], &wrong);
    assert!(told.expressions[0].error.contains("parse error"), "{told:?}");
    assert_eq!(told.rules.len(), 2, "{told:?}");
}

#[test]
fn every_alert_has_a_description_and_a_runbook_section() {
    let alerts = alerts();
    assert_eq!(alerts["kind"], "PrometheusRule");
    let mut names = BTreeSet::new();
    for rule in rules(&alerts) {
        let name = text(&rule["alert"]);
        for part in ["summary", "description"] {
            assert!(!text(&rule["annotations"][part]).is_empty(), "{name} has no {part}");
        }
        assert_eq!(text(&rule["annotations"]["runbook_url"]), format!("{RUNBOOK}#{}", name.to_lowercase()));
        assert!(["warning", "critical"].contains(&text(&rule["labels"]["severity"]).as_str()), "{name}");
        assert!(names.insert(name.clone()), "two alerts are called {name}");
    }
    let runbook = read(RUNBOOK);
    let sections: BTreeSet<_> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(sections, names);
    for section in runbook.split("\n### ").skip(1) {
        for part in ["**Meaning.**", "**Diagnosis.**", "**Remedy.**", "```sh\nkubectl "] {
            assert!(section.contains(part), "no {part} in: {section}");
        }
    }
}

#[test]
fn the_runbook_names_only_existing_log_lines_and_categories() {
    let runbook = read(RUNBOOK);
    let code = [
        "src/drift/sweep.rs",
        "src/kube_ext/leader.rs",
        "src/kube_ext/watch.rs",
        "src/kube_ext/work.rs",
        "src/saga/report.rs",
    ];
    let code = code.map(read).concat();
    let searches = runbook.lines().filter_map(|line| line.split_once("| grep '").or(line.split_once("| grep -E '")));
    let searches = searches.flat_map(|(_, logged)| logged.trim_end_matches('\'').split('|'));
    // In sentences: the log has `TEXT`.
    let sentences = ["log has `", "log for `"].map(|words| runbook.split(words).skip(1)).into_iter().flatten();
    let sentences: Vec<_> = sentences.filter_map(|rest| rest.split('`').next()).collect();
    assert!(sentences.len() > 1, "{sentences:?}");
    for logged in searches.chain(sentences) {
        assert!(code.contains(&format!("\"{logged}")), "nothing is logged as {logged}");
    }
    let of_sweeps = [SyncCategory::OtherAccount, SyncCategory::IncompleteList].map(<&str>::from);
    let categories = [call::Error::VARIANTS, digitalocean::Error::VARIANTS, &of_sweeps].concat();
    let code = read("src/kube_ext/work.rs");
    let is_reason = |outcome: &str| ConditionReason::read(outcome).is_some();
    for outcome in runbook.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("`:")) {
        for outcome in outcome.0.split("`, `") {
            let is_in_code = || code.contains(&format!("\"{outcome}\""));
            let is_known = categories.contains(&outcome) || is_reason(outcome) || is_in_code();
            assert!(is_known, "there is no outcome {outcome}");
        }
    }
}
