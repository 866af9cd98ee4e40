//! The shared parts of the controller of records and drifts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    asking::Asking,
    index::Index,
    metrics::Metrics,
    reverts::Reverts,
    sweeps::{Circumstances, SweepInfo, Sweeps},
};
use crate::{
    api::labels,
    digitalocean::{
        Inventory, Kind, Live, Observation, ResourceKey,
        revert::{SelectedTags, selected_by, selects_by_tags},
    },
    kube_ext::{key::ObjectKey, queue::Queue, watch::FirstLists},
    process::Process,
    schedule::Schedule,
};

/// For how many records the provider is asked at a time for the sake of a decision: other news finds a worker all the
/// same.
const ASKING: usize = 8;

/// For how long the tags by which resources select are taken as read.
const SELECTED_FOR: Duration = Duration::from_secs(10);

/// The settings of the controller.
#[derive(Clone, Debug)]
pub struct DriftSettings {
    /// Namespaces to watch; all when empty.
    pub namespaces: Vec<String>,
    /// When to list the cloud.
    pub sync: Schedule,
    /// When to compare; right after each sync when not set.
    pub detect: Option<Schedule>,
    /// Inventory older than this gives no verdict.
    pub max_age: Duration,
    /// How many resolved drifts are kept per record and field.
    pub history: usize,
}

/// The state that every part of the controller shares.
pub struct Context {
    /// The state that all controllers share.
    pub process: Process,
    /// The cloud.
    pub inventory: Inventory,
    /// The settings of the comparison.
    pub settings: DriftSettings,
    /// Its counters and histograms.
    pub metrics: Metrics,
    pub(super) queue: Queue<ObjectKey>,
    pub(super) sweeps: Sweeps,
    pub(super) asking: Asking,
    index: Mutex<Index>,
    reverts: Mutex<Reverts>,
    selected: Mutex<Option<(Instant, Arc<SelectedTags>)>>,
    pub(super) records: FirstLists,
    pub(super) drifts: FirstLists,
    pub(super) sagas: FirstLists,
    /// By UID of the record that asks: another one of its name may ask in the same words.
    handled_syncs: Mutex<HashMap<Arc<str>, Box<str>>>,
}

impl Context {
    /// A controller that has not begun.
    #[must_use]
    pub fn new(process: Process, inventory: Inventory, settings: DriftSettings) -> Arc<Self> {
        let period = settings.sync.busiest(Timestamp::now());
        Arc::new(Self {
            process,
            inventory,
            records: FirstLists::of(&settings.namespaces),
            drifts: FirstLists::of(&settings.namespaces),
            sagas: FirstLists::of(&settings.namespaces).with_label(labels::REVERT_OF),
            reverts: Mutex::default(),
            selected: Mutex::default(),
            settings,
            metrics: Metrics::default(),
            queue: Queue::default(),
            sweeps: Sweeps::new(period),
            asking: Asking::new(ASKING),
            index: Mutex::default(),
            handled_syncs: Mutex::default(),
        })
    }

    /// The records and drifts. Never held across an await.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock()
    }

    /// The sagas that revert drifts. Never held across an await.
    pub(super) fn reverts(&self) -> MutexGuard<'_, Reverts> {
        self.reverts.lock()
    }

    /// The tags by which recorded resources select others, as of a moment ago.
    pub(super) fn selected_tags(&self) -> Arc<SelectedTags> {
        let mut selected = self.selected.lock();
        if let Some((at, tags)) = &*selected
            && at.elapsed() < SELECTED_FOR
        {
            return tags.clone();
        }
        let kinds = Kind::all().filter(|kind| selects_by_tags(*kind));
        let recorded = kinds.flat_map(|kind| {
            let wanted = self.index().recorded(kind);
            wanted.into_iter().map(move |wanted| ResourceKey { kind, id: wanted.id })
        });
        let mut tags = SelectedTags::new();
        for key in recorded {
            if let Observation::Present(document) = self.inventory.look(&key, self.settings.max_age)
                && let Ok(live) = Live::of(&key, &document)
            {
                selected_by(&live, &mut tags);
            }
        }
        let tags = Arc::new(tags);
        *selected = Some((Instant::now(), tags.clone()));
        tags
    }

    /// Whether every record and drift, and every saga that reverts one, is known.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.records.are_complete() && self.drifts.are_complete() && self.sagas.are_complete()
    }

    /// The sweeps of each recorded kind.
    #[must_use]
    pub fn sweeps(&self) -> Vec<SweepInfo> {
        let recorded = self.index().kinds();
        self.sweeps.infos().into_iter().filter(|info| recorded.contains(&info.kind)).collect()
    }

    /// Computes how often each kind is swept, from what its sweeps cost and how many calls they may make. Returns the
    /// kinds that are swept for another reason than before.
    pub(super) fn adapt_sweeps(&self) -> Vec<SweepInfo> {
        let mut open: HashMap<Kind, i64> = HashMap::new();
        for drifts in self.index().open_drifts() {
            *open.entry(drifts.kind).or_default() += drifts.count;
        }
        let circumstances = |kind| Circumstances {
            open_drifts: open.get(&kind).copied().unwrap_or_default(),
            pause: self.inventory.pause(kind),
            max_age: self.inventory.max_age(kind, self.settings.max_age),
        };
        self.sweeps.adapt(self.inventory.calls_for_sweeps(), circumstances)
    }

    /// Queues these records, once all are known and this process acts: the sweeps hand over the first ones, whole kinds
    /// at a time.
    pub(super) fn look_at(&self, affected: Vec<ObjectKey>) {
        if self.is_loaded() && self.process.leadership.is_leader() {
            self.queue.extend(affected);
        }
    }

    /// Forgets a live resource whose record was deleted, unless another records it.
    pub(super) fn forget(&self, resource: &ResourceKey) {
        if self.index().records_of(resource).is_empty() {
            self.inventory.forget(resource);
        }
    }

    /// A sync that was asked for has been made.
    pub(super) fn handled_sync(&self, uid: Arc<str>, request: Box<str>) {
        self.handled().insert(uid, request);
    }

    /// The sync that was asked for and made, if its record does not say so yet.
    pub(super) fn is_sync_handled(&self, uid: &str, request: &str) -> bool {
        self.handled().get(uid).is_some_and(|handled| handled.as_ref() == request)
    }

    /// Its record says so, or is gone.
    pub(super) fn forget_sync(&self, uid: &str) {
        self.handled().remove(uid);
    }

    fn handled(&self) -> MutexGuard<'_, HashMap<Arc<str>, Box<str>>> {
        self.handled_syncs.lock()
    }
}

/// A controller that has not begun, and a cloud that does not answer: for tests of what it is made of.
#[cfg(test)]
pub(crate) fn idle(process: Process) -> (Arc<Context>, crate::digitalocean::Client) {
    use crate::digitalocean;

    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = digitalocean::Token::new("x").unwrap();
    let cloud = digitalocean::Client::new(digitalocean::Config::new("http://127.0.0.1:1", token).unwrap()).unwrap();
    let settings = DriftSettings {
        namespaces: Vec::new(),
        sync: "5m".parse().unwrap(),
        detect: None,
        max_age: Duration::from_mins(15),
        history: 1,
    };
    let inventory = Inventory::new(cloud.clone(), digitalocean::InventorySettings::default());
    (Context::new(process, inventory, settings), cloud)
}
