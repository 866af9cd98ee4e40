//! The rules of a cloud for a comparison.

use std::borrow::Cow;

use serde_json::Value;

/// The rules of a cloud, by the path of a value; none by default. A path contains items of lists by their position.
pub(crate) trait Rules {
    /// Normalizes the two values at `path` to one spelling. A returned reason means that they differ in a way that may
    /// not matter; they are then made equal.
    fn normalize(
        &self,
        _path: &[String],
        _expected: &mut Cow<'_, Value>,
        _live: &mut Cow<'_, Value>,
    ) -> Option<String> {
        None
    }

    /// The keys of the map at `path` with a default for unrecorded values.
    fn defaults(&self, _path: &[String]) -> Vec<(&str, &Value)> {
        Vec::new()
    }

    /// A short description of the list item at `path`, such as `rule tcp/22 from 0.0.0.0/0`.
    fn describe(&self, _path: &[String], _item: &Value) -> Option<String> {
        None
    }

    /// Returns true if the value at `path` is a credential.
    fn is_credential(&self, _path: &[String]) -> bool {
        false
    }

    /// Returns true if a live value is the ciphertext of a credential, which never replaces a recorded plain text.
    fn is_encrypted(&self, _live: &Value) -> bool {
        false
    }
}

/// No rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRules;

impl Rules for NoRules {}
