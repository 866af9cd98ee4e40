//! Objects of every phase as the last released version stored them, in `tests/stored/worlds`: this version continues
//! each of them, so that an upgrade in flight loses no decision, repeats no call and opens no second drift.
//!
//! A real run writes the objects: `UPDATE_STORED=1 cargo test --test end_to_end replay` executes each story with an
//! operator, kills it, and stores the state of the API server and the cloud at that moment. The replay restores both
//! exactly, including UIDs; only times move to the present.

mod answers;
mod trouble;

use std::{collections::BTreeMap, path::PathBuf};

use control_plane::{ControlPlane, Options};
use digitalocean_simulator::{Effect, Fault, RateLimits};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::world::{TOKEN, World, droplet, eventually, install, manifest};

/// The name of the namespace in stored objects.
const NAMESPACE: &str = "STORED-NAMESPACE";
/// Lists of the cloud: the path and query, the key, and the collection in the simulator.
const LISTS: [(&str, &str, &str); 5] = [
    ("apps?per_page=200", "apps", "apps"),
    ("droplets?per_page=200", "droplets", "droplets"),
    ("snapshots?per_page=200", "snapshots", "snapshots"),
    ("images?private=true&per_page=200", "images", "images"),
    ("actions?per_page=200", "actions", "actions"),
];
const PLURALS: [&str; 3] = ["provisionedresources", "drifts", "sagas"];
const LIVE: &str = "s-2vcpu-4gb";
const DECLARED: &str = "s-1vcpu-1gb";

/// A world at one moment.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// The version of the operator that wrote the objects.
    version: String,
    at: Timestamp,
    /// Documents by collection.
    cloud: BTreeMap<String, Vec<Value>>,
    /// Objects by plural.
    objects: BTreeMap<String, Vec<Value>>,
}

impl Stored {
    fn file(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/stored/worlds/{name}.yaml"))
    }

    async fn of(world: &World) -> Self {
        let mut cloud = BTreeMap::new();
        let client = reqwest::Client::new();
        for (path, key, collection) in LISTS {
            let url = format!("{}/v2/{path}", world.cloud_url());
            let answer = client.get(url).bearer_auth(TOKEN).send().await.unwrap().text().await.unwrap();
            let page: Value = serde_json::from_str(&answer).unwrap();
            cloud.insert(collection.to_owned(), page[key].as_array().unwrap().clone());
        }
        let mut objects = BTreeMap::new();
        for plural in PLURALS {
            let list = world.run(&["get", plural, "-o", "json", "--show-managed-fields"]).await;
            let list = list.replace(world.namespace.name(), NAMESPACE);
            let mut list: Value = serde_json::from_str(&list).unwrap();
            let items = list["items"].as_array_mut().unwrap();
            for item in items.iter_mut() {
                item["metadata"].as_object_mut().unwrap().remove("resourceVersion");
            }
            objects.insert(plural.to_owned(), std::mem::take(items));
        }
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), at: Timestamp::now(), cloud, objects }
    }

    /// Creates a world with all of this and without an operator.
    async fn put(&self, name: &str) -> World {
        let (world, control_plane) = world(name).await;
        let passed = Timestamp::now() - self.at;
        for (collection, documents) in &self.cloud {
            for document in documents {
                let mut document = document.clone();
                shift(&mut document, passed);
                world.cloud.put_as_is(collection, document).await.unwrap();
            }
        }
        // Owners come first: no object may appear to be orphaned.
        for plural in PLURALS {
            for object in &self.objects[plural] {
                let text = object.to_string().replace(NAMESPACE, world.namespace.name());
                let mut object = serde_json::from_str(&text).unwrap();
                shift(&mut object, passed);
                control_plane.store(plural, &object).await.unwrap();
            }
        }
        world
    }
}

