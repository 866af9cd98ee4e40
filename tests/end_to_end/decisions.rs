//! Decisions: the effect of accepting, refused decisions, and crashes between the writes.

use std::time::{Duration, Instant};

use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::json;

use crate::world::{DROPLET, World, droplet, eventually};

#[tokio::test]
async fn accepting_a_drift_with_a_changed_live_value_is_refused() {
    // One sweep: the operator learns of the change only from the fresh read for the decision.
    let world = World::with("moved", &["--sync-schedule", "1h", "--inventory-max-age", "3h"]).await;
    world.record("web-1", json!({"name": "old-name"})).await;
    let drift = world.open_drift().await;
    world.cloud.change("droplets", DROPLET, json!({"name": "newer-name"})).await.unwrap();
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;

    let object = format!("drift/{drift}");
    world.reaches(&object, "Resolved", "False DecisionRefused").await;
    assert_eq!(
        world.message(&object, "Resolved").await,
        "the live value is newer-name, not web-1; review the drift and decide again"
    );
    // The drift stays open, shows the current value, and the old decision does not apply to it.
    world.has_drifts(&[["name", "old-name", "newer-name", "Open"]]).await;
    world.shows("pr/web-1", "{.spec.desired.name}", "old-name").await;
    world.shows(&object, "{.metadata.annotations}", "").await;
    eventually("the event", || async {
        let events = world.events("web-1").await;
        if events.contains(&"DecisionRefused".to_owned()) { Ok(()) } else { Err(events) }
    })
    .await;

    // A second decision succeeds.
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.has_drifts(&[["name", "old-name", "newer-name", "Accepted"]]).await;
    world.shows("pr/web-1", "{.spec.desired.name}", "newer-name").await;
}

#[tokio::test]
async fn a_decision_withdrawn_during_its_fresh_read_is_not_carried_out() {
    let world = World::with("withdrawn", &["--sync-schedule", "1h", "--inventory-max-age", "3h"]).await;
    world.record("web-1", json!({"name": "old-name"})).await;
    let drift = world.open_drift().await;
    let question = format!("/v2/droplets/{DROPLET}");
    world.cloud.reset_requests().await.unwrap();
    world.cloud.inject(Fault::new(&question, Effect::Latency { milliseconds: 3000 })).await.unwrap();
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    eventually("the question", || async {
        let requests = world.cloud.requests().await.unwrap();
        if requests.total() > 0 { Ok(()) } else { Err(requests) }
    })
    .await;
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept-"]).await;
    // After the answer, and any effect of it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.shows("pr/web-1", "{.spec.desired.name}", "old-name").await;
    world.has_drifts(&[["name", "old-name", "web-1", "Open"]]).await;
}

