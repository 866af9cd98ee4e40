//! The commands of the project: tests, demo, generated files, audit. `cargo xtask help` lists them.

mod audit;
mod bench;
mod book;
mod demo;
mod error;
mod generate;
mod image;
mod links;
mod mutants;
mod openapi;
mod operator;
mod prepare;
mod project;
mod record;
mod release;
mod test;
mod tools;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::error::Error;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The commands of the project")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prepare the control plane, Helm and the GitOps engines, and run every test
    Test {
        /// Run the tests that take many minutes instead: the revert of every field, faults at every call, credentials
        #[arg(long)]
        thorough: bool,

        /// Passed to `cargo test --workspace`, for instance `-p control-plane` or `-- --nocapture`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the control plane, the Helm and the GitOps engines of tests and the demo, unless they exist
    ControlPlane,
    /// Run the demo on a local control plane and a simulated cloud, and keep it running
    Demo(demo::Play),
    /// Write the files that are generated from the code
    Generate {
        /// Write nothing; fail if a file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Record the demo: the picture of the README, docs/demo.svg, and its text
    Record {
        /// Write nothing; fail if the story of the demo differs from the picture
        #[arg(long)]
        check: bool,
    },
    /// Build the documents as a website, target/book; installs mdBook in `target/tools`
    Book {
        /// The address of the repository, to which pages link
        #[arg(long, value_name = "URL", default_value = release::PLACEHOLDER)]
        url: String,
    },
    /// Check every dependency against `deny.toml`; installs cargo-deny in `target/tools`
    Audit,
    /// Change the deciding code one place at a time and report changes that no test detects; installs cargo-mutants in
    /// `target/tools`
    Mutants {
        /// The part of the code; all by default
        #[arg(long = "room", value_enum)]
        rooms: Vec<mutants::Room>,
        /// A share of the mutants, such as `0/8`
        #[arg(long, value_name = "K/N")]
        shard: Option<String>,
    },
    /// Build the container image as an OCI layout; needs no container engine
    Image {
        /// The folder to write, replacing its content
        #[arg(long, value_name = "DIR", default_value_os_t = project::root().join("target/image/oci"))]
        output: PathBuf,
    },
    /// Build all that a release publishes, into target/release-artifacts
    Release(release::Release),
    /// Extract the operations in tests/openapi/operations.txt from DigitalOcean's API description, for tests
    Openapi {
        /// The bundled description of github.com/digitalocean/openapi, as YAML or JSON, compressed by gzip or not
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Measure the cost of the operator, compared with a raw floor in the same run
    BenchSystem {
        #[command(subcommand)]
        benchmark: bench::Benchmark,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Test { thorough, arguments } => test::run(thorough, &arguments),
        Command::ControlPlane => prepare::for_tests(),
        Command::Demo(play) => demo::run(&play),
        Command::Generate { check: false } => generate::write(),
        Command::Generate { check: true } => generate::check(),
        Command::Record { check: false } => record::write(),
        Command::Record { check: true } => record::check(),
        Command::Book { url } => book::run(&url),
        Command::Audit => audit::run(),
        Command::Mutants { rooms, shard } => mutants::run(&rooms, shard.as_deref()),
        Command::Image { output } => image::run(&output),
        Command::Release(release) => release::run(&release),
        Command::Openapi { from } => openapi::extract(&from),
        Command::BenchSystem { benchmark } => bench::run(benchmark),
    }
}
