//! The cost of an object for the API server: the bytes that it stores, and its memory.

use kube::api::{Api, DynamicObject, ListParams};

use super::{
    failure::{failed, say},
    objects,
    report::{Figure, Row},
    stage::{ServerMemory, Stage},
    statistics::float,
};
use crate::Error;

const PHASE: &str = "stored";
/// The number of objects that are checked: they are alike.
const LOOKED_AT: u32 = 200;

/// The bytes of a stored object, and those of them that say who owns which field.
#[derive(Default)]
pub(super) struct Bytes {
    pub(super) all: f64,
    managed_fields: f64,
}

/// Measures records that have their first status, in both namespaces. `empty` is the memory of the API server before
/// anything was recorded, and `new` the one with records that have no status yet.
pub(super) async fn measure(stage: &Stage, empty: ServerMemory, new: ServerMemory) -> Result<Vec<Row>, Error> {
    let own = bytes(&objects::records(&stage.client, stage.records.name())).await?;
    let floor = bytes(&objects::records(&stage.client, stage.floor_records.name())).await?;
    let now = stage.api_server_memory().await?;
    let row = |what: &str, unit, number| Row::of(PHASE, what, unit, number);
    Ok(vec![
        row("a record in sync, as JSON", "bytes", own.all).beside(floor.all).quoted_as(Figure::StoredBytes),
        row("  of which managedFields", "bytes", own.managed_fields).beside(floor.managed_fields),
        row(
            "memory of the API server for each record | before its first status",
            "KiB",
            each(stage, now.resident - empty.resident),
        )
        .beside(each(stage, new.resident - empty.resident)),
        row("the same after a garbage collection", "KiB", each(stage, now.live - empty.live))
            .beside(each(stage, new.live - empty.live)),
    ])
}

/// Measures what the same records cost an API server that has just started: it knows none of their earlier states.
pub(super) async fn after_restart(stage: &Stage, empty: ServerMemory) -> Result<Vec<Row>, Error> {
    say("restarting the API server");
    stage.control_plane.restart_api_server().await?;
    // From its cache, which it fills on the first request.
    let one = ListParams::default().match_any().fields("metadata.name=web-0");
    let records = objects::records(&stage.client, stage.records.name());
    records.list_metadata(&one).await.map_err(failed("list a record"))?;
    let now = stage.api_server_memory().await?;
    let row = |what, bytes| Row::of(PHASE, what, "KiB", each(stage, bytes));
    Ok(vec![
        row("memory of a restarted API server for each record", now.resident - empty.resident),
        row("the same after a garbage collection", now.live - empty.live),
    ])
}

/// The share of one record, in KiB: both namespaces have the same.
fn each(stage: &Stage, bytes: f64) -> f64 {
    bytes / (2.0 * float(u64::from(stage.resources))) / 1024.0
}

/// The mean over the first objects.
pub(super) async fn bytes(objects: &Api<DynamicObject>) -> Result<Bytes, Error> {
    let page = ListParams::default().limit(LOOKED_AT);
    let objects = objects.list(&page).await.map_err(failed("list objects"))?.items;
    let count = float(u64::try_from(objects.len()).unwrap_or(u64::MAX));
    let mut sum = Bytes::default();
    for object in &objects {
        sum.all += length(object)?;
        sum.managed_fields += length(&object.metadata.managed_fields)?;
    }
    Ok(Bytes { all: sum.all / count, managed_fields: sum.managed_fields / count })
}

fn length(value: &impl serde::Serialize) -> Result<f64, Error> {
    let json = serde_json::to_vec(value).map_err(failed("write an object as JSON"))?;
    Ok(float(u64::try_from(json.len()).unwrap_or(u64::MAX)))
}
