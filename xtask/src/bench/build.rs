//! Release builds, which users run and which alone are worth measuring.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Error, project};

/// Builds a package's program with the features that it has when it is built alone, and returns where it is.
pub(super) fn release(package: &str) -> Result<PathBuf, Error> {
    let build = ["build", "--release", "--package", package, "--bin", package];
    let messages = project::output(project::cargo(build).arg("--message-format=json-render-diagnostics"))?;
    let executable = |line| serde_json::from_str::<Value>(line).ok()?.get("executable")?.as_str().map(PathBuf::from);
    messages.lines().find_map(executable).ok_or(Error::NoOperator)
}
