//! Kubernetes clusters: the fields that an update keeps or resets, upgrades, and the registries that nodes pull from.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::values::set;
use crate::{
    cloud::Cloud,
    places,
    reply::{Refusal, Reply},
    request::{Call, Ending},
    tagged, values,
    writes::{Busy, check_text, items},
};

const CLUSTERS: &str = "kubernetes/clusters";

static CHANGING: Busy =
    Busy { collection: CLUSTERS, place: "/status/state", during: "provisioning", after: "running", failed: "degraded" };
static UPGRADING: Busy = Busy { during: "upgrading", failed: "running", ..CHANGING };

/// Supported versions, oldest first.
const VERSIONS: &[&str] = &[
    "1.30.4-do.0",
    "1.31.9-do.3",
    "1.32.5-do.1",
    "1.32.10-do.0",
    "1.33.1-do.3",
    "1.33.6-do.0",
    "1.34.1-do.0",
    "1.34.2-do.0",
    "1.35.0-do.0",
];

/// Switches of a cluster, each an object with `enabled`.
const PLUGINS: &[&str] = &[
    "routing_agent",
    "amd_gpu_device_plugin",
    "amd_gpu_device_metrics_exporter_plugin",
    "nvidia_gpu_device_plugin",
    "rdma_shared_dev_plugin",
    "coredns_autoscaler",
    "p2p_oci_registry_plugin",
];

/// Refuses a change of a cluster that is not running.
pub(crate) fn check_running(cloud: &Cloud, id: &str) -> Result<(), Refusal> {
    let cluster = cloud.store.get(CLUSTERS, id).ok_or_else(Refusal::not_found)?;
    check_state(&cluster)
}

fn check_state(cluster: &Value) -> Result<(), Refusal> {
    if cluster.pointer("/status/state").and_then(Value::as_str) == Some("running") {
        return Ok(());
    }
    Err(Refusal::unprocessable("the Kubernetes cluster is not running"))
}

/// Checks the body of a PUT, and completes it. The API does not document that omitted tags, upgrade switches and the
/// maintenance policy are kept, so they are reset. Everything else is kept.
pub(crate) fn prepare(old: &Value, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    check_state(old)?;
    check_text(body, "name")?;
    let refuse = |message: &str| Err(Refusal::unprocessable(message));
    if old.get("ha") == Some(&Value::Bool(true)) && body.get("ha") == Some(&Value::Bool(false)) {
        return refuse("high availability cannot be disabled");
    }
    body.entry("tags").or_insert_with(|| json!([]));
    for field in ["auto_upgrade", "surge_upgrade"] {
        body.entry(field).or_insert(Value::Bool(false));
    }
    let policy = body.remove("maintenance_policy");
    let duration = policy.as_ref().and_then(|policy| policy.get("duration")).and_then(Value::as_str);
    if duration.is_some_and(|it| !it.is_empty()) {
        return refuse("duration of maintenance_policy is read-only");
    }
    if policy.is_some() || old.get("maintenance_policy").is_some_and(Value::is_object) {
        let of = |field: &str, default: &str| {
            policy.as_ref().and_then(|policy| policy.get(field)).cloned().unwrap_or_else(|| Value::from(default))
        };
        let duration = old.pointer("/maintenance_policy/duration").cloned().unwrap_or_else(|| json!("4h0m0s"));
        let whole = json!({"start_time": of("start_time", "00:00"), "duration": duration, "day": of("day", "any")});
        body.insert("maintenance_policy".to_owned(), whole);
    }
    for field in PLUGINS {
        if !body.get(*field).is_none_or(|plugin| plugin.get("enabled").is_some_and(Value::is_boolean)) {
            return refuse("a plug-in must be enabled or not");
        }
    }
    if let Some(firewall) = body.get_mut("control_plane_firewall")
        && firewall.get("enabled").is_none()
    {
        set(firewall, "enabled", Value::Bool(false));
    }
    if let Some(sso) = body.get("sso") {
        let has = |field: &str| sso.get(field).and_then(Value::as_str).is_some_and(|it| !it.is_empty());
        if sso.get("enabled") == Some(&Value::Bool(true)) && !(has("issuer_url") && has("client_id")) {
            return refuse("sso needs issuer_url and client_id");
        }
    }
    if let Some(wanted) = body.remove("cluster_autoscaler_configuration") {
        let mut whole = old.get("cluster_autoscaler_configuration").cloned().unwrap_or_else(|| json!({}));
        for (field, value) in wanted.as_object().into_iter().flatten() {
            if [json!(0), json!(0.0), json!(""), json!([])].contains(value) {
                places::remove(&mut whole, field);
            } else {
                set(&mut whole, field, value.clone());
            }
        }
        body.insert("cluster_autoscaler_configuration".to_owned(), whole);
    }
    Ok(())
}

/// Makes a cluster busy with a change.
pub(crate) fn work(cloud: &mut Cloud, id: &str, call: &Call) {
    add_own_tags(cloud, id);
    CHANGING.begin(cloud, id, call, |_, _| {});
}

/// Adds the tags that every cluster and pool has to the requested ones.
pub(crate) fn add_own_tags(cloud: &mut Cloud, id: &str) {
    cloud.store.edit(CLUSTERS, id, tag);
}

/// Adds these tags in a document.
pub(crate) fn tag(cluster: &mut Value) {
    let add = |document: &mut Value, own: &[&str]| {
        let requested = values::tags_of(document);
        let own = own.iter().map(|tag| (*tag).to_owned());
        let all: Vec<String> = own.chain(requested).fold(Vec::new(), |mut all, tag| {
            if !all.contains(&tag) {
                all.push(tag);
            }
            all
        });
        set(document, "tags", Value::from(all));
    };
    let of_cluster = format!("k8s:{}", text(cluster.get("id")));
    add(cluster, &["k8s", &of_cluster]);
    places::visit(cluster, "node_pools.*", &mut |pool| add(pool, &["k8s", &of_cluster, "k8s:worker"]));
}

