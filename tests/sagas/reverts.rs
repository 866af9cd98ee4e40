//! Reverts under every fault of the cloud at each of their calls, in both directions: the operator reverts many drifts at
//! the same time, and each has its own fault. Each field ends with its desired value, or with the value that it had, as
//! its drift says, and no other field changes.

use std::collections::{BTreeMap, BTreeSet};

use digitalocean_simulator::{Effect, Fault, RateLimits};
use serde_json::{Value, json};

use crate::{
    stage::{ARGUMENTS, turn},
    world::{DROPLET, World, droplet as droplet_named, eventually},
};

const OTHER_DROPLET: &str = "3164445";
/// The project of the load balancers.
const FIRST: &str = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";

/// A resource with a drift. Its paths, and those of all that only it refers to, contain its token.
struct Subject {
    kind: &'static str,
    collection: String,
    id: String,
    document: Value,
    field: &'static str,
    desired: Value,
    token: String,
    /// Its own droplet: one that many share would refuse their actions at the same time.
    droplet: String,
    /// Other resources: collections and documents.
    beside: Vec<(&'static str, Value)>,
}

/// The ways in which fields are reverted.
const WAYS: [usize; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12];
/// The way of the tags of a droplet.
const TAGS: usize = 5;
/// The way of clusters has its own account: the operator reads all clusters to find the owner of a load balancer, so that
/// faults of one would meet the reverts of the other.
const CLUSTERS: [usize; 1] = [9];

impl Subject {
    #[expect(clippy::too_many_lines, reason = "it is one table")]
    fn new(way: usize, number: usize) -> Self {
        let token = format!("{number:012}");
        let uuid = format!("00000000-0000-4000-8000-{token}");
        let rule =
            |ports: &str| json!({ "protocol": "tcp", "ports": ports, "sources": { "addresses": ["0.0.0.0/0"] } });
        let out = json!({ "protocol": "tcp", "ports": "0", "destinations": { "addresses": ["0.0.0.0/0"] } });
        let droplets = |id: &str| json!([id.parse::<u64>().unwrap()]);
        let own = (88_000_000 + number).to_string();
        let firewall = json!({
            "id": uuid, "name": "web", "status": "succeeded", "pending_changes": [], "tags": [],
            "droplet_ids": droplets(OTHER_DROPLET), "inbound_rules": [rule("80"), rule("22")], "outbound_rules": [out],
        });
        let http = json!({
            "entry_protocol": "http", "entry_port": 80, "target_protocol": "http", "target_port": 8080,
            "certificate_id": "", "tls_passthrough": false,
        });
        let balancer = json!({
            "id": uuid, "name": "web", "status": "active", "size_unit": 2, "region": "nyc3", "tag": "",
            "droplet_ids": droplets(DROPLET), "forwarding_rules": [http], "project_id": FIRST,
        });
        let digits = (77_000_000 + number).to_string();
        let droplet = |tags: Value| {
            json!({
                "id": digits.parse::<u64>().unwrap(), "name": "web", "size_slug": "s-2vcpu-4gb", "region": "nyc3",
                "image": "ubuntu-24-04-x64", "tags": tags, "features": ["monitoring"],
            })
        };
        let subject = |kind, collection: &str, document: Value, field, desired: Value| Self {
            kind,
            collection: collection.to_owned(),
            id: uuid.clone(),
            document,
            field,
            desired,
            token: token.clone(),
            droplet: own.clone(),
            beside: Vec::new(),
        };
        let of_droplet = |document: Value, field, desired: Value| Self {
            id: digits.clone(),
            token: digits.clone(),
            ..subject("Droplet", "droplets", document, field, desired)
        };
        match way {
            0 => {
                let project = json!({ "id": uuid, "name": "web", "description": "x", "purpose": "Web Application" });
                subject("Project", "projects", project, "description", json!("y"))
            }
            1 => subject("Firewall", "firewalls", firewall, "inbound_rules", json!([rule("443"), rule("22")])),
            2 => subject("Firewall", "firewalls", firewall, "droplet_ids", droplets(DROPLET)),
            3 => subject("LoadBalancer", "load_balancers", balancer, "redirect_http_to_https", json!(true)),
            4 => {
                let project = format!("00000000-0000-4000-9000-{token}");
                let beside = vec![("projects", json!({ "id": project, "name": "shop" }))];
                Self { beside, ..subject("LoadBalancer", "load_balancers", balancer, "project_id", json!(project)) }
            }
            5 => {
                let tag = |name: &str| json!([format!("{name}-{digits}")]);
                of_droplet(droplet(tag("old")), "tags", tag("new"))
            }
            6 => of_droplet(droplet(json!([])), "name", json!("web-9")),
            7 => of_droplet(droplet(json!([])), "size_slug", json!("s-4vcpu-8gb")),
            8 => {
                let domain = format!("case-{token}.example.org");
                let record = json!({ "id": 7, "type": "CNAME", "name": "www", "data": "a.example.com", "ttl": 1800 });
                Self {
                    id: format!("{domain}/7"),
                    beside: vec![("domains", json!({ "name": domain }))],
                    ..subject(
                        "DomainRecord",
                        &format!("domains/{domain}/records"),
                        record,
                        "data",
                        json!("b.example.com"),
                    )
                }
            }
            9 => {
                let pool = json!({ "name": "web", "size": "s-1vcpu-2gb", "count": 1, "labels": { "a": "b" } });
                let cluster = json!({ "id": uuid, "status": { "state": "running" }, "tags": [], "node_pools": [pool] });
                let desired = json!([{ "name": "web", "labels": { "a": "c" } }]);
                subject("KubernetesCluster", "kubernetes/clusters", cluster, "node_pools", desired)
            }
            10 => {
                let database = json!({
                    "id": uuid, "status": "online", "engine": "pg", "version": "16", "size": "db-s-2vcpu-4gb",
                    "num_nodes": 2, "storage_size_mib": 61_440,
                });
                subject("Database", "databases", database, "num_nodes", json!(1))
            }
            11 => {
                let volume =
                    json!({ "id": uuid, "name": "data", "region": "nyc3", "size_gigabytes": 10, "droplet_ids": [] });
                let beside = vec![("droplets", droplet_named(&own, "web"))];
                Self { beside, ..subject("Volume", "volumes", volume, "droplet_ids", droplets(&own)) }
            }
            12 => {
                let octets = [number / 10_000, number / 100 % 100, number % 100].map(|part| (100 + part).to_string());
                let ip = format!("10.{}", octets.join("."));
                let mut address = subject(
                    "ReservedIP",
                    "reserved_ips",
                    json!({ "ip": ip, "region": "nyc3", "droplet": null }),
                    "droplet_id",
                    json!(own),
                );
                address.beside = vec![("droplets", droplet_named(&own, "web"))];
                (address.id, address.token) = (ip.clone(), ip);
                address
            }
            _ => panic!("there is no way {way}"),
        }
    }

