//! The health checks for Argo CD, executed by Argo CD's Lua (in tests/lua), on objects as the operator writes them.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use arcadia_operator::{
    api::{
        self, Drift, ProvisionedResource,
        conditions::ConditionReason,
        saga::{SagaPhase, SagaStatus, StepStatus, Values},
    },
    drift::{
        index::RecordIndex,
        plan::{Compared, Situation},
        status::{status, stored},
    },
    kube_ext::{cache::Cache, key::ObjectKey},
    saga::{
        event::{Event, StepEvent, Why},
        journal,
    },
};
use control_plane::ControlPlane;
use jiff::Timestamp;
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::helm::in_repository;

const FILE: &str = "deploy/argocd/argocd-cm.yaml";
const PREFIX: &str = "resource.customizations.health.arcadia.cloud_";
/// The health of a record that waits for the operator.
const NOT_YET: [&str; 2] = ["Progressing", "the operator has not reconciled this version of the record yet"];

/// The data of the `ConfigMap` for Argo CD.
pub(crate) fn config() -> Value {
    let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(in_repository(FILE)).unwrap()).unwrap();
    config["data"].clone()
}

/// Runs each script on its object as Argo CD does; returns the values, or the errors.
pub(crate) fn run(scripts: &[(&Value, &Value)]) -> Vec<Result<Value, String>> {
    let questions: Vec<_> =
        scripts.iter().map(|(script, object)| json!({"script": script, "object": object})).collect();
    let mut go = Command::new("go");
    go.args(["run", "."]).current_dir(in_repository("tests/lua")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = go.spawn().expect("the tests need Go, see the README");
    program.stdin.take().unwrap().write_all(Value::from(questions).to_string().as_bytes()).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "tests/lua: {}", output.status);
    let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told.len(), scripts.len());
    let result = |answer: &Value| match answer["error"].as_str().unwrap() {
        "" => Ok(answer["value"].clone()),
        error => Err(error.to_owned()),
    };
    told.iter().map(result).collect()
}

/// Runs the check of each object's kind, and compares status and message.
fn show(cases: &[(Value, [&str; 2])]) {
    let config = config();
    let check = |object: &Value| &config[format!("{PREFIX}{}", object["kind"].as_str().unwrap())];
    let scripts: Vec<_> = cases.iter().map(|(object, _)| (check(object), object)).collect();
    for (told, (object, [status, message])) in run(&scripts).into_iter().zip(cases) {
        assert_eq!(told, Ok(json!({"status": status, "message": message})), "{object:#}");
    }
}

fn record() -> ProvisionedResource {
    let object = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
        "metadata": {"name": "web-1", "namespace": "default", "uid": "0", "generation": 3},
        "spec": {"resource": {"kind": "Droplet", "id": "3164444"}, "desired": {"name": "web-1"}},
    });
    serde_json::from_value(object).unwrap()
}

fn json(object: impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

fn drift(status: &Value) -> Drift {
    let object = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
        "metadata": {"name": "web-1-name-0000000000-1", "namespace": "default", "uid": "1"},
        "spec": {
            "resourceRef": {"name": "web-1", "uid": "0"}, "resource": {"kind": "Droplet", "id": "3164444"},
            "field": "name", "expected": "web-1", "actual": "other", "specVersion": 3, "episode": 1,
        },
        "status": status,
    });
    serde_json::from_value(object).unwrap()
}

/// The record with the status that the operator stores in this situation.
fn looked_at(situation: &Situation, drifts: &[Drift]) -> ProvisionedResource {
    let (mut record, mut index) = (record(), RecordIndex::default());
    index.apply(&record);
    for drift in drifts {
        index.apply(drift);
    }
    let entry = index.entry(&ObjectKey::of(&record)).unwrap();
    let status = status(&entry, situation, None, Timestamp::UNIX_EPOCH);
    record.status = Some(stored(status));
    record
}

fn compared(invalid: &[&str]) -> Situation {
    let invalid = invalid.iter().map(ToString::to_string).collect();
    Situation::Compared(Compared { compared: 1, invalid, ..Compared::default() })
}

