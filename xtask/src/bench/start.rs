//! Starts and takeovers: the time until a process knows all stored objects, and the time until it acts on a change.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use kube::api::DynamicObject;

use super::{
    arrivals::{self, Arrivals},
    effort::Effort,
    failure::{PATIENCE, failed, patience_for, say},
    jobs::Job,
    objects,
    operator::Operator,
    parallel, quiet,
    report::{Report, Row, Subject, Wanted},
    stage::{Cluster, Stage},
    statistics::{float, median},
    sweep,
    usage::Memory,
};
use crate::Error;

pub(crate) const FIRST: &str = "(a) first sweep";
pub(crate) const START: &str = "(b) start";
/// The row of the peak memory of a start.
pub(crate) const PEAK: &str = "peak memory of a start, median";
const ALONE: &str = "(d) a change while nobody led";
const TAKEOVER: &str = "(e) the leader dies; a standby takes over";

/// The time after which another replica may acquire the lease of one that died, and that within which it retries.
const LEASE_SECONDS: f64 = 10.0;
const TRY_SECONDS: f64 = 1.0;
/// Creations of drifts take a moment more.
const SLACK: f64 = 1.1;
/// As many records get their status by a first sweep. More are stored as copies of one of them: the API server would
/// take an hour to write hundreds of thousands.
const SWEPT: u32 = 10_000;

/// Measures starts beside this many stored records.
pub(super) async fn measure(
    cluster: &Cluster,
    program: &Path,
    resources: u32,
    effort: Effort,
    streams_lists: bool,
) -> Result<Report, Error> {
    let mut report = Report::new(Subject::Start { resources, streams_lists });
    let mut stage = Stage::start(cluster, resources, effort).await?;
    let interval = effort.interval(resources);
    let base = sweep::base(program, &stage, interval).await?;
    let swept = resources.min(SWEPT);
    say(format!("recording {swept} droplets"));
    objects::record_fleet(&stage.client, stage.records.name(), swept).await?;

    report.add(first(program, &stage, swept, interval, base).await?);
    say(format!("storing {} more records", resources - swept));
    copy_records(&stage, swept, resources).await?;
    report.add(starts(program, &mut stage, interval, base).await?);
    let mut operator = Operator::start(program, &stage, interval)?;
    operator.ready().await?;
    report.add(quiet::measure(quiet::AFTER_STARTS, &mut stage, &mut operator).await?);
    operator.stop();
    report.add(alone(program, &stage, interval).await?);
    report.add(takeover(program, &mut stage, interval).await?);
    say("done");
    Ok(report)
}

/// The first sweep, which writes the status of every record.
async fn first(program: &Path, stage: &Stage, swept: u32, interval: Duration, base: Memory) -> Result<Vec<Row>, Error> {
    say(FIRST);
    let count = usize::try_from(swept).unwrap_or(usize::MAX);
    let records = objects::records(&stage.client, stage.records.name());
    let mut statuses = Arrivals::of(records, "records in sync", arrivals::is_in_sync).await?;
    let writes = stage.writes().await?;
    let began = Instant::now();
    let mut operator = Operator::start(program, stage, interval)?;
    let patience = patience_for(swept);
    let span = operator.blamed(statuses.after(0, count, patience).await)?;
    let cpu_seconds = operator.cpu_seconds_at_rest().await?;
    let writes = stage.writes().await?.since(&writes);
    let memory = operator.memory()?;
    operator.stop();
    Ok(vec![
        Row::of(FIRST, "records", "", f64::from(swept)),
        Row::of(FIRST, "peak memory with nothing recorded", "MiB", base.peak / 1024.0 / 1024.0),
        Row::of(FIRST, "wall: process start to last status", "s", (span.last - began).as_secs_f64()),
        Row::of(FIRST, "API writes, leases aside", "", float(writes.total()))
            .wanting(Wanted::Exactly(f64::from(swept))),
        Row::of(FIRST, "CPU of the process", "s", cpu_seconds),
        Row::of(FIRST, "peak memory", "MiB", memory.peak / 1024.0 / 1024.0),
    ])
}

/// Stores further records of the fleet as the operator leaves them: copies of the first one.
async fn copy_records(stage: &Stage, from: u32, to: u32) -> Result<(), Error> {
    let records = objects::records(&stage.client, stage.records.name());
    let first = records.get("web-0").await.map_err(failed("read a record"))?;
    let first = serde_json::to_string(&first).map_err(failed("read a record"))?;
    let cluster = stage.control_plane.clone();
    let store = move |number: u32| {
        let (cluster, text) = (cluster.clone(), first.replace(&objects::droplet(0), &objects::droplet(number)));
        async move {
            let mut copy: DynamicObject = serde_json::from_str(&text).map_err(failed("copy a record"))?;
            copy.metadata.name = Some(format!("web-{number}"));
            copy.metadata.uid = Some(format!("00000000-0000-4000-8000-{number:012}"));
            copy.metadata.resource_version = None;
            let copy = serde_json::to_value(&copy).map_err(failed("copy a record"))?;
            Ok(cluster.store("provisionedresources", &copy).await?)
        }
    };
    parallel::each(parallel::WORKERS, (from..to).collect(), store).await
}

/// The time, CPU and memory of one start, and the time of the floor.
struct Start {
    known: f64,
    ready: f64,
    cpu: f64,
    memory: Memory,
    floor_objects: f64,
    floor_cloud: f64,
}

