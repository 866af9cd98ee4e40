//! The display of a difference in a Drift: both values in full, both in short form for columns, and the differing
//! places. Pure.

use serde_json::Value;

use crate::{
    api::DriftDifference,
    comparison::{
        Difference, NoRules, compare,
        show::{clip_start, escape, full, short, short_text, width},
    },
    digitalocean::revert::Assessment,
};

/// The maximum width of a column of `kubectl get`.
pub(crate) const COLUMN: usize = 40;
/// The maximum width of the line of a difference.
const LINE: usize = 100;
/// The maximum number of differences in a Drift.
const MOST: usize = 32;
/// The maximum length of a listed path.
const LONGEST_PATH: usize = 1024;
/// The placeholder of a value that one side lacks.
const NOTHING: &str = "-";

/// The display of a recorded and a live value in a Drift.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The desired value in full.
    pub expected: String,
    /// The live value in full.
    pub actual: String,
    /// The desired value, or of a composite value the first part that differs.
    pub expected_short: String,
    /// The live value in the same form.
    pub actual_short: String,
    /// The first difference in one line.
    pub difference: String,
    /// The places at which the values differ.
    pub differences: Vec<DriftDifference>,
    /// The likely cause, where the provider is known to change the field by itself.
    pub note: Option<&'static str>,
    /// The effect of reverting it.
    pub revert: Option<Assessment>,
}

impl Shown {
    /// The display of a recorded value, the one that accepting would record, and their differences. Secrets in the
    /// values are already hidden.
    #[must_use]
    pub fn of(expected: &Value, actual: &Value, differences: &[Difference]) -> Self {
        let (expected_short, actual_short) = columns(expected, actual, differences);
        let listed = differences.iter().take(MOST).map(|difference| DriftDifference {
            path: readable_path(&difference.path),
            expected: difference.expected.as_ref().map(|value| short(value, LINE)),
            actual: difference.actual.as_ref().map(|value| short(value, LINE)),
        });
        Self {
            expected: full(expected),
            actual: full(actual),
            expected_short,
            actual_short,
            difference: line(expected, actual, differences),
            differences: listed.collect(),
            note: None,
            revert: None,
        }
    }

    /// The display of two values in which all secrets are hidden.
    #[must_use]
    pub fn of_hidden(expected: &Value, actual: &Value) -> Self {
        Self::of(expected, actual, &compare(&NoRules, &[], expected, actual).differences)
    }

    /// Returns true if the short forms show the whole values, not only the first difference.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.expected_short == brief(&self.expected) && self.actual_short == brief(&self.actual)
    }

    /// The difference as part of a sentence about the field.
    #[must_use]
    pub fn sentence(&self, field: &str) -> String {
        let field = brief(field);
        if self.is_whole() {
            format!("{field} is {}, expected {}", self.actual_short, self.expected_short)
        } else {
            format!("{field} differs: {}", self.difference)
        }
    }
}

/// A text of any length, such as a field or a decision, in short form.
#[must_use]
pub(crate) fn brief(text: &str) -> String {
    short_text(text, COLUMN)
}

/// A field in a message: longer than in a column, since people copy it.
#[must_use]
pub(crate) fn named(field: &str) -> String {
    short_text(field, LINE)
}

/// The difference of two values of which only the displayed texts are known.
#[must_use]
pub(crate) fn difference(expected: &str, actual: &str) -> String {
    format!("{} -> {}", brief(expected), brief(actual))
}

