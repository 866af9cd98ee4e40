//! The lifecycle of records and drifts.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arcadia_operator::{
    api::{CloudResource, DriftPolicy, ProvisionedResourceSpec},
    digitalocean::Kind,
    drift::record_provisioned,
};
use control_plane::{ControlPlane, Options};
use digitalocean_simulator::RateLimits;
use serde_json::{Value, json};

use crate::world::{DROPLET, World, droplet, eventually, install};

#[tokio::test]
async fn a_drift_that_goes_away_is_stale_and_a_new_one_is_a_new_episode() {
    let world = World::new("episodes").await;
    world.record("web-1", json!({"name": "web-1", "region": "nyc3"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.cloud.change("droplets", DROPLET, json!({"name": "other"})).await.unwrap();
    world.has_drifts(&[["name", "web-1", "other", "Open"]]).await;
    world.cloud.change("droplets", DROPLET, json!({"name": "another"})).await.unwrap();
    world.has_drifts(&[["name", "web-1", "another", "Open"]]).await;
    world.cloud.change("droplets", DROPLET, json!({"name": "web-1"})).await.unwrap();
    world.has_drifts(&[["name", "web-1", "another", "Stale"]]).await;
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    world.has_drifts(&[["name", "web-1", "another", "Stale"], ["name", "web-1", "third", "Open"]]).await;
    let episodes =
        world.run(&["get", "drifts", "--sort-by=.spec.episode", "-o", "jsonpath={.items[*].spec.episode}"]).await;
    assert_eq!(episodes, "1 2");
}

#[tokio::test]
async fn resolved_drifts_beyond_the_limit_are_deleted() {
    let world = World::with("history", &["--drift-history-limit", "2"]).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    for round in 0..4 {
        let name = format!("other-{round}");
        world.cloud.change("droplets", DROPLET, json!({"name": name})).await.unwrap();
        world.open_drift().await;
        world.cloud.change("droplets", DROPLET, json!({"name": "web-1"})).await.unwrap();
        // The record may still show the verdict before the drift.
        eventually("the drift to end", || async {
            let drifts = world.list("drifts").await;
            if drifts.iter().all(|drift| drift["status"]["phase"] == "Stale") { Ok(()) } else { Err(drifts) }
        })
        .await;
    }
    world.has_drifts(&[["name", "web-1", "other-2", "Stale"], ["name", "web-1", "other-3", "Stale"]]).await;
}

#[tokio::test]
async fn the_older_of_two_records_for_one_droplet_takes_effect() {
    let world = World::new("twins").await;
    world.record("first", json!({"name": "one"})).await;
    world.open_drift().await;
    // Creation times are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.record("second", json!({"name": "two"})).await;
    world.reaches("pr/second", "Ready", "False DuplicateRecord").await;
    let message = world.message("pr/second", "Ready").await;
    assert!(message.contains(&format!("{}/first is older", world.namespace.name())), "{message}");
    world.reaches("pr/second", "Stalled", "True DuplicateRecord").await;
    world.has_drifts(&[["name", "one", "web-1", "Open"]]).await;

    // After the older record is deleted, the younger one takes effect, and the older one's drifts are deleted.
    world.run(&["delete", "pr", "first"]).await;
    world.has_drifts(&[["name", "two", "web-1", "Open"]]).await;
    world.reaches("pr/second", "Ready", "True Compared").await;
}

#[tokio::test]
async fn reordered_lists_and_changes_by_the_cloud_are_no_drift() {
    let world = World::new("habits").await;
    let desired = json!({
        "tags": ["prod", "web"], "region": "NYC3", "vcpus": "2", "memory": 4096.0, "monitoring": true, "ipv6": "false",
    });
    world.record("web-1", desired).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(world.message("pr/web-1", "InSync").await, "6 fields are as desired");
    assert!(world.drifts().await.is_empty());
}

#[tokio::test]
async fn an_unknown_field_is_reported_with_similar_names() {
    let world = World::new("typo").await;
    world.record("web-1", json!({"size_slg": "s-1vcpu-1gb", "name": "web-1"})).await;
    world.reaches("pr/web-1", "Ready", "False InvalidField").await;
    let message = world.message("pr/web-1", "Ready").await;
    assert!(message.starts_with("size_slg: no such field; did you mean size_slug"), "{message}");
    world.reaches("pr/web-1", "Stalled", "True InvalidField").await;
    assert!(world.drifts().await.is_empty());
    world.record("web-1", json!({"size_slug": "s-2vcpu-4gb", "name": "web-1"})).await;
    world.reaches("pr/web-1", "Ready", "True Compared").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
}

#[tokio::test]
async fn a_deleted_resource_opens_one_drift_on_exists() {
    let world = World::new("gone").await;
    world.record("web-1", json!({"name": "other", "region": "ams3", "size_slug": "s-2vcpu-4gb"})).await;
    world.has_drifts(&[["name", "other", "web-1", "Open"], ["region", "ams3", "nyc3", "Open"]]).await;
    let lookup = format!("GET /v2/droplets/{DROPLET}");
    let before = world.cloud.requests().await.unwrap().count(&lookup);
    world.cloud.delete("droplets", DROPLET).await.unwrap();
    world
        .has_drifts(&[
            ["exists", "true", "false", "Open"],
            ["name", "other", "web-1", "Stale"],
            ["region", "ams3", "nyc3", "Stale"],
        ])
        .await;
    world.reaches("pr/web-1", "InSync", "False ResourceGone").await;
    let lookups = world.cloud.requests().await.unwrap();
    assert_eq!(lookups.count(&lookup) - before, 2, "two lookups, and never one more");
    eventually("the event", || async {
        let events = world.events("web-1").await;
        if events.contains(&"ResourceGone".to_owned()) { Ok(()) } else { Err(events) }
    })
    .await;
    // The resource exists again, and its fields are compared again.
    world.cloud.put("droplets", droplet(DROPLET, "other")).await.unwrap();
    eventually("the drift on exists to close", || async {
        let open = world
            .run(&["get", "drifts", "--field-selector", "status.phase=Open", "-o", "jsonpath={.items[*].spec.field}"])
            .await;
        if open == "region" { Ok(()) } else { Err(open) }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_id_is_not_a_deleted_resource() {
    let world = World::new("never-seen").await;
    world.record_as("web-9", "Droplet", "9", json!({"name": "web-9"}), json!({})).await;
    world.reaches("pr/web-9", "Ready", "False ResourceNotFound").await;
    let message = world.message("pr/web-9", "Ready").await;
    assert_eq!(message, "Droplet 9 does not exist in this account; check the id and the token");
    assert!(world.drifts().await.is_empty());
    world.shows("pr/web-9", "{.status.firstSeenAt}", "").await;
    world.cloud.put("droplets", droplet("9", "web-9")).await.unwrap();
    world.reaches("pr/web-9", "InSync", "True NoDrift").await;
    assert!(!world.value("pr/web-9", "{.status.firstSeenAt}").await.is_empty());
    world.cloud.delete("droplets", "9").await.unwrap();
    world.has_drifts(&[["exists", "true", "false", "Open"]]).await;
}

#[tokio::test]
async fn a_listed_change_is_confirmed_by_one_read_before_its_drift_opens() {
    let world = World::new("confirmed").await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.cloud.reset_requests().await.unwrap();
    world.cloud.change("droplets", DROPLET, json!({"name": "other"})).await.unwrap();
    world.has_drifts(&[["name", "web-1", "other", "Open"]]).await;
    world.sync("web-1").await;
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.count(&format!("GET /v2/droplets/{DROPLET}")), 1, "{requests:?}");
}

#[tokio::test]
async fn a_suspended_record_is_not_reconciled() {
    let world = World::new("suspended").await;
    world.record_as("web-1", "Droplet", DROPLET, json!({"name": "other"}), json!({"suspend": true})).await;
    world.reaches("pr/web-1", "InSync", "Unknown Suspended").await;
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    world.sync("web-1").await;
    assert!(world.drifts().await.is_empty());
    world.run(&["patch", "pr", "web-1", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]).await;
    world.has_drifts(&[["name", "other", "third", "Open"]]).await;
}

#[tokio::test]
async fn changing_the_record_closes_its_drift() {
    let world = World::new("record").await;
    world.record("web-1", json!({"name": "one", "region": "ams3", "memory": 1})).await;
    world
        .has_drifts(&[
            ["memory", "1", "4096", "Open"],
            ["name", "one", "web-1", "Open"],
            ["region", "ams3", "nyc3", "Open"],
        ])
        .await;
    world
        .record_as(
            "web-1",
            "Droplet",
            DROPLET,
            json!({"name": "two", "region": "ams3"}),
            json!({"drift": {"ignore": ["region"]}}),
        )
        .await;
    world
        .has_drifts(&[
            ["memory", "1", "4096", "Stale"],
            ["name", "one", "web-1", "Stale"],
            ["name", "two", "web-1", "Open"],
            ["region", "ams3", "nyc3", "Stale"],
        ])
        .await;
    world.run(&["delete", "pr", "web-1"]).await;
    world.has_drifts(&[]).await;
}

#[tokio::test]
async fn other_kinds_are_compared_from_their_own_lists() {
    let world = World::new("kinds").await;
    world
        .cloud
        .put("volumes", json!({"id": "506f78a4-e098-11e5-ad9f-000f53306ae1", "name": "data", "size_gigabytes": 100}))
        .await
        .unwrap();
    world.cloud.put("domains", json!({"name": "example.com"})).await.unwrap();
    world
        .cloud
        .put(
            "domains/example.com/records",
            json!({"id": 28_448_429, "type": "A", "name": "@", "data": "192.0.2.1", "ttl": 1800}),
        )
        .await
        .unwrap();
    world
        .record_as(
            "data",
            "Volume",
            "506f78a4-e098-11e5-ad9f-000f53306ae1",
            json!({"size_gigabytes": 50, "name": "data"}),
            json!({}),
        )
        .await;
    world
        .record_as(
            "apex",
            "DomainRecord",
            "example.com/28448429",
            json!({"name": "example.com.", "data": "192.0.2.1", "ttl": 60}),
            json!({}),
        )
        .await;
    world.has_drifts(&[["size_gigabytes", "50", "100", "Open"], ["ttl", "60", "1800", "Open"]]).await;
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.count("GET /v2/droplets"), 0, "only recorded kinds are listed");
}

#[tokio::test]
async fn recording_from_code_is_an_upsert_whose_version_is_the_generation() {
    let world = World::new("upsert").await;
    let client = world.namespace.client().await.unwrap();
    let record = async |desired: Value| {
        let resource = CloudResource { kind: Kind::named("Droplet").unwrap(), id: DROPLET.into() };
        let desired = serde_json::from_value(desired).unwrap();
        let drift = DriftPolicy::default();
        let spec =
            ProvisionedResourceSpec { resource, desired, drift, suspend: false, provisioned_by: None, saga_ref: None };
        let record = record_provisioned(&client, world.namespace.name(), "web-1", &spec).await.unwrap();
        record.metadata.generation.unwrap()
    };
    assert_eq!(record(json!({"name": "web-1", "memory": 1})).await, 1);
    world.has_drifts(&[["memory", "1", "4096", "Open"]]).await;
    assert_eq!(record(json!({"name": "web-1", "memory": 1})).await, 1, "nothing is new");
    assert_eq!(record(json!({"name": "web-1", "memory": 4096})).await, 2);
    world.has_drifts(&[["memory", "1", "4096", "Stale"]]).await;
}

#[tokio::test]
async fn detection_waits_for_its_own_schedule() {
    let world = World::with("schedule", &["--detect-schedule", "1h"]).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.cloud.change("droplets", DROPLET, json!({"name": "other"})).await.unwrap();
    let before = world.cloud.requests().await.unwrap().count("GET /v2/droplets");
    eventually("three more sweeps", || async {
        let now = world.cloud.requests().await.unwrap().count("GET /v2/droplets");
        if now >= before + 6 { Ok(()) } else { Err(now) }
    })
    .await;
    assert!(world.drifts().await.is_empty());
    // A sync that a person requests does not wait.
    world.sync("web-1").await;
    world.has_drifts(&[["name", "web-1", "other", "Open"]]).await;
}

#[tokio::test]
async fn a_recreated_record_can_request_a_sync_with_the_same_text() {
    let world = World::with("again", &["--sync-schedule", "1h", "--inventory-max-age", "3h"]).await;
    let asked = async || {
        world.record("web-1", json!({"name": "web-1"})).await;
        world.reaches("pr/web-1", "InSync", "True NoDrift").await;
        let before = world.cloud.requests().await.unwrap().count("GET /v2/droplets");
        world.run(&["annotate", "pr", "web-1", "arcadia.cloud/sync-requested-at=please"]).await;
        world.shows("pr/web-1", "{.status.lastHandledSyncAt}", "please").await;
        world.cloud.requests().await.unwrap().count("GET /v2/droplets") - before
    };
    assert_eq!(asked().await, 2, "droplets and GPU droplets are listed");
    world.run(&["delete", "pr", "web-1"]).await;
    assert_eq!(asked().await, 2, "and again");
}

#[tokio::test]
async fn many_new_records_cost_a_few_lists_and_hardly_a_direct_request() {
    let mut world = World::without_operator("first-looks", RateLimits::default()).await;
    let id = |number: u32| (3_164_500 + number).to_string();
    for number in 1..=690 {
        world.cloud.put("droplets", droplet(&id(number), "web")).await.unwrap();
    }
    world.start_operator(&["--sync-schedule", "1h", "--inventory-max-age", "3h"]);
    world.record("web-0", json!({"name": "web-1"})).await;
    world.reaches("pr/web-0", "InSync", "True NoDrift").await;
    let calls = async |path: &str| world.cloud.requests().await.unwrap().count(path);
    let before = calls("GET /v2/droplets").await + calls("GET /v2/droplets/*").await;
    let record = |number: u32| {
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": {"name": format!("web-{number}")},
            "spec": {"resource": {"kind": "Droplet", "id": id(number)}, "desired": {"name": "web"}},
        })
    };
    let all = json!({"apiVersion": "v1", "kind": "List", "items": (1..=600).map(record).collect::<Vec<_>>()});
    world.kubectl().run_with_input(&["create", "-f", "-"], &all.to_string()).await.unwrap();
    let path = r#"jsonpath={.items[*].status.conditions[?(@.type=="InSync")].status}"#;
    eventually("a verdict for each", || async {
        let verdicts = world.run(&["get", "pr", "-o", path]).await;
        let known = verdicts.split(' ').filter(|verdict| *verdict == "True").count();
        if known == 601 { Ok(()) } else { Err(known) }
    })
    .await;
    let after = calls("GET /v2/droplets").await + calls("GET /v2/droplets/*").await;
    // A list has five pages, one of them for droplets with GPUs, and some seconds pass between two.
    assert!(after - before <= 4 + 5 * 4, "{}", after - before);

    // Later ones are answered from the rows that nobody had recorded.
    for number in 601..=660 {
        world.record_as(&format!("web-{number}"), "Droplet", &id(number), json!({"name": "web"}), json!({})).await;
    }
    for number in 601..=660 {
        world.reaches(&format!("pr/web-{number}"), "InSync", "True NoDrift").await;
    }
    let one_by_one = calls("GET /v2/droplets").await + calls("GET /v2/droplets/*").await - after;
    assert!(one_by_one <= 4 + 5 * 4, "{one_by_one}");
}

#[tokio::test]
async fn a_kind_with_a_limit_of_its_own_does_not_become_stale_on_a_short_schedule() {
    // Ten calls a minute are allowed for keys: the schedule uses them up in ten seconds.
    let arguments = ["--sync-schedule", "1s", "--inventory-max-age", "5s"];
    let world = World::with("own-limit", &arguments).await;
    world
        .cloud
        .put("account/keys", json!({"id": 512_190, "name": "key", "public_key": "ssh-ed25519 AAAA"}))
        .await
        .unwrap();
    world.record_as("key", "SSHKey", "512190", json!({"name": "key"}), json!({})).await;
    world.reaches("pr/key", "InSync", "True NoDrift").await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(25) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.condition("pr/key", "InSync").await, "True NoDrift", "{:?}", start.elapsed());
    }
    assert_eq!(world.events("key").await, Vec::<String>::new());
}

