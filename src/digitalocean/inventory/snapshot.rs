//! The snapshot of each kind: the documents of its recorded resources, and their age.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    allowance::Allowance,
    known::{CachedResource, CachedState},
    observation::{Observation, UnknownReason},
    responses::Use,
    spare::Spare,
    sync_error::SyncFailure,
    text::Examples,
};
use crate::digitalocean::{
    Client, Error, Kind, Live, Priority, ResourceKey, ResourceOwners, SizeDisks,
    account::{Account, Accounts, SeenAccount},
    certificates::{self, CertificateBook},
    kinds::FieldSet,
    revert::TagUsers,
    scopes::Scopes,
    sizes::SizeBook,
    tag_users::TagUserBook,
};

/// The message of a missing resource whose existence is not checked yet.
const NOT_YET_ASKED: &str =
    "missing from the list together with many others; existence checks are limited per sweep, so this one runs later";

/// The settings of the inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventorySettings {
    /// The delay between the first 404 and the second request, which decides whether a resource counts as gone.
    pub absence_delay: Duration,
    /// The number of missing resources from which a list is doubted: a few are requested directly first.
    pub doubt_above: usize,
    /// The maximum number of missing resources that are requested after one list, so that a sweep always ends.
    pub confirm_at_most: usize,
}

impl Default for InventorySettings {
    fn default() -> Self {
        Self { absence_delay: Duration::from_secs(5), doubt_above: 20, confirm_at_most: 200 }
    }
}

/// The inventory; clones share it.
#[derive(Clone)]
pub struct Inventory(pub(super) Arc<InventoryState>);

pub(super) struct InventoryState {
    pub(super) client: Client,
    pub(super) settings: InventorySettings,
    pub(super) accounts: Accounts,
    pub(super) certificates: CertificateBook,
    pub(super) sizes: SizeBook,
    pub(super) tag_users: TagUserBook,
    pub(super) scopes: Scopes,
    /// The allowance for calls besides the scheduled lists.
    pub(super) allowance: Mutex<Allowance>,
    pub(super) kinds: Mutex<BTreeMap<Kind, Snapshot>>,
    /// One sync of a kind at a time.
    pub(super) turns: Mutex<HashMap<Kind, Arc<tokio::sync::Mutex<()>>>>,
}

/// The knowledge about one kind.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The start of the last sync that read the list, or at least one of several.
    pub(super) listed_at: Option<Instant>,
    pub(super) resources: HashMap<Arc<str>, CachedResource>,
    pub(super) last_error: Option<SyncFailure>,
    /// Parents whose lists could not be read last, with the reason.
    pub(super) unread: HashMap<Box<str>, Arc<str>>,
    /// The account in which the resources were seen, if the token can read it.
    pub(super) account: Option<Account>,
    /// The pages of the last lists.
    pub(super) pages: usize,
    /// The certificates at the last sync.
    pub(super) certificates: certificates::KnownCertificates,
    /// Unrecorded rows of the last lists.
    pub(super) spare: Spare,
    /// The examples that its rows are packed against.
    pub(super) examples: Examples,
    /// The number of unrecorded resources in the last complete lists; none without such lists.
    pub(super) unrecorded: Option<usize>,
}

/// The state of one kind, for metrics and readiness.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotInfo {
    /// The kind.
    pub kind: Kind,
    /// The time since the last sync that read the list, or at least one of several; none without one.
    pub age: Option<Duration>,
    /// The number of recorded resources.
    pub resources: usize,
    /// The number of further resources in the last lists, except those that Kubernetes created; none if a list is
    /// missing.
    pub unrecorded: Option<usize>,
    /// The error of the last sync, if it failed.
    pub last_error: Option<SyncFailure>,
}

impl Inventory {
    /// An empty inventory that reads with `client`.
    #[must_use]
    pub fn new(client: Client, settings: InventorySettings) -> Self {
        let allowance = Mutex::new(Allowance::of(client.hour_limit(), client.extra_calls_at_once()));
        Self(Arc::new(InventoryState {
            client,
            settings,
            accounts: Accounts::default(),
            certificates: CertificateBook::default(),
            sizes: SizeBook::default(),
            tag_users: TagUserBook::default(),
            scopes: Scopes::default(),
            allowance,
            kinds: Mutex::default(),
            turns: Mutex::default(),
        }))
    }

