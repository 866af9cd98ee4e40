//! Apps: the API encrypts the secrets of a spec and omits zero values; deployments hold copies of the spec.

use crate::cloud::{Cloud, now, uuid};
use crate::places;
use crate::reply::{Refusal, Reply};
use crate::request::{Call, Ending};
use crate::store::set;
use crate::writes::{Target, items};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

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
pub(crate) fn deploy_again(cloud: &mut Cloud, app_id: &str, call: &Call) -> Result<Reply, Refusal> {
    let app = cloud.store.get("apps", app_id).ok_or_else(Refusal::not_found)?;
    check_unpinned(&app)?;
    let deployment = deploy(cloud, app_id, call).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(StatusCode::OK, &json!({"deployment": deployment})))
}

/// A rollback pins an app to a deployment; until it is committed or reverted there are no others.
fn check_unpinned(app: &Value) -> Result<(), Refusal> {
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

/// Components of a spec, by their lists.
const COMPONENTS: &[&str] = &["services", "static_sites", "workers", "jobs", "functions"];

/// Checks the body of a PUT, and keeps the spec alone, as the API answers with it.
pub(crate) fn prepare(cloud: &Cloud, target: &Target<'_>, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    check_unpinned(target.old)?;
    if let Some(field) = body.keys().find(|field| !["spec", "update_all_source_versions"].contains(&field.as_str())) {
        return Err(Refusal::bad_request(format!("unknown field {field:?}")));
    }
    body.remove("update_all_source_versions");
    let Some(spec) = body.get_mut("spec").filter(|it| it.is_object()) else {
        return Err(Refusal::bad_request("missing app spec"));
    };
    check_spec(spec)?;
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_free(cloud, name, target.old.get("id")) {
        return Err(taken(name));
    }
    check_secrets(cloud, target, spec)?;
    answered(spec);
    Ok(())
}

/// Checks the body of a POST.
pub(crate) fn check_new(cloud: &Cloud, body: &Map<String, Value>) -> Result<(), Refusal> {
    let spec = body.get("spec").filter(|it| it.is_object()).ok_or_else(|| Refusal::bad_request("missing app spec"))?;
    check_spec(spec)?;
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    if is_free(cloud, name, None) { Ok(()) } else { Err(taken(name)) }
}

fn taken(name: &str) -> Refusal {
    Refusal::conflict(format!("app name {name:?} is already in use"))
}

fn is_free(cloud: &Cloud, name: &str, app: Option<&Value>) -> bool {
    let is_it =
        |other: &Value| other.pointer("/spec/name").and_then(Value::as_str) == Some(name) && other.get("id") != app;
    !cloud.store.all("apps").iter().any(is_it)
}

fn check_spec(spec: &Value) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::bad_request(message));
    if spec.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return refuse("app spec: name is required".to_owned());
    }
    let region = spec.get("region").and_then(Value::as_str).unwrap_or_default();
    if !region.is_empty() && !REGIONS.iter().any(|it| it.0 == region) {
        return refuse(format!("app spec: {region:?} is not a valid region"));
    }
    let mut names = Vec::new();
    for component in COMPONENTS.iter().flat_map(|list| items(spec, list)) {
        let name = component.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() || names.contains(&name) {
            return refuse(format!("app spec: components need names of their own, and {name:?} is none"));
        }
        names.push(name);
        if component.get("autoscaling").is_some_and(Value::is_object) && component.get("instance_count").is_some() {
            return refuse(format!("app spec: {name:?} has autoscaling, so it cannot have instance_count"));
        }
    }
    Ok(())
}

/// Refuses the ciphertext of another app, which only that app can read.
fn check_secrets(cloud: &Cloud, target: &Target<'_>, spec: &mut Value) -> Result<(), Refusal> {
    let own = target.old.to_string();
    let others: String = cloud
        .store
        .all("apps")
        .iter()
        .filter(|app| app.get("id") != target.old.get("id"))
        .map(Value::to_string)
        .collect();
    let mut is_foreign = false;
    for place in VARIABLES {
        places::visit(spec, place, &mut |variable| {
            let value = variable.get("value").and_then(Value::as_str).unwrap_or_default();
            is_foreign |= value.starts_with("EV[") && !own.contains(value) && others.contains(value);
        });
    }
    if is_foreign { Err(Refusal::bad_request("app spec: an encrypted value is not of this app")) } else { Ok(()) }
}

/// slug, label, flag, continent, data centre.
const REGIONS: &[(&str, &str, &str, &str, &str)] = &[
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

/// Deploys the spec of an app: for the action time the deployment goes from phase to phase, then it is active. `None`: there is
/// no such app.
pub(crate) fn deploy(cloud: &mut Cloud, app_id: &str, call: &Call) -> Option<Value> {
    let app = cloud.store.get("apps", app_id)?;
    let deployment = deployment(&app, "PENDING_BUILD");
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

/// Ends a deployment. One that failed leaves the new spec in the app, and the old one running.
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

/// The app is where the spec of its deployment says.
fn move_region(app: &mut Value, deployment: &Value) {
    let asked = deployment.pointer("/spec/region").and_then(Value::as_str);
    if let Some(slug) = asked.filter(|slug| app.pointer("/region/slug").and_then(Value::as_str) != Some(*slug))
        && let Some(region) = region(slug)
    {
        set(app, "region", region);
    }
}

/// `POST /v2/apps/propose`: the spec as the API would keep it, without a change.
pub(crate) fn propose(cloud: &Cloud, call: &Call) -> Result<Reply, Refusal> {
    let mut spec = call.body.get("spec").filter(|it| it.is_object()).cloned();
    let spec = spec.as_mut().ok_or_else(|| Refusal::bad_request("missing app spec"))?;
    check_spec(spec)?;
    answered(spec);
    let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
    let is_free = is_free(cloud, name, call.body.get("app_id"));
    let answer = Map::from_iter([
        ("app_name_available".to_owned(), Value::from(is_free)),
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
