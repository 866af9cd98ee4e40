//! `cargo bench-system`: what the operator costs, beside a raw floor that is measured in the same run.

mod arrivals;
mod build;
mod drifted;
mod first;
mod floor;
mod floor_process;
mod objects;
mod operator;
mod parallel;
mod quiet;
mod report;
mod stage;
mod sweep;
mod usage;

use std::fmt::Display;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

use crate::{Error, prepare};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Benchmark {
    /// A first sweep, sweeps without a change, and sweeps that find one resource in a hundred drifted
    Sweep(Sweep),
    /// The process that does the raw floor's work
    #[command(hide = true)]
    Floor(Floor),
}

/// How to measure sweeps.
#[derive(Args)]
pub(crate) struct Sweep {
    /// How many droplets there are, each of them recorded
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    resources: u32,
    /// Write the numbers to this file as JSON, rather than after the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The operator of a release build; given by the command to its own release build
    #[arg(long, hide = true)]
    operator: Option<PathBuf>,
}

/// What the floor works on.
#[derive(Args)]
pub(crate) struct Floor {
    /// The cloud
    #[arg(long)]
    url: String,
    /// The cluster
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where it writes
    #[arg(long)]
    namespace: String,
}

/// Runs a benchmark.
pub(crate) fn run(benchmark: Benchmark) -> Result<(), Error> {
    let runtime = || Runtime::new().map_err(Error::system("start the benchmark"));
    match benchmark {
        Benchmark::Sweep(Sweep { resources, json, operator: Some(operator) }) => {
            runtime()?.block_on(sweep::measure(&operator, resources))?.publish(json.as_deref())
        }
        Benchmark::Sweep(sweep) => run_in_release(&sweep),
        Benchmark::Floor(floor) => runtime()?.block_on(floor_process::run(&floor)),
    }
}

/// Becomes the release build of this program, so that nothing that is measured is a debug build.
fn run_in_release(sweep: &Sweep) -> Result<(), Error> {
    prepare::run()?;
    let operator = build::release("arcadia-operator")?;
    let mut this = Command::new(build::release("xtask")?);
    this.args(["bench-system", "sweep", "--resources", &sweep.resources.to_string(), "--operator"]).arg(operator);
    if let Some(json) = &sweep.json {
        this.arg("--json").arg(json);
    }
    Err(Error::system("run the release build of xtask")(this.exec()))
}

/// Tells how far the benchmark is, apart from its result.
fn say(text: impl Display) {
    eprintln!("  {text}");
}

/// A failure of anything but the system itself.
fn failed<E>(doing: impl Into<String>) -> impl FnOnce(E) -> Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let failed = Error::system(doing);
    move |error| failed(io::Error::other(error))
}

/// Something did not happen in time.
fn late(doing: impl Into<String>, patience: Duration) -> Error {
    let text = format!("it did not happen within {} s", patience.as_secs());
    Error::system(doing)(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// Counts are far below what a float cannot hold.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let upper = numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN);
    let lower = numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_median_is_in_the_middle() {
        assert!((super::median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((super::median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
