//! The steps and calls of a planned revert.

use std::time::Duration;

use serde_json::{Map, Value};

/// A step of the saga.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedStep {
    /// Its unique name.
    pub name: String,
    /// The kind of step.
    pub step: &'static str,
    /// Its parameters, which contain no credentials.
    pub with: Map<String, Value>,
    /// True if it cannot be undone.
    pub irreversible: bool,
    /// The timeout, if the default of the step is too short.
    pub timeout: Option<Duration>,
}

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedCall {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, with ids.
    pub path: String,
    /// The changes in its body, such as `ttl: 60 -> 3600`. Credentials are shown as fingerprints.
    pub changes: Vec<String>,
}