async fn starts(program: &Path, stage: &mut Stage, interval: Duration, base: Memory) -> Result<Vec<Row>, Error> {
    let repeats = stage.effort.repeats;
    say(format!("{START}: {repeats} times, each after the floor's"));
    let namespace = stage.records.name().to_owned();
    // The first is for the connection.
    stage.floor.ask(&Job::ListRecords { namespace: namespace.clone() }).await?;
    let writes = stage.writes().await?;
    let mut starts = Vec::new();
    for _ in 0..repeats {
        let floor_objects = stage.floor.ask(&Job::ListRecords { namespace: namespace.clone() }).await?;
        let floor_cloud = stage.floor.ask(&Job::List).await?;
        let began = Instant::now();
        let mut operator = Operator::start(program, stage, interval)?;
        operator.known().await?;
        let known = began.elapsed().as_secs_f64();
        operator.ready().await?;
        let ready = began.elapsed().as_secs_f64();
        let cpu = operator.cpu_seconds_at_rest().await?;
        let memory = operator.memory()?;
        operator.stop();
        let (floor_objects, floor_cloud) = (floor_objects.seconds, floor_cloud.seconds);
        starts.push(Start { known, ready, cpu, memory, floor_objects, floor_cloud });
    }
    let writes = stage.writes().await?.since(&writes);
    let of = |number: fn(&Start) -> f64| median(starts.iter().map(number).collect());
    let mebibytes = |bytes: f64| bytes / 1024.0 / 1024.0;
    Ok(vec![
        Row::of(
            START,
            "wall: process start to all objects known, median | floor: list of the records",
            "s",
            of(|start| start.known),
        )
        .beside(of(|start| start.floor_objects))
        .wanting(Wanted::RatioBelow(1.3)),
        Row::of(START, "wall: process start to ready, median | floor: both lists", "s", of(|start| start.ready))
            .beside(of(|start| start.floor_objects + start.floor_cloud))
            .wanting(Wanted::RatioBelow(1.3)),
        Row::of(START, "CPU of a start, median", "s", of(|start| start.cpu)),
        Row::of(START, PEAK, "MiB", mebibytes(of(|start| start.memory.peak))),
        Row::of(START, "resident after a start, median", "MiB", mebibytes(of(|start| start.memory.resident))),
        Row::of(
            START,
            "peak memory of a start beyond that with nothing recorded, for each record",
            "KiB",
            (of(|start| start.memory.peak) - base.peak) / 1024.0 / f64::from(stage.resources),
        ),
        Row::of(START, "API writes of all starts, leases aside", "", float(writes.total()))
            .wanting(Wanted::Exactly(0.0)),
    ])
}

/// Nobody leads while a resource changes. Then a process starts.
async fn alone(program: &Path, stage: &Stage, interval: Duration) -> Result<Vec<Row>, Error> {
    say(ALONE);
    let drifts = objects::drifts(&stage.client, stage.records.name());
    let mut created = Arrivals::of(drifts, "new drifts", arrivals::is_there).await?;
    let before = created.count();
    stage.resize_one(0, objects::OTHER_SIZE).await?;
    let began = Instant::now();
    let mut operator = Operator::start(program, stage, interval)?;
    let span = operator.blamed(created.after(before, 1, PATIENCE).await)?;
    operator.stop();
    Ok(vec![Row::of(ALONE, "wall: process start to the Drift", "s", (span.first - began).as_secs_f64())])
}

async fn takeover(program: &Path, stage: &mut Stage, interval: Duration) -> Result<Vec<Row>, Error> {
    say(TAKEOVER);
    let floor = stage.floor.ask(&Job::List).await?;
    let drifts = objects::drifts(&stage.client, stage.records.name());
    let mut created = Arrivals::of(drifts, "new drifts", arrivals::is_there).await?;
    let mut leader = Operator::start(program, stage, interval)?;
    leader.ready().await?;
    let mut standby = Operator::start(program, stage, interval)?;
    standby.ready().await?;
    let cpu_seconds = standby.cpu_seconds_at_rest().await?;
    let resident = standby.memory()?.resident;
    let before = created.count();
    let began = Instant::now();
    leader.kill();
    stage.resize_one(1_u32.min(stage.resources - 1), objects::OTHER_SIZE).await?;
    let span = standby.blamed(created.after(before, 1, PATIENCE).await)?;
    let takeover = (span.first - began).as_secs_f64();
    let cpu_seconds = standby.cpu_seconds_at_rest().await? - cpu_seconds;
    let sweep = standby.syncs().await?;
    standby.stop();
    let wanted = (LEASE_SECONDS + TRY_SECONDS + sweep.seconds / sweep.count) * SLACK;
    Ok(vec![
        Row::of(TAKEOVER, "resident of the standby", "MiB", resident / 1024.0 / 1024.0),
        Row::of(TAKEOVER, "wall: death of the leader to the first Drift; wanted: the lease and a sweep", "s", takeover)
            .wanting(Wanted::Below(wanted)),
        Row::of(TAKEOVER, "wall: the first sweep of the new leader | floor: list", "s", sweep.seconds / sweep.count)
            .beside(floor.seconds),
        Row::of(TAKEOVER, "CPU of the standby until then", "s", cpu_seconds),
    ])
}
