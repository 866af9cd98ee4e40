//! The direction of a revert: from the live value to the recorded one.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use crate::{
    comparison::scalar::{is_blank, text},
    digitalocean::{equivalence::version_numbers, kinds::ValueChange},
};

impl ValueChange {
    /// Returns true if a revert from the live to the recorded value goes in this direction.
    pub(super) fn is_of(self, recorded: &Value, live: &Value) -> bool {
        match self {
            Self::Growing => compare(recorded, live) == Some(Ordering::Greater),
            Self::Shrinking => compare(recorded, live) == Some(Ordering::Less),
            Self::Enabling => is_true(recorded),
            Self::Disabling => !is_true(recorded),
            Self::Adding => items(live).iter().all(|item| items(recorded).contains(item)),
            Self::Emptying => is_blank(recorded),
        }
    }
}

/// Returns true if the value is `true`, also as a text.
pub(super) fn is_true(value: &Value) -> bool {
    text(value).is_some_and(|text| text == "true")
}

/// The items of a list, or a single item.
fn items(value: &Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let items = items.iter().filter(|item| !is_blank(item));
    items.map(|item| text(item).map_or_else(|| item.to_string(), Cow::into_owned)).collect()
}

/// The order of two numbers, sizes or versions; none if they cannot be compared.
fn compare(recorded: &Value, live: &Value) -> Option<Ordering> {
    let (recorded, live) = (text(recorded)?.to_lowercase(), text(live)?.to_lowercase());
    if let (Some(one), Some(other)) = (load_balancer_units(&recorded), load_balancer_units(&live)) {
        return Some(one.cmp(&other));
    }
    if let (Some(one), Some(other)) = (processors_and_memory(&recorded), processors_and_memory(&live)) {
        return Some(match (one.0.cmp(&other.0), one.1.cmp(&other.1)) {
            (Ordering::Equal, order) | (order, Ordering::Equal) => order,
            (one, other) if one == other => one,
            // Smaller in at least one number.
            _ => Ordering::Less,
        });
    }
    let (one, other) = (version_numbers(&recorded)?, version_numbers(&live)?);
    Some(one.cmp(&other))
}

/// The nodes of a load balancer, by number or by the name of a size.
fn load_balancer_units(size: &str) -> Option<u64> {
    match size {
        "lb-small" => Some(1),
        "lb-medium" => Some(3),
        "lb-large" => Some(6),
        number => number.parse().ok(),
    }
}

/// The numbers of a size such as `db-s-2vcpu-4gb`.
fn processors_and_memory(size: &str) -> Option<(u64, u64)> {
    let before = |unit: &str| {
        let part = size.split('-').find_map(|part| part.strip_suffix(unit))?;
        part.parse().ok()
    };
    Some((before("vcpu")?, before("gb")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_sizes_and_versions_grow_and_shrink() {
        for (smaller, larger) in [
            (json!(1), json!(2)),
            (json!("1"), json!(2)),
            (json!(9), json!(10)),
            (json!("lb-small"), json!("lb-large")),
            (json!(2), json!("lb-medium")),
            (json!("db-s-1vcpu-2gb"), json!("db-s-2vcpu-4gb")),
            (json!("db-s-1vcpu-1gb"), json!("db-s-1vcpu-2gb")),
            (json!("1.9.2-do.0"), json!("1.30.4-do.0")),
            (json!("15"), json!("16.2")),
            (json!("3.9"), json!("3.10")),
        ] {
            assert!(ValueChange::Growing.is_of(&larger, &smaller), "{smaller} {larger}");
            assert!(ValueChange::Shrinking.is_of(&smaller, &larger), "{smaller} {larger}");
            assert!(!ValueChange::Growing.is_of(&larger, &larger), "{larger}");
        }
        // Fewer processors, but more memory.
        assert!(ValueChange::Shrinking.is_of(&json!("gd-2vcpu-16gb"), &json!("db-s-4vcpu-8gb")));
        for (one, other) in [(json!("nyc3"), json!("ams3")), (json!([1]), json!([2])), (json!(null), json!(1))] {
            assert!(!ValueChange::Growing.is_of(&one, &other) && !ValueChange::Shrinking.is_of(&one, &other));
        }
    }

    #[test]
    fn lists_gain_items_or_lose_some() {
        assert!(ValueChange::Adding.is_of(&json!(["a", "b"]), &json!(["b"])));
        assert!(ValueChange::Adding.is_of(&json!([7]), &json!(null)));
        assert!(!ValueChange::Adding.is_of(&json!([7]), &json!([8])));
        // The names of databases differ by letter case.
        assert!(!ValueChange::Adding.is_of(&json!(["App"]), &json!(["app"])));
        for nothing in [json!([]), json!(null), json!([null]), json!([""]), json!([{}])] {
            assert!(ValueChange::Emptying.is_of(&nothing, &json!([8])), "{nothing}");
        }
        assert!(ValueChange::Enabling.is_of(&json!("true"), &json!(false)));
        assert!(ValueChange::Disabling.is_of(&json!(null), &json!(true)));
    }
}
