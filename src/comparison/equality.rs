//! Equality of values, without the places at which they differ.

use serde_json::Value;

use super::{
    pair,
    rules::{NoRules, Rules},
};

/// Returns true if nothing differs; parts in doubt count as equal.
#[must_use]
pub(crate) fn is_same(rules: &impl Rules, path: &[String], expected: &Value, live: &Value) -> bool {
    let found = pair::compare(rules, &mut path.to_vec(), pair::Side::of(expected), pair::Side::of(live));
    found.differences.is_empty()
}

/// Returns true if two recorded values are equal in both directions: neither lacks a key or an item of the other.
#[must_use]
pub(crate) fn is_alike(one: &Value, other: &Value) -> bool {
    is_same(&NoRules, &[], one, other) && is_same(&NoRules, &[], other, one)
}
