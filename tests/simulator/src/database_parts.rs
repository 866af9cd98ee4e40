//! Parts of managed databases with their own paths. Most are not in the document of the cluster.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    account,
    cloud::Cloud,
    reply::{Refusal, Reply},
    request::Call,
    values::set,
    writes::items,
};

/// Engines without databases, which evict entries.
const CACHES: &[&str] = &["redis", "valkey"];

/// Merges the body's `{what}` into the part of that name, which is not in the cluster's document.
pub(crate) fn keep(cloud: &mut Cloud, id: &str, what: &str, call: &Call, answer: StatusCode) -> Reply {
    let parts = format!("databases/{id}/parts");
    // Some clients wrap it in its name, as the response does.
    let changes = call.body.get(what).unwrap_or(&call.body);
    let mut part = cloud.store.get(&parts, what).unwrap_or_else(|| json!({}));
    account::merge(&mut part, changes);
    cloud.store.put(&parts, what, &part);
    Reply { status: answer, body: None }
}

/// The engines that have a part that is a single text.
fn engines_of(what: &str) -> &'static [&'static str] {
    match what {
        "eviction_policy" => CACHES,
        "sql_mode" => &["mysql"],
        _ => &[],
    }
}

fn check_engine(database: &Value, what: &str) -> Result<(), Refusal> {
    let engine = database.get("engine").and_then(Value::as_str).unwrap_or_default();
    let message = || format!("{what} is not available for {engine}");
    if engines_of(what).contains(&engine) { Ok(()) } else { Err(Refusal::unprocessable(message())) }
}

pub(crate) fn put_text(
    cloud: &mut Cloud,
    id: &str,
    database: &Value,
    what: &str,
    call: &Call,
) -> Result<Reply, Refusal> {
    check_engine(database, what)?;
    let text = call.text(what).ok_or_else(|| Refusal::unprocessable(format!("{what} is required")))?;
    cloud.store.put(&format!("databases/{id}/parts"), what, &Value::from(text));
    Ok(Reply::nothing())
}

/// `GET /v2/databases/{id}/{firewall|config|autoscale|do_settings|eviction_policy|sql_mode}`
pub(crate) fn get(cloud: &Cloud, id: &str, what: &str) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    let part = |default: Value| cloud.store.get(&format!("databases/{id}/parts"), what).unwrap_or(default);
    let body = match what {
        "firewall" => json!({"rules": database.get("rules").cloned().unwrap_or_else(|| json!([]))}),
        "config" => json!({"config": part(json!({}))}),
        "autoscale" => json!({"autoscale": part(json!({"storage": {"enabled": false}}))}),
        "do_settings" => json!({"do_settings": database.get("do_settings").cloned().unwrap_or_else(|| json!({}))}),
        "eviction_policy" => {
            check_engine(&database, what)?;
            json!({"eviction_policy": part(json!("noeviction"))})
        }
        "sql_mode" => {
            check_engine(&database, what)?;
            json!({"sql_mode": part(json!("ANSI,TRADITIONAL"))})
        }
        _ => return Err(Refusal::not_found()),
    };
    Ok(Reply::json(StatusCode::OK, &body))
}

fn check_has_dbs(database: &Value) -> Result<(), Refusal> {
    let engine = database.get("engine").and_then(Value::as_str).unwrap_or_default();
    let message = || format!("databases are not supported for {engine}");
    if CACHES.contains(&engine) { Err(Refusal::unprocessable(message())) } else { Ok(()) }
}

/// `GET` and `POST /v2/databases/{id}/dbs`
pub(crate) fn dbs(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    check_has_dbs(&database)?;
    let names = items(&database, "db_names");
    match call.method {
        Method::GET => {
            let rows: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            Ok(Reply::json(StatusCode::OK, &json!({"dbs": rows})))
        }
        Method::POST => {
            let name = call.text("name").filter(|it| !it.is_empty());
            let name = name.ok_or_else(|| Refusal::unprocessable("name is required"))?;
            if names.iter().any(|it| it == name) {
                return Err(Refusal::conflict("a database with this name already exists"));
            }
            let all: Vec<Value> = names.iter().cloned().chain([Value::from(name)]).collect();
            cloud.store.edit("databases", id, |it| set(it, "db_names", Value::from(all)));
            Ok(Reply::json(StatusCode::CREATED, &json!({"db": {"name": name}})))
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// `GET` and `DELETE /v2/databases/{id}/dbs/{name}`
pub(crate) fn db(cloud: &mut Cloud, id: &str, name: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    check_has_dbs(&database)?;
    let names = items(&database, "db_names");
    if !names.iter().any(|it| it == name) {
        return Err(Refusal::not_found());
    }
    if call.method == Method::GET {
        return Ok(Reply::json(StatusCode::OK, &json!({"db": {"name": name}})));
    }
    let left: Vec<Value> = names.iter().filter(|it| *it != name).cloned().collect();
    cloud.store.edit("databases", id, |it| set(it, "db_names", Value::from(left)));
    Ok(Reply::nothing())
}
