//! The document of a live resource. Most of its values are never compared: in a document that is known to be valid, each
//! value is parsed when it is first read.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::document;

/// One JSON object.
#[derive(Clone, Debug)]
pub(crate) struct LiveDocument {
    text: Arc<str>,
    /// The top-level values in the order of the text.
    entries: Vec<Entry>,
    whole: OnceLock<Value>,
}

/// A top-level value, and its place in the text.
#[derive(Clone, Debug)]
struct Entry {
    key: Range<usize>,
    text: Range<usize>,
    value: OnceLock<Value>,
}

impl LiveDocument {
    /// Parses the whole text.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub(crate) fn parse(text: &Arc<str>) -> Result<Self, String> {
        let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !whole.is_object() {
            return Err("the document is not an object".to_owned());
        }
        Ok(Self { text: Arc::clone(text), entries: Vec::new(), whole: whole.into() })
    }

    /// A document that is parsed already.
    #[cfg(test)]
    pub(crate) fn of(whole: Value) -> Self {
        Self { text: Arc::default(), entries: Vec::new(), whole: whole.into() }
    }

    /// A text that a parser accepts; its values are parsed later. None if a key contains escapes, or if it is not an object.
    pub(crate) fn of_valid(text: &Arc<str>) -> Option<Self> {
        let Entries(entries) = serde_json::from_str(text).ok()?;
        let place = |part: &str| {
            let begin = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
            Some(begin..begin.checked_add(part.len())?)
        };
        let entries = entries
            .into_iter()
            .map(|(key, value)| Some(Entry { key: place(key)?, text: place(value.get())?, value: OnceLock::new() }));
        Some(Self { text: Arc::clone(text), entries: entries.collect::<Option<_>>()?, whole: OnceLock::new() })
    }

    /// The value of a top-level key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        if let Some(whole) = self.whole.get() {
            return whole.get(key);
        }
        // Of equal keys, the last one counts, as in a parsed object.
        let entry = self.entries.iter().rev().find(|entry| self.text.get(entry.key.clone()) == Some(key))?;
        Some(entry.value.get_or_init(|| {
            let text = self.text.get(entry.text.clone()).unwrap_or_default();
            serde_json::from_str(text).unwrap_or_default()
        }))
    }

    /// The text of a top-level key; empty if it is missing.
    pub(crate) fn str_at(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The value at a dotted path. A key may contain dots itself.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        self.get(path).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            document::at(self.get(first)?, rest)
        })
    }

    /// The segments of the dotted path in this document: a key with dots is one segment.
    pub(crate) fn segments<'p>(&self, path: &'p str) -> Vec<&'p str> {
        let below = path.split_once('.').filter(|_| self.get(path).is_none());
        let Some((first, rest)) = below else { return vec![path] };
        let mut segments = vec![first];
        segments.extend(document::segments(self.get(first).unwrap_or(&Value::Null), rest));
        segments
    }

    /// The top-level keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.whole().as_object().into_iter().flat_map(|entries| entries.keys().map(String::as_str))
    }

    /// The whole document.
    pub(crate) fn whole(&self) -> &Value {
        self.whole.get_or_init(|| serde_json::from_str(&self.text).unwrap_or_default())
    }

    /// Returns true if the whole document was parsed.
    #[cfg(test)]
    pub(super) fn is_parsed(&self) -> bool {
        self.whole.get().is_some()
    }
}

/// The keys and values of an object, not parsed.
struct Entries<'t>(Vec<(&'t str, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Entries<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::with_capacity(32);
                while let Some(entry) = object.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = r#" { "id" : 7, "size": {"slug":"s-1", "price": 6.0}, "a.b": {"c": [1, {"d": "x"}]}, "name": "old",
        "tags": ["\u00fc", "b\"}"], "none": null, "name": "new" } "#;
    const PATHS: [&str; 16] = [
        "id",
        "size",
        "size.slug",
        "size.none",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.0",
        "a.b.c.1.d",
        "a.b.c.7",
        "name",
        "name.x",
        "tags.1",
        "none",
        "none.x",
        "",
    ];

    #[test]
    fn values_are_the_same_whether_they_are_parsed_together_or_one_by_one() {
        let text: Arc<str> = TEXT.into();
        let parsed = LiveDocument::parse(&text).unwrap();
        for path in PATHS {
            let lazy = LiveDocument::of_valid(&text).unwrap();
            assert_eq!(lazy.at(path), document::at(parsed.whole(), path), "{path}");
            assert_eq!(parsed.at(path), document::at(parsed.whole(), path), "{path}");
            for document in [&lazy, &parsed] {
                assert_eq!(document.segments(path), document::segments(parsed.whole(), path), "{path}");
                assert_eq!(document.get(path), parsed.whole().get(path), "{path}");
            }
            assert_eq!(lazy.whole(), parsed.whole());
            assert_eq!(lazy.keys().collect::<Vec<_>>(), ["a.b", "id", "name", "none", "size", "tags"]);
        }
        assert_eq!(LiveDocument::of_valid(&text).unwrap().get("name"), Some(&json!("new")));
    }

    #[test]
    fn other_texts_are_parsed_at_once() {
        for (text, is_object) in
            [(r#"{"\u0061": 1}"#, true), ("[]", false), ("7", false), ("{", false), ("{} {}", false), ("", false)]
        {
            assert!(LiveDocument::of_valid(&text.into()).is_none(), "{text}");
            assert_eq!(LiveDocument::parse(&text.into()).is_ok(), is_object, "{text}");
        }
    }
}
