//! Reserved addresses, domain records and tags: the allowed operations and their effects.

use digitalocean_simulator::{Effect, Fault, Options};
use serde_json::{Value, json};

use crate::common::{Answer, Client, demo, start};

/// Reserves an address in New York, the region of most of the demo's droplets.
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
    let addresses = async || client.get("/v2/reserved_ips").await.json()["meta"]["total"].clone();
    let before = addresses().await;
    assert!(message(&act(&client, &at, json!({"type": "unassign"})).await).contains("not assigned"));
    let elsewhere = act(&client, &at, json!({"type": "assign", "droplet_id": 3_164_447})).await;
    assert!(message(&elsewhere).contains("same region"));
    message(&act(&client, &at, json!({"type": "dance"})).await);
    assert_eq!(act(&client, &at, json!({"type": "assign", "droplet_id": 1})).await.status, 404);
    let nowhere = json!({"type": "assign", "droplet_id": 3_164_444});
    assert_eq!(act(&client, "/v2/reserved_ips/192.0.2.1", nowhere).await.status, 404);
    message(&client.post("/v2/reserved_ips", json!({"region": "moon1"})).await);
    assert_eq!(client.post("/v2/reserved_ips", json!({"droplet_id": 1})).await.status, 404);
    assert_eq!(addresses().await, before, "a refused request reserves nothing");
}

