//! The labels that the operator puts on each Drift, so that one command can select many. Users script against these
//! names.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::terms::terms;

terms! {
    /// The kind of the live resource.
    KIND = "arcadia.cloud/kind" on "Drift";
    /// The recorded field; shortened, with a hash, if a label cannot contain the name.
    FIELD = "arcadia.cloud/field" on "Drift";
    /// A hash of kind, field, desired value and current live value, of 8 hexadecimal digits. Drifts of many
    /// resources that differ in the same way share it.
    CHANGE = "arcadia.cloud/change" on "Drift";
    /// On the saga of a revert: the UID of the Drift.
    REVERT_OF = "arcadia.cloud/revert-of" on "Saga";
}

/// The maximum length of a label's value.
const LONGEST: usize = 63;

/// All labels of a Drift whose live value is `actual` now.
#[must_use]
pub fn of_drift(kind: &str, field: &str, expected: &str, actual: &str) -> BTreeMap<String, String> {
    [(KIND, kind.to_owned()), (FIELD, value(field)), (CHANGE, change(kind, field, expected, actual))]
        .map(|(label, value)| (label.to_owned(), value))
        .into()
}

/// The value of [`CHANGE`]. Both values are texts as a Drift shows them; lists count as sets.
#[must_use]
pub fn change(kind: &str, field: &str, expected: &str, actual: &str) -> String {
    let parts = [kind.to_owned(), field.to_owned(), canonical(expected), canonical(actual)];
    // As JSON, so that different lists of parts have different texts.
    short_hash(&serde_json::to_string(&parts).unwrap_or_default())
}

/// A field's name as the value of a label. A name that a label cannot contain is truncated and ends in a hash of the
/// whole name.
#[must_use]
pub fn value(field: &str) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.');
    let is_edge = |sign: Option<char>| sign.is_some_and(|sign| sign.is_ascii_alphanumeric());
    let has_edges = is_edge(field.chars().next()) && is_edge(field.chars().next_back());
    if field.len() <= LONGEST && has_edges && field.chars().all(is_plain) {
        return field.to_owned();
    }
    let hash = short_hash(field);
    let readable: String = field
        .chars()
        .map(|sign| if is_plain(sign) { sign } else { '-' })
        .skip_while(|sign| !sign.is_ascii_alphanumeric())
        .take(LONGEST - hash.len() - 1)
        .collect();
    if readable.is_empty() { hash } else { format!("{readable}-{hash}") }
}

/// Eight hexadecimal digits.
pub(crate) fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text).iter().take(4).fold(0_u32, |hash, byte| (hash << 8) | u32::from(*byte));
    format!("{hash:08x}")
}

/// A value in the form of a Drift, with its lists sorted.
fn canonical(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(composite @ (Value::Array(_) | Value::Object(_))) => in_order(composite).to_string(),
        _ => text.to_owned(),
    }
}

fn in_order(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(in_order).collect();
            items.sort_by_cached_key(Value::to_string);
            items.into()
        }
        Value::Object(entries) => {
            let ordered: BTreeMap<_, _> = entries.into_iter().map(|(key, value)| (key, in_order(value))).collect();
            ordered.into_iter().collect::<serde_json::Map<_, _>>().into()
        }
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_change_of_two_resources_has_one_hash_and_another_change_has_another() {
        let size = |expected, actual| change("Droplet", "size_slug", expected, actual);
        let hash = size("s-1", "s-2");
        assert!(hash.len() == 8 && hash.chars().all(|sign| sign.is_ascii_hexdigit()), "{hash}");
        assert_eq!(hash, size("s-1", "s-2"));
        for other in [
            size("s-2", "s-1"),
            size("s-1", "s-3"),
            change("Droplet", "name", "s-1", "s-2"),
            change("Volume", "size_slug", "s-1", "s-2"),
            change("Droplet", "size_slugs-1", "", "s-2"),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn lists_are_sets() {
        let of = |actual| change("Droplet", "tags", "[]", actual);
        assert_eq!(of(r#"["web","prod"]"#), of(r#"["prod","web"]"#));
        assert_eq!(of(r#"[{"a":1,"b":[2,1]}]"#), of(r#"[{"b":[1,2],"a":1}]"#));
        assert_ne!(of(r#"["web"]"#), of(r#"["prod"]"#));
    }

    #[test]
    fn a_field_is_its_own_label_where_it_can_be() {
        assert_eq!(value("size_slug"), "size_slug");
        assert_eq!(value("networks.v4.0.ip_address"), "networks.v4.0.ip_address");
        assert_ne!(value("a/b"), value("a:b"));
        assert!(value("a/b").starts_with("a-b-"), "{}", value("a/b"));
    }

    proptest! {
        #[test]
        fn every_field_has_a_label_that_the_api_server_takes(field in "\\PC{1,80}") {
            let label = value(&field);
            let edges = [label.chars().next(), label.chars().next_back()];
            prop_assert!(edges.into_iter().all(|edge| edge.unwrap().is_ascii_alphanumeric()), "{}", label);
            prop_assert!(label.len() <= LONGEST, "{}", label);
            prop_assert!(label.chars().all(|sign| sign.is_ascii_alphanumeric() || "-_.".contains(sign)), "{}", label);
        }
    }
}
