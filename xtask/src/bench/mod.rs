//! `cargo bench-system`: what the operator costs, beside a raw floor that is measured in the same run.

mod accepted;
mod arrivals;
mod build;
mod cli;
mod drifted;
mod first;
mod floor;
mod floor_process;
mod floor_reverts;
mod floor_sagas;
mod objects;
mod operator;
mod orders;
mod parallel;
mod quiet;
mod report;
mod reverts;
mod rush;
mod sagas;
mod stage;
mod steady;
mod stored;
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
    /// A first sweep, sweeps without a change, sweeps that find one resource in a hundred drifted, and their acceptance
    Sweep(Sweep),
    /// Sagas of five instantaneous steps: many at once, and new ones at a steady rate
    Sagas(Sagas),
    /// Reverts of a tag, all at once, beside the same calls and writes
    Reverts(Reverts),
    /// The command line of users: an import, and the inbox beside the API server's answer
    Cli(Cli),
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
    #[command(flatten)]
    how: How,
}

/// How to measure sagas.
#[derive(Args)]
pub(crate) struct Sagas {
    /// How many there are in each phase
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..))]
    sagas: u32,
    #[command(flatten)]
    how: How,
}

/// How to measure reverts.
#[derive(Args)]
pub(crate) struct Reverts {
    /// How many drifts are reverted
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    reverts: u32,
    #[command(flatten)]
    how: How,
}

/// How to measure the command line.
#[derive(Args)]
pub(crate) struct Cli {
    /// How many droplets are imported
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    resources: u32,
    /// How many open drifts the inbox shows
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    drifts: u32,
    #[command(flatten)]
    how: How,
}

/// What all benchmarks are told.
#[derive(Args)]
struct How {
    /// Write the numbers to this file as JSON, rather than after the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program of a release build; given by the command to its own release build
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
        Benchmark::Sweep(Sweep { resources, how: How { operator: Some(operator), json } }) => {
            runtime()?.block_on(sweep::measure(&operator, resources))?.publish(json.as_deref())
        }
        Benchmark::Sagas(Sagas { sagas, how: How { operator: Some(operator), json } }) => {
            runtime()?.block_on(sagas::measure(&operator, sagas))?.publish(json.as_deref())
        }
        Benchmark::Reverts(Reverts { reverts, how: How { operator: Some(operator), json } }) => {
            runtime()?.block_on(reverts::measure(&operator, reverts))?.publish(json.as_deref())
        }
        Benchmark::Cli(Cli { resources, drifts, how: How { operator: Some(program), json } }) => {
            runtime()?.block_on(cli::measure(&program, resources, drifts))?.publish(json.as_deref())
        }
        Benchmark::Sweep(Sweep { resources, how }) => {
            run_in_release("arcadia-operator", &["sweep", "--resources", &resources.to_string()], &how)
        }
        Benchmark::Sagas(Sagas { sagas, how }) => {
            run_in_release("arcadia-operator", &["sagas", "--sagas", &sagas.to_string()], &how)
        }
        Benchmark::Reverts(Reverts { reverts, how }) => {
            run_in_release("arcadia-operator", &["reverts", "--reverts", &reverts.to_string()], &how)
        }
        Benchmark::Cli(Cli { resources, drifts, how }) => {
            let (resources, drifts) = (resources.to_string(), drifts.to_string());
            run_in_release("kubectl-arcadia", &["cli", "--resources", &resources, "--drifts", &drifts], &how)
        }
        Benchmark::Floor(floor) => runtime()?.block_on(floor_process::run(&floor)),
    }
}

/// Becomes the release build of this program, so that nothing that is measured is a debug build.
fn run_in_release(program: &str, benchmark: &[&str], how: &How) -> Result<(), Error> {
    prepare::run(control_plane::Wanted::All)?;
    let program = build::release("arcadia-operator", program)?;
    let mut this = Command::new(build::release("xtask", "xtask")?);
    this.arg("bench-system").args(benchmark).arg("--operator").arg(program);
    if let Some(json) = &how.json {
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

/// The smallest number that so many in a hundred are not above.
fn percentile(percent: usize, mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let rank = (numbers.len() * percent).div_ceil(100).saturating_sub(1);
    numbers.get(rank).copied().unwrap_or(f64::NAN)
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

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let numbers: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (percent, wanted) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert!((super::percentile(percent, numbers.clone()) - wanted).abs() < f64::EPSILON);
        }
        assert!((super::percentile(99, vec![7.0]) - 7.0).abs() < f64::EPSILON);
    }
}
