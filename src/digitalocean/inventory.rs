//! The inventory: the documents of the resources that are recorded, as last seen, and how far to trust them.

//!
//! Only documents of recorded resources are kept. A list counts as a whole or not at all, and it never proves that
//! something does not exist: two direct questions do.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::client::Rows;
use super::{Client, Error, IdFormat, Kind, Priority, ResourceKey};

/// How many calls of one kind run side by side, where lists do not cover it.
const SIDE_BY_SIDE: usize = 8;
/// How many resources are asked for to see whether a list lies.
const PROBES: usize = 3;

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
pub struct Inventory(Arc<Shared>);

struct Shared {
    client: Client,
    settings: Settings,
    kinds: Mutex<BTreeMap<Kind, Snapshot>>,
    /// One sync of a kind at a time.
    turns: Mutex<HashMap<Kind, Arc<tokio::sync::Mutex<()>>>>,
}

/// What is known of one kind.
#[derive(Default)]
struct Snapshot {
    /// When the last complete list was begun.
    listed_at: Option<Instant>,
    resources: HashMap<Arc<str>, Entry>,
    last_error: Option<(&'static str, Arc<str>)>,
}

/// What is known of one resource, and since when: the time before it was asked for.
#[derive(Clone)]
struct Entry {
    known: Known,
    at: Instant,
}

#[derive(Clone)]
enum Known {
    Present(Arc<str>),
    Gone,
    /// Asking failed, with this message.
    Failed(Arc<str>),
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
    pub fn new(client: Client, settings: Settings) -> Self {
        Self(Arc::new(Shared { client, settings, kinds: Mutex::default(), turns: Mutex::default() }))
    }

    /// Lists all pages of `kind` and takes them over, or nothing. `wanted` are its recorded ids; with none, nothing is
    /// asked.
    ///
    /// # Errors
    /// Where the list could not be read in full or lied; what was known before stays.
    pub async fn sync(
        &self,
        kind: Kind,
        wanted: impl IntoIterator<Item = Arc<str>> + Send,
    ) -> Result<Changes, SyncError> {
        let wanted: Vec<Arc<str>> = wanted.into_iter().collect();
        let turn = Arc::clone(self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default());
        let _turn = turn.lock().await;
        let outcome = self.list(kind, wanted).await;
        if let Err(error) = &outcome {
            self.kinds().entry(kind).or_default().last_error = Some((error.category(), error.to_string().into()));
        }
        outcome
    }

    /// What is known now, not older than `max_age`.
    #[must_use]
    pub fn look(&self, key: &ResourceKey, max_age: Duration) -> Observation {
        let kinds = self.kinds();
        let Some(snapshot) = kinds.get(&key.kind) else { return Observation::Unknown(UnknownReason::NotYet) };
        let error = snapshot.last_error.as_ref().map(|(_, error)| Arc::clone(error));
        let Some(entry) = snapshot.resources.get(&key.id) else {
            let reason = error.map_or(UnknownReason::NotYet, |error| UnknownReason::Failed { error });
            return Observation::Unknown(reason);
        };
        let age = entry.at.elapsed();
        if age > max_age {
            return Observation::Unknown(UnknownReason::Stale { age, error });
        }
        entry.known.observation()
    }

    /// Asks the cloud directly, now, and keeps the answer. A 404 is asked for twice before it counts, unless it was known
    /// to be gone. A failed question is kept only where
    /// nothing was known.
    pub async fn fetch(&self, key: &ResourceKey) -> Observation {
        let at = Instant::now();
        let was_gone =
            self.kinds().get(&key.kind).and_then(|kind| kind.resources.get(&key.id)).is_some_and(Entry::is_gone);
        let mut asked = self.ask(key, Priority::Urgent).await;
        if matches!(asked, Ok(None)) && !was_gone {
            tokio::time::sleep(self.0.settings.absence_delay).await;
            asked = self.ask(key, Priority::Urgent).await;
        }
        let known = Known::from(asked);
        let observation = known.observation();
        let has_failed = matches!(known, Known::Failed(_));
        let mut kinds = self.kinds();
        let resources = &mut kinds.entry(key.kind).or_default().resources;
        if resources.get(&key.id).is_none_or(|entry| entry.at <= at && !has_failed) {
            resources.insert(Arc::clone(&key.id), Entry { known, at });
        }
        observation
    }

