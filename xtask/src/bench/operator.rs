//! The operator as users run it: a separate process, measured from outside.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use arcadia_operator::kube_ext::leader::LOST_LEASE;
use control_plane::Process;
use tokio::time::sleep;

use super::{
    failure::{PATIENCE, failed, late},
    stage::Stage,
    usage::{self, Memory},
};
use crate::Error;

/// The counter of the reconciles of records.
pub(super) const RECONCILES: &str = "arcadia_reconciles_total";

/// A running operator.
pub(super) struct Operator {
    process: Process,
    metrics: String,
    http: reqwest::Client,
    /// The interval of sweeps.
    pub(super) interval: Duration,
    rests: bool,
}

/// The sweeps, from the operator's metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syncs {
    /// Their number.
    pub(super) count: f64,
    /// Their total time.
    pub(super) seconds: f64,
}

impl Operator {
    /// Starts it on the namespace of the records.
    pub(super) fn start(program: &Path, stage: &Stage, interval: Duration) -> Result<Self, Error> {
        Self::start_with(program, stage, interval, &[])
    }

    /// Starts it with further flags.
    pub(super) fn start_with(program: &Path, stage: &Stage, interval: Duration, flags: &[&str]) -> Result<Self, Error> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let address = free_address().map_err(Error::system("find a free port"))?;
        let mut operator = Command::new(program);
        operator
            .args(["run", "--sync-schedule", &format!("{}s", interval.as_secs())])
            .args(["--namespace", stage.records.name(), "--metrics-address", &address])
            .args(["--requests-per-minute", "1000000", "--requests-per-hour", "10000000"])
            .args(flags)
            // The namespace of its lease.
            .env("POD_NAMESPACE", stage.records.name())
            .env("KUBECONFIG", stage.control_plane.kubeconfig())
            .env("DIGITALOCEAN_API_URL", stage.simulator.url())
            .env("DIGITALOCEAN_TOKEN", "bench");
        let http = reqwest::Client::builder().no_proxy().build().map_err(failed("make an HTTP client"))?;
        let log = format!("arcadia-operator-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let process = stage.control_plane.spawn(&operator, &log)?;
        Ok(Self { process, metrics: format!("http://{address}"), http, interval, rests: stage.effort.rests })
    }

    /// Stops it as Kubernetes would, so that it releases its lease and the next one does not wait.
    pub(super) fn stop(mut self) {
        self.process.terminate(Duration::from_secs(30));
    }

    /// Ends it as the loss of its node would.
    pub(super) fn kill(mut self) {
        self.process.kill();
    }

    /// Returns true if it ended because it lost its lease: the API server was away for longer than it may renew it.
    /// Kubernetes would start it again.
    pub(super) fn has_lost_lease(&mut self) -> bool {
        self.process.ended().is_some_and(|status| status.code() == Some(i32::from(LOST_LEASE)))
    }

