//! Credentials in documents: detected by path or by appearance, and shown as fingerprints.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    identity::identity,
    rules::{NoRules, Rules},
    scalar::{is_blank, text},
    show,
};

/// The start of each fingerprint.
const START: &str = "(secret, sha256:";
/// The end of the fingerprint of a ciphertext.
const END_OF_CIPHERTEXT: &str = ", encrypted)";
/// The maximum length of a name within a text.
const LONGEST_NAME: usize = 64;
/// The start of a ciphertext.
const CIPHERTEXT: &str = "EV[";

/// A value with each credential in it replaced by its fingerprint.
#[must_use]
pub(crate) fn hide(rules: &impl Rules, path: &[String], value: &Value) -> Value {
    hide_at(rules, is_secret_name, &mut path.to_vec(), value)
}

/// Hides credentials in a value without rules: only names and appearance count.
#[must_use]
pub(crate) fn hide_unknown(value: &Value) -> Value {
    hide(&NoRules, &[], value)
}

/// Hides credentials in a response of an unknown service, where a `key` is as likely a credential as a name.
#[must_use]
pub(crate) fn hide_response(value: &Value) -> Value {
    hide_at(&NoRules, |key| is_secret_name(key) || key.eq_ignore_ascii_case("key"), &mut Vec::new(), value)
}

/// Hides credentials in a text of unknown origin, such as an error of a third party.
#[must_use]
pub(crate) fn hide_text(text: &str) -> String {
    if !is_fingerprint(&text.into()) && looks_secret(text) { fingerprint(&Value::from(text)) } else { text.to_owned() }
}

/// A message of a third party about a value that it was sent, with the credentials of that value as fingerprints. A message
/// that contains another credential is replaced as a whole.
#[must_use]
pub(crate) fn hide_echoes(message: &str, sent: &Value) -> String {
    let (hidden, mut echoes) = (hide_unknown(sent), Vec::new());
    echoes_of(sent, &hidden, &mut echoes);
    hide_text(&echoes.iter().fold(message.to_owned(), |text, (plain, hidden)| text.replace(&**plain, hidden)))
}

/// The texts and numbers of a value, and the texts that replace them: their fingerprints if they are hidden.
fn echoes_of<'v>(value: &'v Value, hidden: &'v Value, echoes: &mut Vec<(Cow<'v, str>, &'v str)>) {
    match (value, hidden) {
        (plain, Value::String(hidden)) => echoes.extend(text(plain).map(|plain| (plain, hidden.as_str()))),
        (Value::Object(entries), Value::Object(hidden)) => {
            entries.iter().zip(hidden.values()).for_each(|((_, value), hidden)| echoes_of(value, hidden, echoes));
        }
        (Value::Array(items), Value::Array(hidden)) => {
            items.iter().zip(hidden).for_each(|(item, hidden)| echoes_of(item, hidden, echoes));
        }
        _ => {}
    }
}

/// `(secret, sha256:1a2b3c4d)`: equal for equal values, so that a change is visible. The fingerprint of a ciphertext is
/// marked: `(secret, sha256:1a2b3c4d, encrypted)`.
#[must_use]
pub(crate) fn fingerprint(value: &Value) -> String {
    if let Some(text) = value.as_str().filter(|_| is_fingerprint(value)) {
        return text.to_owned();
    }
    let end = if is_ciphertext(value) { END_OF_CIPHERTEXT } else { ")" };
    format!("{START}{}{end}", digest(value))
}

/// The first four bytes of a value's SHA-256, in hexadecimal.
#[must_use]
pub(crate) fn digest(value: &Value) -> String {
    let digest = Sha256::digest(show::full(value));
    digest.iter().take(4).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns true if a value is the ciphertext of a credential.
#[must_use]
pub(crate) fn is_ciphertext(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(CIPHERTEXT))
}

/// Returns true if a value is the fingerprint of a ciphertext.
#[must_use]
pub(crate) fn is_of_ciphertext(value: &Value) -> bool {
    is_fingerprint(value) && value.as_str().is_some_and(|text| text.ends_with(END_OF_CIPHERTEXT))
}

