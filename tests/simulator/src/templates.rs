//! What a resource of each kind looks like when its document says nothing else.

use crate::cloud::{now, uuid};
use crate::kinds::Kind;
use serde_json::{Map, Value};
use std::sync::LazyLock;

static TEMPLATES: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("templates.json")).unwrap_or_else(|error| {
        // Part of the source: a test reads it, so this cannot be reached in a build that passed.
        eprintln!("templates.json: {error}");
        Map::new()
    })
});

/// The document with the fields it lacks, in the template's order.
pub(crate) fn complete(kind: &Kind, document: Value) -> Value {
    let (Some(Value::Object(template)), Value::Object(mut given)) = (TEMPLATES.get(kind.collection), document.clone())
    else {
        return document;
    };
    let mut whole = Map::new();
    for (field, default) in template {
        let value = given.remove(field).unwrap_or_else(|| fill(default));
        whole.insert(field.clone(), value);
    }
    whole.extend(given);
    Value::Object(whole)
}

/// The value of a field where nobody has said one; `None` where documents then lack it.
pub(crate) fn default_of(kind: &Kind, field: &str) -> Option<Value> {
    TEMPLATES.get(kind.collection)?.get(field).map(fill)
}

/// Templates say `@now` and `@uuid` where every resource has its own.
fn fill(default: &Value) -> Value {
    match default {
        Value::String(text) if text == "@now" => Value::from(now()),
        Value::String(text) if text == "@uuid" => Value::from(uuid()),
        Value::Array(items) => items.iter().map(fill).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), fill(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_templates_are_json() {
        assert!(super::TEMPLATES.len() > 10);
    }
}
