//! What the documents point to is there.

use std::{fs, path::Path};

use crate::document::{read, rows};

#[test]
fn files_that_are_linked_exist() {
    for document in [
        "README.md",
        "CHANGELOG.md",
        "docs/how-to.md",
        "docs/reference/kinds.md",
        "docs/troubleshooting.md",
        "docs/reference/steps.md",
        "charts/arcadia-operator/README.md",
        "deploy/README.md",
    ] {
        let text = read(document);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let folder = file.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { file.clone() } else { folder.join(path) };
            assert!(file.exists(), "{document} links to {link}, which is not there");
            let has_anchor = anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).any(|one| one == anchor);
            assert!(has_anchor, "{document} links to {link}, but {} has no such section", file.display());
        }
    }
}

/// What the sections of a document are linked by.
fn anchors(document: &str) -> impl Iterator<Item = String> {
    let titles = document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(|title| {
        let signs = title.to_lowercase().replace(' ', "-");
        signs.chars().filter(|sign| sign.is_alphanumeric() || ['-', '_'].contains(sign)).collect()
    })
}

#[test]
fn paths_in_the_map_of_the_code_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for row in rows(&read("README.md"), "path") {
        let paths: Vec<_> = row[0].split(", ").collect();
        let folder = Path::new(paths[0]).parent().unwrap();
        for path in &paths {
            let is_there = root.join(path).exists() || root.join(folder).join(path).exists();
            assert!(is_there, "the README speaks of {path}, which is not there");
        }
    }
}

#[test]
fn the_tests_that_keep_a_promise_exist() {
    let mut code = String::new();
    for folder in ["src", "tests"] {
        gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut code);
    }
    for row in rows(&read("README.md"), "promise") {
        for test in row[1].split(", ") {
            assert!(code.contains(&format!("fn {test}(")), "there is no test {test}, which should keep: {}", row[0]);
        }
    }
}

/// All Rust in a folder.
fn gather(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
