//! Canaries in every string of every kind's document, end to end: no object that the operator writes contains one.

use std::collections::BTreeSet;

use arcadia_operator::digitalocean::Kind;
use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use crate::{
    examples::{full_document, is_credential},
    places::{id, places, put, put_parents},
    world::{World, eventually},
};

const CANARY: &str = "CANARY";

/// The forms of credentials that people put anywhere; `{}` is the secret.
const LOOKS: [&str; 4] = [
    "https://user:{}@example.com/path",
    "serve --password={} --port=80",
    "curl -H 'Authorization: Bearer {}' localhost",
    "Server=db;Password={};",
];

/// The places of the canaries of a pass.
#[derive(Clone, Copy, PartialEq)]
enum Canaries {
    /// In every string, in turn in each form that looks like a credential.
    Everywhere,
    /// Bare, at the paths of credentials.
    AtCredentials,
}

/// Replaces strings by credentials, and counts them.
fn plant(value: &mut Value, path: &mut Vec<String>, canaries: Canaries, count: &mut usize) {
    match value {
        Value::String(text) => {
            let planted = match canaries {
                Canaries::Everywhere => {
                    let look = LOOKS[*count % LOOKS.len()].replace("{}", CANARY);
                    Some(format!("{look}/{text}"))
                }
                Canaries::AtCredentials => is_credential(path).then(|| CANARY.to_owned()),
            };
            if let Some(planted) = planted {
                *text = planted;
                *count += 1;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, path, canaries, count)),
        Value::Object(entries) => {
            // A saga waits for the states that it knows.
            for (key, value) in
                entries.iter_mut().filter(|(key, _)| !["phase", "state", "status"].contains(&key.as_str()))
            {
                path.push(key.clone());
                plant(value, path, canaries, count);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Ends what the resource of an example is busy with: a saga waits for that.
fn calm(kind: &str, document: &mut Value) {
    let rest = match kind {
        "Database" => json!({ "status": "online" }),
        "LoadBalancer" => json!({ "status": "active" }),
        "KubernetesCluster" => json!({ "status": { "state": "running" } }),
        "Firewall" => json!({ "status": "succeeded", "pending_changes": [] }),
        _ => json!({}),
    };
    for (key, value) in rest.as_object().unwrap() {
        document[key] = value.clone();
    }
}

/// A world in which each kind has records with canaries and has drifts of them, for each pass.
async fn planted(test: &str, passes: &[Canaries], schedule: &str) -> World {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator(test, limits).await;
    let places = places();
    put_parents(&world.cloud, &places).await;
    let mut records = Vec::new();
    for (pass, &canaries) in passes.iter().enumerate() {
        for (number, kind) in Kind::all().enumerate() {
            let place = &places[kind.name()];
            let mut original = full_document(&place.get.path, &place.get.key);
            calm(kind.name(), &mut original);
            let mut planted = original.clone();
            let mut count = 0;
            plant(&mut planted, &mut Vec::new(), canaries, &mut count);
            if count == 0 {
                continue;
            }
            // Both the recorded side and the live side contain them.
            for (side, recorded, live) in [("live", &original, &planted), ("recorded", &planted, &original)] {
                let id = id(kind, 1_000 * pass + 2 * number + usize::from(side == "live"));
                put(&world.cloud, place, &id, live).await;
                let desired: serde_json::Map<String, Value> = recorded
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(key, _)| **key != place.id.field)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                records.push(json!({
                    "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
                    "metadata": { "name": format!("{side}-{pass}-{}", kind.name().to_lowercase()) },
                    "spec": { "resource": { "kind": kind.name(), "id": id }, "desired": desired },
                }));
            }
        }
    }
    let names =
        |records: &[Value]| records.iter().map(|it| it["metadata"]["name"].to_string()).collect::<BTreeSet<_>>();
    // A field of which each part is a credential that the API never returns has no drift.
    let recorded = names(&records);
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    // Without a lease: on a loaded machine the large documents may delay its renewal.
    world.start_operator(&["--sync-schedule", schedule, "--leader-elect=false"]);

    eventually("a verdict about every record, with drifts", || async {
        let drifts = world.list("drifts").await;
        let drifting: BTreeSet<_> =
            drifts.iter().map(|drift| drift["spec"]["resourceRef"]["name"].to_string()).collect();
        let missing: Vec<_> = recorded.difference(&drifting).filter(|name| !is_unreadable(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
    world
}

#[tokio::test]
async fn the_operator_writes_no_credential_of_any_document() {
    let world = planted("canaries", &[Canaries::Everywhere, Canaries::AtCredentials], "2s").await;
    is_clean(&world).await;
    let printed = world.run(&["get", "drifts", "-o", "json"]).await;
    assert!(printed.contains("-1-app") && printed.contains("(secret, sha256:"), "a change of a credential is visible");
}

#[tokio::test]
#[ignore = "takes minutes: cargo xtask test --thorough"]
async fn no_revert_writes_a_credential() {
    let world = planted("canary-reverts", &[Canaries::Everywhere], "30s").await;
    // Plans.
    decide(&world, "plan").await;
    let planned = world.list("drifts").await.iter().filter(|drift| drift["status"]["plan"].is_object()).count();
    assert!(planned >= 60, "{planned} plans");
    is_clean(&world).await;
    // The cloud refuses each change, and repeats what it was sent.
    let message = format!("invalid value https://user:{CANARY}@example.com/, and token dop_v1_{CANARY}");
    for method in ["PUT", "PATCH", "POST", "DELETE"] {
        let refusal = Effect::Refuse { status: 422, message: message.clone() };
        world.cloud.inject(Fault::new("*", refusal).method(method)).await.unwrap();
    }
    annotate(&world, "allow-data-loss").await;
    let ends = |phase: &'static str| {
        let sagas = world.list("sagas");
        async move { sagas.await.iter().filter(|saga| saga["status"]["phase"] == phase).count() }
    };
    reach(40, "reverts that are rolled back", || ends("RolledBack")).await;
    end(&world).await;
    is_clean(&world).await;
    // The cloud makes the changes that it can, and they are undone.
    world.cloud.clear_faults().await.unwrap();
    annotate(&world, "allow-data-loss").await;
    reach(20, "reverts that succeed", || ends("Succeeded")).await;
    // Those that wait, for a value that the cloud writes in another way, are cancelled and undone.
    end(&world).await;
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

/// Waits until there are that many.
async fn reach<F: Future<Output = usize>>(count: usize, what: &str, number: impl Fn() -> F) {
    eventually(what, || async {
        let is = number().await;
        if is >= count { Ok(()) } else { Err(is) }
    })
    .await;
}

/// Takes back the decisions that are not carried out, and cancels the sagas that run.
async fn end(world: &World) {
    eventually("the other reverts to end", || async {
        world.run(&["annotate", "drifts", "--all", "arcadia.cloud/revert-"]).await;
        cancel(world).await;
        unsettled(world).await
    })
    .await;
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
    // Plans of all are requested, and most reverts are refused.
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

/// Returns true if all credentials of the kind are in fields that are not compared at all.
fn is_unreadable(name: &str) -> bool {
    name.contains("-1-database")
}