#[tokio::test]
async fn an_address_and_its_droplet_run_one_action_at_a_time() {
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

const RECORDS: &str = "/v2/domains/example.com/records";

#[tokio::test]
async fn records_are_created_found_changed_and_deleted() {
    let (_simulator, client) = start(demo()).await;
    let body = json!({"type": "A", "name": "api", "data": "192.0.2.7", "ttl": 60});
    let created = client.post(RECORDS, body).await;
    assert_eq!(created.status, 201);
    let record = created.json()["domain_record"].clone();
    assert_eq!((&record["ttl"], &record["priority"]), (&json!(60), &Value::Null));
    let at = format!("{RECORDS}/{}", record["id"]);
    assert_eq!(client.get(&at).await.json()["domain_record"], record);
    let found = async |query: &str| client.get(&format!("{RECORDS}?{query}")).await.json()["domain_records"].clone();
    assert_eq!(found("name=api.example.com&type=A").await, json!([record]));
    assert_eq!(found("name=api.example.com&type=AAAA").await, json!([]));
    assert_eq!(found("type=CNAME").await[0]["name"], "www");
    assert_eq!(found("name=example.com&type=MX").await[0]["name"], "@");

    let change = json!({"type": "A", "data": "192.0.2.8"});
    let put = client.call("PUT", &at, Some(&change)).await.json()["domain_record"].clone();
    assert_eq!((&put["data"], &put["name"], &put["ttl"]), (&json!("192.0.2.8"), &json!("api"), &json!(60)));
    let patched = client.call("PATCH", &at, Some(&json!({"type": "A", "name": "v2"}))).await.json();
    assert_eq!((&patched["domain_record"]["name"], &patched["domain_record"]["id"]), (&json!("v2"), &record["id"]));
    assert_eq!(client.delete(&at).await.status, 204);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        assert_eq!(client.call(method, &at, Some(&change)).await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn an_invalid_record_is_refused() {
    let (_simulator, client) = start(demo()).await;
    let before = client.get(RECORDS).await.json();
    let whole = json!({"type": "A", "name": "api", "data": "192.0.2.7"});
    for (field, reason) in
        [("type", "Type can't be blank"), ("name", "Name can't be blank"), ("data", "Data can't be blank")]
    {
        let mut body = whole.clone();
        body[field] = Value::Null;
        assert_eq!(message(&client.post(RECORDS, body).await), reason);
    }
    let host = |data: &str| json!({"type": "CNAME", "name": "shop", "data": data});
    let at = format!("{RECORDS}/28448431");
    assert_eq!(message(&client.post(RECORDS, host("shop.example.net")).await), "Data needs to end with a dot (.)");
    assert_eq!(
        message(&client.call("PATCH", &at, Some(&json!({"type": "CNAME", "data": "a.b"}))).await),
        "Data needs to end with a dot (.)"
    );
    assert_eq!(client.get(RECORDS).await.json(), before);
    assert_eq!(client.post("/v2/domains/example.org/records", whole).await.status, 404);

    let created = client.post(RECORDS, host("shop.example.net.")).await;
    assert_eq!(created.json()["domain_record"]["data"], "shop.example.net", "told without the dot");
    assert_eq!(client.post(RECORDS, host("@")).await.status, 201);
    let changed = async |mut change: Value| {
        change["type"] = json!("CNAME");
        client.call("PATCH", &at, Some(&change)).await
    };
    assert_eq!(message(&changed(json!({"ttl": 60})).await), "Data needs to end with a dot (.)", "with every change");
    assert_eq!(changed(json!({"ttl": 60, "data": "@"})).await.json()["domain_record"]["data"], "@");
    let iodef = json!({"type": "CAA", "name": "@", "data": "mailto:jane@example.com", "flags": 0, "tag": "iodef"});
    let created = client.post(RECORDS, iodef).await;
    assert_eq!(created.json()["domain_record"]["data"], "mailto:jane@example.com");
}

#[tokio::test]
async fn adding_and_removing_tags_can_be_repeated() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let tags = async |collection: &str, id: &str| control.get(collection, id).await.unwrap().unwrap()["tags"].clone();
    let created = client.post("/v2/tags", json!({"name": "Blue"})).await;
    assert_eq!((created.status.as_u16(), &created.json()["tag"]["resources"]["count"]), (201, &json!(0)));
    assert_eq!(client.post("/v2/tags", json!({"name": "blue"})).await.json()["tag"]["name"], "Blue", "case is kept");

    let scratch = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
    let resources = json!({"resources": [
        {"resource_id": "3164444", "resource_type": "droplet"}, {"resource_id": scratch, "resource_type": "volume"},
    ]});
    for _ in 0..2 {
        assert_eq!(client.post("/v2/tags/Blue/resources", resources.clone()).await.status, 204);
        assert_eq!(tags("droplets", "3164444").await, json!(["web", "prod", "Blue"]));
        assert_eq!(tags("volumes", scratch).await, json!(["Blue"]));
    }
    let counts = client.get("/v2/tags/Blue").await.json()["tag"]["resources"].clone();
    assert_eq!((&counts["count"], &counts["droplets"]["count"]), (&json!(2), &json!(1)));
    assert_eq!(client.get("/v2/droplets?tag_name=blue").await.json()["droplets"][0]["name"], "web-1");
    for _ in 0..2 {
        assert_eq!(client.call("DELETE", "/v2/tags/Blue/resources", Some(&resources)).await.status, 204);
        assert_eq!(tags("droplets", "3164444").await, json!(["web", "prod"]));
    }

    assert_eq!(client.post("/v2/tags/blue/resources", resources.clone()).await.status, 404, "as it was spelled first");
    assert_eq!(client.post("/v2/tags/none/resources", resources).await.status, 404, "a tag is created first");
    let partly = json!({"resources": [
        {"resource_id": "3164444", "resource_type": "droplet"}, {"resource_id": "1", "resource_type": "droplet"},
    ]});
    assert_eq!(client.post("/v2/tags/Blue/resources", partly).await.status, 404);
    assert_eq!(tags("droplets", "3164444").await, json!(["web", "prod"]), "all or none");
    let domain = json!({"resources": [{"resource_id": "example.com", "resource_type": "domain"}]});
    message(&client.post("/v2/tags/Blue/resources", domain).await);
    message(&client.post("/v2/tags", json!({"name": "no spaces"})).await);
}