    fn key(&self) -> &str {
        self.id.rsplit('/').next().unwrap()
    }

    /// The paths of all its calls.
    fn paths(&self) -> String {
        format!("*{}*", self.token)
    }

    async fn store(&self, world: &World) {
        for (collection, document) in &self.beside {
            world.cloud.put(collection, document.clone()).await.unwrap();
        }
        world.cloud.put(&self.collection, self.document.clone()).await.unwrap();
    }

    /// Its document, without what differs between two equal resources.
    async fn read(&self, world: &World) -> Value {
        fn timeless(value: &mut Value) {
            const VOLATILE: [&str; 10] = [
                "created_at",
                "updated_at",
                "pending_changes",
                "networks",
                "nodes",
                "uuid",
                "ip",
                "endpoint",
                "id",
                "urn",
            ];
            match value {
                Value::Object(entries) => {
                    entries.retain(|key, _| !VOLATILE.contains(&key.as_str()));
                    entries.values_mut().for_each(timeless);
                }
                Value::Array(items) => items.iter_mut().for_each(timeless),
                _ => {}
            }
        }
        let document = world.cloud.get(&self.collection, self.key()).await.unwrap().unwrap();
        let document = document.to_string().replace(&self.token, "1").replace(&self.droplet, "2");
        let mut document: Value = serde_json::from_str(&document).unwrap();
        timeless(&mut document);
        document
    }
}

/// A fault of the cloud.
#[derive(Clone)]
struct Trouble {
    name: &'static str,
    effect: Effect,
    /// The revert succeeds nevertheless.
    passes: bool,
}

fn status(status: u16, html: bool) -> Effect {
    Effect::Status { status, retry_after: (status == 429).then_some(1), html }
}

/// The faults of a change.
fn troubles_of_changes() -> Vec<Trouble> {
    let passing = [
        ("500", status(500, false)),
        ("503", status(503, true)),
        ("429", status(429, false)),
        ("401", status(401, false)),
        ("404 of a proxy", status(404, true)),
        ("reset", Effect::Reset),
        ("reset after the change", Effect::ResetAfter),
        ("late", Effect::Latency { milliseconds: 700 }),
        ("time-out", Effect::Latency { milliseconds: 6000 }),
        ("truncated", Effect::Truncate),
        ("wrong content", Effect::WrongContent),
        ("too large", Effect::Huge { bytes: 50_000_000 }),
        ("the action fails", Effect::FailAction),
    ];
    let refuse = |status, message: &str| Effect::Refuse { status, message: message.to_owned() };
    let busy = [
        ("busy 403", refuse(403, "Load Balancer can't be updated while it processes previous actions")),
        ("busy 409", refuse(409, "the resource is currently locked")),
        ("busy 412", refuse(412, "update cluster cannot be performed. Reason: cluster is undergoing maintenance")),
        ("busy 422", refuse(422, "Droplet already has a pending event.")),
    ];
    let refused = [
        ("403", refuse(403, "You are not authorized to perform this operation")),
        ("404", refuse(404, "The resource you were accessing could not be found.")),
        ("409", refuse(409, "conflict")),
        ("412", refuse(412, "precondition failed")),
        ("422", refuse(422, "the value is invalid")),
        ("redirect", Effect::Redirect { location: "http://192.0.2.1/".to_owned() }),
    ];
    let all = passing.into_iter().chain(busy).map(|(name, effect)| Trouble { name, effect, passes: true });
    all.chain(refused.map(|(name, effect)| Trouble { name, effect, passes: false })).collect()
}

/// The faults of a read, one of each kind: the tests of the client have them all.
fn troubles_of_reads() -> Vec<Trouble> {
    vec![
        Trouble { name: "reset", effect: Effect::Reset, passes: true },
        Trouble { name: "403", effect: status(403, false), passes: false },
        Trouble { name: "wrong content", effect: Effect::WrongContent, passes: false },
    ]
}

/// A revert without a fault, and its undoing.
struct Calm {
    before: Value,
    after: Value,
    /// True for each call that changes something.
    forward: Vec<bool>,
    back: Vec<bool>,
}

/// A revert with one fault, or none before it is undone.
struct Trial {
    way: usize,
    subject: Subject,
    /// The trouble of the n-th call.
    trouble: Option<(usize, Trouble)>,
}

impl Trial {
    fn name(&self) -> String {
        let Subject { kind, field, .. } = &self.subject;
        let trouble = self.trouble.as_ref().map(|(call, trouble)| format!("{} at call {call}", trouble.name));
        format!("{kind} {field} {}: {}", self.subject.id, trouble.unwrap_or_default())
    }

