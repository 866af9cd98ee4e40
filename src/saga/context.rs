//! The shared parts of the controller of sagas.

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use super::{call_states::CallStates, index::SagaIndex, metrics::SagaMetrics, orders::Orders, view::Intervention};
use crate::{
    api::Saga,
    digitalocean::{self, Actions},
    kube_ext::{key::ObjectKey, queue::Queue, watch::FirstLists},
    process::Process,
};

/// The maximum duration of one round of polling actions: far longer than all timeouts of its calls together.
const LONGEST_POLL: Duration = Duration::from_hours(1);

/// The settings of the controller.
#[derive(Clone, Debug)]
pub struct SagaSettings {
    /// The namespaces to watch; empty for all.
    pub namespaces: Vec<String>,
    /// The time to wait for the effect of a call whose response was lost.
    pub settle: Duration,
    /// The interval of polling the cloud actions that sagas wait for.
    pub poll: Duration,
}

/// The shared parts of the controller.
pub struct SagaContext {
    /// The shared parts of the process.
    pub process: Process,
    pub cloud: digitalocean::Client,
    /// The client for calls to the users' own services.
    pub http: reqwest::Client,
    pub settings: SagaSettings,
    /// The counters and histograms.
    pub metrics: SagaMetrics,
    pub(super) actions: Actions<ObjectKey>,
    pub(super) call_states: CallStates,
    pub(super) orders: Orders,
    pub(super) queue: Arc<Queue<ObjectKey>>,
    index: Mutex<SagaIndex>,
    pub(super) sagas: FirstLists,
}

impl SagaContext {
    /// Creates a controller that has not started.
    #[must_use]
    pub fn new(
        process: Process,
        cloud: digitalocean::Client,
        http: reqwest::Client,
        settings: SagaSettings,
    ) -> Arc<Self> {
        let queue: Arc<Queue<ObjectKey>> = Arc::default();
        let woken = queue.clone();
        let pulse = process.liveness.enter("the poller of actions", LONGEST_POLL);
        let actions = Actions::start(cloud.clone(), settings.poll, pulse, move |key| woken.add(key));
        Arc::new(Self {
            process,
            cloud,
            http,
            sagas: FirstLists::of(&settings.namespaces),
            settings,
            metrics: SagaMetrics::default(),
            actions,
            call_states: CallStates::default(),
            orders: Orders::default(),
            queue,
            index: Mutex::default(),
        })
    }

    /// The cache of sagas. Never locked across an await.
    pub fn index(&self) -> MutexGuard<'_, SagaIndex> {
        self.index.lock()
    }

    /// The number of sagas that are queued or being reconciled.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.pending()
    }

    /// Returns true if the first lists of all namespaces are complete.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.sagas.are_complete()
    }

    /// Caches a saga that this process has just written, and requeues the other sagas that it affects.
    pub(super) fn learn(&self, key: &ObjectKey, saga: &Arc<Saga>, intervention: Option<Intervention>) {
        let mut affected = self.index().learn_written(saga, intervention);
        affected.retain(|other| other != key);
        self.requeue(affected);
    }

    /// Drops what is kept of a saga besides the cache.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.call_states.forget(key);
        self.actions.forget(key);
        self.orders.forget(key);
    }

    /// Ends a saga's turn, and requeues the sagas that waited for its claim.
    pub(super) fn release(&self, key: &ObjectKey) {
        let affected = self.index().release(key);
        self.requeue(affected);
    }

    /// Queues these sagas, once all are listed and this process leads.
    pub(super) fn requeue(&self, affected: Vec<ObjectKey>) {
        if self.is_loaded() && self.process.leadership.is_leader() {
            self.queue.extend(affected);
        }
    }
}
