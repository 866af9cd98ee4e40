//! Snapshots of droplets (also images) and of volumes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    generated::{now, uuid},
    reply::{Refusal, Reply},
    request::Call,
    tags,
    values::text_of,
};

/// Adds the snapshot that a droplet's action took. The action does not contain its id, as in the real API.
pub(crate) fn of_droplet_taken(cloud: &mut Cloud, droplet_id: &str, name: &str) {
    let Some(droplet) = cloud.store.get("droplets", droplet_id) else { return };
    let id = cloud.next_id();
    let region = droplet.pointer("/region/slug").cloned().unwrap_or_default();
    let snapshot = json!({
        "id": id.to_string(), "name": name, "created_at": now(), "regions": [region], "resource_id": droplet_id,
        "resource_type": "droplet", "min_disk_size": droplet.get("disk"), "size_gigabytes": 2.34, "tags": [],
    });
    cloud.store.put("snapshots", &id.to_string(), &snapshot);
    add_image(cloud, &snapshot);
    cloud.store.edit("droplets", droplet_id, |droplet| {
        if let Some(ids) = droplet.get_mut("snapshot_ids").and_then(Value::as_array_mut) {
            ids.push(Value::from(id));
        }
    });
}

/// Adds the image of a droplet's snapshot, if it does not exist.
pub(crate) fn add_image(cloud: &mut Cloud, snapshot: &Value) {
    let of = |field: &str| snapshot.get(field).cloned().unwrap_or_default();
    let id = text_of(&of("id"));
    let Ok(number) = id.parse::<u64>() else { return };
    if of("resource_type") != "droplet" || cloud.store.contains("images", &id) {
        return;
    }
    let droplet = cloud.store.get("droplets", &text_of(&of("resource_id"))).unwrap_or_default();
    let distribution = droplet.pointer("/image/distribution").cloned().unwrap_or_else(|| Value::from("Ubuntu"));
    let image = json!({
        "id": number, "name": of("name"), "distribution": distribution, "slug": null, "public": false,
        "regions": of("regions"), "created_at": of("created_at"), "type": "snapshot", "min_disk_size": of("min_disk_size"),
        "size_gigabytes": of("size_gigabytes"), "description": "", "tags": [], "status": "available", "error_message": "",
    });
    cloud.store.put("images", &id, &image);
}

/// Returns true if an image was created from this droplet: only such an image can be restored.
pub(crate) fn belongs_to(cloud: &Cloud, droplet: &Value, image: &str) -> bool {
    let backups = droplet.get("backup_ids").and_then(Value::as_array).into_iter().flatten();
    let snapshot = cloud.store.row("snapshots", image);
    backups.map(text_of).any(|id| id == image)
        || snapshot.is_some_and(|it| {
            it.facts.kind.as_deref() == Some("droplet") && it.facts.resource == droplet.get("id").map(text_of)
        })
}

/// A droplet's backups, which are also images.
pub(crate) fn backups_of(cloud: &Cloud, droplet: &Value) -> Vec<Value> {
    let ids = droplet.get("backup_ids").and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(|id| cloud.store.get("images", &text_of(id))).map(|image| listed(&image, "backup")).collect()
}

/// A droplet's snapshots in the format of that list: with a numeric id, and without tags.
pub(crate) fn of_droplet(cloud: &Cloud, droplet_id: &str, call: &Call) -> Vec<Value> {
    of_resource(cloud, "droplet", droplet_id, call).iter().map(|snapshot| listed(snapshot, "snapshot")).collect()
}

fn listed(image: &Value, kind: &str) -> Value {
    let of = |field: &str| image.get(field).cloned().unwrap_or_default();
    let id: u64 = text_of(&of("id")).parse().unwrap_or_default();
    json!({
        "id": id, "name": of("name"), "created_at": of("created_at"), "regions": of("regions"), "type": kind,
        "min_disk_size": of("min_disk_size"), "size_gigabytes": of("size_gigabytes"),
    })
}

/// `GET /v2/volumes/{id}/snapshots`
pub(crate) fn of_volume(cloud: &Cloud, volume: &str, call: &Call) -> Result<Reply, Refusal> {
    if !cloud.store.contains("volumes", volume) {
        return Err(Refusal::not_found());
    }
    Ok(crate::pages::of_documents("snapshots", true, call, &of_resource(cloud, "volume", volume, call)))
}

fn of_resource(cloud: &Cloud, kind: &str, id: &str, call: &Call) -> Vec<Value> {
    let rows = cloud.store.collection("snapshots").map(crate::store::Collection::rows).unwrap_or_default();
    rows.iter()
        .filter(|row| row.facts.kind.as_deref() == Some(kind) && row.facts.resource.as_deref() == Some(id))
        .filter(|row| !call.distortion.hidden.contains(&row.id))
        .filter(|row| call.distortion.lag.is_none_or(|lag| row.facts.created.is_none_or(|it| it.elapsed() >= lag)))
        .filter_map(|row| cloud.store.get("snapshots", &row.id))
        .collect()
}

/// `POST /v2/volumes/{id}/snapshots`
pub(crate) fn take_of_volume(cloud: &mut Cloud, volume_id: &str, call: &Call) -> Result<Reply, Refusal> {
    let volume = cloud.store.get("volumes", volume_id).ok_or_else(Refusal::not_found)?;
    let name = call.text("name").ok_or_else(|| Refusal::unprocessable("Name can't be blank"))?;
    let id = uuid();
    let snapshot = json!({
        "id": id, "name": name, "created_at": now(), "regions": [volume.pointer("/region/slug")], "resource_id": volume_id,
        "resource_type": "volume", "min_disk_size": volume.get("size_gigabytes"), "size_gigabytes": 0,
        "tags": call.body.get("tags").filter(|it| it.is_array()).cloned().unwrap_or_else(|| json!([])),
    });
    cloud.store.put("snapshots", &id, &snapshot);
    tags::note(cloud, &snapshot);
    Ok(Reply::json(StatusCode::CREATED, &json!({"snapshot": snapshot})))
}

/// `DELETE /v2/snapshots/{id}`
pub(crate) fn delete(cloud: &mut Cloud, id: &str) -> Result<Reply, Refusal> {
    let snapshot = cloud.store.get("snapshots", id).ok_or_else(Refusal::not_found)?;
    cloud.remove("snapshots", id);
    if let Some(droplet) = snapshot.get("resource_id").and_then(Value::as_str) {
        cloud.store.edit("droplets", droplet, |droplet| {
            if let Some(ids) = droplet.get_mut("snapshot_ids").and_then(Value::as_array_mut) {
                ids.retain(|it| text_of(it) != id);
            }
        });
    }
    Ok(Reply::nothing())
}
