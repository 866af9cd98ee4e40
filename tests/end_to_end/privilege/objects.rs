//! The objects that people and the operator act on, and a wait until the API server applies the policies.

use arcadia_operator::manifests::Installation;
use control_plane::Kubectl;
use serde_json::{Value, json};

use crate::world::{DROPLET, eventually};

/// An open drift, and a decided one.
pub(super) const OPEN: &str = "web-1-name-0000000000-1";
pub(super) const DECIDED: &str = "web-1-name-0000000000-2";

/// A running saga, a waiting one, a finished one, and a stuck one that a person has resolved.
pub(super) const UNDER_WAY: &str = "under-way";
pub(super) const WAITING: &str = "waiting";
pub(super) const OVER: &str = "over";
pub(super) const RESOLVED: &str = "resolved";

/// The messages of the policies.
pub(super) const CANNOT_WRITE: &str = "cannot write a Drift";
pub(super) const CANNOT_MARK: &str = "cannot set the annotation arcadia.cloud/last-accepted";
pub(super) const CANNOT_MARK_SAGA: &str = "cannot set, change or remove the label arcadia.cloud/revert-of";
pub(super) const MUST_NOT_CHANGE: &str = "the spec of a Saga must not change except cancelRequested, suspend";

/// Prints the user who decided.
pub(super) const SIGNATURE: &str = "jsonpath={.metadata.annotations.arcadia\\.cloud/decided-by}";

pub(super) async fn bind(kubectl: &Kubectl, user: &str, role: &str) {
    let (role, user_flag) = (format!("--clusterrole={role}"), format!("--user={user}"));
    kubectl.run(&["create", "rolebinding", user, &role, &user_flag]).await.unwrap();
}

pub(super) fn record(name: &str) -> Value {
    json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "ProvisionedResource",
        "metadata": { "name": name },
        "spec": { "resource": { "kind": "Droplet", "id": DROPLET }, "desired": { "name": "web-1" } },
    })
}

pub(super) fn drift(name: &str) -> Value {
    json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "Drift",
        "metadata": { "name": name },
        "spec": {
            "resourceRef": { "name": "web-1", "uid": "uid" },
            "resource": { "kind": "Droplet", "id": DROPLET },
            "field": "name", "episode": 1, "expected": "web-1", "actual": "other", "specVersion": 1,
        },
    })
}

pub(super) fn saga(name: &str) -> Value {
    json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "Saga",
        "metadata": { "name": name },
        "spec": {
            "kind": "test",
            "inputs": { "seconds": 600 },
            "steps": [{ "name": "go", "step": "Approval", "with": { "message": "now?" } }, { "name": "wait", "step": "Sleep" }],
        },
    })
}

/// Creates a saga, and sets this phase as the operator would.
pub(super) async fn order(kubectl: &Kubectl, installation: &Installation, saga: &Value, phase: &str) {
    let ordered = kubectl.run_with_input(&["create", "-f", "-", "-o", "json"], &saga.to_string()).await.unwrap();
    let mut saga: Value = serde_json::from_str(&ordered).unwrap();
    saga["status"] = json!({ "phase": phase });
    let arguments = ["replace", "--subresource=status", "-f", "-", "--as", &installation.username()];
    kubectl.run_with_input(&arguments, &saga.to_string()).await.unwrap();
}

pub(super) async fn create_as_operator(kubectl: &Kubectl, installation: &Installation, name: &str) {
    let arguments = ["create", "-f", "-", "--as", &installation.username()];
    kubectl.run_with_input(&arguments, &drift(name).to_string()).await.unwrap();
}

/// The API server learns of its policies after a moment: waits for each that refuses.
pub(super) async fn validation_in_force(kubectl: &Kubectl, installation: &Installation) {
    let refused = async |what: &str, arguments: &[&str], input: Value, words: &str| {
        eventually(what, || async {
            match kubectl.run_with_input(&[arguments, &["--dry-run=server"]].concat(), &input.to_string()).await {
                Err(error) if error.to_string().contains(words) => Ok(()),
                outcome => Err(outcome),
            }
        })
        .await;
    };
    refused("the policy on contents", &["create", "-f", "-"], drift("another"), CANNOT_WRITE).await;
    create_as_operator(kubectl, installation, "probe").await;
    let sign = ["annotate", "drift", "probe", "arcadia.cloud/decided-by=x"];
    refused("the policy on decisions", &sign, Value::Null, "decided-by must not be set").await;
    kubectl.apply(&record("probe").to_string()).await.unwrap();
    let mark = ["annotate", "pr", "probe", "arcadia.cloud/last-accepted=x"];
    refused("the policy on marks", &mark, Value::Null, CANNOT_MARK).await;
    kubectl.run_with_input(&["create", "-f", "-"], &saga("probe").to_string()).await.unwrap();
    let because = ["annotate", "saga", "probe", "arcadia.cloud/because=x"];
    refused("the policy on decisions about sagas", &because, Value::Null, "because must be set").await;
    let revert = ["label", "saga", "probe", "arcadia.cloud/revert-of=x"];
    refused("the policy on marks of reverts", &revert, Value::Null, CANNOT_MARK_SAGA).await;
    let reorder = ["patch", "saga", "probe", "--type=merge", "-p", r#"{"spec":{"inputs":{"seconds":1}}}"#];
    refused("the policy on orders", &reorder, Value::Null, MUST_NOT_CHANGE).await;
    kubectl.run(&["delete", "pr/probe", "drift/probe", "saga/probe"]).await.unwrap();
}

/// Also waits for the mutating policies.
pub(super) async fn in_force(kubectl: &Kubectl, installation: &Installation) {
    validation_in_force(kubectl, installation).await;
    create_as_operator(kubectl, installation, "probe").await;
    kubectl.run_with_input(&["create", "-f", "-"], &saga("probe").to_string()).await.unwrap();
    for (object, decision) in
        [("drift/probe", "arcadia.cloud/accept=true"), ("saga/probe", "arcadia.cloud/resolve=skip")]
    {
        eventually("the policies that sign", || async {
            // They need the schema, which they learn some time after the definition.
            let signed = kubectl.run(&["annotate", object, decision, "--dry-run=server", "-o", SIGNATURE]).await;
            let signed = signed.map_err(|error| error.to_string())?;
            if signed == "admin" { Ok(()) } else { Err(signed) }
        })
        .await;
    }
    kubectl.run(&["delete", "drift/probe", "saga/probe"]).await.unwrap();
}
