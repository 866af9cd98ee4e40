//! (a) The first sweep: every record is new, and its status is written.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    arrivals::{self, Arrivals},
    failure::{patience_for, say},
    jobs::Job,
    objects,
    operator::{Operator, RECONCILES},
    report::{Figure, Row, Wanted},
    stage::Stage,
    statistics::float,
};
use crate::Error;

const PHASE: &str = "(a) first sweep";

/// Starts the operator and measures until every record is in sync.
pub(super) async fn measure(
    program: &Path,
    stage: &mut Stage,
    interval: Duration,
) -> Result<(Operator, Vec<Row>), Error> {
    say("(a) the first sweep; half of the floor before it, half after it");
    let count = usize::try_from(stage.resources).unwrap_or(usize::MAX);
    let half = count / 2;
    let list = stage.floor.ask(&Job::List).await?;
    // A list without the cost of the first connection.
    let further_list = stage.floor.ask(&Job::List).await?;
    let namespace = stage.floor_records.name().to_owned();
    let list_records = stage.floor.ask(&Job::ListRecords { namespace }).await?;
    // Both sides are watched in the same way: the API server sends each status to a watch.
    let patience = patience_for(stage.resources);
    let floor_records = objects::records(&stage.client, stage.floor_records.name());
    let mut floor_statuses = Arrivals::of(floor_records, "records of the floor in sync", arrivals::is_in_sync).await?;
    let before = stage.floor.ask(&Job::WriteStatuses { from: 0, count: half }).await?;
    let before_wall = floor_statuses.after(0, half, patience).await?;

    let records = objects::records(&stage.client, stage.records.name());
    let mut statuses = Arrivals::of(records, "records in sync", arrivals::is_in_sync).await?;
    let (calls, writes) = (stage.calls().await?, stage.writes().await?);
    let began = Instant::now();
    let operator = Operator::start(program, stage, interval)?;
    let span = statuses.after(0, count, patience).await?;
    let swept = operator.swept(stage).await?;
    let reconciles = operator.metric(RECONCILES, "").await?;
    let writes = stage.writes().await?.since(&writes);

    stage.floor.ask(&Job::Prepare).await?;
    let after = stage.floor.ask(&Job::WriteStatuses { from: half, count: count - half }).await?;
    let after_wall = floor_statuses.after(half, count - half, patience).await?;
    let floor = list_records + list + before + after;
    let sweeps = swept.syncs.count;
    // The operator lists the cloud on schedule while it writes. Each of these lists costs the floor the same.
    let floor_cpu = floor.cpu_seconds + further_list.cpu_seconds * (sweeps - 1.0);
    let mut rows = vec![
        Row::of(PHASE, "sweeps until all is written", "", sweeps),
        Row::of(PHASE, "cloud calls of a sweep, mean", "", float(swept.calls - calls) / sweeps)
            .beside(float(list.calls))
            .wanting(Wanted::Exactly(float(stage.calls_per_sweep()))),
        Row::of(PHASE, "API writes, leases aside", "", float(writes.total()))
            .beside(float(before.calls + after.calls))
            .quoted_as(Figure::FirstSweepWrites)
            .wanting(Wanted::Exactly(float(u64::from(stage.resources)))),
        Row::of(
            PHASE,
            "wall: process start to last status | floor: both lists + status writes",
            "s",
            (span.last - began).as_secs_f64(),
        )
        .beside(floor.seconds),
        Row::of(PHASE, "wall: first to last status", "s", span.seconds())
            .beside(before_wall.seconds() + after_wall.seconds())
            .wanting(Wanted::RatioBelow(1.1)),
        Row::of(
            PHASE,
            "CPU of the process | floor: list of records, as many sweeps, status writes",
            "s",
            swept.cpu_seconds,
        )
        .beside(floor_cpu)
        .wanting(Wanted::RatioBelow(1.5))
        .quoted_as(Figure::FirstSweepCpu),
        Row::of(PHASE, "reconciles of a record", "", reconciles / float(u64::from(stage.resources))),
    ];
    rows.extend(writes.by_kind().iter().map(|(what, count)| Row::of(PHASE, format!("  {what}"), "", float(*count))));
    Ok((operator, rows))
}
