//! `cargo xtask openapi`: extracts the part of DigitalOcean's API description that tests compare with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

use crate::{Error, project};

/// The operations to extract, one a line: `GET /v2/droplets`.
const OPERATIONS: &str = "tests/openapi/operations.txt";
/// The extract.
const EXTRACT: &str = "tests/openapi/digitalocean.json";

/// Keywords that are documentation, not constraints.
const PROSE: [&str; 7] = ["deprecated", "description", "externalDocs", "operationId", "summary", "tags", "title"];
/// Keywords whose object has chosen names as keys.
const NAMED: [&str; 7] =
    ["content", "examples", "headers", "parameters", "patternProperties", "properties", "responses"];
/// Keywords whose value is data.
const DATA: [&str; 4] = ["default", "enum", "example", "value"];

/// Writes the extract of the bundled description in a file: JSON or YAML, compressed or not.
pub(crate) fn extract(from: &Path) -> Result<(), Error> {
    let description = read(from)?;
    let listed = project::root().join(OPERATIONS);
    let listed = fs::read_to_string(listed).map_err(Error::system(format!("read {OPERATIONS}")))?;
    let wrong = |operation: &str| Error::NoOperation { operation: operation.to_owned(), list: OPERATIONS };
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for line in listed.lines() {
        let (method, path) = line.split_once(' ').ok_or_else(|| wrong(line))?;
        let (method, item) = (method.to_lowercase(), description.pointer(&pointer(&["paths", path])));
        let operation = item.and_then(|item| item.get(&method)).ok_or_else(|| wrong(line))?;
        let extracted = paths.entry(path).or_default();
        extracted.insert(method.clone(), constraints(operation.clone(), &method));
        if let Some(parameters) = item.and_then(|item| item.get("parameters")) {
            extracted.insert("parameters".to_owned(), pruned(parameters.clone(), false));
        }
    }
    let paths = paths.into_iter().map(|(path, item)| (path.to_owned(), Value::Object(item))).collect();
    let components = components(&description, &paths)?;
    let text = written(&description, &paths, &components);
    fs::write(project::root().join(EXTRACT), text).map_err(Error::system(format!("write {EXTRACT}")))?;
    println!("wrote {EXTRACT}: {} operations", listed.lines().count());
    Ok(())
}

fn read(path: &Path) -> Result<Value, Error> {
    let file = fs::read(path).map_err(Error::system(format!("read {}", path.display())))?;
    let mut text = String::new();
    let decoded = if file.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(file.as_slice()).read_to_string(&mut text)
    } else {
        file.as_slice().read_to_string(&mut text)
    };
    decoded.map_err(Error::system(format!("read {}", path.display())))?;
    let wrong = |reason: String| Error::NoDescription { path: PathBuf::from(path), reason };
    // The description is published as YAML, but 2 MB of JSON parse much faster.
    if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    } else {
        serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}

/// The JSON pointer to a place.
fn pointer(segments: &[&str]) -> String {
    let mut pointer = String::new();
    for segment in segments {
        pointer.push('/');
        pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

/// An operation without documentation, and without examples except those of GET responses.
fn constraints(operation: Value, method: &str) -> Value {
    let mut operation = pruned(operation, false);
    if method != "get" {
        remove_examples(&mut operation);
    }
    if let Some(body) = operation.get_mut("requestBody") {
        remove_examples(body);
    }
    operation
}

/// Removes the examples of whole bodies, and keeps those in schemas.
fn remove_examples(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("schema") {
                fields.retain(|key, _| key != "example" && key != "examples");
            }
            fields.iter_mut().filter(|(key, _)| *key != "schema").for_each(|(_, value)| remove_examples(value));
        }
        Value::Array(items) => items.iter_mut().for_each(remove_examples),
        _ => {}
    }
}

