//! What sagas show of values that may hold credentials: fingerprints.

use serde_json::{Map, Value};

use super::step::short_digest;

/// Words in the name of a field that holds a credential.
const NAMES: [&str; 14] = [
    "apikey",
    "auth",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "key",
    "passphrase",
    "passwd",
    "password",
    "private",
    "secret",
    "token",
    "webhook",
];
/// How texts begin that are credentials.
const BEGINNINGS: [&str; 4] = ["Basic ", "Bearer ", "EV[", "-----BEGIN "];

/// The value with a fingerprint in the place of each part that may be a credential: by the name of its field, or by what
/// it looks like.
pub(super) fn hide(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(hide_field).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().map(hide).collect(),
        Value::String(text) if looks_secret(text) => fingerprint(value),
        other => other.clone(),
    }
}

fn hide_field((name, value): (&String, &Value)) -> (String, Value) {
    let is_empty = match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) => false,
    };
    let hidden = if is_secret_name(name) && !is_empty { fingerprint(value) } else { hide(value) };
    (name.clone(), hidden)
}

fn fingerprint(value: &Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("(secret, sha256:{})", short_digest(&text, 4)).into()
}

/// Whether one of the words of a name, such as `api_token` or `accessKey`, is one for credentials.
fn is_secret_name(name: &str) -> bool {
    let mut words = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (was_lower && letter.is_uppercase()) {
            words.push(' ');
        }
        was_lower = letter.is_lowercase() || letter.is_numeric();
        words.extend(letter.to_lowercase().filter(|letter| letter.is_alphanumeric()));
    }
    let is_secret =
        |word: &str| NAMES.contains(&word) || word.strip_suffix('s').is_some_and(|one| NAMES.contains(&one));
    words.split(' ').any(is_secret)
}

/// Whether a text is a credential or a URL with one in it.
fn looks_secret(text: &str) -> bool {
    if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        return true;
    }
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let names = query.split(['&', ';', '#']).filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    authority.contains('@') || names.into_iter().any(is_secret_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_become_fingerprints_and_the_rest_stays() {
        let open = json!({"id": 7, "name": "web", "url": "https://example.com/a?page=2", "tokens": [], "secret": "",
                          "monkey": "x", "keyboard": "y", "list": [{"a": null}]});
        assert_eq!(hide(&open), open);
        let hidden = hide(&json!({
            "apiToken": "canary", "db": {"password": "canary", "PASSWORD_2": 5}, "ssh_keys": ["canary"],
            "urls": ["https://jane:canary@example.com/", "https://example.com/?access_token=canary"],
            "header": "Bearer canary",
        }));
        let text = hidden.to_string();
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(hidden["apiToken"], json!("(secret, sha256:e100fbce)"));
        assert_eq!(text.matches("(secret, sha256:").count(), 7, "{text}");
    }
}
