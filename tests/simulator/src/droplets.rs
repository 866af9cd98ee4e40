//! Droplets: their full documents, creation and deletion.

use std::net::Ipv4Addr;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    actions, backups, catalogue,
    cloud::{Cloud, now},
    droplet_actions::check_free,
    kinds,
    reply::{Refusal, Reply},
    request::Call,
    snapshots,
    store::{Row, text_of},
    tags,
};

/// The network of droplets by default.
pub(crate) const DEFAULT_VPC: &str = "760e09ef-dc84-11e8-981e-3cfdfeaae000";

/// Completes the document of a droplet. `size`, `region` and `image` may be slugs, and `backups`, `ipv6` and
/// `monitoring` booleans, as in a create request.
pub(crate) fn complete(document: Value, id: u64) -> Value {
    let Value::Object(mut given) = document else { return document };
    let slug = given.get("size_slug").or(given.get("size")).and_then(Value::as_str).unwrap_or("s-1vcpu-1gb").to_owned();
    let size = given.get("size").filter(|it| it.is_object()).cloned();
    let size = size.or_else(|| catalogue::size(&slug)).unwrap_or_else(|| unknown_size(&slug, &given));
    let region = match given.remove("region") {
        Some(region) if region.is_object() => region,
        region => catalogue::region(&region.as_ref().and_then(Value::as_str).unwrap_or("nyc3").to_ascii_lowercase()),
    };
    let image = match given.remove("image") {
        Some(image) if image.is_object() => image,
        Some(image) => catalogue::image(&text_of(&image)).unwrap_or_else(|| unknown_image(&image)),
        None => catalogue::image("ubuntu-24-04-x64").unwrap_or_default(),
    };
    let features = features(&mut given);
    let has = |feature: &str| features.iter().any(|it| it == feature);
    let networks = networks(id, has("ipv6"));
    let window = if has("backups") { next_backup_window() } else { Value::Null };
    let disk = given.get("disk").or(size.get("disk")).and_then(Value::as_u64).unwrap_or(25);
    let gpus = catalogue::gpu_info(&slug);

    let mut droplet = Map::new();
    let mut field = |name: &str, default: Value| {
        let value = given.remove(name).unwrap_or(default);
        droplet.insert(name.to_owned(), value);
    };
    let of_size = |name: &str| size.get(name).cloned().unwrap_or_default();
    field("id", Value::from(id));
    field("name", Value::from(format!("droplet-{id}")));
    field("memory", of_size("memory"));
    field("vcpus", of_size("vcpus"));
    field("disk", Value::from(disk));
    field("disk_info", catalogue::disk_info(disk));
    field("locked", Value::from(false));
    field("status", Value::from("active"));
    field("kernel", Value::Null);
    field("created_at", Value::from(now()));
    field("features", Value::from(features));
    field("backup_ids", json!([]));
    field("next_backup_window", window);
    field("snapshot_ids", json!([]));
    field("image", image);
    field("volume_ids", json!([]));
    field("size", Value::Null);
    field("size_slug", Value::from(slug));
    field("networks", networks);
    field("region", region);
    field("tags", json!([]));
    field("vpc_uuid", Value::from(DEFAULT_VPC));
    if let Some(gpus) = gpus {
        field("gpu_info", gpus);
    }
    droplet.extend(given);
    droplet.insert("size".to_owned(), size);
    Value::Object(droplet)
}

fn features(given: &mut Map<String, Value>) -> Vec<String> {
    let listed = given.remove("features").and_then(|it| it.as_array().cloned());
    let listed = listed.unwrap_or_else(|| vec![Value::from("droplet_agent"), Value::from("private_networking")]);
    let mut features: Vec<String> = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    for name in ["backups", "ipv6", "monitoring"] {
        let asked = given.remove(name).and_then(|it| it.as_bool());
        match asked {
            Some(true) if !features.iter().any(|it| it == name) => features.push(name.to_owned()),
            Some(false) => features.retain(|it| it != name),
            _ => {}
        }
    }
    features
}

fn unknown_size(slug: &str, given: &Map<String, Value>) -> Value {
    let of = |field: &str, default: u64| given.get(field).and_then(Value::as_u64).unwrap_or(default);
    json!({
        "slug": slug, "memory": of("memory", 1024), "vcpus": of("vcpus", 1), "disk": of("disk", 25), "transfer": 1.0,
        "price_monthly": 6.0, "price_hourly": 0.00893, "regions": [], "available": false, "description": "",
    })
}

fn unknown_image(image: &Value) -> Value {
    let slug = image.as_str().filter(|it| it.parse::<u64>().is_err());
    json!({
        "id": text_of(image).parse().unwrap_or(7_555_620), "name": text_of(image), "distribution": "Ubuntu", "slug": slug,
        "public": slug.is_some(), "regions": ["nyc3"], "created_at": "2025-10-02T16:41:07Z",
        "type": if slug.is_some() { "base" } else { "snapshot" }, "min_disk_size": 10, "size_gigabytes": 2.34,
        "description": "", "tags": [], "status": "available", "error_message": "",
    })
}

fn low_bytes(id: u64) -> [u8; 3] {
    let [.., a, b, c] = id.to_be_bytes();
    [a, b, c]
}

/// The address in the VPC, which differs between droplets.
pub(crate) fn private_address(id: u64) -> Ipv4Addr {
    let [a, b, c] = low_bytes(id);
    Ipv4Addr::new(10, a, b, c)
}

/// The address on the internet, from a range reserved for documentation.
pub(crate) fn public_address(id: u64) -> Ipv4Addr {
    let [a, b, c] = low_bytes(id);
    Ipv4Addr::new(198, 18 + a % 2, b, c)
}

fn networks(id: u64, ipv6: bool) -> Value {
    let [_, b, c] = low_bytes(id);
    let v6 = if ipv6 {
        json!([{
            "ip_address": format!("2001:db8:800:10::{b:x}:{c:x}01"), "netmask": 64, "gateway": "2001:db8:800:10::1", "type": "public"
        }])
    } else {
        json!([])
    };
    json!({
        "v4": [
            {"ip_address": private_address(id).to_string(), "netmask": "255.0.0.0", "gateway": "nil", "type": "private"},
            {"ip_address": public_address(id).to_string(), "netmask": "255.254.0.0", "gateway": "198.18.0.1", "type": "public"},
        ],
        "v6": v6,
    })
}

pub(crate) fn next_backup_window() -> Value {
    let hours = |hours: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let text = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:00:00Z").to_string();
    json!({"start": text(hours(24)), "end": text(hours(47))})
}

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
    for id in tags::with(cloud, "droplets", tag) {
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
