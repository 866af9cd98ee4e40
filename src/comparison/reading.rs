//! Parsing of values that were shown in full.

use serde_json::Value;

use super::{equality::is_alike, scalar, show::full};

/// Returns true if a text that was shown in full represents this value. Lists may be in another order.
#[must_use]
pub(crate) fn stands_for(text: &str, value: &Value) -> bool {
    if text == full(value) {
        return true;
    }
    match read(text) {
        Value::String(text) => scalar::is_blank(value) && text.is_empty(),
        Value::Null => scalar::is_blank(value),
        composite => is_alike(&composite, value),
    }
}

/// A shown text as a value: lists, maps and null as JSON, anything else as text, since scalars are equal by their text.
#[must_use]
pub(crate) fn read(text: &str) -> Value {
    let is_composite = text.starts_with(['[', '{']) || text == "null";
    let parsed = is_composite.then(|| serde_json::from_str(text).ok()).flatten();
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shown_list_matches_its_value_in_any_order() {
        assert!(stands_for(r#"["web","prod"]"#, &json!(["prod", "web"])));
        assert!(!stands_for("1.10", &json!("1.1")));
        assert!(stands_for("", &json!(null)) && !stands_for("web", &json!(null)) && !stands_for("", &json!("web")));
        assert!(!stands_for(r#"{"a":1}"#, &json!({"a": 1, "b": 2})));
    }
}
