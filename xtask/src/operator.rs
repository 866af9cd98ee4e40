//! The programs of this project, as the other commands run them.

use std::path::PathBuf;

use crate::{Error, project};

/// The name of the operator's package and program.
pub(crate) const NAME: &str = "arcadia-operator";

/// The name of the command line of users, a plugin of kubectl.
pub(crate) const PLUGIN: &str = "kubectl-arcadia";

/// The variable that names an operator that is built already.
pub(crate) const PROGRAM: &str = "ARCADIA_OPERATOR_PROGRAM";

/// The programs.
pub(crate) struct Programs {
    /// The operator.
    pub(crate) operator: PathBuf,
    /// The command line of users.
    pub(crate) plugin: PathBuf,
}

impl Programs {
    /// An operator that is built already, and the command line beside it.
    pub(crate) fn beside(operator: PathBuf) -> Self {
        Self { plugin: operator.with_file_name(PLUGIN), operator }
    }
}

/// Builds the programs, cargo's own progress in sight, and returns where they are.
pub(crate) fn build() -> Result<Programs, Error> {
    // With the workspace's features, so that its dependencies are not compiled a second time for it alone.
    let programs = ["--bin", NAME, "--bin", PLUGIN];
    let arguments = ["build", "--workspace", "--message-format=json-render-diagnostics"].into_iter().chain(programs);
    let messages = project::output(&mut project::cargo(arguments))?;
    Ok(Programs { operator: project::program(&messages, NAME)?, plugin: project::program(&messages, PLUGIN)? })
}
