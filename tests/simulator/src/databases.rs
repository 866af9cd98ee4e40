//! Managed databases: changes that only the status shows, and parts of a cluster that have their own paths.

use crate::cloud::{Cloud, now, uuid};
use crate::reply::{Refusal, Reply};
use crate::request::Call;
use crate::store::set;
use crate::{catalogue, cloud};
use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Engine, versions with the default first, and the end of life where there is one.
const ENGINES: &[(&str, &[&str], Option<&str>)] = &[
    ("pg", &["17", "16", "15", "14"], None),
    ("mysql", &["8"], None),
    ("redis", &["7"], Some("2025-06-30T00:00:00Z")),
    ("valkey", &["8"], None),
    ("mongodb", &["8.0", "7.0"], None),
    ("kafka", &["3.9", "3.8"], None),
    ("opensearch", &["2"], None),
];

/// Fills in the fields that follow from the engine and the version, and the ids of rules.
pub(crate) fn complete(database: &mut Value) {
    let text = |field: &str| database.get(field).and_then(Value::as_str).map(str::to_owned);
    let engine = text("engine").unwrap_or_else(|| "pg".to_owned());
    let known = ENGINES.iter().find(|(name, _, _)| *name == engine);
    let default = known.and_then(|(_, versions, _)| versions.first()).copied().unwrap_or("1");
    let version = text("version").unwrap_or_else(|| default.to_owned());
    let end = known.and_then(|(_, _, end)| *end);
    let id = database.get("id").cloned().unwrap_or_default();
    let mut fill = |field: &str, value: Value| {
        if database.get(field).is_none() {
            set(database, field, value);
        }
    };
    fill(
        "semantic_version",
        Value::from(if version.contains('.') { format!("{version}.0") } else { format!("{version}.0.1") }),
    );
    fill("version", Value::from(version));
    fill("engine", Value::from(engine));
    if let Some(end) = end {
        fill("version_end_of_life", Value::from(end));
    }
    if let Some(rules) = database.get_mut("rules").and_then(Value::as_array_mut) {
        for rule in rules {
            complete_rule(rule, &id);
        }
    }
}

/// Adapts a database to a merge patch: a new engine or version brings a new full version.
pub(crate) fn changed(database: &mut Value, patch: &Value) {
    let has = |field: &str| patch.get(field).is_some();
    if has("engine") {
        for field in ["version", "version_end_of_life"].iter().filter(|field| !has(field)) {
            crate::places::remove(database, field);
        }
    }
    if (has("engine") || has("version")) && !has("semantic_version") {
        crate::places::remove(database, "semantic_version");
    }
    if has("engine") || has("version") || has("rules") {
        complete(database);
    }
}

/// Fills in the fields that a rule lacks, or that the official client sends blank.
fn complete_rule(rule: &mut Value, database: &Value) {
    let is_blank = |value: &Value| value.as_str().is_none_or(|text| text.is_empty() || text.starts_with("0001-"));
    for (field, value) in
        [("uuid", Value::from(uuid())), ("cluster_uuid", database.clone()), ("created_at", Value::from(now()))]
    {
        if rule.get(field).is_none_or(is_blank) {
            set(rule, field, value);
        }
    }
}

/// New rules in place of the old ones. A rule with the same type and value keeps its id.
fn replaced_rules(database: &Value, rules: &Value) -> Value {
    let says = |rule: &Value| (rule.get("type").cloned(), rule.get("value").cloned());
    let old = database.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
    let id = database.get("id").cloned().unwrap_or_default();
    let kept = |rule: &Value| {
        old.iter().find(|it| says(it) == says(rule)).cloned().unwrap_or_else(|| {
            let mut rule = rule.clone();
            complete_rule(&mut rule, &id);
            rule
        })
    };
    rules.as_array().into_iter().flatten().map(kept).collect()
}

/// The change that a path below a cluster makes.
struct Change {
    fields: &'static [&'static str],
    /// The status during the change; without one, the change is immediate.
    status: Option<&'static str>,
    answer: StatusCode,
}

fn change_of(what: &str) -> Option<Change> {
    let change = |fields, status, answer| Some(Change { fields, status, answer });
    match what {
        "resize" => change(&["size", "num_nodes", "storage_size_mib"], Some("resizing"), StatusCode::ACCEPTED),
        "migrate" => change(&["region", "private_network_uuid"], Some("migrating"), StatusCode::ACCEPTED),
        "upgrade" => change(&["version"], None, StatusCode::NO_CONTENT),
        "maintenance" => change(&["maintenance_window"], None, StatusCode::NO_CONTENT),
        "firewall" => change(&["rules"], None, StatusCode::NO_CONTENT),
        "do_settings" => change(&["do_settings"], None, StatusCode::NO_CONTENT),
        _ => None,
    }
}