    fn record(&self) -> String {
        format!("r-{}", self.subject.id.replace(['/', ':'], "-"))
    }

    fn manifest(&self) -> Value {
        let Subject { kind, id, field, desired, .. } = &self.subject;
        json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": { "name": self.record() },
            "spec": { "resource": { "kind": kind, "id": id }, "desired": { *field: desired } },
        })
    }

    async fn inject(&self, world: &World) {
        if let Some((call, Trouble { effect, .. })) = &self.trouble {
            let call = u32::try_from(*call).unwrap();
            let fault = Fault::new(self.subject.paths(), effect.clone()).after(call).times(1);
            world.cloud.inject(fault).await.unwrap();
        }
    }
}

/// The latest drift of each record.
async fn drifts(world: &World) -> BTreeMap<String, Value> {
    let mut drifts = world.list("drifts").await;
    drifts.sort_by_key(|drift| drift["spec"]["episode"].as_i64());
    let record = |drift: &Value| drift["spec"]["resourceRef"]["name"].as_str().unwrap().to_owned();
    drifts.into_iter().map(|drift| (record(&drift), drift)).collect()
}

/// Waits until each trial satisfies a condition on its latest drift.
async fn each_is(world: &World, trials: &[&Trial], what: &str, is_so: impl Fn(&Trial, &Value) -> bool) {
    eventually(what, || async {
        let drifts = drifts(world).await;
        let missing: Vec<_> = trials
            .iter()
            .filter(|trial| !drifts.get(&trial.record()).is_some_and(|drift| is_so(trial, drift)))
            .map(|trial| {
                let status = drifts.get(&trial.record()).map(|drift| drift["status"].to_string());
                format!("{}: {}", trial.name(), status.unwrap_or_default())
            })
            .collect();
        let few: Vec<_> = missing.iter().take(5).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{} of {}: {few:#?}", missing.len(), trials.len())) }
    })
    .await;
}

/// Opens the drift of each trial.
async fn open(world: &World, trials: &[Trial]) {
    for trial in trials {
        trial.subject.store(world).await;
    }
    let records: Vec<_> = trials.iter().map(Trial::manifest).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": records });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    let all: Vec<_> = trials.iter().collect();
    each_is(world, &all, "a drift of each record", |_, drift| drift["status"]["phase"] == "Open").await;
    eventually("every status", || async {
        let records = world.list("pr").await;
        let waiting = records.iter().filter(|record| record["status"]["openDrifts"].is_null()).count();
        if waiting == 0 { Ok(()) } else { Err(waiting) }
    })
    .await;
}

async fn decide(world: &World, trials: &[&Trial]) {
    let drifts = drifts(world).await;
    let names: Vec<_> = trials
        .iter()
        .map(|trial| format!("drift/{}", drifts[&trial.record()]["metadata"]["name"].as_str().unwrap()))
        .collect();
    for names in names.chunks(200) {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        world.run(&[&["annotate"], names.as_slice(), &["arcadia.cloud/revert=allow-disruption"]].concat()).await;
    }
}

fn is_reverted(drift: &Value) -> bool {
    drift["status"]["phase"] == "Reverted"
}

/// Undoes the reverts by sagas of kind rollback. Returns their names, in the order of the trials.
async fn roll_back(world: &World, trials: &[&Trial]) -> Vec<String> {
    let drifts = drifts(world).await;
    let sagas: Vec<_> = trials
        .iter()
        .map(|trial| {
            let saga = drifts[&trial.record()]["status"]["sagaRef"]["name"].as_str().unwrap();
            json!({
                "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": format!("undo-{}", trial.record()) },
                "spec": { "kind": "rollback", "rollbackOf": { "name": saga } },
            })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": sagas });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
    trials.iter().map(|trial| format!("undo-{}", trial.record())).collect()
}

/// Waits until each of these sagas has one of these phases.
async fn sagas_are(world: &World, names: &[String], phases: &[&str]) -> BTreeMap<String, Value> {
    eventually(&format!("the sagas to be {phases:?}"), || async {
        let all = world.list("sagas").await.into_iter();
        let all: BTreeMap<_, _> =
            all.map(|saga| (saga["metadata"]["name"].as_str().unwrap().to_owned(), saga)).collect();
        let is_so = |name: &&String| phases.iter().any(|phase| all[*name]["status"]["phase"] == *phase);
        let missing: Vec<_> =
            names.iter().filter(|name| !is_so(name)).map(|name| (name, all[name]["status"].to_string())).collect();
        if missing.is_empty() {
            Ok(all)
        } else {
            Err(format!("{} of {}: {:?}", missing.len(), names.len(), missing[0]))
        }
    })
    .await
}

/// The calls of each way since the last reset: whether each changes something.
async fn calls(world: &World, trials: &[Trial]) -> Vec<Vec<bool>> {
    let calls = world.cloud.requests().await.unwrap().latest;
    assert!(calls.len() < 200, "the simulator forgot the first calls");
    let of = |trial: &Trial| {
        calls.iter().filter(|call| call.contains(&trial.subject.token)).map(|call| !call.starts_with("GET ")).collect()
    };
    trials.iter().map(of).collect()
}

/// Each way without a fault, and undone.
async fn calm(world: &World, ways: &[usize]) -> BTreeMap<usize, Calm> {
    let trials: Vec<_> =
        ways.iter().map(|&way| Trial { way, subject: Subject::new(way, way), trouble: None }).collect();
    let all: Vec<_> = trials.iter().collect();
    open(world, &trials).await;
    let mut before = Vec::new();
    for trial in &trials {
        before.push(trial.subject.read(world).await);
    }
    world.cloud.reset_requests().await.unwrap();
    decide(world, &all).await;
    each_is(world, &all, "each reverted", |_, drift| is_reverted(drift)).await;
    let forward = calls(world, &trials).await;
    let mut after = Vec::new();
    for trial in &trials {
        after.push(trial.subject.read(world).await);
    }
    world.cloud.reset_requests().await.unwrap();
    let undoing = roll_back(world, &all).await;
    sagas_are(world, &undoing, &["Succeeded"]).await;
    let back = calls(world, &trials).await;
    for (trial, before) in trials.iter().zip(&before) {
        assert_eq!(&trial.subject.read(world).await, before, "{} undone", trial.name());
    }
    let all = before.into_iter().zip(after).zip(forward.into_iter().zip(back));
    let all = all.map(|((before, after), (forward, back))| Calm { before, after, forward, back });
    ways.iter().copied().zip(all).collect()
}

/// A trial of every trouble at each call. Ways of the same calls share the troubles, a third each: all at once would take
/// many minutes. One way alone has them all.
fn trials<'c>(calls: impl ExactSizeIterator<Item = (usize, &'c [bool])>) -> Vec<Trial> {
    let share = if calls.len() == 1 { 1 } else { 3 };
    let mut trials = Vec::new();
    for (way, calls) in calls {
        for (call, changes) in calls.iter().enumerate() {
            let troubles = if *changes { troubles_of_changes() } else { troubles_of_reads() };
            let own = |number: &usize| (way + call + number).is_multiple_of(share);
            // A removed tag that is reported as not found counts as removed, so the saga waits for the field for long.
            let is_believed = |trouble: &Trouble| way == TAGS && *changes && trouble.name == "404";
            let chosen = troubles.into_iter().enumerate().filter(|(number, it)| own(number) && !is_believed(it));
            for (_, trouble) in chosen {
                let subject = Subject::new(way, 1000 + trials.len());
                trials.push(Trial { way, subject, trouble: Some((call, trouble)) });
            }
        }
    }
    trials
}

