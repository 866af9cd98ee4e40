//! The operator's own program, as the other commands run it.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Error, project};

/// Builds the operator, cargo's own progress in sight, and returns where it is.
pub(crate) fn build() -> Result<PathBuf, Error> {
    // With the workspace's features, so that its dependencies are not compiled a second time for it alone.
    let build = ["build", "--workspace", "--bin", "arcadia-operator", "--message-format=json-render-diagnostics"];
    let messages = project::output(&mut project::cargo(build))?;
    let executable = |line| serde_json::from_str::<Value>(line).ok()?.get("executable")?.as_str().map(PathBuf::from);
    messages.lines().find_map(executable).ok_or(Error::NoOperator)
}
