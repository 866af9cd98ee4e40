//! Actions on droplets and volumes: each is in progress first, completes later, and is refused if it is not allowed.

use std::time::Duration;

use digitalocean_simulator::Options;
use serde_json::{Value, json};

use crate::common::{Answer, Client, demo, start};

const WEB: &str = "/v2/droplets/3164444";
const SCRATCH: &str = "/v2/volumes/3d80cb72-342b-4aaa-b92e-4e4abb24a933";

async fn act(client: &Client, at: &str, action: Value) -> Answer {
    client.post(&format!("{at}/actions"), action).await
}

/// Starts an action, which must be accepted, and waits for its end.
async fn done(client: &Client, at: &str, action: Value) {
    let started = act(client, at, action.clone()).await;
    assert!(started.status.is_success(), "{action}: {}", started.json());
    assert_eq!(started.json()["action"]["status"], "in-progress");
    assert_eq!(client.finish(&started).await, "completed");
}

async fn refused(client: &Client, at: &str, action: Value) -> String {
    let answer = act(client, at, action.clone()).await;
    assert_eq!(answer.status, 422, "{action}: {}", answer.json());
    answer.json()["message"].as_str().unwrap().to_owned()
}

async fn droplet(client: &Client) -> Value {
    client.get(WEB).await.json()["droplet"].clone()
}

#[tokio::test]
async fn a_new_droplet_has_no_address_until_it_is_active() {
    let (simulator, client) = start(Options { action_seconds: 0.2, ..demo() }).await;
    let body = json!({"name": "a", "region": "nyc3", "size": "s-2vcpu-4gb", "image": 155_133_621, "tags": ["saga-1"], "backups": true});
    let created = client.post("/v2/droplets", body).await;
    assert_eq!(created.status, 202);
    let new = created.json()["droplet"].clone();
    assert_eq!((&new["status"], &new["locked"], &new["networks"]["v4"]), (&json!("new"), &json!(false), &json!([])));
    let at = format!("/v2/droplets/{}", new["id"]);
    assert_eq!(client.get("/v2/droplets?tag_name=saga-1").await.json()["meta"]["total"], 1, "found by its tag at once");
    assert_eq!(refused(&client, &at, json!({"type": "reboot"})).await, "Droplet already has a pending event.");
    assert_eq!(client.delete(&at).await.status, 422);
    assert_eq!(client.finish(&created).await, "completed");
    let active = client.get(&at).await.json()["droplet"].clone();
    assert_eq!(
        (&active["status"], &active["locked"], &active["size"]["vcpus"]),
        (&json!("active"), &json!(false), &json!(2))
    );
    assert_eq!(active["networks"]["v4"].as_array().unwrap().len(), 2);
    assert!(active["features"].as_array().unwrap().contains(&json!("backups")));
    assert_eq!(client.delete(&at).await.status, 204);
    assert_eq!(client.delete(&at).await.status, 404);
    let requests = simulator.control().requests().await.unwrap();
    assert_eq!((requests.count("POST /v2/droplets"), requests.mutating()), (1, 5));
}

#[tokio::test]
async fn power_follows_its_rules() {
    let (_simulator, client) = start(demo()).await;
    assert_eq!(refused(&client, WEB, json!({"type": "power_on"})).await, "Droplet is already powered on.");
    done(&client, WEB, json!({"type": "shutdown"})).await;
    assert_eq!(droplet(&client).await["status"], "off");
    assert_eq!(refused(&client, WEB, json!({"type": "power_off"})).await, "Droplet is already powered off.");
    refused(&client, WEB, json!({"type": "reboot"})).await;
    done(&client, WEB, json!({"type": "power_on"})).await;
    done(&client, WEB, json!({"type": "power_cycle"})).await;
    assert_eq!(droplet(&client).await["status"], "active");
    refused(&client, WEB, json!({"type": "dance"})).await;
}

