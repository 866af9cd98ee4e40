//! Release builds, which users run and which alone are worth measuring.

use std::path::PathBuf;

use crate::{Error, project};

/// Builds a program of a package with the features that it has when it is built alone, and returns where it is.
pub(super) fn release(package: &str, program: &str) -> Result<PathBuf, Error> {
    let build = ["build", "--release", "--package", package, "--bin", program];
    let messages = project::output(project::cargo(build).arg("--message-format=json-render-diagnostics"))?;
    project::program(&messages, program)
}
