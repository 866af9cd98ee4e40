//! Changes that the provider makes on its own, and values that it rewrites.

use std::time::Duration;

use digitalocean_simulator::{Options, Simulator};
use serde_json::{Value, json};

use crate::common::{Client, demo, start};

async fn action(client: &Client, id: u64, body: Value) {
    let started = client.post(&format!("/v2/droplets/{id}/actions"), body).await;
    assert_eq!(client.finish(&started).await, "completed", "{}", started.json());
}

async fn policies(client: &Client) -> Value {
    client.get("/v2/droplets/backups/policies").await.json()["policies"].clone()
}

#[tokio::test]
async fn backup_policies_of_all_droplets_follow_their_actions() {
    let (simulator, client) = start(demo()).await;
    let before = policies(&client).await;
    assert_eq!(before.as_object().unwrap().len(), 4);
    assert_eq!(before["3164444"], json!({"droplet_id": 3_164_444, "backup_enabled": false}));
    let daily = json!({"plan": "daily", "hour": 0, "window_length_hours": 4, "retention_period_days": 7});
    assert_eq!(before["3164446"]["backup_policy"], daily);

    let weekly = json!({"plan": "weekly", "weekday": "TUE", "hour": 8});
    action(&client, 3_164_444, json!({"type": "enable_backups", "backup_policy": weekly})).await;
    let enabled = policies(&client).await["3164444"].clone();
    let whole =
        json!({"plan": "weekly", "weekday": "TUE", "hour": 8, "window_length_hours": 4, "retention_period_days": 28});
    assert_eq!((&enabled["backup_enabled"], &enabled["backup_policy"]), (&json!(true), &whole));
    assert_eq!(client.get("/v2/droplets/3164444/backups/policy").await.json()["policy"], enabled);
    action(&client, 3_164_444, json!({"type": "change_backup_policy", "backup_policy": {"plan": "daily", "hour": 4}}))
        .await;
    assert_eq!(policies(&client).await["3164444"]["backup_policy"]["hour"], 4);
    action(&client, 3_164_444, json!({"type": "disable_backups"})).await;
    assert_eq!(policies(&client).await["3164444"], before["3164444"]);

    let request = json!({
        "name": "new", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-13-x64", "backups": true, "backup_policy": weekly,
        "with_droplet_agent": false,
    });
    let created = client.post("/v2/droplets", request).await;
    client.finish(&created).await;
    let id = created.json()["droplet"]["id"].clone();
    assert_eq!(policies(&client).await[id.to_string()]["backup_policy"], whole);
    let features = client.get(&format!("/v2/droplets/{id}")).await.json()["droplet"]["features"].clone();
    assert_eq!(features, json!(["private_networking", "backups"]), "no agent where none is wanted");

    let control = simulator.control();
    control.change("droplets", "3164446", json!({"features": ["ipv6", "droplet_agent"]})).await.unwrap();
    assert_eq!(policies(&client).await["3164446"]["backup_enabled"], true, "features can lack an enabled one");
    control.change("droplets", "3164446", json!({"backup_policy": weekly})).await.unwrap();
    assert_eq!(policies(&client).await["3164446"]["backup_policy"], whole);
    assert_eq!(client.get("/v2/droplets/3164446").await.json()["droplet"].get("backup_policy"), None);
    control.change("droplets", "3164446", json!({"backups": false})).await.unwrap();
    assert_eq!(policies(&client).await["3164446"]["backup_enabled"], false);
}

#[tokio::test]
async fn backup_policies_come_in_pages() {
    let (_simulator, client) = start(Options { droplets: 45, load: None, ..demo() }).await;
    let page = client.get("/v2/droplets/backups/policies?per_page=20&page=3").await.json();
    assert_eq!((page["policies"].as_object().unwrap().len(), &page["meta"]["total"]), (5, &json!(45)));
    assert!(page["policies"].get("3164488").is_some(), "{page}");
    assert_eq!(page["links"]["pages"].get("next"), None);
}

async fn balanced() -> (Simulator, Client, String, String) {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let id = control.put("certificates", json!({"name": "www"})).await.unwrap()["id"].as_str().unwrap().to_owned();
    let rules = json!([
        {"entry_protocol": "https", "entry_port": 443, "target_protocol": "http", "target_port": 80, "certificate_id": id},
        {"entry_protocol": "http", "entry_port": 80, "target_protocol": "http", "target_port": 80, "certificate_id": ""},
    ]);
    control
        .change("load_balancers", "4de7ac8b-495b-4884-9a69-1050c6793cd6", json!({"forwarding_rules": rules}))
        .await
        .unwrap();
    let endpoint = json!({"certificate_id": id, "custom_domain": "static.example.com"});
    let endpoint = control.put("cdn/endpoints", endpoint).await.unwrap()["id"].as_str().unwrap().to_owned();
    (simulator, client, id, endpoint)
}