#[tokio::test]
async fn only_one_action_at_a_time() {
    let (_simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    let first = act(&client, WEB, json!({"type": "power_off"})).await;
    assert_eq!(droplet(&client).await["locked"], false, "that is something else");
    assert_eq!(droplet(&client).await["status"], "active", "not before the action ends");
    assert_eq!(refused(&client, WEB, json!({"type": "snapshot"})).await, "Droplet already has a pending event.");
    assert_eq!(client.finish(&first).await, "completed");
    assert_eq!(droplet(&client).await["status"], "off");
}

#[tokio::test]
async fn a_locked_droplet_refuses_actions_until_it_is_unlocked() {
    let (simulator, client) = start(demo()).await;
    simulator.control().change("droplets", "3164444", json!({"locked": true})).await.unwrap();
    assert_eq!(refused(&client, WEB, json!({"type": "power_off"})).await, "Droplet is currently locked.");
    assert_eq!(client.delete(WEB).await.status, 422);
    simulator.control().change("droplets", "3164444", json!({"locked": false})).await.unwrap();
    done(&client, WEB, json!({"type": "power_off"})).await;
}

#[tokio::test]
async fn a_droplet_refuses_actions_while_a_volume_is_attached() {
    let (_simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    let pending = "Droplet already has a pending event.";
    let attach = json!({"type": "attach", "droplet_id": 3_164_444});
    let first = act(&client, SCRATCH, attach.clone()).await;
    assert_eq!(refused(&client, WEB, json!({"type": "power_off"})).await, pending);
    assert_eq!(client.delete(WEB).await.json()["message"], pending);
    assert_eq!(client.delete(SCRATCH).await.status, 409);
    let body = json!({"name": "other", "region": "nyc3", "size_gigabytes": 1});
    let other = client.post("/v2/volumes", body).await.json()["volume"]["id"].as_str().unwrap().to_owned();
    assert_eq!(refused(&client, &format!("/v2/volumes/{other}"), attach.clone()).await, pending);
    assert_eq!(client.finish(&first).await, "completed");
    assert_eq!(refused(&client, SCRATCH, attach).await, "This volume is already attached");
    let off = act(&client, WEB, json!({"type": "power_off"})).await;
    assert_eq!(refused(&client, SCRATCH, json!({"type": "detach", "droplet_id": 3_164_444})).await, pending);
    client.finish(&off).await;
}

#[tokio::test]
async fn resize_needs_power_off_keeps_the_disk_by_default_and_never_shrinks_it() {
    let (_simulator, client) = start(demo()).await;
    refused(&client, WEB, json!({"type": "resize", "size": "s-4vcpu-8gb"})).await;
    done(&client, WEB, json!({"type": "power_off"})).await;
    done(&client, WEB, json!({"type": "resize", "size": "s-4vcpu-8gb"})).await;
    let resized = droplet(&client).await;
    assert_eq!(
        (&resized["size_slug"], &resized["vcpus"], &resized["disk"]),
        (&json!("s-4vcpu-8gb"), &json!(4), &json!(80))
    );
    done(&client, WEB, json!({"type": "resize", "size": "s-2vcpu-4gb", "disk": false})).await;
    done(&client, WEB, json!({"type": "resize", "size": "s-4vcpu-8gb", "disk": true})).await;
    assert_eq!(droplet(&client).await["disk"], 160);
    assert_eq!(
        refused(&client, WEB, json!({"type": "resize", "size": "s-2vcpu-4gb"})).await,
        "This size is not available because it has a smaller disk."
    );
    refused(&client, WEB, json!({"type": "resize", "size": "s-4vcpu-8gb"})).await;
    refused(&client, WEB, json!({"type": "resize", "size": "no-such-size"})).await;
}

#[tokio::test]
async fn a_snapshot_is_found_by_its_name_and_can_be_restored_and_deleted() {
    let (_simulator, client) = start(demo()).await;
    let started = act(&client, WEB, json!({"type": "snapshot", "name": "before-upgrade"})).await;
    assert_eq!(client.get(&format!("{WEB}/snapshots")).await.json()["meta"]["total"], 0, "not before the action ends");
    client.finish(&started).await;
    let snapshots = client.get(&format!("{WEB}/snapshots")).await.json();
    assert_eq!(snapshots["snapshots"][0]["name"], "before-upgrade");
    let id = snapshots["snapshots"][0]["id"].clone();
    assert_eq!(droplet(&client).await["snapshot_ids"], json!([id]));
    let snapshot = client.get(&format!("/v2/snapshots/{id}")).await.json()["snapshot"].clone();
    assert_eq!((&snapshot["id"], &snapshot["resource_id"]), (&json!(id.to_string()), &json!("3164444")));
    done(&client, WEB, json!({"type": "restore", "image": id})).await;
    assert_eq!(droplet(&client).await["image"]["id"], id);
    assert_eq!(client.delete(&format!("/v2/snapshots/{id}")).await.status, 204);
    assert_eq!(client.get(&format!("/v2/images/{id}")).await.status, 404);
    assert_eq!(droplet(&client).await["snapshot_ids"], json!([]));
    refused(&client, WEB, json!({"type": "restore", "image": id})).await;
}

#[tokio::test]
async fn a_droplet_is_restored_from_its_own_images_only() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    for (id, of) in [("7001", "3164444"), ("7002", "3164445")] {
        control.put("snapshots", json!({"id": id, "name": format!("of-{of}"), "resource_id": of})).await.unwrap();
    }
    control.put("images", json!({"id": 7003, "name": "nightly", "type": "backup"})).await.unwrap();
    control.change("droplets", "3164444", json!({"backup_ids": [7003]})).await.unwrap();
    let backups = client.get(&format!("{WEB}/backups")).await.json();
    assert_eq!((&backups["backups"][0]["id"], &backups["backups"][0]["type"]), (&json!(7003), &json!("backup")));
    for (image, name) in [(7003, "nightly"), (7001, "of-3164444")] {
        done(&client, WEB, json!({"type": "restore", "image": image})).await;
        assert_eq!(droplet(&client).await["image"]["name"], name);
    }
    for other in [json!(7002), json!(155_133_621), json!("ubuntu-24-04-x64"), Value::Null] {
        refused(&client, WEB, json!({"type": "restore", "image": other})).await;
    }
}

#[tokio::test]
async fn features_names_and_images_change_as_requested() {
    let (_simulator, client) = start(demo()).await;
    refused(&client, WEB, json!({"type": "enable_ipv6"})).await;
    done(&client, WEB, json!({"type": "power_off"})).await;
    done(&client, WEB, json!({"type": "enable_ipv6"})).await;
    done(&client, WEB, json!({"type": "enable_backups"})).await;
    refused(&client, WEB, json!({"type": "enable_ipv6"})).await;
    done(&client, WEB, json!({"type": "power_on"})).await;
    let now = droplet(&client).await;
    assert_eq!(now["networks"]["v6"].as_array().unwrap().len(), 1);
    assert!(now["next_backup_window"].is_object());
    done(&client, WEB, json!({"type": "disable_backups"})).await;
    assert!(droplet(&client).await["next_backup_window"].is_null());
    done(&client, WEB, json!({"type": "rename", "name": "web-one"})).await;
    done(&client, WEB, json!({"type": "rebuild", "image": "debian-13-x64"})).await;
    let now = droplet(&client).await;
    assert_eq!(
        (&now["name"], &now["image"]["slug"], &now["tags"]),
        (&json!("web-one"), &json!("debian-13-x64"), &json!(["web", "prod"]))
    );
    refused(&client, WEB, json!({"type": "rename", "name": "no spaces"})).await;
}

#[tokio::test]
async fn backups_are_daily_unless_another_policy_is_requested() {
    let (simulator, client) = start(demo()).await;
    let before = simulator.control().inventory().await.unwrap();
    let policy = async || client.get(&format!("{WEB}/backups/policy")).await.json()["policy"].clone();
    assert_eq!(policy().await["backup_enabled"], false);
    done(&client, WEB, json!({"type": "enable_backups"})).await;
    assert_eq!(policy().await["backup_policy"]["plan"], "daily");
    let weekly = json!({"plan": "weekly", "weekday": "SAT", "hour": 20});
    done(&client, WEB, json!({"type": "change_backup_policy", "backup_policy": weekly})).await;
    let weekly = policy().await["backup_policy"].clone();
    assert_eq!(
        (&weekly["weekday"], &weekly["hour"], &weekly["retention_period_days"]),
        (&json!("SAT"), &json!(20), &json!(28))
    );
    assert_ne!(simulator.control().inventory().await.unwrap(), before);
    refused(&client, WEB, json!({"type": "change_backup_policy", "backup_policy": {"plan": "hourly"}})).await;
    done(&client, WEB, json!({"type": "disable_backups"})).await;
    assert_eq!(simulator.control().inventory().await.unwrap(), before);
}

#[tokio::test]
async fn actions_are_listed_newest_first_for_all_and_for_one_resource() {
    let (_simulator, client) = start(demo()).await;
    done(&client, WEB, json!({"type": "power_off"})).await;
    done(&client, "/v2/droplets/3164445", json!({"type": "reboot"})).await;
    done(&client, WEB, json!({"type": "power_on"})).await;
    let types = |list: &Value| {
        list["actions"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types(&client.get("/v2/actions").await.json()), ["power_on", "reboot", "power_off"]);
    assert_eq!(types(&client.get("/v2/actions?per_page=1&page=2").await.json()), ["reboot"]);
    assert_eq!(types(&client.get(&format!("{WEB}/actions")).await.json()), ["power_on", "power_off"]);
}

#[tokio::test]
async fn invalid_requests_are_refused_with_a_reason() {
    let (_simulator, client) = start(demo()).await;
    let whole = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64"});
    for (field, value) in [
        ("name", json!("a b")),
        ("region", json!("moon1")),
        ("size", json!("huge")),
        ("image", json!("dos-6")),
        ("volumes", json!(["x"])),
        ("volumes", json!(["506f78a4-e098-11e5-ad9f-000f53306ae1"])),
        ("ssh_keys", json!([1, "3b:16:e4"])),
        ("vpc_uuid", json!("5a4981aa-9653-4bd1-bef5-d6bff52042e4")),
        ("tags", json!(["no spaces"])),
        ("user_data", json!("x".repeat(65_537))),
    ] {
        let mut body = whole.clone();
        body[field] = value;
        let answer = client.post("/v2/droplets", body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (422, &json!("unprocessable_entity")), "{field}");
    }
    assert_eq!(client.get("/v2/droplets").await.json()["meta"]["total"], 3, "nothing came of it");
    assert_eq!(client.get("/v2/actions").await.json()["meta"]["total"], 0);
    assert_eq!(client.call("PUT", "/v2/droplets", Some(&whole)).await.status, 405);
    assert_eq!(act(&client, "/v2/droplets/1", json!({"type": "reboot"})).await.status, 404);
}

#[tokio::test]
async fn deleting_by_tag_deletes_all_and_detaches_their_volumes() {
    let (_simulator, client) = start(demo()).await;
    assert_eq!(client.delete("/v2/droplets?tag_name=prod").await.status, 204);
    assert_eq!(client.get("/v2/droplets").await.json()["meta"]["total"], 0);
    let volume = client.get("/v2/volumes/506f78a4-e098-11e5-ad9f-000f53306ae1").await.json();
    assert_eq!(volume["volume"]["droplet_ids"], json!([]));
}

#[tokio::test]
async fn a_new_droplet_attaches_its_volumes() {
    let (_simulator, client) = start(demo()).await;
    let id = SCRATCH.rsplit('/').next().unwrap();
    let body =
        json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "volumes": [id]});
    let created = client.post("/v2/droplets", body).await;
    assert_eq!(created.json()["droplet"]["volume_ids"], json!([]), "not before it is active");
    client.finish(&created).await;
    let droplet = created.json()["droplet"]["id"].clone();
    assert_eq!(client.get(SCRATCH).await.json()["volume"]["droplet_ids"], json!([droplet]));
    assert_eq!(client.delete(&format!("/v2/droplets/{droplet}")).await.status, 204);
    assert_eq!(client.get(SCRATCH).await.json()["volume"]["droplet_ids"], json!([]), "the volume itself stays");
}

