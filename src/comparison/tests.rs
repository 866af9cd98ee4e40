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
        let found = compared(&expected, &live);
        assert_eq!((found.adopted, found.doubts, found.restored), (expected, vec![], None), "{live}");
    }
}

#[test]
fn other_values_do_not_match() {
    let cases = [
        (json!(2), json!(3)),
        (json!("1.10"), json!("1.1")),
        (json!(1.5), json!(2)),
        (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64)),
        (json!(0), json!(null)),
        (json!(false), json!(null)),
        (json!("a"), json!("A")),
        (json!(["a"]), json!(["a", "b"])),
        (json!(["a", "b"]), json!(["a"])),
        (json!([]), json!(["a"])),
        (json!({}), json!({"a": 1})),
        (json!({"a": 1}), json!({})),
        (json!({"a": 1}), json!("a")),
        (json!({"a": null}), json!("a")),
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
fn very_long_lists_are_compared_by_position() {
    let list = |numbers: &mut dyn Iterator<Item = i64>| -> Value { numbers.map(|n| json!({"a": n, "b": n})).collect() };
    let differences = |live: &Value| {
        let found = compared(&list(&mut (0..501)), live);
        found.differences.iter().map(|found| found.short(100)).collect::<Vec<_>>()
    };
    assert_eq!(differences(&list(&mut (0..501))), [""; 0]);
    assert_eq!(differences(&list(&mut (0..502))), [r#"+1 {"a":501,"b":501}"#]);
    assert_eq!(differences(&list(&mut (0..500))), [r#"-1 {"a":500,"b":500}"#]);
    assert_eq!(differences(&list(&mut [1, 0].into_iter().chain(2..501))).len(), 4);
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
        (json!(["a"]), json!(null), vec!["-1 a"]),
        (json!(null), json!(["a"]), vec!["+1 a"]),
        (json!([{"a": 1}]), json!(["x"]), vec![r#"-1 {"a":1}"#, "+1 x"]),
        // An item with one key has nothing else that could be the same.
        (
            json!([{"a": 1}, {"a": 2}]),
            json!([{"a": 3}, {"a": 4}]),
            vec![r#"-1 {"a":1}"#, r#"-1 {"a":2}"#, r#"+1 {"a":3}"#, r#"+1 {"a":4}"#],
        ),
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
        (json!(["a"]), json!(null), json!(null)),
        (json!(["a"]), json!([""]), json!([])),
    ] {
        assert_eq!(compared(&expected, &live).adopted, wanted, "{expected} and {live}");
    }
}

#[test]
fn reverting_writes_the_recorded_value_in_the_type_of_the_live_one() {
    for (expected, live, wanted) in [
        (json!("2"), json!(3), json!(2)),
        (json!("true"), json!(false), json!(true)),
        (json!(2), json!("3"), json!("2")),
        (json!("two"), json!(3), json!("two")),
        (json!("true"), json!(3), json!("true")),
        (json!(["1"]), json!([2]), json!([1])),
        (json!(null), json!("x"), json!("")),
        (json!(null), json!(3), json!(null)),
        (json!(null), json!({"a": 1}), json!({})),
        (json!(null), json!(["a"]), json!([])),
    ] {
        assert_eq!(compared(&expected, &live).restored, Some(wanted), "{expected} and {live}");
    }
}

#[test]
fn the_two_sides_of_a_difference_have_their_own_short_forms() {
    for (expected, live, wanted) in [
        (json!({"a": {"c": 2}}), json!({"a": {"c": 3}}), ("a.c: 2", "a.c: 3")),
        (json!({"a": ["x"]}), json!({"a": ["x", "y"]}), ("", "a: +1 y")),
        (json!(["x", "y"]), json!(["x"]), ("-1 y", "")),
    ] {
        let found = &compared(&expected, &live).differences[0];
        assert_eq!((&*found.short_expected(20), &*found.short_actual(20)), wanted, "{expected} and {live}");
    }
}

/// Rules in which keys have defaults in every map.
struct Defaults([(&'static str, Value); 3]);

impl Rules for Defaults {
    fn defaults(&self, _: &[String]) -> Vec<(&str, &Value)> {
        self.0.iter().map(|(key, default)| (*key, default)).collect()
    }
}

#[test]
fn a_key_that_nobody_recorded_is_compared_with_its_default() {
    let rules = Defaults([("open", json!(false)), ("port", json!(0)), ("mode", json!("slow"))]);
    for (live, wanted) in [
        (json!({"a": 1, "mode": "slow"}), vec![]),
        (json!({"a": 1, "mode": "slow", "open": false, "port": 0}), vec![]),
        (json!({"a": 1, "mode": "slow", "open": true, "port": 22}), vec!["open: false -> true", "port: 0 -> 22"]),
        (json!({"a": 1, "mode": "fast"}), vec!["mode: slow -> fast"]),
        // The API omits zero values only, so the key may be hidden.
        (json!({"a": 1}), vec!["mode: slow -> null"]),
    ] {
        let found = compare(&rules, &[], &json!({"a": 1}), &live);
        let shown: Vec<_> = found.differences.iter().map(|found| found.short(100)).collect();
        assert_eq!(shown, wanted, "{live}");
    }
    // An added item is accepted with the keys that the recorded ones use, and with those that are not as by default.
    let item = |rest: Value| {
        let mut item = json!({"a": 2, "b": 3, "mode": "slow"});
        item.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let live = json!([{"a": 1, "mode": "slow"}, item]);
        compare(&rules, &[], &json!([{"a": 1}]), &live).adopted[1].clone()
    };
    assert_eq!(item(json!({"open": false, "port": null})), json!({"a": 2}));
    assert_eq!(item(json!({"open": true, "port": 22})), json!({"a": 2, "open": true, "port": 22}));
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
fn an_item_that_is_the_same_is_preferred_to_one_in_doubt() {
    let live = json!([{"token": "EV[a]"}, {"token": "plain a"}]);
    let found = compare(&Sealed, &[], &json!([{"token": "plain a"}]), &live);
    assert_eq!((found.differences.len(), found.doubts), (1, vec![]));
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
