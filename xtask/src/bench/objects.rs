//! The objects that the benchmark writes, and their APIs.

use arcadia_operator::api::labels;
use kube::{
    Client,
    api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{failure::failed, parallel};
use crate::Error;

pub(super) const API_VERSION: &str = "arcadia.cloud/v1alpha1";
/// The first droplet of the simulated fleet; the others follow.
const FIRST_DROPLET: u32 = 3_164_444;
/// The size of every droplet of the fleet.
pub(super) const SIZE: &str = "s-2vcpu-4gb";
/// The size after a resize.
pub(super) const OTHER_SIZE: &str = "s-4vcpu-8gb";
/// The tag that some lose.
pub(super) const TAG: &str = "prod";

/// The records of a namespace.
pub(super) fn records(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "ProvisionedResource", "provisionedresources")
}

/// The drifts of a namespace.
pub(super) fn drifts(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "Drift", "drifts")
}

/// The sagas of a namespace.
pub(super) fn sagas(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "Saga", "sagas")
}

/// The events of a namespace.
pub(super) fn events(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "events"))
}

fn api(client: &Client, namespace: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("arcadia.cloud", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, plural))
}

pub(super) async fn create(api: &Api<DynamicObject>, object: Value) -> Result<(), Error> {
    let object = serde_json::from_value(object).map_err(failed("write an object"))?;
    api.create(&PostParams::default(), &object).await.map(drop).map_err(failed("create an object"))
}

/// Opens connections, so that this many concurrent writes need no new ones. It selects objects by one name: a list
/// with a limit of 1 costs the API server as much as a whole list.
pub(super) async fn connect<K>(api: &Api<K>, connections: usize) -> Result<(), Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api = api.clone();
    let look = move |()| {
        let api = api.clone();
        async move {
            let one = ListParams::default().fields("metadata.name=none");
            api.list_metadata(&one).await.map(drop).map_err(failed("open a connection"))
        }
    };
    parallel::each(connections, vec![(); connections * 4], look).await
}

/// Records the first droplets of the fleet with their live values.
pub(super) async fn record_fleet(client: &Client, namespace: &str, count: u32) -> Result<(), Error> {
    let records = records(client, namespace);
    let create = move |number| {
        let records = records.clone();
        async move { create(&records, record(number)).await }
    };
    parallel::each(parallel::WORKERS, (0..count).collect(), create).await
}

/// The id of a droplet of the fleet.
pub(super) fn droplet(number: u32) -> String {
    FIRST_DROPLET.saturating_add(number).to_string()
}

/// A record of a droplet of the fleet.
pub(super) fn record(number: u32) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "ProvisionedResource",
        "metadata": { "name": format!("web-{number}") },
        "spec": {
            "resource": { "kind": "Droplet", "id": droplet(number) },
            "desired": { "size_slug": SIZE, "region": "nyc3", "tags": ["web", TAG] },
            "provisionedBy": "system",
        },
    })
}

/// A saga as a user creates it.
pub(super) fn saga(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": "Saga", "metadata": { "name": name }, "spec": spec })
}

/// A record of which a floor writes the status and drifts.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) uid: String,
}

/// The status of a record whose fields are all as desired, exactly as the operator writes it.
pub(super) fn status(record: &Target) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let compared = "compared with Droplet 3164444";
    json!({
        "apiVersion": API_VERSION,
        "kind": "ProvisionedResource",
        "metadata": { "name": record.name, "uid": record.uid },
        "status": {
            "observedGeneration": 1,
            "openDrifts": 0,
            "reason": "NoDrift",
            "firstSeenAt": "2026-01-01T00:00:00Z",
            "conditions": [
                condition("Ready", "True", "Compared", compared),
                condition("InSync", "True", "NoDrift", "3 fields are as desired"),
                condition("ManifestCurrent", "True", "NoAcceptanceStands", ""),
            ],
        },
    })
}

/// The name of a drift of the floor.
pub(super) fn drift_name(record: &Target, episode: u32) -> String {
    format!("{}-size-slug-0123456789-{episode}", record.name)
}

/// The status of a drift with a standing acceptance, as the operator writes it.
pub(super) fn accepted() -> Value {
    let message =
        format!("size_slug: {OTHER_SIZE} is accepted and stands; status.manifestPatch brings the manifest up to date");
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "Accepted", "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!({ "status": {
        "phase": "Accepted",
        "reason": "Standing",
        "resolvedAt": "2026-01-01T00:00:00Z",
        "decidedBy": "benchmark",
        "decision": "true",
        "acceptance": { "mode": "Standing", "value": OTHER_SIZE, "declared": SIZE, "since": "2026-01-01T00:00:00Z" },
        "manifestPatch": { "spec": { "desired": { "size_slug": OTHER_SIZE } } },
        "conditions": [condition("Resolved"), condition("Standing")],
    } })
}