#[tokio::test]
async fn a_volume_name_is_unique_in_its_region() {
    let (_simulator, client) = start(demo()).await;
    let body =
        |name: &str, region: &str| json!({"name": name, "region": region, "size_gigabytes": 10, "tags": ["saga-1"]});
    let created = client.post("/v2/volumes", body("data", "nyc3")).await;
    assert_eq!(created.status, 201);
    let volume = created.json()["volume"].clone();
    assert_eq!((&volume["droplet_ids"], &volume["tags"]), (&json!([]), &json!(["saga-1"])));
    let taken = client.post("/v2/volumes", body("data", "nyc3")).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["id"]), (409, &json!("conflict")));
    assert_eq!(client.post("/v2/volumes", body("data", "fra1")).await.status, 201);
    let total = async |query: &str| client.get(&format!("/v2/volumes?{query}")).await.json()["meta"]["total"].clone();
    for (query, count) in
        [("name=data&region=nyc3", 1), ("name=data", 2), ("name=data&region=lon1", 0), ("region=nyc3", 3)]
    {
        assert_eq!(total(query).await, count, "{query}");
    }
    for (field, value) in [
        ("name", json!("Data")),
        ("name", json!("9-lives")),
        ("name", json!("")),
        ("region", json!("moon1")),
        ("size_gigabytes", json!(0)),
        ("size_gigabytes", json!(16_385)),
        ("tags", json!(["no spaces"])),
    ] {
        let mut body = body("more", "nyc3");
        body[field] = value.clone();
        assert_eq!(client.post("/v2/volumes", body).await.status, 422, "{field}: {value}");
    }
}

