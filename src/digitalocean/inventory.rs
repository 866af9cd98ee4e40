//! The inventory: the documents of the resources that are recorded, as last seen, and how far to trust them.
//!
//! Only documents of recorded resources are kept. A list counts as a whole or not at all, and it never proves that
//! something does not exist: two direct questions do.

mod confirmed;
mod extras;
mod shown;
mod spare;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::account::{Account, Accounts};
use super::certificates::{self, CertificateBook};
use super::client::{Listed, Rows};
use super::kinds::FieldSet;
use super::observed::Document;
use super::scopes::Scopes;
use super::{Client, Error, IdFormat, Kind, Priority, ResourceKey, kinds};
use extras::Allowance;
use shown::{Shown, Use};
use spare::{Room, Spare};

/// How many calls of one kind run side by side, where lists do not cover it.
const SIDE_BY_SIDE: usize = 8;
/// How many resources are asked for to see whether a list lies.
const PROBES: usize = 3;
/// From how many resources on, all of them missing at once, the account is looked at.
const ALL: usize = 3;
/// What is said of a missing resource that was not asked for yet.
const NOT_YET_ASKED: &str =
    "the list does not hold it, nor many others; some are asked for after each list, and its turn comes later";

/// What the inventory can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long after a first 404 the second is asked for, before a resource counts as gone.
    pub absence_delay: Duration,
    /// From how many missing resources on a list is doubted: a few are asked for first.
    pub doubt_above: usize,
    /// How many missing resources are asked for after one list, so that a sweep ends however many there are.
    pub confirm_at_most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { absence_delay: Duration::from_secs(5), doubt_above: 20, confirm_at_most: 200 }
    }
}

/// The inventory; clones share it.
#[derive(Clone)]
pub struct Inventory(Arc<Shared>);

struct Shared {
    client: Client,
    settings: Settings,
    accounts: Accounts,
    certificates: CertificateBook,
    scopes: Scopes,
    /// Of calls that documents need besides the lists.
    allowance: Mutex<Allowance>,
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
    /// Parents whose lists could not be read last, and why.
    unread: HashMap<Box<str>, Arc<str>>,
    /// Which account the resources were seen in, where the token may know.
    account: Option<Account>,
    /// The pages of the last lists.
    pages: usize,
    /// The certificates at the last sync.
    certificates: certificates::Known,
    /// Rows of the last lists that nobody recorded.
    spare: Spare,
}

/// A recorded resource of a kind, and which of its fields are recorded.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The id.
    pub id: Arc<str>,
    /// The recorded fields: what they need besides the lists is read too.
    pub fields: FieldSet,
}

/// Which resources of a kind a list is read for.
enum Selection {
    /// Those that are recorded.
    Wanted(Vec<Wanted>),
    /// All that exist, and the fields that are read of each. Kinds that live in others are listed in these parents.
    All { fields: FieldSet, parents: Vec<String> },
}

impl Selection {
    /// The fields to read of each resource.
    fn fields(&self, rows: &HashMap<Arc<str>, Staged>) -> HashMap<Arc<str>, FieldSet> {
        match self {
            Self::Wanted(wanted) => wanted.iter().map(|wanted| (Arc::clone(&wanted.id), wanted.fields)).collect(),
            Self::All { fields, .. } => rows.keys().map(|id| (Arc::clone(id), *fields)).collect(),
        }
    }
}

impl<T: Into<Arc<str>>> From<T> for Wanted {
    fn from(id: T) -> Self {
        Self { id: id.into(), fields: FieldSet::default() }
    }
}

/// What is known of one resource, and since when: the time before it was asked for.
#[derive(Clone)]
struct Entry {
    known: Known,
    at: Instant,
    /// Whether it was told that this is too old.
    is_expired: bool,
}

#[derive(Clone)]
enum Known {
    Present(Arc<Shown>),
    Gone,
    /// A list does not hold it, and it was not asked for since.
    Missing,
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
    /// Its document.
    Present(Document),
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
#[derive(Clone, Debug)]
pub struct Changes {
    /// The kind.
    pub kind: Kind,
    /// Recorded ids of which something else is known than before.
    pub changed: Vec<Arc<str>>,
    /// Those of them of which nothing could be said before.
    pub renewed: Vec<Arc<str>>,
    /// Ids whose documents are the same, and confirmed by now.
    pub confirmed: Vec<Arc<str>>,
    /// How many resources of the kind there are.
    pub listed: usize,
    /// How many calls it took, those for resources that turned out to be gone aside: they come once.
    pub calls: usize,
    /// What could not be read besides; what was known of that stays, and ages.
    pub unread: Option<SyncError>,
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

