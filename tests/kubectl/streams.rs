//! Closed pipes, Ctrl-C, colours and help.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    program::{Arcadia, Ran},
    world::{World, droplet, eventually},
};

#[tokio::test]
async fn a_closed_pipe_and_an_interrupt_exit_without_a_message() {
    let world = World::new("kubectl-streams").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    world.open_drift().await;

    let mut closed = arcadia.command(&["inbox", "-o", "json"]);
    let mut closed = closed.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(closed.stdout.take());
    let closed = Ran::of(&closed.wait_with_output().unwrap());
    assert_eq!((closed.code, closed.errors.as_str()), (0, ""));

    let mut unread = arcadia.command(&["inbox", "--watch"]);
    let mut unread = unread.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(unread.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("CHANGE"), "{first}");
    // It ends although nothing changes, as `head -1` expects.
    let unread = Ran::of(&unread.wait_with_output().unwrap());
    assert_eq!((unread.code, unread.errors.as_str()), (0, ""));

    let mut watch = arcadia.command(&["inbox", "--watch"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut out = BufReader::new(watch.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with("CHANGE"), "{first}");
    assert!(Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ended = Ran::of(&watch.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.errors.as_str()), (130, ""));
    assert!(!rest.contains('\u{1b}'), "colours without a terminal: {rest:?}");
}

#[tokio::test]
async fn a_closed_pipe_leaves_no_drift_undecided() {
    let mut world = World::new("kubectl-unread").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    // More than the calls that are made at once.
    let count = 20;
    for id in 1..=count {
        let id = id.to_string();
        world.cloud.put("droplets", droplet(&id, "name")).await.unwrap();
        world.record_as(&format!("web-{id}"), "Droplet", &id, json!({"size_slug": "s-1vcpu-1gb"}), json!({})).await;
    }
    let inbox = ["inbox", "-o", "name"];
    eventually("all drifts", || async {
        let names = arcadia.expect(0, &inbox).await;
        if names.lines().count() == count { Ok(()) } else { Err(names) }
    })
    .await;
    world.kill_operator();
    let mut accept = arcadia.command(&["accept", "-l", "arcadia.cloud/change", "--yes"]);
    let mut accept = accept.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(accept.stdout.take());
    let accept = Ran::of(&accept.wait_with_output().unwrap());
    assert_eq!((accept.code, accept.errors.as_str()), (0, ""));
    let path = r"jsonpath={.items[*].metadata.annotations.arcadia\.cloud/accept}";
    let decided = world.run(&["get", "drifts", "-o", path]).await;
    assert_eq!(decided.split_whitespace().count(), count, "{decided}");
}

#[tokio::test]
async fn help_has_examples_and_exit_codes() {
    let arcadia = Arcadia::new();
    let help = arcadia.expect(0, &["--help"]).await;
    assert!(help.contains("Exit codes:") && help.contains("NO_COLOR"), "{help}");
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(commands.contains(&"manifests") && commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|name| *name != "help") {
        let help = arcadia.expect(0, &[command, "--help"]).await;
        assert!(help.contains("Examples:\n  kubectl arcadia "), "{command}: {help}");
    }
    arcadia.says(2, &["no-such-command"]).await;
}

#[tokio::test]
async fn every_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let said = Arcadia::new().says(0, &["man", &folder.path().display().to_string()]).await;
    assert!(said.contains("man kubectl-arcadia"), "{said}");
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("kubectl-arcadia.1").contains("kubectl\\-arcadia"));
    assert!(
        page("kubectl-arcadia-inbox.1").contains("kubectl arcadia inbox \\-A"),
        "{}",
        page("kubectl-arcadia-inbox.1")
    );
    assert!(page("kubectl-arcadia-saga-retry.1").contains("because"));
}
