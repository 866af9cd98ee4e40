//! DigitalOcean's description of its API, for the tests of this module: the extract in `tests/openapi`.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Map, Value};

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../tests/openapi/digitalocean.json")).unwrap());

/// The example responses of a GET of `path`; without examples, one that is built from those of its fields.
pub(super) fn answers(path: &str) -> Vec<Value> {
    let content = content(path);
    let named = content.get("examples").and_then(Value::as_object).into_iter().flatten();
    let mut answers: Vec<Value> = named.map(|(_, example)| referred(example)["value"].clone()).collect();
    answers.extend(content.get("example").cloned());
    if answers.is_empty() {
        answers.push(example(&content["schema"]));
    }
    answers
}

/// Returns true if the value at a path of a document is a credential in any form.
pub(super) fn is_credential(path: &[String]) -> bool {
    let has = |name: &str| path.iter().any(|key| key.contains(name));
    match path.last().map_or("", String::as_str) {
        "password" | "api_key" | "token" | "registry_credentials" | "access_cert" | "user_data" => true,
        // At the top level it is the id of a Spaces key.
        "access_key" => path.len() > 1,
        "uri" => has("connection"),
        "value" => has("envs"),
        "url" => has("slack"),
        _ => false,
    }
}

/// The names of the documented fields of the documents under `key` in the response of a GET of `path`.
pub(super) fn fields(path: &str, key: &str) -> BTreeSet<String> {
    let mut envelope = BTreeSet::new();
    let mut documents = Vec::new();
    properties(&content(path)["schema"], &mut |name, schema| {
        envelope.insert(name.to_owned());
        if name == key {
            documents.push(schema);
        }
    });
    let mut fields = BTreeSet::new();
    if documents.is_empty() {
        // If the examples and the schema contradict each other, the examples are right.
        let of_examples = answers(path).into_iter().filter_map(|answer| answer.get(key)?.as_object().cloned());
        fields.extend(of_examples.flatten().map(|(name, _)| name));
        assert!(!fields.is_empty(), "{path} has no {key:?}, but {envelope:?}");
    }
    for document in documents {
        properties(items(document), &mut |name, _| {
            fields.insert(name.to_owned());
        });
    }
    fields
}

/// A document under `key` in the response of a GET of `path`, with every documented field.
pub(super) fn full_document(path: &str, key: &str) -> Value {
    let mut found = None;
    properties(&content(path)["schema"], &mut |name, schema| {
        if name == key {
            found = Some(full(items(schema), 0));
        }
    });
    found.or_else(|| answers(path).iter().find_map(|answer| answer.get(key).cloned())).unwrap()
}

/// The lists of the account whose documents have their own paths.
pub(super) fn lists() -> Vec<String> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let has_get = |path: &str| paths.get(path).is_some_and(|item| item.get("get").is_some());
    let list = |path: &String| {
        let (list, id) = path.rsplit_once('/')?;
        (has_get(path) && has_get(list) && id.starts_with('{') && !list.contains('{')).then(|| list.to_owned())
    };
    paths.keys().filter_map(list).collect()
}

/// Returns true if a GET of `path` has pages.
pub(super) fn is_paged(path: &str) -> bool {
    let parameters = operation(path).get("parameters").and_then(Value::as_array).into_iter().flatten();
    parameters.map(referred).any(|parameter| parameter["name"] == "page")
}

/// The scopes that a GET of `path` needs.
pub(super) fn scopes(path: &str) -> Vec<&'static str> {
    let scopes = operation(path).pointer("/security/0/bearer_auth").and_then(Value::as_array);
    scopes.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The GET of a path, with any names of its placeholders.
fn operation(path: &str) -> &'static Value {
    let is_same = |(one, other): (&str, &str)| one == other || (one.starts_with('{') && other.starts_with('{'));
    let is_it = |known: &&String| {
        known.split('/').count() == path.split('/').count() && known.split('/').zip(path.split('/')).all(is_same)
    };
    let known = DESCRIPTION["paths"].as_object().unwrap().keys().find(is_it);
    let operation = known.map(|known| &DESCRIPTION["paths"][known]["get"]).filter(|operation| operation.is_object());
    operation.unwrap_or_else(|| panic!("GET {path} is not in tests/openapi/operations.txt"))
}

fn content(path: &str) -> &'static Value {
    &referred(&operation(path)["responses"]["200"])["content"]["application/json"]
}

/// The target of a reference, or the value itself.
fn referred(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(place) => referred(DESCRIPTION.pointer(place.trim_start_matches('#')).unwrap()),
        None => value,
    }
}

/// The schemas that a schema is composed of, including itself.
fn parts(schema: &'static Value) -> Vec<&'static Value> {
    let schema = referred(schema);
    let combined = ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    std::iter::once(schema).chain(combined.flat_map(parts)).collect()
}

/// The schema of a list's items, or of the one document.
fn items(schema: &'static Value) -> &'static Value {
    parts(schema).into_iter().find_map(|part| part.get("items")).unwrap_or(schema)
}

fn properties(schema: &'static Value, each: &mut dyn FnMut(&str, &'static Value)) {
    let properties = parts(schema).into_iter().filter_map(|part| part.get("properties")?.as_object());
    properties.flatten().for_each(|(name, schema)| each(name, schema));
}

/// An example of a schema: its own, or one of its fields' or items' examples.
fn example(schema: &'static Value) -> Value {
    let parts = parts(schema);
    if let Some(example) = parts.iter().find_map(|part| part.get("example")) {
        return example.clone();
    }
    if let Some(items) = parts.iter().find_map(|part| part.get("items")) {
        return Value::from(vec![example(items)]);
    }
    let mut fields = Map::new();
    properties(schema, &mut |name, schema| {
        fields.insert(name.to_owned(), example(schema));
    });
    if fields.is_empty() { Value::Null } else { Value::Object(fields) }
}

/// A value with every field of a schema, to the depth of documents.
fn full(schema: &'static Value, depth: usize) -> Value {
    let parts = parts(schema);
    let mut fields = Map::new();
    if depth < 9 {
        properties(schema, &mut |name, schema| {
            fields.insert(name.to_owned(), full(schema, depth + 1));
        });
    }
    if !fields.is_empty() {
        return fields.into();
    }
    if let Some(items) = parts.iter().find_map(|part| part.get("items")) {
        let example = example(schema);
        let is_plain =
            example.as_array().is_some_and(|items| items.iter().all(|item| item.is_string() || item.is_number()));
        return if is_plain { example } else { Value::from(vec![full(items, depth + 1)]) };
    }
    let example = example(schema);
    if !example.is_null() {
        return example;
    }
    let choice = parts.iter().find_map(|part| part.get("enum")?.as_array()?.first());
    choice.cloned().unwrap_or_else(|| match parts.iter().find_map(|part| part.get("type")?.as_str()) {
        Some("boolean") => true.into(),
        Some("integer" | "number") => 1.into(),
        Some("object") => serde_json::json!({"a": "x"}),
        _ => "text".into(),
    })
}
