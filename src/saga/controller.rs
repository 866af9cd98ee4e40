//! Watches sagas and gives each its turn. Sagas do not hold up each other: each turn is a task's own, and what waits is
//! put back into the queue.

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

/// How many sagas are worked on at a time. Most of them wait for an answer of the cloud.
pub const WORKERS: usize = 128;

/// How long one saga may be worked on at a time, and one event of the watch: far longer than a turn takes.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct SagaSettings {
    /// Namespaces to watch; all when empty.
    pub namespaces: Vec<String>,
    /// How long after a call that nobody heard the answer of, what it did may not be seen yet.
    pub settle: Duration,
    /// How often the cloud is asked what became of the actions that sagas wait for.
    pub poll: Duration,
}

/// What every part of the controller shares.
pub struct Context {
    /// What all controllers share.
    pub process: Process,
    /// The cloud.
    pub cloud: digitalocean::Client,
    /// For calls to the user's own services.
    pub http: reqwest::Client,
    /// What it was told.
    pub settings: SagaSettings,
    pub(super) actions: Actions<ObjectKey>,
    pub(super) call_states: CallStates,
    pub(super) orders: runner::Orders,
    queue: Arc<Queue<ObjectKey>>,
    index: Mutex<Index>,
    sagas: FirstLists,
}

impl Context {
    /// A controller that has not begun.
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

    /// The sagas. Never held across an await.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every saga is known.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.sagas.are_complete()
    }

    /// Takes in a saga as this process has just written it. Whom that concerns beside it has its turn.
    pub(super) fn learn(&self, key: &ObjectKey, saga: &Saga) {
        let mut affected = self.index().learn(saga);
        affected.retain(|other| other != key);
        self.look_at(affected);
    }

    /// A saga's turn is over: those that waited for it to begin have theirs if it did not.
    pub(super) fn release(&self, key: &ObjectKey) {
        let affected = self.index().release(key);
        self.look_at(affected);
    }

    /// Queues these sagas, once all are known and this process acts.
    fn look_at(&self, affected: Vec<ObjectKey>) {
        if self.is_loaded() && self.process.leadership.is_leader() {
            self.queue.extend(affected);
        }
    }
}

/// Reads the sagas at once, and acts on them from when this process is the leader until it is told to stop. What is
/// under way then is finished.
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
        context.look_at(affected);
    })
    .await;
}

/// Works on one saga after the other.
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
