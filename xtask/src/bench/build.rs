//! Release builds: only these are run by users and worth measuring.

use std::path::PathBuf;

use crate::{Error, project};

/// Builds a program of a package with the features of a separate build, and returns its path.
pub(super) fn release(package: &str, program: &str) -> Result<PathBuf, Error> {
    let build = ["build", "--release", "--package", package, "--bin", program];
    let messages = project::output(project::cargo(build).arg("--message-format=json-render-diagnostics"))?;
    project::program(&messages, program)
}
