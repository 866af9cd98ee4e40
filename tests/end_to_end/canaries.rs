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

/// The forms of credentials that people put anywhere; `{}` is the secret.
const LOOKS: [&str; 4] = [
    "https://user:{}@example.com/path",
    "serve --password={} --port=80",
    "curl -H 'Authorization: Bearer {}' localhost",
    "Server=db;Password={};",
];

/// Where the canaries of a pass are.
#[derive(Clone, Copy, PartialEq)]
enum Canaries {
    /// In every string, in turn in each form that looks like a credential.
    Everywhere,
    /// Bare, at the paths of credentials.
    AtCredentials,
}

/// Returns true if the value at a path is a credential, whatever it looks like.
fn is_credential(path: &[String]) -> bool {
    let has = |name: &str| path.iter().any(|key| key.contains(name));
    match path.last().map_or("", String::as_str) {
        "password" | "api_key" | "token" | "registry_credentials" | "access_cert" | "user_data" => true,
        // At the top level it is the id of a Spaces key.
        "access_key" => path.len() > 1,
        "uri" => has("connection"),
        "value" => has("envs"),
        "url" => has("slack"),
        _ => false,
    }
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
            for (key, value) in entries {
                path.push(key.clone());
                plant(value, path, canaries, count);
                path.pop();
            }
        }
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
    for (pass, canaries) in [Canaries::Everywhere, Canaries::AtCredentials].into_iter().enumerate() {
        for (number, kind) in Kind::all().enumerate() {
            let place = &places[kind.name()];
            let original = examples::full_document(&place.get.path, &place.get.key);
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
    assert!(recorded.iter().any(|name| name.contains("-1-app")), "{recorded:?}");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    // Without a lease: on a loaded machine so many large documents may delay its renewal.
    world.start_operator(&["--sync-schedule", "2s", "--leader-elect=false"]);

    eventually("a verdict about every record, with drifts", || async {
        let drifts = world.list("drifts").await;
        let drifting: BTreeSet<_> =
            drifts.iter().map(|drift| drift["spec"]["resourceRef"]["name"].to_string()).collect();
        let missing: Vec<_> = recorded.difference(&drifting).filter(|name| !is_unreadable(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
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

/// Returns true if all credentials of the kind are in fields that are not compared at all.
fn is_unreadable(name: &str) -> bool {
    name.contains("-1-database")
}
