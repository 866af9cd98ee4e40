//! Templates: the default fields of each kind.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::{
    generated::{now, uuid},
    kinds::Kind,
};

static TEMPLATES: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("templates.json")).unwrap_or_else(|error| {
        // Part of the source: a test reads it, so this is unreachable in a tested build.
        eprintln!("templates.json: {error}");
        Map::new()
    })
});

/// Adds the missing fields to a document, in the order of the template.
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

/// The default value of a field; `None` if documents then lack it.
pub(crate) fn default_of(kind: &Kind, field: &str) -> Option<Value> {
    TEMPLATES.get(kind.collection)?.get(field).map(fill)
}

/// Replaces `@now` and `@uuid` of a template with values.
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
