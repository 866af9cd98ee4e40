//! A temporary folder that never outlives this process and the servers that write to it.

use std::{
    io::{BufRead as _, BufReader},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// Creates a folder, prints its path, and removes it when the pipe on standard input closes.
///
/// The guard of every server that writes to the folder holds that pipe too. So the removal starts after the last of
/// them is reaped, and does not race with their writes.
const GUARD: &str = r#"
trap '' HUP INT TERM
folder=$(mktemp -d "${TMPDIR:-/tmp}/arcadia-control-plane.XXXXXX") || exit
echo "$folder"
exec >/dev/null
read -r _
rm -rf -- "$folder"
"#;

/// A folder that is removed when this value is dropped, and also when this process panics, aborts or is killed.
#[derive(Debug)]
pub(crate) struct Folder {
    guard: Child,
    lifeline: Option<OwnedFd>,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn create() -> Result<Self, Error> {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::system("start a shell to guard a temporary folder"))?;
        let lifeline = guard.stdin.take().map(OwnedFd::from);
        let path = read_path(&mut guard).map_err(Error::system("create a temporary folder"))?;
        Ok(Self { guard, lifeline, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that a server's guard holds, so that the folder outlives it.
    pub(crate) fn hold(&self) -> Result<Stdio, Error> {
        let Some(lifeline) = &self.lifeline else { return Ok(Stdio::null()) };
        let held = lifeline.as_fd().try_clone_to_owned();
        held.map(Stdio::from).map_err(Error::system("share a pipe with a server"))
    }
}

impl Drop for Folder {
    /// Waits until the folder is removed, up to this time if a program still holds it.
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let begun = Instant::now();
        while matches!(self.guard.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read_path(guard: &mut Child) -> std::io::Result<PathBuf> {
    let mut line = String::new();
    if let Some(stdout) = guard.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let path = PathBuf::from(line.trim_end_matches('\n'));
    if path.is_dir() { Ok(path) } else { Err(std::io::Error::other("mktemp failed")) }
}
