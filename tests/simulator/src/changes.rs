//! Updates of one resource by PUT or PATCH: the table of kinds, and the rules of each.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{
    apps, certificates,
    cloud::Cloud,
    clusters, deployments, domains, firewalls, gateways,
    generated::now,
    images,
    kinds::Kind,
    load_balancers, monitoring, projects,
    reply::{Refusal, Reply},
    request::Call,
    tags, templates,
    values::set,
    views, vpcs,
    writes::{Shape, Target, Write, check_text},
};

const fn whole(collection: &'static str, required: &'static [&'static str]) -> Write {
    Write { collection, method: "PUT", shape: Shape::Whole, required, read_only: &[], fixed: &[] }
}

const fn keep(collection: &'static str, method: &'static str, required: &'static [&'static str]) -> Write {
    Write { collection, method, shape: Shape::Keep, required, read_only: &[], fixed: &[] }
}

const POLICY: &[&str] = &["type", "description", "compare", "value", "window", "entities", "tags", "alerts", "enabled"];

const CHECK: &[&str] = &["name", "type", "target", "regions", "enabled"];

const PROJECT: &[&str] = &["name", "description", "purpose", "environment", "is_default"];

const OF_PROJECT: &[&str] = &["id", "owner_uuid", "owner_id", "created_at", "updated_at"];

const OF_VPC: &[&str] = &["id", "urn", "created_at"];

const OF_CLUSTER: &[&str] = &[
    "id",
    "ipv4",
    "endpoint",
    "status",
    "created_at",
    "updated_at",
    "node_pools",
    "registry_enabled",
    "registries",
    "version",
];

const CLUSTER_FIXED: &[&str] =
    &["region", "vpc_uuid", "worker_subnet_uuid", "cluster_subnet", "service_subnet", "isolated_workers"];

#[rustfmt::skip]
pub(crate) const WRITES: &[Write] = &[
    Write {
        read_only: &["id", "ip", "ipv6", "status", "created_at"], fixed: &["vpc_uuid", "network", "network_stack", "type"],
        ..whole("load_balancers", &["name"])
    },
    Write { read_only: &["id", "status", "created_at", "pending_changes"], ..whole("firewalls", &["name"]) },
    Write { read_only: &["id", "created_at"], fixed: &["origin", "endpoint"], ..whole("cdn/endpoints", &[]) },
    Write { read_only: &["uuid"], ..whole("monitoring/alerts", POLICY) },
    Write { read_only: &["id"], ..whole("uptime/checks", CHECK) },
    Write {
        read_only: &["id", "state", "egresses", "created_at", "updated_at", "project_id"], fixed: &["type", "region"],
        ..whole("vpc_nat_gateways", &["name", "size"])
    },
    Write { read_only: OF_VPC, fixed: &["region", "ip_range"], ..whole("vpcs", &["name"]) },
    Write { read_only: OF_VPC, fixed: &["region", "ip_range"], ..keep("vpcs", "PATCH", &[]) },
    Write { read_only: &["id", "status", "created_at"], fixed: &["vpc_ids"], ..keep("vpc_peerings", "PATCH", &["name"]) },
    Write { read_only: OF_PROJECT, ..whole("projects", PROJECT) },
    Write { read_only: OF_PROJECT, ..keep("projects", "PATCH", &[]) },
    Write { read_only: &["id", "fingerprint"], fixed: &["public_key"], ..keep("account/keys", "PUT", &["name"]) },
    Write {
        read_only: &["id", "slug", "public", "regions", "created_at", "min_disk_size", "size_gigabytes", "status", "error_message", "tags", "type"],
        ..keep("images", "PUT", &["name"])
    },
    keep("apps", "PUT", &["spec"]),
    Write { read_only: OF_CLUSTER, fixed: CLUSTER_FIXED, ..keep("kubernetes/clusters", "PUT", &["name"]) },
    Write { read_only: &["id"], ..keep("domains/{}/records", "PUT", &["type"]) },
    Write { read_only: &["id"], ..keep("domains/{}/records", "PATCH", &["type"]) },
    Write { read_only: &["id"], ..whole("uptime/checks/{}/alerts", &["name", "type", "notifications", "period"]) },
    keep("droplets/autoscale", "PUT", &["name", "config", "droplet_template"]),
    keep("spaces/keys", "PUT", &[]),
    keep("spaces/keys", "PATCH", &[]),
    keep("byoip_prefixes", "PATCH", &[]),
    keep("partner_network_connect/attachments", "PATCH", &[]),
    keep("add-ons/saas", "PATCH", &["name"]),
];

/// The update of a kind with a method.
pub(crate) fn find(kind: &Kind, method: &str) -> Option<&'static Write> {
    WRITES.iter().find(|write| write.collection == kind.collection && write.method == method)
}

