//! Values of an app's spec: variables, zero values that the API leaves out, and credentials that it returns encrypted.

use serde_json::{Map, Value};

use super::document::is_empty_value;
use crate::comparison::secret;

/// The reason why a recorded credential cannot be verified.
const ENCRYPTED: &str = "DigitalOcean returns it encrypted, so the recorded text cannot be verified";

/// Normalizes two variables: their type and scope have defaults.
pub(super) fn variable(expected: &mut Value, live: &mut Value) -> Option<String> {
    let (Value::Object(expected), Value::Object(live)) = (expected, live) else { return None };
    for (key, default) in [("type", "GENERAL"), ("scope", "RUN_AND_BUILD_TIME")] {
        for variable in [&mut *expected, &mut *live] {
            if variable.get(key).is_none_or(|value| is_empty_value(value) || value == "UNSET") {
                variable.insert(key.into(), default.into());
            }
        }
    }
    let is_secret = |variable: &Map<String, Value>| variable.get("type").is_some_and(|kind| kind == "SECRET");
    if !is_secret(expected) {
        return None;
    }
    let recorded = expected.get_mut("value")?;
    let live_value = live.get("value")?;
    encrypted(recorded, live_value)
}

/// Normalizes a recorded credential and one that the API returns encrypted: each write encrypts it differently. A
/// standing acceptance keeps the fingerprint of the ciphertext.
fn encrypted(recorded: &mut Value, live: &Value) -> Option<String> {
    if !secret::is_ciphertext(live) || is_empty_value(recorded) || recorded == live {
        return None;
    }
    let was_encrypted =
        secret::is_ciphertext(recorded) || secret::is_of_ciphertext(recorded) || secret::stands_for(recorded, live);
    *recorded = live.clone();
    (!was_encrypted).then(|| ENCRYPTED.to_owned())
}

/// Normalizes two values of a spec at a path, which is not within a variable: the API leaves out zero values.
pub(super) fn value(path: &[String], expected: &mut Value, live: &mut Value) -> Option<String> {
    // Variables have a type that marks secrets, and their values are texts: `0` is not blank.
    let is_variable = path.len() >= 3 && path.get(path.len() - 3).is_some_and(|list| list == "envs");
    if is_variable {
        return None;
    }
    if is_empty_value(live) && is_zero(path, expected) {
        *expected = Value::Null;
    }
    if is_empty_value(expected) && is_zero(path, live) {
        *live = Value::Null;
    }
    if expected.is_string() { encrypted(expected, live) } else { None }
}

/// Returns true for the first value of a type, as the API's encoder defines it: false, 0, and the first name of an
/// enumeration.
fn is_zero(path: &[String], value: &Value) -> bool {
    match value {
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => match text.as_str() {
            "false" | "0" | "UNSET" | "UNSPECIFIED" => true,
            "AUTOASSIGN" => path.ends_with(&["egress".to_owned(), "type".to_owned()]),
            text => text.starts_with("UNSPECIFIED_"),
        },
        _ => false,
    }
}