/// The numbers of a version, most significant first.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The versions that a cluster can be upgraded to: newer ones of its minor version and of the next.
fn offered(cluster: &Value) -> Vec<&'static str> {
    let now = numbers(cluster.get("version").and_then(Value::as_str).unwrap_or_default());
    let minor = |numbers: &[u64]| numbers.get(1).copied().unwrap_or_default();
    let is_next = |version: &&&str| {
        let then = numbers(version);
        then > now && minor(&then) <= minor(&now) + 1
    };
    VERSIONS.iter().filter(is_next).copied().collect()
}

/// `GET /v2/kubernetes/clusters/{id}/upgrades`
pub(crate) fn upgrades(cloud: &Cloud, id: &str) -> Result<Reply, Refusal> {
    let cluster = cloud.store.get(CLUSTERS, id).ok_or_else(Refusal::not_found)?;
    let row = |slug: &&str| {
        let version = slug.split('-').next();
        json!({"slug": slug, "kubernetes_version": version, "supported_features": ["cluster-autoscaler", "docr-integration"]})
    };
    let rows: Vec<Value> = offered(&cluster).iter().map(row).collect();
    Ok(Reply::json(StatusCode::OK, &json!({"available_upgrade_versions": rows})))
}

/// `POST /v2/kubernetes/clusters/{id}/upgrade`
pub(crate) fn upgrade(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let cluster = cloud.store.get(CLUSTERS, id).ok_or_else(Refusal::not_found)?;
    check_state(&cluster)?;
    let version = call.text("version").and_then(|asked| offered(&cluster).into_iter().find(|it| *it == asked));
    let version =
        version.ok_or_else(|| Refusal::unprocessable("this version is not a valid upgrade of the cluster"))?;
    let is_done = call.distortion.ending == Ending::Done;
    UPGRADING.begin(cloud, id, call, move |cloud, id| {
        if is_done {
            cloud.store.edit(CLUSTERS, id, |cluster| set(cluster, "version", Value::from(version)));
        }
    });
    Ok(Reply { status: StatusCode::ACCEPTED, body: None })
}

/// `GET /v2/kubernetes/clusters/{id}/destroy_with_associated_resources`: the load balancers and volumes that the
/// cluster created, which are those on its nodes. Nodes are droplets with the tag of the cluster.
pub(crate) fn associated(cloud: &Cloud, id: &str) -> Result<Reply, Refusal> {
    if !cloud.store.contains(CLUSTERS, id) {
        return Err(Refusal::not_found());
    }
    let tag = format!("k8s:{id}");
    let nodes = tagged::with(cloud, "droplets", &tag);
    let on_nodes = |collection: &str| -> Vec<Value> {
        let is_on = |document: &Value| {
            let droplets = items(document, "droplet_ids");
            let has_tag = document.get("tag").and_then(Value::as_str) == Some(&tag);
            has_tag || droplets.iter().any(|it| nodes.contains(&values::text_of(it)))
        };
        let found = cloud.store.all(collection).into_iter().filter(is_on);
        found.map(|it| json!({"id": it.get("id"), "name": it.get("name")})).collect()
    };
    let body =
        json!({"load_balancers": on_nodes("load_balancers"), "volumes": on_nodes("volumes"), "volume_snapshots": []});
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `POST` and `DELETE /v2/kubernetes/registries`, and `/v2/kubernetes/registry` for accounts that have one.
pub(crate) fn integrate(cloud: &mut Cloud, part: &str, call: &Call) -> Result<Reply, Refusal> {
    let known: Vec<String> = cloud.store.all("registries").iter().map(|it| text(it.get("name"))).collect();
    let asked: Vec<String> = match (part, known.as_slice()) {
        ("registry", [only]) => vec![only.clone()],
        ("registry", []) => return Err(Refusal::not_found()),
        ("registry", _) => return Err(crate::registries::several()),
        _ => items(&call.body, "registries").iter().map(|it| text(Some(it))).collect(),
    };
    let clusters: Vec<String> = items(&call.body, "cluster_uuids").iter().map(|it| text(Some(it))).collect();
    if asked.is_empty() || clusters.is_empty() {
        return Err(Refusal::unprocessable("cluster_uuids and registries are required"));
    }
    let adds = call.method == Method::POST;
    let is_unknown = |name: &&String| adds && !known.contains(name);
    if asked.iter().any(|name| is_unknown(&name)) || clusters.iter().any(|id| !cloud.store.contains(CLUSTERS, id)) {
        return Err(Refusal::not_found());
    }
    for id in clusters {
        cloud.store.edit(CLUSTERS, &id, |cluster| {
            let mut names: Vec<String> = items(cluster, "registries").iter().map(|it| text(Some(it))).collect();
            names.retain(|name| !asked.contains(name));
            if adds {
                names.extend(asked.iter().cloned());
            }
            set(cluster, "registry_enabled", Value::from(!names.is_empty()));
            set(cluster, "registries", Value::from(names));
        });
    }
    Ok(Reply::nothing())
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_spans_at_most_one_minor_version() {
        let offered = |version: &str| offered(&json!({"version": version}));
        assert_eq!(offered("1.32.5-do.1"), ["1.32.10-do.0", "1.33.1-do.3", "1.33.6-do.0"]);
        assert_eq!(offered("1.34.1-do.0"), ["1.34.2-do.0", "1.35.0-do.0"]);
        assert!(offered("1.35.0-do.0").is_empty());
    }
}
