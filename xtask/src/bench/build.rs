//! Release builds: only these are run by users and worth measuring.

use std::path::PathBuf;

use crate::{Error, operator, project};

/// Builds a program of a package with the features of a separate build, and returns its path.
pub(super) fn release(package: &str, program: &str) -> Result<PathBuf, Error> {
    let mut build = project::cargo(["build", "--release", "--package", package, "--bin", program]);
    if program == operator::NAME {
        build.args(operator::IMAGE_FEATURES);
    }
    let messages = project::output(build.arg("--message-format=json-render-diagnostics"))?;
    project::program(&messages, program)
}