/// A part of the description without documentation; `is_named` if its keys are names, not keywords.
fn pruned(value: Value, is_named: bool) -> Value {
    let field = |(key, value): (String, Value)| {
        if is_named {
            return Some((key, pruned(value, false)));
        }
        if PROSE.contains(&key.as_str()) || key.starts_with("x-") {
            return None;
        }
        let value = if DATA.contains(&key.as_str()) { value } else { pruned(value, NAMED.contains(&key.as_str())) };
        Some((key, value))
    };
    match value {
        Value::Object(fields) => fields.into_iter().filter_map(field).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.into_iter().map(|item| pruned(item, false)).collect(),
        other => other,
    }
}

/// All components that the paths refer to, directly or through others, by section and name.
fn components(description: &Value, paths: &Map<String, Value>) -> Result<BTreeMap<String, Map<String, Value>>, Error> {
    let mut sections: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut open = BTreeSet::new();
    paths.values().for_each(|item| references(item, &mut open));
    let mut done = BTreeSet::new();
    while let Some(reference) = open.pop_first() {
        if !done.insert(reference.clone()) {
            continue;
        }
        let place = reference.trim_start_matches('#');
        let found = description.pointer(place);
        let component = place.strip_prefix("/components/").and_then(|place| place.split_once('/')).zip(found);
        let ((section, name), component) =
            component.ok_or_else(|| Error::NoComponent { reference: reference.clone() })?;
        let mut component = pruned(component.clone(), false);
        if section == "responses" && !is_read(paths, &reference) {
            remove_examples(&mut component);
        }
        references(&component, &mut open);
        sections.entry(section.to_owned()).or_default().insert(name.to_owned(), component);
    }
    Ok(sections)
}

/// Returns true if a response is the regular response of a GET.
fn is_read(paths: &Map<String, Value>, reference: &str) -> bool {
    paths.values().any(|item| item.pointer("/get/responses/200/$ref").and_then(Value::as_str) == Some(reference))
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The extract as text, with a line for each path and component, so that a diff is readable.
fn written(
    description: &Value,
    paths: &Map<String, Value>,
    components: &BTreeMap<String, Map<String, Value>>,
) -> String {
    let version = |place| description.pointer(place).and_then(Value::as_str).unwrap_or_default();
    let info = serde_json::json!({
        "title": format!("An extract of {}", version("/info/title")), "version": version("/info/version"),
        "license": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html"},
    });
    let sections: Vec<String> = components
        .iter()
        .map(|(section, named)| format!("{}:{}", Value::from(section.as_str()), lines(named)))
        .collect();
    format!(
        "{{\"openapi\":{},\"info\":{info},\n\"paths\":{},\n\"components\":{{{}}}}}\n",
        Value::from(version("/openapi")),
        lines(paths),
        sections.join(",\n"),
    )
}

fn lines(named: &Map<String, Value>) -> String {
    let line = |(name, value): (&String, &Value)| {
        let mut value = value.clone();
        value.sort_all_objects();
        format!("{}:{value}", Value::from(name.as_str()))
    };
    let mut lines: Vec<String> = named.iter().map(line).collect();
    lines.sort();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prose_goes_and_what_is_only_named_like_it_stays() {
        let schema = json!({
            "description": "A droplet.", "x-order": 1, "type": "object",
            "properties": {"description": {"type": "string", "title": "T"}, "tags": {"type": "array", "items": {"description": "x"}}},
            "example": {"title": "kept", "description": "kept"},
        });
        let wanted = json!({
            "type": "object", "properties": {"description": {"type": "string"}, "tags": {"type": "array", "items": {}}},
            "example": {"title": "kept", "description": "kept"},
        });
        assert_eq!(pruned(schema, false), wanted);
    }

    #[test]
    fn only_what_a_get_answers_keeps_its_examples() {
        let body = json!({"content": {"application/json": {"schema": {"example": 1}, "example": 2, "examples": {"a": {"value": 3}}}}});
        let operation = json!({"requestBody": body, "responses": {"200": body}});
        let without = json!({"content": {"application/json": {"schema": {"example": 1}}}});
        assert_eq!(constraints(operation.clone(), "get"), json!({"requestBody": without, "responses": {"200": body}}));
        assert_eq!(constraints(operation, "put"), json!({"requestBody": without, "responses": {"200": without}}));
    }
}
