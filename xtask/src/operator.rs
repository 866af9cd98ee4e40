//! The operator's own program, as the other commands run it.

use std::path::PathBuf;

use crate::{Error, project};

/// The name of the operator's package and program.
pub(crate) const NAME: &str = "arcadia-operator";

/// The variable that names an operator that is built already.
pub(crate) const PROGRAM: &str = "ARCADIA_OPERATOR_PROGRAM";

/// Builds the operator, cargo's own progress in sight, and returns where it is.
pub(crate) fn build() -> Result<PathBuf, Error> {
    // With the workspace's features, so that its dependencies are not compiled a second time for it alone.
    let build = ["build", "--workspace", "--bin", "arcadia-operator", "--message-format=json-render-diagnostics"];
    let messages = project::output(&mut project::cargo(build))?;
    project::program(&messages, NAME)
}