    /// Whether it makes all that was known of the kind worth nothing at once.
    #[must_use]
    pub fn is_about_all(&self) -> bool {
        matches!(self, Self::OtherAccount { .. })
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
        let allowance = Mutex::new(Allowance::of(client.hour_limit()));
        Self(Arc::new(Shared {
            client,
            settings,
            accounts: Accounts::default(),
            certificates: CertificateBook::default(),
            scopes: Scopes::default(),
            allowance,
            kinds: Mutex::default(),
            turns: Mutex::default(),
        }))
    }

    /// Lists all pages of `kind` and takes them over, or nothing. `wanted` are its recorded resources; with none, no
    /// call is made. Parts that no list shows are read where they are recorded, within an allowance.
    ///
    /// # Errors
    /// Where the list could not be read in full or lied; what was known before stays.
    pub async fn sync(
        &self,
        kind: Kind,
        wanted: impl IntoIterator<Item = impl Into<Wanted>> + Send,
    ) -> Result<Changes, SyncError> {
        self.take_turn(kind, Selection::Wanted(wanted.into_iter().map(Into::into).collect())).await
    }

    /// Lists all pages of `kind` and takes every resource over, for a survey of the account. What these fields need
    /// besides the lists is read too, within an allowance. `parents` are the domains whose records are listed.
    ///
    /// # Errors
    /// If the list could not be read in full.
    pub async fn survey(&self, kind: Kind, fields: FieldSet, parents: Vec<String>) -> Result<Changes, SyncError> {
        self.take_turn(kind, Selection::All { fields, parents }).await
    }

    async fn take_turn(&self, kind: Kind, selection: Selection) -> Result<Changes, SyncError> {
        let turn = Arc::clone(self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default());
        let _turn = turn.lock().await;
        let outcome = self.list(kind, selection).await;
        if let Err(error) = &outcome {
            self.kinds().entry(kind).or_default().last_error = Some((error.category(), error.to_string().into()));
        }
        outcome
    }

