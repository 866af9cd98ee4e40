//! Lists and single documents of a resource differ as in the API, and lists can show old values.

use digitalocean_simulator::{Control, Effect, Fault, Simulator};
use serde_json::{Value, json};

use crate::common::{Answer, Client, demo, start};

const DB_1: &str = "3164446";
const BACKEND: &str = "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";
const BALANCER: &str = "4de7ac8b-495b-4884-9a69-1050c6793cd6";
const VOLUME: &str = "506f78a4-e098-11e5-ad9f-000f53306ae1";

async fn account() -> (Simulator, Client, Control) {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    (simulator, client, control)
}

/// The only row of a list, and the single document of the same resource.
async fn both(client: &Client, list: &str, id: &str) -> (Value, Value) {
    let first = |answer: Answer| {
        let body = answer.json();
        let (_, value) =
            body.as_object().unwrap().iter().find(|(key, _)| !["links", "meta"].contains(&key.as_str())).unwrap();
        value.clone()
    };
    let rows = first(client.get(&format!("/v2/{list}")).await);
    let one = first(client.get(&format!("/v2/{list}/{id}")).await);
    let row = rows.as_array().unwrap().iter().find(|row| row.as_object().unwrap().values().any(|value| value == id));
    (row.unwrap().clone(), one)
}

fn has(document: &Value, fields: &[&str]) -> Vec<bool> {
    fields.iter().map(|field| document.get(field).is_some()).collect()
}

#[tokio::test]
async fn a_databases_rules_are_in_no_document_and_some_fields_are_in_no_list() {
    let (_simulator, client, control) = account().await;
    let rules = json!({"rules": [{"type": "ip_addr", "value": "192.0.2.1"}, {"type": "tag", "value": "web"}]});
    let at = format!("/v2/databases/{BACKEND}/firewall");
    assert_eq!(client.call("PUT", &at, Some(&rules)).await.status, 204);
    let (row, one) = both(&client, "databases", BACKEND).await;
    let fields = ["rules", "semantic_version", "do_settings", "metrics_endpoints", "engine"];
    assert_eq!(has(&row, &fields), [false, false, false, false, true]);
    assert_eq!(has(&one, &fields), [false, true, true, true, true]);

    let first = client.get(&at).await.json()["rules"].clone();
    assert_eq!((&first[0]["value"], &first[0]["cluster_uuid"]), (&json!("192.0.2.1"), &json!(BACKEND)));
    assert_eq!(client.call("PUT", &at, Some(&json!({"rules": [{"type": "tag", "value": "web"}]}))).await.status, 204);
    assert_eq!(client.get(&at).await.json()["rules"], json!([first[1]]), "an equal spelling is the same");
    control.change("databases", BACKEND, json!({"rules": [{"type": "ip_addr", "value": "0.0.0.0/0"}]})).await.unwrap();
    let open = client.get(&at).await.json();
    assert_eq!(open["rules"][0]["value"], "0.0.0.0/0");
    assert!(open["rules"][0]["uuid"].is_string(), "{open}");
    assert_eq!(client.get("/v2/databases/none/firewall").await.status, 404);
}

