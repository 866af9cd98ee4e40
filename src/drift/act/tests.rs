//! Writes of a plan against an API server that refuses some of them.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{
        Drift, OPERATOR, ProvisionedResource, ProvisionedResourceStatus, annotations,
        conditions::{self, ConditionReason},
        labels,
    },
    drift::{
        context::{DriftContext, idle},
        known::LastAccepted,
        plan::{Accepted, Adoption, Closing},
        shown::{Shown, tests::drift as stored_before},
    },
    kube_ext::{cache::Cache as _, key::ObjectKey, leader::Leadership},
    process::Process,
};

/// A request to the API server.
#[derive(Clone, Debug)]
struct Asked {
    call: String,
    body: Value,
}

/// A controller, and the requests to its API server.
struct World {
    context: Arc<DriftContext>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl World {
    /// Creates accepted drifts of these fields, and an API server that refuses some requests with a status and a
    /// reason, and accepts all others.
    fn new(fields: &[&str], refuses: impl Fn(&Asked) -> Option<(u16, &'static str)> + Send + Sync + 'static) -> Self {
        let own = json!({
            "manager": OPERATOR, "operation": "Apply", "subresource": "status", "fieldsV1": { "f:status": {} },
        });
        Self::with_managed_fields(fields, json!([own]), refuses)
    }

    /// The same, with these managed fields of a record whose status was written.
    fn with_managed_fields(
        fields: &[&str],
        managed_fields: Value,
        refuses: impl Fn(&Asked) -> Option<(u16, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        let refuses = Arc::new(refuses);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asks = asked.clone();
        let drifts: Vec<_> = fields.iter().map(|field| drift(field)).collect();
        let known = drifts.clone();
        let api_server = tower::service_fn(move |request: Request<Body>| {
            let (asks, known, refuses) = (asks.clone(), known.clone(), refuses.clone());
            let managed_fields = managed_fields.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
                let object = parts.uri.path().split_once("/namespaces/default/").map_or("", |(_, object)| object);
                let asked = Asked { call: format!("{} {object}", parts.method), body };
                let (status, answer) = match refuses(&asked) {
                    Some((code, reason)) => {
                        let message = format!("{reason} by the test");
                        let status = json!({
                            "kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": message,
                        });
                        (code, status)
                    }
                    None => (200, answer(&asked, &known, &managed_fields)),
                };
                asks.lock().unwrap().push(asked);
                let response = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, kube::Error>(response.unwrap())
            }
        });
        let client = Client::new(api_server, "default");
        let (context, _) = idle(Process::new(client, Leadership::unelected()));
        context.index().apply(&record());
        for drift in &drifts {
            context.index().apply(drift);
        }
        Self { context, asked }
    }

    async fn carry_out(&self, writes: Vec<PlannedWrite>) -> Result<WriteOutcome, Error> {
        let key = web_1();
        let entry = self.context.index().entry(&key).unwrap();
        Executor::new(&key, &entry, &self.context).carry_out(writes).await
    }

    async fn write_status(&self, status: ProvisionedResourceStatus) {
        let (key, entry) = (web_1(), self.context.index().entry(&web_1()).unwrap());
        Executor::new(&key, &entry, &self.context).write_status(status).await.unwrap();
    }

    /// All writes, events aside.
    fn calls(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| !asked.call.contains("events")).map(|asked| asked.call.clone()).collect()
    }

    /// The bodies of one call.
    fn bodies(&self, call: &str) -> Vec<Value> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.call == call).map(|asked| asked.body.clone()).collect()
    }
}

fn answer(asked: &Asked, known: &[Drift], managed_fields: &Value) -> Value {
    if asked.call == "POST drifts" {
        let mut created = asked.body.clone();
        created["metadata"]["uid"] = json!("created");
        created["metadata"]["resourceVersion"] = json!("9");
        created
    } else if asked.call.starts_with("PATCH drifts/") {
        let drift = known.iter().find(|drift| asked.call.contains(drift.metadata.name.as_deref().unwrap()));
        serde_json::to_value(drift.unwrap()).unwrap()
    } else if asked.call.contains("events") {
        asked.body.clone()
    } else if asked.call.ends_with("/status") {
        let mut written = json!({ "metadata": serde_json::to_value(record()).unwrap()["metadata"] });
        written["metadata"]["resourceVersion"] = json!("2");
        written["metadata"]["managedFields"] = managed_fields.clone();
        written
    } else {
        serde_json::to_value(record()).unwrap()
    }
}

