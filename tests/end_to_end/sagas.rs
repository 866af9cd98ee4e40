//! Sagas: executed, rolled back, stuck and resolved, as users see them.

use std::time::Duration;

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use crate::world::{DROPLET, World, eventually};

impl World {
    /// Creates a saga.
    pub(crate) async fn order(&self, name: &str, spec: Value) {
        let manifest = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": name }, "spec": spec,
        });
        self.kubectl().apply(&manifest.to_string()).await.unwrap();
    }

    /// Waits until a saga is in this phase, and returns it.
    pub(crate) async fn saga_reaches(&self, name: &str, phase: &str) -> Value {
        eventually(&format!("saga {name} {phase}"), || async {
            let saga = self.saga(name).await;
            if saga["status"]["phase"] == phase { Ok(saga) } else { Err(saga["status"].to_string()) }
        })
        .await
    }

    pub(crate) async fn saga(&self, name: &str) -> Value {
        self.get(&format!("saga/{name}")).await
    }
}

/// The states of a saga's steps.
fn states(saga: &Value) -> Vec<&str> {
    saga["status"]["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_snapshot_of_a_droplet_is_recorded_in_the_journal() {
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
    assert_eq!(world.condition("saga/snap", "Reconciling").await, "", "it has ended");
    world.run(&["delete", "saga", "snap", "--timeout=20s"]).await;
}

#[tokio::test]
async fn completed_steps_are_undone_when_a_later_step_fails() {
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
    assert!(message.starts_with("all steps are undone: step \"fail\" failed: made "), "{message}");
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
}

#[tokio::test]
async fn an_invalid_order_is_refused_before_the_first_call() {
    let world = World::new("saga-invalid").await;
    world.order("bad", json!({"kind": "test", "steps": [{"name": "a", "step": "Slep"}]})).await;
    world.saga_reaches("bad", "Failed").await;
    assert_eq!(
        world.message("saga/bad", "Succeeded").await,
        "step \"a\": there is no step \"Slep\"; did you mean Sleep?; nothing was changed"
    );
    let refused = world.run(&["get", "saga", "bad", "-o", "jsonpath={.metadata.finalizers}"]).await;
    assert_eq!(refused, "");
}

/// A step that takes a snapshot of the world's droplet.
fn snapshot(name: &str) -> Value {
    json!({"name": name, "step": "CreateDropletSnapshot", "with": {"droplet_provider_id": DROPLET}})
}

fn sleep(name: &str, seconds: u32) -> Value {
    json!({"name": name, "step": "Sleep", "with": {"seconds": seconds}})
}

fn status(code: u16) -> Effect {
    Effect::Status { status: code, retry_after: None, html: false }
}

#[tokio::test]
async fn a_cancelled_saga_stops_at_the_next_safe_point_and_rolls_back() {
    let world = World::new("saga-cancel").await;
    let before = world.cloud.inventory().await.unwrap();
    world.order("slow", json!({"kind": "test", "steps": [snapshot("snapshot"), sleep("wait", 600)]})).await;
    eventually("the second step", || async {
        let saga = world.saga("slow").await;
        if saga["status"]["progress"] == "1/2" { Ok(()) } else { Err(saga["status"].to_string()) }
    })
    .await;
    let cancel = r#"{"spec": {"cancelRequested": true}}"#;
    world.run(&["patch", "saga", "slow", "--type=merge", "-p", cancel]).await;
    world.saga_reaches("slow", "RolledBack").await;
    assert_eq!(world.message("saga/slow", "Succeeded").await, "all steps are undone: cancelled");
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
    eventually("the events", || async {
        let events = world.events("slow").await;
        if events == ["RollingBack", "RolledBack"] { Ok(()) } else { Err(events) }
    })
    .await;

    // Withdrawing the cancellation is refused, and so is cancelling a succeeded saga.
    let take_back = r#"{"spec": {"cancelRequested": false}}"#;
    let refused = world.kubectl().run(&["patch", "saga", "slow", "--type=merge", "-p", take_back]).await.unwrap_err();
    assert!(refused.to_string().contains("cancelRequested cannot be withdrawn"), "{refused}");
    world.order("quick", json!({"kind": "test", "steps": [sleep("wait", 0)]})).await;
    world.saga_reaches("quick", "Succeeded").await;
    world.run(&["patch", "saga", "quick", "--type=merge", "-p", cancel]).await;
    eventually("the event", || async {
        let events = world.events("quick").await;
        if events == ["CancelRefused"] { Ok(()) } else { Err(events) }
    })
    .await;
    assert_eq!(world.saga("quick").await["status"]["phase"], "Succeeded");
}

#[tokio::test]
async fn deleting_an_unfinished_saga_rolls_it_back_first() {
    let world = World::new("saga-delete").await;
    let before = world.cloud.inventory().await.unwrap();
    world.order("slow", json!({"kind": "test", "steps": [snapshot("snapshot"), sleep("wait", 600)]})).await;
    eventually("the second step", || async {
        let saga = world.saga("slow").await;
        if saga["status"]["progress"] == "1/2" { Ok(()) } else { Err(saga["status"].to_string()) }
    })
    .await;
    world.run(&["delete", "saga", "slow", "--timeout=30s"]).await;
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
    // A saga that has not started is deleted at once.
    world.order("waits", json!({"kind": "test", "suspend": true, "steps": [snapshot("snapshot")]})).await;
    world.run(&["delete", "saga", "waits", "--timeout=10s"]).await;
}

#[tokio::test]
async fn a_failed_undo_leaves_the_saga_stuck_until_a_person_resolves_it() {
    for (word, phase, left) in [("retry", "RolledBack", 0), ("skip", "RolledBack", 1), ("abandon", "Failed", 1)] {
        let world = World::new(&format!("saga-stuck-{word}")).await;
        world.cloud.inject(Fault::new("/v2/snapshots/*", status(403)).method("DELETE")).await.unwrap();
        let mut first = snapshot("snapshot");
        first["retry"] = json!({"attempts": 1, "minSeconds": 0});
        let fail = json!({"name": "fail", "step": "Fail", "with": {"message": "no"}});
        world.order("stuck", json!({"kind": "test", "steps": [first, fail]})).await;
        world.saga_reaches("stuck", "Stuck").await;
        world.reaches("saga/stuck", "Stalled", "True UndoFailed").await;
        let message = world.message("saga/stuck", "Stalled").await;
        assert!(message.contains("undoing step \"snapshot\" failed") && message.contains("resolve=retry"), "{message}");

        // An unknown resolution is reported and removed.
        world.run(&["annotate", "saga", "stuck", "arcadia.cloud/resolve=try"]).await;
        eventually("the refusal", || async {
            let events = world.events("stuck").await;
            if events.contains(&"ResolutionRefused".to_owned()) { Ok(()) } else { Err(events) }
        })
        .await;
        world.cloud.clear_faults().await.unwrap();
        let annotations = [
            &format!("arcadia.cloud/resolve={word}"),
            "arcadia.cloud/because=we know",
            "arcadia.cloud/decided-by=jane",
        ];
        world.run(&["annotate", "saga", "stuck", annotations[0], annotations[1], annotations[2]]).await;
        let saga = world.saga_reaches("stuck", phase).await;
        let resolution = &saga["status"]["resolutions"][0];
        assert_eq!(
            [&resolution["what"], &resolution["by"], &resolution["why"], &resolution["step"]],
            [word, "jane", "we know", "snapshot"]
        );
        let snapshots = world.cloud.inventory().await.unwrap()["snapshots"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(snapshots, left, "{word}");
        eventually("the annotations are taken off", || async {
            let annotations = world.value("saga/stuck", "{.metadata.annotations}").await;
            if annotations.contains("resolve") { Err(annotations) } else { Ok(()) }
        })
        .await;
        if word == "abandon" {
            let message = world.message("saga/stuck", "Succeeded").await;
            assert!(
                message.ends_with("not undone: snapshot, fail") || message.ends_with("not undone: snapshot"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn a_person_chooses_one_of_several_candidates() {
    let world = World::new("saga-adopt").await;
    // The response is lost, and meanwhile a colleague gave another snapshot the same name.
    let lost = Fault::new(format!("/v2/droplets/{DROPLET}/actions"), Effect::ResetAfter).method("POST").times(1);
    world.cloud.inject(lost).await.unwrap();
    let unseen = Fault::new(format!("/v2/droplets/{DROPLET}/snapshots"), status(503)).method("GET");
    world.cloud.inject(unseen).await.unwrap();
    world.order("doubt", json!({"kind": "test", "steps": [snapshot("snapshot")]})).await;
    let twin = eventually("the snapshot", || async {
        let inventory = world.cloud.inventory().await.unwrap();
        let found = inventory["snapshots"].as_object().and_then(|all| all.values().next().cloned());
        found.ok_or("none yet")
    })
    .await;
    let mut other = twin.clone();
    other["id"] = json!("999");
    world.cloud.put("snapshots", other).await.unwrap();
    world.cloud.clear_faults().await.unwrap();
    world.saga_reaches("doubt", "Stuck").await;
    let message = world.message("saga/doubt", "Stalled").await;
    assert!(message.contains("999") && message.contains("arcadia.cloud/adopt=ID"), "{message}");
    world.run(&["annotate", "saga", "doubt", "arcadia.cloud/adopt=12345"]).await;
    eventually("the refusal", || async {
        let events = world.events("doubt").await;
        if events.contains(&"ResolutionRefused".to_owned()) { Ok(()) } else { Err(events) }
    })
    .await;
    let id = twin["id"].as_str().unwrap();
    world.run(&["annotate", "saga", "doubt", &format!("arcadia.cloud/adopt={id}")]).await;
    let saga = world.saga_reaches("doubt", "Succeeded").await;
    assert_eq!(saga["status"]["steps"][0]["output"]["snapshot_id"], id);
    assert_eq!(saga["status"]["resolutions"][0]["what"], format!("adopt {id}"));
}

#[tokio::test]
async fn timeouts_of_steps_and_sagas_lead_to_a_rollback() {
    let world = World::new("saga-late").await;
    let before = world.cloud.inventory().await.unwrap();
    let mut late = sleep("wait", 600);
    late["timeoutSeconds"] = json!(1);
    world.order("step", json!({"kind": "test", "steps": [snapshot("snapshot"), late]})).await;
    let whole = json!({"kind": "test", "timeoutSeconds": 1, "steps": [sleep("a", 0), sleep("wait", 600)]});
    world.order("whole", whole).await;
    world.saga_reaches("step", "RolledBack").await;
    world.saga_reaches("whole", "RolledBack").await;
    let message = world.message("saga/step", "Succeeded").await;
    assert!(message.starts_with("all steps are undone: step \"wait\" failed: not done within 1 s"), "{message}");
    assert_eq!(
        world.message("saga/whole", "Succeeded").await,
        "all steps are undone: not done within its timeout of 1 s"
    );
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
}

#[tokio::test]
async fn a_temporary_failure_is_retried_and_waiting_counts_as_no_attempt() {
    let world = World::new("saga-retry").await;
    let actions = format!("/v2/droplets/{DROPLET}/actions");
    // Refused temporarily, twice: more often than its single attempt.
    world.cloud.inject(Fault::new(&actions, status(429)).method("POST").times(2)).await.unwrap();
    let mut once = snapshot("snapshot");
    once["retry"] = json!({"attempts": 1});
    world.order("waits", json!({"kind": "test", "steps": [once]})).await;
    let saga = world.saga_reaches("waits", "Succeeded").await;
    assert_eq!(saga["status"]["steps"][0]["attempts"], 1, "{}", saga["status"]);

    world.cloud.inject(Fault::new(&actions, status(500)).method("POST").times(2)).await.unwrap();
    let mut thrice = snapshot("snapshot");
    thrice["retry"] = json!({"attempts": 3, "minSeconds": 0});
    world.order("tries", json!({"kind": "test", "steps": [thrice]})).await;
    let saga = world.saga_reaches("tries", "Succeeded").await;
    assert_eq!(saga["status"]["steps"][0]["attempts"], 3, "{}", saga["status"]);

    let fail = json!({"name": "fail", "step": "Fail", "with": {"message": "not now", "transient": true},
                      "retry": {"attempts": 3, "minSeconds": 0}});
    world.order("fails", json!({"kind": "test", "steps": [fail]})).await;
    let saga = world.saga_reaches("fails", "RolledBack").await;
    assert_eq!(saga["status"]["steps"][0]["attempts"], 3);
}

#[tokio::test]
async fn one_saga_per_key_runs_and_the_others_name_the_saga_that_they_wait_for() {
    let world = World::new("saga-keys").await;
    let spec = |seconds| json!({"kind": "test", "deploymentId": "dep-1", "steps": [sleep("wait", seconds)]});
    world.order("first", spec(600)).await;
    world.saga_reaches("first", "Running").await;
    world.order("second", spec(0)).await;
    let mut other = spec(0);
    other["concurrencyKey"] = json!("another");
    world.order("other", other).await;
    world.saga_reaches("other", "Succeeded").await;
    world.reaches("saga/second", "Succeeded", "Unknown WaitingForAnother").await;
    assert_eq!(
        world.message("saga/second", "Succeeded").await,
        "waiting for saga first, which has the same concurrency key (dep-1)"
    );
    assert_eq!(world.saga("second").await["status"]["phase"], "Pending");
    world.run(&["patch", "saga", "first", "--type=merge", "-p", r#"{"spec": {"cancelRequested": true}}"#]).await;
    world.saga_reaches("second", "Succeeded").await;
}

#[tokio::test]
async fn simultaneous_sagas_with_one_key_run_one_after_another() {
    let world = World::new("saga-turns").await;
    // So that one saga runs when the other arrives, independent of the order of their names.
    let slow = Effect::Latency { milliseconds: 50 };
    world.cloud.inject(Fault::new("/v2/droplets/*", slow)).await.unwrap();
    let names: Vec<_> = (0..8).rev().map(|number| format!("turn-{number}")).collect();
    let sagas = names.iter().map(|name| {
        let steps = json!([snapshot("snapshot"), sleep("wait", 1)]);
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": name },
            "spec": { "kind": "test", "deploymentId": "dep-1", "steps": steps },
        })
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": sagas.collect::<Vec<_>>() });
    world.kubectl().apply(&list.to_string()).await.unwrap();
    let mut spans = Vec::new();
    for name in &names {
        let saga = world.saga_reaches(name, "Succeeded").await;
        let time = |field: &str| saga["status"][field].as_str().unwrap().to_owned();
        spans.push((time("startedAt"), time("finishedAt")));
    }
    spans.sort();
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two at once: {spans:?}");
    }
}

#[tokio::test]
async fn a_finished_saga_is_deleted_after_its_time_to_live() {
    let world = World::new("saga-ttl").await;
    let spec = json!({"kind": "test", "ttlSecondsAfterFinished": 1, "steps": [snapshot("snapshot")]});
    world.order("short", spec).await;
    eventually("it is gone", || async {
        let left = world.run(&["get", "saga", "short", "--ignore-not-found", "-o", "name"]).await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test]
async fn a_suspended_saga_is_neither_continued_nor_rolled_back_at_its_timeouts() {
    let world = World::new("saga-suspend").await;
    let tags = async || world.cloud.get("droplets", DROPLET).await.unwrap().unwrap()["tags"].clone();
    let before = tags().await;
    let label = json!({"name": "label", "step": "TagResource",
                       "with": {"tag": "suspended-test", "droplet_provider_id": DROPLET}});
    let ask = json!({"name": "ask", "step": "Approval", "timeoutSeconds": 6});
    world.order("paused", json!({"kind": "test", "timeoutSeconds": 20, "steps": [label, ask]})).await;
    eventually("it waits for approval", || async {
        let saga = world.saga("paused").await;
        if saga["status"]["steps"][1]["waitingFor"].is_string() { Ok(()) } else { Err(saga["status"].to_string()) }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let suspend = |suspend: bool| format!(r#"{{"spec": {{"suspend": {suspend}}}}}"#);
    world.run(&["patch", "saga", "paused", "--type=merge", "-p", &suspend(true)]).await;
    world.reaches("saga/paused", "Succeeded", "Unknown Suspended").await;
    let paused = world.saga("paused").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(world.saga("paused").await["status"], paused["status"], "nothing is written while it is suspended");
    assert_ne!(tags().await, before, "the tag is still there");

    // Cancelled while suspended: the rollback starts only after the resume.
    world.run(&["patch", "saga", "paused", "--type=merge", "-p", r#"{"spec": {"cancelRequested": true}}"#]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.saga("paused").await["status"]["phase"], "Running");
    world.run(&["patch", "saga", "paused", "--type=merge", "-p", &suspend(false)]).await;
    world.saga_reaches("paused", "RolledBack").await;
    assert_eq!(world.message("saga/paused", "Succeeded").await, "all steps are undone: cancelled");
    assert_eq!(tags().await, before);
}

#[tokio::test]
async fn the_approval_of_a_suspended_saga_keeps_its_full_timeout() {
    let world = World::new("saga-resume").await;
    let ask = json!({"name": "ask", "step": "Approval", "timeoutSeconds": 8});
    world.order("resumed", json!({"kind": "test", "steps": [ask]})).await;
    world.saga_reaches("resumed", "Running").await;
    world.run(&["patch", "saga", "resumed", "--type=merge", "-p", r#"{"spec": {"suspend": true}}"#]).await;
    world.reaches("saga/resumed", "Succeeded", "Unknown Suspended").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.run(&["patch", "saga", "resumed", "--type=merge", "-p", r#"{"spec": {"suspend": false}}"#]).await;
    world.reaches("saga/resumed", "Succeeded", "Unknown Running").await;
    world.run(&["annotate", "saga", "resumed", "arcadia.cloud/approve-ask=jane"]).await;
    world.saga_reaches("resumed", "Succeeded").await;
}

#[tokio::test]
async fn a_saga_of_kind_rollback_undoes_one_that_succeeded_and_only_once() {
    let world = World::new("saga-rollback").await;
    let before = world.cloud.inventory().await.unwrap();
    let steps = json!([snapshot("snapshot"), sleep("wait", 0)]);
    world.order("do", json!({"kind": "provision", "steps": steps})).await;
    world.saga_reaches("do", "Succeeded").await;
    assert_ne!(world.cloud.inventory().await.unwrap(), before);
    world.order("undo", json!({"kind": "rollback", "rollbackOf": {"name": "do"}})).await;
    let saga = world.saga_reaches("undo", "Succeeded").await;
    assert_eq!(states(&saga), ["Undone", "Undone"]);
    assert_eq!(world.cloud.inventory().await.unwrap(), before);
    let refusals = [
        ("again", "do", "saga undo has already undone it, or is undoing it; nothing was changed"),
        (
            "nothing",
            "none",
            "rollbackOf names saga \"none\", which does not exist in this namespace; nothing was changed",
        ),
    ];
    for (name, of, why) in refusals {
        world.order(name, json!({"kind": "rollback", "rollbackOf": {"name": of}})).await;
        world.saga_reaches(name, "Failed").await;
        assert_eq!(world.message(&format!("saga/{name}"), "Succeeded").await, why);
    }
}

#[tokio::test]
async fn the_spec_of_a_saga_is_immutable() {
    let world = World::new("saga-fixed").await;
    world
        .order("fixed", json!({"kind": "test", "inputs": {"seconds": 600}, "steps": [{"name": "a", "step": "Sleep"}]}))
        .await;
    world.saga_reaches("fixed", "Running").await;
    let refused = world
        .kubectl()
        .run(&["patch", "saga", "fixed", "--type=merge", "-p", r#"{"spec": {"kind": "update"}}"#])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("the spec of a Saga must not change"), "{refused}");
    // The operator finds the error that the definition's rules cannot express.
    world.run(&["patch", "saga", "fixed", "--type=merge", "-p", r#"{"spec": {"inputs": {"seconds": 0}}}"#]).await;
    world.saga_reaches("fixed", "Stuck").await;
    world.reaches("saga/fixed", "Stalled", "True OrderChanged").await;

    let refusals = [
        (json!({"kind": "test"}), "a saga must have 1 to 64 steps"),
        (json!({"kind": "rollback", "steps": [sleep("a", 0)]}), "one of kind rollback none"),
        (json!({"kind": "test", "steps": [sleep("a", 0), sleep("a", 1)]}), "the names of steps must differ"),
        (json!({"kind": "other", "steps": [sleep("a", 0)]}), "Unsupported value: \"other\""),
        (json!({"kind": "test", "steps": [sleep("A b", 0)]}), "should match"),
        (
            json!({"kind": "test", "steps": [{"name": "a", "step": "Sleep", "retry": {"minSeconds": 61}}]}),
            "retry.minSeconds (1 by default) must not be above retry.maxSeconds (60 by default)",
        ),
    ];
    for (spec, wanted) in refusals {
        let manifest = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": "no" }, "spec": spec,
        });
        let refused = world.refused(&manifest.to_string()).await;
        assert!(refused.contains(wanted), "{refused}");
    }
}
