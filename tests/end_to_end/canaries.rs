//! Canaries in every string of every kind's document, end to end: no object that the operator writes contains one.

use std::collections::BTreeSet;

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use crate::{
    examples::full_document,
    places::{id, places, put, put_parents},
    world::{World, eventually},
};

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
        let original = full_document(&place.get.path, &place.get.key);
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

    is_clean(&world).await;
    let printed = world.run(&["get", "drifts", "-o", "json"]).await;
    assert!(printed.contains("(secret, sha256:"), "a change of a credential is still visible");

    // Plans.
    decide(&world, "plan").await;
    let planned = world.list("drifts").await.iter().filter(|drift| drift["status"]["plan"].is_object()).count();
    assert!(planned >= 100, "{planned} plans");
    is_clean(&world).await;
    // The cloud refuses each change, and repeats what it was sent.
    let message = format!("invalid value https://user:{CANARY}@example.com/, and token dop_v1_{CANARY}");
    for method in ["PUT", "PATCH", "POST", "DELETE"] {
        let refusal = Effect::Refuse { status: 422, message: message.clone() };
        world.cloud.inject(Fault::new("*", refusal).method(method)).await.unwrap();
    }
    decide(&world, "allow-data-loss").await;
    let ends = |phase: &'static str| {
        let sagas = world.list("sagas");
        async move { sagas.await.iter().filter(|saga| saga["status"]["phase"] == phase).count() }
    };
    let refused = ends("RolledBack").await;
    assert!(refused >= 40, "{refused} sagas were rolled back");
    is_clean(&world).await;
    // The cloud makes the changes that it can, and they are undone.
    world.cloud.clear_faults().await.unwrap();
    annotate(&world, "allow-data-loss").await;
    eventually("reverts that succeed", || async {
        let succeeded = ends("Succeeded").await;
        if succeeded >= 20 { Ok(()) } else { Err(succeeded) }
    })
    .await;
    // Those that wait, for a value that the cloud writes in another way, are cancelled and undone.
    eventually("the other reverts to end", || async {
        cancel(&world).await;
        unsettled(&world).await
    })
    .await;
    is_clean(&world).await;
    let done = world.list("sagas").await;
    let undoing = done.iter().filter(|saga| saga["status"]["phase"] == "Succeeded").map(|saga| {
        let name = saga["metadata"]["name"].as_str().unwrap();
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": format!("undo-{name}") },
            "spec": { "kind": "rollback", "rollbackOf": { "name": name } },
        })
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": undoing.collect::<Vec<_>>() });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    settled(&world).await;
    let stuck = ends("Stuck").await;
    assert!(stuck >= 1, "a value that is not stored cannot be restored");
    is_clean(&world).await;
}

/// Decides each open drift, and waits until all decisions are carried out, refused or have failed.
async fn decide(world: &World, decision: &str) {
    annotate(world, decision).await;
    settled(world).await;
}

/// Cancels each saga that has not ended.
async fn cancel(world: &World) {
    for saga in world.list("sagas").await.iter().filter(|saga| !is_over(saga)) {
        let name = saga["metadata"]["name"].as_str().unwrap();
        world.run(&["patch", "saga", name, "--type=merge", "-p", r#"{"spec":{"cancelRequested":true}}"#]).await;
    }
}

fn is_over(saga: &Value) -> bool {
    ["Succeeded", "RolledBack", "Failed", "Stuck"].iter().any(|phase| saga["status"]["phase"] == *phase)
}

async fn annotate(world: &World, decision: &str) {
    let drifts = world.list("drifts").await;
    // The plans of all are asked for, and those of most are refused.
    let is_possible = |drift: &&Value| {
        decision == "plan" || !["NotRevertible", "NotOurs"].iter().any(|class| drift["spec"]["revert"] == *class)
    };
    let open = drifts.iter().filter(|drift| drift["status"]["phase"] == "Open").filter(is_possible);
    let names: Vec<_> = open.map(|drift| format!("drift/{}", drift["metadata"]["name"].as_str().unwrap())).collect();
    let decision = format!("arcadia.cloud/revert={decision}");
    println!("{} drifts: {decision}", names.len());
    for names in names.chunks(200) {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        world.run(&[&["annotate"], names.as_slice(), &[&decision]].concat()).await;
    }
}

/// Waits until no decision and no saga is left to be carried out, unless it is Stuck.
async fn settled(world: &World) {
    eventually("the decisions to be carried out", || unsettled(world)).await;
}

/// Fails with the decisions and sagas that are left.
async fn unsettled(world: &World) -> Result<(), String> {
    let is_decided = |drift: &Value| drift["metadata"]["annotations"].get("arcadia.cloud/revert").is_some();
    let drifts = world.list("drifts").await;
    let waiting: Vec<_> = drifts
        .iter()
        .filter(|drift| drift["status"]["phase"] == "Open" && is_decided(drift))
        .filter(|drift| drift["status"]["reason"] != "RevertStuck")
        .map(|drift| format!("{}: {}", drift["metadata"]["name"], drift["status"]["conditions"]))
        .collect();
    let sagas = world.list("sagas").await;
    let running: Vec<_> = sagas.iter().filter(|saga| !is_over(saga)).map(|saga| saga["status"].to_string()).collect();
    let few: Vec<_> = waiting.iter().chain(&running).take(5).collect();
    if few.is_empty() { Ok(()) } else { Err(format!("{} and {}: {few:#?}", waiting.len(), running.len())) }
}

/// Fails if anything that the operator writes contains a canary. The specs of the records are what people wrote.
async fn is_clean(world: &World) {
    let mut printed = world.log();
    printed += &world.run(&["get", "drifts,sagas,events,leases", "-o", "json", "--show-managed-fields"]).await;
    printed.extend(world.list("pr").await.iter().map(|record| format!("{}{}", record["metadata"], record["status"])));
    printed += &world.run(&["get", "drifts,pr,sagas,events", "-o", "wide"]).await;
    printed += &world.operator.as_ref().unwrap().metrics().unwrap_or_default();
    let found = printed.find(CANARY).map(|at| printed.get(at.saturating_sub(300)..at + 100));
    assert!(found.is_none(), "{found:?}");
}