fn web_1() -> ObjectKey {
    ObjectKey { namespace: "default".into(), name: "web-1".into() }
}

fn record() -> ProvisionedResource {
    serde_json::from_value(json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
        "metadata": { "name": "web-1", "namespace": "default", "uid": "record", "resourceVersion": "1" },
        "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": { "name": "a" } },
    }))
    .unwrap()
}

fn drift(field: &str) -> Drift {
    let mut drift = stored_before();
    drift.metadata.name = Some(format!("d-{field}"));
    drift.metadata.uid = Some(format!("uid-{field}"));
    drift.metadata.annotations = Some([(annotations::ACCEPT.to_owned(), "true".to_owned())].into());
    drift.spec.field = field.to_owned();
    drift
}

fn adoption(field: &str) -> Adoption {
    let accepted = Accepted { value: json!("b"), declared: json!("a") };
    Adoption { drift: format!("d-{field}").into(), field: field.to_owned(), value: json!("b"), accepted, stands: false }
}

/// The accepted drifts as a plan contains them.
fn accepting(fields: &[&str]) -> Vec<PlannedWrite> {
    let adoptions = fields.iter().map(|field| adoption(field)).collect();
    let close = |field: &&str| PlannedWrite::Close {
        drift: format!("d-{field}").into(),
        why: Closing::Accepted,
        accepted: Some(Box::new(Accepted { value: json!("b"), declared: json!("a") })),
    };
    [PlannedWrite::Adopt { adoptions, in_doubt: LastAccepted::default() }]
        .into_iter()
        .chain(fields.iter().map(close))
        .collect()
}

fn open(field: &str) -> PlannedWrite {
    let shown = Shown { expected: "a".into(), actual: "b".into(), ..Shown::default() };
    PlannedWrite::Open { field: field.to_owned(), episode: 1, shown: Box::new(shown) }
}

#[tokio::test]
async fn a_decision_that_was_taken_back_or_changed_since_it_was_read_adopts_nothing() {
    let is_decision = |asked: &Asked| asked.call == "PATCH drifts/d-name";
    let changed = World::new(&["name"], move |asked| is_decision(asked).then_some((409, "Conflict")));
    let outcome = changed.carry_out(accepting(&["name"])).await;
    assert!(outcome.is_err_and(|error| error.is_conflict()));
    assert_eq!(changed.calls(), ["PATCH drifts/d-name"]);

    let same = World::new(&["name"], |_| None);
    same.carry_out(accepting(&["name"])).await.unwrap();
    assert_eq!(same.calls(), ["PATCH drifts/d-name", "PATCH provisionedresources/web-1", "PATCH drifts/d-name/status"]);
}

