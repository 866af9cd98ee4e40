//! Canaries in every string of every kind's document, end to end: no object that the operator writes contains one.

use std::collections::BTreeSet;

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::RateLimits;
use serde_json::{Value, json};

use crate::{
    places::{id, places, put, put_parents},
    world::{World, eventually},
};

#[path = "../../src/digitalocean/examples.rs"]
#[allow(dead_code, reason = "the tests of the room need more of it")]
mod examples;

const CANARY: &str = "CANARY";

/// Replaces each string by a credential, except the id.
fn plant(value: &mut Value) {
    match value {
        Value::String(text) => *text = format!("https://user:{CANARY}@example.com/{text}"),
        Value::Array(items) => items.iter_mut().for_each(plant),
        Value::Object(entries) => entries.values_mut().for_each(plant),
        _ => {}
    }
}

#[tokio::test]
async fn the_operator_writes_no_credential_of_any_document() {
    let limits = RateLimits { per_minute: 1_000_000, per_hour: 10_000_000, ..RateLimits::default() };
    let mut world = World::without_operator("canaries", limits).await;
    let places = places();
    put_parents(&world.cloud, &places).await;
    let mut records = Vec::new();
    for (number, kind) in Kind::all().enumerate() {
        let place = &places[kind.name()];
        let original = examples::full_document(&place.get.path, &place.get.key);
        let mut planted = original.clone();
        planted.as_object_mut().unwrap().values_mut().for_each(plant);
        // Both the recorded side and the live side contain them.
        for (side, recorded, live) in [("live", &original, &planted), ("recorded", &planted, &original)] {
            let id = id(kind, 2 * number + usize::from(side == "live"));
            put(&world.cloud, place, &id, live).await;
            let is_compared = |key: &String| *key != place.id.field && !key.ends_with("_deployment");
            let desired: serde_json::Map<String, Value> = recorded
                .as_object()
                .unwrap()
                .iter()
                .filter(|(key, _)| is_compared(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            records.push(json!({
                "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
                "metadata": { "name": format!("{side}-{}", kind.name().to_lowercase()) },
                "spec": { "resource": { "kind": kind.name(), "id": id }, "desired": desired },
            }));
        }
    }
    let count = records.len();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    world.start_operator(&["--sync-schedule", "2s"]);

    let drifting = || async {
        let drifts = world.list("drifts").await;
        drifts.iter().map(|drift| drift["spec"]["resourceRef"]["name"].to_string()).collect::<BTreeSet<_>>()
    };
    eventually("drifts of every record", || async {
        let drifting = drifting().await;
        if drifting.len() == count { Ok(()) } else { Err(drifting) }
    })
    .await;

    let mut printed = world.log();
    printed += &world.run(&["get", "drifts,sagas,events", "-o", "json"]).await;
    printed.extend(world.list("pr").await.iter().map(|record| record["status"].to_string()));
    printed += &world.run(&["get", "drifts,pr", "-o", "wide"]).await;
    printed += &world.operator.as_ref().unwrap().metrics().unwrap_or_default();
    let found = printed.find(CANARY).map(|at| printed.get(at.saturating_sub(300)..at + 100));
    assert!(found.is_none(), "{found:?}");
    assert!(printed.contains("(secret, sha256:"), "a change of a credential is still visible");
}
