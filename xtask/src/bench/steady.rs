//! New sagas at a steady rate, independent of the end of earlier ones: the time of each.

use std::time::Duration;

use super::{
    arrivals::{self, Arrivals},
    failure::{PATIENCE, say},
    jobs::{Job, SagaJob},
    objects,
    orders::{Batch, Steps},
    parallel,
    report::Row,
    stage::Stage,
    statistics::percentile,
};
use crate::Error;

/// The operator and the floor take turns in this many rounds, so that a slow minute of the machine is not in the numbers
/// of one of them alone.
const ROUNDS: u32 = 5;

/// Measures sagas that are created at this rate; the operator runs.
pub(super) async fn measure(stage: &mut Stage, steps: Steps, sagas: u32, per_second: f64) -> Result<Vec<Row>, Error> {
    say(format!("{per_second:.1} new sagas in a second, in turns with the floor's"));
    let own = Batch::new("steady", steps);
    let others = Batch::new("floor", steps);
    stage.floor.ask(&Job::Sagas(SagaJob::Prepare(vec![own.clone(), others.clone()]))).await?;

    let api = objects::sagas(&stage.client, stage.records.name());
    let floor_api = objects::sagas(&stage.client, stage.floor_records.name());
    let mut succeeded = Arrivals::of(api.clone(), "sagas that succeeded", arrivals::has_succeeded).await?;
    let mut written = Arrivals::of(floor_api, "sagas of the floor", arrivals::has_succeeded).await?;
    let (mut waits, mut floor_waits) = (Vec::new(), Vec::new());
    let mut from = 0;
    while from < sagas {
        let count = sagas.div_ceil(ROUNDS).min(sagas - from);
        let create = |saga| {
            let api = api.clone();
            async move { objects::create(&api, saga).await }
        };
        let new = (from..from + count).map(|number| own.saga(number)).collect();
        waits.extend(round(&mut succeeded, count, per_second, parallel::at_rate(per_second, new, create)).await?);

        // Its connections may have been closed in the meantime.
        stage.floor.ask(&Job::Sagas(SagaJob::Prepare(Vec::new()))).await?;
        let job = Job::Sagas(SagaJob::Order { batch: others.clone(), from, count, per_second });
        let ordering = async { stage.floor.ask(&job).await.map(drop) };
        floor_waits.extend(round(&mut written, count, per_second, ordering).await?);
        from += count;
    }

    let row = |what: &str, percent| {
        Row::of(steps.phase(), what, "ms", percentile(percent, waits.clone()) * 1000.0)
            .beside(percentile(percent, floor_waits.clone()) * 1000.0)
    };
    Ok(vec![
        Row::of(steps.phase(), "new sagas in a second, half of the above", "", per_second).beside(per_second),
        row("  from creation to Succeeded, p50 | floor: with the call of each step", 50),
        row("  from creation to Succeeded, p99", 99),
    ])
}

/// The time of each new saga of a round, in seconds.
async fn round(
    arrivals: &mut Arrivals,
    sagas: u32,
    per_second: f64,
    creating: impl Future<Output = Result<(), Error>>,
) -> Result<Vec<f64>, Error> {
    let before = arrivals.count();
    creating.await?;
    let count = usize::try_from(sagas).unwrap_or(usize::MAX);
    arrivals.after(before, count, PATIENCE + Duration::from_secs_f64(f64::from(sagas) / per_second)).await?;
    Ok(arrivals.waits(before))
}