#[tokio::test]
async fn all_accepted_values_are_one_write_of_the_record_that_remembers_them_all() {
    let world = World::new(&["a", "b", "c"], |_| None);
    world.carry_out(accepting(&["a", "b", "c"])).await.unwrap();
    let writes = world.bodies("PATCH provisionedresources/web-1");
    assert_eq!(writes.len(), 1);
    let text = writes[0].to_string();
    for wanted in ["/spec/desired/a", "/spec/desired/b", "/spec/desired/c", "uid-a,uid-b,uid-c"] {
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_value_that_the_api_server_refuses_holds_up_no_other_decision() {
    for (code, reason) in [(422, "Invalid"), (403, "Forbidden")] {
        let refuses = move |asked: &Asked| {
            let is_bad =
                asked.call == "PATCH provisionedresources/web-1" && asked.body.to_string().contains("desired/bad");
            is_bad.then_some((code, reason))
        };
        let world = World::new(&["a", "b", "bad", "c"], refuses);
        let outcome = world.carry_out(accepting(&["a", "bad", "b", "c"])).await.unwrap();
        assert!(outcome.wrote);
        let [message] = &outcome.messages()[..] else { panic!("{outcome:?}") };
        assert!(message.starts_with("bad: ") && message.contains("by the test"), "{message}");
        // All others were adopted, and every write marks the earlier ones too.
        let writes = world.bodies("PATCH provisionedresources/web-1");
        let taken = writes.iter().filter(|body| !body.to_string().contains("desired/bad"));
        let marks: Vec<_> = taken.map(|body| body.as_array().unwrap().last().unwrap()["value"].clone()).collect();
        let last = marks.last().unwrap().to_string();
        assert!(
            ["uid-a", "uid-b", "uid-c"].iter().all(|uid| last.contains(uid)) && !last.contains("uid-bad"),
            "{last}"
        );
        // The refused one shows the reason of its wait, and does not end as accepted.
        let [said] = &world.bodies("PATCH drifts/d-bad/status")[..] else { panic!("one write") };
        assert_eq!(said["status"]["reason"], ConditionReason::DecisionWaiting.name(), "{reason}");
        for field in ["a", "b", "c"] {
            let [closed] = &world.bodies(&format!("PATCH drifts/d-{field}/status"))[..] else { panic!("one write") };
            assert_eq!(closed["status"]["phase"], "Accepted");
        }
    }
}

#[tokio::test]
async fn a_drift_that_the_api_server_refuses_holds_up_no_other() {
    for (code, reason) in [(422, "Invalid"), (413, "RequestEntityTooLarge"), (403, "Forbidden"), (409, "AlreadyExists")]
    {
        let refuses = move |asked: &Asked| {
            (asked.call == "POST drifts" && asked.body["spec"]["field"] == "bad").then_some((code, reason))
        };
        let world = World::new(&[], refuses);
        let outcome = world.carry_out(vec![open("bad"), open("good")]).await.unwrap();
        assert!(outcome.wrote, "{reason}");
        assert_eq!(outcome.refused.len(), 1, "{reason}");
        assert_eq!(outcome.refused[0].field, "bad");
        assert_eq!(world.calls(), ["POST drifts", "POST drifts"]);
    }
}

#[tokio::test]
async fn a_refused_write_holds_up_the_later_ones_of_its_drift() {
    let world = World::new(&["a", "b"], |asked| (asked.call == "PATCH drifts/d-a/status").then_some((422, "Invalid")));
    let refuse = |drift: &str| {
        [
            PlannedWrite::Refuse { drift: drift.into(), message: "no".into() },
            PlannedWrite::DropDecision { drift: drift.into() },
        ]
    };
    let outcome = world.carry_out([refuse("d-a"), refuse("d-b")].concat()).await.unwrap();
    assert_eq!(outcome.refused.len(), 1);
    // A decision is never dropped without a message.
    assert_eq!(world.calls(), ["PATCH drifts/d-a/status", "PATCH drifts/d-b/status", "PATCH drifts/d-b"]);
}

#[tokio::test]
async fn an_api_server_that_is_not_well_ends_the_round() {
    let world = World::new(&[], |asked| (asked.call == "POST drifts").then_some((500, "InternalError")));
    assert!(world.carry_out(vec![open("a"), open("b")]).await.is_err());
    assert_eq!(world.calls(), ["POST drifts"]);
}

#[tokio::test]
async fn a_drift_is_created_with_its_labels_and_reported_on_itself_and_its_record() {
    let world = World::new(&[], |_| None);
    let long = "x".repeat(100);
    world.carry_out(vec![open("name"), open(&long)]).await.unwrap();
    let created = world.bodies("POST drifts");
    let labels = &created[0]["metadata"]["labels"];
    assert_eq!(labels[labels::KIND], "Droplet");
    assert_eq!(labels[labels::FIELD], "name");
    assert_eq!(labels[labels::CHANGE], labels::change("Droplet", "name", "a", "b"));
    assert!(created[0]["spec"].get("fieldShort").is_none());
    assert!(created[1]["spec"]["fieldShort"].as_str().unwrap().chars().count() <= 40);
    assert_eq!(created[1]["spec"]["field"], long);
    world.context.process.events.flush().await;
    let events = world.asked.lock().unwrap().clone();
    let about: Vec<_> = events
        .iter()
        .filter(|asked| asked.call == "POST events")
        .map(|asked| asked.body["regarding"]["kind"].clone())
        .collect();
    assert!(about.contains(&json!("Drift")) && about.contains(&json!("ProvisionedResource")), "{about:?}");
}

#[tokio::test]
async fn what_others_wrote_into_the_status_of_an_open_drift_goes() {
    let world = World::new(&["name"], |_| None);
    world.carry_out(vec![PlannedWrite::Wait { drift: "d-name".into(), message: "why".into() }]).await.unwrap();
    let [said] = &world.bodies("PATCH drifts/d-name/status")[..] else { panic!("one write") };
    for key in ["resolvedAt", "decidedBy", "decision"] {
        assert!(said["status"].get(key).is_some_and(Value::is_null), "{key} in {said}");
    }
}

#[tokio::test]
async fn an_answer_leaves_what_the_drift_says_of_its_end() {
    let world = World::new(&["name"], |_| None);
    world.carry_out(vec![PlannedWrite::Answer { drift: "d-name".into(), message: "late".into() }]).await.unwrap();
    let [said] = &world.bodies("PATCH drifts/d-name/status")[..] else { panic!("one write") };
    assert_eq!(said["status"]["conditions"][0]["type"], conditions::DECISION_APPLIED);
    assert_eq!(said["kind"], "Drift", "an apply, which adds to a list by its keys");
}

#[tokio::test]
async fn a_status_that_the_api_server_refuses_is_written_in_short() {
    let world = World::new(&[], |asked| {
        let is_long = asked.body["status"]["driftedFields"].as_array().is_some_and(|fields| !fields.is_empty());
        (asked.call.ends_with("/status") && is_long).then_some((413, "RequestEntityTooLarge"))
    });
    let status = ProvisionedResourceStatus { drifted_fields: vec!["x".repeat(5000)], ..Default::default() };
    world.write_status(status).await;
    assert_eq!(world.bodies("PATCH provisionedresources/web-1/status").len(), 3, "as it is, with all, and in short");
}

#[tokio::test]
async fn a_status_that_replaces_the_former_one_is_written_once_and_known_at_once() {
    let world = World::new(&[], |_| None);
    let status = ProvisionedResourceStatus { open_drifts: 7, ..Default::default() };
    world.write_status(status.clone()).await;
    assert_eq!(world.calls(), ["PATCH provisionedresources/web-1/status"]);
    let entry = world.context.index().entry(&web_1()).unwrap();
    assert!(entry.record.status.says(&status) && entry.record.resource_version == "2".into());
}

#[tokio::test]
async fn a_status_that_another_client_may_share_is_written_with_its_empty_fields() {
    let owning = |manager: &str, fields: Value| json!({ "manager": manager, "operation": "Apply", "subresource": "status", "fieldsV1": fields });
    let own = owning(OPERATOR, json!({ "f:status": { "f:conditions": {} } }));
    let reason = || json!({ "f:status": { "f:reason": {} } });
    let mut earlier = owning(OPERATOR, reason());
    earlier["operation"] = json!("Update");
    let elsewhere = owning("before-first-apply", json!({ "f:metadata": { "f:labels": {} } }));
    for (entries, is_shared) in [
        (json!([own, elsewhere]), false),
        (json!([own, owning("kubectl", reason())]), true),
        (json!([own, earlier]), true),
        (json!([]), true),
    ] {
        let world = World::with_managed_fields(&[], entries.clone(), |_| None);
        world.write_status(ProvisionedResourceStatus::default()).await;
        let bodies = world.bodies("PATCH provisionedresources/web-1/status");
        let says_nothing = |body: &Value| body["status"].get("driftedFieldsShort") == Some(&json!(""));
        let wanted = if is_shared { vec![false, true] } else { vec![false] };
        assert_eq!(bodies.iter().map(says_nothing).collect::<Vec<_>>(), wanted, "{entries}");
    }
}

#[tokio::test]
async fn a_status_that_another_client_shares_is_not_known_before_its_second_write() {
    let world = World::with_managed_fields(&[], json!([]), |asked| {
        let is_second = asked.body["status"].get("driftedFieldsShort").is_some();
        (asked.call.ends_with("/status") && is_second).then_some((500, "InternalError"))
    });
    let status = ProvisionedResourceStatus { open_drifts: 7, ..Default::default() };
    let entry = world.context.index().entry(&web_1()).unwrap();
    Executor::new(&web_1(), &entry, &world.context).write_status(status.clone()).await.unwrap_err();
    assert!(!world.context.index().record(&web_1()).unwrap().status.says(&status), "it is written again");
}