#[tokio::test]
async fn many_decisions_without_a_provider_response_delay_nothing_else() {
    const MILLISECONDS: u64 = 15_000;
    let arguments = ["--sync-schedule", "1h", "--inventory-max-age", "3h"];
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("many", limits).await;
    for id in 1..=20 {
        world.cloud.put("droplets", droplet(&id.to_string(), "name")).await.unwrap();
        world.record_as(&format!("web-{id}"), "Droplet", &id.to_string(), json!({"name": "other"}), json!({})).await;
    }
    world.record("calm", json!({"name": "web-1"})).await;
    world.start_operator(&arguments);
    eventually("all drifts", || async {
        let drifts = world.drifts().await.len();
        if drifts == 20 { Ok(()) } else { Err(drifts) }
    })
    .await;
    world.reaches("pr/calm", "InSync", "True NoDrift").await;
    let latency = Effect::Latency { milliseconds: MILLISECONDS };
    world.cloud.inject(Fault::new("/v2/droplets/*", latency)).await.unwrap();
    let began = Instant::now();
    world.run(&["annotate", "drifts", "--all", "arcadia.cloud/accept=true"]).await;
    world.run(&["patch", "pr", "calm", "--type=merge", "-p", r#"{"spec":{"desired":{"region":"nyc3"}}}"#]).await;
    eventually("the verdict on the record that changed", || async {
        let message = world.message("pr/calm", "InSync").await;
        if message == "2 fields are as desired" { Ok(()) } else { Err(message) }
    })
    .await;
    assert!(began.elapsed() < Duration::from_millis(MILLISECONDS), "it came after a response: {:?}", began.elapsed());
    // All decisions are carried out in the end.
    world.cloud.clear_faults().await.unwrap();
    eventually("all accepted", || async {
        let accepted = world.drifts().await.into_iter().filter(|[.., phase]| phase == "Accepted").count();
        if accepted == 20 { Ok(()) } else { Err(accepted) }
    })
    .await;
}

#[tokio::test]
async fn a_waiting_decision_shows_the_reason_and_is_carried_out_later() {
    let world = World::new("waits").await;
    world.record("web-1", json!({"tags": ["old"]})).await;
    let drift = world.open_drift().await;
    // The token loses the scope that reads tags.
    let fields = vec!["tags".to_owned()];
    world.cloud.inject(Fault::new("*", Effect::OmitFields { fields })).await.unwrap();
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    let object = format!("drift/{drift}");
    world.reaches(&object, "Resolved", "False DecisionWaiting").await;
    let message = world.message(&object, "Resolved").await;
    assert!(message.contains("tags: the token needs tag:read"), "{message}");
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept-"]).await;
    world.reaches(&object, "Resolved", "False AwaitingDecision").await;
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.reaches(&object, "Resolved", "False DecisionWaiting").await;
    world.cloud.clear_faults().await.unwrap();
    world.has_drifts(&[["tags", r#"["old"]"#, r#"["web","prod"]"#, "Accepted"]]).await;
}

#[tokio::test]
async fn a_decision_waits_for_an_unreadable_part() {
    // One sweep: it discovers the rules.
    let world = World::with("parts", &["--sync-schedule", "1h", "--inventory-max-age", "3h"]).await;
    let id = "00000000-0000-4000-8000-000000000001";
    let rules = |tag: &str| json!([{ "type": "tag", "value": tag }]);
    let database = json!({ "id": id, "name": "db", "engine": "pg", "rules": rules("web") });
    world.cloud.put_as_is("databases", database).await.unwrap();
    world.record_as("db", "Database", id, json!({ "rules": rules("old") }), json!({})).await;
    let drift = world.open_drift().await;
    let object = format!("drift/{drift}");
    let path = format!("/v2/databases/{id}/firewall");
    let refusal = Effect::Status { status: 403, retry_after: None, html: false };
    world.cloud.inject(Fault::new(&path, refusal)).await.unwrap();
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.reaches(&object, "Resolved", "False DecisionWaiting").await;
    let message = world.message(&object, "Resolved").await;
    assert!(message.contains("rules") && message.contains("403"), "{message}");
    world.shows("pr/db", "{.spec.desired.rules[*].value}", "old").await;
    world.cloud.clear_faults().await.unwrap();
    world.reaches(&object, "Resolved", "True Accepted").await;
    world.shows("pr/db", "{.spec.desired.rules[*].value}", "web").await;
}

#[tokio::test]
async fn accepting_a_named_value_demands_that_value() {
    let world = World::new("named").await;
    world.record("web-1", json!({"tags": ["web", "staging"], "memory": 1})).await;
    world
        .has_drifts(&[["memory", "1", "4096", "Open"], ["tags", r#"["web","staging"]"#, r#"["web","prod"]"#, "Open"]])
        .await;
    let names = world.run(&["get", "drifts", "--field-selector", "spec.field=tags", "-o", "name"]).await;
    world.run(&["annotate", &names, r#"arcadia.cloud/accept=["other"]"#]).await;
    world.reaches(&names, "Resolved", "False DecisionRefused").await;
    world.run(&["annotate", &names, "--overwrite", r#"arcadia.cloud/accept=["prod", "web"]"#]).await;
    eventually("the tags", || async {
        let tags = world.value("pr/web-1", "{.spec.desired.tags}").await;
        if tags == r#"["web","prod"]"# { Ok(()) } else { Err(tags) }
    })
    .await;
    // Numbers stay numbers.
    let memory = world.open_drift().await;
    world.run(&["annotate", "drift", &memory, "arcadia.cloud/accept=4096", "arcadia.cloud/decided-by=jane"]).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(world.value("pr/web-1", "{.spec.desired}").await, r#"{"memory":4096,"tags":["web","prod"]}"#);
    world.shows(&format!("drift/{memory}"), "{.status.decidedBy}", "jane").await;
}

/// Refuses the second write of an accept, so that the operator can be killed exactly between both.
const NO_CLOSING: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}
    resourceRules:
    - {apiGroups: [arcadia.cloud], apiVersions: ["*"], operations: [UPDATE], resources: [drifts/status]}
  validations:
  - {expression: "object.status.phase != 'Accepted'", message: "not now"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [Deny]}
"#;

#[tokio::test]
async fn an_operator_killed_between_the_two_writes_of_an_accept_still_accepts() {
    let mut world = World::new("killed").await;
    let policy = NO_CLOSING.replace("NAME", world.namespace.name());
    world.kubectl().apply(&policy).await.unwrap();
    world.record("web-1", json!({"name": "old-name"})).await;
    let drift = world.open_drift().await;
    // The policy takes effect after a moment.
    eventually("the policy to refuse", || async {
        let patch = r#"{"status":{"phase":"Accepted"}}"#;
        let tried = world
            .kubectl()
            .run(&["patch", "drift", &drift, "--subresource=status", "--type=merge", "--dry-run=server", "-p", patch])
            .await;
        tried.err().map(|_| ()).ok_or("it was allowed")
    })
    .await;

    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.shows("pr/web-1", "{.spec.desired.name}", "web-1").await;
    world.kill_operator();
    world.shows(&format!("drift/{drift}"), "{.status.phase}", "Open").await;

    // Meanwhile both sides change, so that only the record contains the decision.
    world.cloud.change("droplets", DROPLET, json!({"name": "third-name"})).await.unwrap();
    world.run(&["patch", "pr", "web-1", "--type=merge", "-p", r#"{"spec":{"desired":{"name":"third-name"}}}"#]).await;
    let name = world.namespace.name();
    world.run(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name]).await;
    world.restart_operator();
    world.has_drifts(&[["name", "old-name", "web-1", "Accepted"]]).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
}

#[tokio::test]
async fn accepting_a_deleted_resource_records_its_deletion() {
    let world = World::new("accept-gone").await;
    world.record("web-1", json!({"name": "web-1"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.cloud.delete("droplets", DROPLET).await.unwrap();
    let drift = world.open_drift().await;
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.has_drifts(&[["exists", "true", "false", "Accepted"]]).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.shows("pr/web-1", "{.spec.desired.exists}", "false").await;
}

#[tokio::test]
async fn pending_decisions_share_one_read_and_one_write_of_the_record() {
    let mut world = World::with("batch", &["--sync-schedule", "1h", "--inventory-max-age", "3h"]).await;
    let fields = (0..256).map(|number| format!("field_{number}"));
    let values = |value: &str| {
        let pairs = fields.clone().map(|field| (field, json!(value)));
        serde_json::Value::Object(pairs.collect())
    };
    world.cloud.change("droplets", DROPLET, values("live")).await.unwrap();
    world.record("web-1", values("recorded")).await;
    world.shows("pr/web-1", "{.status.openDrifts}", "256").await;
    world.kill_operator();
    world.run(&["annotate", "drifts", "--all", "arcadia.cloud/accept=true"]).await;
    world.cloud.reset_requests().await.unwrap();
    world.restart_operator();
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    let requests = world.cloud.requests().await.unwrap();
    assert_eq!(requests.count(&format!("GET /v2/droplets/{DROPLET}")), 1, "{requests:?}");
    world.shows("pr/web-1", "{.metadata.generation}", "2").await;
    let accepted = world.drifts().await.into_iter().filter(|[.., phase]| phase == "Accepted").count();
    assert_eq!(accepted, 256);
}

#[tokio::test]
async fn one_decision_settles_the_same_change_of_many_resources() {
    let world = World::new("change").await;
    for id in ["1", "2", "3"] {
        let size = if id == "3" { "s-1vcpu-1gb" } else { "s-2vcpu-4gb" };
        let mut droplet = droplet(id, "name");
        droplet["size_slug"] = json!(size);
        world.cloud.put("droplets", droplet).await.unwrap();
        world.record_as(&format!("web-{id}"), "Droplet", id, json!({"size_slug": "s-4vcpu-8gb"}), json!({})).await;
    }
    let change = "{.items[?(@.spec.resourceRef.name=='web-1')].metadata.labels.arcadia\\.cloud/change}";
    let change = eventually("the label", || async {
        let label = world.value("drifts", change).await;
        if label.len() == 8 && world.drifts().await.len() == 3 { Ok(label) } else { Err(label) }
    })
    .await;
    let selector = format!("arcadia.cloud/change={change},arcadia.cloud/kind=Droplet,arcadia.cloud/field=size_slug");
    let selected = world.run(&["get", "drifts", "-l", &selector, "-o", "name"]).await;
    assert_eq!(selected.lines().count(), 2, "{selected}");
    world.run(&["annotate", "drifts", "-l", &selector, "arcadia.cloud/accept=true"]).await;
    world
        .has_drifts(&[
            ["size_slug", "s-4vcpu-8gb", "s-2vcpu-4gb", "Accepted"],
            ["size_slug", "s-4vcpu-8gb", "s-2vcpu-4gb", "Accepted"],
            ["size_slug", "s-4vcpu-8gb", "s-1vcpu-1gb", "Open"],
        ])
        .await;
    // The label follows the live value.
    let open = world.open_drift().await;
    let before = world.value(&format!("drift/{open}"), "{.metadata.labels}").await;
    world.cloud.change("droplets", "3", json!({"size_slug": "s-2vcpu-4gb"})).await.unwrap();
    eventually("the label to follow", || async {
        let label = world.value(&format!("drift/{open}"), "{.metadata.labels.arcadia\\.cloud/change}").await;
        if label == change { Ok(()) } else { Err((label, before.clone())) }
    })
    .await;
}

#[tokio::test]
async fn a_decision_without_effect_is_answered() {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator("answered", limits).await;
    world.environment = vec![("FAILPOINTS", "orphans-rest=return(1)")];
    world.start_operator(&[]);
    world.record("web-1", json!({"name": "other"})).await;
    let drift = world.open_drift().await;
    let object = format!("drift/{drift}");
    // A drift that is being deleted, and waits for a finalizer.
    world
        .run(&["patch", "drift", &drift, "--type=merge", "-p", r#"{"metadata":{"finalizers":["example.com/hold"]}}"#])
        .await;
    world.run(&["delete", "drift", &drift, "--wait=false"]).await;
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.reaches(&object, "Resolved", "False DecisionRefused").await;
    assert!(world.message(&object, "Resolved").await.contains("is being deleted"));
    world.shows("pr/web-1", "{.spec.desired.name}", "other").await;
    world.run(&["patch", "drift", &drift, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;

    // A resolved drift.
    let drift = world.open_drift().await;
    let object = format!("drift/{drift}");
    world.cloud.change("droplets", DROPLET, json!({"name": "other"})).await.unwrap();
    world.reaches(&object, "Resolved", "True LiveReturned").await;
    world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    world.reaches(&object, "DecisionApplied", "False AlreadyResolved").await;
    eventually("the annotation to go", || async {
        let annotations = world.value(&object, "{.metadata.annotations}").await;
        if annotations.is_empty() { Ok(()) } else { Err(annotations) }
    })
    .await;
    world.reaches(&object, "Resolved", "True LiveReturned").await;
    eventually("the event, where people look", || async {
        let described = world.run(&["describe", "drift", &drift]).await;
        let is_told = described.contains("DecisionRefused") && described.contains("DriftDetected");
        if is_told { Ok(()) } else { Err(described) }
    })
    .await;

    // Drifts that outlive their record, while the operator runs or not.
    for is_running in [true, false] {
        world.cloud.change("droplets", DROPLET, json!({"name": format!("third-{is_running}")})).await.unwrap();
        let drift = world.open_drift().await;
        let object = format!("drift/{drift}");
        if !is_running {
            world.kill_operator();
        }
        // As after --cascade=orphan. The garbage collector needs half a minute for a new kind.
        let orphan = r#"{"metadata":{"ownerReferences":null}}"#;
        world.run(&["patch", "drift", &drift, "--type=merge", "-p", orphan]).await;
        world.run(&["delete", "pr", "web-1"]).await;
        world.shows(&object, "{.status.phase}", "Open").await;
        world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
        // A new record with the same name is another record.
        world.record("web-1", json!({"name": "other"})).await;
        if !is_running {
            world.restart_operator();
        }
        world.reaches(&object, "Resolved", "True RecordGone").await;
        world.reaches(&object, "DecisionApplied", "False AlreadyResolved").await;
        let next = world.open_drift().await;
        assert_ne!(next, drift);
        assert_eq!(world.value("pr/web-1", "{.spec.desired.name}").await, "other", "nothing was accepted for it");
    }
}

#[tokio::test]
async fn a_credential_is_accepted_by_its_fingerprint() {
    let policy = "fc8a72ac-b558-4ae6-9b22-617d3f160a35";
    let app = "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf";
    let hook = |key: &str| format!("https://hooks.slack.com/services/T0/B0/{key}");
    let alerts = |key: &str| json!({"email": [], "slack": [{"channel": "ops", "url": hook(key)}]});
    let spec = |value: &str| json!({"name": "shop", "services": [{"name": "web", "envs": [{"key": "DSN", "value": value, "type": "GENERAL"}]}]});
    let world = World::new("fingerprint").await;
    world.cloud.put_as_is("monitoring/alerts", json!({"uuid": policy, "alerts": alerts("CANARYNEW")})).await.unwrap();
    world.cloud.put_as_is("apps", json!({"id": app, "spec": spec("CANARYNEW")})).await.unwrap();
    for (name, kind, id, field, old, new) in [
        ("alert", "AlertPolicy", policy, "alerts.slack.0.url", hook("CANARYOLD"), hook("CANARYNEW")),
        ("app", "App", app, "spec.services.0.envs.0.value", "CANARYOLD".to_owned(), "CANARYNEW".to_owned()),
    ] {
        world.record_as(name, kind, id, json!({ (field): old }), json!({})).await;
        let drift = world.open_drift().await;
        let object = format!("drift/{drift}");
        let [expected, actual] =
            [world.value(&object, "{.spec.expected}").await, world.value(&object, "{.spec.actual}").await];
        assert!(expected != actual && actual.starts_with("(secret, sha256:"), "{expected} {actual}");
        // The fingerprint of another value is not that of the live one.
        world.run(&["annotate", "drift", &drift, &format!("arcadia.cloud/accept={expected}")]).await;
        world.reaches(&object, "Resolved", "False DecisionRefused").await;
        world.shows(&object, "{.metadata.annotations}", "").await;

        world.run(&["annotate", "drift", &drift, &format!("arcadia.cloud/accept={actual}")]).await;
        world.shows(&object, "{.status.phase}", "Accepted").await;
        assert_eq!(world.get(&format!("pr/{name}")).await["spec"]["desired"], json!({ (field): new }));
        world.reaches(&format!("pr/{name}"), "InSync", "True NoDrift").await;
        let printed = world.log() + &world.run(&["get", "drifts,events", "-o", "json"]).await;
        assert!(!printed.contains("CANARY"), "{name}");
    }
}
