//! `cargo xtask audit`: checks every dependency against `deny.toml`, with cargo-deny.

use std::process::{Command, Stdio};

use crate::{Error, project, tools::Tool};

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Checks bans, licences and sources, and advisories if their database can be reached.
pub(crate) fn run() -> Result<(), Error> {
    DENY.install()?;
    project::run(deny().args(["check", "bans", "licenses", "sources"]))?;
    if is_advisory_database_fetched()? {
        return project::run(deny().args(["check", "--disable-fetch", "advisories"]));
    }
    eprintln!("advisories were not checked: the database at github.com/RustSec/advisory-db cannot be reached");
    Ok(())
}

fn is_advisory_database_fetched() -> Result<bool, Error> {
    let mut fetch = deny();
    fetch.args(["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(fetch.status().map_err(Error::system("run cargo-deny"))?.success())
}

fn deny() -> Command {
    let mut deny = DENY.command();
    deny.args(["--workspace", "--locked"]);
    deny
}
