//! The record around one recorded field: a verdict about a field may depend on its other fields. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::at;

/// The other fields of a record, and the certificates that it named before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// The recorded value of each field or dotted path.
    pub desired: BTreeMap<String, Value>,
    /// The names of recorded certificates by their ids, which may be gone from the account.
    pub certificates: BTreeMap<String, String>,
}

impl Beside {
    /// The recorded value at a path of the document: recorded by that path, or within the map of a path above it.
    pub(super) fn recorded(&self, path: &[String]) -> Option<&Value> {
        (1..=path.len()).rev().find_map(|depth| {
            let (above, below) = path.split_at(depth);
            let value = self.desired.get(&above.join("."))?;
            if below.is_empty() { Some(value) } else { at(value, &below.join(".")) }
        })
    }

    /// Returns true if the value at a path, a map above it, or a part of it is recorded.
    pub(super) fn mentions(&self, path: &[String]) -> bool {
        let path = path.join(".");
        let is_within = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
        self.desired.keys().any(|field| *field == path || is_within(&path, field) || is_within(field, &path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_recorded_by_its_path_or_within_a_map() {
        let desired = [("a.b", json!({"c": [1, 2]})), ("d", json!(3)), ("e.f.g", json!(4))];
        let desired = desired.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        let beside = Beside { desired, ..Beside::default() };
        let path = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        for (at, recorded, is_mentioned) in [
            ("a.b.c.1", Some(json!(2)), true),
            ("a.b", Some(json!({"c": [1, 2]})), true),
            ("a", None, true),
            ("a.bb", None, false),
            ("d", Some(json!(3)), true),
            ("e.f", None, true),
            ("e.h", None, false),
        ] {
            assert_eq!(beside.recorded(&path(at)), recorded.as_ref(), "{at}");
            assert_eq!(beside.mentions(&path(at)), is_mentioned, "{at}");
        }
    }
}
