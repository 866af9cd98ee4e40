//! (d) One resource in a hundred drifted and accepted, with the fields declared by a manifest: the acceptances stand.

use std::time::Instant;

use kube::{ResourceExt, api::ListParams};

use super::{
    arrivals::{self, Arrivals},
    failure::{PATIENCE, failed, say},
    jobs::Job,
    objects,
    operator::Operator,
    report::{Row, Wanted},
    stage::Stage,
    statistics::float,
};
use crate::Error;

const PHASE: &str = "(d) 1 % accepted, standing";

/// Drifts the first resources once more, accepts all of them at once, and keeps the acceptances.
pub(super) async fn measure(stage: &mut Stage, operator: &mut Operator) -> Result<Vec<Row>, Error> {
    let accepting = (stage.resources / 100).max(1);
    let count = usize::try_from(accepting).unwrap_or(usize::MAX);
    say(format!("(d) accepting {accepting} drifts, followed by the floor's"));
    let patience = PATIENCE + operator.interval;
    let drifts = objects::drifts(&stage.client, stage.records.name());
    objects::keep_records(&stage.client, stage.records.name(), accepting).await?;
    let mut opened = Arrivals::of(drifts.clone(), "new drifts", arrivals::is_there).await?;
    let before = opened.count();
    stage.resize(accepting, objects::OTHER_SIZE).await?;
    opened.after(before, count, patience).await?;
    drop(opened);
    operator.cpu_seconds_at_rest().await?;

    let open = ListParams::default().fields("status.phase=Open");
    let open = drifts.list_metadata(&open).await.map_err(failed("list the open drifts"))?;
    let names: Vec<_> = open.items.iter().map(ResourceExt::name_any).collect();
    let mut standing = Arrivals::of(drifts.clone(), "acceptances that stand", arrivals::stands).await?;
    let (writes, cpu_seconds) = (stage.writes().await?, operator.cpu_seconds_at_rest().await?);
    let began = Instant::now();
    objects::accept(&drifts, names).await?;
    let span = standing.after(0, count, patience).await?;
    let cpu_seconds = operator.cpu_seconds_at_rest().await? - cpu_seconds;
    let writes = stage.writes().await?.since(&writes);
    drop(standing);

    stage.floor.ask(&Job::Prepare).await?;
    let floor = stage.floor.ask(&Job::Accept { count }).await?;
    let each = float(u64::from(accepting));
    // The benchmark itself writes the annotations.
    let own = float(writes.but_events()) - each;
    let mut rows = vec![
        Row::of(PHASE, "API writes of an acceptance, events aside", "", own / each)
            .beside(float(floor.calls) / each)
            .wanting(Wanted::Exactly(2.0)),
        Row::of(
            PHASE,
            "wall: first annotation to last acceptance | floor: both writes of each",
            "ms",
            (span.last - began).as_secs_f64() * 1000.0,
        )
        .beside(floor.seconds * 1000.0),
        Row::of(PHASE, "CPU of an acceptance", "ms", cpu_seconds * 1000.0 / each)
            .beside(floor.cpu_seconds * 1000.0 / each),
    ];
    rows.extend(writes.by_kind().iter().map(|(what, count)| Row::of(PHASE, format!("  {what}"), "", float(*count))));
    Ok(rows)
}
