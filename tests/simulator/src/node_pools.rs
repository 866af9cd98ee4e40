//! Node pools: parts of a cluster's document with their own paths. Nodes are created and deleted after a change of
//! their number.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    clusters,
    generated::{now, uuid},
    reply::{Refusal, Reply},
    request::Call,
    values::set,
    writes::items,
};

/// Fields that an update does not change: a pool keeps its size.
const READ_ONLY: &[&str] = &["id", "size", "nodes"];

/// Completes the document of a node pool, with running nodes.
pub(crate) fn complete(pool: &Value) -> Value {
    let mut whole = json!({
        "id": uuid(), "name": "pool", "size": "s-2vcpu-4gb", "count": 1, "tags": ["k8s", "k8s:worker"], "labels": null,
        "taints": [], "auto_scale": false, "min_nodes": 0, "max_nodes": 0,
    });
    lay_over(&mut whole, pool);
    fit(&mut whole, "running");
    whole
}

fn lay_over(pool: &mut Value, changes: &Value) {
    for (field, value) in changes.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        set(pool, field, value.clone());
    }
}

fn count_of(pool: &Value) -> usize {
    pool.get("count").and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok()).unwrap_or_default()
}

/// Matches the nodes of a pool to its count: the last ones are removed, and new ones start in this state.
fn fit(pool: &mut Value, state: &str) {
    let name = pool.get("name").and_then(Value::as_str).unwrap_or("pool").to_owned();
    let mut nodes = items(pool, "nodes").to_vec();
    let count = count_of(pool);
    nodes.truncate(count);
    while nodes.len() < count {
        let id = uuid();
        let name = format!("{name}-{}", id.get(..5).unwrap_or_default());
        nodes.push(json!({
            "id": id, "name": name, "status": {"state": state}, "droplet_id": "205545370", "created_at": now(), "updated_at": now(),
        }));
    }
    set(pool, "nodes", Value::from(nodes));
}

/// Completes the pools of a cluster.
pub(crate) fn complete_all(cluster: &mut Value) {
    if let Some(pools) = cluster.get_mut("node_pools").and_then(Value::as_array_mut) {
        for pool in pools {
            *pool = complete(pool);
        }
    }
}

/// `GET` and `POST /v2/kubernetes/clusters/{id}/node_pools`
pub(crate) fn all(cloud: &mut Cloud, cluster: &str, call: &Call) -> Result<Reply, Refusal> {
    let mut pools = pools_of(cloud, cluster)?;
    if call.method == Method::GET {
        return Ok(crate::pages::of_documents("node_pools", false, call, &pools));
    }
    if call.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    clusters::check_running(cloud, cluster)?;
    pools.push(complete(&call.body));
    put(cloud, cluster, pools);
    let pool = pools_of(cloud, cluster)?.pop();
    Ok(Reply::json(StatusCode::CREATED, &json!({"node_pool": pool})))
}