/// Stores acceptances of the first records on their drifts, as if a manifest declared the fields.
pub(super) async fn keep_records(client: &Client, namespace: &str, count: u32) -> Result<(), Error> {
    let patch = json!({ "spec": { "drift": { "accept": "Standing" } } });
    let names = (0..count).map(|number| format!("web-{number}")).collect();
    patch_all(&records(client, namespace), names, patch).await
}

/// Accepts these drifts.
pub(super) async fn accept(drifts: &Api<DynamicObject>, names: Vec<String>) -> Result<(), Error> {
    let patch = json!({ "metadata": { "annotations": { "arcadia.cloud/accept": "true" } } });
    patch_all(drifts, names, patch).await
}

/// Reverts these drifts.
pub(super) async fn revert(drifts: &Api<DynamicObject>, names: Vec<String>) -> Result<(), Error> {
    let patch = json!({ "metadata": { "annotations": { "arcadia.cloud/revert": "true" } } });
    patch_all(drifts, names, patch).await
}

/// The status that the operator writes to a drift while a saga reverts it.
pub(super) fn reverting(saga: &str) -> Value {
    let resolved = json!({
        "type": "Resolved", "status": "False", "reason": "Reverting", "observedGeneration": 1,
        "message": format!("saga {saga} reverts the live value"), "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    json!({ "status": {
        "phase": "Open", "reason": "Reverting", "sagaRef": { "name": saga }, "conditions": [resolved],
    } })
}

/// The status that the operator writes to a drift that is reverted.
pub(super) fn reverted() -> Value {
    let resolved = json!({
        "type": "Resolved", "status": "True", "reason": "Reverted", "observedGeneration": 1,
        "message": "tags: the live value is the desired one again", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    json!({ "status": {
        "phase": "Reverted", "reason": "Reverted", "resolvedAt": "2026-01-01T00:00:00Z", "decidedBy": "benchmark",
        "decision": "true", "conditions": [resolved],
    } })
}

async fn patch_all(api: &Api<DynamicObject>, names: Vec<String>, patch: Value) -> Result<(), Error> {
    let (api, patch) = (api.clone(), Patch::Merge(patch));
    parallel::each(parallel::WORKERS, names, move |name: String| {
        let (api, patch) = (api.clone(), patch.clone());
        async move {
            let written = api.patch(&name, &PatchParams::default(), &patch).await;
            written.map(drop).map_err(failed("patch an object"))
        }
    })
    .await
}

/// A drift as the operator creates it.
pub(super) fn drift(record: &Target, episode: u32) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Drift",
        "metadata": {
            "name": drift_name(record, episode),
            "labels": labels::of_drift("Droplet", "size_slug", SIZE, OTHER_SIZE),
            "ownerReferences": [{
                "apiVersion": API_VERSION, "kind": "ProvisionedResource", "name": record.name, "uid": record.uid,
                "controller": true,
            }],
        },
        "spec": {
            "resourceRef": { "name": record.name, "uid": record.uid },
            "resource": { "kind": "Droplet", "id": "3164444" },
            "field": "size_slug",
            "episode": episode,
            "expected": SIZE,
            "expectedShort": SIZE,
            "actual": OTHER_SIZE,
            "actualShort": OTHER_SIZE,
            "difference": format!("{SIZE} -> {OTHER_SIZE}"),
            "differences": [{ "path": "", "expected": SIZE, "actual": OTHER_SIZE }],
            "revert": "Disruptive",
            "revertNote": "The droplet is shut down and resized; it is powered on again if it was on.",
            "specVersion": 1,
        },
    })
}

/// The event that the operator publishes with it.
pub(super) fn event(record: &Target, namespace: &str, episode: u32) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": format!("{}.{episode}", record.name) },
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "arcadia-operator",
        "reportingInstance": "arcadia-operator",
        "type": "Warning",
        "reason": "DriftDetected",
        "action": "Detect",
        "note": format!("Droplet 3164444: size_slug is {OTHER_SIZE}, expected {SIZE}"),
        "regarding": {
            "apiVersion": API_VERSION, "kind": "Drift", "name": drift_name(record, episode), "uid": record.uid,
            "namespace": namespace,
        },
        "related": {
            "apiVersion": API_VERSION, "kind": "ProvisionedResource", "name": record.name, "uid": record.uid,
            "namespace": namespace,
        },
    })
}
