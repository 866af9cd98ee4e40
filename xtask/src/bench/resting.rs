//! (c) Sagas that are finished, and sagas that wait: their cost while nothing happens.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    arrivals::{self, Arrivals},
    effort::Effort,
    failure::{PATIENCE, failed, say},
    objects,
    operator::Operator,
    orders::{Batch, Steps},
    parallel,
    report::{Row, Wanted},
    stage::{Cluster, Stage},
    statistics::float,
    sweep,
};
use crate::Error;

const PHASE: &str = "(c) sagas at rest";
/// A sweep now and then: none is measured here.
const SYNC_INTERVAL: Duration = Duration::from_hours(1);
/// The number of finished sagas, and of waiting ones, for each saga of the other phases.
const FINISHED: u32 = 10;
const WAITING: u32 = 5;
/// The memory that 10,000 finished sagas may take, in MiB.
const FINISHED_MIB: f64 = 10.0;
/// The time for which the operator is watched, as a multiple of the idle time.
const WATCHED: u32 = 5;

/// Measures the memory of finished sagas, and what waiting ones cost.
pub(super) async fn measure(cluster: &Cluster, program: &Path, sagas: u32, effort: Effort) -> Result<Vec<Row>, Error> {
    let (finished, waiting) = (sagas * FINISHED, sagas * WAITING);
    let stage = Stage::start(cluster, 1, effort).await?;
    let base = sweep::base(program, &stage, SYNC_INTERVAL).await?;
    say(format!("{PHASE}: {finished} finished ones and {waiting} that wait"));
    store_finished(&stage, finished).await?;
    let mut operator = Operator::start(program, &stage, SYNC_INTERVAL)?;
    operator.ready().await?;
    operator.cpu_seconds_at_rest().await?;
    let with_finished = operator.memory()?;

    let api = objects::sagas(&stage.client, stage.records.name());
    let mut waits = Arrivals::of(api.clone(), "sagas that wait", arrivals::waits).await?;
    let create = move |number| {
        let api = api.clone();
        async move { objects::create(&api, approval(number)).await }
    };
    parallel::each(parallel::WORKERS, (0..waiting).collect(), create).await?;
    let patience = PATIENCE + Duration::from_secs(u64::from(waiting) / 20);
    let count = usize::try_from(waiting).unwrap_or(usize::MAX);
    operator.blamed(waits.after(0, count, patience).await)?;
    let before_rest = operator.cpu_seconds_at_rest().await?;
    let with_waiting = operator.memory()?;

    let reconciles = operator.metric("arcadia_saga_reconciles_total", "").await?;
    let (calls, writes, began) = (stage.calls().await?, stage.writes().await?, Instant::now());
    sleep(effort.idle * WATCHED).await;
    let cpu = (operator.cpu_seconds()? - before_rest) / began.elapsed().as_secs_f64();
    let writes = stage.writes().await?.since(&writes);
    let calls = stage.calls().await? - calls;
    let reconciles = operator.metric("arcadia_saga_reconciles_total", "").await? - reconciles;
    operator.stop();

    let of_finished = (with_finished.resident - base.resident) / 1024.0 / 1024.0;
    let of_waiting = (with_waiting.resident - with_finished.resident) / 1024.0 / f64::from(waiting);
    Ok(vec![
        Row::of(PHASE, "finished sagas", "", f64::from(finished)),
        Row::of(PHASE, "memory of the finished sagas", "MiB", of_finished)
            .wanting(Wanted::Below(FINISHED_MIB * f64::from(finished) / 10_000.0)),
        Row::of(PHASE, "sagas that wait", "", f64::from(waiting)),
        Row::of(PHASE, "memory of a saga that waits", "KiB", of_waiting),
        Row::of(PHASE, "reconciles while they wait", "", reconciles).wanting(Wanted::Exactly(0.0)),
        Row::of(PHASE, "API writes while they wait, leases aside", "", float(writes.total()))
            .wanting(Wanted::Exactly(0.0)),
        Row::of(PHASE, "cloud calls while they wait", "", float(calls)).wanting(Wanted::Exactly(0.0)),
        Row::of(PHASE, "CPU in a second while they wait", "ms", cpu * 1000.0),
    ])
}

/// A saga that waits for a person.
fn approval(number: u32) -> Value {
    let steps = json!([{ "name": "ask", "step": "Approval" }]);
    objects::saga(
        &format!("wait-{number}"),
        &json!({ "kind": "provision", "triggeredBy": "system:bench", "steps": steps }),
    )
}

/// Stores sagas as they are once they have succeeded.
async fn store_finished(stage: &Stage, count: u32) -> Result<(), Error> {
    let batch = Batch::new("finished", Steps::Nothing);
    let journal = batch.journal()?;
    let status = journal.last().cloned().ok_or_else(|| failed("write a journal")("it is empty"))?;
    let namespace = stage.records.name().to_owned();
    let cluster = stage.control_plane.clone();
    let store = move |number: u32| {
        let metadata = json!({
            "name": batch.name(number), "namespace": namespace, "generation": 1,
            "uid": format!("00000000-0000-4000-8000-{number:012}"), "creationTimestamp": "2026-01-01T00:00:00Z",
        });
        let saga = json!({
            "apiVersion": objects::API_VERSION, "kind": "Saga", "metadata": metadata, "spec": batch.spec(number),
            "status": status,
        });
        let cluster = cluster.clone();
        async move { Ok(cluster.store("sagas", &saga).await?) }
    };
    parallel::each(parallel::WORKERS, (0..count).collect(), store).await
}
