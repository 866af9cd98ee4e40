//! Many sagas at once: all exist before the operator starts, so that creating them does not slow down executing them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    arrivals::{self, Arrivals},
    failure::{PATIENCE, say},
    jobs::{Cost, Job, SagaJob},
    objects,
    operator::Operator,
    orders::{Batch, STEPS, Steps},
    parallel,
    report::{Row, Wanted},
    stage::Stage,
    statistics::float,
};
use crate::Error;

/// Rare sweeps: they are not measured here.
const SYNC_INTERVAL: Duration = Duration::from_hours(1);

/// The floor's part: one half before the operator's part, one half after it.
struct Floor {
    plain: Batch,
    calling: Batch,
    /// The cost of writing the journals.
    alone: Cost,
    /// The cost of writing them with the calls of the steps in between, if the steps make calls.
    with_calls: Cost,
    /// The CPU time of the API server and etcd for writing the journals alone.
    server_cpu_seconds: f64,
}

/// Starts the operator and measures until every saga has succeeded. Returns the number of sagas per second.
pub(super) async fn measure(
    program: &Path,
    stage: &mut Stage,
    steps: Steps,
    sagas: u32,
) -> Result<(Operator, f64, Vec<Row>), Error> {
    say(format!("creating {sagas} sagas, and as many for the floor"));
    let own = Batch::new("saga", steps);
    let mut floor = Floor::new(steps);
    create(stage, stage.floor_records.name(), &floor.plain, sagas).await?;
    if steps == Steps::Tag {
        create(stage, stage.floor_records.name(), &floor.calling, sagas).await?;
    }
    create(stage, stage.records.name(), &own, sagas).await?;
    stage.floor.ask(&Job::Sagas(SagaJob::Prepare(vec![own, floor.calling.clone()]))).await?;

    say("all of them at once; half of the floor before, half after");
    let half = sagas / 2;
    floor.carry_on(stage, 0, half).await?;

    let api = objects::sagas(&stage.client, stage.records.name());
    let mut succeeded = Arrivals::of(api, "sagas that succeeded", arrivals::has_succeeded).await?;
    let (calls, writes) = (stage.calls().await?, stage.writes().await?);
    let server_cpu_seconds = stage.server_cpu_seconds().await?;
    let began = Instant::now();
    let mut operator = Operator::start(program, stage, SYNC_INTERVAL)?;
    let count = usize::try_from(sagas).unwrap_or(usize::MAX);
    let patience = PATIENCE + Duration::from_secs(u64::from(sagas) / 5);
    let span = operator.blamed(succeeded.after(0, count, patience).await)?;
    let server_cpu_seconds = stage.server_cpu_seconds().await? - server_cpu_seconds;
    let cpu_seconds = operator.cpu_seconds_at_rest().await?;
    let calls = stage.calls().await? - calls;
    let writes = stage.writes().await?.since(&writes);
    let memory = operator.memory()?;
    drop(succeeded);

    floor.carry_on(stage, half, sagas - half).await?;
    let phase = steps.phase();
    let each = |number: f64| number / f64::from(sagas);
    let milliseconds = |seconds: f64| each(seconds) * 1000.0;
    let rate = |seconds: f64| f64::from(sagas) / seconds;
    let steps_each = f64::from(u32::try_from(STEPS).unwrap_or(u32::MAX));
    let seconds = (span.last - span.began).as_secs_f64();
    let Floor { alone, with_calls, .. } = floor;
    let mut rows = vec![
        Row::of(phase, "sagas in a second, from the first write to the last", "", rate(seconds))
            .beside(rate(alone.seconds))
            .wanting(Wanted::RatioAbove(0.8)),
        Row::of(phase, "steps in a second", "", rate(seconds) * steps_each).beside(rate(alone.seconds) * steps_each),
    ];
    if steps == Steps::Tag {
        let what = "sagas in a second | floor: with the call of each step";
        rows.push(Row::of(phase, what, "", rate(seconds)).beside(rate(with_calls.seconds)));
        let what = "CPU of a saga | floor: with the call of each step";
        let cpu = Row::of(phase, what, "ms", milliseconds(cpu_seconds)).beside(milliseconds(with_calls.cpu_seconds));
        rows.push(cpu.wanting(Wanted::RatioBelow(2.0)));
    }
    let what = "CPU of a saga, from process start";
    let cpu = Row::of(phase, what, "ms", milliseconds(cpu_seconds)).beside(milliseconds(alone.cpu_seconds));
    // The floor of this row makes no calls.
    let cpu = if steps == Steps::Tag { cpu } else { cpu.wanting(Wanted::RatioBelow(2.0)) };
    let whole = (span.last - began).as_secs_f64();
    rows.extend([
        Row::of(phase, "wall: process start to the last saga | floor: its writes", "s", whole).beside(alone.seconds),
        Row::of(phase, "API writes of a saga, leases and events aside", "", each(float(writes.but_events())))
            .beside(each(float(alone.calls)))
            .wanting(Wanted::Below(steps_each + 2.0)),
        Row::of(phase, "cloud calls of a saga", "", each(float(calls))),
        cpu,
        Row::of(phase, "  CPU that the API server and etcd use for it", "ms", milliseconds(server_cpu_seconds))
            .beside(milliseconds(floor.server_cpu_seconds)),
        Row::of(phase, "resident with all sagas finished", "MiB", memory.resident / 1024.0 / 1024.0),
        Row::of(phase, "peak memory", "MiB", memory.peak / 1024.0 / 1024.0),
    ]);
    rows.extend(writes.by_kind().iter().map(|(what, count)| Row::of(phase, format!("  {what}"), "", float(*count))));
    Ok((operator, rate(seconds), rows))
}

async fn create(stage: &Stage, namespace: &str, batch: &Batch, sagas: u32) -> Result<(), Error> {
    let api = objects::sagas(&stage.client, namespace);
    let all = (0..sagas).map(|number| batch.saga(number)).collect();
    let create = move |saga| {
        let api = api.clone();
        async move { objects::create(&api, saga).await }
    };
    parallel::each(parallel::WORKERS, all, create).await
}

impl Floor {
    fn new(steps: Steps) -> Self {
        let [plain, calling] = ["plain", "calling"].map(|name| Batch::new(name, steps));
        Self { plain, calling, alone: Cost::default(), with_calls: Cost::default(), server_cpu_seconds: 0.0 }
    }

    /// Writes the journals of sagas.
    async fn carry_on(&mut self, stage: &mut Stage, from: u32, count: u32) -> Result<(), Error> {
        let job =
            |batch: &Batch, with_calls| Job::Sagas(SagaJob::CarryOn { batch: batch.clone(), from, count, with_calls });
        // Its connections may have been closed in the meantime.
        stage.floor.ask(&Job::Sagas(SagaJob::Prepare(Vec::new()))).await?;
        let before = stage.server_cpu_seconds().await?;
        self.alone = self.alone + stage.floor.ask(&job(&self.plain, false)).await?;
        self.server_cpu_seconds += stage.server_cpu_seconds().await? - before;
        if self.calling.steps == Steps::Tag {
            self.with_calls = self.with_calls + stage.floor.ask(&job(&self.calling, true)).await?;
        }
        Ok(())
    }
}
