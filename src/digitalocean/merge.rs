//! Merges the responses that show parts of one live resource. Pure.

use serde_json::Value;

use super::document::Pattern;

/// The keys that pair items of lists; the first key that an item has is used.
const IDENTITIES: [&str; 6] = ["id", "uuid", "vpc_uuid", "name", "key", "slug"];

/// Adds values that only `older` has to `newer`: top-level keys, and at these paths also nested ones. Returns true if
/// there were any. Other nested keys that the newer response lacks count as removed, such as labels.
pub(super) fn complete(newer: &mut Value, older: &Value, nested: &[Pattern]) -> bool {
    let mut has_added = false;
    if let (Value::Object(newer), Value::Object(older)) = (&mut *newer, older) {
        for (key, value) in older {
            if !newer.contains_key(key) {
                newer.insert(key.clone(), value.clone());
                has_added = true;
            }
        }
    }
    for pattern in nested {
        has_added |= fill(newer, older, &pattern.segments());
    }
    has_added
}

/// Adds the values at a path that only `older` has. Returns true if there were any.
pub(super) fn fill(newer: &mut Value, older: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match (newer, older) {
        (Value::Array(newer), Value::Array(older)) if *first == "*" => {
            let mut has_added = false;
            for item in newer {
                if let Some(pair) = older.iter().find(|other| is_same_item(item, other)) {
                    has_added |= fill(item, pair, rest);
                }
            }
            has_added
        }
        (Value::Object(newer), Value::Object(older)) => match (newer.get_mut(*first), older.get(*first)) {
            (Some(newer), Some(older)) => fill(newer, older, rest),
            (None, Some(older)) if rest.is_empty() => {
                newer.insert((*first).to_owned(), older.clone());
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Removes the value at a path, in each item of lists on the way.
pub(super) fn remove(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Object(entries), [last]) => {
            entries.remove(*last);
        }
        (Value::Object(entries), [first, rest @ ..]) => {
            if let Some(value) = entries.get_mut(*first) {
                remove(value, rest);
            }
        }
        (Value::Array(items), ["*"]) => items.clear(),
        (Value::Array(items), ["*", rest @ ..]) => items.iter_mut().for_each(|item| remove(item, rest)),
        _ => {}
    }
}

/// Removes the keys of maps that a change from `was` to `wrote` added, where they still have their new values: the values
/// in `unset` take their place, if it has any. Other keys are kept. Returns true if there were any.
pub(super) fn remove_added(value: &mut Value, was: &Value, wrote: &Value, unset: &Value) -> bool {
    match (value, was, wrote) {
        (Value::Object(entries), Value::Object(was), Value::Object(wrote)) => {
            let mut has_removed = false;
            // An API that merges maps would keep a key that is not sent.
            let merges = unset.is_object();
            for (key, wrote) in wrote {
                let Some(value) = entries.get_mut(key) else { continue };
                let unset = unset.get(key);
                if let Some(was) = was.get(key) {
                    has_removed |= remove_added(value, was, wrote, unset.unwrap_or(&Value::Null));
                } else if value == wrote {
                    match unset {
                        Some(unset) if unset != wrote => *value = unset.clone(),
                        None if !merges => drop(entries.remove(key)),
                        Some(_) | None => continue,
                    }
                    has_removed = true;
                }
            }
            has_removed
        }
        (Value::Array(items), Value::Array(was), Value::Array(wrote)) => {
            let mut has_removed = false;
            for item in items {
                let is_pair = |other: &&Value| is_same_item(item, other);
                if let (Some(was), Some(wrote)) = (was.iter().find(is_pair), wrote.iter().find(is_pair)) {
                    has_removed |= remove_added(item, was, wrote, &Value::Null);
                }
            }
            has_removed
        }
        _ => false,
    }
}

/// Returns true if two items of lists have the same identity.
fn is_same_item(one: &Value, other: &Value) -> bool {
    let identity = IDENTITIES.iter().find_map(|key| Some((*key, one.get(*key).filter(|id| !id.is_null())?)));
    identity.is_some_and(|(key, id)| other.get(key) == Some(id))
}

/// Returns true if a map on the way of the path lacks the next key, in any item of lists on the way.
pub(super) fn is_missing(value: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match value {
        Value::Object(entries) => entries.get(*first).is_none_or(|value| is_missing(value, rest)),
        Value::Array(items) if *first == "*" => items.iter().any(|item| is_missing(item, rest)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(newer: Value, older: &Value, nested: &[&str]) -> Value {
        let nested: Vec<_> = nested.iter().map(|pattern| Pattern::from(*pattern)).collect();
        let mut newer = newer;
        let before = newer.clone();
        let has_added = complete(&mut newer, older, &nested);
        assert_eq!(has_added, newer != before);
        newer
    }

    #[test]
    fn a_key_that_one_response_lacks_comes_from_the_other_and_the_newer_wins_the_rest() {
        let older = json!({"id": 1, "name": "old", "project_id": "p"});
        assert_eq!(
            completed(json!({"id": 1, "name": "new"}), &older, &[]),
            json!({"id": 1, "name": "new", "project_id": "p"})
        );
        // Null is a value.
        assert_eq!(
            completed(json!({"project_id": null}), &json!({"project_id": "p"}), &[]),
            json!({"project_id": null})
        );
    }

    #[test]
    fn nested_keys_come_only_at_named_paths_and_items_are_paired_by_identity() {
        let older = json!({"vpcs": [
            {"vpc_uuid": "b", "default_gateway": false}, {"vpc_uuid": "a", "default_gateway": true, "label": "x"},
        ]});
        let newer = json!({"vpcs": [{"vpc_uuid": "a", "gateway_ip": "1"}, {"vpc_uuid": "c"}]});
        assert_eq!(
            completed(newer, &older, &["vpcs.*.default_gateway"]),
            json!({"vpcs": [{"vpc_uuid": "a", "gateway_ip": "1", "default_gateway": true}, {"vpc_uuid": "c"}]})
        );
    }

    #[test]
    fn undoing_removes_the_keys_that_a_change_added_and_no_others() {
        let without = |mut value: Value, was: &Value, wrote: &Value, unset: &Value| {
            let before = value.clone();
            let has_removed = remove_added(&mut value, was, wrote, unset);
            assert_eq!(has_removed, value != before);
            value
        };
        let none = Value::Null;
        let (was, wrote) = (json!({"a": 1}), json!({"a": 2, "b": 3, "c": 4}));
        // `c` has been changed since, and `d` is another client's.
        let now = json!({"a": 2, "b": 3, "c": 5, "d": 6});
        assert_eq!(without(now, &was, &wrote, &none), json!({"a": 2, "c": 5, "d": 6}));
        assert_eq!(without(json!({"b": 3}), &json!({}), &json!({"b": 3}), &none), json!({}));
        let (was, wrote, unset) = (json!({"a": 1}), json!({"b": [3], "c": 4}), json!({"b": []}));
        assert_eq!(without(json!({"a": 1, "b": [3]}), &was, &wrote, &unset), json!({"a": 1, "b": []}));
        for now in [json!({"a": 1, "b": []}), json!({"a": 1, "c": 4})] {
            assert_eq!(without(now.clone(), &was, &wrote, &unset), now);
        }
        let rules = |more: Value| json!([{"id": "x", "count": 1}, {"id": "y", "more": more}]);
        let was = rules(json!({}));
        assert_eq!(without(rules(json!({"b": 3})), &was, &rules(json!({"b": 3})), &none), was);
        assert_eq!(without(json!("text"), &json!("was"), &json!("text"), &none), json!("text"));
    }

    #[test]
    fn a_path_is_missing_where_any_item_lacks_it() {
        let missing = |value: Value, path: &str| is_missing(&value, &path.split('.').collect::<Vec<_>>());
        assert!(missing(json!({}), "rules"));
        assert!(!missing(json!({"rules": null}), "rules"));
        assert!(missing(json!({"vpcs": [{"a": 1}, {}]}), "vpcs.*.a"));
        assert!(!missing(json!({"vpcs": [{"a": 1}]}), "vpcs.*.a"));
        assert!(!missing(json!({"vpcs": []}), "vpcs.*.a"));
    }
}