/// Every write except those of the API server to its own lease.
async fn our_writes(control_plane: &ControlPlane) -> BTreeMap<String, u64> {
    let mut writes = control_plane.write_counts().await.unwrap();
    writes.retain(|write, _| !write.ends_with(" leases"));
    writes
}

#[tokio::test]
async fn a_sweep_without_a_change_writes_nothing_even_after_an_api_server_outage() {
    let control_plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    install(&control_plane).await;
    let limits = RateLimits::HIGH;
    let mut world = World::on(&control_plane, "quiet", limits).await;
    world.api_server_restarts = true;
    for number in 1..=450 {
        let id = (3_164_444 + number).to_string();
        world.cloud.put("droplets", droplet(&id, &format!("web-{number}"))).await.unwrap();
    }
    // Without a lease: on a loaded machine the API server may restart more slowly than a lease expires.
    world.start_operator(&["--leader-elect=false"]);
    for (name, id) in [("a", DROPLET), ("b", "3164500"), ("c", "3164800")] {
        world.record_as(name, "Droplet", id, json!({"size_slug": "s-2vcpu-4gb", "name": "drifted"}), json!({})).await;
    }
    world.reaches("pr/c", "InSync", "False DriftOpen").await;
    world.reaches("pr/b", "InSync", "False DriftOpen").await;
    world.reaches("pr/a", "InSync", "False DriftOpen").await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let writes = our_writes(&control_plane).await;
    world.cloud.reset_requests().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let requests = world.cloud.requests().await.unwrap();
    let after = our_writes(&control_plane).await;
    assert_eq!(after, writes, "writes without news");
    let sweeps = requests.count("GET /v2/droplets") / 4;
    assert!(sweeps >= 3, "{requests:?}");
    // 451 droplets are three pages, and GPU droplets are listed separately.
    assert!(requests.total() <= (sweeps + 1) * 4, "{requests:?}");

    control_plane.stop_api_server().await.unwrap();
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-4vcpu-8gb"})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    control_plane.start_api_server().await.unwrap();
    world
        .has_drifts(&[
            ["name", "drifted", "web-1", "Open"],
            ["name", "drifted", "web-56", "Open"],
            ["name", "drifted", "web-356", "Open"],
            ["size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", "Open"],
        ])
        .await;
    assert!(world.operator.as_mut().unwrap().ended().is_none(), "the operator lives on");
}

#[tokio::test]
async fn a_restarted_operator_finds_its_drifts_again() {
    let mut world = World::new("restart").await;
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let version = world.value(&format!("drift/{drift}"), "{.metadata.resourceVersion}").await;
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    let record = world.value("pr/web-1", "{.metadata.resourceVersion}").await;
    for _ in 0..3 {
        world.kill_operator();
        world.restart_operator();
        world.sync("web-1").await;
    }
    world.shows(&format!("drift/{drift}"), "{.metadata.resourceVersion}", &version).await;
    assert_ne!(world.value("pr/web-1", "{.metadata.resourceVersion}").await, record, "the syncs were answered");
    assert_eq!(world.drifts().await.len(), 1);
}
