//! Reserved addresses, domain records and tags: what may be done to them, and what they say afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use common::{Answer, Client, demo, start};
use digitalocean_simulator::{Effect, Fault, Options};
use serde_json::{Value, json};

/// Reserves an address in New York, where most of the demo's droplets are.
async fn reserved(client: &Client) -> String {
    let reserved = client.post("/v2/reserved_ips", json!({"region": "nyc3"})).await;
    assert_eq!((reserved.status.as_u16(), &reserved.json()["links"]), (202, &json!({})));
    format!("/v2/reserved_ips/{}", reserved.json()["reserved_ip"]["ip"].as_str().unwrap())
}

async fn act(client: &Client, at: &str, action: Value) -> Answer {
    client.post(&format!("{at}/actions"), action).await
}

fn message(answer: &Answer) -> String {
    assert_eq!(answer.status, 422, "{}", answer.json());
    answer.json()["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_address_is_assigned_moved_and_unassigned() {
    let (_simulator, client) = start(demo()).await;
    let at = reserved(&client).await;
    let droplet = async || client.get(&at).await.json()["reserved_ip"]["droplet"]["id"].clone();
    assert_eq!(droplet().await, Value::Null);
    for id in [3_164_444, 3_164_445] {
        let started = act(&client, &at, json!({"type": "assign", "droplet_id": id})).await;
        assert_eq!((started.status.as_u16(), &started.json()["action"]["type"]), (201, &json!("assign_ip")));
        assert_eq!(client.finish(&started).await, "completed");
        assert_eq!(droplet().await, id);
    }
    let started = act(&client, &at, json!({"type": "unassign"})).await;
    assert_eq!(client.finish(&started).await, "completed");
    assert_eq!(droplet().await, Value::Null);
    let actions = client.get(&format!("{at}/actions")).await.json();
    assert_eq!((&actions["actions"][0]["type"], &actions["meta"]["total"]), (&json!("unassign_ip"), &json!(3)));
    assert_eq!(client.delete(&at).await.status, 204);
    assert_eq!(client.delete(&at).await.status, 404);
}

#[tokio::test]
async fn an_address_is_assigned_only_where_it_can_be() {
    let (_simulator, client) = start(demo()).await;
    let at = reserved(&client).await;
    assert!(message(&act(&client, &at, json!({"type": "unassign"})).await).contains("not assigned"));
    let elsewhere = act(&client, &at, json!({"type": "assign", "droplet_id": 3_164_447})).await;
    assert!(message(&elsewhere).contains("same region"));
    message(&act(&client, &at, json!({"type": "dance"})).await);
    assert_eq!(act(&client, &at, json!({"type": "assign", "droplet_id": 1})).await.status, 404);
    let nowhere = json!({"type": "assign", "droplet_id": 3_164_444});
    assert_eq!(act(&client, "/v2/reserved_ips/192.0.2.1", nowhere).await.status, 404);
    message(&client.post("/v2/reserved_ips", json!({"region": "moon1"})).await);
    assert_eq!(client.post("/v2/reserved_ips", json!({"droplet_id": 1})).await.status, 404);
    assert_eq!(client.get("/v2/reserved_ips").await.json()["meta"]["total"], 1, "what is refused reserves nothing");
}

#[tokio::test]
async fn an_address_and_its_droplet_do_one_thing_at_a_time() {
    let (_simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    let at = reserved(&client).await;
    let assign = json!({"type": "assign", "droplet_id": 3_164_444});
    let started = act(&client, &at, assign.clone()).await;
    assert_eq!(client.get(&at).await.json()["reserved_ip"]["locked"], true);
    assert_eq!(message(&act(&client, &at, assign).await), "The reserved IP already has a pending event.");
    assert_eq!(message(&client.delete(&at).await), "The reserved IP already has a pending event.");
    let pending = "Droplet already has a pending event.";
    assert_eq!(message(&act(&client, "/v2/droplets/3164444", json!({"type": "reboot"})).await), pending);
    assert_eq!(message(&client.post("/v2/reserved_ips", json!({"droplet_id": 3_164_444})).await), pending);
    assert_eq!(client.finish(&started).await, "completed");
    let assigned = client.get(&at).await.json()["reserved_ip"].clone();
    assert_eq!((&assigned["locked"], &assigned["droplet"]["locked"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn an_assignment_that_fails_leaves_the_address_free_and_unlocked() {
    let (simulator, client) = start(demo()).await;
    let at = reserved(&client).await;
    simulator.control().inject(Fault::new("/v2/*/actions", Effect::FailAction).times(1)).await.unwrap();
    let started = act(&client, &at, json!({"type": "assign", "droplet_id": 3_164_444})).await;
    assert_eq!(client.finish(&started).await, "errored");
    let address = client.get(&at).await.json()["reserved_ip"].clone();
    assert_eq!((&address["locked"], &address["droplet"]), (&json!(false), &Value::Null));
}
