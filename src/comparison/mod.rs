//! Comparison of one recorded value with the live one. Pure: it knows neither Kubernetes nor any cloud.
//!
//! Scalars are equal when their canonical text is (`2`, `2.0` and `"2"`), lists of scalars as sets, maps by the recorded
//! keys; null, missing, `""`, `[]` and `{}` are all blank. Items of other lists are matched one to one, so that every
//! live item is accounted for. [`Rules`] add the habits of a cloud: other spellings, and keys with defaults.

mod difference;
mod matching;
mod pair;
pub mod scalar;
pub mod secret;
pub mod show;

use std::borrow::Cow;

use serde_json::Value;

pub use difference::Difference;

/// The habits of a cloud, by the path of a value; none by default. Items of lists stand in a path by their position.
pub trait Rules {
    /// Brings the two values at `path` to one spelling. A reason in return says that they differ in a way that may not
    /// matter; the two are made equal then.
    fn normalize(
        &self,
        _path: &[String],
        _expected: &mut Cow<'_, Value>,
        _live: &mut Cow<'_, Value>,
    ) -> Option<String> {
        None
    }

    /// The keys of the map at `path` that stand for a default where nobody recorded them.
    fn defaults(&self, _path: &[String]) -> Vec<(&str, &Value)> {
        Vec::new()
    }

    /// The keys of the map at `path` of which an empty value is a difference where nobody recorded them: it widens access.
    fn explicit(&self, _path: &[String]) -> Vec<&str> {
        Vec::new()
    }

    /// A short description of the list item at `path`, such as `rule tcp/22 from 0.0.0.0/0`.
    fn describe(&self, _path: &[String], _item: &Value) -> Option<String> {
        None
    }

    /// Whether the value at `path` is a credential.
    fn is_credential(&self, _path: &[String]) -> bool {
        false
    }

    /// Whether a live value is the ciphertext of a credential, which never replaces a recorded plain text.
    fn is_encrypted(&self, _live: &Value) -> bool {
        false
    }
}

/// A reason why some part cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The path below the recorded field; empty for the field itself.
    pub path: String,
    /// The reason, for people.
    pub why: String,
}

/// The outcome of comparing one recorded value with the live one.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Each place at which the live value differs.
    pub differences: Vec<Difference>,
    /// The parts that cannot be compared. All other parts have their verdict.
    pub doubts: Vec<Doubt>,
    /// The recorded value with every difference replaced by the live value: accepting writes it. Equal parts keep the
    /// recorded spelling.
    pub adopted: Value,
    /// The live value with every difference replaced by the recorded value: reverting writes it. Equal parts keep the
    /// live spelling, and parts that nobody recorded or that cannot be compared stay. None where nothing differs.
    pub restored: Option<Value>,
}

/// Compares the values at `path` of one document.
#[must_use]
pub fn compare(rules: &impl Rules, path: &[String], expected: &Value, live: &Value) -> Comparison {
    let found = pair::compare(rules, &mut path.to_vec(), pair::Side::of(expected), pair::Side::of(live));
    let relative = |whole: &[String]| whole.get(path.len()..).unwrap_or_default().join(".");
    let adopted =
        if found.differences.is_empty() { found.adopted } else { adopt(rules, path, expected, live, found.adopted) };
    Comparison {
        differences: found.differences.into_iter().map(|place| Difference::of(place, rules, &relative)).collect(),
        doubts: found.doubts.into_iter().map(|(whole, why)| Doubt { path: relative(&whole), why }).collect(),
        adopted,
        restored: found.restored,
    }
}

/// Returns the value that accepting records: the recorded value with the parts that differ, if that equals the live value.
/// Ciphertext never replaces a recorded plain text that counts as equal to it.
fn adopt(rules: &impl Rules, path: &[String], expected: &Value, live: &Value, parts: Value) -> Value {
    let is_settled = |adopted: &Value| is_same(rules, path, adopted, live);
    let kept = secret::keep(rules, expected, &parts);
    if is_settled(&kept) {
        return kept;
    }
    // Parts of items that nobody recorded decide which item is which: only the whole value is unambiguous.
    let whole = secret::keep(rules, expected, live);
    if secret::encrypted(rules, &whole) <= secret::encrypted(rules, &kept) && is_settled(&whole) {
        return whole;
    }
    if is_settled(&parts) { parts } else { kept }
}

/// Whether nothing differs; parts in doubt count as equal.
#[must_use]
pub fn is_same(rules: &impl Rules, path: &[String], expected: &Value, live: &Value) -> bool {
    let found = pair::compare(rules, &mut path.to_vec(), pair::Side::of(expected), pair::Side::of(live));
    found.differences.is_empty()
}

/// Whether two recorded values say the same: neither lacks a key or an item of the other.
#[must_use]
pub fn is_alike(one: &Value, other: &Value) -> bool {
    is_same(&NoRules, &[], one, other) && is_same(&NoRules, &[], other, one)
}

/// Rules without any habit.
#[derive(Clone, Copy, Debug)]
pub struct NoRules;

impl Rules for NoRules {}

#[cfg(test)]
mod tests;