/// Returns true if one value is the fingerprint of the other. Standing acceptances keep credentials as fingerprints.
#[must_use]
pub(crate) fn stands_for(hidden: &Value, value: &Value) -> bool {
    is_fingerprint(hidden) && !is_blank(value) && hidden.as_str() == Some(fingerprint(value).as_str())
}

/// Returns true if a value holds the fingerprint of a credential.
#[must_use]
pub(crate) fn is_hidden(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_hidden),
        Value::Object(entries) => entries.values().any(is_hidden),
        value => is_fingerprint(value),
    }
}

/// Replaces each ciphertext in a value by the plain text that is recorded at its place.
pub(super) fn keep(rules: &impl Rules, recorded: &Value, value: &Value) -> Value {
    match (recorded, value) {
        (Value::Object(recorded), Value::Object(entries)) => {
            let kept = entries.iter().map(|(key, value)| {
                let recorded = recorded.get(key);
                (key.clone(), recorded.map_or_else(|| value.clone(), |recorded| keep(rules, recorded, value)))
            });
            kept.collect::<Map<_, _>>().into()
        }
        (Value::Array(recorded), Value::Array(items)) => {
            let kept = items.iter().enumerate().map(|(position, item)| {
                let same = recorded.iter().find(|one| identity(one, item) == Some(true));
                let in_place = || recorded.get(position).filter(|_| recorded.len() == items.len());
                same.or_else(in_place).map_or_else(|| item.clone(), |one| keep(rules, one, item))
            });
            kept.collect::<Vec<_>>().into()
        }
        (Value::String(_), value)
            if rules.is_encrypted(value) && !rules.is_encrypted(recorded) && !is_blank(recorded) =>
        {
            recorded.clone()
        }
        _ => value.clone(),
    }
}

/// The number of ciphertexts in a value.
pub(super) fn encrypted(rules: &impl Rules, value: &Value) -> usize {
    match value {
        Value::Object(entries) => entries.values().map(|value| encrypted(rules, value)).sum(),
        Value::Array(items) => items.iter().map(|item| encrypted(rules, item)).sum(),
        value => usize::from(rules.is_encrypted(value)),
    }
}

fn hide_at(rules: &impl Rules, is_secret: fn(&str) -> bool, at: &mut Vec<String>, value: &Value) -> Value {
    if is_blank(value) || is_fingerprint(value) {
        return value.clone();
    }
    let is_leaf = value.is_string() || value.is_number();
    let is_position = |key: &&String| key.bytes().all(|byte| byte.is_ascii_digit());
    let name = at.iter().rev().find(|key| !is_position(key));
    let is_named = name.is_some_and(|key| is_secret(key) && (value.is_string() || is_password_name(key)));
    if rules.is_credential(at) || (is_leaf && is_named) {
        return fingerprint(value).into();
    }
    match value {
        Value::Object(entries) => {
            let hidden = entries.iter().map(|(key, value)| {
                at.push(key.clone());
                let hidden = hide_at(rules, is_secret, at, value);
                at.pop();
                (key.clone(), hidden)
            });
            hidden.collect::<Map<_, _>>().into()
        }
        Value::Array(items) => {
            let hidden = items.iter().enumerate().map(|(position, value)| {
                at.push(position.to_string());
                let hidden = hide_at(rules, is_secret, at, value);
                at.pop();
                hidden
            });
            hidden.collect::<Vec<_>>().into()
        }
        Value::String(text) if looks_secret(text) => fingerprint(value).into(),
        value => value.clone(),
    }
}

fn is_fingerprint(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(START) && text.ends_with(')'))
}

/// Returns true if a key names a credential, in any spelling: `api_key`, `webhookURL`, `db-password`.
fn is_secret_name(key: &str) -> bool {
    let name: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let anywhere =
        ["password", "passwd", "passphrase", "secret", "credential", "webhook", "privatekey", "apikey", "accesskey"];
    let ends = ["token", "tokens", "pwd"];
    let alone = ["cookie", "setcookie", "keys"];
    let words = ["auth", "authorization", "token", "tokens", "pass", "pwd", "psk"];
    anywhere.iter().any(|part| name.contains(part))
        || ends.iter().any(|end| name.ends_with(end))
        || alone.contains(&name.as_str())
        // Most names contain none of them.
        || (words.iter().any(|word| name.contains(word)) && words_of(key).iter().any(|word| words.contains(&word.as_str())))
        // The key of a variable or a taint is its name, and public keys are no secret.
        || ["key", "keys"].iter().any(|end| {
            name.strip_suffix(end).is_some_and(|rest| !rest.is_empty() && rest != "ssh" && !rest.ends_with("public"))
        })
}

