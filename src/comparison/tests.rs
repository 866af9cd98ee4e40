//! The generic comparison: equal values in different spellings, and different values.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::*;

fn matches(expected: &Value, live: &Value) -> bool {
    is_same(&NoRules, &[], expected, live)
}

fn compared(expected: &Value, live: &Value) -> Comparison {
    compare(&NoRules, &[], expected, live)
}

#[test]
fn equal_values_in_other_clothes_match() {
    let cases = [
        (json!(2), json!(2.0)),
        (json!(0), json!(-0.0)),
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
        (json!([{"a": 1}, {"b": 1}]), json!([{"b": 1}, {"a": 1}])),
        // Only one of the two pairings leaves no item over.
        (json!([{"a": 1}, {"a": 1, "b": 1}]), json!([{"a": 1, "b": 1}, {"a": 1, "c": 1}])),
        (json!(-0.0), json!("0")),
    ];
    for (expected, live) in cases {
        assert!(matches(&expected, &live), "{expected} should match {live}");
        assert_eq!(compared(&expected, &live).adopted, expected, "{live}");
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
        (json!([{"port": 22}]), json!([{"port": 22}, {"port": 22}])),
        (json!([{"a": 1}, {"b": 1}]), json!([{"a": 1, "b": 1}])),
        (json!([{"a": 1}, {"a": 1}]), json!([{"a": 1}])),
        (json!([["a"], ["a"]]), json!([["a"]])),
    ];
    for (expected, live) in cases {
        let found = compared(&expected, &live);
        assert!(!found.differences.is_empty(), "{expected} should not match {live}");
        assert!(matches(&found.adopted, &live), "{expected} and {live}: {}", found.adopted);
    }
}

