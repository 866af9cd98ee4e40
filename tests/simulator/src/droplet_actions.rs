//! Droplet actions: when each is allowed, and its effect.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    actions::{self, Resource},
    backups, catalogue,
    cloud::Cloud,
    droplet_document,
    droplet_events::check_free,
    droplets,
    reply::{Refusal, Reply},
    request::Call,
    snapshots, tagged,
    values::text_of,
};

/// `POST /v2/droplets/{id}/actions`
pub(crate) fn start(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let action = start_one(cloud, id, call)?;
    Ok(actions::started(StatusCode::CREATED, &action))
}

/// `POST /v2/droplets/actions?tag_name=`
pub(crate) fn start_tagged(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let tag = call.parameter("tag_name").ok_or_else(|| Refusal::unprocessable("tag_name can't be blank"))?;
    let started: Result<Vec<Value>, Refusal> =
        tagged::with(cloud, "droplets", tag).iter().map(|id| start_one(cloud, id, call)).collect();
    Ok(Reply::json(StatusCode::CREATED, &json!({"actions": started?})))
}

/// The effect of an action on the droplet when it ends.
type Change = Box<dyn FnOnce(&mut Map<String, Value>) + Send>;

fn start_one(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Value, Refusal> {
    let droplet = cloud.store.get("droplets", id).ok_or_else(Refusal::not_found)?;
    let kind = call.text("type").ok_or_else(|| Refusal::unprocessable("Type can't be blank"))?;
    check_free(cloud, id)?;
    let resource = Resource::of(cloud, "droplets", id);
    if kind == "snapshot" {
        let name = call.text("name").map_or_else(|| default_snapshot_name(&droplet), str::to_owned);
        let id = id.to_owned();
        return Ok(actions::start(cloud, call, &resource, kind, move |cloud| {
            snapshots::of_droplet_taken(cloud, &id, &name);
        }));
    }
    let change = change(cloud, &droplet, kind, call)?;
    let policy = backup_policy(kind, call)?;
    let id = id.to_owned();
    Ok(actions::start(cloud, call, &resource, kind, move |cloud| {
        cloud.store.edit("droplets", &id, |droplet| {
            if let Some(fields) = droplet.as_object_mut() {
                change(fields);
            }
        });
        if let Some(policy) = policy {
            backups::set_policy(cloud, &id, &policy);
        }
    }))
}

/// The backup policy after an action that changes it.
fn backup_policy(kind: &str, call: &Call) -> Result<Option<Value>, Refusal> {
    let asked = call.body.get("backup_policy").cloned().unwrap_or_default();
    backups::check(&asked)?;
    Ok(match kind {
        "enable_backups" | "change_backup_policy" => Some(asked),
        "disable_backups" => Some(Value::Null),
        _ => None,
    })
}

fn default_snapshot_name(droplet: &Value) -> String {
    format!(
        "{}-{}",
        droplet.get("name").and_then(Value::as_str).unwrap_or("droplet"),
        jiff::Timestamp::now().as_second()
    )
}

fn change(cloud: &Cloud, droplet: &Value, kind: &str, call: &Call) -> Result<Change, Refusal> {
    let on = droplet.get("status").and_then(Value::as_str) == Some("active");
    let has = |feature: &str| {
        droplet
            .get("features")
            .and_then(Value::as_array)
            .is_some_and(|it| it.iter().any(|it| it.as_str() == Some(feature)))
    };
    let id = droplet.get("id").map(text_of).unwrap_or_default();
    let has_backups = backups::are_enabled(cloud, &id, droplet);
    Ok(match kind {
        "power_on" if on => return Err(Refusal::unprocessable("Droplet is already powered on.")),
        "power_off" | "shutdown" if !on => return Err(Refusal::unprocessable("Droplet is already powered off.")),
        "reboot" if !on => {
            return Err(Refusal::unprocessable(
                "Droplet is currently powered off. Please power it on to run this event.",
            ));
        }
        "power_on" | "power_cycle" | "reboot" => set("status", Value::from("active")),
        "power_off" | "shutdown" => set("status", Value::from("off")),
        "resize" => resize(droplet, call, on)?,
        "rename" => {
            let name = call.text("name").ok_or_else(|| Refusal::unprocessable("Name can't be blank"))?;
            droplets::check_name(name)?;
            set("name", Value::from(name))
        }
        "rebuild" | "restore" => {
            let id = call.body.get("image").map(text_of).unwrap_or_default();
            let image = droplets::image(cloud, &id);
            let image = image.ok_or_else(|| Refusal::unprocessable("Image could not be found."))?;
            if kind == "restore" && !snapshots::belongs_to(cloud, droplet, &id) {
                return Err(Refusal::unprocessable("The image is not a backup or snapshot of this Droplet."));
            }
            set("image", image)
        }
        "enable_ipv6" if has("ipv6") => return Err(Refusal::unprocessable("IPv6 is already enabled on this Droplet.")),
        "enable_ipv6" | "enable_private_networking" if on => {
            return Err(Refusal::unprocessable("Droplet must be powered off to enable a network."));
        }
        "enable_private_networking" if droplet.get("vpc_uuid").is_some_and(|vpc| !vpc.is_null()) => {
            return Err(Refusal::unprocessable("Private networking is already enabled on this Droplet."));
        }
        "enable_backups" if has_backups => {
            return Err(Refusal::unprocessable("Backups are already enabled on this Droplet."));
        }
        "disable_backups" if !has_backups => {
            return Err(Refusal::unprocessable("Backups are not enabled on this Droplet."));
        }
        "change_backup_policy" if !has_backups => {
            return Err(Refusal::unprocessable("Backups must be enabled to change the backup policy."));
        }
        "enable_ipv6" => feature("ipv6", true),
        "enable_backups" => feature("backups", true),
        "disable_backups" => feature("backups", false),
        "change_kernel" => {
            let kernel = call.number("kernel").ok_or_else(|| Refusal::unprocessable("Kernel can't be blank"))?;
            set("kernel", json!({"id": kernel, "name": format!("kernel {kernel}"), "version": "6.8.0"}))
        }
        "change_backup_policy" | "password_reset" | "enable_private_networking" => Box::new(|_| {}),
        _ => return Err(Refusal::unprocessable(format!("{kind} is not a valid action type"))),
    })
}

fn set(field: &'static str, value: Value) -> Change {
    Box::new(move |droplet| {
        droplet.insert(field.to_owned(), value);
    })
}

/// Switches a feature on or off, in all fields that show it.
fn feature(feature: &'static str, on: bool) -> Change {
    Box::new(move |droplet| {
        let fields = if feature == "ipv6" { ["networks"].as_slice() } else { ["next_backup_window"].as_slice() };
        for field in fields {
            droplet.remove(*field);
        }
        droplet.insert(feature.to_owned(), Value::from(on));
        recomplete(droplet);
    })
}

fn recomplete(droplet: &mut Map<String, Value>) {
    let id = droplet.get("id").and_then(Value::as_u64).unwrap_or_default();
    if let Value::Object(whole) = droplet_document::complete(Value::Object(std::mem::take(droplet)), id) {
        *droplet = whole;
    }
}

fn resize(droplet: &Value, call: &Call, on: bool) -> Result<Change, Refusal> {
    let slug = call.text("size").ok_or_else(|| Refusal::unprocessable("Size can't be blank"))?;
    let size = catalogue::size(slug)
        .ok_or_else(|| Refusal::unprocessable("You specified an invalid size for Droplet resize."))?;
    let with_disk = call.body.get("disk").and_then(Value::as_bool).unwrap_or(false);
    let number = |document: &Value, field: &str| document.get(field).and_then(Value::as_u64).unwrap_or_default();
    let grows = with_disk && number(&size, "disk") > number(droplet, "disk");
    if droplet.get("size_slug").and_then(Value::as_str) == Some(slug) && !grows {
        return Err(Refusal::unprocessable("This Droplet is already that size."));
    }
    let region = droplet.pointer("/region/slug").cloned().unwrap_or_default();
    if !size.get("regions").and_then(Value::as_array).is_some_and(|regions| regions.contains(&region)) {
        return Err(Refusal::unprocessable("Size is not available in this region."));
    }
    if on {
        return Err(Refusal::unprocessable("Droplet must be powered off to be resized."));
    }
    if number(&size, "disk") < number(droplet, "disk") {
        return Err(Refusal::unprocessable("This size is not available because it has a smaller disk."));
    }
    let slug = size.get("slug").cloned().unwrap_or_default();
    Ok(Box::new(move |droplet| {
        for field in ["size", "vcpus", "memory", "gpu_info"] {
            droplet.remove(field);
        }
        if with_disk {
            droplet.remove("disk");
            droplet.remove("disk_info");
        }
        droplet.insert("size_slug".to_owned(), slug);
        recomplete(droplet);
    }))
}
