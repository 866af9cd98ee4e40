//! Reverts: a saga restores the desired value of one field, and everything else is unchanged.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use crate::world::{DROPLET, World, eventually};

/// A record of the droplet, and a colleague's change of one field.
async fn drifted(test: &str, desired: Value, change: Value) -> (World, String) {
    let world = World::new(test).await;
    world.record("web-1", desired).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.cloud.change("droplets", DROPLET, change).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    (world, drift)
}

async fn live(world: &World) -> Value {
    world.cloud.get("droplets", DROPLET).await.unwrap().unwrap()
}

async fn is_phase(world: &World, drift: &str, phase: &str) {
    eventually(&format!("{drift} {phase}"), || async {
        let is = world.value(drift, "{.status.phase} {.status.reason} {.status.conditions[0].message}").await;
        if is.starts_with(phase) { Ok(()) } else { Err(is) }
    })
    .await;
}

#[tokio::test]
async fn a_revert_restores_only_one_field_by_a_saga() {
    let (world, drift) =
        drifted("revert", json!({"name": "web-1", "tags": ["web", "prod"]}), json!({"name": "odd"})).await;
    world.shows(&drift, "{.spec.revert}", "Safe").await;
    let table = world.run(&["get", "drifts"]).await;
    assert!(table.contains("REVERT") && table.contains("Safe"), "{table}");
    let before = live(&world).await;

    // The plan first: it changes nothing.
    world.run(&["annotate", &drift, "arcadia.cloud/revert=plan"]).await;
    eventually("the plan", || async {
        let plan = world.value(&drift, "{.status.plan}").await;
        let plan: Value = serde_json::from_str(&plan).unwrap_or_default();
        if plan["needs"] == "true" && plan["calls"][0]["method"] == "POST" { Ok(()) } else { Err(plan) }
    })
    .await;
    eventually("the annotation to go", || async {
        let annotations = world.value(&drift, "{.metadata.annotations}").await;
        if annotations.is_empty() { Ok(()) } else { Err(annotations) }
    })
    .await;
    assert_eq!(live(&world).await, before);
    assert_eq!(world.run(&["get", "sagas", "-o", "name"]).await, "");

    let because = "arcadia.cloud/because=typo in the console";
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true", because]).await;
    is_phase(&world, &drift, "Reverted").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.shows(&drift, "{.status.decidedBy}", "kubectl-annotate").await;
    world.shows(&drift, "{.status.because}", "typo in the console").await;
    let saga = world.value(&drift, "{.status.sagaRef.name}").await;
    world.shows(&format!("saga/{saga}"), "{.status.phase} {.spec.kind}", "Succeeded update").await;
    let owner = world.value(&format!("saga/{saga}"), "{.metadata.ownerReferences[0].kind}").await;
    assert_eq!(owner, "ProvisionedResource");
    let mut after = live(&world).await;
    assert_eq!(after["name"], "web-1");
    after["name"] = before["name"].clone();
    assert_eq!(after, before, "another field changed");
    world.has_event("web-1", "DriftReverted").await;
}

#[tokio::test]
async fn a_revert_with_a_worse_effect_is_refused_until_it_is_allowed() {
    let desired = json!({"size_slug": "s-2vcpu-4gb"});
    // The colleague did not grow the disk, so the droplet can shrink again.
    let resized = json!({"size_slug": "s-4vcpu-8gb", "disk": 80});
    let (world, drift) = drifted("allowed", desired, resized).await;
    let class = world.value(&drift, "{.spec.revert}").await;
    assert_eq!(class, "Disruptive");
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False DecisionRefused").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.contains("arcadia.cloud/revert=allow-disruption"), "{message}");
    assert_eq!(live(&world).await["size_slug"], "s-4vcpu-8gb");
    // The plan needs no permission, and the refusal is over.
    world.run(&["annotate", &drift, "arcadia.cloud/revert=plan"]).await;
    world.reaches(&drift, "Resolved", "False AwaitingDecision").await;
    assert_eq!(world.value(&drift, "{.status.plan.needs}").await, "allow-disruption");

    world.run(&["annotate", "--overwrite", &drift, "arcadia.cloud/revert=allow-disruption"]).await;
    is_phase(&world, &drift, "Reverted").await;
    let after = live(&world).await;
    assert_eq!((&after["size_slug"], &after["status"]), (&json!("s-2vcpu-4gb"), &json!("active")));
}