#[tokio::test]
async fn a_provider_that_replaces_an_engine_brings_its_version() {
    let (_simulator, client, control) = account().await;
    let redis = control.put("databases", json!({"name": "cache", "engine": "redis"})).await.unwrap();
    assert_eq!((&redis["version"], &redis["version_end_of_life"]), (&json!("7"), &json!("2025-06-30T00:00:00Z")));
    let id = redis["id"].as_str().unwrap();
    control.change("databases", id, json!({"engine": "valkey"})).await.unwrap();
    let valkey = client.get(&format!("/v2/databases/{id}")).await.json()["database"].clone();
    assert_eq!(
        (&valkey["engine"], &valkey["version"], &valkey["semantic_version"]),
        (&json!("valkey"), &json!("8"), &json!("8.0.1"))
    );
    assert_eq!(valkey.get("version_end_of_life"), None);
    let options = client.get("/v2/databases/options").await.json();
    assert_eq!(options["version_availability"]["redis"][0]["end_of_life"], "2025-06-30T00:00:00Z");

    let events = format!("databases/{id}/events");
    control.put(&events, json!({"event_type": "cluster_maintenance_perform"})).await.unwrap();
    let listed = client.get(&format!("/v2/{events}")).await.json();
    assert_eq!(listed["events"][0]["event_type"], "cluster_maintenance_perform");
    let autoscale = format!("/v2/databases/{id}/autoscale");
    assert_eq!(client.get(&autoscale).await.json()["autoscale"]["storage"]["enabled"], false);
    let wanted = json!({"storage": {"enabled": true, "threshold_percent": 80, "increment_gib": 20}});
    assert_eq!(client.call("PUT", &autoscale, Some(&wanted)).await.status, 204);
    assert_eq!(client.get(&autoscale).await.json()["autoscale"], wanted);
}

#[tokio::test]
async fn a_gateway_and_a_registry_are_complete_only_in_list_and_document_together() {
    let (_simulator, client, control) = account().await;
    let gateway =
        json!({"name": "out", "vpcs": [{"vpc_uuid": "0eb1752f-807b-4562-a077-8018e13ab1fb", "default_gateway": true}]});
    let id = control.put("vpc_nat_gateways", gateway).await.unwrap()["id"].as_str().unwrap().to_owned();
    let (row, one) = both(&client, "vpc_nat_gateways", &id).await;
    assert_eq!((row.get("project_id").is_some(), one.get("project_id")), (true, None));
    assert_eq!((row["vpcs"][0].get("default_gateway"), &one["vpcs"][0]["default_gateway"]), (None, &json!(true)));
    assert_eq!(row["vpcs"][0]["gateway_ip"], one["vpcs"][0]["gateway_ip"]);

    control.put("registries", json!({"name": "images"})).await.unwrap();
    let (row, one) = both(&client, "registries", "images").await;
    assert_eq!((&row["subscription"]["tier"]["slug"], one.get("subscription")), (&json!("basic"), None));
}

#[tokio::test]
async fn a_tagged_balancers_droplets_are_those_with_the_tag() {
    let (_simulator, client, control) = account().await;
    control.change("load_balancers", BALANCER, json!({"tag": "prod", "droplet_ids": []})).await.unwrap();
    let (row, one) = both(&client, "load_balancers", BALANCER).await;
    assert_eq!(
        (&row["droplet_ids"], &one["droplet_ids"]),
        (&json!([3_164_444, 3_164_445, 3_164_446]), &row["droplet_ids"])
    );
    control.change("droplets", DB_1, json!({"tags": ["db"]})).await.unwrap();
    assert_eq!(both(&client, "load_balancers", BALANCER).await.0["droplet_ids"], json!([3_164_444, 3_164_445]));
}

#[tokio::test]
async fn keys_are_left_out_of_lists_or_of_documents_at_any_depth() {
    let (_simulator, client, control) = account().await;
    let omit = |fields: &[&str]| Effect::OmitFields { fields: fields.iter().map(|it| (*it).to_owned()).collect() };
    control
        .inject(Fault::new("/v2/load_balancers", omit(&["http_idle_timeout_seconds", "health_check.path"])))
        .await
        .unwrap();
    control.inject(Fault::new("/v2/load_balancers/*", omit(&["forwarding_rules.*.certificate_id"]))).await.unwrap();
    let (row, one) = both(&client, "load_balancers", BALANCER).await;
    assert_eq!((row.get("http_idle_timeout_seconds"), &one["http_idle_timeout_seconds"]), (None, &json!(60)));
    assert_eq!((row["health_check"].get("path"), &one["health_check"]["path"]), (None, &json!("/")));
    assert_eq!(
        (&row["forwarding_rules"][0]["certificate_id"], one["forwarding_rules"][0].get("certificate_id")),
        (&json!(""), None)
    );
}

