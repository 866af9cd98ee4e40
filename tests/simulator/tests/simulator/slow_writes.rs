//! Changes that take time: databases, Kubernetes clusters and apps.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault, Options};
use serde_json::{Map, Value, json};

use crate::common::{Client, demo, settle, start};

const DATABASE: &str = "/v2/databases/9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";
const BUSY: &str = "update cluster cannot be performed. Reason: cluster is undergoing maintenance";

async fn database(client: &Client) -> Value {
    client.get(DATABASE).await.json()["database"].clone()
}

async fn put(client: &Client, below: &str, body: Value) -> u16 {
    client.call("PUT", &format!("{DATABASE}/{below}"), Some(&body)).await.status.as_u16()
}

/// The fields in which two documents differ.
fn differing(before: &Value, after: &Value) -> Vec<String> {
    let fields: Map<String, Value> = [before, after].iter().flat_map(|it| it.as_object().unwrap().clone()).collect();
    fields.keys().filter(|field| before.get(*field) != after.get(*field)).cloned().collect()
}

#[tokio::test]
async fn a_database_changes_only_the_requested_fields() {
    let (simulator, client) = start(demo()).await;
    let vpc = json!({"name": "second", "region": "nyc3"});
    let vpc = simulator.control().put("vpcs", vpc).await.unwrap()["id"].clone();
    for (below, body, status, changed) in [
        ("resize", json!({"size": "db-s-2vcpu-4gb", "num_nodes": 1}), 202, "num_nodes"),
        (
            "resize",
            json!({"size": "db-s-2vcpu-4gb", "num_nodes": 1, "storage_size_mib": 71_680}),
            202,
            "storage_size_mib",
        ),
        ("migrate", json!({"region": "nyc3", "private_network_uuid": vpc}), 202, "private_network_uuid"),
        ("do_settings", json!({"do_settings": {"service_cnames": ["db.example.com"]}}), 204, "do_settings"),
        ("maintenance", json!({"day": "monday", "hour": "13:00"}), 204, "maintenance_window"),
    ] {
        let before = database(&client).await;
        assert_eq!(put(&client, below, body).await, status, "{below}");
        settle().await;
        assert_eq!(differing(&before, &database(&client).await), [changed], "{below}");
    }
    let before = database(&client).await;
    assert_eq!(put(&client, "migrate", json!({"region": "nyc3"})).await, 202);
    settle().await;
    let after = database(&client).await;
    assert_eq!(after["private_network_uuid"], "760e09ef-dc84-11e8-981e-3cfdfeaae000", "the default VPC of the region");
    assert_eq!(differing(&before, &after), ["private_network_uuid"]);
    assert_eq!(put(&client, "resize", json!({"size": "db-s-4vcpu-8gb", "num_nodes": 1})).await, 202);
    settle().await;
    assert_eq!(database(&client).await["storage_size_mib"], 143_360, "the larger plan has more");
}

#[tokio::test]
async fn a_busy_database_answers_412_and_shows_its_status_late() {
    let (_simulator, client) = start(Options { action_seconds: 1.2, ..demo() }).await;
    for (below, body, status) in [
        ("resize", json!({"size": "db-s-2vcpu-4gb", "num_nodes": 3}), Some("resizing")),
        ("migrate", json!({"region": "sfo3"}), Some("migrating")),
        ("upgrade", json!({"version": "18"}), None),
        ("do_settings", json!({"do_settings": {}}), None),
    ] {
        assert!(put(&client, below, body.clone()).await < 300, "{below}");
        assert_eq!(database(&client).await["status"], "online", "{below}");
        let answer = client
            .call("PUT", &format!("{DATABASE}/resize"), Some(&json!({"size": "db-s-2vcpu-4gb", "num_nodes": 2})))
            .await;
        assert_eq!((answer.status.as_u16(), &answer.json()["message"]), (412, &json!(BUSY)), "{below}");
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(database(&client).await["status"], status.unwrap_or("online"), "{below}");
        tokio::time::sleep(Duration::from_millis(650)).await;
        let after = database(&client).await;
        assert_eq!(after["status"], "online", "{below}");
        for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "do_settings") {
            assert_eq!(&after[field], value, "{below}");
        }
    }
    assert_eq!(database(&client).await["semantic_version"], "18.0.1");
}

