//! Watches sagas and gives each its turn. Sagas do not block each other: each turn is a separate task, and a waiting
//! saga is requeued.

use std::{sync::Arc, time::Duration};

use tracing::info;

use super::{context::SagaContext, runner};
use crate::{
    api::Saga,
    kube_ext::{cache::Cache as _, watch::follow, work::Work},
    process,
};

/// The number of concurrent turns. Most of them wait for a response of the cloud.
pub const WORKERS: usize = 128;

/// The maximum duration of one turn, and of one watch event: far longer than either takes.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

/// Watches sagas at once, and runs them while this process leads, until shutdown. Running turns finish.
pub async fn run(context: Arc<SagaContext>) {
    tokio::spawn(watch(context.clone()));
    if !context.process.may_begin(context.sagas.completed()).await {
        return;
    }
    let sagas: Vec<_> = context.index().keys().cloned().collect();
    info!(sagas = sagas.len(), "listed all sagas");
    context.queue.extend(sagas);
    process::workers("a saga worker", WORKERS, || work(context.clone())).await;
}

async fn watch(context: Arc<SagaContext>) {
    let pulse = context.process.liveness.enter("the watch of Sagas", LONGEST_ROUND);
    follow::<Saga>(
        &context.process.client,
        &context.sagas,
        pulse,
        |object| context.index().has(object),
        || None,
        |scope, event| {
            let affected = context.index().take(scope, event);
            context.requeue(affected);
        },
        |metadata| {
            let affected = context.index().delete_undecoded(metadata);
            context.requeue(affected);
        },
    )
    .await;
}

/// Runs one saga after another.
async fn work(context: Arc<SagaContext>) {
    let work = Work {
        kind: "Saga",
        queue: &*context.queue,
        stop: &context.process.stop,
        pulse: context.process.liveness.enter("a saga worker", LONGEST_ROUND),
    };
    let context = &context;
    let turn = |key| async move { runner::turn(&key, context).await };
    work.run(turn, |took, outcome| context.metrics.reconciled(took, outcome)).await;
}
