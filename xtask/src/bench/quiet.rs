//! Sweeps that find nothing new: after the first one, after starts, and over acceptances that stand.

use std::time::Instant;

use tokio::time::sleep;

use super::{
    failure::{PATIENCE, late, say},
    jobs::{self, Job},
    operator::Operator,
    report::{Figure, Row, Wanted},
    stage::Stage,
    statistics::{float, median},
};
use crate::Error;

pub(super) const NO_CHANGE: &str = "(b) no change";
pub(crate) const AFTER_STARTS: &str = "(c) no change";
pub(super) const OVER_ACCEPTANCES: &str = "(e) no change, 1 % accepted";

/// Measures sweeps, each followed by the floor's.
pub(super) async fn measure(
    phase: &'static str,
    stage: &mut Stage,
    operator: &mut Operator,
) -> Result<Vec<Row>, Error> {
    let sweeps = stage.effort.sweeps;
    say(format!("{phase}: {sweeps} sweeps, each followed by the floor's"));
    // The first sweep opens the connections, which both sides keep.
    operator.next_sweep(stage).await?;
    operator.cpu_seconds_at_rest().await?;
    stage.floor.ask(&Job::List).await?;

    let writes = stage.writes().await?;
    let mut measured = Vec::new();
    for _ in 0..sweeps {
        let before = operator.swept(stage).await?;
        let sweep = operator.next_sweep(stage).await?;
        let mut after = operator.swept(stage).await?;
        // On a busy machine, a sweep that waits for a processor looks like one that has ended.
        while after.syncs.count <= before.syncs.count {
            if sweep.began.elapsed() > PATIENCE {
                return Err(late("see the end of a sweep", PATIENCE));
            }
            after = operator.swept(stage).await?;
        }
        let (idle_from, idle_since) = (operator.cpu_seconds()?, Instant::now());
        sleep(stage.effort.idle).await;
        let idle = (operator.cpu_seconds()? - idle_from) / idle_since.elapsed().as_secs_f64();
        let floor = stage.floor.ask(&Job::List).await?;
        let ended = after.syncs.count - before.syncs.count;
        let calls = float(after.calls - before.calls) / ended;
        let cpu_seconds = (after.cpu_seconds - sweep.cpu_seconds) / ended;
        let seconds = (after.syncs.seconds - before.syncs.seconds) / ended;
        measured.push((calls, cpu_seconds, seconds, idle, floor));
    }
    let writes = stage.writes().await?.since(&writes);

    let calls = measured.iter().map(|(calls, ..)| calls).sum::<f64>() / f64::from(sweeps);
    let of = |number: fn(&(f64, f64, f64, f64, jobs::Cost)) -> f64| median(measured.iter().map(number).collect());
    let mut rows = vec![
        Row::of(phase, "cloud calls of a sweep, mean", "", calls)
            .beside(of(|(.., floor)| float(floor.calls)))
            .quoted_as(Figure::SweepCalls)
            .wanting(Wanted::Exactly(float(stage.calls_per_sweep()))),
        Row::of(phase, "API writes in all, leases aside", "", float(writes.total()))
            .quoted_as(Figure::SweepWrites)
            .wanting(Wanted::Exactly(0.0)),
        Row::of(phase, "bytes of a sweep", "MiB", of(|(.., floor)| float(floor.bytes)) / 1024.0 / 1024.0),
        Row::of(phase, "wall of a sweep, median", "ms", of(|(_, _, seconds, ..)| *seconds) * 1000.0)
            .beside(of(|(.., floor)| floor.seconds) * 1000.0),
        Row::of(phase, "CPU of a sweep, median", "ms", of(|(_, cpu, ..)| *cpu) * 1000.0)
            .beside(of(|(.., floor)| floor.cpu_seconds) * 1000.0)
            .quoted_as(Figure::SweepCpu)
            .wanting(Wanted::RatioBelow(2.0)),
        Row::of(phase, "CPU in a second between sweeps, median", "ms", of(|(_, _, _, idle, _)| *idle) * 1000.0),
    ];
    rows.extend(writes.by_kind().iter().map(|(what, count)| Row::of(phase, format!("  {what}"), "", float(*count))));
    Ok(rows)
}
