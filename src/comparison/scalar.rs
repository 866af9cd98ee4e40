//! Canonical text of scalars, and blank values.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// The canonical text of a scalar; none for lists and maps.
#[must_use]
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(number) => Some(Cow::Owned(number_text(number))),
        Value::Null => Some(Cow::Borrowed("")),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Integers without a fraction: JSON does not distinguish `2` from `2.0`.
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        // Removes the sign of -0.0.
        Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{:.0}", float + 0.0),
        _ => number.to_string(),
    }
}

/// Returns true for null, `""`, `[]` and `{}`, and for lists and maps that contain only these.
#[must_use]
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(map) => map.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
