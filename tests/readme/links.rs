//! Every link and every name in the documents exists.

use std::{fs, process::Command};

use crate::{
    document::{blocks, files, pages, read, root, rows},
    skip::skip,
};

#[test]
fn files_that_are_linked_exist() {
    for document in pages().into_iter().chain(["CHANGELOG.md".to_owned()]) {
        let text = read(&document);
        let file = root().join(&document);
        let folder = file.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { file.clone() } else { folder.join(path) };
            assert!(file.exists(), "{document} links to {link}, which does not exist");
            let has_anchor = anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).any(|one| one == anchor);
            assert!(has_anchor, "{document} links to {link}, but {} has no such section", file.display());
        }
    }
}

/// The anchors of the sections of a document.
fn anchors(document: &str) -> impl Iterator<Item = String> {
    let titles = document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(|title| {
        let signs = title.to_lowercase().replace(' ', "-");
        signs.chars().filter(|sign| sign.is_alphanumeric() || ['-', '_'].contains(sign)).collect()
    })
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let contents = read("docs/SUMMARY.md");
    for page in files("docs", &["md"]) {
        let link = page.trim_start_matches("docs/");
        let is_listed = link == "SUMMARY.md" || contents.contains(&format!("]({link})"));
        assert!(is_listed, "docs/SUMMARY.md does not list {page}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 250, "README.md has {lines} lines; move text to docs/");
}

#[test]
fn the_picture_of_the_readme_has_a_text_and_loads_quickly() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("![").unwrap();
    let (alternative, rest) = rest.split_once("](").unwrap();
    assert!(alternative.len() > 50 && rest.starts_with("docs/demo.svg)](docs/demo.txt)"), "{alternative}");
    let picture = read("docs/demo.svg");
    assert!(picture.len() <= 500_000, "{} bytes", picture.len());
    // The text of the picture, without its elements.
    let drawn: String = picture.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text)).collect();
    let drawn = drawn.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    for line in read("docs/demo.txt").lines() {
        assert!(drawn.contains(line), "docs/demo.svg does not show the line {line:?} of docs/demo.txt");
    }
}

#[test]
fn the_map_of_the_code_names_what_exists_and_all_of_it() {
    let mut mapped = Vec::new();
    for row in rows(&read("docs/architecture.md"), "path") {
        let paths: Vec<_> = row[0].split(", ").collect();
        let folder = root().join(paths[0]).parent().unwrap().to_owned();
        for path in &paths {
            let places = [root().join(path), folder.join(path)];
            let place = places.into_iter().find(|place| place.exists());
            mapped.push(place.unwrap_or_else(|| panic!("docs/architecture.md names {path}, which does not exist")));
        }
    }
    let within = |folder: &str| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let rooms = within("src").filter(|path| !path.ends_with("lib.rs")).chain(within("tests"));
    for room in rooms {
        let is_mapped = mapped.iter().any(|path| path.starts_with(&room));
        assert!(is_mapped, "docs/architecture.md has no row for {}", room.display());
    }
}

#[test]
fn the_tests_that_keep_a_promise_exist() {
    let code: String =
        ["src", "tests"].iter().flat_map(|folder| files(folder, &["rs"])).map(|path| read(&path)).collect();
    for row in rows(&read("docs/promises.md"), "promise") {
        for test in row[1].split(", ") {
            assert!(code.contains(&format!("fn {test}(")), "no test {test}, which should keep the promise: {}", row[0]);
        }
    }
}

/// The most lines of a commit that serves as an example, as a newcomer reads it.
const READABLE: usize = 500;

#[test]
fn the_commits_that_serve_as_examples_exist_and_are_short() {
    let git = |arguments: &[&str]| Command::new("git").current_dir(root()).args(arguments).output();
    let is_complete = git(&["rev-parse", "--is-shallow-repository"]).is_ok_and(|output| output.stdout == b"false\n");
    if !is_complete {
        return skip("this copy has no complete history; fetch it with: git fetch --unshallow");
    }
    let history = String::from_utf8(git(&["log", "--format=%s"]).unwrap().stdout).unwrap();
    let contributing = read("CONTRIBUTING.md");
    let text = contributing.split_whitespace().collect::<Vec<_>>().join(" ");
    let subjects: Vec<_> = text.split("commit \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(subjects.len() >= 5, "{subjects:?}");
    for subject in subjects {
        assert!(history.lines().any(|line| line == subject), "CONTRIBUTING.md names the commit {subject:?}");
    }
    let commands = blocks(&contributing).into_iter().flat_map(|block| block.text);
    for command in commands.filter(|line| line.starts_with("git ")) {
        let shown = Command::new("sh").args(["-c", &command]).current_dir(root()).output().unwrap();
        let lines = String::from_utf8_lossy(&shown.stdout).lines().count();
        assert!(shown.status.success() && (50..READABLE).contains(&lines), "{command} prints {lines} lines");
    }
}