#[tokio::test]
async fn a_renewed_certificate_has_a_new_id_and_the_same_name_in_all_uses() {
    let (simulator, client, old, endpoint) = balanced().await;
    let renewed = simulator.control().renew_certificate(&old).await.unwrap();
    let new = renewed["id"].as_str().unwrap();
    assert_ne!(new, old);
    let certificates = client.get("/v2/certificates").await.json()["certificates"].clone();
    assert_eq!(certificates, json!([renewed]));
    assert_eq!(
        (&renewed["name"], client.get(&format!("/v2/certificates/{old}")).await.status.as_u16()),
        (&json!("www"), 404)
    );
    let rules = client.get("/v2/load_balancers").await.json()["load_balancers"][0]["forwarding_rules"].clone();
    assert_eq!((&rules[0]["certificate_id"], &rules[1]["certificate_id"]), (&json!(new), &json!("")));
    assert_eq!(client.get(&format!("/v2/cdn/endpoints/{endpoint}")).await.json()["endpoint"]["certificate_id"], new);
    assert!(simulator.control().renew_certificate(&old).await.is_err());
}

#[tokio::test]
async fn a_certificate_in_use_cannot_be_deleted() {
    let (simulator, client, id, endpoint) = balanced().await;
    let at = format!("/v2/certificates/{id}");
    assert_eq!(client.delete(&at).await.status, 403);
    let control = simulator.control();
    control.delete("cdn/endpoints", &endpoint).await.unwrap();
    assert_eq!(client.delete(&at).await.status, 403, "the load balancer has it still");
    control.delete("load_balancers", "4de7ac8b-495b-4884-9a69-1050c6793cd6").await.unwrap();
    assert_eq!(client.delete(&at).await.status, 204);
}

