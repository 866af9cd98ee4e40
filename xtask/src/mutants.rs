//! `cargo xtask mutants`: changes the deciding code one place at a time and checks that a test fails, with cargo-mutants. It
//! takes hours, so CI does not run it.

use std::{fs, path::Path, process::Command};

use clap::ValueEnum;

use crate::{Error, project, tools::Tool};

const MUTANTS: Tool = Tool { name: "cargo-mutants", version: "27.1.0" };

/// A part of the deciding code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Room {
    Comparison,
    Equivalence,
    Evaluate,
    Decide,
    Journal,
}

impl Room {
    /// The files to change.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Comparison => &["src/comparison/*.rs"],
            Self::Equivalence => &["src/digitalocean/equivalence.rs", "src/digitalocean/rules.rs"],
            Self::Evaluate => &["src/drift/evaluate.rs", "src/drift/evaluate/*.rs"],
            Self::Decide => &["src/saga/decide.rs", "src/saga/decide/*.rs", "src/saga/event.rs"],
            Self::Journal => &["src/saga/journal.rs", "src/saga/state.rs", "src/saga/upgrade.rs"],
        }
    }

    /// The tests of which one has to fail, by the start of their names. Most mutants fail in the tables and random histories
    /// of the rooms that use the changed one, so these are included.
    fn tests(self) -> &'static [&'static str] {
        match self {
            Self::Comparison | Self::Equivalence => &[
                "comparison::",
                "digitalocean::inventory",
                "digitalocean::live",
                "digitalocean::pins",
                "digitalocean::revert",
                "drift::",
            ],
            Self::Evaluate => &["drift::"],
            Self::Decide | Self::Journal => &["saga::"],
        }
    }
}

/// Tests the mutants of these rooms, or of all; `shard` is a part such as `1/8`. The survivors are in
/// `target/mutants/ROOM/mutants.out/missed.txt`.
pub(crate) fn run(rooms: &[Room], shard: Option<&str>) -> Result<(), Error> {
    MUTANTS.install()?;
    let folder = project::root().join("target/mutants");
    let source = folder.join("source");
    copy_sources(&source)?;
    let rooms = if rooms.is_empty() { Room::value_variants() } else { rooms };
    let mut outcome = Ok(());
    for room in rooms {
        let name = room.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut mutants = MUTANTS.command();
        mutants.env("CARGO_TARGET_DIR", folder.join("build"));
        // Each mutant compiles only what it changes, without the lints of CI.
        mutants.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_DEV_DEBUG", "false");
        mutants.env_remove("RUSTC_WORKSPACE_WRAPPER");
        mutants.args(["mutants", "--in-place", "--package", "arcadia-operator"]).arg("--dir").arg(&source);
        // Without `--lib`, each mutant would link all test programs.
        mutants.args(["--features", "arcadia-operator/failpoints", "--cargo-arg=--lib"]);
        // A shard takes its mutants from all functions.
        mutants.args(["--sharding", "round-robin"]);
        mutants.arg("--output").arg(folder.join(name));
        for file in room.files() {
            mutants.args(["--file", file]);
        }
        if let Some(shard) = shard {
            mutants.args(["--shard", shard]);
        }
        mutants.args(["--", "--"]).args(room.tests());
        // Surviving mutants of this room do not skip the other rooms.
        outcome = outcome.and(project::run(&mut mutants));
    }
    outcome
}

/// Copies the files of the project to a folder whose path is the same in each run, so that cargo compiles only what
/// changed since the last one, and the project can be edited during a run.
fn copy_sources(folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::system(format!("remove {}", folder.display())))?;
    }
    let mut list = Command::new("git");
    list.current_dir(project::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for file in project::output(&mut list)?.split_terminator('\0') {
        let (from, to) = (project::root().join(file), folder.join(file));
        // Git also lists files that were deleted.
        if from.is_file() {
            let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&from, &to));
            copied.map_err(Error::system(format!("copy {file}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there() {
        for room in Room::value_variants() {
            for file in room.files() {
                let place = project::root().join(file.trim_end_matches("*.rs"));
                assert!(place.exists(), "{file}");
            }
        }
    }
}
