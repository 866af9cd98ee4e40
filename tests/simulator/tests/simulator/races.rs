//! Concurrent writes, lists that lag behind, and messages of refusals.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use crate::common::{demo, settle, start};

const FIREWALL: &str = "fb6045f1-cf1d-4ca3-bfac-18832663025b";

#[tokio::test]
async fn a_colleague_writes_between_a_get_and_a_put_once() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let at = format!("/v2/firewalls/{FIREWALL}");
    control
        .change_before_next_put("firewalls", FIREWALL, json!({"droplet_ids": [3_164_444, 3_164_446]}))
        .await
        .unwrap();
    let read = client.get(&at).await.json()["firewall"].clone();
    assert_eq!(read["droplet_ids"], json!([3_164_444, 3_164_445]), "nobody has written yet");
    let rules = json!([{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["10.0.0.0/8"]}}]);
    let body = json!({"name": "web", "droplet_ids": read["droplet_ids"], "inbound_rules": rules});
    assert_eq!(client.call("PUT", &at, Some(&body)).await.status, 200);
    let droplets = async || client.get(&at).await.json()["firewall"]["droplet_ids"].clone();
    assert_eq!(droplets().await, read["droplet_ids"], "the colleague's droplet is lost");

    // Calls of members lose nothing.
    control.change_before_next_put("firewalls", FIREWALL, json!({"droplet_ids": [3_164_444]})).await.unwrap();
    client.post(&format!("{at}/droplets"), json!({"droplet_ids": [3_164_446]})).await;
    assert_eq!(droplets().await, json!([3_164_444, 3_164_446]));
    client.delete("/v2/tags/ml").await;
    client.post(&format!("{at}/droplets"), json!({"droplet_ids": [3_164_445]})).await;
    assert_eq!(droplets().await, json!([3_164_444, 3_164_446, 3_164_445]), "once is once");

    let missing = control.change_before_next_put("firewalls", "none", json!({})).await;
    assert!(missing.is_err());
}

#[tokio::test]
async fn a_colleague_writes_after_a_put() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let made = client.post("/v2/projects", json!({"name": "p", "purpose": "IoT"})).await.json()["project"].clone();
    let (id, at) = (made["id"].as_str().unwrap(), format!("/v2/projects/{}", made["id"].as_str().unwrap()));
    control.change_after_next_put("projects", id, json!({"description": "theirs"})).await.unwrap();
    let answer = client.call("PATCH", &at, Some(&json!({"description": "ours"}))).await.json();
    assert_eq!(answer["project"]["description"], "ours");
    assert_eq!(client.get(&at).await.json()["project"]["description"], "theirs");
    client.call("PATCH", &at, Some(&json!({"description": "ours"}))).await;
    assert_eq!(client.get(&at).await.json()["project"]["description"], "ours");
}

#[tokio::test]
async fn a_list_shows_a_change_only_after_a_while() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let first = client.get("/v2/firewalls").await.json();
    control.inject(Fault::new("/v2/firewalls", Effect::LagChanges { seconds: 1 })).await.unwrap();
    assert_eq!(client.get("/v2/firewalls").await.json(), first);
    for name in ["one", "two"] {
        control.change("firewalls", FIREWALL, json!({"name": name})).await.unwrap();
    }
    let listed = async || client.get("/v2/firewalls").await.json()["firewalls"][0]["name"].clone();
    let one = client.get(&format!("/v2/firewalls/{FIREWALL}")).await.json();
    assert_eq!((&one["firewall"]["name"], listed().await), (&json!("two"), json!("web")));
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(listed().await, "two");
    control.change("firewalls", FIREWALL, json!({"name": "three"})).await.unwrap();
    assert_eq!(listed().await, "two");
    control.clear_faults().await.unwrap();
    assert_eq!(listed().await, "three");
}

#[tokio::test]
async fn a_refusal_has_the_injected_text() {
    let (simulator, client) = start(demo()).await;
    let message = "Block Storage resizing is temporarily disabled for this Droplet";
    let refuse = Effect::Refuse { status: 422, message: message.to_owned() };
    let at = "/v2/volumes/506f78a4-e098-11e5-ad9f-000f53306ae1/actions";
    simulator.control().inject(Fault::new(at, refuse).action("resize").times(1)).await.unwrap();
    let resize = json!({"type": "resize", "size_gigabytes": 300});
    let refused = client.post(at, resize.clone()).await;
    let body = refused.json();
    assert_eq!((refused.status.as_u16(), &body["message"]), (422, &json!(message)));
    assert_eq!(body["id"], "unprocessable_entity");
    assert_eq!(client.post(at, resize).await.status, 202);
}

#[tokio::test]
async fn firewalls_accept_one_of_two_spellings_of_all_ports() {
    let (simulator, client) = start(demo()).await;
    let at = format!("/v2/firewalls/{FIREWALL}");
    let put = async |protocol: &str, ports: Value| {
        let mut rule = json!({"protocol": protocol, "ports": ports, "sources": {"addresses": ["10.0.0.0/8"]}});
        if rule["ports"].is_null() {
            rule.as_object_mut().unwrap().remove("ports");
        }
        let answer = client.call("PUT", &at, Some(&json!({"name": "web", "inbound_rules": [rule]}))).await;
        settle().await;
        (answer.status.as_u16(), answer.json()["firewall"]["inbound_rules"][0]["ports"].clone())
    };
    assert_eq!(put("tcp", json!("all")).await, (200, json!("0")));
    assert_eq!(put("tcp", json!("0")).await.0, 422);
    assert_eq!(put("icmp", Value::Null).await, (200, json!("0")));
    assert_eq!(put("tcp", Value::Null).await.0, 422);
    let other = Effect::RefusePorts { spelling: "all".to_owned() };
    simulator.control().inject(Fault::new("/v2/firewalls/*", other)).await.unwrap();
    assert_eq!(put("udp", json!("0")).await, (200, json!("0")));
    assert_eq!(put("udp", json!("all")).await.0, 422);
    assert_eq!(put("icmp", json!("0")).await, (200, json!("0")));
}

/// A token that cannot read the members of a firewall removes them by writing back its document.
#[tokio::test]
async fn writing_back_a_document_loses_fields_hidden_from_the_token() {
    let (simulator, client) = start(demo()).await;
    let at = format!("/v2/firewalls/{FIREWALL}");
    let without = |scope: &str| Fault::new("/v2/firewalls/*", Effect::WithoutScopes { scopes: vec![scope.to_owned()] });
    let control = simulator.control();
    control.inject(without("droplet:read")).await.unwrap();
    let mut body = client.get(&at).await.json()["firewall"].clone();
    assert_eq!(body.get("droplet_ids"), None);
    for field in ["id", "status", "created_at", "pending_changes"] {
        body.as_object_mut().unwrap().remove(field);
    }
    body["outbound_rules"][0]["ports"] = json!("all");
    assert_eq!(client.call("PUT", &at, Some(&body)).await.status, 200);
    control.clear_faults().await.unwrap();
    assert_eq!(client.get(&at).await.json()["firewall"]["droplet_ids"], json!([]));
    control.inject(without("firewall:update")).await.unwrap();
    let refused = client.call("PUT", &at, Some(&body)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["message"]),
        (403, &json!("You are not authorized to perform this operation"))
    );
    assert_eq!(client.get(&at).await.status, 200);
}
