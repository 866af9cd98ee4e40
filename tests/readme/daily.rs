//! Executes the daily commands of the README, and the commands about one drift of other pages.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    document::{block, read, rows},
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

#[test]
fn the_commands_about_one_drift_in_other_pages_do_what_they_say() {
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start("pages"));
    let change = |change| runtime.block_on(stage.simulator.control().change("droplets", DROPLET, change)).unwrap();
    let mut daily = Daily { shell: Shell::start(&stage), stage: &stage };
    daily.run("kubectl apply -f examples/web-1.yaml");
    change(json!({"size_slug": LIVE}));

    // The page about decisions: each command accepts the open drift again.
    let commands = rows(&read("docs/decide.md"), "goal").into_iter().map(|row| row[1].trim_matches('`').to_owned());
    for command in commands {
        let (name, hash) = daily.open("size_slug");
        let printed = daily.run(&command.replace("1a2b3c4d", &hash));
        if command.contains("accept=true") {
            daily.run(&format!("kubectl wait --for=jsonpath='{{.status.phase}}'=Accepted drift/{name}"));
            daily.run("kubectl annotate drifts --all arcadia.cloud/accept-");
        } else {
            assert!(printed.contains(&hash), "{printed}");
        }
    }

    // The page about GitOps: the manifest still has the old size.
    let (name, _) = daily.open("size_slug");
    let mut printed = Vec::new();
    for command in commands_of("docs/gitops.md", "kubectl annotate drift DRIFT") {
        printed.push(daily.run(&command.replace("DRIFT", &name)));
        if command.contains("accept=true") {
            daily.run(&format!("kubectl wait --for=jsonpath='{{.status.phase}}'=Accepted drift/{name}"));
            daily.run("kubectl wait --for=condition=ManifestCurrent=false pr/web-1");
        }
    }
    assert!(printed[1].contains("MANIFEST") && printed[1].contains("False"), "{printed:?}");
    assert_eq!(printed[2].trim(), r#"{"spec":{"desired":{"size_slug":"s-4vcpu-8gb"}}}"#);

    // The page about the command line: the manifest is in a repository, and the acceptance stands.
    let folder = tempfile::tempdir().unwrap();
    daily.run("export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com");
    daily.run(&format!(
        "FOLDER={}; mkdir $FOLDER/records; cp examples/web-1.yaml $FOLDER/records",
        folder.path().display()
    ));
    daily.run("cd $FOLDER && git init --quiet && git add . && git commit --quiet --message=records");
    let commands = commands_of("docs/kubectl.md", "kubectl arcadia manifests");
    assert!(!daily.shell.run(&commands[0]).1, "{} succeeds, but the manifest is not current", commands[0]);
    for command in &commands[1..] {
        daily.run(command);
    }
    daily.run(&commands[0]);
    let committed = daily.run("git show --format=%s");
    assert!(committed.contains("Accept size_slug of web-1: s-4vcpu-8gb"), "{committed}");
    assert!(committed.contains("+    size_slug: s-4vcpu-8gb"), "{committed}");

    // The page about reverts: with the command line, and with annotations.
    for (first, left) in [("kubectl arcadia revert DRIFT", "web"), ("kubectl annotate drift DRIFT", "prod")] {
        change(json!({"tags": [left]}));
        let (name, _) = daily.open("tags");
        for command in commands_of("docs/revert.md", first) {
            let asks = command.starts_with("kubectl arcadia revert");
            let command = command.replace("DRIFT", &format!("{name}{}", if asks { " --yes" } else { "" }));
            if command.contains("revert=true") {
                // The operator removes the annotation of the plan.
                daily.run(&format!("kubectl wait --for='jsonpath={{.status.plan.needs}}' drift/{name}"));
                daily.eventually(&command);
            } else {
                daily.run(&command);
            }
        }
        daily.run(&format!("kubectl wait --for=jsonpath='{{.status.phase}}'=Reverted drift/{name}"));
    }
}

/// The commands of the block of a page that starts with this text, without their comments.
fn commands_of(page: &str, first: &str) -> Vec<String> {
    block(page, first).iter().map(|line| line.split("  # ").next().unwrap().trim().to_owned()).collect()
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

    /// Runs a command again until it succeeds.
    fn eventually(&mut self, command: &str) {
        let begun = Instant::now();
        while !self.shell.run(command).1 {
            assert!(begun.elapsed() < PATIENCE, "$ {command}\nThe operator's log ends\n{}", self.stage.log());
            sleep(Duration::from_millis(200));
        }
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
