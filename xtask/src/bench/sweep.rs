//! The benchmark of sweeps, from the empty cluster to the numbers.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use super::{
    accepted, drifted,
    effort::Effort,
    failure::say,
    first,
    operator::Operator,
    quiet,
    report::{Figure, Report, Row, Subject, Wanted},
    stage::{Cluster, Stage},
    statistics::float,
    stored,
    usage::Memory,
};
use crate::Error;

/// The maximum memory of the operator without records, and per recorded resource, in bytes.
const BASE_BYTES: f64 = 40.0 * 1024.0 * 1024.0;
const BYTES_PER_RESOURCE: f64 = 4.0 * 1024.0;

/// Measures a fleet of this size.
pub(super) async fn measure(
    cluster: &Cluster,
    program: &Path,
    resources: u32,
    effort: Effort,
) -> Result<Report, Error> {
    let mut stage = Stage::start(cluster, resources, effort).await?;
    let interval = effort.interval(resources);
    let mut report = Report::new(Subject::Sweep { resources, sync_interval_seconds: interval.as_secs() });

    let base = base(program, &stage, interval).await?;
    let empty = stage.api_server_memory().await?;
    stage.record_all().await?;
    let new = stage.api_server_memory().await?;

    let (mut operator, first) = first::measure(program, &mut stage, interval).await?;
    report.add(first);
    report.add(stored::measure(&stage, empty, new).await?);
    let after_first = operator.memory()?;
    report.add(quiet::measure(quiet::NO_CHANGE, &mut stage, &mut operator).await?);
    let after_quiet = operator.memory()?;
    report.add(drifted::measure(&mut stage, &mut operator).await?);
    let after_drifted = operator.memory()?;
    report.add(accepted::measure(&mut stage, &mut operator).await?);
    report.add(quiet::measure(quiet::OVER_ACCEPTANCES, &mut stage, &mut operator).await?);
    report.add(memory(resources, base, [after_first, after_quiet, after_drifted, operator.memory()?]));
    operator.stop();
    report.add(stored::after_restart(&stage, empty).await?);
    say("done");
    Ok(report)
}

/// The memory of the idle operator.
pub(super) async fn base(program: &Path, stage: &Stage, interval: Duration) -> Result<Memory, Error> {
    say("running the operator with nothing recorded");
    let mut operator = Operator::start(program, stage, interval)?;
    operator.ready().await?;
    sleep(stage.effort.idle).await;
    let memory = operator.memory();
    operator.stop();
    memory
}

fn memory(resources: u32, base: Memory, [first, quiet, drifted, accepted]: [Memory; 4]) -> Vec<Row> {
    let count = float(u64::from(resources));
    let each = (accepted.peak - base.peak) / count;
    let row = |what: &str, bytes| Row::of("memory", what, "MiB", bytes / 1024.0 / 1024.0);
    vec![
        row("peak with nothing recorded", base.peak).wanting(Wanted::Below(BASE_BYTES / 1024.0 / 1024.0)),
        row("resident after (a)", first.resident),
        row("resident after (b)", quiet.resident),
        row("resident after (c)", drifted.resident),
        row("resident after (e)", accepted.resident),
        row("peak after (a)", first.peak),
        row("peak over all; all that it may be: a base of 40 MiB and 4 KiB for each resource", accepted.peak)
            .quoted_as(Figure::PeakMemory)
            .wanting(Wanted::Below((BASE_BYTES + BYTES_PER_RESOURCE * count) / 1024.0 / 1024.0)),
        Row::of(
            "memory",
            "each resource: (peak over all - peak with nothing recorded) / resources",
            "KiB",
            each / 1024.0,
        )
        .wanting(Wanted::Below(BYTES_PER_RESOURCE / 1024.0)),
    ]
}
