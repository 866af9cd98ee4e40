//! `cargo xtask book`: the documents as a website in `target/book`, by mdBook.
//!
//! Documents link to files of the repository that are not pages. On the website these links lead to the repository.

use std::{fs, path::Path};

use crate::{Error, links, project, tools::Tool};

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
            let text = links::absolute(&text, place, &format!("{url}/blob/main"), Some(PAGES));
            fs::write(&target, text).map_err(writing())?;
        } else {
            fs::copy(&path, &target).map_err(writing())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
}
