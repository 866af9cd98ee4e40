//! The errors of a sync.

use std::sync::Arc;

use strum::IntoStaticStr;

use crate::digitalocean::{Error, ErrorCategory, Kind};

/// A failed sync. The earlier state is kept, and ages.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SyncError {
    /// The list could not be read.
    #[error("listing {kind}: {source}")]
    List {
        /// The kind.
        kind: Kind,
        /// The cause.
        source: Error,
    },
    /// Some of a kind's several lists could not be read.
    #[error(
        "listing {kind}: {unread} of {all} lists could not be read; their earlier state is kept, and ages. One of \
         them: {source}"
    )]
    Part {
        /// The kind.
        kind: Kind,
        /// The number of unread lists.
        unread: usize,
        /// The number of all lists.
        all: usize,
        /// The cause of one of them.
        source: Error,
    },
    /// The token was replaced by another account's.
    #[error(
        "listing {kind}: all recorded resources are missing, and the token belongs to another account than before. Give \
         the operator a token of their account; if they have really moved, remove the annotation arcadia.cloud/account \
         of its Lease, wait 10 s, and restart it"
    )]
    OtherAccount {
        /// The kind.
        kind: Kind,
    },
    /// The list lacked existing resources.
    #[error("listing {kind}: the list lacks {missing} recorded resources, but some of them exist; it is not used")]
    Incomplete {
        /// The kind.
        kind: Kind,
        /// The number of missing resources.
        missing: usize,
    },
}

impl SyncError {
    /// The sort of the failure.
    #[must_use]
    pub fn category(&self) -> SyncCategory {
        match self {
            Self::List { source, .. } | Self::Part { source, .. } => SyncCategory::Call(source.into()),
            Self::OtherAccount { .. } => SyncCategory::OtherAccount,
            Self::Incomplete { .. } => SyncCategory::IncompleteList,
        }
    }

    /// Returns true if the same sync may succeed later without anyone changing the settings.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::List { source, .. } | Self::Part { source, .. } => source.retryable(),
            Self::OtherAccount { .. } => false,
            Self::Incomplete { .. } => true,
        }
    }

    /// Returns true if all resources of the kind become unknown at once.
    #[must_use]
    pub fn is_about_all(&self) -> bool {
        matches!(self, Self::OtherAccount { .. })
    }
}

/// The sort of a failed sync. Its name is a stable word for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SyncCategory {
    /// A list could not be read.
    #[strum(transparent)]
    Call(ErrorCategory),
    /// The token belongs to another account.
    OtherAccount,
    /// The list lacked existing resources.
    IncompleteList,
}

impl SyncCategory {
    /// Returns true if the token lacks the scope of the kind.
    #[must_use]
    pub fn lacks_scope(self) -> bool {
        self == Self::Call(ErrorCategory::Forbidden)
    }
}

/// The failure of the last sync of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncFailure {
    /// Its sort.
    pub category: SyncCategory,
    /// The error, for people.
    pub message: Arc<str>,
}

impl From<&SyncError> for SyncFailure {
    fn from(error: &SyncError) -> Self {
        Self { category: error.category(), message: error.to_string().into() }
    }
}