    /// Fails if it has ended.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.process.ended() {
            Some(status) => {
                eprintln!("The end of the operator's log:\n{}", self.process.log_tail(20));
                Err(Error::Failed { command: "arcadia-operator run".to_owned(), status })
            }
            None => Ok(()),
        }
    }

    /// Returns the outcome of a wait, or the end of the operator as its reason.
    pub(super) fn blamed<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if outcome.is_err() {
            self.check()?;
        }
        outcome
    }

    /// Waits until it is ready.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        self.says("ready", |checks| checks.contains("readyz check passed")).await
    }

    /// Waits until it knows all stored objects. It may still wait for its first sweep.
    pub(super) async fn known(&mut self) -> Result<(), Error> {
        let is_known = |checks: &str| ["[+]records ok", "[+]sagas ok"].iter().all(|check| checks.contains(check));
        self.says("with all objects known", is_known).await
    }

    async fn says(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            self.check()?;
            if self.get("/readyz?verbose").await.is_ok_and(|checks| is_so(&checks)) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(late(format!("see the operator {what}"), PATIENCE));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn get(&self, path: &str) -> Result<String, Error> {
        let answer = self.http.get(format!("{}{path}", self.metrics)).send().await;
        let text = answer.map_err(failed("read the operator's metrics"))?.text().await;
        text.map_err(failed("read the operator's metrics"))
    }

    /// The sum of the values of a metric, of all series that have this text in their labels.
    pub(super) async fn metric(&self, name: &str, labels: &str) -> Result<f64, Error> {
        let text = self.get("/metrics").await?;
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            (rest.starts_with('{') || rest.starts_with(' ')) && rest.contains(labels)
        });
        let values: Vec<f64> = series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        if values.is_empty() {
            Err(failed("read the operator's metrics")(format!("no {name}")))
        } else {
            Ok(values.iter().sum())
        }
    }

    /// Its open file descriptors and its threads.
    pub(super) fn handles(&self) -> Result<(f64, f64), Error> {
        let count = |what| usage::entries(self.process.id(), what);
        Ok((count("fd")?, count("task")?))
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64, Error> {
        usage::cpu_seconds(self.process.id())
    }

    /// Waits until it has nothing to do, and returns the CPU seconds that it has used.
    pub(super) async fn cpu_seconds_at_rest(&self) -> Result<f64, Error> {
        if self.rests {
            return usage::cpu_seconds_at_rest(self.process.id(), PATIENCE).await;
        }
        let began = Instant::now();
        let mut rests = 0;
        while rests < 4 {
            rests = if self.is_busy().await? { 0 } else { rests + 1 };
            if began.elapsed() > PATIENCE {
                return Err(late("see the operator at rest", PATIENCE));
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.cpu_seconds()
    }

    /// Waits until it has nothing to do, and returns what all sweeps so far have cost. No sweep is in progress: its
    /// calls would count, but not its end.
    pub(super) async fn swept(&self, stage: &Stage) -> Result<Swept, Error> {
        let began = Instant::now();
        loop {
            // In this order: reading the metrics costs CPU too.
            let cpu_seconds = self.cpu_seconds_at_rest().await?;
            let syncs = self.syncs().await?;
            let calls = stage.calls().await?;
            if !self.is_busy().await? && self.syncs().await?.count <= syncs.count {
                return Ok(Swept { syncs, calls, cpu_seconds });
            }
            if began.elapsed() > PATIENCE {
                return Err(late("see the operator between two sweeps", PATIENCE));
            }
        }
    }

    /// Whether a sweep is in progress or an object is queued, by its own metrics.
    async fn is_busy(&self) -> Result<bool, Error> {
        let text = self.get("/metrics").await?;
        let is_zero = |line: &str| line.ends_with(" 0") || line.ends_with(" 0.0");
        let of = |name: &'static str| text.lines().filter(move |line| line.starts_with(name));
        Ok(of("arcadia_sync_due_seconds{").any(is_zero) || !of("arcadia_queued_").all(is_zero))
    }

    pub(super) fn memory(&self) -> Result<Memory, Error> {
        usage::memory(self.process.id())
    }

    /// From its own metrics: only the operator knows when it has processed the last page.
    pub(super) async fn syncs(&self) -> Result<Syncs, Error> {
        const DROPLETS: &str = "kind=\"Droplet\"";
        Ok(Syncs {
            count: self.metric("arcadia_sync_duration_seconds_count", DROPLETS).await?,
            seconds: self.metric("arcadia_sync_duration_seconds_sum", DROPLETS).await?,
        })
    }

    /// Waits for the operator's next sweep to begin.
    pub(super) async fn next_sweep(&mut self, stage: &Stage) -> Result<Sweep, Error> {
        const LOOK: Duration = Duration::from_millis(10);
        let calls = stage.calls().await?;
        let patience = self.interval + PATIENCE;
        let began = Instant::now();
        let mut cpu_seconds = self.cpu_seconds()?;
        loop {
            // In this order: a measurement before the first call contains no part of the sweep.
            let now = self.cpu_seconds()?;
            if stage.calls().await? > calls {
                return Ok(Sweep { began: Instant::now(), cpu_seconds });
            }
            if began.elapsed() > patience {
                return Err(late("see the next sweep", patience));
            }
            self.check()?;
            cpu_seconds = now;
            sleep(LOOK).await;
        }
    }
}

/// All sweeps so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swept {
    /// Their number and their time.
    pub(super) syncs: Syncs,
    /// The calls to the cloud.
    pub(super) calls: u64,
    /// The CPU time of the operator.
    pub(super) cpu_seconds: f64,
}

/// A sweep that has just started.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The time of its first call.
    pub(super) began: Instant,
    /// The CPU time of the operator before it.
    pub(super) cpu_seconds: f64,
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string())
}
