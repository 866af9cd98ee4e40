//! Acceptances with the steps in every other order than the documented one, with kubectl alone.

use serde_json::json;

use crate::world::{DROPLET, World, eventually, manifest};

const ACCEPT: &str = "arcadia.cloud/accept=true";
const OLD: &str = "old-name";

/// A record whose manifest has another name than the cloud, and its drift.
async fn declared(test: &str) -> (World, String) {
    let world = World::new(test).await;
    world.declare("web-1", json!({"name": OLD, "region": "nyc3"})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    (world, drift)
}

/// The same record and drift, accepted.
async fn accepted(test: &str) -> (World, String) {
    let (world, drift) = declared(test).await;
    annotate(&world, &drift, &[ACCEPT]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    (world, drift)
}

async fn annotate(world: &World, drift: &str, annotations: &[&str]) {
    world.run(&[&["annotate", drift, "--overwrite"][..], annotations].concat()).await;
}

async fn annotation(world: &World, drift: &str, name: &str) -> String {
    world.value(drift, &format!("{{.metadata.annotations.arcadia\\.cloud/{name}}}")).await
}

/// Waits until a decision is answered: by a condition with these words, and by its own event.
async fn answered(world: &World, drift: &str, words: &str) {
    eventually(&format!("an answer with {words}"), || async {
        let message = world.message(drift, "DecisionApplied").await;
        if message.contains(words) { Ok(()) } else { Err(message) }
    })
    .await;
    world.reaches(drift, "DecisionApplied", "False AlreadyResolved").await;
    told(world, drift, words).await;
}

/// Waits until an event on the drift contains these words.
async fn told(world: &World, drift: &str, words: &str) {
    let name = drift.strip_prefix("drift/").unwrap();
    let selector = format!("involvedObject.name={name}");
    eventually(&format!("an event with {words}"), || async {
        let notes = ["get", "events", "--field-selector", &selector, "-o", "jsonpath={.items[*].message}"];
        let notes = world.run(&notes).await;
        if notes.contains(words) { Ok(()) } else { Err(notes) }
    })
    .await;
}

#[tokio::test]
async fn annotations_in_unusual_orders_are_all_answered() {
    let (world, drift) = declared("odd-orders").await;
    // The end of the acceptance first: it waits for the decision.
    annotate(&world, &drift, &["arcadia.cloud/accept-until=9999-12-01T00:00:00Z"]).await;
    world.reaches(&drift, "Resolved", "False DecisionWaiting").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.starts_with("arcadia.cloud/accept-until decides nothing by itself"), "{message}");
    annotate(&world, &drift, &[ACCEPT]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    world.shows(&drift, "{.status.acceptance.until}", "9999-12-01T00:00:00Z").await;
    // The reason last.
    annotate(&world, &drift, &["arcadia.cloud/because=asked by finance"]).await;
    world.shows(&drift, "{.status.because}", "asked by finance").await;
    // Invalid ends, one after the other: each is refused with its own message, and the old end is restored.
    for (end, words) in [("2020-01-01T00:00:00Z", "is in the past"), ("-5m", "must be an RFC 3339 time")] {
        annotate(&world, &drift, &[&format!("arcadia.cloud/accept-until={end}")]).await;
        answered(&world, &drift, words).await;
        eventually("the end as it was", || async {
            let until = annotation(&world, &drift, "accept-until").await;
            if until == "9999-12-01T00:00:00Z" { Ok(()) } else { Err(until) }
        })
        .await;
    }
    // Withdrawn and reverted in one command: it is withdrawn, and the answer names the drift to revert.
    annotate(&world, &drift, &["arcadia.cloud/accept-", "arcadia.cloud/revert=true"]).await;
    world.reaches(&drift, "Standing", "False Withdrawn").await;
    let next = world.open_drift().await;
    answered(&world, &drift, "this drift is resolved already, as Accepted").await;
    assert_eq!(annotation(&world, &drift, "revert").await, "");
    // Another decision on the resolved drift names the open drift.
    annotate(&world, &drift, &["arcadia.cloud/accept-until=24h"]).await;
    answered(&world, &drift, &format!("decide Drift {next} instead")).await;
    // A revert has no end.
    let next = format!("drift/{next}");
    annotate(&world, &next, &["arcadia.cloud/revert=true", "arcadia.cloud/accept-until=1h"]).await;
    world.reaches(&next, "Resolved", "False DecisionRefused").await;
    world.shows(&next, "{.metadata.annotations}", "").await;
    assert_eq!(world.drifts().await.len(), 2);
}

#[tokio::test]
async fn a_new_end_after_the_end_is_answered() {
    let (world, drift) = declared("expired").await;
    annotate(&world, &drift, &[ACCEPT, "arcadia.cloud/accept-until=2s"]).await;
    world.reaches(&drift, "Standing", "False Expired").await;
    let next = world.open_drift().await;
    annotate(&world, &drift, &["arcadia.cloud/accept-until=24h"]).await;
    answered(&world, &drift, &format!("decide Drift {next} instead")).await;
    world.reaches(&drift, "Standing", "False Expired").await;
    assert_eq!(world.drifts().await.len(), 2);
}

#[tokio::test]
async fn a_reason_of_any_size_and_script_is_kept_and_shown_readably() {
    let (world, drift) = declared("because").await;
    let because = format!("\u{202e}мы так решили\u{200b} 日本語\n\u{1b}[31m{}", "é".repeat(60_000));
    annotate(&world, &drift, &[ACCEPT, &format!("arcadia.cloud/because={because}")]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    let kept: String =
        serde_json::from_str(&world.run(&["get", &drift, "-o", "jsonpath-as-json={.status.because}"]).await)
            .map(|[kept]: [String; 1]| kept)
            .unwrap();
    assert_eq!(kept, because);
    // The event shows the start of the text, with direction marks and control characters escaped.
    told(&world, &drift, r"\u202eмы так решили\u200b 日本語").await;
    let described = world.run(&["describe", "pr", "web-1"]).await;
    assert!(!described.contains(['\u{202e}', '\u{1b}']), "{described}");
}

#[tokio::test]
async fn removing_or_renaming_a_declared_field_ends_its_acceptance() {
    let (world, drift) = accepted("removed").await;
    world.declare("web-1", json!({"region": "nyc3"})).await;
    world.reaches(&drift, "Standing", "False ManifestChanged").await;
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;

    // A dotted field becomes a part of its map, and the map becomes a dotted field.
    let by_path = |level: u32| json!({"config.level": level, "config.disk": 80});
    let as_map = |level: u32| json!({"config": {"level": level, "disk": 80}});
    let world = World::new("notation").await;
    let config = json!({"config": {"level": 2, "disk": 80}});
    world.cloud.change("droplets", DROPLET, config).await.unwrap();
    world.declare("web-1", by_path(1)).await;
    let first = format!("drift/{}", world.open_drift().await);
    annotate(&world, &first, &[ACCEPT]).await;
    world.reaches(&first, "Standing", "True Accepted").await;
    world.declare("web-1", as_map(1)).await;
    world.reaches(&first, "Standing", "False ManifestChanged").await;
    let second = format!("drift/{}", world.open_drift().await);
    world.shows(&second, "{.spec.field}", "config").await;
    annotate(&world, &second, &[ACCEPT]).await;
    world.reaches(&second, "Standing", "True Accepted").await;
    // The record shows which part of the map is accepted.
    let acceptance = "{.status.acceptances[0].declared} {.status.acceptances[0].accepted}";
    world.shows("pr/web-1", acceptance, "level: 1 level: 2").await;
    assert!(world.message("pr/web-1", "ManifestCurrent").await.starts_with("config: level: 1 -> 2 is accepted"));
    // The accepted value in the other notation is the same value.
    world.declare("web-1", by_path(2)).await;
    world.reaches(&second, "Standing", "False InManifest").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(world.drifts().await.len(), 2);
}

#[tokio::test]
async fn a_policy_that_becomes_in_place_moves_what_stands_and_the_others_move_nothing() {
    let (world, drift) = accepted("policies").await;
    let declare = |policy: &'static str, name: &'static str| {
        let manifest =
            manifest("web-1", "Droplet", DROPLET, &json!({"name": name}), &json!({"drift": {"accept": policy}}));
        let world = &world;
        async move { world.kubectl().apply(&manifest).await.unwrap() }
    };
    declare("Standing", OLD).await;
    world.sync("web-1").await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    declare("InPlace", OLD).await;
    world.reaches(&drift, "Standing", "False InRecord").await;
    told(&world, &drift, "the accepted value was written there").await;
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.shows("pr/web-1", "{.spec.desired.name}", "web-1").await;
    world.shows(&drift, "{.status.acceptance.mode} {.status.manifestPatch}", "InPlace").await;
    // It is over, and a withdrawal says where the value is.
    annotate(&world, &drift, &["arcadia.cloud/accept-"]).await;
    answered(&world, &drift, "the accepted value is in the record").await;

    // The manifest restores its own value, as this policy requires.
    declare("InPlace", OLD).await;
    let second = format!("drift/{}", world.open_drift().await);
    // An end is ruled out for new decisions, and an acceptance that has one does not move.
    declare("Standing", OLD).await;
    annotate(&world, &second, &[ACCEPT, "arcadia.cloud/accept-until=1h"]).await;
    world.reaches(&second, "Standing", "True Accepted").await;
    declare("InPlace", OLD).await;
    world.sync("web-1").await;
    assert_eq!(world.condition(&second, "Standing").await, "True Accepted");
    // Nor does one whose live value moved on: a later acceptance replaces it.
    world.cloud.change("droplets", DROPLET, json!({"name": "newer"})).await.unwrap();
    let third = format!("drift/{}", world.open_drift().await);
    annotate(&world, &second, &["arcadia.cloud/accept-until-"]).await;
    told(&world, &second, "is accepted and stands without an end").await;
    annotate(&world, &third, &[ACCEPT]).await;
    world.reaches(&second, "Standing", "False Superseded").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.shows("pr/web-1", "{.spec.desired.name}", "newer").await;
    assert_eq!(world.drifts().await.len(), 3);
}

#[tokio::test]
async fn every_change_about_a_drift_that_is_over_is_answered() {
    let world = World::new("over").await;
    world.record("web-1", json!({"name": OLD})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    // Half of a decision waits for the other half.
    annotate(&world, &drift, &["arcadia.cloud/because=asked by finance"]).await;
    world.reaches(&drift, "Resolved", "False DecisionWaiting").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.starts_with("arcadia.cloud/because decides nothing by itself"), "{message}");
    annotate(&world, &drift, &[ACCEPT]).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(world.value(&drift, "{.status.acceptance.mode} {.status.because}").await, "InPlace asked by finance");
    // Further changes have no effect, and for each one a specific message reports this.
    annotate(&world, &drift, &["arcadia.cloud/because=asked by nobody"]).await;
    answered(&world, &drift, "status.because keeps the reason").await;
    assert_eq!(world.value(&drift, "{.metadata.annotations} {.status.because}").await, " asked by finance");
    for late in [ACCEPT, "arcadia.cloud/because=again", "arcadia.cloud/accept-until=1h", "arcadia.cloud/revert=true"] {
        annotate(&world, &drift, &[late]).await;
        answered(&world, &drift, "nothing is left to decide").await;
        eventually("the annotations to go", || async {
            let left = world.value(&drift, "{.metadata.annotations}").await;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
    }
    world.cloud.change("droplets", DROPLET, json!({"name": "third"})).await.unwrap();
    let next = format!("drift/{}", world.open_drift().await);
    world.cloud.change("droplets", DROPLET, json!({"name": "web-1"})).await.unwrap();
    world.reaches(&next, "Resolved", "True LiveReturned").await;
    annotate(&world, &next, &["arcadia.cloud/because=too late"]).await;
    answered(&world, &next, "this drift is resolved already, as Stale").await;
}

#[tokio::test]
async fn a_suspended_record_answers_decisions_about_its_acceptance() {
    let (world, drift) = accepted("suspended").await;
    let suspend = |suspend: bool| format!(r#"{{"spec":{{"suspend":{suspend}}}}}"#);
    world.run(&["patch", "pr", "web-1", "--type=merge", "-p", &suspend(true)]).await;
    world.reaches("pr/web-1", "Ready", "Unknown Suspended").await;
    annotate(&world, &drift, &["arcadia.cloud/accept=another"]).await;
    answered(&world, &drift, "the acceptance stands").await;
    annotate(&world, &drift, &["arcadia.cloud/accept-"]).await;
    world.reaches(&drift, "Standing", "False Withdrawn").await;
    assert_eq!(world.drifts().await.len(), 1, "nothing is compared");
    world.run(&["patch", "pr", "web-1", "--type=merge", "-p", &suspend(false)]).await;
    world.open_drift().await;
}

#[tokio::test]
async fn a_deleted_or_orphaned_drift_ends_its_acceptance() {
    let (mut world, drift) = accepted("deleted").await;
    world.run(&["delete", &drift]).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
    annotate(&world, &drift, &[ACCEPT]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;

    world.kill_operator();
    world.environment = vec![("FAILPOINTS", "orphans-rest=return(1)")];
    world.restart_operator();
    // As after --cascade=orphan. The garbage collector needs half a minute for a new kind.
    let orphan = r#"{"metadata":{"ownerReferences":null}}"#;
    world.run(&["patch", &drift, "--type=merge", "-p", orphan]).await;
    world.run(&["delete", "pr", "web-1"]).await;
    world.reaches(&drift, "Standing", "False RecordGone").await;
    annotate(&world, &drift, &["arcadia.cloud/accept-until=24h"]).await;
    answered(&world, &drift, "the record of this drift is gone").await;
    // The record is created again, and the drift opens again.
    world.declare("web-1", json!({"name": OLD, "region": "nyc3"})).await;
    assert_ne!(format!("drift/{}", world.open_drift().await), drift);
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
}

#[tokio::test]
async fn server_side_apply_conflicts_only_with_values_that_the_operator_wrote() {
    let world = World::new("conflicts").await;
    let apply = |name: &'static str, manager: &'static str, force: bool| {
        let record = manifest("web-1", "Droplet", DROPLET, &json!({"name": name}), &json!({}));
        let (kubectl, manager) = (world.kubectl(), format!("--field-manager={manager}"));
        async move {
            let force = format!("--force-conflicts={force}");
            let applied =
                kubectl.run_with_input(&["apply", "--server-side", "-f", "-", &manager, &force], &record).await;
            applied.map(drop).map_err(|error| error.to_string())
        }
    };
    // Of two manifests with one field, the second conflicts with the first, independent of an acceptance.
    apply(OLD, "team-a", false).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    annotate(&world, &drift, &[ACCEPT]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    let conflict = apply("web-1", "team-b", false).await.unwrap_err();
    assert!(conflict.contains("team-a") && !conflict.contains("arcadia-operator"), "{conflict}");
    apply(OLD, "team-b", false).await.unwrap();
    apply("web-1", "team-b", true).await.unwrap();
    world.reaches(&drift, "Standing", "False InManifest").await;

    // The operator owns a value that it wrote into the record until a manifest takes it over.
    world.cloud.put("droplets", crate::world::droplet("2", "web-2")).await.unwrap();
    world.record_as("web-2", "Droplet", "2", json!({"name": OLD}), json!({})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    annotate(&world, &drift, &[ACCEPT]).await;
    world.reaches("pr/web-2", "InSync", "True NoDrift").await;
    let record = manifest("web-2", "Droplet", "2", &json!({"name": OLD}), &json!({}));
    let apply = ["apply", "--server-side", "-f", "-"];
    let conflict = world.kubectl().run_with_input(&apply, &record).await.unwrap_err().to_string();
    assert!(conflict.contains(r#"conflict with "arcadia-operator""#), "{conflict}");
    world.kubectl().run_with_input(&[&apply[..], &["--force-conflicts"]].concat(), &record).await.unwrap();
    world
        .has_drifts(&[
            ["name", OLD, "web-1", "Accepted"],
            ["name", OLD, "web-2", "Accepted"],
            ["name", OLD, "web-2", "Open"],
        ])
        .await;
}
