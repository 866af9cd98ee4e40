//! The actions for Argo CD: the actions that each object offers, and the change that each makes.

use std::collections::BTreeMap;

use arcadia_operator::api::{self, annotations, saga::SagaPhase};
use control_plane::ControlPlane;
use jiff::Timestamp;
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::argocd::{config, run};

const PREFIX: &str = "resource.customizations.actions.arcadia.cloud_";

/// The actions of a kind, as Argo CD reads them.
fn actions(kind: &str) -> Value {
    serde_saphyr::from_str(config()[format!("{PREFIX}{kind}")].as_str().unwrap()).unwrap()
}

/// The enabled actions of each object.
fn offered(objects: &[Value]) -> Vec<Vec<String>> {
    let discoveries: Vec<_> =
        objects.iter().map(|object| actions(object["kind"].as_str().unwrap())["discovery.lua"].clone()).collect();
    let scripts: Vec<_> = discoveries.iter().zip(objects).collect();
    run(&scripts)
        .into_iter()
        .map(|discovered| {
            let actions: BTreeMap<String, Value> = serde_json::from_value(discovered.unwrap()).unwrap();
            actions.into_iter().filter(|(_, action)| action["disabled"] == false).map(|(name, _)| name).collect()
        })
        .collect()
}

/// Checks that each object offers exactly these actions.
fn offers(cases: &[(Value, &[&str])]) {
    let objects: Vec<_> = cases.iter().map(|(object, _)| object.clone()).collect();
    for (offered, (object, wanted)) in offered(&objects).iter().zip(cases) {
        assert_eq!(offered, wanted, "{object:#}");
    }
}

/// The object after an action.
fn after(action: &str, object: &Value) -> Value {
    let actions = actions(object["kind"].as_str().unwrap());
    let definitions = actions["definitions"].as_array().unwrap();
    let definition = definitions.iter().find(|definition| definition["name"] == action).unwrap();
    run(&[(&definition["action.lua"], object)]).remove(0).unwrap()
}

fn record(spec: &Value) -> Value {
    let mut record = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
        "metadata": {"name": "web-1"},
        "spec": {"resource": {"kind": "Droplet", "id": "3164444"}, "desired": {"tags": [], "memory": 4096}},
    });
    for (key, value) in spec.as_object().unwrap() {
        record["spec"][key] = value.clone();
    }
    record
}

fn drift(phase: Option<&str>, accept: Option<&str>, standing: Option<&str>) -> Value {
    let mut drift = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
        "metadata": {"name": "web-1-name-0000000000-1"},
        "spec": {"field": "name", "expected": "web-1", "actual": "other"},
    });
    if let Some(accept) = accept {
        drift["metadata"]["annotations"] = json!({(annotations::ACCEPT): accept, "example.com/other": "stays"});
    }
    if let Some(phase) = phase {
        drift["status"] = json!({"phase": phase, "conditions": []});
    }
    if let Some(standing) = standing {
        drift["status"]["conditions"] = json!([{"type": "Standing", "status": standing}]);
    }
    drift
}

fn saga(phase: &str, spec: &Value, resolve: Option<&str>) -> Value {
    let mut saga = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga",
        "metadata": {"name": "snapshot"}, "spec": spec, "status": {"phase": phase},
    });
    if let Some(resolve) = resolve {
        saga["metadata"]["annotations"] = json!({(annotations::RESOLVE): resolve});
    }
    saga
}

fn deleted(mut object: Value) -> Value {
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    object
}

fn with(mut drift: Value, path: &str, value: &str) -> Value {
    let (parent, key) = path.rsplit_once('/').unwrap();
    drift.pointer_mut(parent).unwrap()[key] = json!(value);
    drift
}

#[test]
fn a_drift_offers_only_possible_decisions() {
    let safe = with(drift(Some("Open"), None, None), "/spec/revert", "Safe");
    let mut decided = with(safe.clone(), "/spec/revert", "Safe");
    decided["metadata"]["annotations"] = json!({(annotations::REVERT): "true"});
    let reverted = decided.clone();
    offers(&[
        (safe, &["accept", "revert"]),
        (decided, &["withdraw"]),
        (with(drift(Some("Open"), None, None), "/spec/revert", "Lossy"), &["accept"]),
        (drift(None, None, None), &["accept"]),
        (drift(Some("Open"), None, None), &["accept"]),
        (drift(Some("Open"), Some("true"), None), &["withdraw"]),
        (drift(Some("Accepted"), Some("true"), None), &[]),
        (drift(Some("Accepted"), Some("true"), Some("True")), &["withdraw"]),
        (drift(Some("Accepted"), Some("true"), Some("False")), &[]),
        (drift(Some("Stale"), None, None), &[]),
        (drift(Some("Reverted"), None, None), &[]),
        (deleted(drift(Some("Open"), None, None)), &[]),
        (with(reverted.clone(), "/status/reason", "Reverting"), &[]),
        (with(reverted, "/status/reason", "RevertStuck"), &[]),
    ]);
}

#[test]
fn a_record_offers_a_sync_unless_it_is_suspended() {
    offers(&[
        (record(&json!({})), &["suspend", "sync-now"]),
        (record(&json!({"suspend": false})), &["suspend", "sync-now"]),
        (record(&json!({"suspend": true})), &["resume"]),
        (deleted(record(&json!({}))), &[]),
    ]);
}

