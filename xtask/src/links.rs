//! The links of documents that are published outside the repository: those to its files become addresses.

use std::{
    fmt::Write as _,
    path::{Component, Path, PathBuf},
};

/// The text of a document in a folder of the repository, with absolute links. `files` is the address of the files of
/// the repository. Links to paths below `kept` stay relative.
pub(crate) fn absolute(text: &str, folder: &Path, files: &str, kept: Option<&str>) -> String {
    let mut parts = text.split("](");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once(')').unwrap_or((part, ""));
        linked += "](";
        match path(link, folder) {
            Some(path) if kept.is_none_or(|kept| !path.starts_with(kept)) => {
                let _ = write!(linked, "{files}/{}", path.display());
            }
            _ => linked += link,
        }
        linked += if part.contains(')') { ")" } else { "" };
        linked += rest;
    }
    linked
}

/// The path in the repository of a relative link, with its anchor.
fn path(link: &str, folder: &Path) -> Option<PathBuf> {
    if link.contains("://") || link.starts_with('#') {
        return None;
    }
    let mut path = PathBuf::new();
    for component in folder.join(link).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &str = "https://git.example.com/a/b/blob/main";

    #[test]
    fn only_relative_links_that_leave_the_kept_folder_change() {
        let text = "See [a](a.md#b), [b](../CHANGELOG.md#c), [c](#d), [e](https://f.example) and `f[0](1`.";
        let wanted = "See [a](a.md#b), [b](https://git.example.com/a/b/blob/main/CHANGELOG.md#c), [c](#d), \
                      [e](https://f.example) and `f[0](1`.";
        let outside = |text: &str, folder: &str| absolute(text, Path::new(folder), FILES, Some("docs"));
        // An unclosed link is text too.
        assert_eq!(outside(text, "docs"), wanted);
        let deeper = outside("[a](../decide.md) [b](../../src/main.rs)", "docs/reference");
        assert_eq!(deeper, "[a](../decide.md) [b](https://git.example.com/a/b/blob/main/src/main.rs)");
    }

    #[test]
    fn all_relative_links_change_if_no_folder_is_kept() {
        let changelog = absolute("- [Kinds](docs/reference/kinds.md#a)", Path::new(""), FILES, None);
        assert_eq!(changelog, format!("- [Kinds]({FILES}/docs/reference/kinds.md#a)"));
        let chart = absolute("[values](../../docs/install.md)", Path::new("charts/one"), FILES, None);
        assert_eq!(chart, format!("[values]({FILES}/docs/install.md)"));
    }
}
