//! `cargo xtask book`: the documents as a website in `target/book`, by mdBook.
//!
//! Documents link to files of the repository that are not pages. On the website these links lead to the repository.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::tools::Tool;
use crate::{Error, project};

const BOOK: Tool = Tool { name: "mdbook", version: "0.5.4" };
const PAGES: &str = "docs";
/// The copy of the pages, with rewritten links.
const SOURCE: &str = "target/book-source";

/// Builds the book. `url` is the address of the repository.
pub(crate) fn run(url: &str) -> Result<(), Error> {
    BOOK.install()?;
    let source = project::root().join(SOURCE);
    if source.exists() {
        fs::remove_dir_all(&source).map_err(Error::system(format!("clear {SOURCE}")))?;
    }
    copy(&project::root().join(PAGES), &source.join(PAGES), Path::new(PAGES), url)?;
    let settings = source.join("book.toml");
    fs::copy(project::root().join("book.toml"), settings).map_err(Error::system("copy book.toml"))?;
    let mut mdbook = BOOK.command();
    let target = project::root().join("target/book");
    project::run(mdbook.arg("build").arg(&source).arg("--dest-dir").arg(&target))?;
    println!("target/book/index.html");
    Ok(())
}

/// Copies a folder; `place` is its path in the repository.
fn copy(from: &Path, to: &Path, place: &Path, url: &str) -> Result<(), Error> {
    let reading = || Error::system(format!("read {}", from.display()));
    fs::create_dir_all(to).map_err(Error::system(format!("create {}", to.display())))?;
    for entry in fs::read_dir(from).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        let name = path.file_name().unwrap_or_default();
        let target = to.join(name);
        let writing = || Error::system(format!("write {}", target.display()));
        if path.is_dir() {
            copy(&path, &target, &place.join(name), url)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).map_err(reading())?;
            fs::write(&target, with_links(&text, place, url)).map_err(writing())?;
        } else {
            fs::copy(&path, &target).map_err(writing())?;
        }
    }
    Ok(())
}

/// The text of a page in a folder of the repository, with links that leave the book made absolute.
fn with_links(text: &str, folder: &Path, url: &str) -> String {
    let mut parts = text.split("](");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once(')').unwrap_or((part, ""));
        linked += "](";
        linked += &outside(link, folder).map_or_else(|| link.to_owned(), |path| format!("{url}/blob/main/{path}"));
        linked += if part.contains(')') { ")" } else { "" };
        linked += rest;
    }
    linked
}

/// The path in the repository of a link that leaves the book, with its anchor.
fn outside(link: &str, folder: &Path) -> Option<String> {
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
    (!path.starts_with(PAGES)).then(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://git.example.com/a/b";

    /// The pages in a folder and below.
    fn pages(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        let here = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        here.chain(folders.iter().flat_map(|folder| pages(folder))).collect()
    }

    #[test]
    fn every_link_in_the_copy_leads_to_a_page_of_it_or_to_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let copied = folder.path().join(PAGES);
        copy(&project::root().join(PAGES), &copied, Path::new(PAGES), URL).unwrap();
        let pages = pages(&copied);
        assert!(pages.len() > 20, "{pages:?}");
        for page in pages {
            let text = fs::read_to_string(&page).unwrap();
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                if link.contains("://") || file.is_empty() {
                    let place = link.strip_prefix(&format!("{URL}/blob/main/"));
                    let file = place.map(|place| project::root().join(place.split('#').next().unwrap_or_default()));
                    assert!(file.is_none_or(|file| file.exists()), "{} links to {link}", page.display());
                    continue;
                }
                assert!(page.with_file_name(file).exists(), "{} links to {link}", page.display());
            }
        }
    }

    #[test]
    fn only_links_that_leave_the_book_change() {
        let text = "See [a](a.md#b), [b](../CHANGELOG.md#c), [c](#d), [e](https://f.example) and `f[0](1`.";
        let wanted = "See [a](a.md#b), [b](https://git.example.com/a/b/blob/main/CHANGELOG.md#c), [c](#d), \
                      [e](https://f.example) and `f[0](1`.";
        assert_eq!(with_links(text, Path::new("docs"), URL), wanted);
        let deeper = with_links("[a](../decide.md) [b](../../src/main.rs)", Path::new("docs/reference"), URL);
        assert_eq!(deeper, "[a](../decide.md) [b](https://git.example.com/a/b/blob/main/src/main.rs)");
    }
}
