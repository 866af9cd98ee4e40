//! The observation of one live resource.

use std::{fmt, sync::Arc, time::Duration};

use crate::digitalocean::observed::Document;

/// The knowledge about one live resource: its document `D`, or the reason `U` why it is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation<D = Document, U = UnknownReason> {
    /// Nothing is known that supports a verdict.
    Unknown(U),
    /// It does not exist: two direct requests returned 404.
    Gone,
    /// Its document.
    Present(D),
}

/// The reason why nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub enum UnknownReason {
    /// The kind was never listed, or the resource was not recorded at that time.
    NotYet,
    /// The inventory is too old; the error of the last attempt may explain it.
    Stale {
        /// Its age.
        age: Duration,
        /// The error of the last sync, if it failed.
        error: Option<Arc<str>>,
    },
    /// The request failed.
    Failed {
        /// Its error, which never contains the token.
        error: Arc<str>,
    },
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("it was not looked up yet"),
            Self::Stale { age, error: None } => write!(f, "the last read is {} s old", age.as_secs()),
            Self::Stale { age, error: Some(error) } => {
                write!(f, "the last read is {} s old, and the last attempt failed: {error}", age.as_secs())
            }
            Self::Failed { error } => write!(f, "requesting it failed: {error}"),
        }
    }
}
