//! The shared parts of the controller of records and drifts.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    fetches::FetchQueue,
    index::RecordIndex,
    metrics::DriftMetrics,
    reverts::RevertSagas,
    rush::{FEW, Rush},
    sweeps::{Circumstances, SweepInfo, Sweeps},
};
use crate::{
    api::labels,
    digitalocean::{
        Inventory, Kind, Live, Observation, ResourceKey,
        revert::{AccountFacts, selected_by, selects_by_tags},
    },
    kube_ext::{key::ObjectKey, queue::Queue, watch::FirstLists},
    process::Process,
    schedule::Schedule,
};

/// The number of concurrent reconciles, and so of concurrent writes to the API server.
pub(super) const WORKERS: usize = 16;

/// The number of records whose provider requests for decisions run at a time, so that workers remain for other records.
const FETCHES: usize = 8;

/// The time for which the facts of the account are cached.
const SELECTED_FOR: Duration = Duration::from_secs(10);

/// The settings of the controller.
#[derive(Clone, Debug)]
pub struct DriftSettings {
    /// Namespaces to watch; all when empty.
    pub namespaces: Vec<String>,
    /// The schedule of listing the cloud.
    pub sync: Schedule,
    /// The schedule of comparing; right after each sync if unset.
    pub detect: Option<Schedule>,
    /// The maximum age of an inventory for a verdict.
    pub max_age: Duration,
    /// The number of resolved drifts to keep per record and field.
    pub history: usize,
}

/// The state that every part of the controller shares.
pub struct DriftContext {
    /// The state that all controllers share.
    pub process: Process,
    /// The cloud.
    pub inventory: Inventory,
    /// The settings of the comparison.
    pub settings: DriftSettings,
    /// Its counters and histograms.
    pub metrics: DriftMetrics,
    pub(super) queue: Queue<ObjectKey>,
    pub(super) sweeps: Sweeps,
    pub(super) fetches: FetchQueue,
    pub(super) rush: Rush,
    index: Mutex<RecordIndex>,
    reverts: Mutex<RevertSagas>,
    facts: Mutex<Option<(Instant, Arc<AccountFacts>)>>,
    pub(super) records: FirstLists,
    pub(super) drifts: FirstLists,
    pub(super) sagas: FirstLists,
    /// The kinds that were recorded when this process began to lead.
    first_kinds: OnceLock<BTreeSet<Kind>>,
    /// By UID of the record: a new record of the same name may request a sync with the same text.
    handled_syncs: Mutex<HashMap<Arc<str>, Box<str>>>,
}

impl DriftContext {
    /// A controller that has not started.
    #[must_use]
    pub fn new(process: Process, inventory: Inventory, settings: DriftSettings) -> Arc<Self> {
        let period = settings.sync.busiest(Timestamp::now());
        let fetches = FetchQueue::new(FETCHES, inventory.single_read_limit());
        Arc::new(Self {
            process,
            inventory,
            records: FirstLists::of(&settings.namespaces),
            drifts: FirstLists::of(&settings.namespaces),
            sagas: FirstLists::of(&settings.namespaces).with_label(labels::REVERT_OF),
            reverts: Mutex::default(),
            facts: Mutex::default(),
            settings,
            metrics: DriftMetrics::default(),
            queue: Queue::default(),
            sweeps: Sweeps::new(period),
            fetches,
            rush: Rush::default(),
            index: Mutex::default(),
            first_kinds: OnceLock::new(),
            handled_syncs: Mutex::default(),
        })
    }