    /// Forgets the document of a resource that is no longer recorded.
    pub fn forget(&self, key: &ResourceKey) {
        if let Some(snapshot) = self.kinds().get_mut(&key.kind) {
            snapshot.resources.remove(&key.id);
        }
    }

    /// The state of each kind that was ever synced or asked for.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let info = |(kind, snapshot): (&Kind, &Snapshot)| SnapshotInfo {
            kind: *kind,
            age: snapshot.listed_at.map(|listed_at| listed_at.elapsed()),
            resources: snapshot.resources.len(),
            last_error: snapshot.last_error.clone(),
        };
        self.kinds().iter().map(info).collect()
    }

    async fn list(&self, kind: Kind, wanted: Vec<Arc<str>>) -> Result<Changes, SyncError> {
        let started = Instant::now();
        let failed = |source| SyncError::List { kind, source };
        let stages = self.stages(kind, wanted);
        let lists = stages.into_iter().map(|(parent, mut stage)| async move {
            let listed = match self.0.client.list(kind, parent.as_deref(), &mut stage).await {
                // The domain is not there: neither are its records.
                Err(Error::NotFound { .. }) if parent.is_some() => {
                    stage.begin();
                    0
                }
                other => other?,
            };
            Ok((listed, stage.resources))
        });
        let stages: Vec<(usize, HashMap<Arc<str>, Staged>)> =
            stream::iter(lists).buffer_unordered(SIDE_BY_SIDE).try_collect().await.map_err(failed)?;
        let listed = stages.iter().map(|(listed, _)| listed).sum();
        let rows: Vec<(Arc<str>, Staged)> = stages.into_iter().flat_map(|(_, resources)| resources).collect();
        let absent: Vec<ResourceKey> = rows
            .iter()
            .filter(|(_, staged)| {
                matches!(staged.row, Row::Missing) && !staged.before.as_ref().is_some_and(Entry::is_gone)
            })
            .map(|(id, _)| ResourceKey::new(kind, Arc::clone(id)))
            .collect();
        if absent.len() > self.0.settings.doubt_above && !kind.row().lists_a_part {
            self.doubt(kind, &absent).await?;
        }
        let mut found = self.confirm(absent).await;
        let entries = rows.into_iter().map(|(id, staged)| {
            let entry = match (staged.row, staged.before) {
                (Row::Same, Some(before)) => Entry { known: before.known, at: started },
                (Row::New(document), _) => Entry { known: Known::Present(document), at: started },
                // Asked for above, unless it is known to be gone.
                (_, _) => found.remove(&id).unwrap_or(Entry { known: Known::Gone, at: started }),
            };
            (id, entry)
        });
        Ok(Changes { kind, changed: self.take_over(kind, started, entries.collect()), listed })
    }

    /// What is wanted, with what is known of it: one stage per list that has to be read.
    fn stages(&self, kind: Kind, wanted: Vec<Arc<str>>) -> BTreeMap<Option<String>, Stage> {
        let kinds = self.kinds();
        let known = kinds.get(&kind).map(|snapshot| &snapshot.resources);
        let mut stages: BTreeMap<Option<String>, Stage> = BTreeMap::new();
        for id in wanted {
            let key = ResourceKey::new(kind, Arc::clone(&id));
            let parent = key.parts().0.map(ToOwned::to_owned);
            let before = known.and_then(|known| known.get(&id)).cloned();
            let prefix = parent.as_ref().map(|parent| format!("{parent}/")).unwrap_or_default();
            let stage = stages.entry(parent).or_insert_with(|| Stage { prefix, resources: HashMap::new() });
            stage.resources.insert(id, Staged { before, row: Row::Missing });
        }
        if kind.id_format() == IdFormat::DomainRecord {
            // An id without a domain names no list.
            stages.remove(&None);
        }
        stages
    }

    /// Asks for a few of many missing resources.
    async fn doubt(&self, kind: Kind, absent: &[ResourceKey]) -> Result<(), SyncError> {
        for key in absent.iter().step_by(absent.len().div_ceil(PROBES)) {
            let document = self.ask(key, Priority::Sweep).await.map_err(|source| SyncError::List { kind, source })?;
            if document.is_some() {
                return Err(SyncError::Incomplete { kind, missing: absent.len() });
            }
        }
        Ok(())
    }

    /// Asks for each missing resource, and later once more for those that do not exist.
    async fn confirm(&self, absent: Vec<ResourceKey>) -> HashMap<Arc<str>, Entry> {
        let mut found = HashMap::new();
        let mut missing = absent;
        for is_second in [false, true] {
            if missing.is_empty() {
                break;
            }
            if is_second {
                tokio::time::sleep(self.0.settings.absence_delay).await;
            }
            let questions = missing.into_iter().map(|key| async move {
                let at = Instant::now();
                let asked = self.ask(&key, Priority::Sweep).await;
                (key, asked, at)
            });
            let answers: Vec<_> = stream::iter(questions).buffer_unordered(SIDE_BY_SIDE).collect().await;
            missing = Vec::new();
            for (key, asked, at) in answers {
                if matches!(asked, Ok(None)) && !is_second {
                    missing.push(key);
                } else {
                    found.insert(key.id, Entry { known: asked.into(), at });
                }
            }
        }
        found
    }

    async fn ask(&self, key: &ResourceKey, priority: Priority) -> Result<Option<Arc<str>>, Error> {
        Ok(self.0.client.get(key, priority).await?.map(Arc::from))
    }

    /// Puts a complete sync in place. Which ids changed.
    fn take_over(&self, kind: Kind, started: Instant, entries: Vec<(Arc<str>, Entry)>) -> Vec<Arc<str>> {
        let mut kinds = self.kinds();
        let snapshot = kinds.entry(kind).or_default();
        let mut before = std::mem::take(&mut snapshot.resources);
        let mut changed = Vec::new();
        snapshot.resources.reserve(entries.len());
        for (id, entry) in entries {
            let entry = match before.remove(&id) {
                // Asked for directly since the list was begun: newer than the list.
                Some(newer) if newer.at > started && newer.at > entry.at => newer,
                Some(older) if older.known.is_like(&entry.known) => entry,
                _ => {
                    changed.push(Arc::clone(&id));
                    entry
                }
            };
            snapshot.resources.insert(id, entry);
        }
        // Recorded and asked for only since the list was begun.
        snapshot.resources.extend(before.into_iter().filter(|(_, entry)| entry.at > started));
        snapshot.listed_at = Some(started);
        snapshot.last_error = None;
        changed
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Kind, Snapshot>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one list is read for.
struct Stage {
    /// What comes before the ids of its rows.
    prefix: String,
    resources: HashMap<Arc<str>, Staged>,
}

struct Staged {
    before: Option<Entry>,
    row: Row,
}

/// What the list says of a wanted resource.
enum Row {
    Missing,
    /// Its document is the same, byte by byte.
    Same,
    New(Arc<str>),
}

impl Rows for Stage {
    fn begin(&mut self) {
        for staged in self.resources.values_mut() {
            staged.row = Row::Missing;
        }
    }

    fn row(&mut self, id: &str, document: &str) {
        let staged = if self.prefix.is_empty() {
            self.resources.get_mut(id)
        } else {
            self.resources.get_mut(format!("{}{id}", self.prefix).as_str())
        };
        if let Some(staged) = staged {
            let same = staged.before.as_ref().is_some_and(|before| before.known.is_document(document));
            staged.row = if same { Row::Same } else { Row::New(document.into()) };
        }
    }
}

impl Entry {
    fn is_gone(&self) -> bool {
        matches!(self.known, Known::Gone)
    }
}

impl Known {
    fn is_document(&self, text: &str) -> bool {
        matches!(self, Self::Present(document) if **document == *text)
    }

    fn observation(&self) -> Observation {
        match self {
            Self::Present(document) => Observation::Present(Arc::clone(document)),
            Self::Gone => Observation::Gone,
            Self::Failed(error) => Observation::Unknown(UnknownReason::Failed { error: Arc::clone(error) }),
        }
    }

    /// Whether an observer sees no difference, but for the wording of a failure.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => one == other,
            (Self::Gone, Self::Gone) | (Self::Failed(_), Self::Failed(_)) => true,
            _ => false,
        }
    }
}

impl From<Result<Option<Arc<str>>, Error>> for Known {
    fn from(asked: Result<Option<Arc<str>>, Error>) -> Self {
        match asked {
            Ok(Some(document)) => Self::Present(document),
            Ok(None) => Self::Gone,
            Err(error) => Self::Failed(error.to_string().into()),
        }
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

#[cfg(test)]
mod tests;