    /// The age limit of a kind: longer than `max_age` where a limit of its own needs more time for its pages.
    #[must_use]
    pub fn max_age(&self, kind: Kind, max_age: Duration) -> Duration {
        let Some(limit) = kind.row().own_limit else { return max_age };
        // A list can wait for a whole window before and after each that its pages need.
        let windows = self.pages(kind).max(1).div_ceil(limit.calls.max(1)).saturating_add(2);
        max_age.max(limit.window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX)))
    }

    /// The shortest time between two lists of a kind that leaves calls of its own limit for others.
    #[must_use]
    pub fn pause(&self, kind: Kind) -> Duration {
        let Some(limit) = kind.row().own_limit else { return Duration::ZERO };
        let pages = u32::try_from(self.pages(kind).max(1)).unwrap_or(u32::MAX);
        let calls = u32::try_from(limit.calls.max(1)).unwrap_or(u32::MAX);
        // A quarter is left over.
        limit.window.saturating_mul(pages).saturating_mul(4) / calls.saturating_mul(3)
    }

    /// The pages of the last lists of a kind.
    #[must_use]
    pub fn pages(&self, kind: Kind) -> usize {
        self.kinds().get(&kind).map_or(0, |snapshot| snapshot.pages)
    }

    /// What is known now, not older than the age limit of the kind.
    #[must_use]
    pub fn look(&self, key: &ResourceKey, max_age: Duration) -> Observation {
        let max_age = self.max_age(key.kind, max_age);
        let kinds = self.kinds();
        let Some(snapshot) = kinds.get(&key.kind) else { return Observation::Unknown(UnknownReason::NotYet) };
        let unread = || snapshot.unread.get(key.parts().0?);
        let error = snapshot.last_error.as_ref().map(|(_, error)| error).or_else(unread).cloned();
        let Some(entry) = snapshot.resources.get(&key.id) else {
            let reason = error.map_or(UnknownReason::NotYet, |error| UnknownReason::Failed { error });
            return Observation::Unknown(reason);
        };
        let age = entry.at.elapsed();
        if age >= max_age {
            return Observation::Unknown(UnknownReason::Stale { age, error });
        }
        self.observation(key.kind, &entry.known, Use::since(Instant::now().checked_sub(max_age)))
    }

    /// Marks what is older than the age limit of the kind and was not told yet: which resources that are, and when the next will be.
    #[must_use]
    pub fn expire(&self, kind: Kind, max_age: Duration) -> (Vec<Arc<str>>, Option<Instant>) {
        let max_age = self.max_age(kind, max_age);
        let now = Instant::now();
        let mut kinds = self.kinds();
        let mut expired = Vec::new();
        let mut next: Option<Instant> = None;
        let resources = kinds.get_mut(&kind).into_iter().flat_map(|snapshot| &mut snapshot.resources);
        for (id, entry) in resources.filter(|(_, entry)| !entry.is_expired) {
            let at = entry.oldest() + max_age;
            if at <= now {
                entry.is_expired = true;
                expired.push(Arc::clone(id));
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        (expired, next)
    }

    /// The controller that owns a resource, read now; see [`Client::owner`].
    ///
    /// # Errors
    /// If a list could not be read.
    pub async fn owner(&self, key: &ResourceKey) -> Result<Option<String>, Error> {
        self.0.client.owner(key).await
    }

    /// When the last complete list of the kind was begun.
    #[must_use]
    pub fn listed_at(&self, kind: Kind) -> Option<Instant> {
        self.kinds().get(&kind)?.listed_at
    }

    /// Whether the kind was ever listed.
    #[must_use]
    pub fn has_listed(&self, kind: Kind) -> bool {
        self.kinds().get(&kind).is_some_and(|snapshot| snapshot.listed_at.is_some())
    }

    /// How many calls sweeps may make in any hour.
    #[must_use]
    pub fn hour_limit(&self) -> usize {
        self.0.client.hour_limit()
    }

    /// Asks the cloud directly, now, and keeps the answer. A 404 is asked for twice before it counts, unless it was known
    /// to be gone, and not where the token belongs to another account by now. A failed question is kept only where nothing
    /// was known.
    ///
    /// Parts of the document that could not be read now are unknown. What only lists show counts where two lists say it,
    /// and for `max_age`.
    pub async fn fetch(&self, key: &ResourceKey, max_age: Duration) -> Observation {
        let (known, at) = self.ask_directly(key, FieldSet::default()).await;
        let responses_since = at.checked_sub(self.max_age(key.kind, max_age));
        self.observation(key.kind, &known, Use { responses_since, parts_since: Some(at), only_confirmed: true })
    }

    /// As [`Self::fetch`], to confirm what one list alone shows: nothing where the allowance for calls besides the lists
    /// is spent. The next list confirms it too.
    pub async fn confirm_change(&self, key: &ResourceKey, max_age: Duration) -> Option<Observation> {
        let calls = {
            let kinds = self.kinds();
            let entry = kinds.get(&key.kind).and_then(|snapshot| snapshot.resources.get(&key.id));
            let shown = entry.and_then(|entry| entry.known.shown());
            shown.map_or(0, |shown| shown.wants(key.kind.row(), shown.fields()).readings.len()).saturating_add(1)
        };
        let is_allowed = self.0.allowance.lock().unwrap_or_else(PoisonError::into_inner).take(calls);
        if !is_allowed {
            return None;
        }
        Some(self.fetch(key, max_age).await)
    }

    /// Reads the resource of a record of these fields for the first time: what they need besides is read too.
    pub async fn first_look(&self, key: &ResourceKey, fields: FieldSet) {
        self.ask_directly(key, fields).await;
    }

    async fn ask_directly(&self, key: &ResourceKey, fields: FieldSet) -> (Known, Instant) {
        let at = Instant::now();
        let was_gone = self
            .kinds()
            .get(&key.kind)
            .and_then(|kind| kind.resources.get(&key.id))
            .is_some_and(|entry| entry.known.is_gone());
        let mut asked = self.ask(key, Priority::Urgent).await;
        if matches!(asked, Ok(None)) && !was_gone {
            tokio::time::sleep(self.0.settings.absence_delay).await;
            asked = self.ask(key, Priority::Urgent).await;
        }
        let mut known = self.known(key, asked, at);
        if known.is_gone() && !was_gone {
            match self.is_other_account(key.kind, Priority::Urgent).await {
                Ok(false) => {}
                Ok(true) => known = Known::Failed(SyncError::OtherAccount { kind: key.kind }.to_string().into()),
                Err(error) => known = Known::failed(&error),
            }
        }
        if let Known::Present(shown) = &mut known {
            self.complete_one(key, fields, Arc::make_mut(shown)).await;
        }
        let has_failed = matches!(known, Known::Failed(_));
        let mut kinds = self.kinds();
        let resources = &mut kinds.entry(key.kind).or_default().resources;
        if resources.get(&key.id).is_none_or(|entry| entry.at <= at && !has_failed) {
            resources.insert(Arc::clone(&key.id), Entry::new(known.clone(), at));
        }
        (known, at)
    }

    /// Takes over which fields are recorded of a known resource. Whether they need calls that were not made yet; until
    /// then, the document says what is unread.
    #[must_use]
    pub fn expect(&self, key: &ResourceKey, fields: FieldSet) -> bool {
        let mut kinds = self.kinds();
        let entry = kinds.get_mut(&key.kind).and_then(|snapshot| snapshot.resources.get_mut(&key.id));
        let Some(Known::Present(shown)) = entry.map(|entry| &mut entry.known) else { return false };
        if fields.without(shown.fields()).is_empty() {
            return false;
        }
        let (row, shown) = (key.kind.row(), Arc::make_mut(shown));
        shown.expect(fields.union(shown.fields()), Arc::clone(shown.scopes()));
        shown.compose(row, Use::default());
        shown.is_incomplete(row)
    }

    /// Whether a document needs calls for its recorded fields that were not made yet.
    #[must_use]
    pub fn is_incomplete(&self, key: &ResourceKey) -> bool {
        let kinds = self.kinds();
        let entry = kinds.get(&key.kind).and_then(|snapshot| snapshot.resources.get(&key.id));
        entry.and_then(|entry| entry.known.shown()).is_some_and(|shown| shown.is_incomplete(key.kind.row()))
    }

    /// Forgets the document of a resource that is no longer recorded.
    pub fn forget(&self, key: &ResourceKey) {
        if let Some(snapshot) = self.kinds().get_mut(&key.kind) {
            snapshot.resources.remove(&key.id);
        }
    }

    /// Forgets all of a kind of which nothing is recorded any more.
    pub fn forget_kind(&self, kind: Kind) {
        self.kinds().remove(&kind);
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

    async fn list(&self, kind: Kind, selection: Selection) -> Result<Changes, SyncError> {
        let started = Instant::now();
        let token = self.0.client.token_version();
        let Read { mut rows, listed, spare, unread } = self.read(kind, &selection).await?;
        let fields = selection.fields(&rows);
        let account = self.account(kind, &rows).await?;
        let mut absent = absent(kind, &rows);
        if absent.len() > self.0.settings.doubt_above && !kind.row().lists_a_part {
            self.doubt(kind, &absent).await?;
        }
        absent.truncate(self.0.settings.confirm_at_most);
        let mut found = self.confirm(absent).await;
        let was_there = |id: &Arc<str>| {
            let before = rows.get(id).and_then(|staged| staged.before.as_ref());
            before.is_some_and(|before| !before.known.is_gone())
        };
        if found.iter().any(|(id, entry)| entry.known.is_gone() && was_there(id)) {
            self.doubt_account(kind).await?;
        }
        let asked = found.values().filter(|entry| !entry.known.is_gone()).count();
        let mut entries: Vec<_> = rows
            .drain()
            .map(|(id, staged)| {
                let found = found.remove(&id);
                let entry = staged.entry(kind.row(), found, started);
                (id, entry)
            })
            .collect();
        let calls = listed.pages + asked + self.complete(kind, &fields, &mut entries).await;
        let (mut changed, renewed, confirmed) = self.take_over(kind, started, entries);
        let certificates = self.0.certificates.known();
        let mut kinds = self.kinds();
        let snapshot = kinds.entry(kind).or_default();
        if snapshot.certificates != certificates {
            let needs = FieldSet::fields(kind.row(), kind.row().certificates.iter().map(String::as_str));
            let shows = |entry: &Entry| matches!(&entry.known, Known::Present(shown) if shown.fields().has(needs));
            changed.extend(snapshot.resources.iter().filter(|(_, entry)| shows(entry)).map(|(id, _)| Arc::clone(id)));
            changed.sort();
            changed.dedup();
            snapshot.certificates = certificates;
        }
        snapshot.pages = listed.pages;
        snapshot.spare = spare.listed(started);
        if !snapshot.spare.is_empty() {
            self.drop_spare_later(kind, started);
        }
        // A token that was replaced meanwhile says nothing about what the one before it saw.
        let account = account.filter(|_| self.0.client.token_version() == token);
        snapshot.account = account.or_else(|| snapshot.account.take());
        snapshot.unread = unread.errors;
        Ok(Changes { kind, changed, renewed, confirmed, listed: listed.rows, calls, unread: unread.error })
    }

    /// Drops the spare rows of a list once they are no longer fresh.
    fn drop_spare_later(&self, kind: Kind, at: Instant) {
        let inventory = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep_until(at + spare::FRESH).await;
            let Some(inventory) = inventory.upgrade().map(Self) else { return };
            if let Some(snapshot) = inventory.kinds().get_mut(&kind)
                && snapshot.spare.at() == Some(at)
            {
                snapshot.spare.clear();
            }
        });
    }

    /// Takes the resource of a new record from the rows of a fresh list, where these show all of these fields. Whether
    /// it is known now.
    #[must_use]
    pub fn take_from_list(&self, key: &ResourceKey, fields: FieldSet) -> bool {
        let mut kinds = self.kinds();
        let Some(snapshot) = kinds.get_mut(&key.kind) else { return false };
        if let Some(entry) = snapshot.resources.get(&key.id) {
            return entry.known.shown().is_none_or(|shown| !shown.is_incomplete(key.kind.row()));
        }
        let Some((text, at)) = snapshot.spare.row(&key.id) else { return false };
        let row = key.kind.row();
        let mut shown = Shown::listed(row, None, text, at);
        let needs_certificates = fields.has(FieldSet::fields(row, row.certificates.iter().map(String::as_str)));
        let needs_scopes = row.scopes_in_doubt(fields).next().is_some();
        if shown.wants(row, fields) != shown::Wants::default() || needs_certificates || needs_scopes {
            return false;
        }
        shown.expect(fields, Arc::default());
        shown.compose(row, Use::default());
        snapshot.resources.insert(Arc::clone(&key.id), Entry::new(Known::Present(Arc::new(shown)), at));
        true
    }

    /// Reads the lists. It fails only where none of them could be read.
    async fn read(&self, kind: Kind, selection: &Selection) -> Result<Read, SyncError> {
        let stages = self.stages(kind, selection);
        let all = stages.len();
        let lists = stages.into_iter().map(|(parent, mut stage)| async move {
            let outcome = match self.0.client.list(kind, parent.as_deref(), &mut stage, Priority::Sweep).await {
                // The domain is not there: neither are its records.
                Err(Error::NotFound { .. }) if parent.is_some() => {
                    stage.begin();
                    Ok(Listed { rows: 0, pages: 1 })
                }
                other => other,
            };
            (parent, outcome, stage)
        });
        let outcomes: Vec<_> = stream::iter(lists).buffer_unordered(SIDE_BY_SIDE).collect().await;
        let mut read = Read::default();
        for (parent, outcome, Stage { mut resources, spare, .. }) in outcomes {
            match outcome {
                Ok(listed) => {
                    read.spare.join(spare);
                    read.listed.rows += listed.rows;
                    read.listed.pages += listed.pages;
                }
                Err(source) => {
                    let error: Arc<str> = source.to_string().into();
                    for staged in resources.values_mut() {
                        staged.row = Row::Unread(Arc::clone(&error));
                    }
                    read.unread.errors.insert(parent.unwrap_or_default().into(), error);
                    let unread = read.unread.errors.len();
                    read.unread.error = Some(SyncError::Part { kind, unread, all, source });
                }
            }
            read.rows.extend(resources);
        }
        match read.unread.error {
            Some(SyncError::Part { source, .. }) if read.unread.errors.len() == all => {
                Err(SyncError::List { kind, source })
            }
            _ => Ok(read),
        }
    }

    /// Which account these rows were seen in, where the token may know. Where all that was known of a kind is missing,
    /// it must be the account in which that was seen: else nothing is known any more.
    async fn account(&self, kind: Kind, rows: &HashMap<Arc<str>, Staged>) -> Result<Option<Account>, SyncError> {
        let known = rows.values().filter(|staged| staged.before.as_ref().is_some_and(|before| !before.known.is_gone()));
        let missing = known.clone().filter(|staged| matches!(staged.row, Row::Missing)).count();
        if missing < ALL || missing < known.count() {
            let is_seen = rows.values().any(|staged| matches!(staged.row, Row::Same | Row::New(_)));
            return Ok(if is_seen { self.0.accounts.known(&self.0.client).await } else { None });
        }
        self.doubt_account(kind).await.map(|()| None)
    }

    /// Makes sure that the token belongs to the account in which the kind was seen: else nothing is known of it any more.
    async fn doubt_account(&self, kind: Kind) -> Result<(), SyncError> {
        let is_other = self.is_other_account(kind, Priority::Sweep).await;
        if is_other.map_err(|source| SyncError::List { kind, source })? {
            let error = SyncError::OtherAccount { kind };
            self.disown(kind, &error.to_string().into());
            return Err(error);
        }
        Ok(())
    }

    /// Whether the token belongs to another account than that in which the kind's resources were seen, as far as it may
    /// know.
    async fn is_other_account(&self, kind: Kind, priority: Priority) -> Result<bool, Error> {
        let seen_in = self.kinds().get(&kind).and_then(|snapshot| snapshot.account.clone());
        let Some(seen_in) = seen_in else { return Ok(false) };
        Ok(self.0.accounts.ask(&self.0.client, priority).await?.is_some_and(|account| account != seen_in))
    }

    /// Forgets all that is known of a kind, for this reason.
    fn disown(&self, kind: Kind, why: &Arc<str>) {
        let now = Instant::now();
        for entry in self.kinds().entry(kind).or_default().resources.values_mut() {
            *entry = Entry::new(Known::Failed(Arc::clone(why)), now);
        }
    }

    /// What is wanted, with what is known of it: one stage per list that has to be read.
    fn stages(&self, kind: Kind, selection: &Selection) -> BTreeMap<Option<String>, Stage> {
        let kinds = self.kinds();
        let known = kinds.get(&kind).map(|snapshot| &snapshot.resources);
        let mut stages: BTreeMap<Option<String>, Stage> = BTreeMap::new();
        let room = Room::default();
        let wanted = match selection {
            Selection::Wanted(wanted) => wanted.as_slice(),
            Selection::All { parents, .. } => {
                let is_within = kind.id_format() == IdFormat::DomainRecord;
                let parents = parents.iter().cloned().map(Some).filter(|_| is_within);
                let own = (!is_within).then_some(None);
                for parent in parents.chain(own) {
                    let stage = Stage { takes_all: true, ..Stage::of(parent.as_deref(), &room) };
                    stages.insert(parent, stage);
                }
                &[]
            }
        };
        for Wanted { id, .. } in wanted {
            let key = ResourceKey::new(kind, Arc::clone(id));
            let parent = key.parts().0.map(ToOwned::to_owned);
            let before = known.and_then(|known| known.get(id)).cloned();
            let stage = Stage::of(parent.as_deref(), &room);
            let stage = stages.entry(parent).or_insert(stage);
            stage.resources.insert(Arc::clone(id), Staged { before, row: Row::Missing });
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
                    let known = self.known(&key, asked, at);
                    found.insert(key.id, Entry::new(known, at));
                }
            }
        }
        found
    }

    async fn ask(&self, key: &ResourceKey, priority: Priority) -> Result<Option<Arc<str>>, Error> {
        Ok(self.0.client.get(key, priority).await?.map(Arc::from))
    }

    /// What a direct question came to, on top of what was shown before.
    fn known(&self, key: &ResourceKey, asked: Result<Option<Arc<str>>, Error>, at: Instant) -> Known {
        match asked {
            Ok(Some(text)) => {
                let kinds = self.kinds();
                let before = kinds.get(&key.kind).and_then(|kind| kind.resources.get(&key.id));
                let before = before.and_then(|entry| match &entry.known {
                    Known::Present(shown) => Some(&**shown),
                    _ => None,
                });
                Known::Present(Arc::new(Shown::got(key.kind.row(), before, text, at)))
            }
            Ok(None) => Known::Gone,
            Err(error) => Known::failed(&error),
        }
    }

    /// Returns the known state, from the responses that are used.
    fn observation(&self, kind: Kind, known: &Known, used: Use) -> Observation {
        let shown = match known {
            Known::Present(shown) => shown,
            Known::Gone => return Observation::Gone,
            Known::Missing => return Observation::Unknown(UnknownReason::Failed { error: NOT_YET_ASKED.into() }),
            Known::Failed(error) => {
                return Observation::Unknown(UnknownReason::Failed { error: Arc::clone(error) });
            }
        };
        let row = kind.row();
        let mut document = shown.document(row, used);
        if shown.fields().has(FieldSet::fields(row, row.certificates.iter().map(String::as_str))) {
            let certificates::Known { certificates, why_none } = self.0.certificates.known();
            document.certificates = certificates;
            document.no_certificates = why_none;
        }
        Observation::Present(document)
    }

    /// Puts a sync in place. Which ids changed, of which of them nothing could be said before, and which others are
    /// confirmed by now.
    fn take_over(&self, kind: Kind, started: Instant, entries: Vec<(Arc<str>, Entry)>) -> (Ids, Ids, Ids) {
        let mut kinds = self.kinds();
        let snapshot = kinds.entry(kind).or_default();
        let mut before = std::mem::take(&mut snapshot.resources);
        let (mut changed, mut renewed, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
        snapshot.resources.reserve(entries.len());
        for (id, entry) in entries {
            let entry = match before.remove(&id) {
                // Asked for directly since the list was begun, so newer than the list; or the list was not read.
                Some(newer) if newer.at >= entry.at => newer,
                older => {
                    let was_told = older.as_ref().is_some_and(|older| older.known.tells() && !older.is_expired);
                    let is_renewed = entry.known.tells() && !was_told;
                    if is_renewed {
                        renewed.push(Arc::clone(&id));
                    }
                    if is_renewed || !older.as_ref().is_some_and(|older| older.known.is_like(&entry.known)) {
                        changed.push(Arc::clone(&id));
                    } else if older.is_some_and(|older| entry.known.is_confirmed() && !older.known.is_confirmed()) {
                        confirmed.push(Arc::clone(&id));
                    }
                    entry
                }
            };
            snapshot.resources.insert(id, entry);
        }
        // Recorded and asked for only since the list was begun.
        snapshot.resources.extend(before.into_iter().filter(|(_, entry)| entry.at > started));
        snapshot.listed_at = Some(started);
        snapshot.last_error = None;
        (changed, renewed, confirmed)
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Kind, Snapshot>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The missing resources to ask for, those first that have waited for longest.
fn absent(kind: Kind, rows: &HashMap<Arc<str>, Staged>) -> Vec<ResourceKey> {
    let is_absent = |staged: &Staged| matches!(staged.row, Row::Missing) && !staged.is_gone();
    let mut absent: Vec<_> = rows.iter().filter(|(_, staged)| is_absent(staged)).collect();
    absent.sort_by(|one, other| (one.1.turn(), one.0).cmp(&(other.1.turn(), other.0)));
    absent.into_iter().map(|(id, _)| ResourceKey::new(kind, Arc::clone(id))).collect()
}

/// Ids of resources.
type Ids = Vec<Arc<str>>;

/// What one list is read for.
struct Stage {
    /// What comes before the ids of its rows.
    prefix: String,
    resources: HashMap<Arc<str>, Staged>,
    /// Whether every row is taken over.
    takes_all: bool,
    /// Its other rows.
    spare: Spare,
}

impl Stage {
    /// For the list of a parent, or of the kind.
    fn of(parent: Option<&str>, room: &Room) -> Self {
        let prefix = parent.map(|parent| format!("{parent}/")).unwrap_or_default();
        Self { prefix, resources: HashMap::new(), takes_all: false, spare: Spare::within(room.clone()) }
    }
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
    /// Nothing: it could not be read.
    Unread(Arc<str>),
}

/// What the lists of a kind say.
#[derive(Default)]
struct Read {
    rows: HashMap<Arc<str>, Staged>,
    listed: Listed,
    spare: Spare,
    unread: Unread,
}

/// What could not be read of them.
#[derive(Default)]
struct Unread {
    /// By parent.
    errors: HashMap<Box<str>, Arc<str>>,
    error: Option<SyncError>,
}

impl Staged {
    fn is_gone(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.known.is_gone())
    }

    /// When its turn comes to be asked for, should it be missing: first those that wait already, then those of which
    /// nothing was known, then what is known for longest.
    fn turn(&self) -> (bool, Option<Instant>) {
        let before = self.before.as_ref();
        let is_waiting = before.is_some_and(|before| matches!(before.known, Known::Missing));
        (!is_waiting, before.map(|before| before.at))
    }

    /// What is known now; `found` is what asking for it said.
    fn entry(self, kind: &kinds::Row, found: Option<Entry>, started: Instant) -> Entry {
        if let Some(found) = found {
            return found;
        }
        let listed = |before: Option<&Entry>, text: &str| {
            let before = before.and_then(|entry| entry.known.shown());
            Entry::new(Known::Present(Arc::new(Shown::listed(kind, before, text, started))), started)
        };
        match (self.row, self.before) {
            (Row::New(text), before) => listed(before.as_ref(), &text),
            (Row::Unread(_), Some(before)) if before.known.tells() => before,
            (Row::Unread(error), _) => Entry::new(Known::Failed(error), started),
            // Its turn did not come. Where the lists cannot show it, that they do not says nothing new.
            (Row::Missing, Some(before)) if kind.lists_a_part && before.known.tells() && !before.known.is_gone() => {
                before
            }
            (Row::Same, Some(before)) => match before.known {
                Known::Present(shown) => {
                    Entry::new(Known::Present(Arc::new(shown.listed_again(kind, started))), started)
                }
                known => Entry::new(known, started),
            },
            (_, Some(before)) if before.known.is_gone() => Entry::new(Known::Gone, started),
            (_, _) => Entry::new(Known::Missing, started),
        }
    }
}

impl Rows for Stage {
    fn begin(&mut self) {
        if self.takes_all {
            self.resources.clear();
        }
        for staged in self.resources.values_mut() {
            staged.row = Row::Missing;
        }
        self.spare.clear();
    }

    fn row(&mut self, id: &str, document: &str) {
        let key = if self.prefix.is_empty() { Cow::Borrowed(id) } else { Cow::Owned(format!("{}{id}", self.prefix)) };
        match self.resources.get_mut(&*key) {
            Some(staged) => {
                let same = staged.before.as_ref().is_some_and(|before| before.known.was_listed_as(document));
                staged.row = if same { Row::Same } else { Row::New(document.into()) };
            }
            None if self.takes_all => {
                self.resources.insert(key.into(), Staged { before: None, row: Row::New(document.into()) });
            }
            None => self.spare.keep(&key, document),
        }
    }
}

impl Entry {
    fn new(known: Known, at: Instant) -> Self {
        Self { known, at, is_expired: false }
    }

    /// The time of the oldest response that it rests on.
    fn oldest(&self) -> Instant {
        let rests_on = self.known.shown().and_then(Shown::rests_on);
        rests_on.map_or(self.at, |rests_on| rests_on.min(self.at))
    }
}

impl Known {
    fn failed(error: &Error) -> Self {
        Self::Failed(error.to_string().into())
    }

    fn shown(&self) -> Option<&Shown> {
        match self {
            Self::Present(shown) => Some(shown),
            Self::Gone | Self::Missing | Self::Failed(_) => None,
        }
    }

    fn was_listed_as(&self, text: &str) -> bool {
        self.shown().is_some_and(|shown| shown.was_listed_as(text))
    }

    fn is_confirmed(&self) -> bool {
        self.shown().is_none_or(Shown::is_confirmed)
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    /// Whether a verdict can rest on it.
    fn tells(&self) -> bool {
        matches!(self, Self::Present(_) | Self::Gone)
    }

    /// Whether an observer sees no difference, but for the wording of a failure.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => one.is_like(other),
            (Self::Gone, Self::Gone) | (Self::Missing, Self::Missing) | (Self::Failed(_), Self::Failed(_)) => true,
            _ => false,
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
