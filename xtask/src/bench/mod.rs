//! `cargo bench-system`: the cost of the operator, compared with a raw floor that is measured in the same run.

mod accepted;
mod arrivals;
mod build;
mod cli;
mod drifted;
mod effort;
mod failure;
mod first;
mod floor;
mod floor_environment;
mod floor_process;
mod floor_reverts;
mod floor_sagas;
mod jobs;
mod objects;
mod operator;
mod orders;
mod parallel;
pub(crate) mod quiet;
pub(crate) mod report;
mod resting;
mod reverts;
mod rush;
mod sagas;
mod soak;
mod stage;
pub(crate) mod start;
mod statistics;
mod steady;
mod stored;
mod sweep;
mod usage;

use std::{os::unix::process::CommandExt as _, path::PathBuf, process::Command, time::Duration};

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

use self::effort::Effort;
use crate::{
    Error,
    operator::{self as operator_program, Programs},
    prepare,
};
use failure::failed;
use floor_environment::Floor;

/// The benchmark to run.
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
    /// Starts beside stored objects, and a takeover by a standby, beside a bare list of the same objects
    Start(Start),
    /// Everything at once, with restarts and outages; fails if anything grows
    Soak(Soak),
    /// Each benchmark with small sizes, on one control plane: whether they work, not what they measure
    #[command(hide = true)]
    Short(Short),
    /// The process that does the work of the raw floor
    #[command(hide = true)]
    Floor(Floor),
}

/// The options of the benchmark of sweeps.
#[derive(Args)]
pub(crate) struct Sweep {
    /// The number of droplets, all recorded
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    resources: u32,
    #[command(flatten)]
    how: How,
}

/// The options of the benchmark of sagas.
#[derive(Args)]
pub(crate) struct Sagas {
    /// The number of sagas in each phase
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..))]
    sagas: u32,
    #[command(flatten)]
    how: How,
}

/// How to measure reverts.
#[derive(Args)]
pub(crate) struct Reverts {
    /// The number of drifts that are reverted
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    reverts: u32,
    #[command(flatten)]
    how: How,
}

/// The options of the benchmark of the command line.
#[derive(Args)]
pub(crate) struct Cli {
    /// The number of imported droplets
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    resources: u32,
    /// The number of open drifts in the inbox
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    drifts: u32,
    #[command(flatten)]
    how: How,
}

/// How to measure starts.
#[derive(Args)]
pub(crate) struct Start {
    /// The number of droplets, all recorded
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    resources: u32,
    /// Use an API server that does not stream lists, as before Kubernetes 1.34
    #[arg(long)]
    in_pages: bool,
    #[command(flatten)]
    how: How,
}

/// How to soak.
#[derive(Args)]
pub(crate) struct Soak {
    /// The length of the soak, in minutes
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    #[command(flatten)]
    how: How,
}

/// How to run all of them for a moment.
#[derive(Args)]
pub(crate) struct Short {
    /// The operator, of any build; `kubectl-arcadia` is beside it [default: built now]
    #[arg(long, value_name = "FILE", env = operator_program::PROGRAM, value_parser = operator_program::program)]
    operator: Option<PathBuf>,
}

/// The options of all benchmarks.
#[derive(Args)]
struct How {
    /// Write the numbers to this file as JSON, rather than after the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program of a release build; the command sets it for its own release build
    #[arg(long, hide = true, value_parser = operator_program::program)]
    operator: Option<PathBuf>,
}

pub(crate) fn run(benchmark: Benchmark) -> Result<(), Error> {
    let (program, arguments) = benchmark.of_release();
    let runtime = || Runtime::new().map_err(Error::system("start the benchmark"));
    match benchmark {
        Benchmark::Floor(floor) => runtime()?.block_on(floor_process::run(&floor)),
        Benchmark::Short(Short { operator }) => {
            let programs = operator.map_or_else(operator_program::build, |built| Ok(Programs::beside(built)))?;
            runtime()?.block_on(all_for_a_moment(&programs))
        }
        Benchmark::Sweep(Sweep { how, .. })
        | Benchmark::Sagas(Sagas { how, .. })
        | Benchmark::Reverts(Reverts { how, .. })
        | Benchmark::Cli(Cli { how, .. })
        | Benchmark::Start(Start { how, .. })
        | Benchmark::Soak(Soak { how, .. })
            if how.operator.is_none() =>
        {
            run_in_release(program, &arguments, &how)
        }
        measured => runtime()?.block_on(measure(measured)),
    }
}