/// The words of a name in any spelling, in lower case: `tokenValue` has two.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for sign in name.chars() {
        if !sign.is_ascii_alphanumeric() || (was_lower && sign.is_ascii_uppercase()) {
            words.push(String::new());
        }
        was_lower = sign.is_ascii_lowercase() || sign.is_ascii_digit();
        if let Some(word) = words.last_mut().filter(|_| sign.is_ascii_alphanumeric()) {
            word.push(sign.to_ascii_lowercase());
        }
    }
    words
}

/// Returns true if a key names a password, which may be a number.
fn is_password_name(key: &str) -> bool {
    let name = key.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "secret"].iter().any(|part| name.contains(part))
}

/// Returns true if a text looks like a credential, at any place.
fn looks_secret(text: &str) -> bool {
    let folded = text.to_ascii_lowercase();
    has_user_info(text)
        || folded.contains("bearer ")
        || folded.contains("authorization: basic ")
        || is_document_with_secret(text)
        || [CIPHERTEXT, "Basic "].iter().any(|start| text.starts_with(start))
        || text.contains("PRIVATE KEY-----")
        || [
            "dop_v1_",
            "doo_v1_",
            "dor_v1_",
            "ghp_",
            "gho_",
            "ghs_",
            "github_pat_",
            "glpat-",
            "xoxb-",
            "xoxp-",
            "hooks.slack.com/services/",
        ]
        .iter()
        .any(|start| text.contains(start))
        || is_token_in_query(text)
        || assigns_secret(text)
        || is_web_token(text)
}

/// Detects `https://user:password@host` and `https://token@host`.
fn has_user_info(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let rest = text.get(at + separator.len()..).unwrap_or_default();
        let authority = rest.split(['/', '?', '#', ' ', '"']).next().unwrap_or_default();
        let is_plain = authority.rsplit_once('@').is_some_and(|(user, _)| !user.is_empty());
        // A password may contain the characters that end an authority.
        let user = rest.split([' ', '"']).next().unwrap_or_default().split_once('@').map(|(user, _)| user);
        is_plain || user.and_then(|user| user.split_once(':')).is_some_and(|(user, _)| !user.contains('/'))
    })
}

/// Detects a JSON document as text that contains a credential.
fn is_document_with_secret(text: &str) -> bool {
    if !text.starts_with(['{', '[']) {
        return false;
    }
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    parsed.is_some_and(|parsed| hide_unknown(&parsed) != parsed)
}

/// Detects `?token=...` and similar parameters in a URL.
fn is_token_in_query(text: &str) -> bool {
    let Some((_, query)) = text.split_once('?') else { return false };
    query.split(['&', '#']).filter_map(|part| part.split_once('=')).any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        !value.is_empty() && (is_secret_name(&name) || ["sig", "signature", "key", "auth"].contains(&name.as_str()))
    })
}

/// Detects `--password=...`, `PGPASSWORD=...`, `Password=...;`, `token: ...` and `--token ...` in commands, scripts and
/// connection strings.
fn assigns_secret(text: &str) -> bool {
    let assigned = text.match_indices(['=', ':']).any(|(at, sign)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + sign.len()..).unwrap_or_default());
        let before = before.trim_end_matches(['"', '\'', ' ']);
        let is_of_name = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.');
        let name = before.rsplit(|sign| !is_of_name(sign)).next().unwrap_or_default();
        // A longer one is no name, but a part of a key or a digest.
        if name.len() > LONGEST_NAME || !is_secret_name(name) {
            return false;
        }
        if sign == "=" {
            return after.starts_with(|sign: char| !sign.is_whitespace() && !matches!(sign, '=' | ';' | '&' | ','));
        }
        // A sentence after a colon is prose, one word is a value.
        let line = after.split(['\n', ',', ';', '}']).next().unwrap_or_default().trim();
        !line.is_empty() && !line.contains(char::is_whitespace) && !after.starts_with("//")
    });
    let mut words = text.split_whitespace().peekable();
    let mut is_flag_of_secret = || {
        let flag = words.next()?.strip_prefix("--").filter(|flag| !flag.contains('=') && is_secret_name(flag));
        Some(flag.is_some() && words.peek().is_some_and(|value| !value.starts_with('-')))
    };
    assigned || std::iter::from_fn(&mut is_flag_of_secret).any(|is| is)
}

