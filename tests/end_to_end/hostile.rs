//! Invalid values and decisions: each is answered, and none blocks anything else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{DROPLET, World, droplet, eventually};

/// A value nested in this many maps.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!("x"), |value, _| json!({ "a": value }))
}

#[tokio::test]
async fn a_record_nested_too_deeply_for_the_parser_blocks_no_other() {
    let mut world = World::new("deep").await;
    world.cloud.put("droplets", droplet("3164450", "other")).await.unwrap();
    world.record_as("deep", "Droplet", "3164450", json!({ "name": nested(300) }), json!({})).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    // Also at startup, when all records are listed.
    world.kill_operator();
    world.restart_operator();
    world.cloud.change("droplets", DROPLET, json!({"name": "odd"})).await.unwrap();
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    // kubectl reads what the test's own parser does not.
    let message = world.run(&["get", "pr/deep", "-o", "jsonpath={.status.conditions[*].message}"]).await;
    assert!(message.contains("name"), "{message}");
    world
        .run(&["patch", "pr", "deep", "--type=merge", "-p", r#"{"spec":{"desired":{"name":null,"memory":4096}}}"#])
        .await;
    world.reaches("pr/deep", "InSync", "True NoDrift").await;
}

#[tokio::test]
async fn a_recorded_value_of_another_form_is_a_drift_that_cannot_be_reverted() {
    let world = World::new("forms").await;
    let forms = [
        ("name", json!(["web-1"])),
        ("name", json!({"a": "web-1"})),
        ("name", json!(7)),
        ("tags", json!("web")),
        ("tags", json!({"web": true})),
        ("tags", json!([["web"], ["prod"]])),
        ("tags", json!([{"name": "web"}])),
        ("tags", json!(true)),
        ("volume_ids", json!("506f78a4-e098-11e5-ad9f-000f53306ae1")),
        ("features", json!({"backups": true})),
        ("size_slug", json!({"slug": "s-2vcpu-4gb"})),
        ("backups", json!("perhaps")),
        ("ipv6", json!([true])),
        ("status", json!("resting")),
        ("disk", json!("large")),
    ];
    let mut wanted = BTreeMap::new();
    for (number, (field, value)) in forms.iter().enumerate() {
        let id = (3_164_500 + number).to_string();
        world.cloud.put("droplets", droplet(&id, "web-1")).await.unwrap();
        let name = format!("form-{number}");
        world.record_as(&name, "Droplet", &id, json!({ *field: value }), json!({})).await;
        wanted.insert(name, format!("{field}: {value}"));
    }
    eventually("a drift of each", || async {
        let drifts = world.list("drifts").await;
        if drifts.len() == wanted.len() { Ok(()) } else { Err(drifts.len()) }
    })
    .await;
    world.run(&["annotate", "drifts", "--all", "arcadia.cloud/revert=allow-data-loss"]).await;
    eventually("an end of each decision", || async {
        let open: Vec<_> = world
            .list("drifts")
            .await
            .into_iter()
            .filter(|drift| {
                let is_decided = drift["metadata"]["annotations"]["arcadia.cloud/revert"].is_string();
                drift["status"]["phase"] == "Open" && is_decided
            })
            .map(|drift| format!("{}: {}", drift["spec"]["resourceRef"]["name"], drift["status"]["conditions"][0]))
            .collect();
        if open.is_empty() { Ok(()) } else { Err(open) }
    })
    .await;
    let mut said = Vec::new();
    for drift in world.list("drifts").await {
        let record = drift["spec"]["resourceRef"]["name"].as_str().unwrap().to_owned();
        let condition = &drift["status"]["conditions"][0];
        let (reason, message) = (condition["reason"].as_str().unwrap(), condition["message"].as_str().unwrap());
        // A number is also a valid name.
        let is_answered = match wanted[&record].as_str() {
            "name: 7" => drift["status"]["phase"] == "Reverted",
            _ => reason == "DecisionRefused" && message.ends_with('.'),
        };
        if !is_answered {
            said.push(format!("{}: {} {reason}: {message}", wanted[&record], drift["spec"]["revert"]));
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
}

#[tokio::test]
async fn tags_that_fit_no_path_fail_cleanly_and_change_nothing_else() {
    let world = World::new("tags").await;
    let before = world.cloud.inventory().await.unwrap();
    let odd = ["..", ".", "a/b", "../../droplets", "%2e%2e", "a b", "wéb🎉", "a?b=c", "a#b", "\u{202e}bew", "a\nb"];
    for tag in odd {
        let desired = json!({ "tags": ["web", "prod", tag] });
        world.record("web-1", desired).await;
        let drift = format!("drift/{}", world.open_drift().await);
        world.run(&["annotate", &drift, "arcadia.cloud/revert=true"]).await;
        eventually(&format!("an answer for {tag:?}"), || async {
            let reason = world.value(&drift, "{.status.reason}").await;
            let is_answered = ["RevertFailed", "DecisionRefused", "Reverted"].contains(&reason.as_str());
            if is_answered { Ok(()) } else { Err(reason) }
        })
        .await;
        world.record("web-1", json!({ "tags": ["web", "prod"] })).await;
        world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    }
    let after = world.cloud.inventory().await.unwrap();
    assert_eq!(after["droplets"], before["droplets"]);
}

#[tokio::test]
async fn decisions_in_quick_succession_end_in_an_explained_state() {
    let world = World::new("quick").await;
    world.record("web-1", json!({"name": "web-1", "tags": ["web", "prod"]})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    let revert = |value: &str| format!("arcadia.cloud/revert{value}");
    let accept = |value: &str| format!("arcadia.cloud/accept{value}");
    let sequences: [&[String]; 6] = [
        &[revert("=plan"), revert("=true"), revert("-")],
        &[revert("=true"), accept("=true"), revert("-")],
        &[accept("=true"), revert("=true"), accept("-"), revert("-"), revert("=true")],
        &[revert("=true"), revert("=allow-data-loss"), revert("=plan")],
        &[revert("=nonsense"), revert("="), revert("=TRUE"), accept("="), revert("=true")],
        &[revert("=plan"), accept("=odd"), revert("-")],
    ];
    for sequence in sequences {
        world.record("web-1", json!({"name": "web-1", "tags": ["web", "prod"]})).await;
        world.cloud.change("droplets", DROPLET, json!({"name": "odd"})).await.unwrap();
        let drift = format!("drift/{}", world.open_drift().await);
        for annotation in sequence {
            world.run(&["annotate", &drift, "--overwrite", annotation]).await;
        }
        eventually(&format!("rest after {sequence:?}"), || async {
            let sagas = world.value("sagas", "{.items[*].status.phase}").await;
            let is_active = ["Pending", "Running", "RollingBack", "Stuck"].iter().any(|phase| sagas.contains(phase));
            let is = world.get(&drift).await;
            let is_open = is["status"]["phase"] == "Open";
            let annotations = is["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
            let is_decided = annotations.keys().any(|key| key.ends_with("/accept") || key.ends_with("/revert"));
            if is_active || (is_open && is_decided) { Err((sagas, is["status"].clone(), annotations)) } else { Ok(()) }
        })
        .await;
        world.cloud.change("droplets", DROPLET, json!({"name": "web-1"})).await.unwrap();
        world.record("web-1", json!({"name": "web-1", "tags": ["web", "prod"]})).await;
        // The state of before may look the same: it is compared again.
        world.sync("web-1").await;
        world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    }
    let tags = world.cloud.get("droplets", DROPLET).await.unwrap().unwrap()["tags"].clone();
    assert_eq!(tags, json!(["web", "prod"]), "another field changed");
}