/// Decides a revert that loses data, which a milder permission does not allow.
async fn revert_and_lose(world: &World, drift: &str) {
    world.shows(drift, "{.spec.revert}", "Lossy").await;
    world.run(&["annotate", drift, "arcadia.cloud/revert=allow-disruption"]).await;
    world.reaches(drift, "Resolved", "False DecisionRefused").await;
    let message = world.message(drift, "Resolved").await;
    assert!(message.contains("is Lossy") && message.contains("arcadia.cloud/revert=allow-data-loss"), "{message}");
    assert_eq!(world.run(&["get", "sagas", "-o", "name"]).await, "");
    world.run(&["annotate", "--overwrite", drift, "arcadia.cloud/revert=allow-data-loss"]).await;
    is_phase(world, drift, "Reverted").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
}

/// The number of actions that were started on the droplet.
async fn actions(world: &World) -> u64 {
    world.cloud.requests().await.unwrap().count("POST /v2/droplets/*/actions")
}

/// The saga that reverts a drift.
async fn saga_of(world: &World, drift: &str) -> String {
    format!("saga/{}", world.value(drift, "{.status.sagaRef.name}").await)
}

#[tokio::test]
async fn backups_are_disabled_although_there_are_some_if_that_is_allowed() {
    let enabled = json!({"features": ["backups", "ipv6"], "backup_ids": [7_555_620]});
    let (world, drift) = drifted("backups", json!({"backups": false, "name": "web-1"}), enabled).await;
    let before = live(&world).await;
    revert_and_lose(&world, &drift).await;
    assert_eq!(actions(&world).await, 1);
    let after = live(&world).await;
    assert_eq!(after["features"], json!(["ipv6"]));
    let others = |droplet: &Value| {
        let mut droplet = droplet.clone();
        droplet
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !["features", "next_backup_window", "backup_policy"].contains(&key.as_str()));
        droplet
    };
    assert_eq!(others(&after), others(&before), "another field changed");
    world.shows(&saga_of(&world, &drift).await, "{.spec.steps[0].irreversible}", "true").await;
}

