//! Two inventories are equal exactly if nothing is left over, missing or changed.

use digitalocean_simulator::{Effect, Fault, Options};
use serde_json::{Value, json};

use crate::common::{Client, demo, start};

const WEB: &str = "/v2/droplets/3164444";
const SCRATCH: &str = "/v2/volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933";

async fn done(client: &Client, at: &str, action: Value) {
    let started = client.post(&format!("{at}/actions"), action).await;
    assert_eq!(client.finish(&started).await, "completed", "{}", started.json());
}

fn ids(inventory: &Value, collection: &str) -> Vec<String> {
    inventory[collection].as_object().into_iter().flatten().map(|(id, _)| id.clone()).collect()
}

#[tokio::test]
async fn the_inventory_contains_all_resources_by_collection_and_id() {
    let (simulator, _client) = start(Options { droplets: 2, ..demo() }).await;
    let inventory = simulator.control().inventory().await.unwrap();
    assert_eq!(ids(&inventory, "droplets"), ["3164444", "3164445", "3164446", "3164447"]);
    assert_eq!(inventory["droplets"]["3164444"]["name"], "web-1");
    assert_eq!(inventory["domains/example.com/records"]["28448431"]["name"], "www");
    assert_eq!(inventory["databases"]["9cc10173-e9ea-4176-9dbc-a4cee4c4ff30"]["size"], "db-s-2vcpu-4gb");
    assert_eq!(ids(&inventory, "tags"), ["db", "ml", "prod", "web"]);
    assert_eq!(inventory.get("images"), None, "base images are everyone's");
    assert_eq!(simulator.control().requests().await.unwrap().total(), 0, "not counted");
}

#[tokio::test]
async fn a_read_leaves_no_difference() {
    let (simulator, client) = start(demo()).await;
    let before = simulator.control().inventory().await.unwrap();
    for path in ["/v2/droplets", WEB, "/v2/tags", "/v2/actions", "/v2/nothing"] {
        client.get(path).await;
    }
    assert_eq!(simulator.control().inventory().await.unwrap(), before);
}

#[tokio::test]
async fn creating_and_deleting_leaves_no_difference() {
    let (simulator, client) = start(demo()).await;
    let before = simulator.control().inventory().await.unwrap();

    let body =
        json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": ["saga-1"]});
    let created = client.post("/v2/droplets", body).await;
    client.finish(&created).await;
    let droplet = format!("/v2/droplets/{}", created.json()["droplet"]["id"]);
    done(&client, &droplet, json!({"type": "snapshot", "name": "s"})).await;
    let snapshot = client.get(&format!("{droplet}/snapshots")).await.json()["snapshots"][0]["id"].clone();
    let body = json!({"name": "v", "region": "nyc3", "size_gigabytes": 1, "tags": ["saga-1"]});
    let volume = client.post("/v2/volumes", body).await.json()["volume"]["id"].as_str().unwrap().to_owned();
    let ip = client.post("/v2/reserved_ips", json!({"region": "nyc3"})).await.json()["reserved_ip"]["ip"].clone();
    let body = json!({"type": "A", "name": "new", "data": "192.0.2.7"});
    let record = client.post("/v2/domains/example.com/records", body).await.json()["domain_record"]["id"].clone();

    let between = simulator.control().inventory().await.unwrap();
    for (collection, more) in
        [("droplets", 1), ("snapshots", 1), ("images", 1), ("volumes", 1), ("reserved_ips", 1), ("tags", 1)]
    {
        assert_eq!(ids(&between, collection).len(), ids(&before, collection).len() + more, "{collection}");
    }

    for path in [
        droplet,
        format!("/v2/snapshots/{snapshot}"),
        format!("/v2/volumes/{volume}"),
        format!("/v2/reserved_ips/{}", ip.as_str().unwrap()),
        format!("/v2/domains/example.com/records/{record}"),
    ] {
        assert_eq!(client.delete(&path).await.status, 204, "{path}");
    }
    assert_eq!(client.get("/v2/tags/saga-1").await.status, 200, "the tag stays, as in the real account");
    assert_eq!(simulator.control().inventory().await.unwrap(), before);
}

#[tokio::test]
async fn changing_and_restoring_leaves_no_difference() {
    let (simulator, client) = start(Options { droplets: 2, load: None, ..demo() }).await;
    let control = simulator.control();
    control.put("volumes", json!({"id": SCRATCH.rsplit('/').next(), "name": "scratch"})).await.unwrap();
    control.put("projects", json!({"id": "p", "name": "p", "updated_at": "2026-01-01T00:00:00Z"})).await.unwrap();
    control.put("reserved_ips", json!({"ip": "203.0.113.7"})).await.unwrap();
    done(&client, "/v2/reserved_ips/203.0.113.7", json!({"type": "assign", "droplet_id": 3_164_444})).await;
    let before = control.inventory().await.unwrap();
    assert_eq!(before["reserved_ips"]["203.0.113.7"]["droplet"], 3_164_444);

    done(&client, SCRATCH, json!({"type": "attach", "droplet_id": 3_164_444})).await;
    assert_ne!(control.inventory().await.unwrap(), before);
    done(&client, SCRATCH, json!({"type": "detach", "droplet_id": 3_164_444})).await;
    for action in [
        json!({"type": "power_off"}),
        json!({"type": "resize", "size": "s-4vcpu-8gb"}),
        json!({"type": "resize", "size": "s-2vcpu-4gb"}),
        json!({"type": "power_on"}),
        json!({"type": "enable_backups"}),
        json!({"type": "disable_backups"}),
        json!({"type": "rename", "name": "other"}),
    ] {
        done(&client, WEB, action).await;
    }
    assert_ne!(control.inventory().await.unwrap(), before);
    done(&client, WEB, json!({"type": "rename", "name": "web-1"})).await;

    done(&client, "/v2/reserved_ips/203.0.113.7", json!({"type": "assign", "droplet_id": 3_164_445})).await;
    assert_ne!(control.inventory().await.unwrap(), before);
    done(&client, "/v2/reserved_ips/203.0.113.7", json!({"type": "assign", "droplet_id": 3_164_444})).await;

    let resources = json!({"resources": [{"resource_id": "3164444", "resource_type": "droplet"}]});
    client.call("DELETE", "/v2/tags/web/resources", Some(&resources)).await;
    client.post("/v2/tags/web/resources", resources).await;
    client.call("PATCH", "/v2/projects/p", Some(&json!({"name": "q"}))).await;
    client.call("PATCH", "/v2/projects/p", Some(&json!({"name": "p"}))).await;
    assert_eq!(control.inventory().await.unwrap(), before);
}

#[tokio::test]
async fn leftover_missing_and_different_resources_are_found() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let before = control.inventory().await.unwrap();
    control.inject(Fault::new("/v2/volumes", Effect::ResetAfter).times(1)).await.unwrap();
    let body = json!({"name": "lost", "region": "nyc3", "size_gigabytes": 1});
    client.try_call("POST", "/v2/volumes", Some(&body)).await.unwrap_err();
    let leaked = control.inventory().await.unwrap();
    assert_eq!(ids(&leaked, "volumes").len(), ids(&before, "volumes").len() + 1);

    control.delete("droplets", "3164445").await.unwrap();
    assert_eq!(ids(&control.inventory().await.unwrap(), "droplets"), ["3164444", "3164446", "3164447"]);
    control.change("droplets", "3164444", json!({"tags": ["web"]})).await.unwrap();
    assert_eq!(control.inventory().await.unwrap()["droplets"]["3164444"]["tags"], json!(["web"]));
}
