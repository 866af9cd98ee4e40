//! The reference of kinds, generated into the documents as Markdown.

use std::fmt::Write as _;

use super::{Kind, LEFT_OUT, table::KindDefinition};

/// All kinds, for the generated reference: a table to find one, and a section for each.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from("| kind | list | id |\n| --- | --- | --- |\n");
    // Writing to a String cannot fail.
    for kind in Kind::all() {
        let row = kind.row();
        let anchor = row.name.to_lowercase();
        let _ = writeln!(text, "| [{}](#{anchor}) | {} | {} |", row.name, lists(row), row.id.format.form());
    }
    text += "\nThese lists of DigitalOcean's API have no kind:\n\n| list | reason |\n| --- | --- |\n";
    for (list, why) in LEFT_OUT.iter() {
        let _ = writeln!(text, "| `{list}` | {why} |");
    }
    for kind in Kind::all() {
        let _ = write!(text, "\n## {}\n\n", kind.row().name);
        for (what, value) in section(kind) {
            let _ = writeln!(text, "- {what}: {value}");
        }
    }
    text
}

/// The lists that together show all resources of a kind.
fn lists(row: &KindDefinition) -> String {
    let list = |walk: &String| match walk.as_str() {
        "" => format!("`{}`", row.list.path),
        walk => format!("`{}?{walk}`", row.list.path),
    };
    row.walks.iter().map(list).collect::<Vec<_>>().join(", ")
}

/// The lines of a kind's section, without those that would be empty.
fn section(kind: Kind) -> Vec<(&'static str, String)> {
    let row = kind.row();
    let fields: Vec<_> = kind.fields().collect();
    let hidden: Vec<_> = row.unreadable.iter().map(ToString::to_string).chain(row.secret.iter().cloned()).collect();
    let gated: Vec<_> = row.gated.iter().map(|(field, scope)| format!("`{field}` ({scope})")).collect();
    let normalized: Vec<_> = row.equivalences.iter().map(|(field, how)| format!("`{field}`: {}", how.says())).collect();
    let closed = row.closed.iter().flat_map(|(map, keys)| {
        keys.iter().map(move |(key, default)| format!("`{map}.{key}`: defaults to `{default}`"))
    });
    let mut scopes = vec![row.scope.as_str(), row.list_scope()];
    scopes.dedup();
    let mut lines = vec![
        ("scopes", code(&scopes)),
        ("fields", code(&fields)),
        ("recorded by `kubectl arcadia import`", code(&row.pins)),
        ("changed by the cloud itself", code(&row.volatile)),
        ("never returned, or secret", code(&hidden)),
        ("extra scope required", gated.join(", ")),
        ("equal notations", normalized.join("; ")),
        ("compared although not recorded", closed.collect::<Vec<_>>().join("; ")),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    lines
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