#[tokio::test]
async fn a_volume_is_detached_and_keeps_its_data_if_that_is_allowed() {
    let world = World::new("detached").await;
    let volume = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
    let droplets = json!([DROPLET.parse::<u64>().unwrap()]);
    let document =
        json!({"id": volume, "name": "data", "region": "nyc3", "size_gigabytes": 10, "droplet_ids": droplets});
    world.cloud.put("volumes", document).await.unwrap();
    world.cloud.change("droplets", DROPLET, json!({"volume_ids": [volume]})).await.unwrap();
    let before = world.cloud.get("volumes", volume).await.unwrap().unwrap();
    world.record("web-1", json!({"volume_ids": []})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    revert_and_lose(&world, &drift).await;
    assert_eq!(live(&world).await["volume_ids"], json!([]));
    let mut after = world.cloud.get("volumes", volume).await.unwrap().unwrap();
    assert_eq!(after["droplet_ids"], json!([]));
    after["droplet_ids"] = before["droplet_ids"].clone();
    assert_eq!(after, before, "another field of the volume changed");
}

#[tokio::test]
async fn a_resize_with_the_permission_to_lose_data_begins_with_a_snapshot() {
    let resized = json!({"size_slug": "s-4vcpu-8gb", "disk": 80});
    let (world, drift) = drifted("snapshot", json!({"size_slug": "s-2vcpu-4gb"}), resized).await;
    world.run(&["annotate", &drift, "arcadia.cloud/revert=allow-data-loss"]).await;
    is_phase(&world, &drift, "Reverted").await;
    // The snapshot, and then the shutdown, the resize and the power-on.
    let saga = saga_of(&world, &drift).await;
    world.shows(&saga, "{.spec.steps[*].step}", "CreateDropletSnapshot ResizeDroplet WaitForField").await;
    world.shows(&saga, "{.status.steps[*].state}", "Done Done Done").await;
    assert_eq!(actions(&world).await, 4);
    let after = live(&world).await;
    assert_eq!((&after["size_slug"], &after["status"]), (&json!("s-2vcpu-4gb"), &json!("active")));
    let inventory = world.cloud.inventory().await.unwrap();
    let snapshots: Vec<_> = inventory["snapshots"].as_object().unwrap().values().collect();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    assert_eq!(snapshots[0]["resource_id"], DROPLET);
}

#[tokio::test]
async fn a_colleague_between_the_read_and_the_write_loses_another_field_and_nothing_else_drifts() {
    // DigitalOcean has no conditional writes: docs/revert.md says so.
    let world = World::new("between").await;
    let before = firewall(&world).await;
    open_firewall(&world).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world
        .cloud
        .change_before_next_put("firewalls", FIREWALL, json!({"name": "theirs", "tags": ["web"]}))
        .await
        .unwrap();
    world.run(&["annotate", &drift, "arcadia.cloud/revert=allow-disruption"]).await;
    is_phase(&world, &drift, "Reverted").await;
    let after = world.cloud.get("firewalls", FIREWALL).await.unwrap().unwrap();
    assert_eq!((&after["name"], &after["tags"]), (&before["name"], &before["tags"]));
    assert_eq!(after["inbound_rules"], before["inbound_rules"]);
    world.reaches("pr/fw", "InSync", "True NoDrift").await;
    assert_eq!(world.drifts().await.len(), 1);
}

#[tokio::test]
async fn lists_that_lag_behind_a_revert_open_no_drift() {
    let (world, drift) = drifted("lag", json!({"name": "web-1"}), json!({"name": "odd"})).await;
    // Longer than the revert takes: afterwards the lists still show the earlier name for a while.
    world.cloud.inject(Fault::new("/v2/droplets", Effect::LagChanges { seconds: 6 })).await.unwrap();
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    is_phase(&world, &drift, "Reverted").await;
    for _ in 0..8 {
        world.sync("web-1").await;
        world.has_drifts(&[["name", "web-1", "odd", "Reverted"]]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(live(&world).await["name"], "web-1");
}

#[tokio::test]
async fn impossible_reverts_show_the_reason_and_malformed_ones_are_refused() {
    let (world, drift) = drifted("never", json!({"region": "nyc3"}), json!({"region": {"slug": "ams3"}})).await;
    world.shows(&drift, "{.spec.revert}", "NotRevertible").await;
    assert_ne!(world.value(&drift, "{.spec.revertNote}").await, "");
    for (annotations, words) in [
        (&["arcadia.cloud/revert=allow-data-loss"][..], "NotRevertible"),
        (&["arcadia.cloud/revert=yes"], "allow-disruption"),
        (&["arcadia.cloud/revert=true", "arcadia.cloud/accept=true"], "both set"),
    ] {
        world.run(&[&["annotate", &drift], annotations].concat()).await;
        eventually(words, || async {
            let message = world.message(&drift, "Resolved").await;
            let annotations = world.value(&drift, "{.metadata.annotations}").await;
            if message.contains(words) && annotations.is_empty() { Ok(()) } else { Err(message) }
        })
        .await;
    }
    world.cloud.delete("droplets", DROPLET).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/revert=allow-data-loss"]).await;
    world.reaches(&drift, "Resolved", "False DecisionRefused").await;
}

#[tokio::test]
async fn a_failed_revert_is_rolled_back_and_reported_on_the_drift() {
    let (world, drift) = drifted("fails", json!({"name": "web-1"}), json!({"name": "odd"})).await;
    let refused = Effect::Status { status: 422, retry_after: None, html: false };
    world.cloud.inject(Fault::new("/v2/droplets/*/actions", refused).method("POST")).await.unwrap();
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False RevertFailed").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.contains("saga revert-web-1-name-"), "{message}");
    world.shows(&drift, "{.status.phase}", "Open").await;
    assert_eq!(live(&world).await["name"], "odd");
    // A second decision succeeds.
    world.cloud.clear_faults().await.unwrap();
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    is_phase(&world, &drift, "Reverted").await;
}

#[tokio::test]
async fn a_revert_survives_a_crash_without_an_intermediate_verdict() {
    let desired = json!({"name": "web-1", "tags": ["web", "prod"]});
    let (mut world, drift) = drifted("crash", desired, json!({"name": "odd"})).await;
    // The action takes time, and a colleague changes another recorded field.
    world.cloud.inject(Fault::new("/v2/actions*", Effect::Latency { milliseconds: 1500 })).await.unwrap();
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False Reverting").await;
    world.kill_operator();
    world.restart_operator();
    world.cloud.change("droplets", DROPLET, json!({"tags": ["web"]})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.cloud.clear_faults().await.unwrap();
    is_phase(&world, &drift, "Reverted").await;
    world
        .has_drifts(&[["name", "web-1", "odd", "Reverted"], ["tags", r#"["web","prod"]"#, r#"["web"]"#, "Open"]])
        .await;
    assert_eq!(world.run(&["get", "sagas", "-o", "name"]).await.lines().count(), 1);
}

#[tokio::test]
async fn a_revert_under_a_standing_acceptance_restores_the_accepted_value() {
    let world = World::new("accepted").await;
    world.declare("web-1", json!({"name": "web-0"})).await;
    let first = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &first, "arcadia.cloud/accept=true"]).await;
    world.reaches(&first, "Standing", "True Accepted").await;
    world.reaches("pr/web-1", "ManifestCurrent", "False AcceptancesStand").await;
    world.cloud.change("droplets", DROPLET, json!({"name": "odd"})).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    world.shows(&drift, "{.spec.expected}", "web-1").await;
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    is_phase(&world, &drift, "Reverted").await;
    assert_eq!(live(&world).await["name"], "web-1");
    world.reaches(&first, "Standing", "True Accepted").await;
}

const FIREWALL: &str = "fb6045f1-cf1d-4ca3-bfac-18832663025b";

fn rule(ports: &str, from: &str) -> Value {
    json!({"protocol": "tcp", "ports": ports, "sources": {"addresses": [from]}})
}

/// A record of a firewall that is as it should be, and the firewall.
async fn firewall(world: &World) -> Value {
    let out = json!({"protocol": "tcp", "ports": "0", "destinations": {"addresses": ["0.0.0.0/0"]}});
    let firewall = json!({
        "id": FIREWALL, "name": "web", "status": "succeeded", "droplet_ids": [DROPLET.parse::<u64>().unwrap()],
        "tags": [], "inbound_rules": [rule("22", "10.0.0.0/8")], "outbound_rules": [out], "pending_changes": [],
    });
    world.cloud.put("firewalls", firewall).await.unwrap();
    world.record_as("fw", "Firewall", FIREWALL, json!({"inbound_rules": [rule("22", "10.0.0.0/8")]}), json!({})).await;
    world.reaches("pr/fw", "InSync", "True NoDrift").await;
    world.cloud.get("firewalls", FIREWALL).await.unwrap().unwrap()
}

/// Opens the firewall to everybody.
async fn open_firewall(world: &World) {
    let opened = json!({"inbound_rules": [rule("22", "10.0.0.0/8"), rule("22", "0.0.0.0/0")]});
    world.cloud.change("firewalls", FIREWALL, opened).await.unwrap();
}

#[tokio::test]
async fn a_firewall_rule_is_reverted_and_other_fields_are_kept() {
    let world = World::new("firewall").await;
    let before = firewall(&world).await;
    open_firewall(&world).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/revert=allow-disruption"]).await;
    is_phase(&world, &drift, "Reverted").await;
    let mut after = world.cloud.get("firewalls", FIREWALL).await.unwrap().unwrap();
    for key in ["pending_changes", "status"] {
        after[key] = before[key].clone();
    }
    assert_eq!(after, before);
}

#[tokio::test]
async fn the_class_follows_the_firewalls_that_select_by_a_tag() {
    let world = World::new("class").await;
    firewall(&world).await;
    world.record("web-1", json!({"tags": []})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.shows(&drift, "{.spec.revert}", "Safe").await;
    world.cloud.change("firewalls", FIREWALL, json!({"tags": ["web"]})).await.unwrap();
    world.shows(&drift, "{.spec.revert}", "Disruptive").await;
    let note = world.value(&drift, "{.spec.revertNote}").await;
    assert!(note.contains("selects resources by the tag web"), "{note}");
    let table = world.run(&["get", "drifts"]).await;
    assert!(table.contains("Disruptive"), "{table}");
    // Nothing is written as long as nothing changes.
    let version = world.value(&drift, "{.metadata.resourceVersion}").await;
    world.sync("web-1").await;
    world.sync("fw").await;
    assert_eq!(world.value(&drift, "{.metadata.resourceVersion}").await, version);
    world.cloud.change("firewalls", FIREWALL, json!({"tags": []})).await.unwrap();
    world.shows(&drift, "{.spec.revert} {.spec.revertNote}", "Safe").await;
    // A class that a user wrote does not stay.
    let forged = r#"{"spec":{"revert":"Lossy"}}"#;
    world.run(&["patch", &drift, "--type=merge", "-p", forged]).await;
    world.shows(&drift, "{.spec.revert}", "Safe").await;
}

#[tokio::test]
async fn a_decision_about_a_tag_finds_the_firewalls_that_nobody_recorded() {
    let world = World::new("unrecorded").await;
    let firewall = json!({"id": FIREWALL, "name": "web", "tags": ["web"], "inbound_rules": [rule("22", "10.0.0.0/8")]});
    world.cloud.put("firewalls", firewall).await.unwrap();
    world.record("web-1", json!({"tags": ["prod"]})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.shows(&drift, "{.spec.revert}", "Safe").await;
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False DecisionRefused").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.contains(&format!("Firewall {FIREWALL} selects resources by the tag web")), "{message}");
    assert!(message.contains("arcadia.cloud/revert=allow-disruption"), "{message}");
}

/// The warnings of the plan of a drift, in one text.
async fn planned_warnings(world: &World, drift: &str) -> String {
    world.run(&["annotate", drift, "arcadia.cloud/revert=plan"]).await;
    eventually("the plan", || async {
        let plan = world.value(drift, "{.status.plan}").await;
        if plan.is_empty() { Err(world.message(drift, "Resolved").await) } else { Ok(()) }
    })
    .await;
    world.value(drift, "{.status.plan.warnings}").await
}

#[tokio::test]
async fn a_plan_names_the_scopes_without_which_something_is_unknown() {
    let world = World::new("scopes").await;
    let forbidden = |path: &str| Fault::new(path, Effect::Status { status: 403, retry_after: None, html: false });
    for path in ["/v2/firewalls", "/v2/kubernetes/clusters"] {
        world.cloud.inject(forbidden(path)).await.unwrap();
    }
    world.record("web-1", json!({"tags": ["prod"]})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    let warnings = planned_warnings(&world, &drift).await;
    assert!(warnings.contains("may select by these tags; to list them, the token needs firewall:read."), "{warnings}");
    let volume = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
    world.cloud.put("volumes", json!({"id": volume, "name": "data", "region": "nyc3"})).await.unwrap();
    world.record_as("data", "Volume", volume, json!({"size_gigabytes": 500}), json!({})).await;
    let of_volume = "{.items[?(@.spec.field=='size_gigabytes')].metadata.name}";
    let drift = eventually("the drift of the volume", || async {
        let drift = world.value("drifts", of_volume).await;
        if drift.is_empty() { Err("none") } else { Ok(format!("drift/{drift}")) }
    })
    .await;
    let warnings = planned_warnings(&world, &drift).await;
    let wanted = "Whether a Kubernetes cluster owns the resource is unknown; the token needs kubernetes:read.";
    assert!(warnings.contains(wanted), "{warnings}");
}

#[tokio::test]
async fn a_resize_to_a_smaller_disk_is_not_revertible_from_the_start() {
    let world = World::new("smaller").await;
    world.record("web-1", json!({"size_slug": "s-1vcpu-1gb"})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.shows(&drift, "{.spec.revert}", "NotRevertible").await;
    let note = world.value(&drift, "{.spec.revertNote}").await;
    assert!(note.contains("cannot be shrunk, and the size `s-1vcpu-1gb` has only 25"), "{note}");
}

#[tokio::test]
async fn a_class_that_needs_the_sizes_follows_once_they_can_be_listed() {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("sizes", limits).await;
    world
        .cloud
        .inject(Fault::new("/v2/sizes", Effect::Status { status: 500, retry_after: None, html: false }))
        .await
        .unwrap();
    world.environment = vec![("FAILPOINTS", "sizes-pause=return(1)")];
    world.start_operator(&[]);
    world.record("web-1", json!({"size_slug": "s-1vcpu-1gb"})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    assert_ne!(world.value(&drift, "{.spec.revert}").await, "NotRevertible", "no size is known");
    world.cloud.clear_faults().await.unwrap();
    eventually("the class", || async {
        world.sync("web-1").await;
        let class = world.value(&drift, "{.spec.revert}").await;
        if class == "NotRevertible" { Ok(()) } else { Err(class) }
    })
    .await;
}

#[tokio::test]
async fn a_slow_api_delays_reverts_and_stalls_none() {
    let world = World::new("slow").await;
    firewall(&world).await;
    world.record("web-1", json!({"size_slug": "s-2vcpu-4gb"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    open_firewall(&world).await;
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-4vcpu-8gb", "disk": 80})).await.unwrap();
    let open = ["get", "drifts", "--field-selector", "status.phase=Open", "-o", "name"];
    let drifts = eventually("both drifts", || async {
        let drifts: Vec<_> = world.run(&open).await.lines().map(str::to_owned).collect();
        if drifts.len() == 2 { Ok(drifts) } else { Err(drifts) }
    })
    .await;
    // With a settle time of 4 s, a call is not sent later than 2 s after its intent. Each step reads three times before.
    world.cloud.inject(Fault::new("*", Effect::Latency { milliseconds: 800 })).await.unwrap();
    for drift in &drifts {
        world.run(&["annotate", drift, "arcadia.cloud/revert=allow-disruption"]).await;
    }
    for drift in &drifts {
        is_phase(&world, drift, "Reverted").await;
    }
    assert!(world.log().contains("renewed the intent"), "the API was not slow enough");
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.count(&format!("PUT /v2/firewalls/{FIREWALL}")), 1);
    let actions = requests.count(&format!("POST /v2/droplets/{DROPLET}/actions"));
    assert_eq!(actions, 3, "shut down, resize, power on");
}

/// Holds the sagas of reverts when they first read an action, until the faults are cleared.
async fn hold_actions(world: &World) {
    let unseen = Effect::Status { status: 503, retry_after: None, html: false };
    world.cloud.inject(Fault::new("/v2/actions*", unseen)).await.unwrap();
}

#[tokio::test]
async fn a_desired_value_that_changes_during_a_revert_ends_it_and_is_compared() {
    let (world, drift) = drifted("moved-on", json!({"name": "web-1"}), json!({"name": "odd"})).await;
    hold_actions(&world).await;
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False Reverting").await;
    // A saga that is Pending would be cancelled.
    let saga = world.value(&drift, "{.status.sagaRef.name}").await;
    world.shows(&format!("saga/{saga}"), "{.status.phase}", "Running").await;
    world.record("web-1", json!({"name": "web-2"})).await;
    world.cloud.clear_faults().await.unwrap();
    world.has_drifts(&[["name", "web-1", "odd", "Stale"], ["name", "web-2", "web-1", "Open"]]).await;
    world.reaches(&drift, "Resolved", "True DesiredChanged").await;
    world.shows(&format!("saga/{saga}"), "{.status.phase}", "Succeeded").await;
    world.has_event("web-1", "RevertFailed").await;
}

#[tokio::test]
async fn a_desired_value_that_changes_before_its_revert_begins_cancels_the_saga() {
    let (world, drift) = drifted("cancelled", json!({"name": "web-1"}), json!({"name": "odd"})).await;
    let sleep = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": "first" },
        "spec": {
            "kind": "test", "concurrencyKey": format!("Droplet/{DROPLET}"),
            "steps": [{ "name": "wait", "step": "Sleep", "with": { "seconds": 3600 } }],
        },
    });
    world.kubectl().apply(&sleep.to_string()).await.unwrap();
    world.shows("saga/first", "{.status.phase}", "Running").await;
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False Reverting").await;
    let saga = format!("saga/{}", world.value(&drift, "{.status.sagaRef.name}").await);
    world.reaches(&saga, "Succeeded", "Unknown WaitingForAnother").await;
    assert_eq!(world.value(&drift, "{.status.decision} {.status.decidedBy}").await, "true kubectl-annotate");
    // Another decision does not replace it: only the saga can be stopped.
    world.run(&["annotate", "--overwrite", &drift, "arcadia.cloud/revert=allow-data-loss"]).await;
    eventually("the decision as it was", || async {
        let message = world.message(&drift, "DecisionApplied").await;
        let decision = world.value(&drift, "{.metadata.annotations.arcadia\\.cloud/revert}").await;
        let is_answered = message.contains("to stop it, remove the annotation");
        if is_answered && decision == "true" { Ok(()) } else { Err(format!("{decision}: {message}")) }
    })
    .await;
    world.record("web-1", json!({"name": "web-2"})).await;
    world.has_drifts(&[["name", "web-1", "odd", "Stale"], ["name", "web-2", "odd", "Open"]]).await;
    world.reaches(&saga, "Succeeded", "False Cancelled").await;

    // A decision that is removed while its saga waits is withdrawn.
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False Reverting").await;
    let saga = format!("saga/{}", world.value(&drift, "{.status.sagaRef.name}").await);
    world.run(&["annotate", &drift, "arcadia.cloud/revert-"]).await;
    world.reaches(&saga, "Succeeded", "False Cancelled").await;
    world.reaches(&drift, "Resolved", "False AwaitingDecision").await;
    assert_eq!(live(&world).await["name"], "odd");
}

#[tokio::test]
async fn a_drift_deleted_during_its_revert_keeps_the_saga_and_is_reported_on_the_record() {
    let (world, drift) = drifted("deleted", json!({"name": "web-1"}), json!({"name": "odd"})).await;
    hold_actions(&world).await;
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False Reverting").await;
    let saga = world.value(&drift, "{.status.sagaRef.name}").await;
    world.run(&["delete", &drift]).await;
    world.sync("web-1").await;
    assert!(world.message("pr/web-1", "Ready").await.contains(&saga));
    world.shows("pr/web-1", "{.status.reason}", "Reverting").await;
    world.cloud.clear_faults().await.unwrap();
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(live(&world).await["name"], "web-1");
    world.shows(&format!("saga/{saga}"), "{.status.phase}", "Succeeded").await;
    assert!(world.drifts().await.is_empty());
}

#[tokio::test]
async fn the_third_revert_of_a_field_within_an_hour_is_refused() {
    let (world, mut drift) = drifted("thrice", json!({"name": "web-1"}), json!({"name": "odd"})).await;
    for name in ["odd-2", "odd-3"] {
        world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
        is_phase(&world, &drift, "Reverted").await;
        // Another tool changes it again. A list with the earlier value could be one that lags.
        world.cloud.change("droplets", DROPLET, json!({"name": name})).await.unwrap();
        drift = format!("drift/{}", world.open_drift().await);
    }
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False DecisionRefused").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.contains("reverted 2 times within the last hour and changed again each time"), "{message}");
    assert_eq!(live(&world).await["name"], "odd-3");
    // The plan is still shown, and the value can be accepted.
    world.run(&["annotate", &drift, "arcadia.cloud/revert=plan"]).await;
    world.shows(&drift, "{.status.plan.needs}", "true").await;
    world.run(&["annotate", &drift, "arcadia.cloud/accept=true"]).await;
    is_phase(&world, &drift, "Accepted").await;
}

#[tokio::test]
async fn a_resource_that_another_controller_owns_is_refused_and_the_owner_named() {
    let world = World::new("owned").await;
    let (balancer, cluster) = ("4e1bfbc3-dc3e-41f2-a18f-1b4d7ba71679", "3d80cb72-342b-4aaa-b92e-4e4abb24a933");
    let droplets: Value = json!([DROPLET.parse::<u64>().unwrap()]);
    let document = json!({"id": balancer, "name": "web", "region": "nyc3", "droplet_ids": droplets, "tag": ""});
    world.cloud.put("load_balancers", document).await.unwrap();
    world.cloud.put("kubernetes/clusters", json!({"id": cluster, "name": "prod"})).await.unwrap();
    // The droplet is a node of the cluster, and its Service has created the load balancer.
    world.cloud.change("droplets", DROPLET, json!({"tags": ["web", format!("k8s:{cluster}")]})).await.unwrap();
    world.record_as("lb", "LoadBalancer", balancer, json!({"name": "shop"}), json!({})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Resolved", "False DecisionRefused").await;
    let message = world.message(&drift, "Resolved").await;
    let wanted = format!("LoadBalancer {balancer} belongs to Kubernetes cluster prod, which would change it back");
    assert!(message.contains(&wanted), "{message}");
    assert_eq!(world.run(&["get", "sagas", "-o", "name"]).await, "");
}
