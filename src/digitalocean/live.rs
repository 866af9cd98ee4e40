//! A live document: resolves a recorded field in it, and levels what the cloud writes in more than one way.

use serde_json::Value;

use super::document::{Pattern, at, is_blank, is_position};
use super::kinds::Source;
use super::{Document, Error, ResourceKey, equivalence};
use crate::nearest::nearest;

/// The parsed document of one live resource.
#[derive(Clone, Debug)]
pub struct Live {
    key: ResourceKey,
    document: Value,
}

/// What a recorded field finds in a live document.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// The live value; null where the field is known, but absent or null.
    Value(Value),
    /// The field is left out for tokens without this scope: unknown, which is not empty.
    Unknown {
        /// The scope, such as `tag:read`.
        scope: &'static str,
    },
    /// The API never returns this field, or it holds a secret, so it is not compared.
    NotReadable,
    /// Neither the kind nor the document has such a field.
    NoSuchField {
        /// Up to three fields with similar names, nearest first.
        nearest: Vec<String>,
    },
}

/// How a recorded value stands to the live one under the kind's equivalences.
#[derive(Clone, Debug, PartialEq)]
pub enum Aligned {
    /// Two ways to write the same: no drift.
    Same,
    /// Nobody can tell from the document: neither drift nor agreement.
    Unknown {
        /// Why, for the user.
        why: &'static str,
    },
    /// Both in canonical form, for the generic comparison to decide.
    Compare {
        /// The recorded value.
        expected: Value,
        /// The live value.
        live: Value,
        /// Where set, a difference that may or may not matter was levelled: if the rest is equal, the answer is Unknown
        /// for this reason.
        unsure: Option<&'static str>,
    },
}

impl Live {
    /// Parses a document, such as the inventory holds.
    ///
    /// # Errors
    /// Where it is not a JSON object.
    pub fn parse(key: &ResourceKey, document: &Document) -> Result<Self, Error> {
        let malformed = |why: String| Error::Malformed { doing: format!("reading {key}"), why };
        let document: Value = serde_json::from_str(&document.json).map_err(|error| malformed(error.to_string()))?;
        if !document.is_object() {
            return Err(malformed("the document is not an object".into()));
        }
        Ok(Self { key: key.clone(), document })
    }

    /// What `field` finds, of which `expected` is recorded: a normalised field of the kind first, then a dotted path in
    /// the document. Numbers in a path are positions in lists.
    #[must_use]
    pub fn resolve(&self, field: &str, expected: &Value) -> Resolved {
        let row = self.key.kind.row();
        if let Some((_, source)) = row.derived.get_key_value(field) {
            return self.unless_gated(source.root(), expected).unwrap_or_else(|| Resolved::Value(self.derive(source)));
        }
        let root = field.split('.').next().unwrap_or(field);
        if row.unreadable.iter().chain(&row.secret).any(|name| name == root) {
            return Resolved::NotReadable;
        }
        if let Some(unknown) = self.unless_gated(field, expected) {
            return unknown;
        }
        if let Some(value) = at(&self.document, field) {
            return Resolved::Value(value.clone());
        }
        let known = self.key.kind.fields().any(|name| name == root) || self.document.get(root).is_some();
        if known { Resolved::Value(Value::Null) } else { Resolved::NoSuchField { nearest: self.nearest(root) } }
    }

    /// Levels `expected` and `live`, the values of `field`, by the equivalences of the kind.
    #[must_use]
    pub fn align(&self, field: &str, expected: &Value, live: &Value) -> Aligned {
        equivalence::align(&self.key, &self.document, field, expected, live)
    }

    /// Unknown, where the document lacks the field because the token may not see it, or lacks a part of it that
    /// `expected` says something of.
    fn unless_gated(&self, field: &str, expected: &Value) -> Option<Resolved> {
        let path: Vec<&str> = field.split('.').collect();
        let is_hidden = |pattern: &Pattern| {
            let pattern = pattern.segments();
            if !pattern.iter().zip(&path).all(|(one, other)| one == other || (*one == "*" && is_position(other))) {
                return false;
            }
            match (pattern.get(path.len()..), path.get(..pattern.len())) {
                (_, Some(gate)) => lacks(&self.document, gate),
                (Some(inside), None) => {
                    mentions(expected, inside) && at(&self.document, field).is_some_and(|live| lacks(live, inside))
                }
                (None, None) => false,
            }
        };
        let (_, scope) = self.key.kind.row().gated.iter().find(|(pattern, _)| is_hidden(pattern))?;
        Some(Resolved::Unknown { scope })
    }

    fn derive(&self, source: &Source) -> Value {
        let document = &self.document;
        let get = |path: &str| at(document, path).filter(|value| !value.is_null());
        let derived = match source {
            Source::Path(path) => get(path).or_else(|| {
                // Some answers have the slug where others have an object.
                document.get(source.root()).filter(|value| value.is_string() || value.is_number())
            }),
            Source::Image => get("image").map(|image| match image {
                Value::Object(image) => {
                    image.get("slug").filter(|slug| !is_blank(slug)).or_else(|| image.get("id")).unwrap_or(&Value::Null)
                }
                scalar => scalar,
            }),
            Source::Feature(name) => {
                let has = get("features")
                    .and_then(Value::as_array)
                    .is_some_and(|all| all.iter().any(|one| one == name.as_str()));
                return Value::Bool(has);
            }
            Source::Address(version, reach) => get("networks")
                .and_then(|networks| networks.get(version)?.as_array())
                .and_then(|all| {
                    all.iter().find(|network| network.get("type").is_some_and(|kind| kind == reach.as_str()))
                })
                .and_then(|network| network.get("ip_address")),
            Source::LoadBalancerUnits => {
                let units = match get("size").and_then(Value::as_str) {
                    Some("lb-small") => 1,
                    Some("lb-medium") => 3,
                    Some("lb-large") => 6,
                    _ => return get("size_unit").cloned().unwrap_or_default(),
                };
                return get("size_unit").cloned().unwrap_or_else(|| units.into());
            }
            Source::LoadBalancerSize => match get("size_unit").and_then(Value::as_u64) {
                Some(1) => return "lb-small".into(),
                Some(3) => return "lb-medium".into(),
                Some(6) => return "lb-large".into(),
                // Sizes in between have no name: the number says it.
                Some(units) => return units.into(),
                None => get("size"),
            },
        };
        derived.cloned().unwrap_or_default()
    }

    fn nearest(&self, root: &str) -> Vec<String> {
        let mut names: Vec<&str> = self.key.kind.fields().collect();
        names.extend(self.document.as_object().into_iter().flat_map(|document| document.keys().map(String::as_str)));
        nearest(root, names.into_iter())
    }
}

/// Whether a map on the way along a path does not have its next key, in any item where lists are on the way.
fn lacks(value: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match value {
        Value::Object(entries) => entries.get(*first).is_none_or(|value| lacks(value, rest)),
        Value::Array(items) if *first == "*" => items.iter().any(|item| lacks(item, rest)),
        Value::Array(items) => {
            first.parse().ok().and_then(|at: usize| items.get(at)).is_some_and(|item| lacks(item, rest))
        }
        _ => false,
    }
}

/// Whether a recorded value says something at a path, in any item where lists are on the way.
fn mentions(value: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match value {
        Value::Array(items) if *first == "*" => items.iter().any(|item| mentions(item, rest)),
        value => value.get(first).is_some_and(|value| mentions(value, rest)),
    }
}

#[cfg(test)]
mod tests;
