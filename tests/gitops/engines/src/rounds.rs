//! An engine's rounds: one, or a loop that ends with its owner. The engine reports each as a line of JSON.

use std::{
    fs,
    marker::PhantomData,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use control_plane::Process;
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

use crate::Error;

/// The longest wait for the report of a round.
const PATIENCE: Duration = Duration::from_mins(1);
/// The time a loop has to end its round.
const GRACE: Duration = Duration::from_secs(10);

/// One round of an engine; `O` is an object as the engine reports it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Round<O> {
    /// Counts from 1.
    pub round: usize,
    /// The objects of the manifests. Empty if the round failed early.
    pub objects: Vec<O>,
    /// The reason why the round failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// An engine with its program and arguments, ready to run.
pub(crate) struct Engine {
    name: &'static str,
    command: Command,
}

impl Engine {
    pub(crate) fn new(name: &'static str, program: &Path, folder: &Path, kubeconfig: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("--folder").arg(folder).arg("--kubeconfig").arg(kubeconfig);
        // Two control planes may get the same port, one after the other, so a cache of the first is wrong for the
        // second.
        command.env("KUBECACHEDIR", "/dev/null");
        Self { name, command }
    }

    /// Adds an argument.
    pub(crate) fn arg(&mut self, argument: &str) {
        self.command.arg(argument);
    }

    /// Plays one round.
    pub(crate) async fn once<O: DeserializeOwned>(self) -> Result<Round<O>, Error> {
        let mut command = tokio::process::Command::from(self.command);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(Error::system("run a GitOps engine"))?;
        // A round that failed is reported too.
        read(self.name, &output.stdout)?.pop().ok_or_else(|| {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Error::NoReport { engine: self.name, stderr }
        })
    }

    /// Plays rounds until the loop is dropped.
    pub(crate) fn repeat<O: DeserializeOwned>(mut self, interval: Duration) -> Result<Loop<O>, Error> {
        let folder = tempfile::tempdir().map_err(Error::system("create a folder for the report of a GitOps engine"))?;
        self.command.arg("--interval").arg(format!("{}ms", interval.as_millis()));
        self.command.arg("--report").arg(folder.path().join(REPORT));
        let process = Process::spawn(&self.command, &folder.path().join("log"))?;
        Ok(Loop { engine: self.name, process, folder, objects: PhantomData })
    }
}

const REPORT: &str = "report";

/// An engine that plays one round after another. Dropping it kills the engine.
#[derive(Debug)]
pub struct Loop<O> {
    engine: &'static str,
    process: Process,
    /// The report and the log.
    folder: TempDir,
    objects: PhantomData<O>,
}

impl<O: DeserializeOwned> Loop<O> {
    /// All rounds so far.
    ///
    /// # Errors
    /// [`Error::Report`].
    pub fn rounds(&self) -> Result<Vec<Round<O>>, Error> {
        // The engine creates the report at its start.
        read(self.engine, &fs::read(self.folder.path().join(REPORT)).unwrap_or_default())
    }

    /// Waits for this many rounds that start after the call, and returns them.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::Stalled`] and [`Error::Report`].
    pub async fn next_rounds(&mut self, count: usize) -> Result<Vec<Round<O>>, Error> {
        // The first round that is reported after this may have started earlier.
        let skipped = self.rounds()?.len() + 1;
        let mut known = 0;
        let mut progress = Instant::now();
        loop {
            let mut rounds = self.rounds()?;
            if rounds.len() >= skipped + count {
                rounds.truncate(skipped + count);
                return Ok(rounds.split_off(skipped));
            }
            if rounds.len() > known {
                known = rounds.len();
                progress = Instant::now();
            }
            if self.process.ended().is_some() {
                return Err(Error::Ended { engine: self.engine, log: self.process.log_tail(20) });
            }
            if progress.elapsed() > PATIENCE {
                return Err(Error::Stalled { engine: self.engine, log: self.process.log_tail(20) });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the engine after the current round, and returns all rounds.
    ///
    /// # Errors
    /// [`Error::Report`].
    pub fn stop(mut self) -> Result<Vec<Round<O>>, Error> {
        self.process.terminate(GRACE);
        self.rounds()
    }
}

/// Parses the complete lines of a report.
fn read<O: DeserializeOwned>(engine: &'static str, report: &[u8]) -> Result<Vec<Round<O>>, Error> {
    let report = String::from_utf8_lossy(report);
    let complete = report.rfind('\n').map_or("", |end| report.split_at(end).0);
    let parse = |line: &str| {
        serde_json::from_str(line).map_err(|source| Error::Report { engine, line: line.to_owned(), source })
    };
    complete.lines().map(parse).collect()
}
