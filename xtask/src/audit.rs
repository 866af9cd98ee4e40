//! `cargo xtask audit`: holds every dependency to `deny.toml`, by cargo-deny.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Error, project};

/// Pinned, so that an audit says the same on every machine.
const VERSION: &str = "0.20.2";

/// Checks bans, licences and sources, and advisories where their database can be reached.
pub(crate) fn run() -> Result<(), Error> {
    install()?;
    project::run(deny().args(["check", "bans", "licenses", "sources"]))?;
    if is_advisory_database_fetched()? {
        return project::run(deny().args(["check", "--disable-fetch", "advisories"]));
    }
    eprintln!("advisories were not checked: the database at github.com/RustSec/advisory-db cannot be reached");
    Ok(())
}

/// Builds cargo-deny, once: about 3 minutes on 2 cores.
fn install() -> Result<(), Error> {
    if program().exists() && project::output(deny().arg("--version"))?.trim_end().ends_with(VERSION) {
        return Ok(());
    }
    let mut install = project::cargo(["install", "cargo-deny", "--locked", "--version", VERSION, "--root"]);
    project::run(install.arg(tools()))
}

fn is_advisory_database_fetched() -> Result<bool, Error> {
    let mut fetch = deny();
    fetch.args(["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(fetch.status().map_err(Error::system("run cargo-deny"))?.success())
}

fn deny() -> Command {
    let mut deny = Command::new(program());
    deny.current_dir(project::root()).args(["--workspace", "--locked"]);
    deny
}

fn program() -> PathBuf {
    tools().join("bin/cargo-deny")
}

fn tools() -> PathBuf {
    project::root().join("target/tools")
}