/// `PUT /v2/databases/{id}/{what}` and `PATCH /v2/databases/{id}/config`
pub(crate) fn change(cloud: &mut Cloud, id: &str, what: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    match (&call.method, what) {
        (&Method::PATCH, "config") => return Ok(keep_part(cloud, id, what, call, StatusCode::OK)),
        (&Method::PUT, "autoscale") => return Ok(keep_part(cloud, id, what, call, StatusCode::NO_CONTENT)),
        (&Method::PUT, _) => {}
        _ => return Err(Refusal::method_not_allowed()),
    }
    let Change { fields, status, answer } = change_of(what).ok_or_else(Refusal::not_found)?;
    if status.is_some() && database.get("status").and_then(Value::as_str) != Some("online") {
        return Err(Refusal::unprocessable("The database cluster is not online."));
    }
    let mut changes = call.body.clone();
    match what {
        "maintenance" => {
            let mut window = database.get("maintenance_window").cloned().unwrap_or_else(|| json!({}));
            cloud::merge(&mut window, &call.body);
            // It takes hours and minutes, and answers with seconds.
            if let Some(hour) = call.text("hour").filter(|hour| hour.matches(':').count() == 1) {
                set(&mut window, "hour", Value::from(format!("{hour}:00")));
            }
            changes = json!({"maintenance_window": window});
        }
        "firewall" => {
            let rules = call.body.get("rules").cloned().unwrap_or_default();
            changes = json!({"rules": replaced_rules(&database, &rules)});
        }
        _ => {}
    }
    let is_upgrade = what == "upgrade";
    let change = move |database: &mut Value, status: Option<&str>| {
        for field in fields {
            if let Some(value) = changes.get(*field).filter(|it| !it.is_null()) {
                set(database, field, value.clone());
            }
        }
        if is_upgrade {
            crate::places::remove(database, "semantic_version");
            complete(database);
        }
        if let Some(status) = status {
            set(database, "status", Value::from(status));
        }
    };
    if let Some(status) = status {
        cloud.store.edit("databases", id, |database| set(database, "status", Value::from(status)));
        let id = id.to_owned();
        cloud.later(Duration::ZERO, move |cloud| {
            cloud.store.edit("databases", &id, |database| change(database, Some("online")));
        });
    } else {
        cloud.store.edit("databases", id, |database| change(database, None));
    }
    Ok(Reply { status: answer, body: None })
}

/// Merges the body's `{what}` into the part of that name, which is not in the cluster's document.
fn keep_part(cloud: &mut Cloud, id: &str, what: &str, call: &Call, answer: StatusCode) -> Reply {
    let parts = format!("databases/{id}/parts");
    // Some clients wrap it in its name, as the answer does.
    let changes = call.body.get(what).unwrap_or(&call.body);
    let mut part = cloud.store.get(&parts, what).unwrap_or_else(|| json!({}));
    cloud::merge(&mut part, changes);
    cloud.store.put(&parts, what, &part);
    Reply { status: answer, body: None }
}

/// `GET /v2/databases/{id}/firewall`, `/config`, `/autoscale` and `/do_settings`
pub(crate) fn part(cloud: &Cloud, id: &str, what: &str) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    let part = |default: Value| cloud.store.get(&format!("databases/{id}/parts"), what).unwrap_or(default);
    let body = match what {
        "firewall" => json!({"rules": database.get("rules").cloned().unwrap_or_else(|| json!([]))}),
        "config" => json!({"config": part(json!({}))}),
        "autoscale" => json!({"autoscale": part(json!({"storage": {"enabled": false}}))}),
        "do_settings" => json!({"do_settings": database.get("do_settings").cloned().unwrap_or_else(|| json!({}))}),
        _ => return Err(Refusal::not_found()),
    };
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `GET /v2/databases/options`: the engines and versions that there are, and when they end.
pub(crate) fn options() -> Reply {
    let regions: Vec<Value> = catalogue::regions().iter().filter_map(|it| it.get("slug").cloned()).collect();
    let layouts = json!([{"num_nodes": 1, "sizes": ["db-s-1vcpu-1gb", "db-s-1vcpu-2gb", "db-s-2vcpu-4gb"]}]);
    let mut options = Map::new();
    let mut availability = Map::new();
    for (engine, versions, end) in ENGINES {
        let default = versions.first();
        options.insert(
            (*engine).to_owned(),
            json!({"regions": regions, "versions": versions, "layouts": layouts, "default_version": default}),
        );
        let row = |version: &&str| json!({"version": version, "default": Some(version) == default, "end_of_life": end, "end_of_availability": end});
        availability.insert((*engine).to_owned(), versions.iter().map(row).collect());
    }
    Reply::json(StatusCode::OK, &json!({"options": options, "version_availability": availability}))
}
