//! Executes the commands of the tour in a shell, in order, and compares their output.

use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    document::{Block, blocks, pages, read},
    shell::Shell,
    stage::Stage,
};

const TOUR: &str = "docs/tour.md";
/// Its commands are executed by tests/observability.
const RUNBOOK: &str = "docs/troubleshooting.md";
/// Blocks that this file does not execute: the document, how the block begins, and the reason.
const NOT_HERE: [(&str, &str, &str); 35] = [
    ("README.md", "git clone", "needs the network; tests/demo.rs of xtask plays the demo"),
    ("README.md", "kubectl create namespace arcadia-system", "tests/install installs with Helm and the real program"),
    ("CONTRIBUTING.md", "cargo xtask test", "would run this test"),
    ("CONTRIBUTING.md", "git show ':/Put recorded", "tests/readme/links.rs executes it"),
    ("CONTRIBUTING.md", "git show ':/Move acceptances", "tests/readme/links.rs executes it"),
    ("charts/arcadia-operator/README.md", "kubectl create namespace", "tests/install installs with Helm"),
    ("deploy/README.md", "kubectl apply --server-side -k YOUR-OVERLAY", "tests/install applies both overlays"),
    (
        "deploy/README.md",
        "kubectl apply -n arcadia-system -k deploy/observability",
        "tests/install/agreement.rs compares its files with the chart",
    ),
    ("deploy/README.md", "apiVersion: kustomize", "tests/readme/snippets.rs builds it"),
    (
        "tests/simulator/README.md",
        "cargo run",
        "serves until it is stopped; tests start the simulator in their process",
    ),
    ("tests/simulator/README.md", "curl -s 'localhost", "tests/readme/snippets.rs executes it"),
    ("tests/simulator/README.md", "curl -X PATCH", "tests/readme/snippets.rs executes it"),
    ("tests/simulator/README.md", "{\"droplets\"", "tests/readme/snippets.rs loads it"),
    ("docs/benchmarks.md", "cargo bench-system sweep", "takes minutes"),
    ("docs/benchmarks.md", "cargo xtask control-plane", "takes minutes"),
    ("docs/benchmarks.md", "cargo bench-system start", "takes minutes"),
    ("docs/benchmarks.md", "cargo bench-system sagas", "takes minutes"),
    ("docs/benchmarks.md", "cargo bench-system soak", "takes half an hour"),
    ("docs/benchmarks.md", "cargo bench-system cli", "takes minutes"),
    ("docs/benchmarks.md", "cargo bench-system reverts", "takes minutes"),
    ("docs/kubectl.md", "kubectl arcadia manifests", "needs an acceptance; tests/readme/daily.rs executes it"),
    ("docs/install.md", "docker build", "needs a registry; a test of a release reads the image"),
    ("docs/install.md", "kubectl create namespace arcadia-system", "tests/install installs with Helm"),
    ("docs/install.md", "helm template RELEASE", "tests/install/golden.rs renders it"),
    ("docs/security.md", "kubectl create rolebinding", "tests/end_to_end/privilege binds the roles"),
    ("docs/install.md", "export DIGITALOCEAN_ACCESS_TOKEN", "tests/readme/snippets.rs executes it"),
    ("docs/install.md", "doctl compute", "tests/readme/snippets.rs executes it"),
    ("docs/install.md", "helm install first", "tests/install/release.rs installs two"),
    ("docs/install.md", "cargo install", "needs a real cluster and a real account"),
    ("docs/gitops.md", "kubectl annotate drift DRIFT", "needs a drift; tests/readme/daily.rs executes it"),
    ("docs/revert.md", "kubectl arcadia revert DRIFT", "needs a drift; tests/readme/daily.rs executes it"),
    ("docs/revert.md", "kubectl annotate drift DRIFT", "needs a drift; tests/readme/daily.rs executes it"),
    ("docs/operate.md", "kubectl create secret", "needs the operator as a pod"),
    ("docs/operate.md", "kubectl get provisionedresources -A", "tests/readme/snippets.rs executes it"),
    ("docs/operate.md", "kubectl create -f records.json", "tests/readme/snippets.rs executes it"),
];
/// The time for which a command with a different output is retried. Events are published a moment after the writes that
/// they describe.
const EVENTUALLY: Duration = Duration::from_secs(10);

#[test]
fn the_tour_prints_what_the_document_says() {
    let blocks = blocks(&read(TOUR));
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start("tour"));
    let mut shell = Shell::start(&stage);
    for block in blocks.iter().filter(|block| block.language == "console") {
        for step in steps(block) {
            let begun = Instant::now();
            loop {
                let (printed, succeeded) = shell.run(&step.command);
                let printed = normal(&printed, stage.namespace.name());
                let wanted = normal(&step.printed, "default");
                if succeeded && printed == wanted {
                    break;
                }
                let is_worth_another_look = step.command.starts_with("kubectl events") && begun.elapsed() < EVENTUALLY;
                assert!(
                    is_worth_another_look,
                    "{TOUR}:{}\n$ {}\nshould have printed\n{}\nbut printed\n{}\nThe operator's log ends\n{}",
                    step.line,
                    step.command,
                    wanted.join("\n"),
                    printed.join("\n"),
                    stage.log()
                );
                sleep(Duration::from_millis(200));
            }
        }
    }
}

