//! The files that contain the version: CHANGELOG.md, Cargo.toml and Cargo.lock.

use std::fs;

use crate::{
    Error,
    project::{self, VERSION},
};

/// The header of unreleased entries.
const UNRELEASED: &str = "## [Unreleased]\n";

/// The files of the release commit, and those with the next version.
pub(super) struct Changes {
    pub(super) changelog: String,
    /// The entries of this release.
    pub(super) notes: String,
    pub(super) next: String,
    pub(super) cargo_toml: String,
    pub(super) cargo_lock: String,
}

/// Computes the changes of a release on this date. Writes nothing. A dry run may have nothing to release.
pub(super) fn changes(date: &str, next: Option<&str>, is_dry_run: bool) -> Result<Changes, Error> {
    let read =
        |file: &str| fs::read_to_string(project::root().join(file)).map_err(Error::system(format!("read {file}")));
    let changelog = read("CHANGELOG.md")?;
    let (changelog, notes) = match cut(&changelog, VERSION, date) {
        Ok(cut) => cut,
        Err(Error::NothingToRelease) if is_dry_run => (changelog, "Nothing yet.\n".to_owned()),
        Err(error) => return Err(error),
    };
    let next = if let Some(next) = next {
        numbers(next)?;
        next.to_owned()
    } else {
        let [major, minor, _] = numbers(VERSION)?;
        format!("{major}.{}.0", minor + 1)
    };
    let cargo_toml = bumped(&read("Cargo.toml")?, &next)?;
    let cargo_lock = locked(&read("Cargo.lock")?, &next);
    Ok(Changes { changelog, notes, next, cargo_toml, cargo_lock })
}

/// Moves unreleased entries under the header of the version. A changelog that already has it is unchanged.
fn cut(changelog: &str, version: &str, date: &str) -> Result<(String, String), Error> {
    if let Some((_, rest)) = changelog.split_once(&format!("\n## [{version}] - ")) {
        let notes = rest.split_once('\n').map_or("", |(_, notes)| notes);
        let notes = notes.split_once("\n## [").map_or(notes, |(notes, _)| notes);
        return Ok((changelog.to_owned(), notes.trim().to_owned() + "\n"));
    }
    let (before, rest) = changelog.split_once(UNRELEASED).ok_or_else(|| missing(UNRELEASED, "CHANGELOG.md"))?;
    let (entries, after) = rest.find("\n## [").map_or((rest, ""), |at| rest.split_at(at));
    if !entries.lines().any(|line| line.starts_with("- ") || line.starts_with("1. ")) {
        return Err(Error::NothingToRelease);
    }
    let notes = entries.trim().to_owned() + "\n";
    Ok((format!("{before}{UNRELEASED}\n## [{version}] - {date}\n\n{notes}{after}"), notes))
}

/// Cargo.toml with another version of the workspace.
fn bumped(cargo_toml: &str, next: &str) -> Result<String, Error> {
    let line = format!("\nversion = \"{VERSION}\"\n");
    if cargo_toml.matches(&line).count() != 1 {
        return Err(missing(line.trim(), "Cargo.toml"));
    }
    Ok(cargo_toml.replace(&line, &format!("\nversion = \"{next}\"\n")))
}

/// Cargo.lock with another version of the packages of the workspace, which have no source.
fn locked(cargo_lock: &str, next: &str) -> String {
    let package = |package: &str| {
        let version = format!("\nversion = \"{VERSION}\"\n");
        if package.contains("\nsource = ") {
            package.to_owned()
        } else {
            package.replace(&version, &format!("\nversion = \"{next}\"\n"))
        }
    };
    cargo_lock.split("[[package]]").map(package).collect::<Vec<_>>().join("[[package]]")
}

fn numbers(version: &str) -> Result<[u64; 3], Error> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|number| number.parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| Error::NoVersion { version: version.to_owned() })
}

fn missing(text: &str, file: &'static str) -> Error {
    Error::NotThere { text: text.trim().to_owned(), file }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_move_under_the_release() {
        let changelog = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- One.\n\n## [0.0.1] - 2026-01-01\n\n- Old.\n";
        let (cut, notes) = cut(changelog, "0.1.0", "2026-05-10").unwrap();
        assert_eq!(notes, "### Added\n\n- One.\n");
        assert_eq!(
            cut,
            "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-05-10\n\n### Added\n\n- One.\n\n## [0.0.1] - 2026-01-01\n\n- Old.\n"
        );
        // On the commit with the tag, the entries are already moved.
        assert_eq!(super::cut(&cut, "0.1.0", "2026-06-01").unwrap(), (cut.clone(), notes));
        assert!(matches!(super::cut(&cut, "0.2.0", "2026-06-01"), Err(Error::NothingToRelease)));
    }

    #[test]
    fn the_first_release_has_all_entries() {
        let (cut, _) = cut("# Changelog\n\n## [Unreleased]\n\n- One.\n", "0.1.0", "2026-05-10").unwrap();
        assert_eq!(cut, "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-05-10\n\n- One.\n");
    }

    #[test]
    fn only_packages_of_the_workspace_get_the_next_version() {
        let package = |name, more| format!("[[package]]\nname = \"{name}\"\nversion = \"{VERSION}\"\n{more}\n");
        let of_another = package("other", "source = \"registry\"\n");
        let lock = package("xtask", "") + &of_another;
        let next = locked(&lock, "9.9.9");
        assert!(next.contains("name = \"xtask\"\nversion = \"9.9.9\"") && next.ends_with(&of_another), "{next}");
        assert!(bumped("[workspace]\n", "9.9.9").is_err());
    }

    #[test]
    fn a_version_has_three_numbers() {
        assert_eq!(numbers("0.10.2").unwrap(), [0, 10, 2]);
        for text in ["1.0", "v1.0.0", "1.0.0-rc1", ""] {
            assert!(numbers(text).is_err(), "{text}");
        }
    }
}