    /// The account in which recorded resources were first seen, to be kept beyond the life of this process. Set it before
    /// the first sync: a token of another account then does not make all resources count as deleted.
    #[must_use]
    pub fn seen_account(&self) -> SeenAccount {
        Arc::clone(&self.0.accounts.seen)
    }

    /// The age limit of a kind: longer than `max_age` if a separate rate limit needs more time for its pages.
    #[must_use]
    pub fn max_age(&self, kind: Kind, max_age: Duration) -> Duration {
        let Some(limit) = kind.row().own_limit else { return max_age };
        // A list can wait for a whole window before and after each window that its pages need.
        let windows = self.pages(kind).max(1).div_ceil(limit.calls.max(1)).saturating_add(2);
        max_age.max(limit.window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX)))
    }

    /// The minimum time between two lists of a kind that leaves calls of its separate limit for others.
    #[must_use]
    pub fn pause(&self, kind: Kind) -> Duration {
        let Some(limit) = kind.row().own_limit else { return Duration::ZERO };
        let pages = u32::try_from(self.pages(kind).max(1)).unwrap_or(u32::MAX);
        let calls = u32::try_from(limit.calls.max(1)).unwrap_or(u32::MAX);
        // Half of them: a decision and its saga make several.
        limit.window.saturating_mul(pages).saturating_mul(2) / calls
    }

    /// The pages of the last lists of a kind.
    #[must_use]
    pub fn pages(&self, kind: Kind) -> usize {
        self.kinds().get(&kind).map_or(0, |snapshot| snapshot.pages)
    }

    /// The current observation, not older than the age limit of the kind.
    #[must_use]
    pub fn get(&self, key: &ResourceKey, max_age: Duration) -> Observation {
        let max_age = self.max_age(key.kind, max_age);
        let kinds = self.kinds();
        let Some(snapshot) = kinds.get(&key.kind) else { return Observation::Unknown(UnknownReason::NotYet) };
        let unread = || snapshot.unread.get(key.parts().0?);
        let error = snapshot.last_error.as_ref().map(|failure| &failure.message).or_else(unread).cloned();
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

    /// Marks resources beyond the age limit of the kind as expired. Returns the newly expired ones, and the next
    /// expiry.
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

    /// The controllers that own a resource or one of these fields, read now; see [`Client::owners`].
    ///
    /// # Errors
    /// If a list or a document could not be read.
    pub async fn owners(&self, live: &Live, fields: &[&str]) -> Result<ResourceOwners, Error> {
        self.0.client.owners(live, fields).await
    }

    /// The sizes of droplets, as far as they were listed.
    pub(crate) fn sizes(&self) -> Option<Arc<SizeDisks>> {
        self.0.sizes.known()
    }

    /// Lists the sizes of droplets, unless they are known.
    pub(crate) async fn list_sizes(&self) {
        self.0.sizes.refresh(&self.0.client).await;
    }

    /// Lists the firewalls and load balancers of the account that select by tags, unless they were just listed.
    pub(crate) async fn list_tag_users(&self) -> Result<Arc<TagUsers>, Error> {
        self.0.tag_users.list(&self.0.client).await
    }

    /// The start of the last sync of the kind that read its list, or at least one of several.
    #[must_use]
    pub fn listed_at(&self, kind: Kind) -> Option<Instant> {
        self.kinds().get(&kind)?.listed_at
    }

    /// Returns true if the kind was ever listed.
    #[must_use]
    pub fn has_listed(&self, kind: Kind) -> bool {
        self.kinds().get(&kind).is_some_and(|snapshot| snapshot.listed_at.is_some())
    }

    /// The number of calls so far that read the kind: its lists, its resources, and their parts.
    #[must_use]
    pub fn reads_of(&self, kind: Kind) -> u64 {
        self.0.client.reads_of(kind)
    }

    /// The number of calls that sweeps may make in an hour beside all others, by the calls of the last hour.
    #[must_use]
    pub fn calls_for_sweeps(&self) -> usize {
        self.0.client.calls_for_sweeps()
    }

    /// Sets the recorded fields of a known resource. Returns true if they need calls that were not made yet; until
    /// then, these parts of the document are unread.
    #[must_use]
    pub fn expect(&self, key: &ResourceKey, fields: FieldSet) -> bool {
        let mut kinds = self.kinds();
        let entry = kinds.get_mut(&key.kind).and_then(|snapshot| snapshot.resources.get_mut(&key.id));
        let Some(CachedState::Present(shown)) = entry.map(|entry| &mut entry.known) else { return false };
        if fields.without(shown.fields()).is_empty() {
            return false;
        }
        let (row, shown) = (key.kind.row(), Arc::make_mut(shown));
        shown.expect(fields.union(shown.fields()), Arc::clone(shown.scopes()));
        shown.compose(row, Use::default());
        shown.is_incomplete(row)
    }

    /// Returns true if a document needs calls for its recorded fields that were not made yet.
    #[must_use]
    pub fn is_incomplete(&self, key: &ResourceKey) -> bool {
        let kinds = self.kinds();
        let entry = kinds.get(&key.kind).and_then(|snapshot| snapshot.resources.get(&key.id));
        entry.and_then(|entry| entry.known.shown()).is_some_and(|shown| shown.is_incomplete(key.kind.row()))
    }

    /// Returns true if a resource is known, but by an earlier read than the last one, which failed.
    #[must_use]
    pub fn is_outdated(&self, key: &ResourceKey, max_age: Duration) -> bool {
        if matches!(self.get(key, max_age), Observation::Unknown(_)) {
            return false;
        }
        let used = Use::since(Instant::now().checked_sub(self.max_age(key.kind, max_age)));
        let kinds = self.kinds();
        let Some(snapshot) = kinds.get(&key.kind) else { return false };
        let shown = snapshot.resources.get(&key.id).and_then(|entry| entry.known.shown());
        snapshot.last_error.is_some()
            || key.parts().0.is_some_and(|parent| snapshot.unread.contains_key(parent))
            || shown.is_some_and(|shown| shown.has_outdated_part(key.kind.row(), used))
    }

    /// Forgets the document of a resource that is no longer recorded.
    pub fn forget(&self, key: &ResourceKey) {
        if let Some(snapshot) = self.kinds().get_mut(&key.kind) {
            snapshot.resources.remove(&key.id);
        }
    }

    /// Forgets a kind that is no longer recorded.
    pub fn forget_kind(&self, kind: Kind) {
        self.kinds().remove(&kind);
    }

    /// The state of each kind that was ever synced or requested.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let info = |(kind, snapshot): (&Kind, &Snapshot)| SnapshotInfo {
            kind: *kind,
            age: snapshot.listed_at.map(|listed_at| listed_at.elapsed()),
            resources: snapshot.resources.len(),
            unrecorded: snapshot.unrecorded,
            last_error: snapshot.last_error.clone(),
        };
        self.kinds().iter().map(info).collect()
    }

    /// Returns the known state, from the responses that are used.
    pub(super) fn observation(&self, kind: Kind, known: &CachedState, used: Use) -> Observation {
        let shown = match known {
            CachedState::Present(shown) => shown,
            CachedState::Gone => return Observation::Gone,
            CachedState::Missing => return Observation::Unknown(UnknownReason::Failed { error: NOT_YET_ASKED.into() }),
            CachedState::Failed(error) => {
                return Observation::Unknown(UnknownReason::Failed { error: Arc::clone(error) });
            }
        };
        let row = kind.row();
        let mut document = shown.document(row, used);
        if shown.fields().has(FieldSet::fields(row, row.certificates.iter().map(String::as_str))) {
            let certificates::KnownCertificates { certificates, why_none } = self.0.certificates.known();
            document.certificates = certificates;
            document.no_certificates = why_none;
        }
        Observation::Present(document)
    }

    pub(super) fn kinds(&self) -> MutexGuard<'_, BTreeMap<Kind, Snapshot>> {
        self.0.kinds.lock()
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inventory")
    }
}

/// The number of concurrent calls of one kind, for resources that lists do not cover.
pub(super) const SIDE_BY_SIDE: usize = 8;

impl Inventory {
    pub(super) async fn request(&self, key: &ResourceKey, priority: Priority) -> Result<Option<Arc<str>>, Error> {
        Ok(self.0.client.get(key, priority).await?.map(Arc::from))
    }
}
