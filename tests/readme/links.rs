//! What the documents point to is there.

use std::{fs, path::Path};

use crate::document::{read, rows};

#[test]
fn files_that_are_linked_exist() {
    for document in ["README.md", "CHANGELOG.md", "docs/kinds.md", "docs/runbook.md"] {
        let text = read(document);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let folder = folder.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            assert!(folder.join(link).exists(), "{document} links to {link}, which is not there");
        }
    }
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