#[test]
fn every_block_is_executed_or_listed_with_the_reason() {
    let mut used = BTreeSet::new();
    for page in pages() {
        for block in blocks(&read(&page)) {
            let place = format!("{page}:{}", block.line);
            match block.language.as_str() {
                "console" => assert!([TOUR, "README.md"].contains(&page.as_str()), "{place}: move it to the tour"),
                "text" => {}
                "sh" if page == RUNBOOK => {}
                "sh" | "yaml" | "json" => {
                    let row = NOT_HERE.iter().find(|(at, first, _)| *at == page && block.text[0].starts_with(first));
                    used.insert(
                        row.unwrap_or_else(|| panic!("{place}: no test executes this; make it part of the tour")),
                    );
                }
                other => panic!("{place}: a block of {other:?}, which nothing tests"),
            }
        }
    }
    assert_eq!(used, NOT_HERE.iter().collect(), "NOT_HERE lists blocks that do not exist");
}

#[test]
fn the_readme_shows_only_lines_of_the_tour() {
    let lines = |page: &str| -> Vec<String> {
        let blocks = blocks(&read(page)).into_iter().filter(|block| block.language == "console");
        blocks.flat_map(|block| block.text).collect()
    };
    let tour = lines(TOUR);
    let shown = lines("README.md");
    assert!(!shown.is_empty(), "README.md shows no console");
    for line in shown {
        assert!(tour.contains(&line), "README.md shows a line that the tour does not have: {line}");
    }
}

#[test]
fn the_readme_shows_the_command_line_before_annotations() {
    let readme = read("README.md");
    let place = |command: &str| readme.find(command).unwrap_or_else(|| panic!("README.md does not show {command}"));
    let annotation = place("kubectl annotate");
    for command in ["$ kubectl arcadia\n", "$ kubectl arcadia accept", "$ kubectl arcadia revert"] {
        assert!(place(command) < annotation, "README.md shows annotations before {command}");
    }
}

/// A command and its expected output.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    printed: String,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (offset, line) in block.text.iter().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: block.line + offset, command: command.to_owned(), printed: String::new() });
        } else {
            let step = steps.last_mut().unwrap_or_else(|| panic!("{TOUR}:{}: output before a command", block.line));
            step.printed += line;
            step.printed.push('\n');
        }
    }
    steps
}

/// The words of each line, with stable text for everything that differs between runs: the width of columns, ages (`12s`,
/// `3m5s`), dates, the hash in a drift's name, and the namespace.
fn normal(text: &str, namespace: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.replace(namespace, "NAMESPACE"));
    let words = lines.map(|line| line.split_whitespace().map(normal_word).collect::<Vec<_>>().join(" "));
    words.filter(|line| !line.is_empty() && !is_progress(line)).collect()
}

/// A report of `--wait`: `drift.arcadia.cloud/NAME: saga ... is Pending`. A fast revert ends before the first one.
fn is_progress(line: &str) -> bool {
    line.starts_with("drift.arcadia.cloud/") && line.split(' ').next().is_some_and(|name| name.ends_with(':'))
}

fn normal_word(word: &str) -> String {
    if is_age(word) {
        return "AGE".to_owned();
    }
    if is_like(word.trim_end_matches(':'), "0000-00-00") {
        return "DATE".to_owned();
    }
    if is_like(word, "00:00:00") {
        return "TIME".to_owned();
    }
    let is_hash = |part: &str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    word.split('-').map(|part| if is_hash(part) { "HASH" } else { part }).collect::<Vec<_>>().join("-")
}

/// A word of this length, with digits in place of zeros.
fn is_like(word: &str, pattern: &str) -> bool {
    let fits = |(sign, wanted): (char, char)| if wanted == '0' { sign.is_ascii_digit() } else { sign == wanted };
    word.len() == pattern.len() && word.chars().zip(pattern.chars()).all(fits)
}

/// Ages as kubectl writes them: numbers, each with a unit.
fn is_age(word: &str) -> bool {
    let parts: Vec<_> = word.split_inclusive(['d', 'h', 'm', 's']).collect();
    !parts.is_empty()
        && parts.iter().all(|part| {
            let number = part.strip_suffix(['d', 'h', 'm', 's']).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[test]
fn only_what_differs_from_run_to_run_is_normalized() {
    assert_eq!(normal("a-0123456789-1   x  12s\n\n", "default"), ["a-HASH-1 x AGE"]);
    assert_eq!(normal("tour-1/web-2 is 3m5s old", "tour-1"), ["NAMESPACE/web-2 is AGE old"]);
    assert_eq!(normal("by admin on 2026-11-30: 08:27:12 UTC", "default"), ["by admin on DATE TIME UTC"]);
    let waiting =
        "drift.arcadia.cloud/web-2-tags-1: saga a is Pending\ndrift.arcadia.cloud/web-2-tags-1 Reverted (Reverted)";
    assert_eq!(normal(waiting, "default"), ["drift.arcadia.cloud/web-2-tags-1 Reverted (Reverted)"]);
    assert_eq!(normal("2026-11-3 08:27:1", "default"), ["2026-11-3 08:27:1"]);
    for word in ["s", "12", "s-2vcpu-4gb", "1x", "5m!", "1s2"] {
        assert!(!is_age(word), "{word}");
    }
}