#[tokio::test]
async fn a_failed_resize_leaves_the_database_unchanged() {
    let (simulator, client) = start(demo()).await;
    let before = database(&client).await;
    let fault = Fault::new(format!("{DATABASE}/resize"), Effect::FailAction).times(1);
    simulator.control().inject(fault).await.unwrap();
    assert_eq!(put(&client, "resize", json!({"size": "db-s-4vcpu-8gb", "num_nodes": 2})).await, 202);
    settle().await;
    assert_eq!(database(&client).await, before);
}

#[tokio::test]
async fn the_rules_of_a_database_are_one_list() {
    let (_simulator, client) = start(demo()).await;
    let firewall = format!("{DATABASE}/firewall");
    let rules = async || client.get(&firewall).await.json()["rules"].as_array().unwrap().clone();
    let address = json!({"type": "ip_addr", "value": "192.0.2.0/24"});
    let droplet = json!({"type": "droplet", "value": "3164444"});
    assert_eq!(put(&client, "firewall", json!({"rules": [address, droplet]})).await, 204);
    let before = rules().await;
    let described = json!({"type": "ip_addr", "value": "192.0.2.0/24", "description": "the office"});
    assert_eq!(put(&client, "firewall", json!({"rules": [described]})).await, 204);
    let after = rules().await;
    assert_eq!(after.len(), 1, "omitted databases are removed");
    assert_eq!((&after[0]["uuid"], &after[0]["description"]), (&before[0]["uuid"], &json!("the office")));
    assert_eq!(database(&client).await.get("rules"), None, "the document of the cluster has no rules");
}

#[tokio::test]
async fn databases_in_a_cluster_are_added_and_removed_by_name() {
    let (simulator, client) = start(demo()).await;
    let dbs = format!("{DATABASE}/dbs");
    assert_eq!(client.post(&dbs, json!({"name": "shop"})).await.status, 201);
    assert_eq!(client.get(&dbs).await.json()["dbs"], json!([{"name": "defaultdb"}, {"name": "shop"}]));
    assert_eq!(database(&client).await["db_names"], json!(["defaultdb", "shop"]));
    assert_eq!(client.delete(&format!("{dbs}/shop")).await.status, 204);
    assert_eq!(client.delete(&format!("{dbs}/shop")).await.status, 404);
    let cache = simulator.control().put("databases", json!({"engine": "valkey"})).await.unwrap();
    let cache = format!("/v2/databases/{}/dbs", cache["id"].as_str().unwrap());
    assert_eq!(client.post(&cache, json!({"name": "shop"})).await.status, 422);
}

const CLUSTERS: &str = "kubernetes/clusters";
const CLUSTER: &str = "bd5f5959-5e1e-4205-a714-a914373942af";

fn cluster() -> Value {
    json!({
        "id": CLUSTER, "name": "c", "tags": ["mine"], "auto_upgrade": true, "surge_upgrade": true, "version": "1.33.6-do.0",
        "maintenance_policy": {"start_time": "15:00", "duration": "4h0m0s", "day": "monday"},
        "cluster_autoscaler_configuration": {"expanders": ["priority", "random"], "scale_down_utilization_threshold": 0.5},
        "control_plane_firewall": {"enabled": true, "allowed_addresses": ["192.0.2.0/24"]}, "routing_agent": {"enabled": true},
        "sso": {"enabled": false, "required": false},
    })
}

/// A simulator with a cluster, slow enough to observe states in between on a loaded machine.
async fn with_cluster() -> (digitalocean_simulator::Simulator, Client, String) {
    let (simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    simulator.control().put(CLUSTERS, cluster()).await.unwrap();
    (simulator, client, format!("/v2/{CLUSTERS}/{CLUSTER}"))
}

async fn settle_slowly() {
    tokio::time::sleep(Duration::from_millis(320)).await;
}

async fn shown(client: &Client, at: &str) -> Value {
    client.get(at).await.json()["kubernetes_cluster"].clone()
}

/// The fields of a cluster that a careful client sends besides the changed field.
fn sent(cluster: &Value) -> Map<String, Value> {
    let fields = ["name", "tags", "auto_upgrade", "surge_upgrade", "maintenance_policy"];
    let mut body: Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), cluster[*field].clone())).collect();
    body["maintenance_policy"].as_object_mut().unwrap().remove("duration");
    body
}

