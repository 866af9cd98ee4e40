//! Two operators: one leads, the other stands by, and never do both write.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use arcadia_operator::api::Drift;
use control_plane::{ControlPlane, Options};
use digitalocean_simulator::RateLimits;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::world::{Credential, DROPLET, Operator, World, droplet, eventually, install};

/// The number of droplets in tests that need many writes.
const MANY: u64 = 150;
/// The exit code of an operator that lost the lease.
const LOST_LEASE: i32 = 3;

/// An operator with its health endpoints.
struct Replica {
    process: Operator,
    address: SocketAddr,
}

impl Replica {
    fn start(world: &mut World, environment: &[(&str, &str)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = world.spawn_operator(&["--metrics-address", &address.to_string()], environment);
        Self { process, address }
    }

    /// Status and body.
    async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let answer = client.get(format!("http://{}{path}", self.address)).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok((answer.status().as_u16(), answer.text().await.map_err(|error| error.to_string())?))
    }

    async fn becomes_ready(&self) {
        eventually("ready", || async {
            match self.get("/readyz").await? {
                (200, _) => Ok(()),
                (_, body) => Err(body),
            }
        })
        .await;
    }

    /// Waits until it is not ready, for a reason with these words, but alive.
    async fn becomes_unready(&self, words: &str) {
        eventually(&format!("not ready: {words}"), || async {
            match self.get("/readyz").await? {
                (503, body) if body.contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        self.is_alive().await;
    }

    async fn is_alive(&self) {
        assert_eq!(self.get("/livez").await.unwrap(), (200, "ok\n".to_owned()));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap()
    }

    fn is_leader(&self) -> bool {
        self.log().contains("acquired the lease")
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and returns the exit code.
    async fn ends(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.ended() {
                return status.code().unwrap();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it should have ended:\n{}", self.process.log_tail(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Reads the cluster without the time that kubectl takes to start.
struct Eye {
    leases: Api<Lease>,
    drifts: Api<Drift>,
}

impl Eye {
    async fn on(world: &World) -> Self {
        let client = world.namespace.client().await.unwrap();
        Self { leases: Api::default_namespaced(client.clone()), drifts: Api::default_namespaced(client) }
    }

    async fn holder(&self) -> Option<String> {
        let lease = self.leases.get_opt("arcadia-operator").await.ok()??;
        lease.spec?.holder_identity
    }

    /// Waits until another operator holds the lease, and returns its identity.
    async fn next_holder(&self, last: Option<&String>) -> String {
        eventually("another holder", || async {
            let holder = self.holder().await;
            match holder.filter(|holder| !holder.is_empty() && Some(holder) != last) {
                Some(holder) => Ok(holder),
                None => Err(last),
            }
        })
        .await
    }

    async fn drifts(&self) -> usize {
        self.drifts.list(&ListParams::default()).await.map_or(0, |list| list.items.len())
    }

    async fn reaches_drifts(&self, wanted: usize) {
        eventually(&format!("{wanted} drifts"), || async {
            let is = self.drifts().await;
            if is >= wanted { Ok(()) } else { Err(is) }
        })
        .await;
    }
}

fn id(number: u64) -> String {
    (4_000_000 + number).to_string()
}

/// Records many droplets with their live values.
async fn record_many(world: &World) {
    let mut manifests = Vec::new();
    for number in 0..MANY {
        world.cloud.put("droplets", droplet(&id(number), &format!("many-{number}"))).await.unwrap();
        manifests.push(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": format!("many-{number}") },
            "spec": { "resource": { "kind": "Droplet", "id": id(number) },
                      "desired": { "name": format!("many-{number}") } },
        }));
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
    world.kubectl().run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
}

async fn rename_many(world: &World, suffix: &str) {
    for number in 0..MANY {
        let name = format!("many-{number}-{suffix}");
        world.cloud.change("droplets", &id(number), json!({ "name": name })).await.unwrap();
    }
}

#[tokio::test]
async fn a_standby_replaces_a_killed_and_a_stopped_leader() {
    let mut world = World::without_operator("takeover", RateLimits::HIGH).await;
    let eye = Eye::on(&world).await;
    world.record("web-1", json!({"name": "web-1", "size_slug": "s-2vcpu-4gb"})).await;
    let mut first = Replica::start(&mut world, &[]);
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    first.becomes_ready().await;
    let holder = eye.next_holder(None).await;
    let second = Replica::start(&mut world, &[]);
    second.becomes_ready().await;
    let calls = world.cloud.requests().await.unwrap().total();
    assert!(calls > 0);

    // The standby has synced its caches before it needs them, and has not called the cloud.
    assert!(second.log().contains("all records and drifts are known"), "{}", second.log());
    assert!(!second.is_leader() && !second.log().contains("swept"), "{}", second.log());

    first.process.kill();
    let killed = Instant::now();
    world.cloud.change("droplets", DROPLET, json!({"name": "renamed"})).await.unwrap();
    let holder = eye.next_holder(Some(&holder)).await;
    let taken = killed.elapsed();
    eye.reaches_drifts(1).await;
    let acted = killed.elapsed();
    eprintln!("kill -9: taken over after {taken:?}, acted after {acted:?}");
    assert!(acted < Duration::from_secs(15), "taken over after {taken:?}, acted after {acted:?}");

    let third = Replica::start(&mut world, &[]);
    third.becomes_ready().await;
    let mut second = second;
    second.signal("-TERM");
    let asked = Instant::now();
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-4vcpu-8gb"})).await.unwrap();
    eye.next_holder(Some(&holder)).await;
    let taken = asked.elapsed();
    eye.reaches_drifts(2).await;
    eprintln!("SIGTERM: taken over after {taken:?}, acted after {:?}", asked.elapsed());
    assert!(taken < Duration::from_secs(2), "taken over after {taken:?}");
    assert_eq!(second.ends().await, 0);
    assert!(second.log().contains("released the lease"), "{}", second.log());
    third.becomes_ready().await;
    assert!(third.is_leader());
}

#[tokio::test]
async fn a_clean_stop_during_work_completes_started_writes() {
    let mut world = World::without_operator("clean", RateLimits::HIGH).await;
    let eye = Eye::on(&world).await;
    record_many(&world).await;
    let mut first = Replica::start(&mut world, &[]);
    let holder = eye.next_holder(None).await;
    let second = Replica::start(&mut world, &[]);
    second.becomes_ready().await;
    rename_many(&world, "a").await;
    eye.reaches_drifts(20).await;
    first.signal("-TERM");
    let asked = Instant::now();
    assert_eq!(first.ends().await, 0);
    let ended = asked.elapsed();
    let log = first.log();
    let done = log.matches("drift detected").count();
    eprintln!("ended after {ended:?} with {done} drifts");
    assert!(ended < Duration::from_secs(10) && done < usize::try_from(MANY).unwrap(), "{ended:?}, {done}");
    assert!(!log.contains("not finished") && !log.contains("could not"), "{log}");
    // Each drift is reported once, by the operator that opened it.
    eye.next_holder(Some(&holder)).await;
    eye.reaches_drifts(usize::try_from(MANY).unwrap()).await;
    eventually("an event for each drift", || async {
        // Each drift is also reported on the record.
        let of_drifts = "jsonpath={.items[?(@.involvedObject.kind=='Drift')].reason}";
        let events = world.run(&["get", "events", "-o", of_drifts]).await;
        let told = events.split(' ').filter(|reason| *reason == "DriftDetected").count();
        if told == usize::try_from(MANY).unwrap() { Ok(()) } else { Err(told) }
    })
    .await;
    drop(second);
}

/// A write and its time, from the API server's audit log.
struct Write {
    at: Timestamp,
    what: String,
}

fn writes(log: &Path, with: &Credential) -> Vec<Write> {
    let text = std::fs::read_to_string(log).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_read = |entry: &Value| ["get", "list", "watch"].contains(&entry["verb"].as_str().unwrap());
    entries
        .filter(|entry| with.made(entry) && !is_read(entry))
        .map(|entry| Write {
            at: entry["requestReceivedTimestamp"].as_str().unwrap().parse().unwrap(),
            what: format!("{} {}", entry["verb"], entry["requestURI"]),
        })
        .collect()
}

/// The lists of whole caches since this time, in pages or streamed. Readiness checks list one object at the
/// start, and then objects of one name.
fn lists(log: &Path, with: &Credential, since: Timestamp) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_credential = entries.filter(|entry| {
        let at: Timestamp = entry["requestReceivedTimestamp"].as_str().unwrap().parse().unwrap();
        with.made(entry) && at >= since
    });
    let uris = of_credential.filter_map(|entry| {
        let uri = entry["requestURI"].as_str().unwrap().to_owned();
        let is_check =
            uri.contains("limit=1&") || uri.ends_with("limit=1") || uri.contains("fieldSelector=metadata.namespace");
        let is_list = entry["verb"] == "list" && !is_check;
        (uri.contains("arcadia.cloud") && (is_list || uri.contains("sendInitialEvents=true"))).then_some(uri)
    });
    uris.collect()
}

#[tokio::test]
async fn a_leader_paused_past_its_lease_writes_nothing_more() {
    let audit_policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    });
    let options =
        Options { controller_manager: false, audit_policy: Some(audit_policy.to_string()), ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let log = control_plane.audit_log().unwrap();
    install(&control_plane).await;
    let mut world = World::on(&control_plane, "stopped", RateLimits::HIGH).await;
    let eye = Eye::on(&world).await;
    record_many(&world).await;
    // One account, as replicas have it, but one token each: the audit log distinguishes them.
    let (one, other) = (world.credential().await, world.credential().await);
    let mut first = Replica::start(&mut world, &[("KUBECONFIG", one.kubeconfig.to_str().unwrap())]);
    let holder = eye.next_holder(None).await;
    let second = Replica::start(&mut world, &[("KUBECONFIG", other.kubeconfig.to_str().unwrap())]);
    second.becomes_ready().await;
    rename_many(&world, "a").await;
    eye.reaches_drifts(30).await;

    // Stopped between its writes.
    first.signal("-STOP");
    let stopped = Timestamp::now();
    let stood = Instant::now();
    let left = usize::try_from(MANY).unwrap() - eye.drifts().await;
    eye.next_holder(Some(&holder)).await;
    let taken = stood.elapsed();
    eprintln!("SIGSTOP: taken over after {taken:?}");
    assert!(taken < Duration::from_secs(15), "{taken:?}");
    assert!(left > 0, "the first one must have something left to write");
    eye.reaches_drifts(usize::try_from(MANY).unwrap()).await;
    // The other operator has as much to do when the first one continues.
    rename_many(&world, "b").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.signal("-CONT");
    assert_eq!(first.ends().await, LOST_LEASE);
    assert!(first.log().contains("lost the lease"), "{}", first.log());
    tokio::time::sleep(Duration::from_secs(2)).await;
    second.becomes_ready().await;

    let [of_first, of_second] = [&one, &other].map(|credential| writes(&log, credential));
    assert!(of_first.len() > 30 && of_second.len() > 30, "{} and {}", of_first.len(), of_second.len());
    let at_start = lists(&log, &other, Timestamp::UNIX_EPOCH);
    assert!(at_start.len() >= 4 && at_start.iter().all(|list| !list.contains("resourceVersion=0")), "{at_start:?}");
    let at_takeover = lists(&log, &other, stopped);
    assert!(at_takeover.is_empty(), "the caches of a standby are warm: {at_takeover:?}");
    // Requests that were sent before the stop may still arrive.
    let limit = stopped + Duration::from_secs(1);
    let late: Vec<_> = of_first.iter().filter(|write| write.at > limit).map(|write| &write.what).collect();
    assert!(late.is_empty(), "written after it was stopped: {late:?}");
    let early: Vec<_> = of_second.iter().filter(|write| write.at < limit).map(|write| &write.what).collect();
    assert!(early.is_empty(), "written by the standby: {early:?}");
}

#[tokio::test]
async fn the_operator_survives_a_minute_without_the_api_server() {
    let control_plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    install(&control_plane).await;
    let mut world = World::on(&control_plane, "away", RateLimits::HIGH).await;
    world.api_server_restarts = true;
    let eye = Eye::on(&world).await;
    world.record("web-1", json!({"name": "web-1"})).await;
    let mut leader = Replica::start(&mut world, &[]);
    leader.becomes_ready().await;
    eye.next_holder(None).await;
    let standby = Replica::start(&mut world, &[]);
    standby.becomes_ready().await;

    // A saga is interrupted: the snapshot is created, and its result cannot be stored.
    let steps = json!([
        {"name": "wait", "step": "Sleep", "with": {"seconds": 1}},
        {"name": "snapshot", "step": "CreateDropletSnapshot", "with": {"droplet_provider_id": DROPLET}},
    ]);
    world.order("through", json!({"kind": "test", "steps": steps})).await;
    eventually("the call for a snapshot", || async {
        let count = world.cloud.requests().await.unwrap().count("POST /v2/droplets/*/actions");
        if count == 1 { Ok(()) } else { Err(count) }
    })
    .await;

    control_plane.stop_api_server().await.unwrap();
    let away = Instant::now();
    // It cannot know whether another operator holds the lease by now.
    assert_eq!(leader.ends().await, LOST_LEASE);
    standby.becomes_unready("API server").await;
    // As the kubelet would.
    let mut restarted = Replica::start(&mut world, &[]);
    assert_eq!(restarted.ends().await, 2);
    world.cloud.change("droplets", DROPLET, json!({"name": "renamed"})).await.unwrap();
    while away.elapsed() < Duration::from_mins(1) {
        standby.is_alive().await;
        assert_eq!(standby.get("/readyz").await.unwrap().0, 503);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    control_plane.start_api_server().await.unwrap();
    let back = Instant::now();
    standby.becomes_ready().await;
    eye.reaches_drifts(1).await;
    eprintln!("acted {:?} after the API server was back", back.elapsed());
    assert!(standby.is_leader());
    let restarted = Replica::start(&mut world, &[]);
    restarted.becomes_ready().await;
    assert!(!restarted.is_leader());
    world.has_drifts(&[["name", "web-1", "renamed", "Open"]]).await;
    world.saga_reaches("through", "Succeeded").await;
    let snapshots = world.cloud.inventory().await.unwrap()["snapshots"].as_object().unwrap().len();
    assert_eq!(snapshots, 1, "made once, by either process");
}

#[tokio::test]
async fn readiness_depends_on_the_definitions() {
    let control_plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    install(&control_plane).await;
    let mut world = World::on(&control_plane, "definitions", RateLimits::HIGH).await;
    let leader = Replica::start(&mut world, &[]);
    leader.becomes_ready().await;
    world.run(&["delete", "crd", "drifts.arcadia.cloud"]).await;
    leader.becomes_unready("the cluster has no Drift").await;
    install(&control_plane).await;
    leader.becomes_ready().await;
    world.record("web-1", json!({"name": "other"})).await;
    world.has_drifts(&[["name", "other", "web-1", "Open"]]).await;
}