#[test]
fn a_saga_offers_to_cancel_until_it_is_undone_and_to_retry_when_it_is_stuck() {
    let cases = SagaPhase::VARIANTS.iter().map(|phase| {
        let wanted: &[&str] = match phase {
            SagaPhase::Pending | SagaPhase::Running => &["cancel"],
            SagaPhase::Stuck => &["retry"],
            SagaPhase::RollingBack | SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed => &[],
        };
        (saga(phase.name(), &json!({}), None), wanted)
    });
    offers(&cases.collect::<Vec<_>>());
    offers(&[
        (json!({"kind": "Saga", "metadata": {"name": "new"}, "spec": {}}), &["cancel"]),
        (saga("Running", &json!({"suspend": true}), None), &["cancel"]),
        (saga("Running", &json!({"cancelRequested": true}), None), &[]),
        (deleted(saga("Running", &json!({}), None)), &[]),
        (saga("Stuck", &json!({}), Some("retry")), &[]),
        (deleted(saga("Stuck", &json!({}), None)), &["retry"]),
    ]);
}

#[test]
fn an_action_changes_only_its_own_fields() {
    let open = drift(Some("Open"), None, None);
    let mut accepted = open.clone();
    accepted["metadata"]["annotations"] = json!({(annotations::ACCEPT): "true"});
    assert_eq!(after("accept", &open), accepted);

    let mut reverted = open.clone();
    reverted["metadata"]["annotations"] = json!({(annotations::REVERT): "true"});
    assert_eq!(after("revert", &open), reverted);

    let mut standing = drift(Some("Accepted"), Some("other"), Some("True"));
    for annotation in [annotations::ACCEPT_UNTIL, annotations::BECAUSE, annotations::DECIDED_BY] {
        standing["metadata"]["annotations"][annotation] = json!("1h");
    }
    let mut withdrawn = standing.clone();
    withdrawn["metadata"]["annotations"] = json!({"example.com/other": "stays"});
    assert_eq!(after("withdraw", &standing), withdrawn);

    let suspended = record(&json!({"suspend": true}));
    assert_eq!(after("suspend", &record(&json!({}))), suspended);
    assert_eq!(after("resume", &suspended), record(&json!({"suspend": false})));

    let running = saga("Running", &json!({"kind": "provision"}), None);
    let cancelled = json!({"kind": "provision", "cancelRequested": true});
    assert_eq!(after("cancel", &running), saga("Running", &cancelled, None));
    let stuck = saga("Stuck", &json!({"kind": "provision"}), None);
    assert_eq!(after("retry", &stuck), saga("Stuck", &json!({"kind": "provision"}), Some("retry")));
}

#[test]
fn a_sync_is_requested_by_the_time_of_day() {
    let before = Timestamp::now();
    let mut requested = after("sync-now", &record(&json!({})));
    let annotation = requested["metadata"].as_object_mut().unwrap().remove("annotations").unwrap();
    let at: Timestamp = annotation[annotations::SYNC_REQUESTED_AT].as_str().unwrap().parse().unwrap();
    assert!((at.as_second() - before.as_second()).abs() < 60, "{at}");
    assert_eq!(requested, record(&json!({})));
}

#[tokio::test]
async fn the_api_server_accepts_the_changes_of_all_actions() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("actions").await.unwrap();
    let kubectl = namespace.kubectl();
    let definitions = api::crds_as_yaml().unwrap();
    kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &definitions).await.unwrap();
    kubectl.run(&["wait", "--for=condition=Established", "crd/provisionedresources.arcadia.cloud"]).await.unwrap();
    kubectl.apply(&record(&json!({})).to_string()).await.unwrap();
    for (action, path, wanted) in [
        ("sync-now", "{.metadata.generation} {.spec.suspend}", "1"),
        ("suspend", "{.metadata.generation} {.spec.suspend}", "2 true"),
        ("resume", "{.metadata.generation} {.spec.suspend}", "3 false"),
    ] {
        let live = kubectl.run(&["get", "pr", "web-1", "-o", "json"]).await.unwrap();
        // Argo CD patches the changes of an action. Actions never remove a field.
        let changed = after(action, &serde_json::from_str(&live).unwrap()).to_string();
        kubectl.run(&["patch", "pr", "web-1", "--type=merge", "-p", &changed]).await.unwrap();
        let value = kubectl.run(&["get", "pr", "web-1", "-o", &format!("jsonpath={path}")]).await.unwrap();
        assert_eq!(value.trim(), wanted, "{action}");
    }
}

#[test]
fn every_action_that_is_offered_is_defined() {
    let mut objects = [record(&json!({})), drift(None, None, None), saga("Stuck", &json!({}), None)];
    for object in &mut objects {
        let actions = actions(object["kind"].as_str().unwrap());
        let discovered = run(&[(&actions["discovery.lua"], object)]).remove(0).unwrap();
        let mut defined: Vec<_> = actions["definitions"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        defined.sort_by_key(ToString::to_string);
        assert_eq!(defined, discovered.as_object().unwrap().keys().collect::<Vec<_>>());
        for (name, action) in discovered.as_object().unwrap() {
            assert!(action["displayName"].is_string() && action["iconClass"].is_string(), "{name}: {action}");
        }
    }
}
