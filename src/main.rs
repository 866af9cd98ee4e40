//! The program: arguments and wiring only.

use std::{io::Write, process::ExitCode};

use arcadia_operator::{
    api,
    config::{Cli, CliCommand, RunArgs},
    operator, probe,
};
use clap::{Parser, error::ErrorKind};

/// The allocators of glibc and musl take more processor time: see docs/benchmarks.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit code for invalid arguments and missing prerequisites.
const BAD_SETTING: u8 = 2;

fn main() -> ExitCode {
    // Tests select the points at which the process crashes by an environment variable.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&first_line(&error)),
    };
    match cli.command {
        Some(CliCommand::Crds) => match crds() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error.to_string()),
        },
        Some(CliCommand::Probe { url }) => probe(&url),
        Some(CliCommand::Run(args)) => run(*args),
        None => run(cli.run),
    }
}

// The operator waits for the API server and the cloud most of the time. A second thread costs more processor time to wake
// than it saves: see docs/benchmarks.md. The lease and the probes have a separate thread.
#[tokio::main(worker_threads = 1)]
async fn run(args: RunArgs) -> ExitCode {
    match operator::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn probe(url: &str) -> ExitCode {
    match probe::run(url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ probe::Error::Url { .. }) => refuse(&error.to_string()),
        Err(error) => {
            eprintln!("arcadia-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn crds() -> std::io::Result<()> {
    let yaml = api::crds_as_yaml().map_err(std::io::Error::other)?;
    match std::io::stdout().write_all(yaml.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The error itself, without clap's usage hints.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn refuse(error: &str) -> ExitCode {
    eprintln!("arcadia-operator: {error}");
    ExitCode::from(BAD_SETTING)
}
