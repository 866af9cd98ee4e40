//! The programs of this project, for the other commands.

use std::path::PathBuf;

use crate::{Error, project};

/// The name of the operator's package and program.
pub(crate) const NAME: &str = "arcadia-operator";

/// The features of the operator in an image: without the dependencies of the command line.
pub(crate) const IMAGE_FEATURES: [&str; 3] = ["--no-default-features", "--features", "jemalloc"];

/// The name of the command line of users, a plugin of kubectl.
pub(crate) const PLUGIN: &str = "kubectl-arcadia";

/// The variable that names a prebuilt operator.
pub(crate) const PROGRAM: &str = "ARCADIA_OPERATOR_PROGRAM";

pub(crate) struct Programs {
    pub(crate) operator: PathBuf,
    /// The command line of users.
    pub(crate) plugin: PathBuf,
}

impl Programs {
    /// A prebuilt operator, and the command line beside it.
    pub(crate) fn beside(operator: PathBuf) -> Self {
        Self { plugin: operator.with_file_name(PLUGIN), operator }
    }
}

/// The argument that names a prebuilt program.
pub(crate) fn program(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_file() { Ok(path) } else { Err("there is no such file".to_owned()) }
}

/// Builds the programs, with cargo's progress visible, and returns their paths.
pub(crate) fn build() -> Result<Programs, Error> {
    // With the workspace's features, so that their dependencies are not compiled a second time.
    let programs = ["--bin", NAME, "--bin", PLUGIN];
    let arguments = ["build", "--workspace", "--message-format=json-render-diagnostics"].into_iter().chain(programs);
    let messages = project::output(&mut project::cargo(arguments))?;
    Ok(Programs { operator: project::program(&messages, NAME)?, plugin: project::program(&messages, PLUGIN)? })
}
