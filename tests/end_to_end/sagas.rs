//! Sagas: carried out, undone, stuck and resolved, as people see them.

use serde_json::{Value, json};

use crate::world::{DROPLET, World, eventually};

impl World {
    /// Orders a saga.
    pub async fn order(&self, name: &str, spec: Value) {
        let manifest = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": name }, "spec": spec,
        });
        self.kubectl().apply(&manifest.to_string()).await.unwrap();
    }

    /// Waits until a saga is in this phase, and returns the whole of it.
    pub async fn saga_reaches(&self, name: &str, phase: &str) -> Value {
        eventually(&format!("saga {name} {phase}"), || async {
            let saga = self.saga(name).await;
            if saga["status"]["phase"] == phase { Ok(saga) } else { Err(saga["status"].to_string()) }
        })
        .await
    }

    pub async fn saga(&self, name: &str) -> Value {
        serde_json::from_str(&self.run(&["get", "saga", name, "-o", "json"]).await).unwrap()
    }
}

/// The states of a saga's steps.
fn states(saga: &Value) -> Vec<&str> {
    saga["status"]["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_droplet_is_snapshotted_and_the_journal_tells_of_it() {
    let world = World::new("saga-snapshot").await;
    let steps = json!([{"name": "snapshot", "step": "CreateDropletSnapshot"}]);
    let inputs = json!({"droplet_provider_id": DROPLET, "snapshot_label": "before-upgrade"});
    let spec = json!({"kind": "provision", "steps": steps, "inputs": inputs, "deploymentId": "dep-42",
                      "triggeredBy": "user:platform-admin"});
    world.order("snap", spec).await;
    let saga = world.saga_reaches("snap", "Succeeded").await;
    assert_eq!(states(&saga), ["Done"]);
    let id = saga["status"]["steps"][0]["output"]["snapshot_id"].as_str().unwrap();
    let snapshot = world.cloud.get("snapshots", id).await.unwrap().unwrap();
    assert!(snapshot["name"].as_str().unwrap().starts_with("before-upgrade-"), "{snapshot}");
    let table = world.run(&["get", "sagas"]).await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "KIND", "PHASE", "PROGRESS", "STEP", "DEPLOYMENT", "AGE"]);
    assert_eq!(rows[1][..6], ["snap", "provision", "Succeeded", "1/1", "snapshot", "dep-42"]);
    world.reaches("saga/snap", "Succeeded", "True Succeeded").await;
    world.reaches("saga/snap", "Reconciling", "False Succeeded").await;
    world.run(&["delete", "saga", "snap", "--timeout=20s"]).await;
}

#[tokio::test]
async fn what_was_done_is_undone_when_a_later_step_fails() {
    let world = World::new("saga-undo").await;
    let before = world.cloud.inventory().await.unwrap();
    let steps = json!([
        {"name": "snapshot", "step": "CreateDropletSnapshot"},
        {"name": "wait", "step": "Sleep", "with": {"seconds": 0}},
        {"name": "fail", "step": "Fail", "with": {"message": "made ${steps.snapshot.output.snapshot_id}"}},
    ]);
    world.order("undo", json!({"kind": "test", "steps": steps, "inputs": {"droplet_provider_id": DROPLET}})).await;
    let saga = world.saga_reaches("undo", "RolledBack").await;
    assert_eq!(states(&saga), ["Undone", "Undone", "Undone"]);
    let message = world.message("saga/undo", "Succeeded").await;
    assert!(message.starts_with("all is undone: step \"fail\" failed: made "), "{message}");
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
}

#[tokio::test]
async fn an_order_that_cannot_be_is_refused_before_anything_is_done() {
    let world = World::new("saga-invalid").await;
    world.order("bad", json!({"kind": "test", "steps": [{"name": "a", "step": "Slep"}]})).await;
    world.saga_reaches("bad", "Failed").await;
    assert_eq!(
        world.message("saga/bad", "Succeeded").await,
        "step \"a\": there is no step \"Slep\"; did you mean Sleep?; nothing was done"
    );
    let refused = world.run(&["get", "saga", "bad", "-o", "jsonpath={.metadata.finalizers}"]).await;
    assert_eq!(refused, "");
}