/// Moves each time in a value.
fn shift(value: &mut Value, passed: jiff::Span) {
    match value {
        Value::String(text) => {
            if let Ok(time) = text.parse::<Timestamp>() {
                *text = (time + passed).to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, passed)),
        Value::Object(entries) => entries.values_mut().for_each(|value| shift(value, passed)),
        _ => {}
    }
}

/// A world without an operator, on a control plane with direct access to etcd.
async fn world(name: &str) -> (World, &'static ControlPlane) {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    let own = OWN.get_or_init(|| async {
        let own = ControlPlane::start(Options::default()).await.unwrap();
        install(&own).await;
        own
    });
    let own = own.await;
    let limits = RateLimits::HIGH;
    (World::on(own, name, limits).await, own)
}

/// The world of this name, continued by this version. With `UPDATE_STORED`, the story is executed and stored first.
async fn replayed(name: &str, story: impl AsyncFnOnce(&mut World)) -> (World, Lines) {
    if std::env::var_os("UPDATE_STORED").is_some() {
        let (mut world, _) = world(name).await;
        story(&mut world).await;
        assert!(world.operator.is_none(), "the operator must be killed at the stored moment");
        let stored = serde_saphyr::to_string(&Stored::of(&world).await).unwrap();
        std::fs::create_dir_all(Stored::file(name).parent().unwrap()).unwrap();
        std::fs::write(Stored::file(name), stored).unwrap();
    }
    let text = std::fs::read_to_string(Stored::file(name)).unwrap();
    let stored: Stored = serde_saphyr::from_str(&text).unwrap();
    let mut world = stored.put(name).await;
    let before = lines(&world).await;
    world.cloud.reset_requests().await.unwrap();
    world.start_operator(&[]);
    (world, before)
}

/// Whether a condition says what its absence says too. Earlier versions stored these.
fn is_implied(condition: &Value) -> bool {
    ["Reconciling", "Stalled"].contains(&text(condition, "type")) && text(condition, "status") == "False"
}

/// The state of each object in one line, by its name.
type Lines = BTreeMap<String, String>;

