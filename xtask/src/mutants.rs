//! `cargo xtask mutants`: changes the deciding code one place at a time and checks that a test fails, with cargo-mutants. It
//! takes hours, so CI does not run it.

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

    /// The tests that have to fail, by the start of their names.
    fn tests(self) -> &'static [&'static str] {
        match self {
            Self::Comparison | Self::Equivalence => {
                &["comparison::", "digitalocean::equivalence", "digitalocean::live::", "digitalocean::pins"]
            }
            Self::Evaluate => &["drift::evaluate", "drift::invariants", "drift::status", "drift::act"],
            Self::Decide | Self::Journal => &["saga::decide", "saga::invariants", "saga::journal", "saga::upgrade"],
        }
    }
}

/// Tests the mutants of these rooms, or of all; `shard` is a part such as `1/8`. The survivors are in
/// `target/mutants/ROOM/mutants.out/missed.txt`.
pub(crate) fn run(rooms: &[Room], shard: Option<&str>) -> Result<(), Error> {
    MUTANTS.install()?;
    let rooms = if rooms.is_empty() { Room::value_variants() } else { rooms };
    let mut outcome = Ok(());
    for room in rooms {
        let name = room.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut mutants = MUTANTS.command();
        mutants.args(["mutants", "--package", "arcadia-operator", "--jobs", "1", "--cap-lints", "true"]);
        mutants.arg("--output").arg(project::root().join("target/mutants").join(name));
        for file in room.files() {
            mutants.args(["--file", file]);
        }
        if let Some(shard) = shard {
            mutants.args(["--shard", shard]);
        }
        mutants.args(["--", "--lib", "--"]).args(room.tests());
        // Surviving mutants of this room do not skip the other rooms.
        outcome = outcome.and(project::run(&mut mutants));
    }
    outcome
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
