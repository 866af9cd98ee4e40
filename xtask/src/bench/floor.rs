//! The raw floor: a separate process that does the minimal work for the same result, on request.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    failure::{PATIENCE, failed},
    jobs::{Cost, Done, Job},
    usage,
};
use crate::Error;

/// The floor's process. It ends when this value is dropped, and when this process ends, since it reads from its pipe.
#[derive(Debug)]
pub(super) struct Floor {
    process: Child,
    jobs: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    rests: bool,
}

impl Floor {
    /// Starts this program again as the floor. It `rests` before and after each job, or its CPU is not exact.
    pub(super) fn start(url: &str, kubeconfig: &std::path::Path, namespace: &str, rests: bool) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::system("find this program"))?;
        let mut command = Command::new(program);
        command.args(["bench-system", "floor", "--url", url, "--namespace", namespace, "--kubeconfig"]);
        command.arg(kubeconfig).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().map_err(Error::system("start the floor"))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (jobs, answers) = pipes.ok_or_else(|| failed("start the floor")("it has no pipes"))?;
        Ok(Self { process, jobs, answers: BufReader::new(answers).lines(), rests })
    }

    /// Runs a job and returns its cost.
    pub(super) async fn ask(&mut self, job: &Job) -> Result<Cost, Error> {
        let before = self.cpu_seconds().await?;
        let mut line = serde_json::to_string(job).map_err(failed("ask the floor"))?;
        line.push('\n');
        self.jobs.write_all(line.as_bytes()).await.map_err(Error::system("ask the floor"))?;
        let answer = self.answers.next_line().await.map_err(Error::system("hear the floor"))?;
        let answer = answer.ok_or_else(|| failed("hear the floor")("it has ended"))?;
        let done: Done = serde_json::from_str(&answer).map_err(failed("read the floor's answer"))?;
        let after = self.cpu_seconds().await?;
        Ok(Cost { seconds: done.seconds, cpu_seconds: after - before, calls: done.calls, bytes: done.bytes })
    }

    async fn cpu_seconds(&self) -> Result<f64, Error> {
        let process = self.process.id().ok_or_else(|| failed("ask the floor")("it has ended"))?;
        if self.rests { usage::cpu_seconds_at_rest(process, PATIENCE).await } else { usage::cpu_seconds(process) }
    }
}