/// `GET`, `PUT` and `DELETE /v2/kubernetes/clusters/{id}/node_pools/{pool}`
pub(crate) fn one(cloud: &mut Cloud, cluster: &str, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let mut pools = pools_of(cloud, cluster)?;
    let is_it = |pool: &Value| pool.get("id").and_then(Value::as_str) == Some(id);
    let pool = pools.iter_mut().find(|pool| is_it(pool)).ok_or_else(Refusal::not_found)?;
    match call.method {
        Method::GET => Ok(Reply::json(StatusCode::OK, &json!({"node_pool": pool}))),
        Method::PUT => {
            clusters::check_running(cloud, cluster)?;
            update(pool, &call.body)?;
            put(cloud, cluster, pools);
            settle(cloud, cluster, id, call);
            let pool = pools_of(cloud, cluster)?.into_iter().find(is_it);
            Ok(Reply::json(StatusCode::ACCEPTED, &json!({"node_pool": pool})))
        }
        Method::DELETE => {
            clusters::check_running(cloud, cluster)?;
            pools.retain(|pool| !is_it(pool));
            put(cloud, cluster, pools);
            Ok(Reply::nothing())
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// Changes a pool. Surplus nodes are drained, and missing nodes are provisioned.
fn update(pool: &mut Value, changes: &Value) -> Result<(), Refusal> {
    let sent = |field: &&&str| changes.get(**field).is_some_and(|value| !value.is_null());
    if let Some(field) = READ_ONLY.iter().find(sent) {
        return Err(Refusal::unprocessable(format!("{field} of a node pool cannot be changed")));
    }
    lay_over(pool, changes);
    let number = |pool: &Value, field: &str| pool.get(field).and_then(Value::as_u64).unwrap_or_default();
    let (count, least, most) = (number(pool, "count"), number(pool, "min_nodes"), number(pool, "max_nodes"));
    if pool.get("auto_scale").and_then(Value::as_bool) == Some(true) {
        if most == 0 || least > most {
            return Err(Refusal::unprocessable("max_nodes must be at least 1 and not less than min_nodes"));
        }
        if !(least..=most).contains(&count) {
            set(pool, "count", Value::from(least));
        }
    } else if count == 0 {
        return Err(Refusal::unprocessable("count must be at least 1"));
    }
    let count = count_of(pool);
    let leaving: Vec<Value> = items(pool, "nodes").iter().skip(count).cloned().collect();
    fit(pool, "provisioning");
    if let Some(nodes) = pool.get_mut("nodes").and_then(Value::as_array_mut) {
        nodes.extend(leaving.into_iter().map(|mut node| {
            set(&mut node, "status", json!({"state": "draining"}));
            node
        }));
    }
    Ok(())
}

/// Completes the change of the nodes after the time of an action.
fn settle(cloud: &mut Cloud, cluster: &str, pool: &str, call: &Call) {
    let (cluster, pool) = (cluster.to_owned(), pool.to_owned());
    cloud.later(call.distortion.delay, move |cloud| {
        cloud.store.edit("kubernetes/clusters", &cluster, |cluster| {
            let pools = cluster.get_mut("node_pools").and_then(Value::as_array_mut).into_iter().flatten();
            for it in pools.filter(|it| it.get("id").and_then(Value::as_str) == Some(&pool)) {
                let Some(nodes) = it.get_mut("nodes").and_then(Value::as_array_mut) else { continue };
                nodes.retain(|node| node.pointer("/status/state") != Some(&json!("draining")));
                for node in nodes {
                    set(node, "status", json!({"state": "running"}));
                }
            }
        });
    });
}

/// The cluster that owns a collection of pools.
pub(crate) fn cluster_of(collection: &str) -> Option<&str> {
    collection.strip_prefix("kubernetes/clusters/")?.strip_suffix("/node_pools")
}

/// Adds or replaces a pool outside the API.
pub(crate) fn put_behind(cloud: &mut Cloud, cluster: &str, pool: Value) -> Result<Value, String> {
    let mut pools = pools_of(cloud, cluster).map_err(|_| format!("there is no cluster {cluster}"))?;
    match pools.iter_mut().find(|known| known.get("id") == pool.get("id")) {
        Some(known) => known.clone_from(&pool),
        None => pools.push(pool.clone()),
    }
    let pools = Value::from(pools);
    cloud.store.edit("kubernetes/clusters", cluster, |cluster| set(cluster, "node_pools", pools));
    Ok(pool)
}

fn pools_of(cloud: &Cloud, cluster: &str) -> Result<Vec<Value>, Refusal> {
    let cluster = cloud.store.get("kubernetes/clusters", cluster).ok_or_else(Refusal::not_found)?;
    Ok(items(&cluster, "node_pools").to_vec())
}

fn put(cloud: &mut Cloud, cluster: &str, pools: Vec<Value>) {
    cloud.store.edit("kubernetes/clusters", cluster, |cluster| set(cluster, "node_pools", Value::from(pools)));
    clusters::add_own_tags(cloud, cluster);
}
