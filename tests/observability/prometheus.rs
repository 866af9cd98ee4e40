//! Evaluates with Prometheus' own code, by the Go program in tests/promql.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// One for each expression.
    pub expressions: Vec<Reading>,
    /// The errors of the rules.
    pub rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    pub selectors: Vec<Selector>,
    /// The result for the given series.
    result: Vec<Element>,
    /// The parse error; empty if the expression is valid.
    pub error: String,
}

/// One element of the result of an expression.
#[derive(Debug, Deserialize)]
pub(crate) struct Element {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// One selector: `up{job="x"}` has the metric up and the label job.
#[derive(Debug, Deserialize)]
pub(crate) struct Selector {
    pub metric: String,
    pub labels: Vec<String>,
}

/// `rules` is the content of a file of rules, such as the `spec` of a `PrometheusRule`.
pub(crate) fn ask(expressions: &[&str], rules: &Value) -> Answer {
    // JSON is YAML.
    run(&json!({ "expressions": expressions, "rules": rules.to_string() }))
}

/// Evaluates an expression at a minute, on series with a sample a minute.
pub(crate) fn evaluate(expression: &str, series: &[String], minute: u32) -> Vec<Element> {
    let mut told = run(&json!({ "expressions": [expression], "series": series, "minute": minute }));
    let reading = told.expressions.remove(0);
    assert_eq!(reading.error, "", "{expression}");
    reading.result
}

fn run(question: &Value) -> Answer {
    // Two that start at the same time would both compile it.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut go = Command::new("go");
    go.args(["run", "."]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promql"));
    let mut program =
        go.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tests need Go, see the README");
    program.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "tests/promql: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