#[tokio::test]
async fn volumes_attach_detach_grow_and_are_not_deleted_while_attached() {
    let (_simulator, client) = start(demo()).await;
    let at = SCRATCH;
    done(&client, at, json!({"type": "attach", "droplet_id": 3_164_444})).await;
    assert_eq!(client.delete(at).await.status, 409);
    assert_eq!(droplet(&client).await["volume_ids"], json!(["3d80cb72-342b-4aaa-b92e-4e4abb24a933"]));
    refused(&client, at, json!({"type": "attach", "droplet_id": 3_164_445})).await;
    refused(&client, at, json!({"type": "resize", "size_gigabytes": 10})).await;
    done(&client, at, json!({"type": "resize", "size_gigabytes": 60})).await;
    done(&client, at, json!({"type": "detach", "droplet_id": 3_164_444})).await;
    refused(&client, at, json!({"type": "detach", "droplet_id": 3_164_444})).await;
    refused(&client, at, json!({"type": "attach", "droplet_id": 3_164_447})).await;
    let volume = client.get(at).await.json()["volume"].clone();
    assert_eq!((&volume["size_gigabytes"], &volume["droplet_ids"]), (&json!(60), &json!([])));
    let actions = client.get(&format!("{at}/actions")).await.json();
    let types: Vec<&str> = actions["actions"].as_array().unwrap().iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(types, ["detach_volume", "resize", "attach_volume"]);
    assert_eq!(client.delete(at).await.status, 204);
    assert_eq!(client.delete(at).await.status, 404);
    assert_eq!(client.get("/v2/actions").await.json()["meta"]["total"], 3, "ended actions are remembered");
}