#[test]
fn differences_name_the_path_and_the_item() {
    for (expected, live, wanted) in [
        (json!(1), json!(2), vec!["1 -> 2"]),
        (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "c": 3, "d": 4}}), vec!["a.c: 2 -> 3"]),
        (json!(["web", "prod"]), json!(["prod", "debug"]), vec!["+1 debug", "-1 web"]),
        (
            json!([{"name": "web", "count": 1}, {"name": "api", "count": 1}]),
            json!([{"name": "api", "count": 2}, {"name": "web", "count": 1}]),
            vec!["1.count: 1 -> 2"],
        ),
        (json!([{"name": "a"}]), json!([{"name": "a"}, {"name": "b", "size": 9}]), vec!["+1 b"]),
        (
            json!([{"size": "s", "count": 1}]),
            json!([{"size": "s", "count": 1}, {"size": "s", "count": 1}]),
            vec![r#"+1 {"count":1,"size":"s"}"#],
        ),
        (json!({"a": 1}), json!(null), vec![r#"{"a":1} -> null"#]),
        (
            json!({"password": "a"}),
            json!({"password": "b"}),
            vec!["password: (secret, sha256:ca978112) -> (secret, sha256:3e23e816)"],
        ),
    ] {
        let shown: Vec<_> = compared(&expected, &live).differences.iter().map(|found| found.short(100)).collect();
        assert_eq!(shown, wanted, "{expected} and {live}");
    }
}

#[test]
fn accepting_keeps_the_recorded_spelling_of_what_is_the_same() {
    for (expected, live, wanted) in [
        (json!(["2", "b"]), json!(["c", 2, "b"]), json!(["c", "2", "b"])),
        (json!({"a": "1", "b": 2}), json!({"a": 1, "b": 3, "c": 4}), json!({"a": "1", "b": 3})),
        (
            json!([{"name": "x", "size": "2"}]),
            json!([{"name": "y", "size": 1, "id": 7}, {"name": "x", "size": 2, "id": 8}]),
            json!([{"name": "y", "size": 1}, {"name": "x", "size": "2"}]),
        ),
    ] {
        assert_eq!(compared(&expected, &live).adopted, wanted, "{expected} and {live}");
    }
}

fn value(leaf: BoxedStrategy<Value>, maps: bool) -> BoxedStrategy<Value> {
    leaf.prop_recursive(3, 24, 5, move |inner| {
        let lists = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
        if !maps {
            return lists.boxed();
        }
        let keys = prop::sample::select(vec!["a", "b", "c", "port", "name"]);
        let map = prop::collection::btree_map(keys, inner, 0..4)
            .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into());
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
    fn the_order_of_lists_does_not_count(items in prop::collection::vec(value(scalars(), true), 0..6), by in 0_usize..6) {
        let mut rotated = items.clone();
        let length = rotated.len().max(1);
        rotated.rotate_left(by % length);
        prop_assert!(matches(&Value::from(items), &Value::from(rotated)));
    }

    #[test]
    fn one_more_item_is_a_difference(items in prop::collection::vec(prop::collection::btree_map("[ab]", 1_i64..3, 1..3), 1..5)) {
        let recorded = json!(items);
        let mut more = items.clone();
        more.extend(items.first().cloned());
        prop_assert!(!matches(&recorded, &json!(more)));
    }

    #[test]
    fn a_json_round_trip_changes_no_verdict(a in value(scalars(), true), b in value(scalars(), true)) {
        let again: Value = serde_json::from_str(&a.to_string()).unwrap();
        prop_assert!(matches(&a, &again) && matches(&again, &a));
        prop_assert_eq!(matches(&a, &b), matches(&again, &b));
    }

    #[test]
    fn an_adopted_value_matches_itself_and_its_text(a in value(scalars(), true), b in value(scalars(), true)) {
        let found = compared(&a, &b);
        prop_assert!(matches(&found.adopted, &b), "{}", found.adopted);
        prop_assert!(reading::stands_for(&show::full(&found.adopted), &found.adopted));
        prop_assert_eq!(found.differences.is_empty(), matches(&a, &b));
    }
}

/// Rules in which texts that start with `EV[` are ciphertexts of anything, and a value is whole only with its seal.
struct Sealed;

impl Rules for Sealed {
    fn normalize(&self, path: &[String], expected: &mut Cow<'_, Value>, live: &mut Cow<'_, Value>) -> Option<String> {
        if path.is_empty() && expected.get("seal") != live.get("seal") {
            expected.to_mut()["size"] = Value::Null;
        }
        let is_hidden = self.is_encrypted(live) && !self.is_encrypted(expected);
        is_hidden.then(|| {
            *expected = Cow::Owned((**live).clone());
            "encrypted".to_owned()
        })
    }

    fn is_encrypted(&self, live: &Value) -> bool {
        live.as_str().is_some_and(|text| text.starts_with("EV["))
    }
}

#[test]
fn a_whole_value_that_is_adopted_keeps_the_recorded_plain_texts() {
    let recorded = json!({"size": 1, "keys": [{"name": "a", "token": "plain a"}, {"name": "b", "token": "plain b"}]});
    let live = json!({
        "size": 2, "seal": "x", "keys": [{"name": "b", "token": "EV[b]"}, {"name": "a", "token": "EV[a]"}],
    });
    let found = compare(&Sealed, &[], &recorded, &live);
    assert!(!found.differences.is_empty());
    let wanted = json!({
        "size": 2, "seal": "x", "keys": [{"name": "b", "token": "plain b"}, {"name": "a", "token": "plain a"}],
    });
    assert_eq!(found.adopted, wanted);
    // If adopting the whole value would lose a plain text, only the parts are adopted.
    let recorded = json!({"size": 1, "keys": [{"token": "plain a"}, {"token": "plain b"}]});
    let live = json!({"size": 2, "seal": "x", "keys": [{"token": "EV[a]"}, {"token": "EV[b]"}, {"token": "EV[c]"}]});
    let adopted = compare(&Sealed, &[], &recorded, &live).adopted.to_string();
    assert!(adopted.contains("plain a") && adopted.contains("plain b"), "{adopted}");
}