#[tokio::test]
async fn every_field_of_a_cluster_can_be_restored_alone() {
    let (simulator, client, at) = with_cluster().await;
    let control = simulator.control();
    let before = shown(&client, &at).await;
    let inventory = control.inventory().await.unwrap();
    for (field, drifted) in json!({
        "name": "other", "tags": ["k8s"], "auto_upgrade": false, "surge_upgrade": false, "maintenance_policy": {"day": "any"},
        "cluster_autoscaler_configuration": {"expanders": ["random"]}, "control_plane_firewall": {"enabled": false},
        "routing_agent": {"enabled": false}, "sso": {"enabled": true, "client_id": "c", "issuer_url": "https://example.com"},
    })
    .as_object()
    .unwrap()
    {
        let patch = Value::Object(Map::from_iter([(field.clone(), drifted.clone())]));
        control.change(CLUSTERS, CLUSTER, patch).await.unwrap();
        assert_ne!(control.inventory().await.unwrap(), inventory, "{field}");
        let mut body = sent(&shown(&client, &at).await);
        let mut recorded = before[field].clone();
        if field == "maintenance_policy" {
            recorded.as_object_mut().unwrap().remove("duration");
        }
        body.insert(field.clone(), recorded);
        let answer = client.call("PUT", &at, Some(&Value::Object(body.clone()))).await;
        assert_eq!(answer.status, 202, "{field}: {answer:?}");
        assert_eq!(client.call("PUT", &at, Some(&Value::Object(body))).await.status, 422, "it is not running");
        settle_slowly().await;
        assert_eq!(control.inventory().await.unwrap(), inventory, "{field}");
    }
}

#[tokio::test]
async fn a_cluster_resets_some_omitted_fields() {
    let (_simulator, client, at) = with_cluster().await;
    let before = shown(&client, &at).await;
    assert_eq!(client.call("PUT", &at, Some(&json!({"name": "c"}))).await.status, 202);
    settle_slowly().await;
    let after = shown(&client, &at).await;
    let mut differing = differing(&before, &after);
    differing.retain(|field| field != "updated_at");
    differing.sort();
    assert_eq!(differing, ["auto_upgrade", "maintenance_policy", "surge_upgrade", "tags"]);
    assert_eq!(after["tags"], json!(["k8s", format!("k8s:{CLUSTER}")]), "its own tags stay");
    let mut body = sent(&after);
    body.insert("cluster_autoscaler_configuration".to_owned(), json!({"expanders": []}));
    client.call("PUT", &at, Some(&Value::Object(body))).await;
    let configuration = shown(&client, &at).await["cluster_autoscaler_configuration"].clone();
    assert_eq!(configuration, json!({"scale_down_utilization_threshold": 0.5}), "an empty list unsets it");
}

