//! The inventory: the documents of the resources that are recorded, as last seen, and how far to trust them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Client, Error, Kind, ResourceKey};

/// What the inventory can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long after a first 404 the second is asked for, before a resource counts as gone.
    pub absence_delay: Duration,
    /// From how many missing resources on a list is doubted: a few are asked for first.
    pub doubt_above: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { absence_delay: Duration::from_secs(5), doubt_above: 20 }
    }
}

/// The inventory; clones share it.
#[derive(Clone)]
pub struct Inventory {
    client: Client,
}

/// What is known of one live resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// Nothing that a verdict could rest on.
    Unknown(UnknownReason),
    /// It does not exist: two direct questions said so.
    Gone,
    /// Its document, as the cloud wrote it.
    Present(Arc<str>),
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub enum UnknownReason {
    /// The kind was never listed, or the resource was not recorded when it was.
    NotYet,
    /// What is known is too old; the last attempt may say why.
    Stale {
        /// Its age.
        age: Duration,
        /// What the last sync failed with, if it did.
        error: Option<Arc<str>>,
    },
    /// Asking failed.
    Failed {
        /// What it failed with; it never holds the token.
        error: Arc<str>,
    },
}

/// What a sync found.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The kind.
    pub kind: Kind,
    /// Recorded ids of which something else is known than before.
    pub changed: Vec<Arc<str>>,
    /// How many resources of the kind there are.
    pub listed: usize,
}

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
            Self::List { source, .. } => source.category(),
            Self::Incomplete { .. } => "incomplete_list",
        }
    }

    /// Whether the same sync may succeed later without anyone changing the settings.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::List { source, .. } => source.retryable(),
            Self::Incomplete { .. } => true,
        }
    }
}

/// The state of one kind, for metrics and readiness.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotInfo {
    /// The kind.
    pub kind: Kind,
    /// How old the last complete list is; nothing where there was none.
    pub age: Option<Duration>,
    /// How many recorded resources it holds.
    pub resources: usize,
    /// What the last sync failed with, if it did: category and message.
    pub last_error: Option<(&'static str, Arc<str>)>,
}

impl Inventory {
    /// An empty inventory that asks through `client`.
    #[must_use]
    pub fn new(client: Client, _settings: Settings) -> Self {
        Self { client }
    }

    /// Lists all pages of `kind` and takes them over, or nothing. `wanted` are its recorded ids.
    ///
    /// # Errors
    /// Where the list could not be read in full or lied; what was known before stays.
    pub async fn sync(&self, kind: Kind, _wanted: HashSet<Arc<str>>) -> Result<Changes, SyncError> {
        let _ = &self.client;
        Err(SyncError::Incomplete { kind, missing: 0 })
    }

    /// What is known now, not older than `max_age`.
    #[must_use]
    pub fn look(&self, _key: &ResourceKey, _max_age: Duration) -> Observation {
        Observation::Unknown(UnknownReason::NotYet)
    }

    /// Asks the cloud directly, now, and keeps the answer. A 404 is asked for twice before it counts.
    pub async fn fetch(&self, _key: &ResourceKey) -> Observation {
        Observation::Unknown(UnknownReason::NotYet)
    }

    /// Forgets the document of a resource that is no longer recorded.
    pub fn forget(&self, _key: &ResourceKey) {}

    /// The state of each kind that was ever synced or asked for.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        Vec::new()
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inventory")
    }
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
