//! The reference of kinds: a Markdown table, generated into the documents.

use std::fmt::Write as _;

use super::{Kind, LEFT_OUT};

/// A Markdown table of all kinds, for the generated reference.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "| kind | list | id | fields | recorded by `kubectl arcadia import` | changed by the cloud itself | never returned, or secret | extra scope required | equal notations | compared although not recorded |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for kind in Kind::all() {
        let row = kind.row();
        let lists = row.walks.iter().map(|walk| match walk.as_str() {
            "" => format!("`{}`", row.list.path),
            walk => format!("`{}?{walk}`", row.list.path),
        });
        let fields: Vec<_> = kind.fields().collect();
        let gated = row.gated.iter().map(|(field, scope)| format!("`{field}` ({scope})"));
        let normalized = row.equivalences.iter().map(|(field, how)| format!("`{field}`: {}", how.says()));
        let closed = row.closed.iter().flat_map(|(map, keys)| {
            keys.iter().map(move |(key, default)| format!("`{map}.{key}`: defaults to `{default}`"))
        });
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            lists.collect::<Vec<_>>().join(", "),
            row.id.format.says(),
            code(&fields),
            code(&row.pins),
            code(&row.volatile),
            code(&row.unreadable.iter().map(ToString::to_string).chain(row.secret.iter().cloned()).collect::<Vec<_>>()),
            gated.collect::<Vec<_>>().join(", "),
            normalized.collect::<Vec<_>>().join("; "),
            closed.collect::<Vec<_>>().join("; "),
        );
    }
    text += "\nThese lists of DigitalOcean's API have no kind:\n\n| list | reason |\n| --- | --- |\n";
    for (list, why) in LEFT_OUT.iter() {
        let _ = writeln!(text, "| `{list}` | {why} |");
    }
    text
}

/// A Markdown table of the keys that count although nobody recorded them, for the page about comparing.
#[must_use]
pub fn reference_of_defaults() -> String {
    let mut text = String::from(
        "| kind | recorded map | keys and their defaults | keys that decide together |\n| --- | --- | --- | --- |\n",
    );
    for kind in Kind::all() {
        let row = kind.row();
        for (map, keys) in &row.closed {
            let keys: Vec<_> = keys.iter().map(|(key, default)| format!("`{key}`: `{default}`")).collect();
            let together = row.together.get(map).map(|keys| code(keys)).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} | `{map}` | {} | {together} |", row.name, keys.join(", "));
        }
    }
    text
}

fn code(names: &[impl std::fmt::Display]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
