//! Watches sagas and gives each its turn. Sagas do not block each other: each turn is a task of its own, and a waiting
//! saga is requeued.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::info;

use super::{
    index::Index,
    runner::{self, CallStates},
};
use crate::{
    api::Saga,
    digitalocean::{self, Actions},
    kube_ext::{
        cache::Cache as _,
        key::ObjectKey,
        queue::Queue,
        watch::{FirstLists, follow},
        work::Work,
    },
    process::{self, Process},
};

/// The number of concurrent turns. Most of them wait for a response of the cloud.
pub const WORKERS: usize = 128;

/// The maximum duration of one turn, and of one watch event: far longer than either takes.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

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
pub struct Context {
    /// The shared parts of the process.
    pub process: Process,
    /// The client of the cloud.
    pub cloud: digitalocean::Client,
    /// The client for calls to the users' own services.
    pub http: reqwest::Client,
    /// The settings.
    pub settings: SagaSettings,
    pub(super) actions: Actions<ObjectKey>,
    pub(super) call_states: CallStates,
    pub(super) orders: runner::Orders,
    queue: Arc<Queue<ObjectKey>>,
    index: Mutex<Index>,
    sagas: FirstLists,
}

impl Context {
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
        let actions = Actions::start(cloud.clone(), settings.poll, move |key| woken.add(key));
        Arc::new(Self {
            process,
            cloud,
            http,
            sagas: FirstLists::of(&settings.namespaces),
            settings,
            actions,
            call_states: CallStates::default(),
            orders: HashMap::default().into(),
            queue,
            index: Mutex::default(),
        })
    }

    /// The cache of sagas. Never locked across an await.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the first lists of all namespaces are complete.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.sagas.are_complete()
    }

    /// Caches a saga that this process has just written, and requeues the other sagas that it affects.
    pub(super) fn learn(&self, key: &ObjectKey, saga: &Saga) {
        let mut affected = self.index().learn(saga);
        affected.retain(|other| other != key);
        self.requeue(affected);
    }

    /// Ends a saga's turn, and requeues the sagas that waited for its claim.
    pub(super) fn release(&self, key: &ObjectKey) {
        let affected = self.index().release(key);
        self.requeue(affected);
    }

    /// Queues these sagas, once all are listed and this process leads.
    fn requeue(&self, affected: Vec<ObjectKey>) {
        if self.is_loaded() && self.process.leadership.is_leader() {
            self.queue.extend(affected);
        }
    }
}

/// Watches sagas at once, and runs them while this process leads, until shutdown. Running turns finish.
pub async fn run(context: Arc<Context>) {
    tokio::spawn(watch(context.clone()));
    if !context.process.may_begin(context.sagas.completed()).await {
        return;
    }
    let sagas: Vec<_> = context.index().keys().cloned().collect();
    info!(sagas = sagas.len(), "listed all sagas");
    context.queue.extend(sagas);
    process::workers("a saga worker", WORKERS, || work(context.clone())).await;
}

async fn watch(context: Arc<Context>) {
    let pulse = context.process.liveness.enter("the watch of Sagas", LONGEST_ROUND);
    follow::<Saga>(&context.process.client, &context.sagas, pulse, |scope, event| {
        let affected = context.index().take(scope, event);
        context.requeue(affected);
    })
    .await;
}

/// Runs one saga after the other.
async fn work(context: Arc<Context>) {
    let work = Work {
        kind: "Saga",
        queue: &*context.queue,
        stop: &context.process.stop,
        pulse: context.process.liveness.enter("a saga worker", LONGEST_ROUND),
    };
    let context = &context;
    let turn = |key| async move { runner::turn(&key, context).await };
    work.run(turn, |took, outcome| context.process.metrics.saga_reconciled(took, outcome)).await;
}
