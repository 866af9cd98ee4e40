//! The documents as data: files, fenced blocks, tables.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the project.
pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files in a folder of the project that have one of these extensions, as paths from the root, sorted.
pub(crate) fn files(folder: &str, extensions: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    gather(&root().join(folder), extensions, &mut files);
    let relative = |path: PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = files.into_iter().map(relative).collect();
    files.sort();
    files
}

fn gather(folder: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                gather(&path, extensions, files);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            files.push(path);
        }
    }
}

/// Documents with commands outside of the book.
const OUTSIDE: [&str; 5] = [
    "README.md",
    "CONTRIBUTING.md",
    "charts/arcadia-operator/README.md",
    "deploy/README.md",
    "tests/simulator/README.md",
];

/// The documents with commands: those outside of the book, and its pages.
pub(crate) fn pages() -> Vec<String> {
    let mut pages: Vec<_> = OUTSIDE.map(str::to_owned).into();
    pages.extend(files("docs", &["md"]));
    pages
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// The word after the fence.
    pub language: String,
    /// The line of the document where its text begins.
    pub line: usize,
    /// The lines between the fences.
    pub text: Vec<String>,
}

/// All fenced blocks of a document, in order.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in document.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, None) => {}
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), line: number + 2, text: Vec::new() });
            }
            (Some(block), None) => block.text.push(line.to_owned()),
            (Some(_), Some(_)) => blocks.extend(open.take()),
        }
    }
    assert!(open.is_none(), "a fence is never closed");
    blocks
}

/// The block of a page that starts with this text, as its lines.
pub(crate) fn block(page: &str, first: &str) -> Vec<String> {
    let block = blocks(&read(page)).into_iter().find(|block| block.text[0].starts_with(first));
    block.unwrap_or_else(|| panic!("{page} has no block that starts with {first}")).text
}

/// The same block as one command of a shell, which ends at the first line that fails.
pub(crate) fn script(page: &str, first: &str) -> String {
    format!("( set -e\n{}\n)", block(page, first).join("\n"))
}

/// The rows of the tables whose first column has this title, each as its cells without back quotes.
pub(crate) fn rows(document: &str, title: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in document.lines() {
        let Some(inner) = line.trim().strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        let cell = |text: &str| text.trim().replace('`', "").replace("\\|", "|");
        let cells: Vec<_> = inner.split(" |").map(cell).collect();
        if cells[0] == title {
            in_table = true;
        } else if in_table && !cells[0].starts_with("---") {
            rows.push(cells);
        }
    }
    assert!(!rows.is_empty(), "there is no table whose first column is {title}");
    rows
}

/// Every `code span` of a document, except fenced blocks.
pub(crate) fn code_spans(document: &str) -> Vec<String> {
    let outside: Vec<_> = document.split("```").step_by(2).collect();
    outside.concat().split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
