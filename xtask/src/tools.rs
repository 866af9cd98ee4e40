//! Programs that the commands use: installed with cargo in `target/tools`, in pinned versions.

use std::{path::PathBuf, process::Command};

use crate::{Error, project};

/// A program and its version, so that its output is the same on every machine.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Builds the program, unless it exists: a few minutes on 2 cores.
    pub(crate) fn install(&self) -> Result<(), Error> {
        let program = self.program();
        if program.exists()
            && project::output(Command::new(program).args(self.version_arguments()))
                .is_ok_and(|printed| printed.trim_end().ends_with(self.version))
        {
            return Ok(());
        }
        let mut install = project::cargo(["install", self.name, "--locked", "--version", self.version, "--root"]);
        project::run(install.arg(tools()))
    }

    /// A subcommand of cargo may expect its own name as the first argument.
    fn version_arguments(&self) -> &'static [&'static str] {
        match self.name {
            "cargo-cyclonedx" => &["cyclonedx", "--version"],
            "cargo-mutants" => &["mutants", "--version"],
            _ => &["--version"],
        }
    }

    /// A command of the program, in the project.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.current_dir(project::root());
        command
    }

    fn program(&self) -> PathBuf {
        tools().join("bin").join(self.name)
    }
}

fn tools() -> PathBuf {
    project::root().join("target/tools")
}
