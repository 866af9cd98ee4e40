//! JSON documents: values at dotted paths, and patterns that match paths. Pure helpers.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A dotted pattern of paths: `*` matches one item of a list or one key, `**` any number of keys and items.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    text: String,
    segments: Vec<String>,
}

impl Pattern {
    /// The first segment: a top-level field, unless it is a wildcard.
    pub(crate) fn root(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }

    pub(crate) fn segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Returns true if the pattern matches this path, or a parent of it.
    pub(crate) fn covers(&self, path: &[impl AsRef<str>]) -> bool {
        (0..=path.len()).any(|depth| path.get(..depth).is_some_and(|above| self.matches(above)))
    }

    /// Returns true if the pattern matches exactly this path.
    pub(crate) fn matches(&self, path: &[impl AsRef<str>]) -> bool {
        matches(&self.segments, path)
    }
}

fn matches(pattern: &[String], path: &[impl AsRef<str>]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=path.len()).any(|taken| path.get(taken..).is_some_and(|below| matches(rest, below)))
        }
        Some((first, rest)) => match path.split_first() {
            Some((segment, below)) => (first == "*" || first == segment.as_ref()) && matches(rest, below),
            None => false,
        },
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), segments: text.split('.').map(str::to_owned).collect() }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

/// Null, or an empty text, list or map.
pub(crate) fn is_empty_value(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns true if a path segment is a position in a list.
pub(crate) fn is_position(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// The text at a key; empty if it is missing.
pub(crate) fn str_at<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The value at a dotted path. A key may contain dots itself, as labels do.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    match value {
        Value::Object(entries) => entries.get(path).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            at(entries.get(first)?, rest)
        }),
        Value::Array(items) => {
            let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
            let item = items.get(first.parse::<usize>().ok()?)?;
            rest.map_or(Some(item), |rest| at(item, rest))
        }
        _ => None,
    }
}

/// The segments of the dotted path in this document: a key with dots is one segment.
pub(crate) fn segments<'p>(value: &Value, path: &'p str) -> Vec<&'p str> {
    let mut found = Vec::new();
    let (mut value, mut rest) = (Some(value), path);
    loop {
        if value.is_some_and(|value| value.get(rest).is_some()) {
            found.push(rest);
            return found;
        }
        let Some((first, below)) = rest.split_once('.') else {
            found.push(rest);
            return found;
        };
        found.push(first);
        value = match value {
            Some(Value::Array(items)) => first.parse::<usize>().ok().and_then(|at| items.get(at)),
            Some(Value::Object(entries)) => entries.get(first),
            _ => None,
        };
        rest = below;
    }
}

/// Calls this for each text in a value.
pub(crate) fn each_text(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, each)),
        Value::Object(entries) => entries.values().for_each(|item| each_text(item, each)),
        _ => {}
    }
}

/// Calls this for each part of the value at a path that a pattern matches.
#[cfg(feature = "cli")]
pub(crate) fn each_at(value: &mut Value, at: &mut Vec<String>, pattern: &Pattern, each: &mut dyn FnMut(&mut Value)) {
    if pattern.matches(at) {
        return each(value);
    }
    let mut below = |key: String, value: &mut Value| {
        at.push(key);
        each_at(value, at, pattern, each);
        at.pop();
    };
    match value {
        Value::Array(items) => items.iter_mut().enumerate().for_each(|(at, item)| below(at.to_string(), item)),
        Value::Object(entries) => entries.iter_mut().for_each(|(key, value)| below(key.clone(), value)),
        _ => {}
    }
}

/// Sets a value at a path, and adds missing maps on the way. Returns false if a list on the way lacks the item.
pub(crate) fn put(value: &mut Value, path: &[String], new: Value) -> bool {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return true;
    };
    match value {
        Value::Array(items) => {
            let item = first.parse().ok().and_then(|position: usize| items.get_mut(position));
            item.is_some_and(|item| put(item, rest, new))
        }
        Value::Object(entries) => put(entries.entry(first.as_str()).or_insert(Value::Null), rest, new),
        blank => {
            *blank = Value::Object(serde_json::Map::new());
            put(blank, path, new)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_put_into_maps_and_items() {
        let mut document = json!({"pools": [{"labels": {"a.b": "x"}}], "window": null});
        let path = |path: &[&str]| path.iter().map(|segment| (*segment).to_owned()).collect::<Vec<_>>();
        assert!(put(&mut document, &path(&["pools", "0", "labels", "a.b"]), json!("y")));
        assert!(!put(&mut document, &path(&["pools", "7", "name"]), json!("none")));
        assert!(put(&mut document, &path(&["window", "day"]), json!("monday")));
        assert_eq!(document, json!({"pools": [{"labels": {"a.b": "y"}}], "window": {"day": "monday"}}));
    }

    #[test]
    fn patterns_stand_for_items_and_for_any_depth() {
        for (pattern, path, wanted) in [
            ("tags", "tags", true),
            ("tags", "tags.0", false),
            ("rules.*", "rules.0", true),
            ("rules.*", "rules", false),
            ("rules.*.ports", "rules.3.ports", true),
            ("spec.**.envs.*", "spec.envs.0", true),
            ("spec.**.envs.*", "spec.services.1.envs.0", true),
            ("spec.**.envs.*", "spec.services.1.envs", false),
            ("**.password", "password", true),
            ("**.password", "a.0.b.password", true),
            ("**.password", "a.password.b", false),
        ] {
            let path: Vec<&str> = path.split('.').collect();
            assert_eq!(Pattern::from(pattern).matches(&path), wanted, "{pattern} {path:?}");
        }
    }

    #[test]
    fn a_key_that_holds_dots_is_one_segment() {
        let document = json!({"pools": [{"labels": {"a.b/c": "x"}}]});
        assert_eq!(at(&document, "pools.0.labels.a.b/c"), Some(&json!("x")));
        assert_eq!(segments(&document, "pools.0.labels.a.b/c"), ["pools", "0", "labels", "a.b/c"]);
        assert_eq!(segments(&document, "pools.7.name"), ["pools", "7", "name"]);
        assert_eq!(segments(&document, "none"), ["none"]);
    }
}
