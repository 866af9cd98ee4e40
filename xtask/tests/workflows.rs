//! actionlint accepts the workflows, and they call the project's commands for CI and releases.
#![cfg(test)]

use std::{path::Path, process::Command};

#[test]
fn the_workflows_are_valid() {
    let mut lint = Command::new(control_plane::actionlint().unwrap());
    // Other linters would run if they were installed.
    lint.args(["-shellcheck=", "-pyflakes=", "-no-color"]).current_dir(root());
    let output = lint.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_mistake_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yml");
    let text = std::fs::read_to_string(root().join(".github/workflows/ci.yml")).unwrap();
    std::fs::write(&file, text.replace("needs: check", "needs: nothing")).unwrap();
    let output = Command::new(control_plane::actionlint().unwrap()).arg("-no-color").arg(&file).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("nothing"));
}

#[test]
fn they_run_the_commands_of_this_repository() {
    let read = |file: &str| std::fs::read_to_string(root().join(".github/workflows").join(file)).unwrap();
    let verification = "cargo test --package xtask --features arcadia-operator/failpoints --test release -- --ignored";
    for (file, commands) in [
        (
            "ci.yml",
            vec![
                ".ci/run",
                "cargo xtask test --thorough",
                "cargo xtask release --dry-run",
                verification,
                "cargo xtask book",
            ],
        ),
        ("release.yml", vec![".ci/run", "cargo xtask release --tag", verification]),
    ] {
        for command in commands {
            let runs = read(file)
                .lines()
                .any(|line| line.trim().trim_start_matches("- ").trim_start_matches("run: ").starts_with(command));
            assert!(runs, "{file} does not run {command}");
        }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
