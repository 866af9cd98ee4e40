//! One place at which a live value differs from the recorded one, and its short form.

use serde_json::Value;

use super::{pair::Mismatch, rules::Rules, secret, show};

/// One place at which the live value differs from the recorded one. Credentials are shown as fingerprints.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The path below the recorded field, empty for the field itself; of an item, the path of its list.
    pub path: String,
    /// The recorded value; none for an item that only the live list has.
    pub expected: Option<Value>,
    /// The live value; none for an item that only the recorded list has.
    pub actual: Option<Value>,
    /// The description of a whole item that was added or removed, such as `rule tcp/22 from 0.0.0.0/0`.
    pub item: Option<String>,
}

impl Difference {
    pub(super) fn of(place: Mismatch, rules: &impl Rules, relative: &impl Fn(&[String]) -> String) -> Self {
        let Mismatch { path, expected, actual, item } = place;
        let mut at = path.clone();
        at.extend(item.map(|position| position.to_string()));
        let hidden = |value: Option<Value>| value.map(|value| secret::hide(rules, &at, &value));
        let (expected, actual) = (hidden(expected), hidden(actual));
        let item = item.and_then(|_| actual.as_ref().or(expected.as_ref())).map(|item| describe(rules, &at, item));
        Self { path: relative(&path), expected, actual, item }
    }

    /// One line of at most `columns` columns: `services.0.instance_count: 1 -> 2`, or `+1 rule tcp/22 from 0.0.0.0/0`.
    #[must_use]
    pub fn short(&self, columns: usize) -> String {
        let prefix = self.prefix(columns);
        if let Some(item) = &self.item {
            let sign = if self.expected.is_none() { '+' } else { '-' };
            return show::clip(&format!("{prefix}{sign}1 {item}"), columns);
        }
        let room = columns.saturating_sub(show::width(&prefix) + 4) / 2;
        let value = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "none".to_owned(), |value| show::short(value, room.max(8)))
        };
        format!("{prefix}{} -> {}", value(&self.expected), value(&self.actual))
    }

    /// The recorded side in at most `columns` columns; empty if only the live value has the item.
    #[must_use]
    pub fn short_expected(&self, columns: usize) -> String {
        self.side(self.expected.as_ref(), '-', columns)
    }

    /// The live side in at most `columns` columns; empty if only the recorded value has the item.
    #[must_use]
    pub fn short_actual(&self, columns: usize) -> String {
        self.side(self.actual.as_ref(), '+', columns)
    }

    fn side(&self, value: Option<&Value>, sign: char, columns: usize) -> String {
        let prefix = self.prefix(columns);
        match (value, &self.item) {
            (None, _) => String::new(),
            (Some(_), Some(item)) => show::clip(&format!("{prefix}{sign}1 {item}"), columns),
            (Some(value), None) => {
                let room = columns.saturating_sub(show::width(&prefix));
                format!("{prefix}{}", show::short(value, room))
            }
        }
    }

    /// The path, in at most half of the columns.
    fn prefix(&self, columns: usize) -> String {
        if self.path.is_empty() {
            return String::new();
        }
        let path = show::escape(&self.path);
        format!("{}: ", show::clip_start(&path, (columns / 2).saturating_sub(2)))
    }
}

fn describe(rules: &impl Rules, path: &[String], item: &Value) -> String {
    if let Some(described) = rules.describe(path, item) {
        return show::escape(&described).into_owned();
    }
    match item {
        Value::Object(entries) => {
            let name = ["name", "key", "id", "uuid", "domain"].iter().find_map(|key| entries.get(*key));
            name.map_or_else(|| show::short(item, 120), |name| show::short(name, 60))
        }
        item => show::short(item, 120),
    }
}
