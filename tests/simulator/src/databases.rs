//! Managed databases: changes without an action, to be awaited by the status.

use crate::cloud::Cloud;
use crate::reply::{Refusal, Reply};
use crate::request::Call;
use crate::store::set;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// `PUT /v2/databases/{id}/{what}` and `PATCH /v2/databases/{id}/config`
pub(crate) fn change(cloud: &mut Cloud, id: &str, what: &str, call: &Call) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    let (fields, status, answer): (&[&str], Option<&str>, StatusCode) = match what {
        "resize" => (&["size", "num_nodes", "storage_size_mib"], Some("resizing"), StatusCode::ACCEPTED),
        "migrate" => (&["region", "private_network_uuid"], Some("migrating"), StatusCode::ACCEPTED),
        "upgrade" => (&["version"], None, StatusCode::NO_CONTENT),
        "maintenance" => (&["maintenance_window"], None, StatusCode::NO_CONTENT),
        "firewall" => (&["rules"], None, StatusCode::NO_CONTENT),
        "config" => (&[], None, StatusCode::OK),
        _ => return Err(Refusal::not_found()),
    };
    if status.is_some() && database.get("status").and_then(Value::as_str) != Some("online") {
        return Err(Refusal::unprocessable("The database cluster is not online."));
    }
    let mut changes = call.body.clone();
    if what == "maintenance" {
        let mut window = database.get("maintenance_window").cloned().unwrap_or_else(|| json!({}));
        crate::cloud::merge(&mut window, &call.body);
        changes = json!({"maintenance_window": window});
    }
    let change = move |database: &mut Value, status: Option<&str>| {
        for field in fields {
            if let Some(value) = changes.get(*field).filter(|it| !it.is_null()) {
                set(database, field, value.clone());
            }
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

/// `GET /v2/databases/{id}/firewall` and `/config`
pub(crate) fn part(cloud: &Cloud, id: &str, what: &str) -> Result<Reply, Refusal> {
    let database = cloud.store.get("databases", id).ok_or_else(Refusal::not_found)?;
    let body = match what {
        "firewall" => json!({"rules": database.get("rules").cloned().unwrap_or_else(|| json!([]))}),
        "config" => json!({"config": {}}),
        _ => return Err(Refusal::not_found()),
    };
    Ok(Reply::json(StatusCode::OK, &body))
}
