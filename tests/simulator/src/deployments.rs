//! Deployments of apps: each passes through phases, and a newer one supersedes it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    generated::{now, uuid},
    places,
    reply::{Refusal, Reply},
    request::{Call, Ending},
    values::set,
};

/// A deployment of the app's current spec.
pub(crate) fn of(app: &Value, phase: &str) -> Value {
    let spec = app.get("spec").cloned().unwrap_or_default();
    let components = |field: &str| -> Vec<Value> {
        let listed = spec.get(field).and_then(Value::as_array).into_iter().flatten();
        listed
            .map(|it| json!({"name": it.get("name"), "source_commit_hash": "54d4a727f457231062439895000d45437c7bb405"}))
            .collect()
    };
    let mut deployment = json!({
        "id": uuid(), "spec": spec.clone(), "phase": phase, "cause": "app spec updated", "tier_slug": "basic",
        "phase_last_updated_at": now(), "created_at": now(), "updated_at": now(),
        "progress": {"success_steps": u8::from(phase == "ACTIVE"), "total_steps": 1},
    });
    for field in ["services", "static_sites", "workers", "jobs"] {
        let components = components(field);
        if !components.is_empty() {
            set(&mut deployment, field, Value::from(components));
        }
    }
    deployment
}

/// `POST /v2/apps/{id}/deployments`
pub(crate) fn deploy_again(cloud: &mut Cloud, app_id: &str, call: &Call) -> Result<Reply, Refusal> {
    let app = cloud.store.get("apps", app_id).ok_or_else(Refusal::not_found)?;
    check_unpinned(&app)?;
    let deployment = deploy(cloud, app_id, call).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(StatusCode::OK, &json!({"deployment": deployment})))
}

/// Refuses a deployment of a pinned app: a rollback pins an app until it is committed or reverted.
pub(crate) fn check_unpinned(app: &Value) -> Result<(), Refusal> {
    if app.get("pinned_deployment").is_some_and(|it| !it.is_null()) {
        return Err(Refusal::conflict("app is pinned to a deployment; commit or revert the rollback first"));
    }
    Ok(())
}

/// `POST /v2/apps/{id}/rollback/commit` and `/revert`
pub(crate) fn unpin(cloud: &mut Cloud, app_id: &str, how: &str, call: &Call) -> Result<Reply, Refusal> {
    let app = cloud.store.get("apps", app_id).ok_or_else(Refusal::not_found)?;
    if check_unpinned(&app).is_ok() {
        return Err(Refusal::bad_request("app is not pinned to a deployment"));
    }
    cloud.store.edit("apps", app_id, |app| places::remove(app, "pinned_deployment"));
    if how == "commit" {
        return Ok(Reply { status: StatusCode::OK, body: None });
    }
    let deployment = deploy(cloud, app_id, call).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(StatusCode::OK, &json!({"deployment": deployment})))
}

/// slug, label, flag, continent, data centre.
pub(crate) const REGIONS: &[(&str, &str, &str, &str, &str)] = &[
    ("ams", "Amsterdam", "netherlands", "Europe", "ams3"),
    ("blr", "Bangalore", "india", "Asia", "blr1"),
    ("fra", "Frankfurt", "germany", "Europe", "fra1"),
    ("lon", "London", "uk", "Europe", "lon1"),
    ("nyc", "New York", "usa", "North America", "nyc1"),
    ("sfo", "San Francisco", "usa", "North America", "sfo3"),
    ("sgp", "Singapore", "singapore", "Asia", "sgp1"),
    ("syd", "Sydney", "australia", "Australia", "syd1"),
    ("tor", "Toronto", "canada", "North America", "tor1"),
];

fn region(slug: &str) -> Option<Value> {
    let (slug, label, flag, continent, centre) = REGIONS.iter().find(|it| it.0 == slug)?;
    Some(json!({"slug": slug, "label": label, "flag": flag, "continent": continent, "data_centers": [centre]}))
}

/// Deploys the spec of an app: the deployment passes through its phases during the action time, then it is active.
/// Returns `None` if the app does not exist.
pub(crate) fn deploy(cloud: &mut Cloud, app_id: &str, call: &Call) -> Option<Value> {
    let app = cloud.store.get("apps", app_id)?;
    let deployment = of(&app, "PENDING_BUILD");
    let id = deployment.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(older) = app.pointer("/in_progress_deployment/id").and_then(Value::as_str) {
        show_phase(cloud, app_id, older, "SUPERSEDED");
    }
    cloud.store.put(&format!("apps/{app_id}/deployments"), &id, &deployment);
    cloud.store.edit("apps", app_id, |app| {
        set(app, "last_deployment_created_at", Value::from(now()));
        set(app, "in_progress_deployment", deployment.clone());
    });
    let time = cloud.action_time;
    for (at, phase) in [(time / 4, "BUILDING"), (time / 2, "DEPLOYING")] {
        let (app_id, id) = (app_id.to_owned(), id.clone());
        cloud.after(at, move |cloud| {
            if is_newest(cloud, &app_id, &id) {
                let deployment = show_phase(cloud, &app_id, &id, phase).unwrap_or_default();
                cloud.store.edit("apps", &app_id, |app| set(app, "in_progress_deployment", deployment));
            }
        });
    }
    let phase = match call.distortion.ending {
        Ending::Done => "ACTIVE",
        Ending::Failed => "ERROR",
        Ending::Ignored => "CANCELED",
    };
    let app_id = app_id.to_owned();
    cloud.later(call.distortion.delay, move |cloud| finish(cloud, &app_id, &id, phase));
    Some(deployment)
}

fn is_newest(cloud: &Cloud, app_id: &str, id: &str) -> bool {
    let app = cloud.store.get("apps", app_id);
    app.is_some_and(|app| app.pointer("/in_progress_deployment/id").and_then(Value::as_str) == Some(id))
}

fn show_phase(cloud: &mut Cloud, app_id: &str, id: &str, phase: &str) -> Option<Value> {
    cloud.store.edit(&format!("apps/{app_id}/deployments"), id, |deployment| {
        set(deployment, "phase", Value::from(phase));
        set(deployment, "phase_last_updated_at", Value::from(now()));
        set(deployment, "progress", json!({"success_steps": u8::from(phase == "ACTIVE"), "total_steps": 1}));
    })
}

/// Ends a deployment. A failed one leaves the new spec in the app, and the old deployment running.
fn finish(cloud: &mut Cloud, app_id: &str, id: &str, phase: &str) {
    if !is_newest(cloud, app_id, id) {
        return;
    }
    let done = show_phase(cloud, app_id, id, phase).unwrap_or_default();
    cloud.store.edit("apps", app_id, |app| {
        places::remove(app, "in_progress_deployment");
        if phase == "ACTIVE" {
            move_region(app, &done);
            set(app, "active_deployment", done);
        }
    });
}

/// Moves the app to the region of its deployment's spec.
fn move_region(app: &mut Value, deployment: &Value) {
    let asked = deployment.pointer("/spec/region").and_then(Value::as_str);
    if let Some(slug) = asked.filter(|slug| app.pointer("/region/slug").and_then(Value::as_str) != Some(*slug))
        && let Some(region) = region(slug)
    {
        set(app, "region", region);
    }
}