    /// The records and drifts. Never held across an await.
    pub fn index(&self) -> MutexGuard<'_, RecordIndex> {
        self.index.lock()
    }

    /// The sagas that revert drifts. Never held across an await.
    pub(super) fn reverts(&self) -> MutexGuard<'_, RevertSagas> {
        self.reverts.lock()
    }

    /// The tags by which recorded resources select others as of a moment ago, and the sizes of droplets.
    pub(super) fn account_facts(&self) -> Arc<AccountFacts> {
        let mut cached = self.facts.lock();
        let sizes = self.inventory.sizes();
        if let Some((at, facts)) = &*cached
            && at.elapsed() < SELECTED_FOR
            && facts.sizes == sizes
        {
            return facts.clone();
        }
        let kinds = Kind::all().filter(|kind| selects_by_tags(*kind));
        let recorded = kinds.flat_map(|kind| {
            let wanted = self.index().recorded(kind);
            wanted.into_iter().map(move |wanted| ResourceKey::new(kind, wanted.id))
        });
        let mut facts = AccountFacts { has_all_tags: true, sizes, ..AccountFacts::default() };
        for key in recorded {
            match self.inventory.get(&key, self.settings.max_age) {
                Observation::Present(document) => match Live::of(&key, &document) {
                    Ok(live) => selected_by(&live, &mut facts.tags),
                    Err(_) => facts.has_all_tags = false,
                },
                Observation::Gone => {}
                Observation::Unknown(_) => facts.has_all_tags = false,
            }
        }
        let facts = Arc::new(facts);
        *cached = Some((Instant::now(), facts.clone()));
        facts
    }

    /// Returns true if every record and drift, and every saga that reverts one, is cached.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.records.are_complete() && self.drifts.are_complete() && self.sagas.are_complete()
    }

    /// The recorded kinds without which this process is not ready: users who record another kind later must not make it
    /// unready.
    #[must_use]
    pub fn first_kinds(&self) -> BTreeSet<Kind> {
        let recorded = self.index().kinds();
        match self.first_kinds.get() {
            Some(first) => recorded.intersection(first).copied().collect(),
            None => recorded,
        }
    }

    /// Fixes the kinds that readiness depends on.
    pub(super) fn lead(&self, kinds: &BTreeSet<Kind>) {
        self.first_kinds.get_or_init(|| kinds.clone());
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

    /// Queues these records, once all are cached and this process leads: the sweeps queue the first ones, a whole kind
    /// at a time.
    pub(super) fn enqueue(&self, affected: Vec<ObjectKey>) {
        // The echo of an own write affects nothing, and must not wake a worker.
        if !affected.is_empty() && self.is_loaded() && self.process.leadership.is_leader() {
            self.queue.extend(affected);
        }
    }

    /// Returns true if more than a few records are queued or reconciled, or if records wait for a fresh read.
    pub(super) fn is_in_rush(&self) -> bool {
        self.queue.pending() > FEW || self.fetches.has_waiting()
    }

    /// Forgets a live resource whose record was deleted, unless another records it.
    pub(super) fn forget(&self, resource: &ResourceKey) {
        if self.index().records_of(resource).next().is_none() {
            self.inventory.forget(resource);
        }
    }

    /// Records that a requested sync is complete.
    pub(super) fn handled_sync(&self, uid: Arc<str>, request: Box<str>) {
        self.handled().insert(uid, request);
    }

    /// Returns true if the requested sync is complete, but not yet in the record's status.
    pub(super) fn is_sync_handled(&self, uid: &str, request: &str) -> bool {
        self.handled().get(uid).is_some_and(|handled| handled.as_ref() == request)
    }

    /// Forgets a completed sync: the status of its record contains it, or the record was deleted.
    pub(super) fn forget_sync(&self, uid: &str) {
        self.handled().remove(uid);
    }

    fn handled(&self) -> MutexGuard<'_, HashMap<Arc<str>, Box<str>>> {
        self.handled_syncs.lock()
    }
}

/// A controller that has not started, with a cloud that does not respond, for tests of its parts.
#[cfg(test)]
pub(crate) fn idle(process: Process) -> (Arc<DriftContext>, crate::digitalocean::Client) {
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
    (DriftContext::new(process, inventory, settings), cloud)
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::{Client, client::Body, runtime::watcher::Event};
    use serde_json::json;

    use super::*;
    use crate::{
        api::ProvisionedResource,
        kube_ext::{cache::Cache, leader::Leadership},
    };

    #[tokio::test]
    async fn a_kind_that_is_recorded_later_is_not_among_the_first_ones() {
        let nobody =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, kube::Error>>());
        let (context, _) = idle(Process::new(Client::new(nobody, "default"), Leadership::unelected()));
        let record = |name: &str, kind: &str, id: &str| {
            let record: ProvisionedResource = serde_json::from_value(json!({
                "apiVersion": "arcadia.cloud/v1alpha1",
                "kind": "ProvisionedResource",
                "metadata": { "name": name, "namespace": "default", "uid": name, "resourceVersion": "1" },
                "spec": { "resource": { "kind": kind, "id": id }, "desired": {} },
            }))
            .unwrap();
            context.index().take(&None, &Event::Apply(record));
            context.first_kinds().into_iter().map(Kind::name).collect::<Vec<_>>()
        };
        assert_eq!(record("web", "Droplet", "1"), ["Droplet"]);
        assert_eq!(record("zone", "Domain", "example.com"), ["Domain", "Droplet"]);
        context.lead(&context.first_kinds());
        assert_eq!(record("data", "Volume", "506f78a4-e098-11e5-ad9f-000f53306ae1"), ["Domain", "Droplet"]);
        assert_eq!(context.index().kinds().len(), 3);
    }
}
