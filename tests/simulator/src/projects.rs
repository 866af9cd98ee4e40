//! Projects: purposes, the default project, and the assignment of resources.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    cloud::Cloud,
    generated::now,
    reply::{Refusal, Reply},
    request::Call,
    store::{Collection, Row},
    values::set,
    writes::{Target, check_one_of, check_text},
};

const PURPOSES: &[&str] = &[
    "Just trying out DigitalOcean",
    "Class project / Educational purposes",
    "Website or blog",
    "Web Application",
    "Service or API",
    "Mobile Application",
    "Machine learning / AI / Data processing",
    "IoT",
    "Operational / Developer tooling",
];

/// Rewrites the fields of a request into those of the document: the API stores an unlisted purpose as `Other: ...`,
/// even if the text already starts with it.
pub(crate) fn adapt(fields: &mut Map<String, Value>) {
    let Some(purpose) = fields.get("purpose").and_then(Value::as_str) else { return };
    if !PURPOSES.contains(&purpose) {
        let purpose = Value::from(format!("Other: {purpose}"));
        fields.insert("purpose".to_owned(), purpose);
    }
}

/// Checks the body of a PUT or PATCH.
pub(crate) fn prepare(cloud: &Cloud, target: &Target<'_>, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    let is_true = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
    if is_true(target.old.get("is_default")) && body.get("is_default") == Some(&Value::Bool(false)) {
        return Err(Refusal::bad_request("you must always have a default project"));
    }
    check_one_of(body, "environment", &["Development", "Staging", "Production"])?;
    for field in ["name", "purpose"] {
        if body.contains_key(field) {
            check_text(body, field)?;
        }
    }
    let is_other = |project: &Value| project.get("id") != target.old.get("id");
    let is_named = |project: &Value| project.get("name").is_some_and(|name| Some(name) == body.get("name"));
    if cloud.store.all("projects").iter().any(|project| is_other(project) && is_named(project)) {
        return Err(Refusal::conflict("name is already in use"));
    }
    adapt(body);
    Ok(())
}

/// The id of the default project, if the account has one.
pub(crate) fn default_id(cloud: &Cloud) -> Option<String> {
    let project =
        cloud.store.all("projects").into_iter().find(|it| it.get("is_default") == Some(&Value::Bool(true)))?;
    project.get("id").and_then(Value::as_str).map(str::to_owned)
}

/// Removes the default flag from the other projects if this project has it now.
pub(crate) fn share_default(cloud: &mut Cloud, id: &str, project: &Value) {
    if project.get("is_default").and_then(Value::as_bool) != Some(true) {
        return;
    }
    for other in ids(cloud, "projects").iter().filter(|other| *other != id) {
        cloud.store.edit("projects", other, |it| set(it, "is_default", Value::from(false)));
    }
}

fn ids(cloud: &Cloud, collection: &str) -> Vec<String> {
    let rows = cloud.store.collection(collection).map(Collection::rows).unwrap_or_default();
    rows.iter().map(|row: &Row| row.id.clone()).collect()
}

/// The part of a URN for the kind, the collection, and a flag that documents contain their project.
const MOVED: &[(&str, &str, bool)] = &[
    ("app", "apps", true),
    ("dbaas", "databases", true),
    ("domain", "domains", false),
    ("droplet", "droplets", false),
    ("floatingip", "reserved_ips", true),
    ("kubernetes", "kubernetes/clusters", false),
    ("loadbalancer", "load_balancers", true),
    ("reservedip", "reserved_ips", true),
    ("volume", "volumes", false),
    ("vpc", "vpcs", false),
];

/// `POST /v2/projects/{id}/resources`: 200 even for an unknown resource, which its entry reports.
pub(crate) fn assign(cloud: &mut Cloud, project: &str, call: &Call) -> Result<Reply, Refusal> {
    if !cloud.store.contains("projects", project) {
        return Err(Refusal::not_found());
    }
    let urns = call.body.get("resources").and_then(Value::as_array);
    let urns = urns.ok_or_else(|| Refusal::unprocessable("resources can't be blank"))?;
    let urns: Vec<&str> = urns.iter().filter_map(Value::as_str).collect();
    for urn in &urns {
        check_movable(cloud, urn)?;
    }
    let others = all(cloud, project, &call.origin);
    let others = others.into_iter().filter(|other| !urns.iter().any(|urn| other["urn"] == **urn));
    // The API documents all resources of the project in the response.
    let mut resources: Vec<Value> = others.collect();
    resources.extend(urns.iter().map(|urn| move_one(cloud, project, urn, &call.origin)));
    Ok(Reply::json(StatusCode::OK, &json!({"resources": resources})))
}