/// Detects a JSON Web Token: three parts in base64, of which the first starts with `{"`.
fn is_web_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3 && text.len() > 40
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_that_quotes_a_credential_shows_its_fingerprint() {
        let url = "https://user:CANARY@example.com/x";
        let sent = json!({
            "rules": [{"type": url}], "db": {"password": "CANARY", "passphrase": 71_718}, "tokens": ["SECOND"], "name": "web",
        });
        for (message, wanted) in [
            ("the name \"web\" is taken", "the name \"web\" is taken".to_owned()),
            ("CANARY is too short", format!("{} is too short", fingerprint(&json!("CANARY")))),
            ("SECOND is too short", format!("{} is too short", fingerprint(&json!("SECOND")))),
            ("71718 is too short", format!("{} is too short", fingerprint(&json!(71_718)))),
        ] {
            assert_eq!(hide_echoes(message, &sent), wanted);
        }
        let told = hide_echoes(&format!("{url:?} is not a valid type"), &sent);
        assert!(!told.contains("CANARY") && told.contains("(secret, sha256:"), "{told}");
    }

    #[test]
    fn credentials_are_hidden_by_name_and_by_look_at_any_depth() {
        for secret in [
            json!({"a": [{"db_password": "CANARY"}]}),
            json!({"apiKey": "CANARY"}),
            json!({"access_key": "CANARY"}),
            json!({"auth_token": "CANARY"}),
            json!({"webhook_url": "CANARY"}),
            json!({"clientSecret": "CANARY"}),
            json!({"Set-Cookie": "CANARY"}),
            json!({"header": "Bearer CANARY"}),
            json!({"run_command": "curl -H 'Authorization: bearer CANARY' localhost"}),
            json!({"tokens": ["CANARY"]}),
            json!({"url": "https://u:pa/ss?CANARY@example.com"}),
            json!({"target": "example.com/health?token=CANARY"}),
            json!({"body": "{\"password\":\"CANARY\"}"}),
            json!({"git": {"repo_clone_url": "https://x:CANARY@git.example.com/a.git"}}),
            json!({"git": {"repo_clone_url": "https://CANARY@git.example.com/a.git"}}),
            json!({"url": "https://hooks.slack.com/services/T0/B0/CANARY"}),
            json!({"url": "https://example.com/in?token=CANARY"}),
            json!({"url": "https://example.com/in?pass=CANARY"}),
            json!({"url": "https://example.com/#access_token=CANARY"}),
            json!({"db_pass": "CANARY", "pwd": "CANARY", "user_pwd": "CANARY", "wifi-psk": "CANARY"}),
            json!({"tokenValue": "CANARY", "userPass": "CANARY", "keys": ["CANARY"], "api_keys": ["CANARY"]}),
            json!({"run_command": "serve --password=CANARY"}),
            json!({"run_command": "serve --auth-token CANARY --port 80"}),
            json!({"build_command": "PGPASSWORD=CANARY psql"}),
            json!({"dsn": "Server=db;User Id=app;Password=CANARY;"}),
            json!({"user_data": "#cloud-config\npassword: CANARY\nssh_pwauth: true"}),
            json!({"x": "EV[1:CANARY]"}),
            json!({"x": "dop_v1_CANARY"}),
            json!({"x": "-----BEGIN RSA PRIVATE KEY-----\nCANARY"}),
            json!({"x": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.CANARY"}),
            json!({"x": format!("{}token=CANARY", "a".repeat(59))}),
            json!({"url": "https://example.com/in?page=1&sig=CANARY"}),
            json!({"body": "{\"tokens\": [ \"CANARY\", \"b\" ]}"}),
            json!({"root_password": 71_718}),
            json!("postgresql://doadmin:CANARY@db.example.com:25060/defaultdb"),
        ] {
            let hidden = hide_unknown(&secret).to_string();
            assert!(!hidden.contains("CANARY") && hidden.contains(START), "{secret}: {hidden}");
        }
    }

    #[test]
    fn values_that_are_no_credentials_stay_as_they_are() {
        for value in [
            json!({"key": "LOG_LEVEL", "public_key": "ssh-rsa AAAA me", "fingerprint": "aa:bb"}),
            json!({"target": "https://example.com/health?full=1"}),
            json!({"email": "a@example.com", "password": "", "token": null}),
            json!({"error": "authorization: the token is not valid", "run_command": "npm start -- --port=80 --verbose"}),
            json!({"note": "compass=1 bypass=2 key=3", "url": "https://example.com/?page=2#top", "pass_count": 3}),
            json!({"ssh": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDkey== me@host", "max_tokens": 100}),
            json!({"url": "https://example.com/@jane", "query": "https://example.com/?page=2&sig=&key=", "body": "{\"size\": 1}"}),
            json!({"digest": format!("{}token=x", "a".repeat(60)), "version": "eyJ.1.2", "host": "eyJ-is-no-token.of-a-web-service.but-a-name.example.com"}),
            json!({"monkey": 1, "private_network_uuid": "0-1", "ssh_keys": ["ssh-ed25519 AAAA"], "author": "jane"}),
            json!(["web", "prod"]),
        ] {
            assert_eq!(hide_unknown(&value), value);
        }
    }

    #[test]
    fn a_key_in_a_response_is_a_credential_and_in_a_document_a_name() {
        let document = json!({"key": "LOG_LEVEL", "nested": [{"key": "a"}], "count": 1});
        assert_eq!(hide_unknown(&document), document);
        let hidden = hide_response(&document);
        assert!(!hidden.to_string().contains("LOG_LEVEL") && !hidden.to_string().contains("\"a\""), "{hidden}");
        assert_eq!(hidden["count"], json!(1));
    }

    #[test]
    fn a_value_is_hidden_if_it_holds_a_fingerprint_at_any_depth() {
        let hidden = hide_unknown(&json!({"password": "hunter2"}));
        for value in [&hidden["password"], &hidden, &json!(["web", {"db": hidden}])] {
            assert!(is_hidden(value), "{value}");
        }
        for value in [json!("web"), json!(null), json!(1), json!([]), json!({}), json!([{"password": "hunter2"}])] {
            assert!(!is_hidden(&value), "{value}");
        }
    }

    #[test]
    fn a_name_of_a_credential_before_a_value_assigns_it() {
        for text in ["token=x", "a=1 token=x", "token: x", "{'token': x}", "--token x", "--port 80 --token x"] {
            assert!(assigns_secret(text), "{text}");
        }
        for text in [
            "token",
            "token=",
            "token==",
            "token= x",
            "token=;x",
            "token:",
            "token: x y",
            "token://x",
            "port=80",
            "port: 80",
            "--port 80",
            "--token",
            "--token --port 80",
            "token x",
        ] {
            assert!(!assigns_secret(text), "{text}");
        }
    }

    #[test]
    fn a_web_token_has_three_parts_and_more_than_40_bytes() {
        let text = |start: &str, middle: usize, end: &str| format!("{start}{}{end}", "a".repeat(middle));
        assert!(is_web_token(&text("eyJ", 34, ".b.c")));
        for other in
            [text("eyJ", 33, ".b.c"), text("eyJ", 34, ".b.c.d"), text("eyJ", 40, ".b"), text("abc", 34, ".b.c")]
        {
            assert!(!is_web_token(&other), "{other}");
        }
    }

    #[test]
    fn a_fingerprint_is_short_stable_and_hidden_once() {
        let once = hide_unknown(&json!({"password": "hunter2"}));
        assert_eq!(once, json!({"password": "(secret, sha256:f52fbd32)"}));
        assert_eq!(hide_unknown(&once), once);
        assert_ne!(hide_unknown(&json!({"password": "hunter3"})), once);
    }
}
