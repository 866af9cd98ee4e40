//! Droplets: their full documents, creation and deletion.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    actions, backups, catalogue,
    cloud::Cloud,
    droplet_document::{DEFAULT_VPC, complete},
    droplet_events::check_free,
    kinds,
    reply::{Refusal, Reply},
    request::Call,
    snapshots,
    store::Row,
    tagged, tags,
    values::text_of,
};

/// `POST /v2/droplets`
pub(crate) fn create(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let names: Vec<String> = match (call.text("name"), call.body.get("names").and_then(Value::as_array)) {
        (Some(name), _) => vec![name.to_owned()],
        (None, Some(names)) => names.iter().map(text_of).collect(),
        (None, None) => return Err(Refusal::unprocessable("Name can't be blank")),
    };
    if names.is_empty() || names.len() > 10 {
        return Err(Refusal::unprocessable("You can create between 1 and 10 Droplets at a time."));
    }
    for name in &names {
        check_name(name)?;
    }
    let template = requested(cloud, call)?;
    let policy = call.body.get("backup_policy").cloned().unwrap_or_default();
    backups::check(&policy)?;
    let mut droplets = Vec::new();
    let mut links = Vec::new();
    for name in &names {
        let (droplet, action) = start_creating(cloud, call, &template, name);
        links.push(actions::link(&action, "create", &call.origin));
        if call.body.get("backups") == Some(&Value::Bool(true)) {
            backups::set_policy(cloud, &droplet.get("id").map(text_of).unwrap_or_default(), &policy);
        }
        droplets.push(droplet);
    }
    let links = json!({"actions": links});
    let body = match droplets.as_slice() {
        [droplet] if call.text("name").is_some() => json!({"droplet": droplet, "links": links}),
        droplets => json!({"droplets": droplets, "links": links}),
    };
    Ok(Reply::json(StatusCode::ACCEPTED, &body))
}

/// Checks a name: names are host names.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let valid = !name.is_empty()
        && name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    let message = "Name Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)";
    if valid { Ok(()) } else { Err(Refusal::unprocessable(message)) }
}

/// Returns the fields of the requested droplets, checked.
fn requested(cloud: &Cloud, call: &Call) -> Result<Map<String, Value>, Refusal> {
    let slug = call.text("size").unwrap_or_default();
    let size = catalogue::size(slug)
        .ok_or_else(|| Refusal::unprocessable("You specified an invalid size for Droplet creation."))?;
    let region = call.text("region").unwrap_or("nyc3").to_ascii_lowercase();
    if !catalogue::is_region(&region) {
        return Err(Refusal::unprocessable("You specified an invalid region for Droplet creation."));
    }
    let image = call.body.get("image").map(text_of).and_then(|it| image(cloud, &it));
    let image = image.ok_or_else(|| Refusal::unprocessable("You specified an invalid image for Droplet creation."))?;
    if image.get("min_disk_size").and_then(Value::as_u64) > size.get("disk").and_then(Value::as_u64) {
        return Err(Refusal::unprocessable("This image requires a larger disk than the size has."));
    }
    check_references(cloud, call)?;
    let volumes = listed(call, "volumes");
    for id in &volumes {
        check_volume(cloud, id, &region)?;
    }
    let mut fields = Map::new();
    for field in ["backups", "ipv6", "monitoring", "tags", "vpc_uuid"] {
        if let Some(value) = call.body.get(field).filter(|it| !it.is_null()) {
            fields.insert(field.to_owned(), value.clone());
        }
    }
    fields.insert("size_slug".to_owned(), size.get("slug").cloned().unwrap_or_default());
    fields.insert("region".to_owned(), Value::from(region));
    fields.insert("image".to_owned(), image);
    fields.insert("volume_ids".to_owned(), Value::from(volumes));
    if call.body.get("with_droplet_agent") == Some(&Value::Bool(false)) {
        fields.insert("features".to_owned(), json!(["private_networking"]));
    }
    Ok(fields)
}

/// The ids in a field of the request.
fn listed(call: &Call, field: &str) -> Vec<String> {
    call.body.get(field).and_then(Value::as_array).into_iter().flatten().map(text_of).collect()
}

/// Refuses unknown references and invalid combinations.
fn check_references(cloud: &Cloud, call: &Call) -> Result<(), Refusal> {
    let is_key =
        |key: &str| kinds::list("account/keys").is_some_and(|(kind, keys)| cloud.resolve(kind, &keys, key).is_some());
    let unknown: Vec<String> = listed(call, "ssh_keys").into_iter().filter(|key| !is_key(key)).collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        return Err(Refusal::unprocessable(format!("{unknown} are invalid key identifiers for Droplet creation.")));
    }
    if call.text("vpc_uuid").is_some_and(|vpc| vpc != DEFAULT_VPC && !cloud.store.contains("vpcs", vpc)) {
        return Err(Refusal::unprocessable("You specified an invalid VPC for Droplet creation."));
    }
    if let Some(tag) = listed(call, "tags").iter().find(|tag| !tags::is_valid(tag)) {
        return Err(Refusal::unprocessable(format!("{tag:?} is not a valid tag name")));
    }
    if call.text("user_data").is_some_and(|it| it.len() > 64 << 10) {
        return Err(Refusal::unprocessable("User data must not exceed 64 KiB."));
    }
    Ok(())
}

