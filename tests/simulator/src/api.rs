//! The API: maps methods and paths to handlers.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    actions, apps, backups, catalogue, certificates, changes,
    cloud::Cloud,
    clusters,
    colleague::Moment,
    colleagues, database_changes, database_parts, databases, deployments, domains, droplet_actions, droplets,
    firewalls, images,
    kinds::{self, Kind},
    memberships, node_pools, pages, places, projects, registries,
    reply::{Refusal, Reply},
    request::Call,
    reserved_ips, snapshots, tags, values, views, volumes,
};

/// Answers a call. A colleague may write the same resource just before a change, or just after it.
pub(crate) fn answer(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    if call.method == Method::GET {
        return route(cloud, call);
    }
    colleagues::act(cloud, call, Moment::Before);
    let reply = route(cloud, call);
    colleagues::act(cloud, call, Moment::After);
    reply
}

fn route(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let segments = call.segments().ok_or_else(Refusal::not_found)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let Some(reply) = special(cloud, call, &segments) {
        return reply;
    }
    if let Some((kind, collection)) = kinds::list_at(&segments) {
        check_parent(cloud, kind, &collection)?;
        return match call.method {
            Method::GET => pages::list(cloud, kind, &collection, call),
            Method::POST => create(cloud, kind, &collection, call),
            _ => Err(Refusal::method_not_allowed()),
        };
    }
    let (kind, collection, id) = kinds::one_at(&segments).ok_or_else(Refusal::not_found)?;
    let id = cloud.resolve(kind, &collection, &id).ok_or_else(Refusal::not_found)?;
    match call.method {
        Method::GET => get(cloud, kind, &collection, &id),
        Method::PUT | Method::PATCH => changes::update(cloud, kind, &collection, &id, call),
        Method::DELETE => delete(cloud, kind, &collection, &id),
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// Calls that the table of kinds does not describe.
fn special(cloud: &mut Cloud, call: &Call, segments: &[&str]) -> Option<Result<Reply, Refusal>> {
    Some(match (call.method.as_str(), segments) {
        ("GET", ["account"]) => Ok(account()),
        ("GET", ["sizes"]) => Ok(pages::of_documents("sizes", true, call, &catalogue::sizes())),
        ("GET", ["1-clicks"]) => {
            Ok(pages::of_documents("1_clicks", false, call, &[json!({"slug": "monitoring", "type": "kubernetes"})]))
        }
        ("GET", ["regions"]) => Ok(pages::of_documents("regions", true, call, &catalogue::regions())),

        ("POST", ["droplets"]) => droplets::create(cloud, call),
        ("DELETE", ["droplets"]) => droplets::delete_tagged(cloud, call),
        ("GET", ["droplets", "backups", "policies"]) => Ok(backups::policies(cloud, call)),
        ("POST", ["droplets", "actions"]) => droplet_actions::start_tagged(cloud, call),
        (method, ["droplets", "autoscale", _, "members"]) if method != "GET" => Err(Refusal::method_not_allowed()),
        (_, ["droplets", "autoscale", _, "members", _]) => Err(Refusal::not_found()),
        ("DELETE", ["droplets", id]) => droplets::delete(cloud, id),
        ("POST", ["droplets", id, "actions"]) => droplet_actions::start(cloud, id, call),
        ("GET", ["droplets", id, "snapshots"]) => droplets::list_snapshots(cloud, id, call),
        ("GET", ["droplets", id, "backups", "policy"]) => backups::policy(cloud, id),
        ("GET", ["droplets", id, part @ ("backups" | "kernels" | "neighbors" | "firewalls")]) => {
            part_of_droplet(cloud, id, part, call)
        }

        ("POST", ["volumes"]) => volumes::create(cloud, call),
        ("DELETE", ["volumes"]) => volumes::delete_named(cloud, call),
        ("POST", ["volumes", "actions"]) => volumes::start_named(cloud, call),
        ("DELETE" | "GET", ["volumes", "snapshots", id]) => volume_snapshot(cloud, id, call),
        ("DELETE", ["volumes", id]) => volumes::delete(cloud, id),
        ("POST", ["volumes", id, "actions"]) => volumes::start(cloud, id, call),
        ("GET", ["volumes", id, "snapshots"]) => snapshots::of_volume(cloud, id, call),
        ("POST", ["volumes", id, "snapshots"]) => snapshots::take_of_volume(cloud, id, call),
        ("DELETE", ["snapshots" | "images", id]) if cloud.store.contains("snapshots", id) => {
            snapshots::delete(cloud, id)
        }

        ("POST", ["reserved_ips"]) => reserved_ips::create(cloud, call),
        ("DELETE", ["reserved_ips", ip]) => reserved_ips::delete(cloud, ip),
        ("POST", ["reserved_ipv6"]) => reserved_ips::create_v6(cloud, call),
        ("POST", ["reserved_ips", ip, "actions"]) => reserved_ips::start(cloud, "reserved_ips", ip, call),
        ("POST", ["reserved_ipv6", ip, "actions"]) => reserved_ips::start(cloud, "reserved_ipv6", ip, call),

        ("GET", [collection @ ("droplets" | "volumes" | "images" | "reserved_ips"), id, "actions"]) => {
            actions_of(cloud, collection, id, call)
        }
        ("GET", [collection @ ("droplets" | "volumes" | "images" | "reserved_ips"), id, "actions", action]) => {
            actions::get_of(cloud, collection, id, action).ok_or_else(Refusal::not_found)
        }
        (_, ["actions"] | ["actions", _]) if call.method != Method::GET => Err(Refusal::method_not_allowed()),

        ("GET", ["tags"]) => Ok(tags::list(cloud, call)),
        ("POST", ["tags"]) => tags::create(cloud, call),
        ("GET", ["tags", tag]) => tags::get(cloud, tag, call),
        ("DELETE", ["tags", tag]) => tags::delete(cloud, tag),
        ("POST", ["tags", tag, "resources"]) => tags::resources(cloud, tag, call, true),
        ("DELETE", ["tags", tag, "resources"]) => tags::resources(cloud, tag, call, false),

        ("POST" | "DELETE", ["firewalls", id, part]) => memberships::of_firewall(cloud, id, part, call),
        ("POST" | "DELETE", ["load_balancers", id, part]) => memberships::of_load_balancer(cloud, id, part, call),
        ("POST", ["images", id, "actions"]) => images::start(cloud, id, call),
        (_, ["projects", "default", ..]) => default_project(cloud, call),
        ("GET", ["projects", id, "resources"]) => projects::resources(cloud, id, call),
        ("POST", ["projects", id, "resources"]) => projects::assign(cloud, id, call),

        (_, ["kubernetes", "clusters", id, "node_pools"]) => node_pools::all(cloud, id, call),
        (_, ["kubernetes", "clusters", id, "node_pools", pool]) => node_pools::one(cloud, id, pool, call),
        ("GET", ["kubernetes", "clusters", id, "upgrades"]) => clusters::upgrades(cloud, id),
        ("GET", ["kubernetes", "clusters", id, "destroy_with_associated_resources"]) => clusters::associated(cloud, id),
        ("POST", ["kubernetes", "clusters", id, "upgrade"]) => clusters::upgrade(cloud, id, call),
        ("POST" | "DELETE", ["kubernetes", part @ ("registry" | "registries")]) => {
            clusters::integrate(cloud, part, call)
        }

        ("GET", ["registry"]) => registries::only(cloud),
        ("GET" | "POST", ["registry", "subscription"]) => {
            registries::only(cloud).and_then(|_| registries::subscribe(cloud, call))
        }
        ("GET", ["registries" | "registry", "options"]) => Ok(registries::options(cloud)),
        ("GET" | "POST", ["registries", "subscription"]) => registries::subscribe(cloud, call),
        ("POST", ["apps", "propose"]) => apps::propose(cloud, call),
        ("POST", ["apps", id, "deployments"]) => deployments::deploy_again(cloud, id, call),
        ("POST", ["apps", id, "rollback", how @ ("commit" | "revert")]) => deployments::unpin(cloud, id, how, call),
        ("POST" | "PUT" | "PATCH" | "DELETE", ["apps" | "databases", _, "deployments" | "events", ..]) => {
            Err(Refusal::method_not_allowed())
        }

        ("GET", ["databases", "options"]) => Ok(databases::options()),
        (_, ["databases", id, "dbs"]) => database_parts::dbs(cloud, id, call),
        ("GET" | "DELETE", ["databases", id, "dbs", name]) => database_parts::db(cloud, id, name, call),
        ("GET", ["databases", id, part]) if *part != "events" => database_parts::get(cloud, id, part),
        ("PUT" | "PATCH", ["databases", id, what]) => database_changes::change(cloud, id, what, call),
        _ => return None,
    })
}

/// Answers calls of the default project by its name `default`.
fn default_project(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let id = projects::default_id(cloud).ok_or_else(Refusal::not_found)?;
    let path = call.path.replacen("/projects/default", &format!("/projects/{id}"), 1);
    route(cloud, &Call { path, ..call.clone() })
}

fn check_parent(cloud: &Cloud, kind: &Kind, collection: &str) -> Result<(), Refusal> {
    let missing = || {
        let (_, parents, id) = kinds::parent_of(collection)?;
        (!cloud.store.contains(&parents, &id) && cloud.store.collection(collection).is_none()).then_some(())
    };
    if kind.collection.contains("{}") && missing().is_some() { Err(Refusal::not_found()) } else { Ok(()) }
}

fn get(cloud: &Cloud, kind: &Kind, collection: &str, id: &str) -> Result<Reply, Refusal> {
    let document = cloud.store.get(collection, id).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(StatusCode::OK, &enveloped(cloud, kind, document)))
}

/// The status in a kind's row; 500 for an invalid row.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// One document in its envelope.
fn enveloped(cloud: &Cloud, kind: &Kind, document: Value) -> Value {
    Value::Object(Map::from_iter([(kind.one.to_owned(), views::single(cloud, kind, document))]))
}

/// Creates a resource of a kind without special rules.
fn create(cloud: &mut Cloud, kind: &Kind, collection: &str, call: &Call) -> Result<Reply, Refusal> {
    let Value::Object(fields) = &call.body else {
        return Err(Refusal::bad_request("error parsing request body"));
    };
    let mut fields: Map<String, Value> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if kind.id != kinds::Id::Given {
        fields.remove(kind.id_field);
    } else if fields.get(kind.id_field).and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::unprocessable(format!("{} can't be blank", kind.id_field)));
    } else if let Some(id) = kind.id_of(&Value::Object(fields.clone()))
        && cloud.store.contains(collection, &id)
    {
        return Err(Refusal::unprocessable(format!("{id} already exists")));
    }
    adapt(kind, &mut fields)?;
    match kind.collection {
        "firewalls" => firewalls::prepare(cloud, &mut fields, call)?,
        "apps" => apps::check_new(cloud, &fields)?,
        _ => {}
    }
    let document = cloud.put(collection, Value::Object(fields)).map_err(Refusal::unprocessable)?;
    let id = kind.id_of(&document).unwrap_or_default();
    begin(cloud, kind, collection, &id, call);
    let document = cloud.store.get(collection, &id).unwrap_or(document);
    Ok(Reply::json(status(kind.created), &enveloped(cloud, kind, document)))
}

