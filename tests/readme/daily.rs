//! Executes the daily commands of the README.

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

#[test]
fn the_daily_commands_of_the_readme_do_what_they_say() {
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start("daily"));
    runtime.block_on(stage.simulator.control().change("droplets", DROPLET, json!({"size_slug": LIVE}))).unwrap();
    let mut shell = Shell::start(&stage);
    let mut run = |command: &str| {
        let (printed, succeeded) = shell.run(command);
        assert!(succeeded, "$ {command}\n{printed}\nThe operator's log ends\n{}", stage.log());
        printed
    };
    let commands: Vec<_> = rows(&read("README.md"), "goal").into_iter().map(|row| row[1].clone()).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        if command.contains("drift NAME") {
            // The manifest has the old size, so the question is asked again when earlier acceptances are withdrawn.
            run("kubectl apply -f examples/web-1.yaml");
            let is_revert = command.contains("revert");
            if is_revert {
                let change = json!({"tags": ["web"]});
                runtime.block_on(stage.simulator.control().change("droplets", DROPLET, change)).unwrap();
            } else {
                run("kubectl annotate drifts --all arcadia.cloud/accept-");
            }
            run("kubectl wait --for=jsonpath='{.status.openDrifts}'=1 pr/web-1");
            let drift =
                run("kubectl get drifts --field-selector status.phase=Open -o jsonpath='{.items[0].metadata.name}'");
            run(&command.replace("NAME", drift.trim()));
            let phase = if is_revert { "Reverted" } else { "Accepted" };
            run(&format!("kubectl wait --for=jsonpath='{{.status.phase}}'={phase} drift/{}", drift.trim()));
            continue;
        }
        let command = command.replace("saga NAME", "saga snapshot-web-1").replace("NAME", "web-1");
        // A watch does not end.
        let printed = run(command.trim_end_matches(" -w"));
        assert!(!printed.trim().is_empty(), "{command} prints nothing");
    }
    let ignored = run("kubectl get pr web-1 -o jsonpath='{.spec.drift.ignore[0]}'");
    assert_eq!(ignored.trim(), "tags");
    let accepted = run("kubectl get pr web-1 -o jsonpath='{.status.acceptances[0].accepted}'");
    assert_eq!(accepted.trim(), LIVE);
}