/// `PUT` or `PATCH` of one resource.
pub(crate) fn update(
    cloud: &mut Cloud,
    kind: &Kind,
    collection: &str,
    id: &str,
    call: &Call,
) -> Result<Reply, Refusal> {
    let write = find(kind, call.method.as_str()).ok_or_else(Refusal::method_not_allowed)?;
    let Value::Object(body) = &call.body else {
        return Err(Refusal::bad_request("error parsing request body"));
    };
    let old = cloud.store.get(collection, id).ok_or_else(Refusal::not_found)?;
    // Null is no value, nor is blank text for an immutable field: the official clients send both.
    let is_blank = |field: &str, value: &Value| value.is_null() || (write.fixed.contains(&field) && value == "");
    let body: Map<String, Value> = body
        .iter()
        .filter(|(field, value)| !is_blank(field, value))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    check_fields(write, &old, &body)?;
    let target = Target { kind, collection, id, old: &old };
    let changes = prepared(cloud, &target, write, body, call)?;
    let mut document = laid_over(write, kind, &old, changes);
    if document.get("updated_at").is_some() {
        set(&mut document, "updated_at", Value::from(now()));
    }
    cloud.store.put(collection, id, &document);
    tags::note(cloud, &document);
    let added = finish(cloud, &target, &document, call);
    let mut document = cloud.store.get(collection, id).unwrap_or(document);
    if let Some((field, value)) = added {
        set(&mut document, field, value);
    }
    let one = Map::from_iter([(kind.one.to_owned(), views::single(cloud, kind, document))]);
    let status = StatusCode::from_u16(kind.updated).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(Reply::json(status, &Value::Object(one)))
}

fn check_fields(write: &Write, old: &Value, body: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(field) = write.required.iter().find(|field| !body.contains_key(**field)) {
        return Err(Refusal::unprocessable(format!("{field} is required")));
    }
    if let Some(field) = write.read_only.iter().find(|field| body.contains_key(**field)) {
        return Err(Refusal::unprocessable(format!("{field} is read-only")));
    }
    let differs = |field: &&&str| body.get(**field).is_some_and(|value| Some(value) != old.get(**field));
    if let Some(field) = write.fixed.iter().find(differs) {
        return Err(Refusal::unprocessable(format!("{field} cannot be changed")));
    }
    Ok(())
}

/// The fields of a body in the format of the document, checked.
fn prepared(
    cloud: &mut Cloud,
    target: &Target<'_>,
    write: &Write,
    mut body: Map<String, Value>,
    call: &Call,
) -> Result<Map<String, Value>, Refusal> {
    match target.kind.collection {
        "load_balancers" => load_balancers::prepare(cloud, target, &mut body)?,
        "firewalls" => firewalls::prepare(cloud, &mut body, call)?,
        "cdn/endpoints" => certificates::prepare_endpoint(cloud, &mut body)?,
        "monitoring/alerts" => monitoring::check_policy(&body)?,
        "uptime/checks" => monitoring::check_check(&body)?,
        "vpc_nat_gateways" => gateways::prepare(target.old, &mut body)?,
        "vpcs" => vpcs::prepare(cloud, target, write, &mut body)?,
        "vpc_peerings" => vpcs::check_peering(target.old, &body)?,
        "projects" => projects::prepare(cloud, target, &mut body)?,
        "account/keys" => check_text(&body, "name")?,
        "images" => images::prepare(target.old, &mut body)?,
        "apps" => apps::prepare(cloud, target, &mut body)?,
        "kubernetes/clusters" => clusters::prepare(target.old, &mut body)?,
        "domains/{}/records" => domains::prepare(target.old, &mut body)?,
        _ => {}
    }
    Ok(body)
}

/// Applies the changes to the old document. Keys keep their order, so that an update without a change keeps the text.
fn laid_over(write: &Write, kind: &Kind, old: &Value, mut changes: Map<String, Value>) -> Value {
    let mut document = Map::new();
    for (field, value) in old.as_object().into_iter().flatten() {
        let stays = write.shape == Shape::Keep
            || write.read_only.contains(&field.as_str())
            || write.fixed.contains(&field.as_str());
        let value = match changes.remove(field) {
            Some(new) => Some(new),
            None if stays => Some(value.clone()),
            None => templates::default_of(kind, field),
        };
        if let Some(value) = value {
            document.insert(field.clone(), value);
        }
    }
    document.extend(changes);
    Value::Object(document)
}

/// Runs the follow-up of an update, and returns a field that only the response contains.
pub(crate) fn finish(
    cloud: &mut Cloud,
    target: &Target<'_>,
    new: &Value,
    call: &Call,
) -> Option<(&'static str, Value)> {
    let id = target.id;
    match target.kind.collection {
        "load_balancers" => load_balancers::work(cloud, id, call),
        "firewalls" => firewalls::work(cloud, id, target.old, call),
        "vpc_nat_gateways" => gateways::work(cloud, id, call),
        "vpcs" => vpcs::share_default(cloud, id, new),
        "projects" => projects::share_default(cloud, id, new),
        "images" => images::share_name(cloud, id, new),
        "kubernetes/clusters" => clusters::work(cloud, id, call),
        "domains/{}/records" => domains::share_ttl(cloud, target.collection, id, new),
        "apps" => return deployments::deploy(cloud, id, call).map(|deployment| ("pending_deployment", deployment)),
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_a_write_is_both_required_and_refused() {
        for write in WRITES {
            assert!(crate::kinds::all().any(|kind| kind.collection == write.collection), "{}", write.collection);
            assert!(write.required.iter().all(|it| !write.read_only.contains(it) && !write.fixed.contains(it)));
        }
    }
}
