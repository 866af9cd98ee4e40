//! Tables and code in Markdown.

use std::fmt::Write as _;

/// A table, from its headings and rows.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = String::new();
    let mut line = |cells: &[String]| {
        // An empty cell is one space, as in a hand-written table.
        let cell = |cell: &String| if cell.is_empty() { "| ".to_owned() } else { format!("| {cell} ") };
        let _ = writeln!(table, "{}|", cells.iter().map(cell).collect::<Vec<_>>().concat());
    };
    line(&headings.map(str::to_owned));
    line(&headings.map(|_| "---".to_owned()));
    for row in rows {
        line(&row.map(|cell| cell.replace('|', "\\|")));
    }
    table
}

pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A sentence as the text of a cell: it starts in lower case unless it starts with a name.
pub(super) fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_suffix('.').unwrap_or(&text);
    let is_word = |word: &str| word.chars().skip(1).all(|character| !character.is_uppercase());
    let mut characters = text.chars();
    match characters.next().filter(|_| text.split(' ').next().is_some_and(is_word)) {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => text.to_owned(),
    }
}