/// Measures with the program that it is given.
async fn measure(benchmark: Benchmark) -> Result<(), Error> {
    let streams_lists = !matches!(&benchmark, Benchmark::Start(Start { in_pages: true, .. }));
    let cluster = stage::cluster(streams_lists).await?;
    let effort = Effort::FULL;
    let given = |how: &How| how.operator.clone().unwrap_or_default();
    let (report, how) = match benchmark {
        Benchmark::Sweep(Sweep { resources, how }) => {
            (sweep::measure(&cluster, &given(&how), resources, effort).await?, how)
        }
        Benchmark::Sagas(Sagas { sagas, how }) => (sagas::measure(&cluster, &given(&how), sagas, effort).await?, how),
        Benchmark::Reverts(Reverts { reverts, how }) => {
            (reverts::measure(&cluster, &given(&how), reverts, effort).await?, how)
        }
        Benchmark::Cli(Cli { resources, drifts, how }) => {
            (cli::measure(&cluster, &given(&how), resources, drifts, effort).await?, how)
        }
        Benchmark::Start(Start { resources, in_pages, how }) => {
            (start::measure(&cluster, &given(&how), resources, effort, !in_pages).await?, how)
        }
        Benchmark::Soak(Soak { minutes, how }) => {
            let report = soak::measure(&cluster, &given(&how), Duration::from_mins(minutes), effort).await?;
            report.publish(how.json.as_deref())?;
            return nothing_unmet(&report.unmet(false));
        }
        Benchmark::Short(_) | Benchmark::Floor(_) => return Ok(()),
    };
    report.publish(how.json.as_deref())
}

/// Runs each benchmark with small sizes. Counts must be as wanted; times mean nothing.
async fn all_for_a_moment(Programs { operator, plugin }: &Programs) -> Result<(), Error> {
    let cluster = stage::cluster(true).await?;
    let effort = Effort::SHORT;
    let reports = [
        sweep::measure(&cluster, operator, 100, effort).await?,
        cli::measure(&cluster, plugin, 100, 20, effort).await?,
        start::measure(&cluster, operator, 100, effort, true).await?,
        sagas::measure(&cluster, operator, 20, effort).await?,
        reverts::measure(&cluster, operator, 5, effort).await?,
        soak::measure(&cluster, operator, Duration::from_secs(12), effort).await?,
    ];
    let mut unmet = Vec::new();
    for report in &reports {
        report.publish(None)?;
        unmet.extend(report.unmet(true));
    }
    nothing_unmet(&unmet)
}

fn nothing_unmet(unmet: &[String]) -> Result<(), Error> {
    if unmet.is_empty() { Ok(()) } else { Err(failed("get the wanted numbers")(unmet.join("\n"))) }
}

impl Benchmark {
    /// The program that it measures, and its arguments for the release build of this program.
    fn of_release(&self) -> (&'static str, Vec<String>) {
        const OPERATOR: &str = operator_program::NAME;
        let text = |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
        match self {
            Self::Sweep(Sweep { resources, .. }) => (OPERATOR, text(&["sweep", "--resources", &resources.to_string()])),
            Self::Sagas(Sagas { sagas, .. }) => (OPERATOR, text(&["sagas", "--sagas", &sagas.to_string()])),
            Self::Reverts(Reverts { reverts, .. }) => (OPERATOR, text(&["reverts", "--reverts", &reverts.to_string()])),
            Self::Cli(Cli { resources, drifts, .. }) => {
                let (resources, drifts) = (resources.to_string(), drifts.to_string());
                (operator_program::PLUGIN, text(&["cli", "--resources", &resources, "--drifts", &drifts]))
            }
            Self::Start(Start { resources, in_pages, .. }) => {
                let mut arguments = text(&["start", "--resources", &resources.to_string()]);
                arguments.extend(in_pages.then(|| "--in-pages".to_owned()));
                (OPERATOR, arguments)
            }
            Self::Soak(Soak { minutes, .. }) => (OPERATOR, text(&["soak", "--minutes", &minutes.to_string()])),
            Self::Short(_) | Self::Floor(_) => (OPERATOR, Vec::new()),
        }
    }
}

/// Replaces this process by the release build of this program, so that no measured code is a debug build.
fn run_in_release(program: &str, benchmark: &[String], how: &How) -> Result<(), Error> {
    prepare::run(control_plane::Wanted::All)?;
    let program = build::release("arcadia-operator", program)?;
    let mut this = Command::new(build::release("xtask", "xtask")?);
    this.arg("bench-system").args(benchmark).arg("--operator").arg(program);
    if let Some(json) = &how.json {
        this.arg("--json").arg(json);
    }
    Err(Error::system("run the release build of xtask")(this.exec()))
}
