//! Closed pipes, Ctrl-C, colours and help.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    program::{Arcadia, Ran},
    world::World,
};

#[tokio::test]
async fn a_closed_pipe_and_an_interrupt_end_it_without_a_message() {
    let world = World::new("kubectl-streams").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.record("web-1", json!({"name": "other"})).await;
    world.open_drift().await;

    let mut closed = arcadia.command(&["inbox", "-o", "json"]);
    let mut closed = closed.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(closed.stdout.take());
    let closed = Ran::of(&closed.wait_with_output().unwrap());
    assert_eq!((closed.code, closed.errors.as_str()), (0, ""));

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
async fn help_has_examples_and_exit_codes() {
    let arcadia = Arcadia::new();
    let help = arcadia.expect(0, &["--help"]).await;
    assert!(help.contains("Exit codes:") && help.contains("NO_COLOR"), "{help}");
    for command in
        ["inbox", "accept", "revert", "withdraw", "show", "history", "status", "saga", "verify", "import", "unrecorded"]
    {
        let help = arcadia.expect(0, &[command, "--help"]).await;
        assert!(help.contains("Examples:\n  kubectl arcadia "), "{command}: {help}");
    }
    arcadia.says(2, &["no-such-command"]).await;
}