#[tokio::test]
async fn an_app_hides_its_secrets_and_deploys_changes() {
    let (simulator, client) = start(demo()).await;
    let spec = json!({
        "name": "shop", "region": "nyc",
        "services": [{
            "name": "web", "instance_count": 2, "github": {"repo": "a/b", "branch": "main", "deploy_on_push": false},
            "envs": [{"key": "TOKEN", "value": "hunter2", "type": "SECRET"}, {"key": "URL", "value": "http://a"}],
        }],
    });
    let created = client.post("/v2/apps", json!({"spec": spec})).await.json()["app"].clone();
    let at = format!("/v2/apps/{}", created["id"].as_str().unwrap());
    assert_eq!(
        (created.get("active_deployment"), &created["in_progress_deployment"]["spec"]),
        (None, &created["spec"])
    );
    tokio::time::sleep(Duration::from_millis(80)).await;
    let app = client.get(&at).await.json()["app"].clone();
    let service = &app["spec"]["services"][0];
    assert!(service["envs"][0]["value"].as_str().unwrap().starts_with("EV[1:"), "{service}");
    assert_eq!((&service["envs"][1]["value"], service["github"].get("deploy_on_push")), (&json!("http://a"), None));
    assert_eq!((&app["active_deployment"]["spec"], app.get("in_progress_deployment")), (&app["spec"], None));

    let mut changed = app["spec"].clone();
    changed["services"][0]["instance_count"] = json!(3);
    let answer = client.call("PUT", &at, Some(&json!({"spec": changed}))).await.json()["app"].clone();
    let deployment = answer["pending_deployment"]["id"].as_str().unwrap().to_owned();
    let deploying = client.get(&at).await.json()["app"].clone();
    assert_eq!((&deploying["spec"], &deploying["active_deployment"]["spec"]), (&changed, &app["spec"]));
    assert_eq!(deploying["in_progress_deployment"]["spec"], changed, "the ciphertext is taken back");
    tokio::time::sleep(Duration::from_millis(80)).await;
    let done = client.get(&format!("{at}/deployments/{deployment}")).await.json()["deployment"].clone();
    assert_eq!((&done["phase"], &done["spec"]), (&json!("ACTIVE"), &changed));
    assert_eq!(client.get(&at).await.json()["app"]["active_deployment"]["id"], deployment);

    let id = created["id"].as_str().unwrap();
    changed["services"][0]["instance_count"] = json!(5);
    simulator.control().change("apps", id, json!({"spec": changed})).await.unwrap();
    let app = client.get(&at).await.json()["app"].clone();
    assert_eq!((&app["spec"], &app["active_deployment"]["spec"]), (&changed, &changed));
    assert!(!app.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_droplet_is_rebuilt_from_a_custom_image_without_a_slug() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let image = control.put("images", json!({"name": "golden"})).await.unwrap();
    for given in [image["id"].clone(), json!(image["id"].to_string())] {
        control.change("droplets", "3164444", json!({"image": given})).await.unwrap();
        let live = client.get("/v2/droplets/3164444").await.json()["droplet"]["image"].clone();
        assert_eq!(
            (&live["name"], &live["slug"], &live["public"], &live["type"]),
            (&json!("golden"), &Value::Null, &json!(false), &json!("custom"))
        );
    }
    control.change("droplets", "3164444", json!({"image": "debian-13-x64"})).await.unwrap();
    let live = client.get("/v2/droplets/3164444").await.json()["droplet"]["image"].clone();
    assert_eq!((&live["slug"], &live["public"]), (&json!("debian-13-x64"), &json!(true)));
}

#[tokio::test]
async fn values_are_returned_in_the_spelling_of_the_api() {
    let (_simulator, client) = start(demo()).await;
    let project = client.post("/v2/projects", json!({"name": "p", "purpose": "my shop"})).await.json();
    assert_eq!(project["project"]["purpose"], "Other: my shop");
    let known = client.post("/v2/projects", json!({"name": "q", "purpose": "IoT"})).await.json();
    assert_eq!(known["project"]["purpose"], "IoT");
    let backend = "/v2/databases/9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";
    client.call("PUT", &format!("{backend}/maintenance"), Some(&json!({"day": "monday", "hour": "13:00"}))).await;
    assert_eq!(client.get(backend).await.json()["database"]["maintenance_window"]["hour"], "13:00:00");

    let request = json!({"name": "c", "region": "nyc3", "version": "1.34.1-do.0", "tags": ["mine"], "node_pools": [{"name": "p", "size": "s-1vcpu-2gb", "count": 1, "tags": ["blue"]}]});
    let cluster = client.post("/v2/kubernetes/clusters", request).await.json()["kubernetes_cluster"].clone();
    let own = format!("k8s:{}", cluster["id"].as_str().unwrap());
    assert_eq!(cluster["tags"], json!(["k8s", own, "mine"]));
    assert_eq!(cluster["node_pools"][0]["tags"], json!(["k8s", own, "k8s:worker", "blue"]));
    let at = format!(
        "/v2/kubernetes/clusters/{}/node_pools/{}",
        cluster["id"].as_str().unwrap(),
        cluster["node_pools"][0]["id"].as_str().unwrap()
    );
    tokio::time::sleep(Duration::from_millis(80)).await;
    let changed = client.call("PUT", &at, Some(&json!({"name": "p", "count": 1, "tags": ["green"]}))).await.json();
    assert_eq!(changed["node_pool"]["tags"], json!(["k8s", own, "k8s:worker", "green"]));
}

#[tokio::test]
async fn a_document_is_stored_unchanged() {
    let (simulator, client) = start(demo()).await;
    let control = simulator.control();
    let app = json!({"id": "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf", "spec": {"name": "a", "envs": [{"key": "K", "value": "plain", "type": "SECRET"}], "workers": []}});
    control.put_as_is("apps", app.clone()).await.unwrap();
    assert_eq!(client.get("/v2/apps").await.json()["apps"], json!([app]));
    assert_eq!(client.get("/v2/apps/4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf").await.json()["app"], app);
    let weekly = json!({"id": 7, "features": [], "next_backup_window": null, "backup_policy": {"plan": "weekly"}});
    control.put_as_is("droplets", weekly).await.unwrap();
    let droplet = client.get("/v2/droplets/7").await.json()["droplet"].clone();
    assert_eq!(droplet, json!({"id": 7, "features": [], "next_backup_window": null}));
    let policy = policies(&client).await["7"].clone();
    assert_eq!((&policy["backup_enabled"], &policy["backup_policy"]["weekday"]), (&json!(true), &json!("SUN")));
    assert!(control.put_as_is("vpcs", json!({"name": "without an id"})).await.is_err());
}
