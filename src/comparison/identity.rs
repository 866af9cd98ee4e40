//! The identity of list items: the keys that decide whether two items are the same.

use serde_json::Value;

use super::scalar::{is_blank, text};

/// The keys that identify the items of a list, in order of preference.
const IDENTITIES: [&[&str]; 7] =
    [&["id"], &["uuid"], &["name"], &["key"], &["entry_protocol", "entry_port"], &["domain"], &["vpc_uuid"]];

/// Returns true if two items have the same identity; none if they have no identity that both name.
pub(super) fn identity(one: &Value, other: &Value) -> Option<bool> {
    let same = |key: &str| {
        let one = one.get(key).filter(|value| !is_blank(value)).and_then(text)?;
        Some(other.get(key).and_then(text).is_some_and(|other| one.eq_ignore_ascii_case(&other)))
    };
    IDENTITIES
        .iter()
        .find_map(|keys| keys.iter().map(|key| same(key)).collect::<Option<Vec<_>>>())
        .map(|keys| keys.iter().all(|same| *same))
}
