//! The habits of a cloud that a comparison respects.

use std::borrow::Cow;

use serde_json::Value;

/// The habits of a cloud, by the path of a value; none by default. Items of lists stand in a path by their position.
pub trait Rules {
    /// Brings the two values at `path` to one spelling. A reason in return says that they differ in a way that may not
    /// matter; the two are made equal then.
    fn normalize(
        &self,
        _path: &[String],
        _expected: &mut Cow<'_, Value>,
        _live: &mut Cow<'_, Value>,
    ) -> Option<String> {
        None
    }

    /// The keys of the map at `path` that stand for a default where nobody recorded them.
    fn defaults(&self, _path: &[String]) -> Vec<(&str, &Value)> {
        Vec::new()
    }

    /// A short description of the list item at `path`, such as `rule tcp/22 from 0.0.0.0/0`.
    fn describe(&self, _path: &[String], _item: &Value) -> Option<String> {
        None
    }

    /// Whether the value at `path` is a credential.
    fn is_credential(&self, _path: &[String]) -> bool {
        false
    }

    /// Whether a live value is the ciphertext of a credential, which never replaces a recorded plain text.
    fn is_encrypted(&self, _live: &Value) -> bool {
        false
    }
}

/// Rules without any habit.
#[derive(Clone, Copy, Debug)]
pub struct NoRules;

impl Rules for NoRules {}
