//! (c) One resource in a hundred drifted.

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, ListParams};
use tokio::time::sleep;

use super::{
    arrivals::{self, Arrivals},
    failure::{PATIENCE, failed, late, say},
    jobs::{Cost, Job},
    objects,
    operator::{Operator, RECONCILES},
    report::{Row, Wanted},
    stage::{Stage, Writes},
    statistics::{float, median},
    stored,
};
use crate::Error;

const PHASE: &str = "(c) 1 % drifted";

/// The cost of one round. Times are in seconds.
struct Round {
    created: f64,
    swept_and_created: f64,
    cpu: f64,
    writes: Writes,
    reconciles: f64,
    floor_created: f64,
    floor_list: Cost,
    floor_create: Cost,
    floor_created_with_events: f64,
}

/// Measures rounds of drifting and returning, each followed by the floor's.
pub(super) async fn measure(stage: &mut Stage, operator: &mut Operator) -> Result<Vec<Row>, Error> {
    let drifting = (stage.resources / 100).max(1);
    let count = usize::try_from(drifting).unwrap_or(usize::MAX);
    let sweeps = stage.effort.sweeps;
    let last = stage.effort.rounds;
    say(format!("(c) {last} rounds of {drifting} drifts, each followed by the floor's"));
    let drifts = objects::drifts(&stage.client, stage.records.name());
    let mut created = Arrivals::of(drifts.clone(), "new drifts", arrivals::is_there).await?;
    let floor_drifts = objects::drifts(&stage.client, stage.floor_records.name());
    let mut floor_created = Arrivals::of(floor_drifts.clone(), "drifts of the floor", arrivals::is_there).await?;

    // Neither side has written since (a): the first round begins without open connections, as every sweep does that
    // comes minutes after the last write.
    sleep(stage.effort.connections_last.saturating_sub(operator.interval * sweeps)).await;
    let mut rounds = Vec::new();
    let mut rows = Vec::new();
    for round in 1..=last {
        let patience = PATIENCE + operator.interval;
        let (before, floor_before) = (created.count(), floor_created.count());
        let writes = stage.writes().await?;
        let reconciles = operator.metric(RECONCILES, "").await?;
        stage.resize(drifting, objects::OTHER_SIZE).await?;
        let sweep = operator.next_sweep(stage).await?;
        let span = created.after(before, count, patience).await?;
        let cpu = operator.cpu_seconds_at_rest().await? - sweep.cpu_seconds;
        let writes = stage.writes().await?.since(&writes);
        let reconciles = operator.metric(RECONCILES, "").await? - reconciles;

        // The operator finds an API server that has rested. One that was just busy responds faster.
        sleep(stage.effort.interval).await;
        if round > 1 {
            stage.floor.ask(&Job::Prepare).await?;
        }
        let floor_list = stage.floor.ask(&Job::List).await?;
        let create = |episode, with_events| Job::CreateDrifts { count, episode, with_events };
        let floor_create = stage.floor.ask(&create(round, false)).await?;
        let floor_span = floor_created.after(floor_before, count, patience).await?;
        sleep(stage.effort.interval).await;
        stage.floor.ask(&create(round + last, true)).await?;
        let with_events = floor_created.after(floor_before + count, count, patience).await?;
        rounds.push(Round {
            created: span.seconds(),
            swept_and_created: (span.last - sweep.began).as_secs_f64(),
            cpu,
            writes,
            reconciles,
            floor_created: floor_span.seconds(),
            floor_list,
            floor_create,
            floor_created_with_events: with_events.seconds(),
        });

        if round == 1 {
            let (own, floor) = (stored::bytes(&drifts).await?, stored::bytes(&floor_drifts).await?);
            rows.push(Row::of(PHASE, "an open Drift, as JSON", "bytes", own.all).beside(floor.all));
        }
        stage.resize(drifting, objects::SIZE).await?;
        resolved(&drifts, patience).await?;
        operator.cpu_seconds_at_rest().await?;
    }
    rows.extend(measured(&rounds, drifting));
    Ok(rows)
}

/// Waits until no drift is open. It polls, since another watch would slow down the operator's creates, but not the
/// floor's.
async fn resolved(drifts: &Api<DynamicObject>, patience: Duration) -> Result<(), Error> {
    let began = Instant::now();
    let open = ListParams::default().fields("status.phase=Open").limit(1);
    while !drifts.list_metadata(&open).await.map_err(failed("list the open drifts"))?.items.is_empty() {
        if began.elapsed() > patience {
            return Err(late("see all drifts resolved", patience));
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// The number of drifts of a round from which the ratios are wanted: a few are created in one go, in a few milliseconds.
const MANY: u32 = 100;

fn measured(rounds: &[Round], drifting: u32) -> Vec<Row> {
    let wanting = |row: Row, wanted| if drifting < MANY { row } else { row.wanting(wanted) };
    let of = |number: fn(&Round) -> f64| median(rounds.iter().skip(1).map(number).collect());
    // Other processes on the machine only make a round slower.
    let fastest =
        |number: fn(&Round) -> f64| rounds.iter().skip(1).map(number).min_by(f64::total_cmp).unwrap_or(f64::NAN);
    let mut rows = vec![
        Row::of(PHASE, "API writes of a round, leases aside, median", "", of(|round| float(round.writes.total())))
            .beside(float(u64::from(drifting))),
        Row::of(
            PHASE,
            "reconciles of a drifted record, median",
            "",
            of(|round| round.reconciles) / float(u64::from(drifting)),
        ),
        wanting(
            Row::of(PHASE, "wall: first to last Drift created, median", "ms", of(|round| round.created) * 1000.0)
                .beside(of(|round| round.floor_created) * 1000.0),
            Wanted::RatioBelow(1.2),
        ),
        wanting(
            Row::of(
                PHASE,
                "wall: first to last Drift created, median | floor: with an Event beside each",
                "ms",
                of(|round| round.created) * 1000.0,
            )
            .beside(of(|round| round.floor_created_with_events) * 1000.0),
            Wanted::RatioBelow(1.05),
        ),
        Row::of(PHASE, "  the same, fastest round", "ms", fastest(|round| round.created) * 1000.0)
            .beside(fastest(|round| round.floor_created) * 1000.0),
        Row::of(
            PHASE,
            "wall: first call to last Drift, median | floor: list + reads + creates",
            "ms",
            of(|round| round.swept_and_created) * 1000.0,
        )
        .beside(of(|round| round.floor_list.seconds + round.floor_create.seconds) * 1000.0),
        Row::of(
            PHASE,
            "CPU until all is written, median | floor: list + reads + creates",
            "ms",
            of(|round| round.cpu) * 1000.0,
        )
        .beside(of(|round| round.floor_list.cpu_seconds + round.floor_create.cpu_seconds) * 1000.0),
    ];
    for (number, round) in (1..).zip(rounds) {
        let connections = if number == 1 { ", no connections open before (not in the medians)" } else { "" };
        let what = format!("  round {number}: first to last Drift created{connections}");
        rows.push(Row::of(PHASE, what, "ms", round.created * 1000.0).beside(round.floor_created * 1000.0));
    }
    if let Some(last) = rounds.last() {
        let writes = last.writes.by_kind().iter();
        rows.extend(writes.map(|(what, count)| Row::of(PHASE, format!("  last round: {what}"), "", float(*count))));
    }
    rows
}