async fn lines(world: &World) -> Lines {
    let mut lines = Lines::new();
    for plural in PLURALS {
        for object in &world.list(plural).await {
            let status = &object["status"];
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let conditions: Vec<String> = conditions
                .filter(|it| !is_implied(it))
                .map(|it| format!("{}={}/{}", text(it, "type"), text(it, "status"), text(it, "reason")))
                .collect();
            let steps = status["steps"].as_array().into_iter().flatten();
            let steps: Vec<&str> = steps.map(|step| text(step, "state")).collect();
            let desired = &object["spec"]["desired"];
            let line =
                format!("{} {} {conditions:?} {steps:?} {desired}", text(status, "phase"), text(status, "reason"));
            lines.insert(format!("{plural}/{}", text(&object["metadata"], "name")), line);
        }
    }
    lines
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The names of the drifts of a record, oldest first.
async fn drifts_of(world: &World, record: &str) -> Vec<String> {
    let mut drifts = world.list("drifts").await;
    drifts.retain(|drift| drift["spec"]["resourceRef"]["name"] == record);
    drifts.sort_by_key(|drift| drift["spec"]["episode"].as_i64());
    drifts.iter().map(|drift| format!("drifts/{}", text(&drift["metadata"], "name"))).collect()
}

async fn drift_of(world: &World, record: &str) -> String {
    eventually(&format!("a drift of {record}"), || async { drifts_of(world, record).await.pop().ok_or("none") }).await
}

async fn annotate(world: &World, object: &str, annotations: &[&str]) {
    world.run(&[&["annotate", object, "--overwrite"], annotations].concat()).await;
}

/// The records of the story of drifts, each with its own droplet.
const RECORDS: [&str; 22] = [
    "open",
    "refused",
    "accepted",
    "standing",
    "in-manifest",
    "manifest-changed",
    "live-returned",
    "withdrawn",
    "expired",
    "stale",
    "desired-changed",
    "no-longer-recorded",
    "ignored",
    "gone",
    "suspended",
    "invalid-field",
    "reverted",
    "revert-failed",
    "reverting",
    "half-accepted",
    "decided",
    "to-revert",
];
/// The records that a manifest declares.
const DECLARING: [&str; 5] = ["standing", "in-manifest", "manifest-changed", "live-returned", "withdrawn"];

fn id(record: &str) -> String {
    let position = RECORDS.iter().position(|known| *known == record).unwrap();
    (3_164_500 + position).to_string()
}

fn desired(record: &str) -> Value {
    match record {
        "reverted" | "revert-failed" | "reverting" | "to-revert" => json!({ "name": "wanted", "region": "nyc3" }),
        "invalid-field" => json!({ "size_slug": LIVE, "no_such_field": 1 }),
        "stale" | "gone" => json!({ "size_slug": DECLARED }),
        _ => json!({ "size_slug": DECLARED, "region": "nyc3" }),
    }
}

async fn declare(world: &World, record: &str, size: &str) {
    let desired = json!({ "size_slug": size, "region": "nyc3" });
    world.kubectl().apply(&manifest(record, "Droplet", &id(record), &desired, &json!({}))).await.unwrap();
}

/// Brings drifts into every phase, and kills the operator while decisions are in progress.
async fn every_drift(world: &mut World) {
    for record in RECORDS {
        world.cloud.put("droplets", droplet(&id(record), record)).await.unwrap();
    }
    let slow = Fault::new(format!("/v2/droplets/{}/actions", id("reverting")), Effect::SlowAction { seconds: 3600 });
    world.cloud.inject(slow.method("POST")).await.unwrap();
    let fails = Fault::new(format!("/v2/droplets/{}/actions", id("revert-failed")), Effect::FailAction);
    world.cloud.inject(fails.method("POST")).await.unwrap();
    for record in RECORDS {
        if DECLARING.contains(&record) {
            declare(world, record, DECLARED).await;
        } else {
            world.record_as(record, "Droplet", &id(record), desired(record), json!({})).await;
        }
    }
    world.record_as("duplicate", "Droplet", &id("open"), json!({ "size_slug": LIVE }), json!({})).await;
    world.start_operator(&[]);
    let mut drifts = BTreeMap::new();
    for record in RECORDS.into_iter().filter(|record| *record != "invalid-field") {
        drifts.insert(record, drift_of(world, record).await);
    }
    let accept = "arcadia.cloud/accept=true";
    let revert = "arcadia.cloud/revert=true";
    annotate(world, &drifts["refused"], &[accept, "arcadia.cloud/accept-until=soon"]).await;
    annotate(world, &drifts["expired"], &[accept, "arcadia.cloud/accept-until=3s"]).await;
    for record in DECLARING.into_iter().chain(["accepted"]) {
        annotate(world, &drifts[record], &[accept, "arcadia.cloud/because=traffic doubled"]).await;
    }
    for record in ["reverted", "revert-failed", "reverting"] {
        annotate(world, &drifts[record], &[revert]).await;
    }
    world.cloud.change("droplets", &id("stale"), json!({ "size_slug": DECLARED })).await.unwrap();
    world.cloud.delete("droplets", &id("gone")).await.unwrap();
    let replace = |record: &'static str, desired: Value, more: Value| (record, desired, more);
    for (record, desired, more) in [
        replace("desired-changed", json!({ "size_slug": LIVE, "region": "nyc3" }), json!({})),
        replace("no-longer-recorded", json!({ "region": "nyc3" }), json!({})),
        replace("ignored", desired("ignored"), json!({ "drift": { "ignore": ["size_slug"] } })),
        replace("suspended", desired("suspended"), json!({ "suspend": true })),
    ] {
        world.record_as(record, "Droplet", &id(record), desired, more).await;
    }
    for record in DECLARING {
        world.reaches(&drifts[record], "Standing", "True Accepted").await;
    }
    declare(world, "in-manifest", LIVE).await;
    declare(world, "manifest-changed", "s-8vcpu-16gb").await;
    world.cloud.change("droplets", &id("live-returned"), json!({ "size_slug": DECLARED })).await.unwrap();
    annotate(world, &drifts["withdrawn"], &["arcadia.cloud/accept-"]).await;
    for (record, kind, wanted) in [
        ("refused", "Resolved", "False DecisionRefused"),
        ("accepted", "Resolved", "True Accepted"),
        ("in-manifest", "Standing", "False InManifest"),
        ("manifest-changed", "Standing", "False ManifestChanged"),
        ("live-returned", "Standing", "False LiveReturned"),
        ("withdrawn", "Standing", "False Withdrawn"),
        ("expired", "Standing", "False Expired"),
        ("stale", "Resolved", "True LiveReturned"),
        ("desired-changed", "Resolved", "True DesiredChanged"),
        ("no-longer-recorded", "Resolved", "True NoLongerRecorded"),
        ("ignored", "Resolved", "True Ignored"),
        ("gone", "Resolved", "True ResourceGone"),
        ("reverted", "Resolved", "True Reverted"),
        ("revert-failed", "Resolved", "False RevertFailed"),
        ("reverting", "Resolved", "False Reverting"),
    ] {
        world.reaches(&drifts[record], kind, wanted).await;
    }
    for record in ["manifest-changed", "withdrawn", "expired", "gone"] {
        eventually(&format!("the question about {record} again"), || async {
            if drifts_of(world, record).await.len() == 2 { Ok(()) } else { Err("not yet") }
        })
        .await;
    }
    world.reaches("pr/duplicate", "Stalled", "True DuplicateRecord").await;
    for record in RECORDS {
        world.sync(record).await;
    }
    // An action is in progress before the operator ends.
    let saga = world.value(&drifts["reverting"], "{.status.sagaRef.name}").await;
    eventually("the action", || async {
        let step = world.value(&format!("saga/{saga}"), "{.status.steps}").await;
        if step.contains("action") { Ok(()) } else { Err(step) }
    })
    .await;

    // The operator ends between the two writes of an acceptance; then come two more decisions.
    world.kill_operator();
    world.environment = vec![("FAILPOINTS", "accepted-half=return")];
    world.restart_operator();
    annotate(world, &drifts["half-accepted"], &[accept]).await;
    eventually("the operator ends", || {
        let ended = world.operator.as_mut().unwrap().ended();
        async move { ended.map(|_| ()).ok_or("it runs") }
    })
    .await;
    world.kill_operator();
    annotate(world, &drifts["decided"], &[accept]).await;
    annotate(world, &drifts["to-revert"], &[revert]).await;
}

#[tokio::test]
async fn drifts_and_records_of_every_phase_are_continued_and_no_decision_is_lost() {
    let (world, before) = replayed("drifts", every_drift).await;
    let mut drifts = BTreeMap::new();
    for record in ["half-accepted", "decided", "to-revert", "reverting"] {
        drifts.insert(record, drift_of(&world, record).await);
    }
    for (record, wanted) in [("half-accepted", "Accepted"), ("decided", "Accepted"), ("to-revert", "Reverted")] {
        world.reaches(&drifts[record], "Resolved", &format!("True {wanted}")).await;
    }
    for record in ["half-accepted", "decided"] {
        assert_eq!(world.value(&format!("pr/{record}"), "{.spec.desired.size_slug}").await, LIVE, "{record}");
    }
    let live = world.cloud.get("droplets", &id("to-revert")).await.unwrap().unwrap();
    assert_eq!(live["name"], "wanted");

    // The revert in progress waits for its action and does not start another one.
    world.reaches(&drifts["reverting"], "Resolved", "False Reverting").await;
    let saga = world.value(&drifts["reverting"], "{.status.sagaRef.name}").await;
    finish(&world, &saga).await;
    world.cloud.change("droplets", &id("reverting"), json!({ "name": "wanted" })).await.unwrap();
    world.reaches(&drifts["reverting"], "Resolved", "True Reverted").await;
    let requests = world.cloud.requests().await.unwrap();
    let started = |record: &str| requests.count(&format!("POST /v2/droplets/{}/actions", id(record)));
    assert_eq!((started("reverting"), started("to-revert"), requests.mutating()), (0, 1, 1), "{requests:?}");

    // Everything else is unchanged: no second drift opens, no resolved one reopens, and no acceptance ends.
    for record in RECORDS {
        world.sync(record).await;
    }
    let in_flight = |name: &str| {
        let (kind, name) = name.split_once('/').unwrap();
        match kind {
            "drifts" => drifts.values().any(|drift| *drift == format!("drifts/{name}")),
            "sagas" => true,
            _ => drifts.contains_key(name),
        }
    };
    let after = lines(&world).await;
    let kept =
        |lines: &Lines, plural: &str| lines.keys().filter(|name| name.starts_with(plural)).cloned().collect::<Vec<_>>();
    assert_eq!(kept(&after, "drifts/"), kept(&before, "drifts/"));
    for (name, line) in before.iter().filter(|(name, _)| !in_flight(name)) {
        assert_eq!(after.get(name), Some(line), "{name}");
    }
    assert_eq!(kept(&after, "sagas/").len(), kept(&before, "sagas/").len() + 1, "only the requested revert");
}

/// Completes the actions that a saga waits for.
async fn finish(world: &World, saga: &str) {
    let client = reqwest::Client::new();
    let url = format!("{}/v2/actions?per_page=200", world.cloud_url());
    let answer = client.get(url).bearer_auth(TOKEN).send().await.unwrap().text().await.unwrap();
    let page: Value = serde_json::from_str(&answer).unwrap();
    let journal = world.value(&format!("saga/{saga}"), "{.status.steps}").await;
    let mut finished = 0;
    for action in page["actions"].as_array().unwrap().iter().filter(|action| action["status"] == "in-progress") {
        let id = action["id"].to_string();
        if journal.contains(&id) {
            let done = json!({ "status": "completed", "completed_at": Timestamp::now().to_string() });
            world.cloud.change("actions", &id, done).await.unwrap();
            finished += 1;
        }
    }
    assert_eq!(finished, 1, "{journal}");
}

/// The droplets of the story of sagas.
const ACTED: &str = "3164601";
const DOUBTED: &str = "3164602";
const STUCK: &str = "3164603";
const UNDOING: &str = "3164604";
const LEFT: &str = "3164605";
const PLAIN: &str = "3164606";

fn snapshot(droplet: &str) -> Value {
    let retry = json!({ "attempts": 1, "minSeconds": 0 });
    json!({ "name": "snapshot", "step": "CreateDropletSnapshot", "with": { "droplet_provider_id": droplet }, "retry": retry })
}

fn sleep(seconds: u32) -> Value {
    json!({ "name": "wait", "step": "Sleep", "with": { "seconds": seconds } })
}

fn fail() -> Value {
    json!({ "name": "fail", "step": "Fail", "with": { "message": "no" } })
}

async fn order(world: &World, name: &str, steps: Value, more: &[(&str, Value)]) {
    let mut spec = json!({ "kind": "test", "steps": steps });
    for (key, value) in more {
        spec[*key] = value.clone();
    }
    world.order(name, spec).await;
}

async fn resolve(world: &World, saga: &str, answer: &str) {
    let annotations = [&format!("arcadia.cloud/resolve={answer}"), "arcadia.cloud/decided-by=jane"];
    annotate(world, &format!("saga/{saga}"), &annotations).await;
}

/// Orders saga `doubts`, whose call loses its response, and whose effect is not visible: a snapshot, which is returned.
async fn order_in_doubt(world: &World, droplet: &str) -> Value {
    let lost = Fault::new(format!("/v2/droplets/{droplet}/actions"), Effect::ResetAfter).method("POST").times(1);
    world.cloud.inject(lost).await.unwrap();
    let unavailable = Effect::Status { status: 503, retry_after: None, html: false };
    let unseen = Fault::new(format!("/v2/droplets/{droplet}/snapshots"), unavailable).method("GET");
    world.cloud.inject(unseen).await.unwrap();
    let mut doubted = snapshot(droplet);
    doubted["retry"] = json!({ "attempts": 20, "minSeconds": 1 });
    order(world, "doubts", json!([doubted]), &[]).await;
    eventually("the snapshot", || async { snapshots_of(world, droplet).await.pop().ok_or("none yet") }).await
}

/// The snapshots of a droplet.
async fn snapshots_of(world: &World, droplet: &str) -> Vec<Value> {
    let inventory = world.cloud.inventory().await.unwrap();
    let all = inventory["snapshots"].as_object().into_iter().flat_map(serde_json::Map::values);
    all.filter(|snapshot| snapshot["resource_id"] == droplet).cloned().collect()
}

/// Brings sagas into every phase and their steps into every state, and kills the operator.
async fn every_saga(world: &mut World) {
    for id in [ACTED, DOUBTED, STUCK, UNDOING, LEFT, PLAIN] {
        world.cloud.put("droplets", droplet(id, &format!("web-{id}"))).await.unwrap();
    }
    world.start_operator(&[]);
    let status = |status: u16| Effect::Status { status, retry_after: None, html: false };

    // Ended, in each phase.
    order(world, "succeeded", json!([snapshot(PLAIN)]), &[]).await;
    order(world, "rolled-back", json!([snapshot(PLAIN), fail()]), &[]).await;
    order(world, "invalid", json!([{ "name": "a", "step": "Slep" }]), &[]).await;
    world.saga_reaches("succeeded", "Succeeded").await;
    world.saga_reaches("rolled-back", "RolledBack").await;
    world.saga_reaches("invalid", "Failed").await;

    // Stuck, and resolved by a person.
    world.cloud.inject(Fault::new("/v2/snapshots/*", status(403)).method("DELETE")).await.unwrap();
    for name in ["stuck", "left", "abandoned"] {
        order(world, name, json!([snapshot(if name == "stuck" { STUCK } else { LEFT }), fail()]), &[]).await;
        world.saga_reaches(name, "Stuck").await;
    }
    resolve(world, "left", "skip").await;
    resolve(world, "abandoned", "abandon").await;
    world.saga_reaches("left", "RolledBack").await;
    world.saga_reaches("abandoned", "Failed").await;
    world.cloud.clear_faults().await.unwrap();

    // Not started.
    order(world, "suspended", json!([snapshot(PLAIN)]), &[("suspend", json!(true))]).await;
    order(
        world,
        "sleeps",
        json!([sleep(100_000)]),
        &[("deploymentId", json!("dep-1")), ("timeoutSeconds", json!(200_000))],
    )
    .await;
    world.saga_reaches("sleeps", "Running").await;
    order(world, "waits-for-another", json!([sleep(0)]), &[("deploymentId", json!("dep-1"))]).await;
    world.reaches("saga/waits-for-another", "Succeeded", "Unknown WaitingForAnother").await;

    // In progress.
    order(world, "approval", json!([sleep(0), { "name": "ask", "step": "Approval" }]), &[]).await;
    let again = json!({ "attempts": 9, "minSeconds": 3000, "maxSeconds": 3000 });
    let transient =
        json!({ "name": "fail", "step": "Fail", "with": { "message": "not now", "transient": true }, "retry": again });
    order(world, "retried", json!([transient]), &[("timeoutSeconds", json!(200_000))]).await;
    let slow = Fault::new(format!("/v2/droplets/{ACTED}/actions"), Effect::SlowAction { seconds: 3600 });
    world.cloud.inject(slow.method("POST")).await.unwrap();
    let off = json!({ "name": "off", "step": "PowerOffDroplet", "with": { "droplet_provider_id": ACTED } });
    order(world, "acts", json!([off]), &[]).await;
    order(world, "cancelled", json!([snapshot(PLAIN), sleep(100_000)]), &[]).await;
    order(world, "deleted", json!([snapshot(PLAIN), sleep(100_000)]), &[]).await;
    let has = async |name: &str, words: &str| {
        eventually(&format!("{name}: {words}"), || async {
            let saga = world.saga(name).await["status"].to_string();
            if saga.contains(words) { Ok(()) } else { Err(saga) }
        })
        .await;
    };
    has("approval", "\"waitingFor\"").await;
    has("retried", "not now").await;
    has("acts", "action").await;
    has("cancelled", "\"progress\":\"1/2\"").await;
    has("deleted", "\"progress\":\"1/2\"").await;

    // The response of a call is lost, and its effect is not visible yet.
    order_in_doubt(world, DOUBTED).await;
    // An undo that fails.
    world.cloud.inject(Fault::new("/v2/snapshots/*", status(503)).method("DELETE")).await.unwrap();
    let mut patient = snapshot(UNDOING);
    patient["retry"] = json!({ "attempts": 20, "minSeconds": 1 });
    order(world, "rolling-back", json!([patient, fail()]), &[]).await;
    world.saga_reaches("rolling-back", "RollingBack").await;
    has("rolling-back", "Undoing").await;
    world.kill_operator();
    world.run(&["patch", "saga", "cancelled", "--type=merge", "-p", r#"{"spec": {"cancelRequested": true}}"#]).await;
    world.run(&["delete", "saga", "deleted", "--wait=false"]).await;
}

#[tokio::test]
async fn sagas_of_every_phase_are_continued_and_no_call_is_repeated() {
    let (world, before) = replayed("sagas", every_saga).await;
    // The effect of the call in doubt is found, and meanwhile requests are carried out.
    for (name, phase) in [("doubts", "Succeeded"), ("rolling-back", "RolledBack"), ("cancelled", "RolledBack")] {
        world.saga_reaches(name, phase).await;
    }
    world.run(&["wait", "--for=delete", "saga/deleted", "--timeout=30s"]).await;
    finish(&world, "acts").await;
    world.cloud.change("droplets", ACTED, json!({ "status": "off" })).await.unwrap();
    world.saga_reaches("acts", "Succeeded").await;
    let requests = world.cloud.requests().await.unwrap();
    // Undone: the snapshots of three sagas. Nothing is created again.
    assert_eq!(requests.mutating(), 3, "{requests:?}");

    let in_flight = ["doubts", "rolling-back", "cancelled", "deleted", "acts"];
    let after = lines(&world).await;
    for (name, line) in before.iter().filter(|(name, _)| !in_flight.iter().any(|it| name.ends_with(&format!("/{it}"))))
    {
        assert_eq!(after.get(name), Some(line), "{name}");
    }
    assert_eq!(after.len() + 1, before.len(), "one was deleted");

    // Sagas that wait for a person continue after the annotation.
    annotate(&world, "saga/approval", &["arcadia.cloud/approve-ask=kubernetes-admin"]).await;
    resolve(&world, "stuck", "retry").await;
    world.saga_reaches("stuck", "RolledBack").await;
    world.run(&["patch", "saga", "suspended", "--type=merge", "-p", r#"{"spec": {"suspend": false}}"#]).await;
    world.saga_reaches("suspended", "Succeeded").await;
    world.run(&["patch", "saga", "sleeps", "--type=merge", "-p", r#"{"spec": {"cancelRequested": true}}"#]).await;
    world.saga_reaches("waits-for-another", "Succeeded").await;
}
