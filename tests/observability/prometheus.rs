//! Asks Prometheus' own code, by the Go program in tests/promql.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
pub struct Answer {
    /// One for each expression.
    pub expressions: Vec<Reading>,
    /// What is wrong with the rules.
    pub rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Reading {
    pub selectors: Vec<Selector>,
    /// Why it is no expression; empty if it is.
    pub error: String,
}

/// One selector: `up{job="x"}` has the metric up and the label job.
#[derive(Debug, Deserialize)]
pub struct Selector {
    pub metric: String,
    pub labels: Vec<String>,
}

/// `rules` is what a file of rules has, such as the `spec` of a `PrometheusRule`.
pub fn ask(expressions: &[&str], rules: &Value) -> Answer {
    let mut go = Command::new("go");
    go.args(["run", "."]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promql"));
    let mut program =
        go.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tests need Go, as the README says");
    // JSON is YAML.
    let question = json!({ "expressions": expressions, "rules": rules.to_string() });
    program.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "tests/promql: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
