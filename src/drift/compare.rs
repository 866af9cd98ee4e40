//! Loose equality of a recorded and a live value, so that JSON round trips and the cloud's own habits raise nothing.
//!
//! Scalars are equal when their canonical text is (`2`, `2.0` and `"2"`; `true` and `"true"`), lists as sets, maps by
//! the expected keys only; null, missing, `""`, `[]` and `{}` are alike: blank.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Number, Value};

/// Whether the live value is what was expected.
#[must_use]
pub fn matches(expected: &Value, live: &Value) -> bool {
    match (expected, live) {
        (Value::Object(expected), _) if !expected.is_empty() => match live {
            Value::Object(live) => matches_keys(expected, live),
            live if is_blank(live) => matches_keys(expected, &Map::new()),
            _ => false,
        },
        (Value::Array(expected), Value::Array(live)) => matches_set(expected, live),
        (expected, live) if is_blank(expected) || is_blank(live) => is_blank(expected) && is_blank(live),
        (expected, live) => match (scalar(expected), scalar(live)) {
            (Some(expected), Some(live)) => expected == live,
            _ => false,
        },
    }
}

/// What a Drift shows of a live value: of maps, only the expected keys, since only they were compared. Accepting what
/// is shown therefore records nothing that nobody asked for, and what is shown always matches the live value.
#[must_use]
pub fn project(expected: &Value, live: &Value) -> Value {
    match (expected, live) {
        (Value::Object(expected), Value::Object(live)) if !expected.is_empty() => expected
            .iter()
            .map(|(key, expected)| (key.clone(), project(expected, live.get(key).unwrap_or(&Value::Null))))
            .collect::<Map<_, _>>()
            .into(),
        (Value::Array(expected), whole @ Value::Array(live)) => {
            let keys = all_keys(expected);
            let projected = live.iter().map(|item| project(&keys, item)).collect::<Vec<_>>().into();
            // An item without any of the keys would leave nothing to compare.
            if matches(&projected, whole) { projected } else { whole.clone() }
        }
        (_, live) => live.clone(),
    }
}

/// What is left of a live value without what levelling took out of it: only that was compared. `aligned` is the live
/// value after levelling, in which texts may be spelled in another way.
#[must_use]
pub fn compared(live: Value, aligned: &Value) -> Value {
    match (live, aligned) {
        (_, Value::Null) => Value::Null,
        (Value::Object(entries), Value::Object(left)) => entries
            .into_iter()
            .filter_map(|(key, value)| match left.get(&key) {
                Some(left) => Some((key, compared(value, left))),
                // The cloud has none either.
                None => value.is_null().then_some((key, value)),
            })
            .collect::<Map<_, _>>()
            .into(),
        (Value::Array(items), Value::Array(left)) if items.len() == left.len() => {
            items.into_iter().zip(left).map(|(item, left)| compared(item, left)).collect::<Vec<_>>().into()
        }
        (Value::Array(items), Value::Array(left)) => {
            let mut left = left.iter().map(spelled).peekable();
            let kept: Vec<_> = items.iter().filter(|item| left.next_if_eq(&spelled(item)).is_some()).cloned().collect();
            if left.peek().is_none() { kept.into() } else { items.into() }
        }
        (live, _) => live,
    }
}

fn spelled(item: &Value) -> String {
    shown(item).to_lowercase()
}

/// The keys that any item of a list of maps names.
fn all_keys(items: &[Value]) -> Value {
    let maps = items.iter().filter_map(Value::as_object).flatten();
    maps.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// A value as a Drift shows it: text as it is, anything else as JSON, as kubectl prints it.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        Value::Null => "null".to_owned(),
        value => scalar(value).map(Cow::into_owned).unwrap_or_default(),
    }
}

/// Whether a shown text stands for this value. Lists may have been shown in another order.
#[must_use]
pub fn shows(text: &str, value: &Value) -> bool {
    if text == shown(value) {
        return true;
    }
    match read(text) {
        Value::String(text) => is_blank(value) && text.is_empty(),
        Value::Null => is_blank(value),
        composite => matches(&composite, value) && matches(value, &composite),
    }
}

