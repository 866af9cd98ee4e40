//! JSON merge patches (RFC 7396): the smallest one that turns one value into another.

use serde_json::{Map, Value};

/// The merge patch from one value to another. Removed keys are null; lists are replaced as a whole. A merge patch
/// cannot set null, so an empty value of the same type replaces it: all blank values are equal.
#[must_use]
pub(super) fn between(from: &Value, to: &Value) -> Value {
    let nothing = Map::new();
    let (from, to) = match (from, to) {
        (Value::Object(from), Value::Object(to)) => (from, to),
        (Value::Object(from), Value::Null) => (from, &nothing),
        (_, Value::Object(to)) => (&nothing, to),
        (Value::Array(_), Value::Null) => return Value::Array(Vec::new()),
        (_, Value::Null) => return Value::String(String::new()),
        (_, to) => return to.clone(),
    };
    let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(value)).map(|(key, value)| {
        let from = from.get(key).unwrap_or(&Value::Null);
        (key.clone(), between(from, value))
    });
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    changed.chain(gone).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::comparison::is_alike;

    /// As RFC 7396 defines it.
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let Value::Object(target) = target else { return };
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                apply(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }

    #[test]
    fn only_what_differs_is_named() {
        let (from, to) = (json!({"a": 1, "b": {"c": 1, "d": 2}, "e": 1}), json!({"a": 1, "b": {"c": 2, "d": 2}}));
        assert_eq!(between(&from, &to), json!({"b": {"c": 2}, "e": null}));
        assert_eq!(between(&json!("x"), &json!(["y"])), json!(["y"]));
    }

    #[test]
    fn a_null_that_would_remove_a_field_is_an_empty_value() {
        for (from, patch) in [
            (json!("x"), json!("")),
            (json!(5), json!("")),
            (json!(["x"]), json!([])),
            (json!({"a": 1}), json!({"a": null})),
        ] {
            assert_eq!(between(&from, &Value::Null), patch, "{from}");
        }
        assert_eq!(between(&json!({"a": "x"}), &json!({"a": null})), json!({"a": ""}));
        assert_eq!(between(&json!("x"), &json!({"a": null})), json!({"a": ""}));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            1 => Just(Value::Null),
            2 => any::<bool>().prop_map(Value::from),
            2 => (0..3_u8).prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_leads_from_one_value_to_the_other(from in value(), to in value()) {
            let mut patched = from.clone();
            apply(&mut patched, &between(&from, &to));
            prop_assert!(is_alike(&patched, &to), "{} is not {}", patched, to);
        }
    }
}
