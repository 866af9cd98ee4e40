//! No server outlives the process that started a control plane, however that process ends.
#![cfg(test)]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use control_plane::{ControlPlane, Options, Process};

/// Selects how the child process of the test below ends once its control plane runs.
const ENDING: &str = "ARCADIA_TEST_ENDING";

#[test]
fn a_killed_process_leaves_nothing() {
    let (mut process, folder) = process_with_a_control_plane("hang");
    let running = processes_that_mention(&folder);
    assert!(running >= 6 || control_plane::given_cluster().is_some(), "three servers and their guards, not {running}");

    process.kill().unwrap();
    process.wait().unwrap();

    assert_gone(&folder);
}

#[test]
fn a_panic_leaves_nothing() {
    let (mut process, folder) = process_with_a_control_plane("panic");
    assert!(!process.wait().unwrap().success());
    assert_gone(&folder);
}

#[test]
fn an_abort_leaves_nothing() {
    let (mut process, folder) = process_with_a_control_plane("abort");
    assert!(!process.wait().unwrap().success());
    assert_gone(&folder);
}

#[test]
fn a_shared_control_plane_goes_with_the_test_binary() {
    let (mut process, folder) = process_with_a_control_plane("share");
    process.wait().unwrap();
    assert_gone(&folder);
}

#[tokio::test]
async fn dropping_waits_for_all_processes() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    let folder = control_plane.folder().to_owned();

    drop(control_plane);

    assert!(!folder.exists());
    assert_eq!(processes_that_mention(&folder), 0);
}

#[test]
fn a_guarded_process_can_be_terminated() {
    let folder = tempfile::tempdir().unwrap();
    let mut polite = Command::new("/bin/sh");
    polite.args(["-c", "trap 'echo $WORD; exit 7' TERM; echo ready; while :; do sleep 0.05; done"]).env("WORD", "bye");
    let mut process = Process::spawn(&polite, &folder.path().join("log")).unwrap();
    until(|| process.log_tail(1) == "ready");

    let status = process.terminate(Duration::from_secs(10)).unwrap();

    assert_eq!(status.code(), Some(7));
    assert_eq!(process.log_tail(1), "bye");
}

#[test]
fn a_missing_program_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::spawn(&Command::new("no-such-program"), &folder.path().join("log")).unwrap();

    until(|| process.ended().is_some());

    assert!(process.log_tail(5).contains("no-such-program"), "{}", process.log_tail(5));
}

#[tokio::test]
#[ignore = "run by the tests above, in a separate process"]
async fn process_under_test() {
    let Ok(ending) = env::var(ENDING) else { return };
    if ending == "share" {
        println!("\nfolder={}", ControlPlane::shared().await.unwrap().folder().display());
        return;
    }
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    println!("\nfolder={}", control_plane.folder().display());
    match ending.as_str() {
        "panic" => panic!("as asked"),
        "abort" => std::process::abort(),
        _ => loop {
            thread::park();
        },
    }
}

fn process_with_a_control_plane(ending: &str) -> (Child, PathBuf) {
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "process_under_test", "--ignored", "--nocapture"])
        .env(ENDING, ending)
        .env_remove(control_plane::SHARED)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let folder = lines.map_while(Result::ok).find_map(|line| Some(PathBuf::from(line.strip_prefix("folder=")?)));
    (process, folder.expect("a control plane that starts"))
}

fn assert_gone(folder: &Path) {
    until(|| !folder.exists() && processes_that_mention(folder) == 0);
}

fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not happen within 20 s");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Counts processes with the folder in their arguments: every server and every guard has it.
fn processes_that_mention(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    if !Path::new("/proc/self/cmdline").exists() {
        let listing = Command::new("ps").args(["-Ao", "args"]).output().unwrap().stdout;
        return String::from_utf8_lossy(&listing).lines().filter(|line| line.contains(folder)).count();
    }
    let command_line = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.ok()?.path().join("cmdline")).ok();
    let mentions = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(folder);
    fs::read_dir("/proc").unwrap().filter_map(command_line).filter(mentions).count()
}