fn check_volume(cloud: &Cloud, id: &str, region: &str) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err(Refusal::unprocessable(format!("volume {id} {reason}")));
    match cloud.store.get("volumes", id) {
        None => refuse("could not be found"),
        Some(volume) if !crate::volumes::droplets_of(&volume).is_empty() => refuse("is already attached"),
        Some(volume) if volume.pointer("/region/slug").and_then(Value::as_str) != Some(region) => {
            refuse("must be in the same region")
        }
        Some(_) => Ok(()),
    }
}

/// An image by id or slug.
pub(crate) fn image(cloud: &Cloud, id_or_slug: &str) -> Option<Value> {
    cloud.store.get("images", id_or_slug).or_else(|| catalogue::image(id_or_slug))
}

/// Creates the droplet in its first state (new, no networks), and the action that activates it.
fn start_creating(cloud: &mut Cloud, call: &Call, template: &Map<String, Value>, name: &str) -> (Value, Value) {
    let id = cloud.next_id();
    let mut fields = template.clone();
    fields.insert("name".to_owned(), Value::from(name));
    let whole = complete(Value::Object(fields), id);
    let mut droplet = whole.clone();
    let mut set = |field: &str, value: Value| {
        if let Some(fields) = droplet.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
    };
    set("status", Value::from("new"));
    set("networks", json!({"v4": [], "v6": []}));
    set("next_backup_window", Value::Null);
    set("volume_ids", json!([]));
    let id = id.to_string();
    cloud.store.put("droplets", &id, &droplet);
    tags::note(cloud, &droplet);
    let resource = actions::Resource::of(cloud, "droplets", &id);
    let finished = id.clone();
    let action = actions::start(cloud, call, &resource, "create", move |cloud| {
        let fields = ["status", "networks", "next_backup_window", "volume_ids"];
        cloud.store.edit("droplets", &finished, |droplet| {
            for field in fields {
                if let (Some(to), Some(from)) = (droplet.get_mut(field), whole.get(field)) {
                    *to = from.clone();
                }
            }
        });
        for volume in whole.get("volume_ids").and_then(Value::as_array).into_iter().flatten() {
            crate::volumes::set_attached(cloud, &text_of(volume), &finished, true);
        }
    });
    (droplet, action)
}

/// `DELETE /v2/droplets/{id}`
pub(crate) fn delete(cloud: &mut Cloud, id: &str) -> Result<Reply, Refusal> {
    if !cloud.store.contains("droplets", id) {
        return Err(Refusal::not_found());
    }
    check_free(cloud, id)?;
    cloud.remove("droplets", id);
    Ok(Reply::nothing())
}

/// `DELETE /v2/droplets?tag_name=`
pub(crate) fn delete_tagged(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let tag = call.parameter("tag_name").ok_or_else(|| Refusal::unprocessable("tag_name can't be blank"))?;
    for id in tagged::with(cloud, "droplets", tag) {
        cloud.remove("droplets", &id);
    }
    Ok(Reply::nothing())
}

/// Detaches the volumes and addresses of a deleted droplet, and removes it from load balancers and firewalls.
pub(crate) fn detach_everything(cloud: &mut Cloud, id: &str) {
    cloud.set_busy("droplets", id, false);
    for volume in attached(cloud, "volumes", id) {
        crate::volumes::set_attached(cloud, &volume, id, false);
    }
    for collection in ["load_balancers", "firewalls"] {
        for behind in attached(cloud, collection, id) {
            cloud.store.edit(collection, &behind, |document| {
                if let Some(ids) = document.get_mut("droplet_ids").and_then(Value::as_array_mut) {
                    ids.retain(|it| text_of(it) != id);
                }
            });
        }
    }
    for collection in ["reserved_ips", "reserved_ipv6"] {
        for ip in attached(cloud, collection, id) {
            crate::reserved_ips::set_droplet(cloud, collection, &ip, Value::Null);
        }
    }
}

/// The ids of a collection's resources that are attached to a droplet.
fn attached(cloud: &Cloud, collection: &str, droplet: &str) -> Vec<String> {
    let rows = cloud.store.collection(collection).map(crate::store::Collection::rows).unwrap_or_default();
    let here = |row: &&Row| row.facts.droplets.iter().any(|it| it == droplet);
    rows.iter().filter(here).map(|row| row.id.clone()).collect()
}

/// `GET /v2/droplets/{id}/snapshots`
pub(crate) fn list_snapshots(cloud: &Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    if !cloud.store.contains("droplets", id) {
        return Err(Refusal::not_found());
    }
    Ok(crate::pages::of_documents("snapshots", true, call, &snapshots::of_droplet(cloud, id, call)))
}
