//! Volumes: create, delete, attach, detach, resize.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    actions::{self, Resource},
    catalogue,
    cloud::Cloud,
    droplet_events::check_free,
    reply::{Refusal, Reply},
    request::Call,
    store::Row,
    tags,
    values::{self, set, text_of},
};

const MOST_VOLUMES: usize = 15;

/// `POST /v2/volumes`
pub(crate) fn create(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let name =
        call.text("name").filter(|it| !it.is_empty()).ok_or_else(|| Refusal::unprocessable("name can't be blank"))?;
    check_name(name)?;
    let region = call.text("region").ok_or_else(|| Refusal::unprocessable("region can't be blank"))?;
    if !catalogue::is_region(region) {
        return Err(Refusal::unprocessable("region is invalid"));
    }
    if let Some(tag) = values::tags_of(&call.body).iter().find(|tag| !tags::is_valid(tag)) {
        return Err(Refusal::unprocessable(format!("{tag:?} is not a valid tag name")));
    }
    let size = call.number("size_gigabytes").filter(|it| (1..=16_384).contains(it));
    let size = size.ok_or_else(|| Refusal::unprocessable("size_gigabytes must be between 1 and 16384"))?;
    if named(cloud, Some(name), Some(&region.to_ascii_lowercase())).is_some() {
        return Err(Refusal::conflict("a volume with this name already exists in this region"));
    }
    let mut document = json!({"name": name, "region": region, "size_gigabytes": size});
    for field in ["description", "filesystem_type", "filesystem_label", "tags"] {
        if let Some(value) = call.body.get(field).filter(|it| !it.is_null()) {
            set(&mut document, field, value.clone());
        }
    }
    let volume = cloud.put("volumes", document).map_err(Refusal::unprocessable)?;
    Ok(Reply::json(StatusCode::CREATED, &json!({"volume": volume})))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let valid = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let message = "name must begin with a letter and have only lowercase letters, digits and -, at most 64 of them";
    if valid { Ok(()) } else { Err(Refusal::unprocessable(message)) }
}

/// `DELETE /v2/volumes/{id}`
pub(crate) fn delete(cloud: &mut Cloud, id: &str) -> Result<Reply, Refusal> {
    let volume = cloud.store.get("volumes", id).ok_or_else(Refusal::not_found)?;
    if !droplets_of(&volume).is_empty() || cloud.is_busy("volumes", id) {
        return Err(Refusal::conflict("cannot delete a volume that is attached to a Droplet"));
    }
    cloud.remove("volumes", id);
    Ok(Reply::nothing())
}

/// `DELETE /v2/volumes?name=&region=`
pub(crate) fn delete_named(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let id = named(cloud, call.parameter("name"), call.parameter("region")).ok_or_else(Refusal::not_found)?;
    delete(cloud, &id)
}

/// `POST /v2/volumes/actions`
pub(crate) fn start_named(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let id = named(cloud, call.text("volume_name"), call.text("region")).ok_or_else(Refusal::not_found)?;
    start(cloud, &id, call)
}

fn named(cloud: &Cloud, name: Option<&str>, region: Option<&str>) -> Option<String> {
    let rows = cloud.store.collection("volumes")?.rows();
    let here =
        |row: &&Row| row.facts.name.as_deref() == name && (region.is_none() || row.facts.region.as_deref() == region);
    rows.iter().find(here).map(|row| row.id.clone())
}

/// `POST /v2/volumes/{id}/actions`
pub(crate) fn start(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let volume = cloud.store.get("volumes", id).ok_or_else(Refusal::not_found)?;
    if cloud.is_busy("volumes", id) {
        return Err(Refusal::unprocessable("Volume already has a pending event."));
    }
    let slug = volume.pointer("/region/slug").and_then(Value::as_str);
    if call.text("region").is_some_and(|region| slug.is_some_and(|slug| !slug.eq_ignore_ascii_case(region))) {
        return Err(Refusal::not_found());
    }
    let resource = Resource::of(cloud, "volumes", id);
    let kind = call.text("type").unwrap_or_default();
    let volume_id = id.to_owned();
    let action = match kind {
        "attach" | "detach" => {
            let on = kind == "attach";
            let droplet = call.body.get("droplet_id").map(text_of).unwrap_or_default();
            check_attachment(cloud, &volume, &droplet, on)?;
            let kind = if on { "attach_volume" } else { "detach_volume" };
            let resource = resource.at(&droplet);
            actions::start(cloud, call, &resource, kind, move |cloud| set_attached(cloud, &volume_id, &droplet, on))
        }
        "resize" => {
            let now = volume.get("size_gigabytes").and_then(Value::as_u64).unwrap_or_default();
            let size = call.number("size_gigabytes").filter(|it| *it <= 16_384);
            let size = size.ok_or_else(|| Refusal::unprocessable("size_gigabytes must be between 1 and 16384"))?;
            if size <= now {
                return Err(Refusal::unprocessable("new size must be larger than the current size"));
            }
            actions::start(cloud, call, &resource, "resize", move |cloud| {
                cloud.store.edit("volumes", &volume_id, |volume| set(volume, "size_gigabytes", Value::from(size)));
            })
        }
        _ => return Err(Refusal::unprocessable(format!("{kind:?} is not a valid action type"))),
    };
    Ok(actions::started(StatusCode::ACCEPTED, &action))
}

