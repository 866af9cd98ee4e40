//! Backup policies of droplets: daily by default.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    pages,
    reply::{Refusal, Reply},
    request::Call,
    store::Collection,
    values::set,
};

/// Checks a requested policy; null requests the default.
pub(crate) fn check(policy: &Value) -> Result<(), Refusal> {
    let is_day = |day: &str| ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"].contains(&day);
    let is_plan = ["daily", "weekly"].contains(&policy.get("plan").and_then(Value::as_str).unwrap_or("daily"));
    let is_weekday = policy.get("weekday").is_none_or(|day| day.as_str().is_some_and(is_day));
    let is_hour = policy.get("hour").is_none_or(|hour| hour.as_u64().is_some_and(|hour| hour < 24 && hour % 4 == 0));
    let is_valid = policy.is_null() || (is_plan && is_weekday && is_hour);
    if is_valid { Ok(()) } else { Err(Refusal::unprocessable("The backup policy is invalid.")) }
}

/// Returns true if backups of a droplet are enabled, even if its features do not show it.
pub(crate) fn are_enabled(cloud: &Cloud, id: &str, droplet: &Value) -> bool {
    let features = droplet.get("features").and_then(Value::as_array);
    features.is_some_and(|it| it.iter().any(|feature| feature == "backups"))
        || droplet.get("next_backup_window").is_some_and(|window| !window.is_null())
        || cloud.store.contains(&kept(id), "policy")
}

/// The collection in which the policy of a droplet is kept.
fn kept(droplet: &str) -> String {
    format!("droplets/{droplet}/backups")
}

/// Gives a droplet a policy and enables its backups, without a call of the API.
pub(crate) fn force_policy(cloud: &mut Cloud, droplet: &str, policy: &Value) {
    cloud.store.put(&kept(droplet), "policy", &whole(policy));
}

/// Stores the backup policy of a droplet, unless it is the default.
pub(crate) fn set_policy(cloud: &mut Cloud, droplet: &str, policy: &Value) {
    let collection = kept(droplet);
    let policy = whole(policy);
    if policy == whole(&Value::Null) {
        cloud.store.remove(&collection, "policy");
    } else {
        cloud.store.put(&collection, "policy", &policy);
    }
}

/// `GET /v2/droplets/{id}/backups/policy`
pub(crate) fn policy(cloud: &Cloud, droplet: &str) -> Result<Reply, Refusal> {
    let document = cloud.store.get("droplets", droplet).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(StatusCode::OK, &json!({"policy": record(cloud, droplet, &document)})))
}

/// `GET /v2/droplets/backups/policies`: the policies of all droplets by id.
pub(crate) fn policies(cloud: &Cloud, call: &Call) -> Reply {
    let rows = cloud.store.collection("droplets").map(Collection::rows).unwrap_or_default();
    pages::of_map("policies", call, rows, |row| {
        record(cloud, &row.id, &cloud.store.get("droplets", &row.id).unwrap_or_default())
    })
}

fn record(cloud: &Cloud, id: &str, droplet: &Value) -> Value {
    let is_enabled = are_enabled(cloud, id, droplet);
    let mut record = json!({"droplet_id": droplet.get("id"), "backup_enabled": is_enabled});
    if is_enabled {
        let policy = cloud.store.get(&kept(id), "policy").unwrap_or_else(|| whole(&Value::Null));
        set(&mut record, "backup_policy", policy);
        set(&mut record, "next_backup_window", droplet.get("next_backup_window").cloned().unwrap_or_default());
    }
    record
}

fn whole(policy: &Value) -> Value {
    let of = |field: &str, default: Value| policy.get(field).cloned().unwrap_or(default);
    let plan = of("plan", Value::from("daily"));
    let is_weekly = plan == "weekly";
    let mut policy = json!({
        "plan": plan, "hour": of("hour", Value::from(0)), "window_length_hours": 4,
        "retention_period_days": if is_weekly { 28 } else { 7 },
    });
    if is_weekly {
        set(&mut policy, "weekday", of("weekday", Value::from("SUN")));
    }
    policy
}
