//! The reference of all steps, generated from their descriptions and schemas.

use std::time::Duration;

use serde_json::Value;

use super::{ALL, common::id_text};
use crate::saga::step::AnyStep;

/// The introduction to the reference.
const PREFACE: &str = "\
A saga's step takes each parameter from `with`, or else from the saga's `inputs` under the same name. Later steps refer to an
output by `${steps.NAME.output.FIELD}`. A step that cannot be undone needs `irreversible: true` beside its parameters.
";

/// The reference as a Markdown document without its title.
#[must_use]
pub fn reference() -> String {
    let sections = ALL.iter().map(|step| format!("\n{}", section(*step)));
    [PREFACE.to_owned()].into_iter().chain(sections).collect()
}

fn section(step: &dyn AnyStep) -> String {
    let (parameters, output) = (step.parameters(), step.output());
    let passive = if step.is_passive() { " It changes nothing, so there is nothing to undo." } else { "" };
    let timeout = format!("The default timeout is {}.", time(step.timeout()));
    let mut text = format!("## {}\n\n{}{passive}\n\n{timeout}\n", step.name(), description(&parameters));
    let taken: String = fields(&parameters, "").iter().map(|field| field.row(true)).collect();
    let given: String = fields(&output, "").iter().map(|field| field.row(false)).collect();
    let tables = [
        ("\n| parameter | type | required | |\n| --- | --- | --- | --- |\n", taken),
        ("\n| output | type | |\n| --- | --- | --- |\n", given),
    ];
    for (head, rows) in tables.iter().filter(|(_, rows)| !rows.is_empty()) {
        text.extend([head, rows.as_str()]);
    }
    text
}

/// One parameter or output.
struct Field<'s> {
    /// The name, with the names of the enclosing fields.
    name: String,
    schema: &'s Value,
    is_required: bool,
}

/// The fields of a schema: required fields first, each followed by its inner fields.
fn fields<'s>(schema: &'s Value, within: &str) -> Vec<Field<'s>> {
    let mut fields: Vec<Field<'s>> = Vec::new();
    for schema in alternatives(schema) {
        let required = texts(schema, "required");
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let is_required = required.contains(&name.as_str());
            let name = format!("{within}{name}");
            if !fields.iter().any(|field| field.name == name) {
                fields.push(Field { name, schema, is_required });
            }
        }
    }
    fields.sort_by(|one, other| (!one.is_required, &one.name).cmp(&(!other.is_required, &other.name)));
    let with_inner = |field: Field<'s>| {
        let inner = self::fields(field.schema, &format!("{}.", field.name));
        [field].into_iter().chain(inner)
    };
    fields.into_iter().flat_map(with_inner).collect()
}

/// The alternative schemas of a value.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let lists = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    let alternatives: Vec<_> = lists.flatten().flat_map(alternatives).collect();
    if alternatives.is_empty() { vec![schema] } else { alternatives }
}

impl Field<'_> {
    fn row(&self, tells_required: bool) -> String {
        let required = match (tells_required, self.is_required) {
            (false, _) => "",
            (true, true) => " yes |",
            (true, false) => " |",
        };
        let words = description(self.schema).replace("\n\n", " ").replace('|', "\\|");
        format!("| `{}` | {} |{required} {words}{} |\n", self.name, kind(self.schema), self.default())
    }

    /// The default value, if it is worth showing.
    fn default(&self) -> String {
        match self.schema.get("default") {
            Some(value @ (Value::Number(_) | Value::String(_))) => format!(" By default {value}."),
            _ => String::new(),
        }
    }
}

/// The description of a schema, with each paragraph on one line.
fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// The type of a value, for people.
fn kind(schema: &Value) -> String {
    let kinds: Vec<_> = alternatives(schema).into_iter().flat_map(kinds).collect();
    if kinds.is_empty() { "any".to_owned() } else { kinds.join(" or ") }
}

fn kinds(schema: &Value) -> Vec<String> {
    let words: Vec<_> = ["enum", "const"].into_iter().flat_map(|key| values(schema, key)).collect();
    if !words.is_empty() {
        return words.into_iter().map(|word| format!("`{word}`")).collect();
    }
    let types = texts(schema, "type").into_iter().filter(|name| *name != "null");
    let told = types.map(|name| match name {
        "array" => schema.get("items").map_or_else(|| "list".to_owned(), |items| format!("list of {}", kind(items))),
        "object" => "map".to_owned(),
        "integer" | "number" => format!("number{}", range(schema)),
        name => name.to_owned(),
    });
    told.collect()
}

/// The texts and numbers under a key, which contains one or a list.
fn values(schema: &Value, key: &str) -> Vec<String> {
    let values = match schema.get(key) {
        Some(Value::Array(many)) => many.as_slice(),
        one => one.map(std::slice::from_ref).unwrap_or_default(),
    };
    let told = values.iter().filter(|value| value.is_string() || value.is_number());
    told.map(id_text).collect()
}

/// The texts under a key, which contains one or a list.
fn texts<'s>(schema: &'s Value, key: &str) -> Vec<&'s str> {
    match schema.get(key) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn range(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        _ => String::new(),
    }
}

fn time(time: Duration) -> String {
    const HOUR: u64 = 60 * 60;
    match time.as_secs() {
        seconds if seconds >= 48 * HOUR => format!("{} days", seconds / (24 * HOUR)),
        HOUR => "1 hour".to_owned(),
        seconds if seconds > HOUR => format!("{} hours", seconds / HOUR),
        seconds => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_says_how_it_is_undone_or_why_not() {
        let silent: Vec<_> = ALL
            .iter()
            .filter(|step| {
                let text = description(&step.parameters());
                !step.is_passive() && !text.contains("Undone by") && !text.to_lowercase().contains("cannot be undone")
            })
            .map(|step| step.name())
            .collect();
        assert_eq!(silent, [""; 0]);
    }

    #[test]
    fn a_step_is_described_with_its_parameters_and_outputs() {
        let text = section(super::super::named("CreateDropletSnapshot").unwrap());
        let lines = [
            "## CreateDropletSnapshot",
            "The default timeout is 2 hours.",
            "| `droplet_provider_id` | string or number | yes | The id of the droplet. |",
            "| `snapshot_id` | string | The id of the snapshot. |",
        ];
        for line in lines {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