/// The status field of kinds that start unready, with its first and its last value.
const BEGINNINGS: &[(&str, &str, &str, &str)] = &[
    ("load_balancers", "/status", "new", "active"),
    ("databases", "/status", "creating", "online"),
    ("kubernetes/clusters", "/status/state", "provisioning", "running"),
    ("vpc_nat_gateways", "/state", "NEW", "ACTIVE"),
    ("vpc_peerings", "/status", "PROVISIONING", "ACTIVE"),
];

/// Keeps a new resource unready for the time of an action.
fn begin(cloud: &mut Cloud, kind: &Kind, collection: &str, id: &str, call: &Call) {
    if kind.collection == "kubernetes/clusters" {
        clusters::add_own_tags(cloud, id);
    }
    if kind.collection == "apps" {
        cloud.store.edit(collection, id, |app| places::remove(app, "active_deployment"));
        deployments::deploy(cloud, id, call);
    }
    if kind.collection == "firewalls" {
        firewalls::work(cloud, id, &Value::Null, call);
    }
    let Some((_, place, first, then)) = BEGINNINGS.iter().find(|it| it.0 == kind.collection) else { return };
    let set = |document: &mut Value, status: &str| {
        if let Some(it) = document.pointer_mut(place) {
            *it = Value::from(status);
        }
    };
    cloud.store.edit(collection, id, |document| set(document, first));
    let (collection, id) = (collection.to_owned(), id.to_owned());
    cloud.later(Duration::ZERO, move |cloud| {
        cloud.store.edit(&collection, &id, |document| set(document, then));
    });
}

