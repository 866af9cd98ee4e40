//! Kubernetes clusters' node pools: part of the cluster's document, with paths of their own.

use crate::cloud::{Cloud, now, uuid};
use crate::reply::{Refusal, Reply};
use crate::request::Call;
use crate::store::set;
use crate::{places, tags};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

/// A whole node pool from what is given of it.
fn complete(pool: &Value) -> Value {
    let mut whole = json!({
        "id": uuid(), "name": "pool", "size": "s-2vcpu-4gb", "count": 1, "tags": ["k8s", "k8s:worker"], "labels": null,
        "taints": [], "auto_scale": false, "min_nodes": 0, "max_nodes": 0,
    });
    update(&mut whole, pool);
    whole
}

/// Changes a pool, and gives it as many nodes as it counts.
fn update(pool: &mut Value, changes: &Value) {
    for (field, value) in changes.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        set(pool, field, value.clone());
    }
    let name = pool.get("name").and_then(Value::as_str).unwrap_or("pool").to_owned();
    let mut nodes = pool.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let count = pool.get("count").and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok()).unwrap_or_default();
    nodes.truncate(count);
    while nodes.len() < count {
        let id = uuid();
        let name = format!("{name}-{}", id.get(..5).unwrap_or_default());
        nodes.push(json!({
            "id": id, "name": name, "status": {"state": "running"}, "droplet_id": "205545370", "created_at": now(), "updated_at": now(),
        }));
    }
    set(pool, "nodes", Value::from(nodes));
}

/// Completes the pools that a cluster is created with.
pub(crate) fn complete_pools(cluster: &mut Value) {
    if let Some(pools) = cluster.get_mut("node_pools").and_then(Value::as_array_mut) {
        for pool in pools {
            *pool = complete(pool);
        }
    }
}

/// Adds the tags that every cluster and pool has to the requested ones.
pub(crate) fn add_own_tags(cloud: &mut Cloud, id: &str) {
    let add = |document: &mut Value, own: &[&str]| {
        let requested = tags::of(document);
        let own = own.iter().map(|tag| (*tag).to_owned());
        let all: Vec<String> = own.chain(requested).fold(Vec::new(), |mut all, tag| {
            if !all.contains(&tag) {
                all.push(tag);
            }
            all
        });
        set(document, "tags", Value::from(all));
    };
    let of_cluster = format!("k8s:{id}");
    cloud.store.edit("kubernetes/clusters", id, |cluster| {
        add(cluster, &["k8s", &of_cluster]);
        places::visit(cluster, "node_pools.*", &mut |pool| add(pool, &["k8s", &of_cluster, "k8s:worker"]));
    });
}

/// `GET` and `POST /v2/kubernetes/clusters/{id}/node_pools`
pub(crate) fn pools(cloud: &mut Cloud, cluster: &str, call: &Call) -> Result<Reply, Refusal> {
    let pools = pools_of(cloud, cluster)?;
    if call.method == Method::GET {
        return Ok(crate::pages::of_documents("node_pools", false, call, &pools));
    }
    if call.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let mut pools = pools;
    pools.push(complete(&call.body));
    put(cloud, cluster, pools);
    let pool = pools_of(cloud, cluster)?.pop();
    Ok(Reply::json(StatusCode::CREATED, &json!({"node_pool": pool})))
}

/// `GET`, `PUT` and `DELETE /v2/kubernetes/clusters/{id}/node_pools/{pool}`
pub(crate) fn pool(cloud: &mut Cloud, cluster: &str, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let mut pools = pools_of(cloud, cluster)?;
    let is_it = |pool: &Value| pool.get("id").and_then(Value::as_str) == Some(id);
    let pool = pools.iter_mut().find(|pool| is_it(pool)).ok_or_else(Refusal::not_found)?;
    match call.method {
        Method::GET => Ok(Reply::json(StatusCode::OK, &json!({"node_pool": pool}))),
        Method::PUT => {
            let mut changes = call.body.clone();
            changes.as_object_mut().and_then(|it| it.remove("id"));
            update(pool, &changes);
            put(cloud, cluster, pools);
            let pool = pools_of(cloud, cluster)?.into_iter().find(is_it);
            Ok(Reply::json(StatusCode::ACCEPTED, &json!({"node_pool": pool})))
        }
        Method::DELETE => {
            pools.retain(|pool| !is_it(pool));
            put(cloud, cluster, pools);
            Ok(Reply::nothing())
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn pools_of(cloud: &Cloud, cluster: &str) -> Result<Vec<Value>, Refusal> {
    let cluster = cloud.store.get("kubernetes/clusters", cluster).ok_or_else(Refusal::not_found)?;
    Ok(cluster.get("node_pools").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn put(cloud: &mut Cloud, cluster: &str, pools: Vec<Value>) {
    cloud.store.edit("kubernetes/clusters", cluster, |cluster| set(cluster, "node_pools", Value::from(pools)));
    add_own_tags(cloud, cluster);
}
