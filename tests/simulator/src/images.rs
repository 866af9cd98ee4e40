//! Images: a snapshot of a droplet is also an image, with the same name, tags and regions. Images can be copied to
//! other regions.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    actions::{self, Resource},
    catalogue,
    cloud::Cloud,
    reply::{Refusal, Reply},
    request::Call,
    values::set,
    writes::{check_text, items},
};

/// Checks the body of a PUT. The API does not document that an uploaded image keeps omitted fields, so they are reset.
pub(crate) fn prepare(old: &Value, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    if old.get("public").and_then(Value::as_bool) == Some(true) {
        return Err(Refusal::forbidden("You do not have permission to update this image."));
    }
    check_text(body, "name")?;
    if old.get("type").and_then(Value::as_str) == Some("custom") {
        for (field, default) in [("description", ""), ("distribution", "Unknown")] {
            body.entry(field).or_insert_with(|| Value::from(default));
        }
        return Ok(());
    }
    let set_by_user = ["description", "distribution"].into_iter().find(|field| body.contains_key(*field));
    match set_by_user {
        Some(field) => Err(Refusal::unprocessable(format!("{field} can be set for custom images only"))),
        None => Ok(()),
    }
}

/// Gives the snapshot of an image the same name.
pub(crate) fn share_name(cloud: &mut Cloud, id: &str, image: &Value) {
    share(cloud, ("images", "snapshots"), id, image, &["name"]);
}

/// Copies the values to the other document of a droplet's snapshot, which is both an image and a snapshot.
pub(crate) fn share(cloud: &mut Cloud, (from, to): (&str, &str), id: &str, document: &Value, fields: &[&str]) {
    if !cloud.store.contains(from, id) {
        return;
    }
    cloud.store.edit(to, id, |other| {
        for field in fields {
            if let Some(value) = document.get(*field).filter(|value| Some(*value) != other.get(*field)) {
                set(other, field, value.clone());
            }
        }
    });
}

/// The fields that both documents of a droplet's snapshot have.
pub(crate) const SHARED: &[&str] = &["name", "tags", "regions"];

/// `POST /v2/images/{id}/actions`
pub(crate) fn start(cloud: &mut Cloud, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let image = cloud.store.get("images", id).ok_or_else(Refusal::not_found)?;
    if image.get("public").and_then(Value::as_bool) == Some(true) {
        return Err(Refusal::forbidden("You do not have permission to change this image."));
    }
    if cloud.is_busy("images", id) || image.get("status").and_then(Value::as_str) != Some("available") {
        return Err(Refusal::unprocessable("Image already has a pending event."));
    }
    let resource = Resource::of(cloud, "images", id);
    let image_id = id.to_owned();
    let action = match call.text("type") {
        Some("transfer") => {
            let region = call.text("region").filter(|it| catalogue::is_region(it)).map(str::to_owned);
            let region =
                region.ok_or_else(|| Refusal::unprocessable("You specified an invalid region for transfer."))?;
            if items(&image, "regions").iter().any(|it| it.as_str() == Some(&region)) {
                return Err(Refusal::unprocessable("The image is already in this region."));
            }
            actions::start(cloud, call, &resource, "transfer", move |cloud| {
                let image = cloud.store.edit("images", &image_id, |image| {
                    if let Some(regions) = image.get_mut("regions").and_then(Value::as_array_mut) {
                        regions.push(Value::from(region));
                    }
                });
                share(cloud, ("images", "snapshots"), &image_id, &image.unwrap_or_default(), &["regions"]);
            })
        }
        Some("convert") if image.get("type") == Some(&json!("backup")) => {
            actions::start(cloud, call, &resource, "convert", move |cloud| {
                cloud.store.edit("images", &image_id, |image| set(image, "type", Value::from("snapshot")));
            })
        }
        Some("convert") => return Err(Refusal::unprocessable("Only backups can be converted to snapshots.")),
        other => return Err(Refusal::unprocessable(format!("{other:?} is not a valid action type"))),
    };
    Ok(actions::started(StatusCode::CREATED, &action))
}
