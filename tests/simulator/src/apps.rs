//! Apps: the API encrypts the secrets of a spec and omits zero values; deployments hold copies of the spec.

use crate::cloud::{Cloud, now, uuid};
use crate::places;
use crate::reply::{Refusal, Reply};
use crate::request::Call;
use crate::store::set;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Credentials of a spec besides the variables of type SECRET.
const CREDENTIALS: &[&str] = &[
    "*.*.image.registry_credentials",
    "*.*.log_destinations.*.papertrail.endpoint",
    "*.*.log_destinations.*.datadog.api_key",
    "*.*.log_destinations.*.logtail.token",
    "*.*.log_destinations.*.open_search.basic_auth.password",
];

/// Lists of environment variables: the app's own, and those of its components.
const VARIABLES: &[&str] = &["envs.*", "*.*.envs.*"];

/// A spec as the API answers with it.
pub(crate) fn answered(spec: &mut Value) {
    for place in VARIABLES {
        places::visit(spec, place, &mut |variable| {
            if variable.get("type").and_then(Value::as_str) == Some("SECRET") {
                places::visit(variable, "value", &mut encrypt);
            }
        });
    }
    for place in CREDENTIALS {
        places::visit(spec, place, &mut encrypt);
    }
    leave_out_zeros(spec);
}

/// Replaces plain text with ciphertext. The same text gives another ciphertext each time.
fn encrypt(value: &mut Value) {
    let Some(text) = value.as_str().filter(|text| !text.is_empty() && !text.starts_with("EV[")) else { return };
    let (nonce, sealed) = (noise(32), noise(text.len() + 24));
    *value = Value::from(format!("EV[1:{nonce}:{sealed}]"));
}

/// So many random characters of the base64 alphabet.
fn noise(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sign = |_| ALPHABET.get(usize::from(rand::random::<u8>()) % ALPHABET.len()).copied().map_or('A', char::from);
    (0..length).map(sign).collect()
}

/// Removes false, 0, empty text and empty lists from every object, as the API's encoder does. An empty object stays.
fn leave_out_zeros(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(leave_out_zeros);
            fields.retain(|_, value| !is_zero(value));
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_zeros),
        _ => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// Completes an app that a test put in place: it is already deployed.
pub(crate) fn complete(app: &mut Value) {
    places::visit(app, "spec", &mut answered);
    if app.get("active_deployment").is_none() {
        let deployment = deployment(app, "ACTIVE");
        set(app, "active_deployment", deployment);
    }
}

/// Adapts an app to a merge patch: the active deployment gets the new spec.
pub(crate) fn changed(app: &mut Value, patch: &Value) {
    places::visit(app, "spec", &mut answered);
    if patch.get("spec").is_some() && patch.get("active_deployment").is_none() {
        let spec = app.get("spec").cloned().unwrap_or_default();
        places::visit(app, "active_deployment.spec", &mut |copy| *copy = spec.clone());
    }
}

fn deployment(app: &Value, phase: &str) -> Value {
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
pub(crate) fn deploy_again(cloud: &mut Cloud, app_id: &str) -> Result<Reply, Refusal> {
    let deployment = deploy(cloud, app_id).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(StatusCode::OK, &json!({"deployment": deployment})))
}

/// Deploys the spec of an app. The deployment is in progress for the action time, then active. `None`: there is no such app.
pub(crate) fn deploy(cloud: &mut Cloud, app_id: &str) -> Option<Value> {
    let app = cloud.store.get("apps", app_id)?;
    let deployment = deployment(&app, "BUILDING");
    let id = deployment.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let deployments = format!("apps/{app_id}/deployments");
    cloud.store.put(&deployments, &id, &deployment);
    cloud.store.edit("apps", app_id, |app| {
        set(app, "last_deployment_created_at", Value::from(now()));
        set(app, "in_progress_deployment", deployment.clone());
    });
    let app_id = app_id.to_owned();
    cloud.later(Duration::ZERO, move |cloud| finish(cloud, &app_id, &id));
    Some(deployment)
}

fn finish(cloud: &mut Cloud, app_id: &str, id: &str) {
    let is_newest = |app: &Value| app.pointer("/in_progress_deployment/id").and_then(Value::as_str) == Some(id);
    let is_newest = cloud.store.get("apps", app_id).is_some_and(|app| is_newest(&app));
    let phase = if is_newest { "ACTIVE" } else { "SUPERSEDED" };
    let done = cloud.store.edit(&format!("apps/{app_id}/deployments"), id, |deployment| {
        set(deployment, "phase", Value::from(phase));
        set(deployment, "progress", json!({"success_steps": 1, "total_steps": 1}));
    });
    if let Some(done) = done.filter(|_| is_newest) {
        cloud.store.edit("apps", app_id, |app| {
            places::remove(app, "in_progress_deployment");
            set(app, "active_deployment", done);
        });
    }
}

/// `POST /v2/apps/propose`: the spec as the API would keep it, without a change.
pub(crate) fn propose(cloud: &Cloud, call: &Call) -> Result<Reply, Refusal> {
    let mut spec = call.body.get("spec").filter(|it| it.is_object()).cloned();
    let spec = spec.as_mut().ok_or_else(|| Refusal::bad_request("missing app spec"))?;
    answered(spec);
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    let other = cloud.store.all("apps").iter().any(|app| {
        app.pointer("/spec/name").and_then(Value::as_str) == Some(name) && app.get("id") != call.body.get("app_id")
    });
    let answer = Map::from_iter([
        ("app_name_available".to_owned(), Value::from(!other)),
        ("app_cost".to_owned(), Value::from(5)),
        ("spec".to_owned(), spec.clone()),
    ]);
    Ok(Reply::json(StatusCode::OK, &Value::Object(answer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_comes_back_with_its_secrets_encrypted_and_without_zeros() {
        let mut spec = json!({
            "name": "shop", "region": "", "envs": [{"key": "A", "value": "plain"}, {"key": "B", "value": "hidden-1", "type": "SECRET"}],
            "services": [{
                "name": "web", "instance_count": 0, "github": {"repo": "a/b", "deploy_on_push": false}, "health_check": {},
                "envs": [{"key": "C", "value": "hidden-2", "type": "SECRET"}, {"key": "D", "value": ""}, {"key": "E", "value": "EV[1:a:b]", "type": "SECRET"}],
                "image": {"registry_credentials": "user:hidden-3"},
                "log_destinations": [{"name": "l", "datadog": {"api_key": "hidden-4", "endpoint": "https://logs.example.com"}}],
            }],
            "workers": [],
        });
        answered(&mut spec);
        let text = spec.to_string();
        assert!(!text.contains("hidden-"), "{text}");
        assert_eq!(text.matches("EV[1:").count(), 5, "{text}");
        let service = &spec["services"][0];
        assert_eq!(spec["envs"][0], json!({"key": "A", "value": "plain"}));
        assert_eq!((&service["github"], &service["health_check"]), (&json!({"repo": "a/b"}), &json!({})));
        assert_eq!((&service["envs"][1], &service["envs"][2]["value"]), (&json!({"key": "D"}), &json!("EV[1:a:b]")));
        assert_eq!((spec.get("region"), spec.get("workers"), service.get("instance_count")), (None, None, None));
    }

    #[test]
    fn the_same_secret_is_another_ciphertext_each_time() {
        let (mut one, mut two) = (Value::from("hunter2"), Value::from("hunter2"));
        encrypt(&mut one);
        encrypt(&mut two);
        assert_ne!(one, two);
    }
}