/// Renames fields of a create request whose names differ in the document.
fn adapt(kind: &Kind, fields: &mut Map<String, Value>) -> Result<(), Refusal> {
    let mut rename = |from: &str, to: &str| {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    };
    match kind.collection {
        "databases" => rename("backup_restore", "restored_from"),
        "registries" => {
            if let Some(slug) = fields.remove("subscription_tier_slug") {
                let subscription = registries::subscription(slug.as_str().unwrap_or_default());
                let subscription = subscription
                    .ok_or_else(|| Refusal::unprocessable(format!("{slug} is not a valid subscription tier")))?;
                fields.insert("subscription".to_owned(), subscription);
            }
        }
        "projects" => projects::adapt(fields),
        "certificates" => {
            for secret in ["private_key", "leaf_certificate", "certificate_chain"] {
                fields.remove(secret);
            }
        }
        "domains/{}/records" => domains::adapt_record(fields, None)?,
        _ => {}
    }
    Ok(())
}

fn delete(cloud: &mut Cloud, kind: &Kind, collection: &str, id: &str) -> Result<Reply, Refusal> {
    let document = cloud.store.get(collection, id).ok_or_else(Refusal::not_found)?;
    let in_vpc = || {
        let collections = ["load_balancers", "droplets"].iter().filter_map(|it| cloud.store.collection(it));
        collections.flat_map(crate::store::Collection::rows).any(|row| row.facts.vpc.as_deref() == Some(id))
    };
    if kind.collection == "vpcs" && in_vpc() {
        return Err(Refusal::forbidden("Can not delete VPC with members"));
    }
    if kind.collection == "vpcs" && document.get("default").and_then(Value::as_bool) == Some(true) {
        return Err(Refusal::forbidden("Can not delete default VPCs"));
    }
    if kind.collection == "projects" && !projects::is_empty(cloud, id) {
        return Err(Refusal::precondition_failed(
            "cannot delete a project with resources. move or remove the resources first",
        ));
    }
    if kind.collection == "certificates" && certificates::is_used(cloud, id) {
        return Err(Refusal::forbidden("Make sure the certificate is not in use before deleting it"));
    }
    if kind.collection == "images" && document.get("public").and_then(Value::as_bool) == Some(true) {
        return Err(Refusal::forbidden("You do not have permission to delete this image."));
    }
    cloud.remove(collection, id);
    if kind.deleted == 204 {
        return Ok(Reply::nothing());
    }
    let body = match kind.collection {
        "apps" => Some(json!({"id": id}).to_string()),
        "vpc_peerings" | "partner_network_connect/attachments" => Some(enveloped(cloud, kind, document).to_string()),
        _ => None,
    };
    Ok(Reply { status: status(kind.deleted), body })
}

