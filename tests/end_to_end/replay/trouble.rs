//! Objects in the states that only faults of the cloud cause.

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    Lines, annotate, drift_of, drifts_of, lines, order, order_in_doubt, replayed, resolve, sleep, snapshot,
    snapshots_of,
};
use crate::world::{World, droplet, eventually};

/// The droplet whose resize fails, and which then cannot be powered on.
const RESIZED: &str = "3164701";
/// The droplet with two snapshots of one name.
const DOUBTED: &str = "3164702";
/// The droplet whose snapshot is undone.
const PLAIN: &str = "3164703";
/// An app with a secret variable.
const APP: &str = "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf";

fn status(status: u16) -> Effect {
    Effect::Status { status, retry_after: None, html: false }
}

/// Brings objects into these states, and kills the operator.
async fn every_trouble(world: &mut World) {
    for id in [RESIZED, DOUBTED, PLAIN] {
        world.cloud.put("droplets", droplet(id, &format!("web-{id}"))).await.unwrap();
    }
    let variable = json!({ "key": "A", "value": "EV[1:abc:def]", "scope": "RUN_TIME", "type": "SECRET" });
    let app = json!({ "id": APP, "spec": { "name": "shop", "envs": [variable] } });
    world.cloud.put("apps", app).await.unwrap();
    let plain = json!({ "key": "A", "value": "hunter2", "scope": "RUN_TIME", "type": "SECRET" });
    world.record_as("shop", "App", APP, json!({ "spec": { "name": "shop", "envs": [plain] } }), json!({})).await;
    let resized = json!({ "size_slug": "s-2vcpu-4gb" });
    world.record_as("resized", "Droplet", RESIZED, resized, json!({})).await;
    world.record_as("plain", "Droplet", PLAIN, json!({ "region": "nyc3" }), json!({})).await;
    world.start_operator(&["--inventory-max-age", "3s"]);
    world.reaches("pr/shop", "InSync", "Unknown FieldsUnknown").await;
    world.reaches("pr/plain", "InSync", "True NoDrift").await;

    // A revert that fails and cannot be undone.
    let grown = json!({ "size_slug": "s-4vcpu-8gb", "disk": 80 });
    world.cloud.change("droplets", RESIZED, grown).await.unwrap();
    let drift = drift_of(world, "resized").await;
    let actions = format!("/v2/droplets/{RESIZED}/actions");
    let fails = Fault::new(&actions, Effect::FailAction).method("POST").action("resize");
    world.cloud.inject(fails).await.unwrap();
    world.cloud.inject(Fault::new(&actions, status(403)).method("POST").action("power_on")).await.unwrap();
    annotate(world, &drift, &["arcadia.cloud/revert=allow-disruption"]).await;
    let saga = eventually("the saga of the revert", || async {
        let name = world.value(&drift, "{.status.sagaRef.name}").await;
        if name.is_empty() { Err("none yet") } else { Ok(name) }
    })
    .await;
    // It takes 10 attempts, for about two minutes.
    eventually("the last attempts", || async {
        let saga = world.saga(&saga).await["status"].to_string();
        if saga.contains("\"attempts\":8") { Ok(()) } else { Err(saga) }
    })
    .await;
    world.saga_reaches(&saga, "Stuck").await;
    world.reaches(&drift, "Resolved", "False RevertStuck").await;

    // A call in doubt, and two snapshots that may be its effect.
    let twin = order_in_doubt(world, DOUBTED).await;
    let mut other = twin.clone();
    other["id"] = json!("999");
    world.cloud.put("snapshots", other).await.unwrap();
    world.cloud.clear_faults().await.unwrap();
    world.saga_reaches("doubts", "Stuck").await;

    // A rollback of a saga that succeeded.
    order(world, "done", json!([snapshot(PLAIN), sleep(0)]), &[]).await;
    world.saga_reaches("done", "Succeeded").await;
    world.cloud.inject(Fault::new("/v2/snapshots/*", status(503)).method("DELETE")).await.unwrap();
    world.order("undoes", json!({ "kind": "rollback", "rollbackOf": { "name": "done" } })).await;
    world.saga_reaches("undoes", "Stuck").await;

    // No list succeeds any more.
    world.cloud.inject(Fault::new("/v2/droplets", status(500)).method("GET")).await.unwrap();
    world.reaches("pr/plain", "InSync", "Unknown InventoryStale").await;
    world.kill_operator();
    world.cloud.clear_faults().await.unwrap();
}

#[tokio::test]
async fn trouble_is_continued_and_ends_as_without_the_upgrade() {
    let (world, before) = replayed("trouble", every_trouble).await;
    world.reaches("pr/plain", "InSync", "True NoDrift").await;
    world.sync("shop").await;
    world.sync("resized").await;
    let after = lines(&world).await;
    let in_flight = ["provisionedresources/plain", "provisionedresources/resized"];
    let kept = |lines: &Lines| {
        let mut lines = lines.clone();
        lines.retain(|name, _| !in_flight.contains(&name.as_str()));
        lines
    };
    assert_eq!(kept(&after), kept(&before));
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.mutating(), 0, "{requests:?}");

    // The answers that the messages name still work.
    let snapshot = snapshots_of(&world, DOUBTED).await.pop().unwrap();
    annotate(&world, "saga/doubts", &[&format!("arcadia.cloud/adopt={}", snapshot["id"].as_str().unwrap())]).await;
    world.saga_reaches("doubts", "Succeeded").await;
    resolve(&world, "undoes", "retry").await;
    world.saga_reaches("undoes", "Succeeded").await;
    assert_eq!(snapshots_of(&world, PLAIN).await, Vec::<Value>::new());
    let drifts = drifts_of(&world, "resized").await;
    assert_eq!(drifts.len(), 1, "{drifts:?}");
    let saga = world.value(&drifts[0], "{.status.sagaRef.name}").await;
    resolve(&world, &saga, "retry").await;
    world.saga_reaches(&saga, "RolledBack").await;
    world.reaches(&drifts[0], "Resolved", "False RevertFailed").await;
    let live = world.cloud.get("droplets", RESIZED).await.unwrap().unwrap();
    assert_eq!((&live["status"], &live["size_slug"]), (&json!("active"), &json!("s-4vcpu-8gb")));
}
