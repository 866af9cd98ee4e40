//! Texts in values, rewritten at any depth. Pure helpers of the equivalences.

use serde_json::Value;

/// Rewrites each text in both values.
pub(super) fn both(expected: &mut Value, live: &mut Value, rewrite: &dyn Fn(&str) -> String) {
    each_text(expected, rewrite);
    each_text(live, rewrite);
}

/// Rewrites each text in a value.
pub(super) fn each_text(value: &mut Value, rewrite: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = rewrite(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, rewrite)),
        Value::Object(entries) => entries.values_mut().for_each(|item| each_text(item, rewrite)),
        _ => {}
    }
}

/// A text itself, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
