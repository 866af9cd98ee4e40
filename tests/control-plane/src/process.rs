//! Child processes that never outlive this one.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, folder::Folder};

/// Runs a program until the pipe on standard input closes, and then kills it.
///
/// Only the parent holds the other end of that pipe, so the program ends when the parent ends for any reason. (The
/// kernel's parent death signal fires when the *thread* that forked ends, which a test's thread does.) Only this shell
/// inherits standard output: it closes when the program has ended and is reaped.
const GUARD: &str = r#"
exec 3<&0 </dev/null
trap '' HUP INT TERM
log=$1; shift
(trap - HUP INT TERM; exec "$@") 3<&- >>"$log" 2>&1 &
program=$!
echo "$program" >&2
exec 2>/dev/null
(read -r _ <&3; kill -KILL "$program") >/dev/null &
watch=$!
wait "$program"; status=$?
kill -KILL "$watch"; wait
exit "$status"
"#;

/// A running program that is killed when this value is dropped, and also when this process panics, aborts or is killed.
/// It has its own process group, so Ctrl-C on a terminal does not reach it.
#[derive(Debug)]
pub struct Process {
    guard: Child,
    /// Never written to: closing it ends the program.
    lifeline: Option<ChildStdin>,
    id: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `command` (its program, arguments, environment and folder) with both outputs appended to `log`.
    ///
    /// # Errors
    /// If the shell that guards it cannot be started. [`Self::ended`] reports a program that does not exist, and the
    /// log contains the reason.
    pub fn spawn(command: &Command, log: &Path) -> Result<Self, Error> {
        Self::spawn_with(command, log, Stdio::null())
    }

    /// Starts a program that writes its log to `folder`, which is removed only after the program has ended.
    pub(crate) fn spawn_in(folder: &Folder, command: &Command, name: &str) -> Result<Self, Error> {
        Self::spawn_with(command, &folder.path().join(format!("{name}.log")), folder.hold()?)
    }

    /// `until_reaped` stays open until the program has ended.
    fn spawn_with(command: &Command, log: &Path, until_reaped: Stdio) -> Result<Self, Error> {
        let program = Path::new(command.get_program()).display().to_string();
        let mut guard = Command::new("/bin/sh");
        guard.args([OsStr::new("-c"), OsStr::new(GUARD), OsStr::new("guard"), log.as_os_str(), command.get_program()]);
        guard.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guard.current_dir(folder);
        }
        guard.process_group(0).stdin(Stdio::piped()).stdout(until_reaped).stderr(Stdio::piped());
        let mut guard = guard.spawn().map_err(Error::system(format!("start a shell to guard {program}")))?;
        let lifeline = guard.stdin.take();
        let id = read_id(&mut guard).map_err(Error::system(format!("start {program}")))?;
        Ok(Self { guard, lifeline, id, log: log.to_owned() })
    }

    /// The program's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The file of both of its outputs.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().rev().take(lines).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The exit status of the program, if it has ended: a signal counts as the exit code 128 + its number.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.guard.try_wait().ok().flatten()
    }

    /// Sends SIGTERM to the program, and kills it after `patience`.
    pub fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        let asked = Instant::now();
        if self.ended().is_none() {
            let _ = Command::new("kill").arg("-TERM").arg(self.id.to_string()).stderr(Stdio::null()).status();
        }
        while self.ended().is_none() && asked.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
        }
        self.kill()
    }

    /// Kills the program (SIGKILL) and waits for its end.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        drop(self.lifeline.take());
        self.guard.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The guard first prints the program's process id.
fn read_id(guard: &mut Child) -> std::io::Result<u32> {
    let mut line = String::new();
    if let Some(stderr) = guard.stderr.take() {
        BufReader::new(stderr).read_line(&mut line)?;
    }
    line.trim().parse().map_err(std::io::Error::other)
}
