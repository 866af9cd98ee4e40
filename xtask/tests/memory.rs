//! The memory of records, documents, resolved drifts and finished sagas, as the allocator counts it.
#![cfg(test)]

use std::{
    alloc::System,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arcadia_operator::{
    api::{Drift, ProvisionedResource, Saga},
    digitalocean::{self, Inventory, InventorySettings, Kind, Token},
    drift::index::RecordIndex,
    kube_ext::cache::Cache as _,
    saga,
};
use cap::Cap;
use digitalocean_simulator::{Options, RateLimits, Simulator};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const RECORDS: usize = 10_000;
/// The first droplet of the simulated fleet; the others follow.
const FIRST_DROPLET: usize = 3_164_444;

/// The bytes that something allocates for each record, and keeps.
fn each(what: &str, before: usize) -> usize {
    let bytes = ALLOCATOR.allocated().saturating_sub(before) / RECORDS;
    println!("{what}: {bytes} bytes");
    bytes
}

fn record(number: usize) -> ProvisionedResource {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let object = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
        "metadata": {
            "name": format!("web-{number}"), "namespace": "production", "generation": 1,
            "uid": format!("00000000-0000-4000-8000-{number:012}"), "resourceVersion": (20_000 + number).to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "resource": { "kind": "Droplet", "id": (FIRST_DROPLET + number).to_string() },
            "desired": { "size_slug": "s-2vcpu-4gb", "region": "nyc3", "tags": ["web", "prod"] },
        },
        "status": {
            "observedGeneration": 1, "reason": "NoDrift", "firstSeenAt": "2026-01-01T00:00:00Z",
            "conditions": [condition("Ready", "Compared", "compared with Droplet 3164444"), condition("InSync", "NoDrift", "")],
        },
    });
    serde_json::from_value(object).unwrap()
}

/// A drift that was accepted in place, with its decision.
fn resolved_drift(number: usize) -> Drift {
    let at = "2026-01-01T00:00:00Z";
    let resolved = json!({
        "type": "Resolved", "status": "True", "reason": "Accepted", "message": "accepted", "observedGeneration": 1,
        "lastTransitionTime": at,
    });
    let object = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
        "metadata": {
            "name": format!("web-{number}-size-slug-{number:010x}-1"), "namespace": "production", "generation": 1,
            "uid": format!("00000000-0000-4000-a000-{number:012}"), "resourceVersion": (40_000 + number).to_string(),
            "creationTimestamp": at,
            "annotations": {
                "arcadia.cloud/accept": "true", "arcadia.cloud/because": "more memory for the cache",
                "arcadia.cloud/decided-by": "jane.doe@example.com",
            },
        },
        "spec": {
            "resourceRef": { "name": format!("web-{number}"), "uid": format!("00000000-0000-4000-8000-{number:012}") },
            "resource": { "kind": "Droplet", "id": (FIRST_DROPLET + number).to_string() }, "field": "size_slug",
            "episode": 1, "expected": "s-2vcpu-4gb", "actual": "s-4vcpu-8gb", "specVersion": 1, "revert": "Disruptive",
        },
        "status": {
            "phase": "Accepted", "reason": "Accepted", "resolvedAt": at, "decidedBy": "jane.doe@example.com",
            "decision": "true", "because": "more memory for the cache", "conditions": [resolved],
            "acceptance": { "mode": "InPlace", "value": "s-4vcpu-8gb", "declared": "s-2vcpu-4gb", "since": at },
        },
    });
    serde_json::from_value(object).unwrap()
}

fn finished_saga(number: usize) -> Saga {
    let steps: Vec<Value> = (0..5)
        .map(|step| json!({ "name": format!("step-{step}"), "state": "Done", "attempts": 1, "output": { "slept": true } }))
        .collect();
    let object = json!({
        "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga",
        "metadata": {
            "name": format!("saga-{number}"), "namespace": "production", "generation": 1,
            "uid": format!("00000000-0000-4000-9000-{number:012}"), "resourceVersion": number.to_string(),
        },
        "spec": { "kind": "provision", "deploymentId": format!("dep-{number}"), "steps": [] },
        "status": {
            "phase": "Succeeded", "observedGeneration": 1, "finishedAt": "2026-01-01T00:00:00Z", "steps": steps,
        },
    });
    serde_json::from_value(object).unwrap()
}

/// The highest number of allocated bytes while something runs.
struct Peak {
    bytes: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl Peak {
    fn watch() -> Self {
        let (bytes, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, is_over) = (Arc::clone(&bytes), Arc::clone(&ends));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                seen.fetch_max(ALLOCATOR.allocated(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Self { bytes, ends }
    }

    fn each(self, what: &str, before: usize) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_sub(before) / RECORDS;
        println!("{what}: {bytes} bytes");
        bytes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_takes_little_memory_also_during_a_sweep() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rate_limits = RateLimits::OFF;
    let fleet = Options { droplets: RECORDS, rate_limits, ..Options::default() };
    let simulator = Simulator::start(fleet).await.unwrap();
    let config = digitalocean::Config::new(&simulator.url(), Token::new("x").unwrap()).unwrap();
    let inventory = Inventory::new(digitalocean::Client::new(config).unwrap(), InventorySettings::default());
    let droplets = Kind::named("Droplet").unwrap();

    let start = ALLOCATOR.allocated();
    let mut index = RecordIndex::default();
    for number in 0..RECORDS {
        index.apply(&record(number));
    }
    let of_record = each("a record", start);
    let before = ALLOCATOR.allocated();
    let mut peaks = Vec::new();
    for sweep in ["first", "second", "third"] {
        let peak = Peak::watch();
        let changes = inventory.sync(droplets, index.recorded(droplets)).await.unwrap();
        let is_first = sweep == "first";
        assert_eq!((changes.listed, changes.changed.len()), (RECORDS, if is_first { RECORDS } else { 0 }));
        peaks.push(peak.each(&format!("a record with its document, at the peak of the {sweep} sweep"), start));
    }
    let of_document = each("a document", before);

    let before = ALLOCATOR.allocated();
    for number in 0..RECORDS {
        index.apply(&resolved_drift(number));
    }
    let of_drift = each("a resolved drift, and the entry of its record", before);

    let before = ALLOCATOR.allocated();
    let mut sagas = saga::index::SagaIndex::default();
    for number in 0..RECORDS {
        sagas.apply(&finished_saga(number));
    }
    let of_saga = each("a finished saga", before);
    assert!(of_record <= 600 && of_document <= 800 && of_drift <= 600 && of_saga <= 400);
    assert!(peaks.iter().all(|peak| *peak <= 1536), "{peaks:?}");
}
