//! The comparison of one recorded value with the live one.

use serde_json::Value;

use super::{difference::Difference, equality::is_same, pair, rules::Rules, secret};

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
    /// live spelling; parts without a record or in doubt keep the live value. None if nothing differs.
    pub restored: Option<Value>,
}

/// Compares the values at `path` of one document.
#[must_use]
pub(crate) fn compare(rules: &impl Rules, path: &[String], expected: &Value, live: &Value) -> Comparison {
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

/// Returns the value that accepting records: the recorded value with the differing parts, if that equals the live
/// value. A ciphertext never replaces a recorded plain text that counts as equal to it.
fn adopt(rules: &impl Rules, path: &[String], expected: &Value, live: &Value, parts: Value) -> Value {
    let is_settled = |adopted: &Value| is_same(rules, path, adopted, live);
    let kept = secret::keep(rules, expected, &parts);
    if is_settled(&kept) {
        return kept;
    }
    // Unrecorded parts of items decide which item is which: only the whole value is unambiguous.
    let whole = secret::keep(rules, expected, live);
    if secret::encrypted(rules, &whole) <= secret::encrypted(rules, &kept) && is_settled(&whole) {
        return whole;
    }
    if is_settled(&parts) { parts } else { kept }
}
