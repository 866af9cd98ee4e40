//! Writes that the API server refuses, and writes of others: a record reports the error and processes all other fields.

use serde_json::json;

use crate::world::{DROPLET, World, eventually};

/// Refuses to create the drift of one field.
pub(crate) const NO_DRIFT: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}
    resourceRules:
    - {apiGroups: [arcadia.cloud], apiVersions: ["*"], operations: [CREATE], resources: [drifts]}
  validations:
  - {expression: "object.spec.field != 'name'", message: "no drifts of names here"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [Deny]}
"#;

#[tokio::test]
async fn a_drift_that_the_api_server_refuses_is_named_and_the_others_open() {
    let mut world = World::new("refused").await;
    world.kill_operator();
    let policy = NO_DRIFT.replace("NAME", world.namespace.name());
    world.kubectl().apply(&policy).await.unwrap();
    let probe = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift", "metadata": { "name": "probe" },
        "spec": {
            "resourceRef": { "name": "x", "uid": "x" }, "resource": { "kind": "Droplet", "id": "1" },
            "field": "name", "episode": 1, "expected": "a", "actual": "b", "specVersion": 1,
        },
    });
    eventually("the policy to refuse", || async {
        let tried =
            world.kubectl().run_with_input(&["create", "--dry-run=server", "-f", "-"], &probe.to_string()).await;
        tried.err().map(|_| ()).ok_or("it was allowed")
    })
    .await;
    world.restart_operator();
    world.record("web-1", json!({"name": "other", "memory": 1, "size_slug": "s-8"})).await;
    world.has_drifts(&[["memory", "1", "4096", "Open"], ["size_slug", "s-8", "s-2vcpu-4gb", "Open"]]).await;
    world.reaches("pr/web-1", "Ready", "False WriteRefused").await;
    let message = world.message("pr/web-1", "Ready").await;
    assert!(message.starts_with("name: ") && message.contains("no drifts of names here"), "{message}");
    eventually("the differences", || async {
        let message = world.message("pr/web-1", "InSync").await;
        if message.contains("memory: 1 -> 4096") && message.contains("name: ") { Ok(()) } else { Err(message) }
    })
    .await;

    let name = world.namespace.name();
    world.run(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name]).await;
    world.reaches("pr/web-1", "Ready", "True Compared").await;
    assert_eq!(world.drifts().await.len(), 3);
}

#[tokio::test]
async fn a_field_whose_name_no_drift_can_hold_is_named_and_the_others_open() {
    let world = World::new("long-name").await;
    let long = "x".repeat(5000);
    world.cloud.change("droplets", DROPLET, json!({ &long: "live" })).await.unwrap();
    world.record("web-1", json!({ &long: "recorded", "name": "other" })).await;
    world.has_drifts(&[["name", "other", "web-1", "Open"]]).await;
    world.reaches("pr/web-1", "Ready", "False InvalidField").await;
    let message = world.message("pr/web-1", "Ready").await;
    assert!(message.starts_with("xxx") && message.contains("longer than 4096 characters"), "{message}");
}

#[tokio::test]
async fn foreign_writes_to_a_status_are_removed() {
    let world = World::new("status").await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    let own = async || {
        eventually("the operator's own status", || async {
            let columns = "{.status.driftedFields} {.status.openDrifts} {.status.driftedFieldsShort} {.status.reason}";
            let is = world.value("pr/web-1", columns).await;
            let stalled = world.condition("pr/web-1", "Stalled").await;
            let is_own = is.trim() == "0  NoDrift" && !stalled.starts_with("True");
            if is_own { Ok(()) } else { Err((is, stalled)) }
        })
        .await;
    };
    // A condition that the operator's own status does not have.
    let patch = r#"[{"op":"add","path":"/status/conditions/-","value":{"type":"Stalled","status":"True",
        "reason":"Theirs","message":"theirs","lastTransitionTime":"2026-01-01T00:00:00Z"}}]"#;
    world.run(&["patch", "pr", "web-1", "--subresource=status", "--type=json", "-p", patch]).await;
    own().await;
    let patch =
        r#"{"status":{"driftedFields":["theirs"],"openDrifts":7,"driftedFieldsShort":"theirs","reason":"Theirs"}}"#;
    world.run(&["patch", "pr", "web-1", "--subresource=status", "--type=merge", "-p", patch]).await;
    own().await;
    // A later change of the status is still written.
    world.cloud.change("droplets", DROPLET, json!({"name": "odd"})).await.unwrap();
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
}

#[tokio::test]
async fn an_ignored_field_that_is_not_recorded_is_named() {
    let world = World::new("ignored").await;
    let ignore = json!({"drift": {"ignore": ["nmae"]}});
    world.record_as("web-1", "Droplet", DROPLET, json!({"name": "web-1"}), ignore).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.reaches("pr/web-1", "Ready", "True Compared").await;
    let message = world.message("pr/web-1", "Ready").await;
    assert!(message.ends_with("spec.drift.ignore lists fields that are not recorded: nmae"), "{message}");
}