async fn started(test: &str) -> World {
    let limits = RateLimits::HIGH;
    let mut world = World::without_operator(test, limits).await;
    world.cloud.put("droplets", droplet_named(OTHER_DROPLET, "web-2")).await.unwrap();
    world.cloud.put("projects", json!({ "id": FIRST, "name": "first" })).await.unwrap();
    let budget = ["--requests-per-minute", "10000000", "--requests-per-hour", "100000000", "--leader-elect=false"];
    world.start_operator(&[ARGUMENTS.as_slice(), &budget].concat());
    world
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask test --thorough"]
async fn a_fault_at_any_call_of_a_revert_delays_it_or_leaves_the_value_as_it_was() {
    reverts_survive_faults("revert-faults", &WAYS, 150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_call_of_a_revert_of_a_cluster_delays_it_or_leaves_the_value_as_it_was() {
    reverts_survive_faults("cluster-faults", &CLUSTERS, 24).await;
}

async fn reverts_survive_faults(test: &str, ways: &[usize], at_least: usize) {
    let _turn = turn().await;
    let world = started(test).await;
    let calm = calm(&world, ways).await;
    let trials = trials(calm.iter().map(|(way, calm)| (*way, calm.forward.as_slice())));
    println!("{} faults at {} calls", trials.len(), calm.values().map(|calm| calm.forward.len()).sum::<usize>());
    assert!(trials.len() >= at_least, "{}", trials.len());
    open(&world, &trials).await;
    for trial in &trials {
        trial.inject(&world).await;
    }
    let all: Vec<_> = trials.iter().collect();
    decide(&world, &all).await;
    each_is(&world, &all, "each decision carried out", |trial, drift| {
        let is_refused = ["RevertFailed", "DecisionRefused"].iter().any(|reason| drift["status"]["reason"] == *reason);
        is_reverted(drift) || (is_refused && !trial.trouble.as_ref().unwrap().1.passes)
    })
    .await;
    let ended = drifts(&world).await;
    let failed: Vec<_> = all.iter().copied().filter(|trial| !is_reverted(&ended[&trial.record()])).collect();
    let mut faults = Vec::new();
    for trial in &all {
        let is = trial.subject.read(&world).await;
        let Calm { before, after, .. } = &calm[&trial.way];
        let wanted = if is_reverted(&ended[&trial.record()]) { after } else { before };
        if is != *wanted {
            faults.push(format!("{}: {is}, not {wanted}", trial.name()));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), all.len(), faults.join("\n"));
    let refused: BTreeSet<_> = failed.iter().map(|trial| trial.way).collect();
    assert_eq!(refused.len(), ways.len(), "a refusal ends the revert of each way");
    // The faults are over: decided again, all of them succeed.
    decide(&world, &failed).await;
    each_is(&world, &failed, "each reverted", |_, drift| is_reverted(drift)).await;
    for trial in &failed {
        assert_eq!(trial.subject.read(&world).await, calm[&trial.way].after, "{}", trial.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask test --thorough"]
async fn a_fault_at_any_call_that_undoes_a_revert_delays_it_or_needs_a_person() {
    undoing_survives_faults("undo-faults", &WAYS, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_call_that_undoes_a_revert_of_a_cluster_delays_it_or_needs_a_person() {
    undoing_survives_faults("undo-clusters", &CLUSTERS, 24).await;
}

async fn undoing_survives_faults(test: &str, ways: &[usize], at_least: usize) {
    let _turn = turn().await;
    let world = started(test).await;
    let calm = calm(&world, ways).await;
    let trials = trials(calm.iter().map(|(way, calm)| (*way, calm.back.as_slice())));
    println!("{} faults at {} calls", trials.len(), calm.values().map(|calm| calm.back.len()).sum::<usize>());
    assert!(trials.len() >= at_least, "{}", trials.len());
    open(&world, &trials).await;
    let all: Vec<_> = trials.iter().collect();
    decide(&world, &all).await;
    each_is(&world, &all, "each reverted", |_, drift| is_reverted(drift)).await;
    for trial in &trials {
        trial.inject(&world).await;
    }
    let undoing = roll_back(&world, &all).await;
    let sagas = sagas_are(&world, &undoing, &["Succeeded", "Stuck"]).await;
    let mut stuck = Vec::new();
    for (trial, name) in all.iter().zip(&undoing) {
        let (is, Calm { before, after, .. }) = (trial.subject.read(&world).await, &calm[&trial.way]);
        if sagas[name]["status"]["phase"] == "Succeeded" {
            assert_eq!(&is, before, "{}", trial.name());
            continue;
        }
        assert!(!trial.trouble.as_ref().unwrap().1.passes, "{}: {}", trial.name(), sagas[name]["status"]);
        // Ways of more than one call may be undone in part.
        let changes = calm[&trial.way].back.iter().filter(|changes| **changes).count();
        assert!(changes > 1 || is == *after, "{}: {is}", trial.name());
        stuck.push((trial, name.clone()));
    }
    println!("{} need a person", stuck.len());
    let names: Vec<_> = stuck.iter().map(|(_, name)| format!("saga/{name}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        world.run(&[&["annotate"], names.as_slice(), &["arcadia.cloud/resolve=retry"]].concat()).await;
    }
    sagas_are(&world, &undoing, &["Succeeded"]).await;
    for (trial, _) in stuck {
        assert_eq!(trial.subject.read(&world).await, calm[&trial.way].before, "{}", trial.name());
    }
}
