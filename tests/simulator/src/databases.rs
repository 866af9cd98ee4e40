//! Managed databases: the fields that depend on the engine and the version, and the available options.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    catalogue, database_plans,
    generated::{now, uuid},
    reply::Reply,
    values::set,
};

/// Engine, versions with the default first, and the end of life, if any.
pub(crate) const ENGINES: &[(&str, &[&str], Option<&str>)] = &[
    ("pg", &["17", "18", "16", "15", "14"], None),
    ("mysql", &["8"], None),
    ("redis", &["7"], Some("2025-06-30T00:00:00Z")),
    ("valkey", &["8"], None),
    ("mongodb", &["8.0", "7.0"], None),
    ("kafka", &["3.9", "3.8"], None),
    ("opensearch", &["2"], None),
];

/// Fills in the fields that depend on the engine and the version, and the ids of rules.
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

/// Completes a merge patch of a database: a new engine or version sets a new full version.
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
pub(crate) fn complete_rule(rule: &mut Value, database: &Value) {
    let is_blank = |value: &Value| value.as_str().is_none_or(|text| text.is_empty() || text.starts_with("0001-"));
    for (field, value) in
        [("uuid", Value::from(uuid())), ("cluster_uuid", database.clone()), ("created_at", Value::from(now()))]
    {
        if rule.get(field).is_none_or(is_blank) {
            set(rule, field, value);
        }
    }
}

/// `GET /v2/databases/options`: the available engines and versions, and their ends of life.
pub(crate) fn options() -> Reply {
    let regions: Vec<Value> = catalogue::regions().iter().filter_map(|it| it.get("slug").cloned()).collect();
    let layout = |nodes| json!({"num_nodes": nodes, "sizes": database_plans::slugs(nodes)});
    let layouts: Vec<Value> = (1..=3).map(layout).collect();
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