#[tokio::test]
async fn a_cluster_is_upgraded_to_a_version_that_is_offered() {
    let (_simulator, client, at) = with_cluster().await;
    let offered = client.get(&format!("{at}/upgrades")).await.json()["available_upgrade_versions"].clone();
    let slugs: Vec<&str> = offered.as_array().unwrap().iter().map(|it| it["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["1.34.1-do.0", "1.34.2-do.0"]);
    let upgrade = async |version: &str| client.post(&format!("{at}/upgrade"), json!({"version": version})).await.status;
    for wrong in ["1.33.6-do.0", "1.34", "1.35.0-do.0", "1.32.10-do.0"] {
        assert_eq!(upgrade(wrong).await, 422, "{wrong}");
    }
    assert_eq!(upgrade("1.34.1-do.0").await, 202);
    let during = shown(&client, &at).await;
    assert_eq!((&during["status"]["state"], &during["version"]), (&json!("upgrading"), &json!("1.33.6-do.0")));
    assert_eq!(upgrade("1.34.2-do.0").await, 422, "not while it upgrades");
    settle_slowly().await;
    let after = shown(&client, &at).await;
    assert_eq!((&after["status"]["state"], &after["version"]), (&json!("running"), &json!("1.34.1-do.0")));
}

#[tokio::test]
async fn nodes_follow_the_change_of_a_pool() {
    let (_simulator, client, at) = with_cluster().await;
    let pool = shown(&client, &at).await["node_pools"][0].clone();
    let pools = format!("{at}/node_pools/{}", pool["id"].as_str().unwrap());
    let change = async |body: Value| client.call("PUT", &pools, Some(&body)).await;
    let now = async || client.get(&pools).await.json()["node_pool"].clone();
    let states = |pool: &Value| -> Vec<String> {
        pool["nodes"].as_array().unwrap().iter().map(|it| it["status"]["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(change(json!({"name": "pool", "count": 3})).await.status, 202);
    assert_eq!(states(&now().await), ["running", "provisioning", "provisioning"]);
    settle_slowly().await;
    assert_eq!(states(&now().await), ["running", "running", "running"]);
    assert_eq!(change(json!({"name": "pool", "count": 1})).await.status, 202);
    let leaving = now().await;
    assert_eq!(
        (&leaving["count"], states(&leaving)),
        (&json!(1), vec!["running".into(), "draining".into(), "draining".into()])
    );
    settle_slowly().await;
    assert_eq!(now().await, pool, "omitted fields stay, and the first node too");

    for field in ["id", "size", "nodes"] {
        let mut body = json!({"name": "pool", "count": 1});
        body[field] = pool[field].clone();
        assert_eq!(change(body).await.status, 422, "{field}");
    }
    assert_eq!(change(json!({"count": 0})).await.status, 422);
    assert_eq!(change(json!({"auto_scale": true, "min_nodes": 3, "max_nodes": 2})).await.status, 422);
    assert_eq!(change(json!({"auto_scale": true, "min_nodes": 2, "max_nodes": 4})).await.status, 202);
    assert_eq!(now().await["count"], 2, "a number outside becomes the least");
    let labels = json!({"labels": {"a": "b"}, "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
    assert_eq!(change(labels.clone()).await.status, 202);
    settle_slowly().await;
    let after = now().await;
    assert_eq!((&after["labels"], &after["taints"], states(&after).len()), (&labels["labels"], &labels["taints"], 2));
}

#[tokio::test]
async fn a_cluster_pulls_from_the_registries_that_it_was_given() {
    let (simulator, client, at) = with_cluster().await;
    let control = simulator.control();
    control.put("registries", json!({"name": "one"})).await.unwrap();
    let call = async |method: &str, path: &str, names: Value| {
        let body = json!({"cluster_uuids": [CLUSTER], "registries": names});
        client.call(method, &format!("/v2/kubernetes/{path}"), Some(&body)).await.status.as_u16()
    };
    let shown = async || {
        let cluster = shown(&client, &at).await;
        (cluster["registry_enabled"].as_bool().unwrap(), cluster["registries"].clone())
    };
    let before = shown().await;
    assert_eq!(call("POST", "registry", Value::Null).await, 204, "the only one");
    assert_eq!(shown().await, (true, json!(["one"])));
    control.put("registries", json!({"name": "two"})).await.unwrap();
    assert_eq!(call("POST", "registry", Value::Null).await, 412);
    assert_eq!(call("POST", "registries", json!(["two"])).await, 204);
    assert_eq!(shown().await, (true, json!(["one", "two"])));
    assert_eq!(call("POST", "registries", json!(["three"])).await, 404);
    assert_eq!(call("DELETE", "registries", json!(["one", "two"])).await, 204);
    assert_eq!(shown().await, before);
}

#[tokio::test]
async fn a_cluster_names_the_load_balancers_on_its_nodes() {
    let (simulator, client, at) = with_cluster().await;
    let associated = async || client.get(&format!("{at}/destroy_with_associated_resources")).await.json();
    let balancers = async || associated().await["load_balancers"].as_array().unwrap().len();
    assert_eq!(balancers().await, 0);
    let tag = format!("k8s:{CLUSTER}");
    simulator.control().change("droplets", "3164444", json!({"tags": [tag]})).await.unwrap();
    assert_eq!(balancers().await, 1, "one by its droplets");
    let tagged = json!({"name": "ingress", "region": "nyc3", "tag": tag});
    simulator.control().put("load_balancers", tagged).await.unwrap();
    assert_eq!(associated().await["load_balancers"][1]["name"], "ingress");
}

fn app() -> Value {
    json!({
        "id": "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf",
        "spec": {"name": "shop", "region": "nyc", "services": [{"name": "web", "instance_count": 2, "envs": [{"key": "T", "value": "hunter2", "type": "SECRET"}]}]},
    })
}

const APP: &str = "/v2/apps/4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf";

#[tokio::test]
async fn a_deployment_goes_from_phase_to_phase() {
    let (simulator, client) = start(Options { action_seconds: 1.2, ..demo() }).await;
    simulator.control().put("apps", app()).await.unwrap();
    let before = client.get(APP).await.json()["app"].clone();
    let mut spec = before["spec"].clone();
    spec["services"][0]["instance_count"] = json!(3);
    spec["region"] = json!("ams");
    let answer = client.call("PUT", APP, Some(&json!({"spec": spec}))).await.json()["app"].clone();
    assert_eq!(answer["pending_deployment"]["phase"], "PENDING_BUILD");
    let id = answer["pending_deployment"]["id"].as_str().unwrap().to_owned();
    let phase = async || {
        let deployment = client.get(&format!("{APP}/deployments/{id}")).await.json()["deployment"].clone();
        deployment["phase"].as_str().unwrap().to_owned()
    };
    let mut phases = vec![phase().await];
    while phases.last().unwrap() != "ACTIVE" {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let next = phase().await;
        if phases.last() != Some(&next) {
            phases.push(next);
        }
    }
    assert_eq!(phases, ["PENDING_BUILD", "BUILDING", "DEPLOYING", "ACTIVE"]);
    let after = client.get(APP).await.json()["app"].clone();
    assert_eq!((&after["spec"], &after["region"]["slug"]), (&spec, &json!("ams")));
    spec = before["spec"].clone();
    client.call("PUT", APP, Some(&json!({"spec": spec}))).await;
    tokio::time::sleep(Duration::from_millis(1250)).await;
    let mut undone = client.get(APP).await.json()["app"].clone();
    for field in ["updated_at", "last_deployment_created_at", "active_deployment", "region"] {
        undone[field] = before[field].clone();
    }
    assert_eq!(undone, before, "the ciphertext is taken back, and nothing else changed");
}

#[tokio::test]
async fn a_failed_deployment_leaves_the_new_spec_and_the_old_app_running() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    control.put("apps", app()).await.unwrap();
    let before = client.get(APP).await.json()["app"].clone();
    let mut spec = before["spec"].clone();
    spec["services"][0]["instance_count"] = json!(3);
    for (effect, phase) in [(Effect::FailAction, "ERROR"), (Effect::IgnoreAction, "CANCELED")] {
        control.inject(Fault::new(APP, effect).method("PUT").times(1)).await.unwrap();
        let answer = client.call("PUT", APP, Some(&json!({"spec": spec}))).await.json();
        let id = answer["app"]["pending_deployment"]["id"].as_str().unwrap();
        settle().await;
        assert_eq!(client.get(&format!("{APP}/deployments/{id}")).await.json()["deployment"]["phase"], phase);
        let after = client.get(APP).await.json()["app"].clone();
        assert_eq!((&after["spec"], &after["active_deployment"]), (&spec, &before["active_deployment"]));
        assert_eq!(after.get("in_progress_deployment"), None);
    }
}

#[tokio::test]
async fn a_newer_deployment_supersedes_the_one_before() {
    let (simulator, client) = start(Options { action_seconds: 0.3, ..demo() }).await;
    simulator.control().put("apps", app()).await.unwrap();
    let deploy =
        async || client.post(&format!("{APP}/deployments"), json!({})).await.json()["deployment"]["id"].clone();
    let (first, second) = (deploy().await, deploy().await);
    let phase = async |id: &Value| {
        client.get(&format!("{APP}/deployments/{}", id.as_str().unwrap())).await.json()["deployment"]["phase"].clone()
    };
    assert_eq!(phase(&first).await, "SUPERSEDED");
    settle_slowly().await;
    assert_eq!((phase(&first).await, phase(&second).await), (json!("SUPERSEDED"), json!("ACTIVE")));
}

#[tokio::test]
async fn a_pinned_app_and_the_secret_of_another_one_are_refused() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    control.put("apps", app()).await.unwrap();
    let other = json!({"spec": {"name": "other", "envs": [{"key": "T", "value": "hunter3", "type": "SECRET"}]}});
    let other = control.put("apps", other).await.unwrap();
    let mut spec = client.get(APP).await.json()["app"]["spec"].clone();
    let own = spec.clone();
    spec["envs"] = other["spec"]["envs"].clone();
    let put = async |spec: &Value| client.call("PUT", APP, Some(&json!({"spec": spec}))).await.status.as_u16();
    assert_eq!(put(&spec).await, 400);
    spec = own.clone();
    spec["name"] = json!("other");
    assert_eq!(put(&spec).await, 409, "the name is taken");
    control.change("apps", APP.rsplit('/').next().unwrap(), json!({"pinned_deployment": {"id": "d"}})).await.unwrap();
    assert_eq!(put(&own).await, 409);
    assert_eq!(client.post(&format!("{APP}/rollback/commit"), json!({})).await.status, 200);
    assert_eq!(put(&own).await, 200);
}
