//! Objects with the reasons that no other story stores: answers to people, refusals, and interrupted sagas.

use std::collections::BTreeSet;

use arcadia_operator::api::conditions::REASONS;
use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    DECLARED, LIVE, Lines, PLURALS, Stored, annotate, drift_of, drifts_of, fail, lines, order, replayed, sleep,
    snapshot, text,
};
use crate::{
    refusals::NO_DRIFT,
    world::{World, droplet, eventually, manifest},
};

/// The droplet that sagas act on, and the one that a saga deletes.
const ACTED: &str = "3164801";
const DELETED: &str = "3164802";
/// The droplets of records.
const RECORDS: [(&str, &str); 8] = [
    ("unconfirmed", "3164811"),
    ("waiting", "3164812"),
    ("resolved", "3164813"),
    ("gone", "3164814"),
    ("in-record", "3164815"),
    ("superseded", "3164816"),
    ("refused", "3164817"),
    ("pending", "3164818"),
];
/// A volume whose list cannot be read.
const VOLUME: &str = "506f78a4-e098-11e5-ad9f-000f53306ae1";
const ACCEPT: &str = "arcadia.cloud/accept=true";
/// Reasons that no stored object can have, with the object.
const NEVER_STORED: [(&str, &str); 1] = [
    // A resumed saga that has not started: the same turn starts it or names the saga that it waits for.
    ("Pending", "saga"),
];

fn id(record: &str) -> &'static str {
    RECORDS.iter().find(|(known, _)| *known == record).unwrap().1
}

fn status(status: u16) -> Effect {
    Effect::Status { status, retry_after: None, html: false }
}

async fn record(world: &World, name: &str, desired: Value) {
    world.record_as(name, "Droplet", id(name), desired, json!({})).await;
}

async fn declare(world: &World, name: &str, policy: &str) {
    let desired = json!({ "size_slug": DECLARED });
    let manifest = manifest(name, "Droplet", id(name), &desired, &json!({ "drift": { "accept": policy } }));
    world.kubectl().apply(&manifest).await.unwrap();
}

/// A snapshot that is undone with many attempts.
fn patient() -> Value {
    let mut step = snapshot(ACTED);
    step["retry"] = json!({ "attempts": 20, "minSeconds": 1 });
    step
}

