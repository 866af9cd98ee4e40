//! What a Drift shows of a difference: both values in full, both in short form for columns, and where they differ.

use serde_json::Value;

use super::compare::shown;
use standin::{Difference, short};
use crate::api::DriftDifference;

/// How wide a column of `kubectl get` may be.
pub const COLUMN: usize = 40;
/// How wide the line of a difference may be.
const LINE: usize = 100;
/// How many differences a Drift lists.
const MOST: usize = 32;
/// The longest path that is listed.
const LONGEST_PATH: usize = 1024;
/// What stands for a value that one side does not have.
const NOTHING: &str = "-";

/// What a Drift shows of a recorded and a live value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The desired value in full.
    pub expected: String,
    /// The live value in full.
    pub actual: String,
    /// The desired value, or of a composite value the first part that differs.
    pub expected_short: String,
    /// The live value likewise.
    pub actual_short: String,
    /// The first difference in one line.
    pub difference: String,
    /// Where the values differ.
    pub differences: Vec<DriftDifference>,
}

impl Shown {
    /// Of a recorded value, the one that accepting would record, and their differences. Secrets in the values are hidden
    /// already.
    #[must_use]
    pub fn of(expected: &Value, actual: &Value, differences: &[Difference]) -> Self {
        let (expected_short, actual_short) = columns(expected, actual, differences);
        let listed = differences.iter().take(MOST).map(|difference| DriftDifference {
            path: cut(&difference.path, LONGEST_PATH),
            expected: difference.expected.as_ref().map(|value| part(value, difference)),
            actual: difference.actual.as_ref().map(|value| part(value, difference)),
        });
        Self {
            expected: shown(expected),
            actual: shown(actual),
            expected_short,
            actual_short,
            difference: line(expected, actual, differences),
            differences: listed.collect(),
        }
    }

    /// How the difference reads in a sentence about the field.
    #[must_use]
    pub fn sentence(&self, field: &str) -> String {
        let field = brief(field);
        let is_whole = self.expected_short == brief(&self.expected) && self.actual_short == brief(&self.actual);
        if is_whole {
            format!("{field} is {}, expected {}", self.actual_short, self.expected_short)
        } else {
            format!("{field} differs: {}", self.difference)
        }
    }
}

/// A text that may be of any length, such as a field or a decision, in short form.
#[must_use]
pub fn brief(text: &str) -> String {
    short(&Value::String(text.to_owned()), COLUMN)
}

/// A field in a message: longer than in a column, since people copy it.
#[must_use]
pub fn named(field: &str) -> String {
    short(&Value::String(field.to_owned()), LINE)
}

/// The difference of two values of which only the shown texts are known.
#[must_use]
pub fn difference(expected: &str, actual: &str) -> String {
    format!("{} -> {}", brief(expected), brief(actual))
}

/// The first of these texts, and how many more there are.
#[must_use]
pub fn first<T: AsRef<str>>(texts: &[T], most: usize, separator: &str) -> String {
    let listed = texts.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(separator);
    match texts.len().saturating_sub(most) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn line(expected: &Value, actual: &Value, differences: &[Difference]) -> String {
    let Some(first) = differences.first() else { return difference(&shown(expected), &shown(actual)) };
    let more = differences.len() - 1;
    let first = first.short(LINE);
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// The columns EXPECTED and ACTUAL.
fn columns(expected: &Value, actual: &Value, differences: &[Difference]) -> (String, String) {
    let whole = || (short(expected, COLUMN), short(actual, COLUMN));
    let fits = |value: &Value| shown(value).len() <= COLUMN;
    let Some(first) = differences.first() else { return whole() };
    if [expected, actual].into_iter().all(|value| is_scalar(value) || (is_plain(value) && fits(value))) {
        return whole();
    }
    let suffix = match differences.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let width = COLUMN - suffix.len();
    let at = |value: &Value| {
        let text = if first.path.is_empty() {
            part_within(value, first, width)
        } else {
            let path = cut(&first.path, width.saturating_sub(COLUMN / 4));
            let left = width.saturating_sub(path.chars().count() + 2);
            format!("{path}: {}", part_within(value, first, left))
        };
        text + &suffix
    };
    match (&first.expected, &first.actual) {
        (Some(expected), Some(actual)) => (at(expected), at(actual)),
        _ => (NOTHING.to_owned(), first.short(width) + &suffix),
    }
}

fn part(value: &Value, difference: &Difference) -> String {
    part_within(value, difference, LINE)
}

fn part_within(value: &Value, difference: &Difference, columns: usize) -> String {
    difference.part(value, columns)
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// A list of scalars: the whole of a short one reads well.
fn is_plain(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(is_scalar))
}

/// The end of a path says more than its beginning.
fn cut(path: &str, columns: usize) -> String {
    let count = path.chars().count();
    if count <= columns {
        return path.to_owned();
    }
    std::iter::once('…').chain(path.chars().skip(count - columns + 1)).collect()
}

/// Until the comparison core is here.
pub mod standin {
    use serde_json::Value;

    #[derive(Clone, Debug, PartialEq)]
    pub struct Difference {
        pub path: String,
        pub expected: Option<Value>,
        pub actual: Option<Value>,
    }

    impl Difference {
        pub fn short(&self, columns: usize) -> String {
            let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), |value| short(value, columns / 2));
            format!("{} -> {}", side(&self.expected), side(&self.actual))
        }

        pub fn part(&self, value: &Value, columns: usize) -> String {
            short(value, columns)
        }
    }

    pub fn short(value: &Value, columns: usize) -> String {
        let text = super::shown(value);
        let text = if text.is_empty() || text.chars().any(char::is_control) { Value::String(text).to_string() } else { text };
        if text.chars().count() <= columns {
            return text;
        }
        text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Drift;

    /// A Drift as version 0.1.0 stored it.
    pub(in crate::drift) fn drift() -> Drift {
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
            "metadata": { "name": "d", "namespace": "default", "uid": "drift", "resourceVersion": "2", "generation": 1 },
            "spec": {
                "resourceRef": { "name": "web-1", "uid": "record" }, "resource": { "kind": "Droplet", "id": "1" },
                "field": "name", "episode": 1, "expected": "a", "actual": "b", "specVersion": 1,
            },
            "status": {
                "phase": "Open", "reason": "AwaitingDecision",
                "conditions": [{
                    "type": "Resolved", "status": "False", "reason": "AwaitingDecision", "observedGeneration": 1,
                    "message": "accept it with the annotation arcadia.cloud/accept, or put the cloud back",
                    "lastTransitionTime": "1970-01-01T00:00:00Z",
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_list_of_names_is_cut_and_says_how_many_are_missing() {
        assert_eq!(first(&["a", "b"], 3, ", "), "a, b");
        assert_eq!(first(&["a", "b", "c", "d", "e"], 3, ", "), "a, b, c and 2 more");
    }

    #[test]
    fn the_end_of_a_long_path_is_kept() {
        assert_eq!(cut("services.0.instance_count", 40), "services.0.instance_count");
        assert_eq!(cut("services.0.instance_count", 15), "…instance_count");
    }
}