/// A shown text as a value: lists, maps and null as JSON, anything else as text, since scalars are equal by their text.
fn read(text: &str) -> Value {
    let is_composite = text.starts_with(['[', '{']) || text == "null";
    let parsed = is_composite.then(|| serde_json::from_str(text).ok()).flatten();
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Null, `""`, `[]` and `{}`, and a list or map of nothing but these.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(map) => map.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn matches_keys(expected: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    expected.iter().all(|(key, expected)| matches(expected, live.get(key).unwrap_or(&Value::Null)))
}

/// Each expected item is there, and nothing else is.
fn matches_set(expected: &[Value], live: &[Value]) -> bool {
    let expected: Vec<_> = expected.iter().filter(|item| !is_blank(item)).collect();
    let live: Vec<_> = live.iter().filter(|item| !is_blank(item)).collect();
    let texts =
        |items: &[&Value]| items.iter().map(|item| scalar(item).map(Cow::into_owned)).collect::<Option<BTreeSet<_>>>();
    match (texts(&expected), texts(&live)) {
        (Some(expected), Some(live)) => expected == live,
        (None | Some(_), None) | (None, Some(_)) => {
            expected.iter().all(|expected| live.iter().any(|live| matches(expected, live)))
                && live.iter().all(|live| expected.iter().any(|expected| matches(expected, live)))
        }
    }
}

/// The canonical text of a scalar; none for lists and maps.
fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(number) => Some(Cow::Owned(number_text(number))),
        Value::Null => Some(Cow::Borrowed("")),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whole numbers without a fraction, however they were written: JSON does not tell `2` from `2.0`.
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_in_other_clothes_match() {
        let cases = [
            (json!(2), json!(2.0)),
            (json!(2), json!("2")),
            (json!(true), json!("true")),
            (json!(null), json!("")),
            (json!([]), json!(null)),
            (json!({}), json!([])),
            (json!(["a", "b"]), json!(["b", "a"])),
            (json!(["a"]), json!(["a", "a"])),
            (json!([1, "2"]), json!(["2", "1"])),
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"a": null}), json!({})),
            (json!({"a": ""}), json!(null)),
            (json!([{"port": 22}]), json!([{"port": "22", "extra": true}])),
            (json!(-0.0), json!("-0")),
        ];
        for (expected, live) in cases {
            assert!(matches(&expected, &live), "{expected} should match {live}");
        }
    }

    #[test]
    fn other_values_do_not_match() {
        let cases = [
            (json!(2), json!(3)),
            (json!("1.10"), json!("1.1")),
            (json!(0), json!(null)),
            (json!(false), json!(null)),
            (json!("a"), json!("A")),
            (json!(["a"]), json!(["a", "b"])),
            (json!(["a", "b"]), json!(["a"])),
            (json!([]), json!(["a"])),
            (json!({}), json!({"a": 1})),
            (json!({"a": 1}), json!({})),
            (json!({"a": 1}), json!("a")),
            (json!("a"), json!({"a": 1})),
            (json!("a"), json!(["a"])),
            (json!([{"port": 22}]), json!([{"port": 22}, {"port": 80}])),
        ];
        for (expected, live) in cases {
            assert!(!matches(&expected, &live), "{expected} should not match {live}");
        }
    }

    #[test]
    fn values_are_shown_as_kubectl_prints_them() {
        assert_eq!(shown(&json!("s-2vcpu-4gb")), "s-2vcpu-4gb");
        assert_eq!(shown(&json!(2.0)), "2");
        assert_eq!(shown(&json!(["web", "prod"])), r#"["web","prod"]"#);
        assert_eq!(shown(&json!(null)), "null");
        assert!(shows(r#"["web","prod"]"#, &json!(["prod", "web"])));
        assert!(!shows("1.10", &json!("1.1")));
        assert!(!shows(r#"{"a":1}"#, &json!({"a": 1, "b": 2})));
    }

    fn value(leaf: BoxedStrategy<Value>, maps: bool) -> BoxedStrategy<Value> {
        leaf.prop_recursive(3, 24, 5, move |inner| {
            let lists = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
            if !maps {
                return lists.boxed();
            }
            let keys = prop::sample::select(vec!["a", "b", "c", "port"]);
            let map = prop::collection::btree_map(keys, inner, 0..4).prop_map(|map| {
                map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
            });
            prop_oneof![lists, map].boxed()
        })
        .boxed()
    }

    fn scalars() -> BoxedStrategy<Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..4).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Value::from)),
            (-3_i32..4).prop_map(|number| Value::from(f64::from(number))),
            "(|true|0|-?[0-9]|[0-9]\\.[0-9]|[ab]{1,2})".prop_map(Value::from),
        ]
        .boxed()
    }

    proptest! {
        #[test]
        fn every_value_matches_itself(value in value(scalars(), true)) {
            prop_assert!(matches(&value, &value));
        }

        #[test]
        fn without_maps_the_order_of_the_two_does_not_count(a in value(scalars(), false), b in value(scalars(), false)) {
            prop_assert_eq!(matches(&a, &b), matches(&b, &a));
        }

        #[test]
        fn lists_are_sets(items in prop::collection::vec(value(scalars(), true), 0..6), seed in any::<u64>()) {
            let mut shuffled = items.clone();
            let length = shuffled.len().max(1);
            shuffled.rotate_left(usize::try_from(seed % 7).unwrap() % length);
            shuffled.extend(items.first().cloned());
            prop_assert!(matches(&Value::from(items.clone()), &Value::from(shuffled.clone())));
            prop_assert!(matches(&Value::from(shuffled), &Value::from(items)));
        }

        #[test]
        fn a_json_round_trip_changes_no_verdict(a in value(scalars(), true), b in value(scalars(), true)) {
            let again: Value = serde_json::from_str(&a.to_string()).unwrap();
            prop_assert!(matches(&a, &again) && matches(&again, &a));
            prop_assert_eq!(matches(&a, &b), matches(&again, &b));
        }

        #[test]
        fn what_is_shown_matches_and_can_be_accepted(a in value(scalars(), true), b in value(scalars(), true)) {
            let adopted = project(&a, &b);
            prop_assert!(matches(&adopted, &b));
            prop_assert!(shows(&shown(&adopted), &adopted));
        }
    }
}