/// Brings records and drifts into these states.
async fn every_answer_about_drifts(world: &World) {
    world.record_as("not-found", "Droplet", "3164899", json!({ "size_slug": LIVE }), json!({})).await;
    world.cloud.inject(Fault::new("/v2/volumes", status(500)).method("GET")).await.unwrap();
    world.record_as("data", "Volume", VOLUME, json!({ "size_gigabytes": 10 }), json!({})).await;
    for name in ["waiting", "resolved", "gone"] {
        record(world, name, json!({ "size_slug": DECLARED })).await;
    }
    for name in ["in-record", "superseded"] {
        declare(world, name, "Standing").await;
    }
    record(world, "unconfirmed", json!({ "size_slug": LIVE })).await;
    world.reaches("pr/not-found", "Ready", "False ResourceNotFound").await;
    world.reaches("pr/data", "InSync", "Unknown LiveUnknown").await;
    world.reaches("pr/unconfirmed", "InSync", "True NoDrift").await;

    // Half of a decision, and one about a drift that is over.
    annotate(world, &drift_of(world, "waiting").await, &["arcadia.cloud/because=asked by finance"]).await;
    world.reaches(&drift_of(world, "waiting").await, "Resolved", "False DecisionWaiting").await;
    let resolved = drift_of(world, "resolved").await;
    annotate(world, &resolved, &[ACCEPT]).await;
    world.reaches(&resolved, "Resolved", "True Accepted").await;
    annotate(world, &resolved, &["arcadia.cloud/because=again"]).await;
    world.reaches(&resolved, "DecisionApplied", "False AlreadyResolved").await;

    // A drift whose record was deleted and created again.
    let gone = drift_of(world, "gone").await;
    world.run(&["patch", &gone, "--type=merge", "-p", r#"{"metadata":{"ownerReferences":null}}"#]).await;
    world.run(&["delete", "pr", "gone"]).await;
    record(world, "gone", json!({ "size_slug": LIVE })).await;
    world.reaches(&gone, "Resolved", "True RecordGone").await;

    // Acceptances that moved into the record, or that a later one replaced.
    let accepted = drift_of(world, "in-record").await;
    annotate(world, &accepted, &[ACCEPT]).await;
    world.reaches(&accepted, "Standing", "True Accepted").await;
    declare(world, "in-record", "InPlace").await;
    world.reaches(&accepted, "Standing", "False InRecord").await;
    let first = drift_of(world, "superseded").await;
    annotate(world, &first, &[ACCEPT]).await;
    world.reaches(&first, "Standing", "True Accepted").await;
    world.cloud.change("droplets", id("superseded"), json!({ "size_slug": "s-8vcpu-16gb" })).await.unwrap();
    world.sync("superseded").await;
    let second = eventually("the second drift", || async {
        let drifts = drifts_of(world, "superseded").await;
        drifts.get(1).cloned().ok_or("none yet")
    })
    .await;
    annotate(world, &second, &[ACCEPT]).await;
    world.reaches(&first, "Standing", "False Superseded").await;

    // The API server refuses a drift.
    let namespace = world.namespace.name();
    world.kubectl().apply(&NO_DRIFT.replace("NAME", namespace)).await.unwrap();
    record(world, "refused", json!({ "name": "other" })).await;
    eventually("the refusal", || async {
        let ready = world.condition("pr/refused", "Ready").await;
        if ready == "False WriteRefused" {
            return Ok(());
        }
        // Until the policy is in effect.
        world.run(&["delete", "pr", "refused"]).await;
        record(world, "refused", json!({ "name": "other" })).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        Err(ready)
    })
    .await;

    // A list shows a change, and the resource itself cannot be read.
    let read = format!("/v2/droplets/{}", id("unconfirmed"));
    world.cloud.inject(Fault::new(read, status(403)).method("GET")).await.unwrap();
    world.cloud.change("droplets", id("unconfirmed"), json!({ "size_slug": DECLARED })).await.unwrap();
    world.sync("waiting").await;
    world.reaches("pr/unconfirmed", "InSync", "Unknown Unconfirmed").await;
}

/// Brings sagas into these states.
async fn every_answer_about_sagas(world: &World) {
    order(world, "cancelled", json!([sleep(0)]), &[("suspend", json!(true))]).await;
    world.run(&["patch", "saga", "cancelled", "--type=merge", "-p", r#"{"spec": {"cancelRequested": true}}"#]).await;
    world.reaches("saga/cancelled", "Succeeded", "False Cancelled").await;
    order(world, "timed-out", json!([sleep(1000)]), &[("timeoutSeconds", json!(1))]).await;
    world.saga_reaches("timed-out", "RolledBack").await;
    let mut delete = json!({ "name": "delete", "step": "DeleteDroplet", "with": { "droplet_provider_id": DELETED } });
    delete["irreversible"] = json!(true);
    order(world, "irreversible", json!([delete, fail()]), &[]).await;
    world.reaches("saga/irreversible", "Stalled", "True Irreversible").await;
    let inputs = [("inputs", json!({ "seconds": 600 }))];
    order(world, "changed", json!([{ "name": "a", "step": "Sleep" }]), &inputs).await;
    world.saga_reaches("changed", "Running").await;
    world.run(&["patch", "saga", "changed", "--type=merge", "-p", r#"{"spec": {"inputs": {"seconds": 0}}}"#]).await;
    world.reaches("saga/changed", "Stalled", "True OrderChanged").await;

    // Sagas that are being undone.
    order(world, "done", json!([patient()]), &[]).await;
    world.saga_reaches("done", "Succeeded").await;
    order(world, "deleted", json!([patient(), sleep(100_000)]), &[]).await;
    eventually("the snapshot", || async {
        let saga = world.saga("deleted").await["status"].to_string();
        if saga.contains("\"progress\":\"1/2\"") { Ok(()) } else { Err(saga) }
    })
    .await;
    world.cloud.inject(Fault::new("/v2/snapshots/*", status(503)).method("DELETE")).await.unwrap();
    world.order("undoes", json!({ "kind": "rollback", "rollbackOf": { "name": "done" } })).await;
    world.run(&["delete", "saga", "deleted", "--wait=false"]).await;
    world.reaches("saga/undoes", "Succeeded", "Unknown RollingBack").await;
    world.reaches("saga/deleted", "Succeeded", "Unknown Deleted").await;
}

/// Brings objects into these states, and kills the operator.
async fn every_answer(world: &mut World) {
    for id in RECORDS.map(|(_, id)| id).into_iter().chain([ACTED, DELETED]) {
        world.cloud.put("droplets", droplet(id, &format!("web-{id}"))).await.unwrap();
    }
    // Lists are read only on request, so that no second one confirms a change.
    world.start_operator(&["--sync-schedule", "1h", "--inventory-max-age", "3h"]);
    every_answer_about_sagas(world).await;
    every_answer_about_drifts(world).await;
    world.kill_operator();
    world.cloud.clear_faults().await.unwrap();
    let namespace = world.namespace.name();
    world.run(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", namespace]).await;
    record(world, "pending", json!({ "size_slug": LIVE })).await;
}

#[tokio::test]
async fn answers_and_refusals_are_continued_and_kept() {
    let (world, before) = replayed("answers", every_answer).await;
    world.reaches("pr/pending", "InSync", "True NoDrift").await;
    world.reaches("pr/unconfirmed", "InSync", "False DriftOpen").await;
    world.reaches("pr/refused", "InSync", "False DriftOpen").await;
    world.reaches("pr/data", "Ready", "False ResourceNotFound").await;
    world.saga_reaches("undoes", "Succeeded").await;
    world.run(&["wait", "--for=delete", "saga/deleted", "--timeout=30s"]).await;
    let in_flight = ["pending", "unconfirmed", "refused", "data", "undoes", "deleted"];
    let is_in_flight = |name: &str| in_flight.iter().any(|it| name.contains(it));
    let kept = |lines: &Lines| {
        let mut lines = lines.clone();
        lines.retain(|name, _| !is_in_flight(name));
        lines
    };
    assert_eq!(kept(&lines(&world).await), kept(&before));
    let requests = world.cloud.requests().await.unwrap();
    // Undone: the snapshots of two sagas.
    assert_eq!(requests.mutating(), 2, "{requests:?}");

    // The person's next answer still counts.
    let waiting = drift_of(&world, "waiting").await;
    annotate(&world, &waiting, &[ACCEPT]).await;
    world.reaches(&waiting, "Resolved", "True Accepted").await;
}

/// The reasons of stored objects, each with its object.
fn stored_reasons() -> BTreeSet<(String, &'static str)> {
    let mut found = BTreeSet::new();
    for world in ["answers", "drifts", "sagas", "trouble"] {
        let stored: Stored = serde_saphyr::from_str(&std::fs::read_to_string(Stored::file(world)).unwrap()).unwrap();
        for (plural, object) in PLURALS.into_iter().zip(["record", "drift", "saga"]) {
            for status in stored.objects[plural].iter().map(|object| &object["status"]) {
                let conditions = status["conditions"].as_array().into_iter().flatten();
                let holders = conditions.chain([status, &status["stuckBy"], &status["rolledBackBy"]]);
                found.extend(holders.map(|holder| (text(holder, "reason").to_owned(), object)));
            }
        }
    }
    found
}

#[test]
fn each_reason_of_each_object_is_stored_in_a_world() {
    let stored = stored_reasons();
    let all = REASONS.iter().flat_map(|reason| reason.on.iter().map(|object| (reason.name, *object)));
    let missing: Vec<_> = all.filter(|(name, object)| !stored.contains(&((*name).to_owned(), *object))).collect();
    assert_eq!(missing, NEVER_STORED);
}