#[test]
fn the_health_of_a_record_follows_its_conditions() {
    let older = "default/older is older and already records Droplet 3164444; delete one of the two";
    let never_seen = "Droplet 3164444 does not exist in this account; check the id and the token";
    let reverting = "saga revert-web-1 reverts a field of Droplet 3164444; it is compared after that";
    let open = [drift(&json!({"phase": "Open"}))];
    let unknown = Situation::Unknown(ConditionReason::LiveUnknown, "it could not be read".to_owned());
    let of = |compared| Situation::Compared(compared);
    let partly = |field: &str| vec![format!("{field}: why")];
    let standing = [drift(&json!({
        "phase": "Accepted",
        "acceptance": {"mode": "Standing", "value": "other", "declared": "web-1", "since": "2026-01-01T00:00:00Z"},
        "conditions": [{
            "type": "Standing", "status": "True", "reason": "Accepted", "message": "name",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    }))];
    let mut gone = drift(&json!({"phase": "Open"}));
    gone.spec.field = "exists".to_owned();
    let gone = [gone];
    let refused = Compared { compared: 1, refused: partly("name"), ..Compared::default() };
    let unconfirmed = Compared { compared: 1, unconfirmed: vec!["name".to_owned()], ..Compared::default() };
    let in_part = Compared { compared: 1, unknown: partly("tags"), ..Compared::default() };
    let ignored = Compared { compared: 1, ignored_unrecorded: vec!["memory".to_owned()], ..Compared::default() };
    let cases = [
        (compared(&[]), &[][..], ["Healthy", "1 field is as desired"]),
        (compared(&[]), &open, ["Healthy", "name: web-1 -> other; decide it with: kubectl arcadia"]),
        (compared(&["there is no field nme"]), &[], ["Degraded", "there is no field nme"]),
        (Situation::Duplicate("default/older".to_owned()), &[], ["Degraded", older]),
        (Situation::Suspended, &[], ["Suspended", "suspended: set spec.suspend to false to resume"]),
        (unknown, &[], ["Progressing", "it could not be read"]),
        (Situation::NeverSeen, &[], ["Degraded", never_seen]),
        (Situation::Reverting("revert-web-1".to_owned()), &open, ["Progressing", reverting]),
        (Situation::Deleting, &[], ["Progressing", "the record is being deleted"]),
        (
            of(Compared { compared: 1, accepted: 1, ..Compared::default() }),
            &standing,
            ["Healthy", "1 field is as desired, 1 of them as accepted"],
        ),
        (
            of(Compared { gone: true, ..Compared::default() }),
            &gone,
            ["Healthy", "Droplet 3164444 is gone; decide it with: kubectl arcadia"],
        ),
        (of(Compared { gone: true, ..Compared::default() }), &[], ["Healthy", "Droplet 3164444 is gone, as recorded"]),
        (of(refused), &[], ["Degraded", "name: why"]),
        (of(unconfirmed), &[], ["Healthy", "a list shows a difference that the next read has to confirm: name"]),
        (of(in_part), &[], ["Healthy", "cannot be compared now: tags: why"]),
        (of(ignored), &[], ["Healthy", "1 field is as desired"]),
    ];
    show(&cases.map(|(situation, drifts, wanted)| (json(looked_at(&situation, drifts)), wanted)));
}

#[test]
fn a_changed_record_is_not_healthy_yet() {
    let mut changed = looked_at(&compared(&[]), &[]);
    changed.metadata.generation = Some(4);
    show(&[(json(changed), NOT_YET), (json(record()), NOT_YET)]);
}

#[test]
fn an_open_drift_is_suspended_and_a_resolved_one_is_healthy() {
    let says = |reason: ConditionReason| {
        json!({
            "phase": "Open",
            "conditions": [{
                "type": "Resolved", "status": "False", "reason": reason, "message": "it has moved on",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        })
    };
    let cases = [
        (json!({}), ["Suspended", "name waits for a decision"]),
        (json!({"phase": "Open"}), ["Suspended", "name waits for a decision"]),
        (says(ConditionReason::AwaitingDecision), ["Suspended", "name waits for a decision"]),
        (says(ConditionReason::DecisionRefused), ["Suspended", "it has moved on"]),
        (says(ConditionReason::RevertFailed), ["Suspended", "it has moved on"]),
        (says(ConditionReason::RevertStuck), ["Suspended", "it has moved on"]),
        (says(ConditionReason::Reverting), ["Progressing", "it has moved on"]),
        (json!({"phase": "Reverted"}), ["Healthy", "Reverted"]),
        (json!({"phase": "Accepted"}), ["Healthy", "Accepted"]),
        (json!({"phase": "Stale"}), ["Healthy", "Stale"]),
        (
            json!({"phase": "Accepted", "conditions": [{
                "type": "Resolved", "status": "True", "reason": "Accepted", "message": "name: other is accepted and stands",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]}),
            ["Healthy", "Accepted: name: other is accepted and stands"],
        ),
    ];
    show(&cases.map(|(status, wanted)| (json(drift(&status)), wanted)));
}

const SUSPENDED: &str =
    "suspended: no step is called or undone and no timeout runs; set spec.suspend to false to resume";

#[test]
fn the_health_of_a_saga_follows_its_phase_with_a_message() {
    let why = || Why { reason: ConditionReason::Pending, message: "why".to_owned() };
    let step = StepStatus { name: "snapshot".to_owned(), ..StepStatus::default() };
    let start = || Event::Start { steps: vec![step.clone()], digest: String::new(), rollback_of: None };
    let roll_back = || Event::RollBack { why: why() };
    let finish = || Event::Finish { is_rollback_kind: false };
    let [begin, complete] =
        [StepEvent::Begin { before: Value::Null }.of(0), StepEvent::Complete { output: Values::default() }.of(0)];
    let cases = [
        (vec![], ["Progressing", "Pending"]),
        (
            vec![Event::Hold { other: "first".to_owned(), key: "dep-1".to_owned() }],
            ["Progressing", "waiting for saga first, which has the same concurrency key (dep-1)"],
        ),
        (vec![Event::Refuse { why: why() }], ["Degraded", "why"]),
        (vec![start()], ["Progressing", "Running"]),
        (vec![start(), begin, complete, finish()], ["Healthy", "all steps are done"]),
        (vec![start(), Event::Suspend], ["Suspended", SUSPENDED]),
        (vec![start(), Event::Suspend, roll_back()], ["Suspended", SUSPENDED]),
        (vec![start(), roll_back(), Event::Suspend, Event::Unsuspend], ["Progressing", "why"]),
        (vec![start(), roll_back(), finish()], ["Degraded", "all steps are undone: why"]),
        (vec![start(), Event::Stick { why: why(), stop: None }], ["Degraded", "why"]),
    ];
    let mut phases = BTreeSet::new();
    let cases = cases.map(|(events, wanted)| {
        let mut status = SagaStatus::default();
        for event in events {
            journal::apply(&mut status, event, Timestamp::UNIX_EPOCH).unwrap();
        }
        phases.insert(status.phase);
        (json!({"kind": "Saga", "spec": {"steps": []}, "status": status}), wanted)
    });
    assert_eq!(phases, SagaPhase::VARIANTS.iter().copied().collect());
    show(&cases);
    show(&[(json!({"kind": "Saga", "spec": {}}), ["Progressing", "Pending"])]);
}

/// Sagas of every kind of moment, as an operator stored them.
#[test]
fn every_saga_that_was_stored_is_as_healthy_as_its_name_says() {
    let config = config();
    let check = &config[format!("{PREFIX}Saga")];
    let folder = std::fs::read_dir(in_repository("tests/stored/sagas")).unwrap();
    let sagas: Vec<(String, Value)> = folder
        .map(|entry| {
            let path = entry.unwrap().path();
            let saga = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), saga)
        })
        .collect();
    assert!(sagas.len() > 20, "{}", sagas.len());
    let scripts: Vec<_> = sagas.iter().map(|(_, saga)| (check, saga)).collect();
    for (told, (name, saga)) in run(&scripts).into_iter().zip(&sagas) {
        let starts = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        let wanted = match name.as_str() {
            name if name.ends_with("-suspended") || name == "running-waits-for-approval" => "Suspended",
            "rollback-stuck-cancelled" => "Degraded",
            "succeeded" => "Healthy",
            _ if starts(&["failed", "stuck", "rolled-back"]) => "Degraded",
            _ => "Progressing",
        };
        let told = told.unwrap();
        assert_eq!(told["status"], wanted, "{name}: {told} {saga:#}");
        assert_ne!(told["message"], "", "{name}");
    }
}

#[tokio::test]
async fn the_checks_extend_those_of_argo_cd_and_accept_objects_of_the_api_server() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("argocd").await.unwrap();
    let kubectl = namespace.kubectl();
    kubectl.run(&["create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com"]).await.unwrap();
    kubectl.run(&["apply", "--server-side", "-f", in_repository(FILE).to_str().unwrap()]).await.unwrap();
    let made = kubectl.run(&["get", "configmap", "argocd-cm", "-o", "json"]).await.unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    let mut data = config();
    data["url"] = json!("https://argocd.example.com");
    assert_eq!(made["data"], data);

    let definitions = api::crds_as_yaml().unwrap();
    kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &definitions).await.unwrap();
    kubectl.run(&["wait", "--for=condition=Established", "crd/provisionedresources.arcadia.cloud"]).await.unwrap();
    let mut record = record();
    record.metadata.namespace = None;
    record.metadata.uid = None;
    kubectl.apply(&json(record).to_string()).await.unwrap();
    let made = kubectl.run(&["get", "pr", "web-1", "-o", "json"]).await.unwrap();
    show(&[(serde_json::from_str(&made).unwrap(), NOT_YET)]);
}

#[test]
fn every_kind_has_a_check() {
    let config = config();
    let checked: BTreeSet<_> = config.as_object().unwrap().keys().map(String::as_str).collect();
    for definition in api::crds() {
        assert!(checked.contains(format!("{PREFIX}{}", definition.spec.names.kind).as_str()), "{checked:?}");
    }
}