#[tokio::test]
async fn a_database_is_resizing_until_it_is_online_again() {
    let (_simulator, client) = start(Options { action_seconds: 1.2, ..demo() }).await;
    let at = "/v2/databases/9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";
    let size = json!({"size": "db-s-4vcpu-8gb", "num_nodes": 3});
    assert_eq!(client.call("PUT", &format!("{at}/resize"), Some(&size)).await.status, 202);
    assert_eq!(client.get(at).await.json()["database"]["status"], "online", "it shows late");
    assert_eq!(client.call("PUT", &format!("{at}/resize"), Some(&size)).await.status, 412);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.get(at).await.json()["database"]["status"], "resizing");
    assert_eq!(client.call("PUT", &format!("{at}/resize"), Some(&size)).await.status, 412);
    tokio::time::sleep(Duration::from_millis(650)).await;
    let database = client.get(at).await.json()["database"].clone();
    assert_eq!(
        (&database["status"], &database["size"], &database["num_nodes"]),
        (&json!("online"), &json!("db-s-4vcpu-8gb"), &json!(3))
    );
}

#[tokio::test]
async fn slow_resources_show_their_creation_until_they_are_ready() {
    let (_simulator, client) = start(Options { action_seconds: 0.2, ..demo() }).await;
    for (collection, one, place, first, then) in [
        ("load_balancers", "load_balancer", "/status", "new", "active"),
        ("databases", "database", "/status", "creating", "online"),
        ("kubernetes/clusters", "kubernetes_cluster", "/status/state", "provisioning", "running"),
    ] {
        let created = client.post(&format!("/v2/{collection}"), json!({"name": "new", "region": "nyc3"})).await.json()
            [one]
            .clone();
        assert_eq!(created.pointer(place), Some(&json!(first)), "{collection}");
        tokio::time::sleep(Duration::from_millis(220)).await;
        let ready =
            client.get(&format!("/v2/{collection}/{}", created["id"].as_str().unwrap())).await.json()[one].clone();
        assert_eq!(ready.pointer(place), Some(&json!(then)), "{collection}");
    }
}

#[tokio::test]
async fn a_put_of_a_load_balancer_resets_omitted_fields() {
    let (_simulator, client) = start(demo()).await;
    let at = "/v2/load_balancers/4de7ac8b-495b-4884-9a69-1050c6793cd6";
    let rule = json!({"entry_protocol": "tcp", "entry_port": 1, "target_protocol": "tcp", "target_port": 1});
    client.call("PUT", at, Some(&json!({"name": "web", "region": "nyc3", "forwarding_rules": [rule]}))).await;
    let balancer = client.get(at).await.json()["load_balancer"].clone();
    assert_eq!((&balancer["redirect_http_to_https"], &balancer["droplet_ids"]), (&json!(false), &json!([])));
    assert_eq!((&balancer["ip"], &balancer["region"]["slug"]), (&json!("203.0.113.10"), &json!("nyc3")));
}

#[tokio::test]
async fn a_resource_in_use_is_not_deleted() {
    let (_simulator, client) = start(demo()).await;
    assert_eq!(client.delete("/v2/vpcs/760e09ef-dc84-11e8-981e-3cfdfeaae000").await.status, 403);
    let project = client.post("/v2/projects", json!({"name": "p", "purpose": "x"})).await.json()["project"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    client.post(&format!("/v2/projects/{project}/resources"), json!({"resources": ["do:droplet:3164444"]})).await;
    assert_eq!(client.delete(&format!("/v2/projects/{project}")).await.status, 412);
}
