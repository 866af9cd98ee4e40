//! The benchmark of reverts: a tag is gone from many droplets, and all drifts are reverted at once.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use kube::{ResourceExt, api::ListParams};

use super::{
    arrivals::{self, Arrivals},
    effort::Effort,
    failure::{PATIENCE, failed, say},
    jobs::{Cost, Job},
    objects,
    operator::Operator,
    report::{Report, Row, Subject, Wanted},
    stage::{Cluster, Stage},
    statistics::float,
};
use crate::Error;

const PHASE: &str = "reverts of a tag, all at once";
/// The drifts are found soon, and few sweeps run during the measurement.
fn sync_interval(effort: Effort) -> Duration {
    effort.interval * 2
}

/// Measures this number of reverts.
pub(super) async fn measure(cluster: &Cluster, program: &Path, reverts: u32, effort: Effort) -> Result<Report, Error> {
    let mut report = Report::new(Subject::Reverts { reverts });
    // The floor has separate droplets.
    let mut stage = Stage::start(cluster, reverts.saturating_mul(2), effort).await?;
    stage.resources = reverts;
    stage.record_all().await?;
    let count = usize::try_from(reverts).unwrap_or(usize::MAX);
    stage.floor.ask(&Job::CreateDrifts { count, episode: 1, with_events: false }).await?;

    let records = objects::records(&stage.client, stage.records.name());
    let mut in_sync = Arrivals::of(records, "records in sync", arrivals::is_in_sync).await?;
    let mut operator = Operator::start(program, &stage, sync_interval(effort))?;
    let first = in_sync.after(0, count, PATIENCE).await;
    operator.blamed(first)?;
    drop(in_sync);
    let reverted = revert_all(&mut stage, &mut operator, reverts).await;
    report.add(operator.blamed(reverted)?);
    operator.stop();
    say("done");
    Ok(report)
}

async fn revert_all(stage: &mut Stage, operator: &mut Operator, reverts: u32) -> Result<Vec<Row>, Error> {
    let count = usize::try_from(reverts).unwrap_or(usize::MAX);
    say(format!("{reverts} droplets lose a tag"));
    let drifts = objects::drifts(&stage.client, stage.records.name());
    let mut opened = Arrivals::of(drifts.clone(), "drifts", arrivals::is_there).await?;
    stage.untag(reverts).await?;
    opened.after(0, count, PATIENCE + sync_interval(stage.effort)).await?;
    drop(opened);
    let open = ListParams::default().fields("status.phase=Open");
    let open = drifts.list_metadata(&open).await.map_err(failed("list the open drifts"))?;
    let names: Vec<_> = open.items.iter().map(ResourceExt::name_any).collect();

    say("all drifts are reverted; half of the floor before, half after");
    let half = count / 2;
    let mut floor = floor(stage, 0, half).await?;
    operator.cpu_seconds_at_rest().await?;
    let mut reverted = Arrivals::of(drifts.clone(), "reverted drifts", arrivals::is_reverted).await?;
    let (calls, writes) = (stage.calls_but_lists().await?, stage.writes().await?);
    let cpu_seconds = operator.cpu_seconds_at_rest().await?;
    let began = Instant::now();
    objects::revert(&drifts, names).await?;
    let span = reverted.after(0, count, PATIENCE).await?;
    let cpu_seconds = operator.cpu_seconds_at_rest().await? - cpu_seconds;
    let calls = stage.calls_but_lists().await? - calls;
    let writes = stage.writes().await?.since(&writes);
    drop(reverted);
    floor = floor + self::floor(stage, half, count - half).await?;

    let all = float(u64::from(reverts));
    let each = |number: f64| number / all;
    // The annotations are the benchmark's own.
    let own = float(writes.but_events()) - all;
    let seconds = (span.last - began).as_secs_f64();
    let mut rows = vec![
        Row::of(PHASE, "wall: first annotation to last Reverted | floor: the same calls and writes", "s", seconds)
            .beside(floor.seconds),
        Row::of(PHASE, "reverts in a second", "", all / seconds).beside(all / floor.seconds),
        Row::of(PHASE, "API writes of a revert, events aside", "", each(own))
            .beside(each(float(floor.calls)))
            .wanting(Wanted::RatioBelow(1.0)),
        Row::of(PHASE, "cloud calls of a revert, sweeps aside", "", each(float(calls))),
        Row::of(PHASE, "CPU of a revert", "ms", each(cpu_seconds) * 1000.0).beside(each(floor.cpu_seconds) * 1000.0),
    ];
    rows.extend(writes.by_kind().iter().map(|(what, count)| Row::of(PHASE, format!("  {what}"), "", float(*count))));
    Ok(rows)
}

async fn floor(stage: &mut Stage, from: usize, count: usize) -> Result<Cost, Error> {
    // Its connections may have been closed meanwhile.
    stage.floor.ask(&Job::Prepare).await?;
    stage.floor.ask(&Job::Revert { from, count }).await
}
