//! Requests that the API server refuses, and the messages.

use serde_json::{Value, json};

use crate::world::{DROPLET, World};

/// An invalid change of a record, and the expected message.
type Case = (fn(&mut Value), &'static str);

fn record(change: impl Fn(&mut Value)) -> String {
    let mut record = json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "ProvisionedResource",
        "metadata": { "name": "web-1" },
        "spec": { "resource": { "kind": "Droplet", "id": DROPLET }, "desired": { "name": "web-1" } },
    });
    change(&mut record);
    record.to_string()
}

#[tokio::test]
async fn invalid_records_are_refused_with_helpful_messages() {
    let world = World::new("bad-records").await;
    let cases: [Case; 9] = [
        (
            |record| record["spec"]["resource"]["kind"] = json!("Dorplet"),
            r#"spec.resource.kind: Unsupported value: "Dorplet": supported values: "#,
        ),
        (|record| record["spec"]["resource"]["id"] = json!("web-1"), "must be digits"),
        (|record| record["spec"]["resource"]["id"] = json!(3_164_444), "spec.resource.id"),
        (|record| record["spec"]["resource"]["id"] = json!(""), "spec.resource.id"),
        (|record| record["spec"]["resource"] = json!({"kind": "Volume", "id": "12"}), "must be a UUID"),
        (|record| record["spec"]["desired"][""] = json!("x"), "a field's name must not be empty"),
        (|record| record["spec"]["drift"] = json!({"ignore": [""]}), "spec.drift.ignore[0]"),
        (
            |record| {
                record["spec"].as_object_mut().unwrap().remove("desired");
            },
            "spec.desired: Required value",
        ),
        (
            |record| {
                record["spec"]["desired"] =
                    (0..257).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
            },
            "spec.desired: Too many: 257: must have at most 256 items",
        ),
    ];
    for (change, message) in cases {
        let said = world.refused(&record(change)).await;
        assert!(said.contains(message), "wanted {message:?} in: {said}");
    }
    let said = world.refused(&record(|record| record["spec"]["onDrift"] = json!("Accept"))).await;
    assert!(said.contains("unknown field \"spec.onDrift\""), "{said}");
}

#[tokio::test]
async fn the_resource_of_a_record_is_immutable() {
    let world = World::new("immutable").await;
    world.kubectl().apply(&record(|_| ())).await.unwrap();
    let said = world.refused(&record(|record| record["spec"]["resource"]["id"] = json!("7"))).await;
    assert!(said.contains("resource must not change"), "{said}");
    // All other characters are allowed.
    let more = |record: &mut Value| {
        record["spec"]["suspend"] = json!(true);
        record["spec"]["desired"] =
            json!({"tags": ["a"], "networks.v4.0.ip_address": "1.2.3.4", "labels": {"a": {"b": [1]}}, "x": null});
    };
    world.kubectl().apply(&record(more)).await.unwrap();
    world.shows("pr/web-1", "{.metadata.generation}", "2").await;
}

#[tokio::test]
async fn a_record_that_is_not_reconciled_yet_does_not_count_as_finished() {
    let world = World::without_operator("untouched", digitalocean_simulator::RateLimits::default()).await;
    world.kubectl().apply(&record(|_| ())).await.unwrap();
    let generations = world.value("pr/web-1", "{.metadata.generation} {.status.observedGeneration}").await;
    assert_eq!(generations, "1 0", "kstatus takes a version that was not observed as in progress");
    let table = world.run(&["get", "pr", "-o", "wide"]).await;
    assert!(table.contains("Pending"), "{table}");
    let object = world.run(&["get", "pr", "web-1", "-o", "yaml"]).await;
    assert!(!object.contains("1970"), "{object}");
}

#[tokio::test]
async fn the_spec_of_a_drift_is_immutable() {
    let world = World::new("immutable-drift").await;
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    for patch in [r#"{"spec":{"actual":"forged"}}"#, r#"{"spec":{"field":"forged"}}"#, r#"{"spec":{"expected":"x"}}"#] {
        let tried = world.kubectl().run(&["patch", "drift", &drift, "--type=merge", "-p", patch]).await;
        let said = tried.unwrap_err().to_string();
        assert!(said.contains("the spec of a Drift must not change"), "{said}");
    }
    // A user's write to the object cannot touch the status.
    let patch = r#"{"status":{"phase":"Accepted"}}"#;
    world.run(&["patch", "drift", &drift, "--type=merge", "-p", patch]).await;
    world.shows(&format!("drift/{drift}"), "{.status.phase}", "Open").await;
}

#[tokio::test]
async fn drifts_can_be_selected_by_phase_record_field_and_kind() {
    let world = World::new("selectors").await;
    world.record("web-1", json!({"name": "other", "memory": 1})).await;
    world.has_drifts(&[["memory", "1", "4096", "Open"], ["name", "other", "web-1", "Open"]]).await;
    for (selector, found) in [
        ("status.phase=Open", 2),
        ("status.phase!=Open", 0),
        ("spec.field=memory", 1),
        ("spec.resourceRef.name=web-1,spec.field=name", 1),
        ("spec.resource.kind=Droplet", 2),
        ("spec.resource.kind=Volume", 0),
    ] {
        let names = world.run(&["get", "drifts", "--field-selector", selector, "-o", "name"]).await;
        assert_eq!(names.lines().count(), found, "{selector}: {names}");
    }
    let all = world.run(&["get", "arcadia", "-o", "name"]).await;
    assert_eq!(all.lines().count(), 3, "{all}");
    assert_eq!(
        world
            .run(&["get", "pr", "--field-selector", &format!("spec.resource.id={DROPLET}"), "-o", "name"])
            .await
            .lines()
            .count(),
        1
    );
}
