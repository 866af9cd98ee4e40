//! The errors of a sync.

use std::sync::Arc;

use crate::digitalocean::{Error, Kind};

/// A sync failed; what was known before stays, and ages.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SyncError {
    /// The list could not be read.
    #[error("listing {kind}: {source}")]
    List {
        /// The kind.
        kind: Kind,
        /// Why.
        source: Error,
    },
    /// Some of the lists of a kind that has several could not be read.
    #[error(
        "listing {kind}: {unread} of {all} lists could not be read; what was known of their resources stays, and ages. One of \
         them: {source}"
    )]
    Part {
        /// The kind.
        kind: Kind,
        /// How many.
        unread: usize,
        /// Of how many.
        all: usize,
        /// Why one of them.
        source: Error,
    },
    /// The token was replaced by another account's.
    #[error(
        "listing {kind}: none of the recorded resources is there, and the token belongs to another account than when they \
         were last seen. Give the operator a token of their account; or, if they have really moved, restart it"
    )]
    OtherAccount {
        /// The kind.
        kind: Kind,
    },
    /// The list left out resources that exist.
    #[error("listing {kind}: the list left out {missing} recorded resources, but some of them exist; it is not used")]
    Incomplete {
        /// The kind.
        kind: Kind,
        /// How many it left out.
        missing: usize,
    },
}

impl SyncError {
    /// A stable word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::List { source, .. } | Self::Part { source, .. } => source.category(),
            Self::OtherAccount { .. } => "other_account",
            Self::Incomplete { .. } => "incomplete_list",
        }
    }

    /// Whether the same sync may succeed later without anyone changing the settings.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::List { source, .. } | Self::Part { source, .. } => source.retryable(),
            Self::OtherAccount { .. } => false,
            Self::Incomplete { .. } => true,
        }
    }

    /// Whether the token lacks the scope of the kind.
    #[must_use]
    pub fn lacks_scope(&self) -> bool {
        matches!(
            self,
            Self::List { source: Error::Forbidden { .. }, .. } | Self::Part { source: Error::Forbidden { .. }, .. }
        )
    }

    /// Whether it makes all that was known of the kind worth nothing at once.
    #[must_use]
    pub fn is_about_all(&self) -> bool {
        matches!(self, Self::OtherAccount { .. })
    }
}

/// The failure of the last sync of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncFailure {
    /// A stable word for metrics.
    pub category: &'static str,
    /// The error, for people.
    pub message: Arc<str>,
    /// Whether the token lacks the scope of the kind.
    pub lacks_scope: bool,
}

impl From<&SyncError> for SyncFailure {
    fn from(error: &SyncError) -> Self {
        Self { category: error.category(), message: error.to_string().into(), lacks_scope: error.lacks_scope() }
    }
}
