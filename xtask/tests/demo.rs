//! The demo plays to its end, and leaves nothing behind however it ends.
#![cfg(test)]

use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn the_drift_appears_is_accepted_and_closes() {
    let demo = demo(&["--once"]).output().unwrap();

    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    for part in
        ["$ kubectl get drifts", "s-2vcpu-4gb   s-4vcpu-8gb", "arcadia.cloud/accept=true", "Standing", "InManifest"]
    {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    assert!(!folder_of(&told).expect("the path of the log").exists());
}

#[test]
fn it_stays_up_until_ctrl_c_and_leaves_nothing() {
    let (mut demo, mut lines) = demo_with_lines();
    let folder = lines.find_map(|line| folder_of(&line.unwrap())).unwrap();
    assert!(lines.any(|line| line.unwrap().starts_with("export KUBECONFIG=")));
    assert!(demo.try_wait().unwrap().is_none());

    signal("INT", &demo);

    assert!(demo.wait().unwrap().success());
    assert!(!folder.exists(), "the folder goes last, after every process");
}

#[test]
fn a_demo_that_is_killed_half_way_leaves_nothing() {
    let (mut demo, mut lines) = demo_with_lines();
    let folder = lines.find_map(|line| folder_of(&line.unwrap())).unwrap();

    signal("KILL", &demo);
    demo.wait().unwrap();

    let killed = Instant::now();
    while folder.exists() {
        assert!(killed.elapsed() < Duration::from_secs(20), "{} is still there", folder.display());
        thread::sleep(Duration::from_millis(20));
    }
}

fn demo(arguments: &[&str]) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"));
    demo.arg("demo").args(arguments);
    demo
}

fn demo_with_lines() -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut demo = demo(&[]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    (demo, lines)
}

/// The folder that everything writes to, from the line that tells where the log is.
fn folder_of(told: &str) -> Option<PathBuf> {
    let (_, path) = told.split_once("Its log: ")?;
    PathBuf::from(path.lines().next()?).parent().map(PathBuf::from)
}

/// To the whole group, as a terminal does.
fn signal(name: &str, demo: &Child) {
    let sent = Command::new("kill").args([&format!("-{name}"), "--", &format!("-{}", demo.id())]).status();
    assert!(sent.unwrap().success());
}
