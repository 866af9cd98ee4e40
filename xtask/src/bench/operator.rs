//! The operator, as users run it: a process of its own, measured from outside.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use control_plane::Process;
use tokio::time::sleep;

use super::stage::{PATIENCE, Stage};
use super::usage::{self, Memory};
use super::{failed, late};
use crate::Error;

/// A running operator.
pub(super) struct Operator {
    process: Process,
    metrics: String,
    http: reqwest::Client,
    /// How often it sweeps.
    pub(super) interval: Duration,
}

/// The sweeps that it says it has made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syncs {
    /// How many.
    pub(super) count: f64,
    /// How long they took together.
    pub(super) seconds: f64,
}

impl Operator {
    /// Starts it on the namespace of the records.
    pub(super) fn start(program: &Path, stage: &Stage, interval: Duration) -> Result<Self, Error> {
        let address = free_address().map_err(Error::system("find a free port"))?;
        let mut operator = Command::new(program);
        operator
            .args(["run", "--sync-schedule", &format!("{}s", interval.as_secs())])
            .args(["--namespace", stage.records.name(), "--metrics-address", &address])
            .args(["--requests-per-minute", "1000000", "--requests-per-hour", "10000000"])
            // Where its lease is.
            .env("POD_NAMESPACE", stage.records.name())
            .env("KUBECONFIG", stage.control_plane.kubeconfig())
            .env("DIGITALOCEAN_API_URL", stage.simulator.url())
            .env("DIGITALOCEAN_TOKEN", "bench");
        let http = reqwest::Client::builder().no_proxy().build().map_err(failed("make an HTTP client"))?;
        let process = stage.control_plane.spawn(&operator, "arcadia-operator")?;
        Ok(Self { process, metrics: format!("http://{address}"), http, interval })
    }

    /// Stops it as Kubernetes would, so that the next one does not wait for its lease to run out.
    pub(super) fn stop(mut self) {
        self.process.terminate(Duration::from_secs(30));
    }

    /// Fails once it has ended.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.process.ended() {
            Some(status) => {
                eprintln!("The end of the operator's log:\n{}", self.process.log_tail(20));
                Err(Error::Failed { command: "arcadia-operator run".to_owned(), status })
            }
            None => Ok(()),
        }
    }

    /// What was waited for, or that it never comes because the operator has ended.
    pub(super) fn blamed<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if outcome.is_err() {
            self.check()?;
        }
        outcome
    }

    /// Waits until it says that it is ready.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            self.check()?;
            let answer = self.http.get(format!("{}/readyz", self.metrics)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(late("see the operator ready", PATIENCE));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64, Error> {
        usage::cpu_seconds(self.process.id())
    }

    pub(super) async fn cpu_seconds_at_rest(&self) -> Result<f64, Error> {
        usage::cpu_seconds_at_rest(self.process.id(), PATIENCE).await
    }

    pub(super) fn memory(&self) -> Result<Memory, Error> {
        usage::memory(self.process.id())
    }

    /// By its own metrics: only it knows when it has taken in the last page.
    pub(super) async fn syncs(&self) -> Result<Syncs, Error> {
        let answer = self.http.get(format!("{}/metrics", self.metrics)).send().await;
        let text = answer.map_err(failed("read the operator's metrics"))?.text().await;
        let text = text.map_err(failed("read the operator's metrics"))?;
        let number = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name) && line.contains("kind=\"Droplet\""));
            let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            number.ok_or_else(|| failed("read the operator's metrics")(format!("no {name}")))
        };
        Ok(Syncs {
            count: number("arcadia_sync_duration_seconds_count")?,
            seconds: number("arcadia_sync_duration_seconds_sum")?,
        })
    }
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string())
}
