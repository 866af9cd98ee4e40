//! The tables of the reference contain exactly what the code contains.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use arcadia_operator::{
    api::{self, DriftPhase, SagaKind, SagaPhase, saga::StepState, verbs},
    config::Cli,
    digitalocean::{self, Kind, SnapshotInfo, Usage, kinds, revert},
    drift::{self, gauges::Gauges, index::OpenDrifts},
    kube_ext::leader::Leadership,
    manifests::policies::DECISIONS,
    saga::{
        self,
        index::{Census, InPhase},
        steps,
    },
    telemetry::metrics::Metrics,
};
use clap::CommandFactory;
use jiff::Timestamp;
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::document::{code_spans, read, rows};

const FLAGS: &str = "docs/reference/flags.md";
const CONDITIONS: &str = "docs/reference/conditions.md";
const RESOURCES: &str = "docs/reference/crds.md";

fn first_cells(page: &str, title: &str) -> BTreeSet<String> {
    rows(&read(page), title).into_iter().map(|row| row[0].clone()).collect()
}

/// The values of `pub const NAME: &str = "VALUE";` in a source file.
fn constants(source: &str) -> BTreeSet<String> {
    let values = source.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": &str = \""));
    values.filter_map(|(_, value)| value.strip_suffix("\";")).map(str::to_owned).collect()
}

#[test]
fn flags_variables_and_defaults() {
    let command = Cli::command();
    let mut flags = BTreeSet::new();
    for argument in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
        let name = argument.get_long().unwrap();
        if ["help", "version"].contains(&name) {
            continue;
        }
        let value = argument.get_value_names().map(|names| names[0].to_string()).unwrap_or_default();
        let variable = argument.get_env().unwrap().to_string_lossy().into_owned();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        // Defaults that are no value are said in the help.
        let help = argument.get_help().unwrap().to_string().replace('`', "");
        let said = help.split_once("[default: ").map(|(_, rest)| rest.trim_end_matches(']').to_owned());
        let default = said.unwrap_or_else(|| defaults.join(","));
        flags.insert(vec![format!("--{name} {value}"), variable, default]);
    }
    let documented: BTreeSet<_> = rows(&read(FLAGS), "flag").into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(documented, flags);
}

#[test]
fn commands() {
    let commands: BTreeSet<_> =
        Cli::command().get_subcommands().map(|command| format!("arcadia-operator {}", command.get_name())).collect();
    assert_eq!(first_cells(FLAGS, "command"), commands);
}

#[test]
fn conditions_and_reasons() {
    let source = read("src/api/conditions.rs");
    let (types, reasons) = source.split_once("pub mod reason {").unwrap();
    assert_eq!(first_cells(CONDITIONS, "reason"), constants(reasons));
    assert_eq!(first_cells(CONDITIONS, "condition"), constants(types));
}

#[test]
fn annotations() {
    assert_eq!(first_cells("docs/reference/annotations.md", "annotation"), constants(&read("src/api/annotations.rs")));
}

#[test]
fn labels() {
    let mut labels = constants(&read("src/api/labels.rs"));
    assert_eq!(first_cells("docs/reference/annotations.md", "label"), labels);
    // Of a Saga.
    labels.remove(api::labels::REVERT_OF);
    assert_eq!(first_cells("docs/decide.md", "label"), labels);
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
fn events() {
    let code = [sources("src/drift"), sources("src/saga"), read("src/api/conditions.rs")].concat();
    for event in first_cells("docs/reference/events.md", "event") {
        assert!(code.contains(&format!("\"{event}\"")), "no event has the reason {event}");
    }
}

#[test]
fn metrics() {
    let documented: BTreeSet<_> =
        rows(&read("docs/reference/metrics.md"), "metric").into_iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(documented, scrape_of_everything().lines().filter_map(metric).collect());
}

/// The text of all source files below a folder.
fn sources(folder: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap());
    entries.fold(String::new(), |code, entry| {
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        code + &if entry.path().is_dir() { sources(&path) } else { read(&path) }
    })
}

/// Name and labels of a line of a scrape. A histogram is one metric, not three.
fn metric(line: &str) -> Option<Vec<String>> {
    let (series, _) = line.split_once(' ').filter(|(start, _)| *start != "#")?;
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
    let name = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name);
    Some(vec![name.to_owned(), labels.filter(|label| *label != "le").collect::<Vec<_>>().join(", ")])
}

/// A scrape in which every metric has a value.
fn scrape_of_everything() -> String {
    let kind = Kind::named("Droplet").unwrap();
    let drifts = drift::metrics::Metrics::default();
    drifts.opened(kind);
    drifts.resolved(kind, DriftPhase::Stale, "LiveReturned");
    drifts.reconciled(Duration::ZERO, "ok");
    drifts.synced(kind, Duration::ZERO, "ok");
    let sagas = saga::metrics::Metrics::default();
    sagas.reconciled(Duration::ZERO, "ok");
    sagas.ended(SagaKind::Test, SagaPhase::Succeeded);
    sagas.step_ended("Sleep", "done", Duration::ZERO);
    let mut metrics = Metrics::default();
    drifts.register(metrics.counters());
    sagas.register(metrics.counters());
    metrics.add_gauges(move |registry| {
        let now = Timestamp::UNIX_EPOCH;
        let census = Census::from([((SagaKind::Test, SagaPhase::Running), InPhase { count: 1, since: Some(now) })]);
        saga::metrics::register_gauges(&census, now, registry);
        let usage = Usage { calls: [(("GET", "/v2/droplets", 200), 1)].into(), ..Usage::default() };
        digitalocean::metrics::register(&usage, registry);
        Leadership::unelected().register_gauge(registry);
        let gauges = Gauges {
            now,
            records: 1,
            open_drifts: vec![OpenDrifts { kind, field: "name".to_owned(), count: 1, oldest: now }],
            max_age: Duration::ZERO,
            snapshots: vec![SnapshotInfo { kind, age: Some(Duration::ZERO), resources: 1, last_error: None }],
        };
        gauges.register(registry);
    });
    metrics.scrape()
}

#[test]
fn phases_and_field_selectors() {
    let definitions: Vec<Value> = api::crds().iter().map(|definition| json!(definition)).collect();
    let version = |index: usize| &definitions[index]["spec"]["versions"][0];
    let phases = &version(1)["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["phase"]["enum"];
    let phases: BTreeSet<_> =
        phases.as_array().unwrap().iter().map(|phase| phase.as_str().unwrap().to_owned()).collect();
    assert_eq!(first_cells(RESOURCES, "phase"), phases);

    let spans = code_spans(&read(RESOURCES));
    for index in [0, 1, 2] {
        for field in version(index)["selectableFields"].as_array().unwrap() {
            let path = field["jsonPath"].as_str().unwrap().trim_start_matches('.');
            assert!(spans.iter().any(|span| span == path), "the field selector {path} is not in {RESOURCES}");
        }
    }
}

#[test]
fn kinds_and_phases_of_sagas() {
    assert_eq!(
        first_cells(RESOURCES, "saga kind"),
        SagaKind::VARIANTS.iter().map(|kind| kind.name().to_owned()).collect()
    );
    assert_eq!(
        first_cells(RESOURCES, "saga phase"),
        SagaPhase::VARIANTS.iter().map(|phase| phase.name().to_owned()).collect()
    );
    let states = &json!(schemars::schema_for!(StepState));
    let states = states["oneOf"].as_array().unwrap().iter().map(|state| state["const"].as_str().unwrap().to_owned());
    assert_eq!(first_cells(RESOURCES, "step state"), states.collect());
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