/// The collection, the id, and a flag that documents of the kind contain their project.
fn parse(urn: &str) -> Option<(&'static str, &str, bool)> {
    let (kind, id) = urn.strip_prefix("do:")?.split_once(':')?;
    let (_, collection, is_named) = MOVED.iter().find(|it| it.0 == kind)?;
    Some((collection, id, *is_named))
}

/// `GET /v2/projects/{id}/resources`: the resources that were assigned, and those whose document names this project.
pub(crate) fn resources(cloud: &Cloud, project: &str, call: &Call) -> Result<Reply, Refusal> {
    if !cloud.store.contains("projects", project) {
        return Err(Refusal::not_found());
    }
    Ok(crate::pages::of_documents("resources", true, call, &all(cloud, project, &call.origin)))
}

/// Returns true if a project has no resources.
pub(crate) fn is_empty(cloud: &Cloud, project: &str) -> bool {
    all(cloud, project, "").is_empty()
}

fn all(cloud: &Cloud, project: &str, origin: &str) -> Vec<Value> {
    let mut resources = cloud.store.all(&format!("projects/{project}/resources"));
    // An address has two names, and the list shows the older one.
    for (kind, collection, _) in MOVED.iter().filter(|(kind, _, is_named)| *is_named && *kind != "reservedip") {
        let Some((row, _)) = crate::kinds::list(collection) else { continue };
        let is_here = |document: &Value| document.get("project_id").and_then(Value::as_str) == Some(project);
        for document in cloud.store.all(collection).iter().filter(|document| is_here(document)) {
            let id = row.id_of(document).unwrap_or_default();
            let at = document.get("created_at").cloned().unwrap_or_else(|| Value::from(now()));
            let href = format!("{origin}/v2/{collection}/{id}");
            resources.push(json!({
                "urn": format!("do:{kind}:{id}"), "assigned_at": at, "links": {"self": href}, "status": "ok",
            }));
        }
    }
    resources
}

/// Refuses an address of a droplet: it belongs to the droplet's project.
fn check_movable(cloud: &Cloud, urn: &str) -> Result<(), Refusal> {
    let Some((collection, id, _)) = parse(urn) else { return Ok(()) };
    let document = cloud.store.get(collection, id).unwrap_or_default();
    if collection == "reserved_ips" && document.get("droplet").is_some_and(|it| !it.is_null()) {
        return Err(Refusal::precondition_failed("Cannot move a Reserved IP with an associated Droplet"));
    }
    Ok(())
}

fn move_one(cloud: &mut Cloud, project: &str, urn: &str, origin: &str) -> Value {
    let entry = |collection: &str, id: &str, status: &str| {
        let href = format!("{origin}/v2/{collection}/{id}");
        json!({"urn": urn, "assigned_at": now(), "links": {"self": href}, "status": status})
    };
    let Some((collection, id, is_named)) =
        parse(urn).filter(|(collection, id, _)| cloud.store.contains(collection, id))
    else {
        return entry("unknown", urn, "not_found");
    };
    let resources = format!("projects/{project}/resources");
    let is_here = if is_named {
        cloud.store.get(collection, id).unwrap_or_default().get("project_id").and_then(Value::as_str) == Some(project)
    } else {
        cloud.store.contains(&resources, urn)
    };
    if is_named {
        cloud.store.edit(collection, id, |document| set(document, "project_id", Value::from(project)));
    } else {
        for other in ids(cloud, "projects").iter().filter(|other| *other != project) {
            cloud.store.remove(&format!("projects/{other}/resources"), urn);
        }
        if !is_here {
            cloud.store.put(&resources, urn, &entry(collection, id, "ok"));
        }
    }
    if collection == "droplets" {
        take_addresses_along(cloud, project, id);
    }
    entry(collection, id, if is_here { "already_assigned" } else { "assigned" })
}

fn take_addresses_along(cloud: &mut Cloud, project: &str, droplet: &str) {
    let rows = cloud.store.collection("reserved_ips").map(Collection::rows).unwrap_or_default();
    let here = |row: &&Row| row.facts.droplets.iter().any(|it| it == droplet);
    let addresses: Vec<String> = rows.iter().filter(here).map(|row| row.id.clone()).collect();
    for ip in addresses {
        cloud.store.edit("reserved_ips", &ip, |address| set(address, "project_id", Value::from(project)));
    }
}
