//! Executes the daily commands of the README.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    document::{read, rows},
    shell::Shell,
    stage::Stage,
};

/// The droplet of `examples/web-1.yaml`, and the size that the commands accept.
const DROPLET: &str = "3164444";
const LIVE: &str = "s-4vcpu-8gb";
/// The time limit for a drift to appear.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_daily_commands_of_the_readme_do_what_they_say() {
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start("daily"));
    let change = |change| runtime.block_on(stage.simulator.control().change("droplets", DROPLET, change)).unwrap();
    let mut daily = Daily { shell: Shell::start(&stage), stage: &stage };
    daily.run("kubectl apply -f examples/web-1.yaml");
    change(json!({"size_slug": LIVE}));
    daily.open("size_slug");

    let commands: Vec<_> = rows(&read("README.md"), "goal").into_iter().map(|row| row[1].clone()).collect();
    assert!(commands.len() > 20, "{commands:?}");
    // The drift of the last command.
    let mut drift = String::new();
    for command in commands {
        let is_revert = command.contains("revert");
        if command.contains("withdraw") {
            daily.run(&format!("{} --yes", command.replace("DRIFT", &drift)));
            daily.open("size_slug");
            continue;
        }
        if command.contains("DRIFT") || command.contains("HASH") {
            if is_revert {
                change(json!({"tags": ["web"]}));
            } else {
                // The manifest has the old size, so a drift opens again when acceptances are withdrawn.
                daily.run("kubectl annotate drifts --all arcadia.cloud/accept-");
            }
            let (name, hash) = daily.open(if is_revert { "tags" } else { "size_slug" });
            drift = name;
            let mut command = command.replace("DRIFT", &drift).replace("HASH", &hash);
            if command.starts_with("kubectl arcadia accept") || command.starts_with("kubectl arcadia revert") {
                command += " --yes";
            }
            let printed = daily.run(&command);
            if command.contains("--plan") {
                assert!(printed.contains("plan: Safe"), "{printed}");
            } else if !command.contains(" show ") {
                let phase = if is_revert { "Reverted" } else { "Accepted" };
                daily.run(&format!("kubectl wait --for=jsonpath='{{.status.phase}}'={phase} drift/{drift}"));
            }
            continue;
        }
        let command = command.replace("SAGA", "snapshot-web-1").replace("RECORD", "web-1");
        // A watch does not end.
        let printed = daily.run(command.trim_end_matches(" -w"));
        assert!(!printed.trim().is_empty(), "{command} prints nothing");
    }
    let ignored = daily.run("kubectl get pr web-1 -o jsonpath='{.spec.drift.ignore[0]}'");
    assert_eq!(ignored.trim(), "tags");
    let accepted = daily.run("kubectl get pr web-1 -o jsonpath='{.status.acceptances[0].accepted}'");
    assert_eq!(accepted.trim(), LIVE);
}

struct Daily<'s> {
    shell: Shell,
    stage: &'s Stage,
}

impl Daily<'_> {
    fn run(&mut self, command: &str) -> String {
        let (printed, succeeded) = self.shell.run(command);
        assert!(succeeded, "$ {command}\n{printed}\nThe operator's log ends\n{}", self.stage.log());
        printed
    }

    /// The name and the change of the open drift of a field, once there is one.
    fn open(&mut self, field: &str) -> (String, String) {
        let selector = format!("status.phase=Open,spec.field={field}");
        let format = r"jsonpath='{.items[0].metadata.name} {.items[0].metadata.labels.arcadia\.cloud/change}'";
        let begun = Instant::now();
        loop {
            let names = self.run(&format!("kubectl get drifts --field-selector {selector} -o name"));
            if names.contains("drift.arcadia.cloud/") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "no open drift of {field}; the log ends\n{}", self.stage.log());
            sleep(Duration::from_millis(200));
        }
        let drift = self.run(&format!("kubectl get drifts --field-selector {selector} -o {format}"));
        let (name, change) = drift.trim().split_once(' ').unwrap();
        (name.to_owned(), change.to_owned())
    }
}
