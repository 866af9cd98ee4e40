//! The demo plays to its end, and leaves nothing behind.
#![cfg(test)]

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The line before the things to try.
const THINGS: &str = "Three things to try there:";

#[test]
fn the_story_has_an_accepted_and_a_reverted_change_and_fits_a_terminal() {
    let demo = demo(&["--once"]).output().unwrap();

    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    for part in [
        "$ kubectl arcadia\n",
        "s-2vcpu-4gb -> s-4vcpu-8gb",
        " Accepted (Standing)\n",
        r#"{"spec":{"desired":{"size_slug":"s-4vcpu-8gb"}}}"#,
        "InManifest",
        "plan: Safe",
        " Reverted (",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    assert_fits(told.lines());
    assert!(!folder_of(&told).expect("the path of the log").exists());
}

#[test]
fn each_part_of_the_story_waits_for_enter() {
    let mut demo = demo(&["--once", "--step"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut enter = demo.stdin.take();
    let (sender, lines) = mpsc::channel();
    let output = BufReader::new(demo.stdout.take().unwrap());
    thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let told_until_prompt = || lines.iter().take_while(|line| line != "Press Enter to continue.").collect::<Vec<_>>();

    assert!(told_until_prompt().concat().contains("Its log:"));
    assert!(lines.recv_timeout(Duration::from_secs(2)).is_err(), "the story continued without Enter");
    enter.as_mut().unwrap().write_all(b"\n").unwrap();
    assert!(told_until_prompt().concat().contains("kind: ProvisionedResource"));
    // Standard input is closed.
    drop(enter.take());
    assert!(lines.iter().collect::<String>().contains("Reverted"));
    assert!(demo.wait().unwrap().success());
}

#[test]
fn it_stays_up_until_ctrl_c_with_three_things_to_try_and_leaves_nothing() {
    let (mut demo, mut lines) = demo_with_lines();
    let folder = lines.find_map(|line| folder_of(&line.unwrap())).unwrap();
    let variables: Vec<_> = lines.by_ref().map(Result::unwrap).take_while(|line| line != THINGS).collect();
    for name in ["KUBECONFIG", "PATH", "SIMULATOR"] {
        assert!(variables.iter().any(|line| line.starts_with(&format!("export {name}="))), "{variables:?}");
    }
    assert!(demo.try_wait().unwrap().is_none());

    signal("INT", &demo);

    // The list is printed at once, before the signal is handled.
    let things: Vec<_> = lines.map(Result::unwrap).collect();
    assert_fits(variables.iter().filter(|line| !line.starts_with("export ")).chain(&things).map(String::as_str));
    for thing in
        ["1. ", "docs/tour.md", "2. ", "kubectl arcadia inbox -i", "3. ", "kubectl arcadia saga watch snapshot-demo"]
    {
        assert!(things.iter().any(|line| line.contains(thing)), "no `{thing}` in {things:?}");
    }
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
    demo.arg("demo").args(arguments).env("COLUMNS", "80");
    demo
}

fn demo_with_lines() -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut demo = demo(&[]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    (demo, lines)
}

/// Asserts that a standard terminal shows each line whole.
fn assert_fits<'l>(lines: impl Iterator<Item = &'l str>) {
    for line in lines {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
}

/// The folder of all files, from the line that shows the path of the log.
fn folder_of(told: &str) -> Option<PathBuf> {
    let path = told.lines().find(|line| line.ends_with("/arcadia-operator.log"))?;
    PathBuf::from(path).parent().map(PathBuf::from)
}

/// Sends a signal to the whole group, as a terminal does.
fn signal(name: &str, demo: &Child) {
    let sent = Command::new("kill").args([&format!("-{name}"), "--", &format!("-{}", demo.id())]).status();
    assert!(sent.unwrap().success());
}
