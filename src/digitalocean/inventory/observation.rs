//! The answer of the inventory about one live resource.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::digitalocean::observed::Document;

/// The knowledge about one live resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// Nothing is known that supports a verdict.
    Unknown(UnknownReason),
    /// It does not exist: two direct questions said so.
    Gone,
    /// Its document.
    Present(Document),
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub enum UnknownReason {
    /// The kind was never listed, or the resource was not recorded when it was.
    NotYet,
    /// The inventory is too old; the last attempt may say why.
    Stale {
        /// Its age.
        age: Duration,
        /// The error of the last sync, if it failed.
        error: Option<Arc<str>>,
    },
    /// Asking failed.
    Failed {
        /// Its error, which never contains the token.
        error: Arc<str>,
    },
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("it was not looked up yet"),
            Self::Stale { age, error: None } => write!(f, "what is known is {} s old", age.as_secs()),
            Self::Stale { age, error: Some(error) } => {
                write!(f, "what is known is {} s old, and the last attempt failed: {error}", age.as_secs())
            }
            Self::Failed { error } => write!(f, "asking for it failed: {error}"),
        }
    }
}