fn account() -> Reply {
    Reply::json(
        StatusCode::OK,
        &json!({"account": {
            "droplet_limit": 100_000, "floating_ip_limit": 50, "reserved_ip_limit": 50, "volume_limit": 1000,
            "email": "sammy@example.com", "name": "Sammy the Shark", "uuid": "b6fc48dbf6d9906cace5f3c78dc9851e757381ef",
            "email_verified": true, "status": "active", "status_message": "",
            "team": {"uuid": "5df3e3004a17e242b7c20ca6c9fc25b701a47ece", "name": "My Team"},
        }}),
    )
}

fn part_of_droplet(cloud: &Cloud, id: &str, part: &str, call: &Call) -> Result<Reply, Refusal> {
    let droplet = cloud.store.get("droplets", id).ok_or_else(Refusal::not_found)?;
    let documents = match part {
        "backups" => snapshots::backups_of(cloud, &droplet),
        "firewalls" => cloud
            .store
            .all("firewalls")
            .into_iter()
            .filter(|it| {
                it.get("droplet_ids")
                    .and_then(Value::as_array)
                    .is_some_and(|ids| ids.iter().any(|it| values::text_of(it) == id))
            })
            .collect(),
        _ => Vec::new(),
    };
    let key = if part == "neighbors" { "droplets" } else { part };
    Ok(pages::of_documents(key, true, call, &documents))
}

fn volume_snapshot(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    if call.method == Method::DELETE {
        return snapshots::delete(cloud, id);
    }
    let text = cloud.store.text("snapshots", id).ok_or_else(Refusal::not_found)?;
    Ok(Reply::text(StatusCode::OK, format!("{{\"snapshot\":{text}}}")))
}

fn actions_of(cloud: &Cloud, collection: &str, id: &str, call: &Call) -> Result<Reply, Refusal> {
    if cloud.store.contains(collection, id) {
        Ok(actions::list_of(cloud, collection, id, call))
    } else {
        Err(Refusal::not_found())
    }
}