#[tokio::test]
async fn a_token_without_a_scope_does_not_see_the_keys_that_need_it_nor_the_kind() {
    let (_simulator, client, control) = account().await;
    let target = json!({"addresses": ["192.0.2.1"], "tags": ["web"], "droplet_ids": [1], "load_balancer_uids": ["a"], "kubernetes_ids": ["b"]});
    let firewall = json!({
        "name": "all", "tags": ["web"], "droplet_ids": [3_164_444],
        "inbound_rules": [{"protocol": "tcp", "ports": "22", "sources": target}],
        "outbound_rules": [{"protocol": "tcp", "ports": "22", "destinations": target}],
    });
    let id = control.put("firewalls", firewall).await.unwrap()["id"].as_str().unwrap().to_owned();
    let keys = ["tags", "droplet_ids", "load_balancer_uids", "kubernetes_ids", "addresses"];
    for (lacking, seen) in [
        ("tag:read", [false, true, true, true, true]),
        ("droplet:read", [true, false, true, true, true]),
        ("load_balancer:read", [true, true, false, true, true]),
        ("kubernetes:read", [true, true, true, false, true]),
    ] {
        control.inject(Fault::new("*", Effect::WithoutScopes { scopes: vec![lacking.to_owned()] })).await.unwrap();
        let (row, one) = both(&client, "firewalls", &id).await;
        for document in [row, one] {
            assert_eq!(has(&document["inbound_rules"][0]["sources"], &keys), seen, "{lacking}");
            assert_eq!(has(&document["outbound_rules"][0]["destinations"], &keys), seen, "{lacking}");
            assert_eq!(has(&document, &["tags", "droplet_ids"]), seen[..2], "{lacking}");
        }
        control.clear_faults().await.unwrap();
    }
    control.inject(Fault::new("*", Effect::WithoutScopes { scopes: vec!["droplet:read".to_owned()] })).await.unwrap();
    for path in ["/v2/droplets", "/v2/droplets/3164444", "/v2/droplets/3164444/actions"] {
        let answer = client.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (403, &json!("forbidden")), "{path}");
    }
    assert_eq!(client.get("/v2/volumes").await.status, 200);
}

#[tokio::test]
async fn a_list_lags_behind_for_a_number_of_calls_while_a_get_does_not() {
    let (_simulator, client, control) = account().await;
    let stale = Effect::StaleFields { fields: vec!["volume_ids".to_owned()] };
    control.inject(Fault::new("/v2/droplets", stale.clone()).times(2)).await.unwrap();
    control.change("droplets", DB_1, json!({"volume_ids": [], "name": "db-2"})).await.unwrap();
    for wanted in [json!([VOLUME]), json!([VOLUME]), json!([])] {
        let row = client.get("/v2/droplets").await.json()["droplets"][2].clone();
        assert_eq!((&row["volume_ids"], &row["name"]), (&wanted, &json!("db-2")));
        assert_eq!(client.get(&format!("/v2/droplets/{DB_1}")).await.json()["droplet"]["volume_ids"], json!([]));
    }
    assert!(control.inject(Fault::new("/v2/*", stale)).await.is_err(), "whose past?");
}

#[tokio::test]
async fn a_stale_list_lacks_the_field_that_a_row_did_not_have() {
    let (_simulator, client, control) = account().await;
    let stale = Effect::StaleFields { fields: vec!["standby".to_owned()] };
    control.inject(Fault::new("/v2/databases", stale)).await.unwrap();
    control.change("databases", BACKEND, json!({"standby": true})).await.unwrap();
    let (row, one) = both(&client, "databases", BACKEND).await;
    assert_eq!((row.get("standby"), &one["standby"]), (None, &json!(true)));
}