/// The first of these texts, and the number of further ones.
#[must_use]
pub(crate) fn first<T: AsRef<str>>(texts: &[T], most: usize, separator: &str) -> String {
    let listed = texts.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(separator);
    match texts.len().saturating_sub(most) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// Both sides of the first difference, or of the whole value if that is short.
fn line(expected: &Value, actual: &Value, differences: &[Difference]) -> String {
    let suffix = more(differences);
    match differences.first() {
        Some(first) => short_text(&first.short(LINE - width(&suffix)), LINE) + &suffix,
        None => difference(&full(expected), &full(actual)),
    }
}

/// The columns EXPECTED and ACTUAL.
fn columns(expected: &Value, actual: &Value, differences: &[Difference]) -> (String, String) {
    let fits = |value: &Value| width(&full(value)) <= COLUMN;
    let is_readable = |value: &Value| is_scalar(value) || (is_plain(value) && fits(value));
    match differences.first() {
        Some(first) if !(is_readable(expected) && is_readable(actual)) => {
            let suffix = more(differences);
            let room = COLUMN - width(&suffix);
            let side =
                |text: String| if text.is_empty() { NOTHING.to_owned() } else { short_text(&text, room) + &suffix };
            (side(first.short_expected(room)), side(first.short_actual(room)))
        }
        _ => (short(expected, COLUMN), short(actual, COLUMN)),
    }
}

/// Keys of maps are part of paths unchanged, and may contain unprintable characters.
fn readable_path(path: &str) -> String {
    if path.is_empty() { String::new() } else { clip_start(&escape(path), LONGEST_PATH) }
}

/// The number of differences after the first.
fn more(differences: &[Difference]) -> String {
    match differences.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// A list of scalars: a short one is readable as a whole.
fn is_plain(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(is_scalar))
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

    fn at(path: &str, expected: Value, actual: Value) -> Difference {
        Difference { path: path.into(), expected: Some(expected), actual: Some(actual), item: None }
    }

    #[test]
    fn a_scalar_or_a_short_list_is_shown_whole() {
        let of = |expected: Value, actual: Value| {
            let shown = Shown::of(&expected, &actual, &[at("", expected.clone(), actual.clone())]);
            (shown.expected_short.clone(), shown.actual_short.clone(), shown.difference.clone(), shown.sentence("f"))
        };
        let (expected, actual, difference, sentence) = of(json!("s-2"), json!("s-4"));
        assert_eq!((expected.as_str(), actual.as_str(), difference.as_str()), ("s-2", "s-4", "s-2 -> s-4"));
        assert_eq!(sentence, "f is s-4, expected s-2");
        assert_eq!(of(json!(["a", "b"]), json!(["a"])).0, r#"["a","b"]"#);
        assert_eq!(of(json!(""), json!(null)).0, r#""""#);
        let (_, actual, difference, sentence) = of(json!("x"), json!("y".repeat(5000)));
        for text in [actual, difference, sentence] {
            assert!(width(&text) <= LINE + 40, "{text}");
        }
    }

    #[test]
    fn a_composite_value_shows_the_first_part_that_differs() {
        let (expected, actual) = (json!({"a": 1}), json!({"a": 2}));
        let differences = [at("services.0.instance_count", json!(1), json!(2)), at("name", json!("x"), json!("y"))];
        let shown = Shown::of(&expected, &actual, &differences[..1]);
        assert_eq!(shown.difference, "services.0.instance_count: 1 -> 2");
        assert_eq!(shown.sentence("spec"), "spec differs: services.0.instance_count: 1 -> 2");
        assert!(
            shown.expected_short.ends_with("instance_count: 1") && shown.actual_short.ends_with("instance_count: 2")
        );
        let shown = Shown::of(&expected, &actual, &differences);
        assert_eq!(shown.difference, "services.0.instance_count: 1 -> 2 and 1 more");
        assert!(shown.actual_short.ends_with(": 2 and 1 more"), "{}", shown.actual_short);
        assert_eq!(shown.differences.len(), 2);
        assert_eq!(shown.differences[0].path, "services.0.instance_count");
    }

    #[test]
    fn an_item_that_came_is_shown_on_the_live_side_alone() {
        let item = json!({"ports": "22"});
        let described = Some("rule tcp/22 from 0.0.0.0/0".to_owned());
        let came = Difference { path: String::new(), expected: None, actual: Some(item.clone()), item: described };
        let shown = Shown::of(&json!([]), &json!([item]), &[came]);
        assert_eq!(shown.actual_short, "+1 rule tcp/22 from 0.0.0.0/0");
        assert_eq!(shown.difference, "+1 rule tcp/22 from 0.0.0.0/0");
        assert_eq!(shown.differences[0].expected, None);
    }

    #[test]
    fn no_short_form_is_wide_and_no_list_is_long() {
        let long = "\u{202e}x".repeat(3000);
        let differences: Vec<_> = (0..500).map(|n| at(&format!("{n}.{long}"), json!(long), json!([long]))).collect();
        let shown = Shown::of(&json!({"a": long}), &json!({"b": long}), &differences);
        assert!(width(&shown.expected_short) <= COLUMN && width(&shown.actual_short) <= COLUMN, "{shown:?}");
        assert!(width(&shown.difference) <= LINE + 20, "{}", shown.difference);
        assert_eq!(shown.differences.len(), MOST);
        assert!(shown.differences.iter().all(|difference| difference.path.chars().count() <= LONGEST_PATH));
    }
}