fn check_attachment(cloud: &Cloud, volume: &Value, droplet_id: &str, on: bool) -> Result<(), Refusal> {
    let droplet = cloud.store.get("droplets", droplet_id).ok_or_else(Refusal::not_found)?;
    let attached = droplets_of(volume);
    if !on && !attached.iter().any(|it| it == droplet_id) {
        return Err(Refusal::unprocessable("Attachment not found"));
    }
    if on && !attached.is_empty() {
        return Err(Refusal::unprocessable("This volume is already attached"));
    }
    let has_most = droplet.get("volume_ids").and_then(Value::as_array).is_some_and(|ids| ids.len() >= MOST_VOLUMES);
    if on && has_most {
        return Err(Refusal::unprocessable("a Droplet takes at most 15 volumes"));
    }
    if on && droplet.pointer("/region/slug") != volume.pointer("/region/slug") {
        return Err(Refusal::unprocessable("volume and Droplet must be in the same region"));
    }
    check_free(cloud, droplet_id)
}

pub(crate) fn droplets_of(volume: &Value) -> Vec<String> {
    volume.get("droplet_ids").and_then(Value::as_array).into_iter().flatten().map(text_of).collect()
}

/// Writes an attachment to both documents.
pub(crate) fn set_attached(cloud: &mut Cloud, volume: &str, droplet: &str, on: bool) {
    let write = |document: &mut Value, field: &str, id: Value| {
        if let Some(ids) = document.get_mut(field).and_then(Value::as_array_mut) {
            ids.retain(|it| it != &id);
            if on {
                ids.push(id);
            }
        }
    };
    let droplet_number = Value::from(droplet.parse::<u64>().unwrap_or_default());
    cloud.store.edit("volumes", volume, |document| write(document, "droplet_ids", droplet_number));
    cloud.store.edit("droplets", droplet, |document| write(document, "volume_ids", Value::from(volume)));
}

/// Attaches exactly the volumes that a droplet's document names.
pub(crate) fn attach_exactly(cloud: &mut Cloud, droplet: &str, document: &Value) {
    let wanted: Vec<String> =
        document.get("volume_ids").and_then(Value::as_array).into_iter().flatten().map(text_of).collect();
    let rows = cloud.store.collection("volumes").map(crate::store::Collection::rows).unwrap_or_default();
    let here = |row: &&Row| row.facts.droplets.iter().any(|it| it == droplet);
    let gone: Vec<String> =
        rows.iter().filter(here).map(|row| row.id.clone()).filter(|it| !wanted.contains(it)).collect();
    for volume in gone {
        set_attached(cloud, &volume, droplet, false);
    }
    for volume in wanted {
        set_attached(cloud, &volume, droplet, true);
    }
}

/// Attaches a volume to exactly the droplets that its document names.
pub(crate) fn attached_exactly(cloud: &mut Cloud, volume: &str, document: &Value) {
    let wanted = droplets_of(document);
    let has = |droplet: &Value| {
        droplet.get("volume_ids").and_then(Value::as_array).is_some_and(|ids| ids.iter().any(|it| it == volume))
    };
    let droplets = cloud.store.all("droplets");
    let ids = droplets.iter().filter(|it| has(it)).filter_map(|it| it.get("id").map(text_of));
    let gone: Vec<String> = ids.filter(|it| !wanted.contains(it)).collect();
    for droplet in gone {
        set_attached(cloud, volume, &droplet, false);
    }
    for droplet in wanted {
        set_attached(cloud, volume, &droplet, true);
    }
}
