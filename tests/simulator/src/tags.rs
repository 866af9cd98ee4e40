//! Tags: the first resource with a tag creates it, and each tag counts its resources.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    cloud::Cloud,
    images, pages,
    reply::{Refusal, Reply},
    request::Call,
    tagged::with,
    values::{set, tags_of, text_of},
};

/// The kinds that can be tagged: the name in a tag's counts, the `resource_type` of a tagging, the collection.
const TAGGED: &[(&str, &str, &str)] = &[
    ("droplets", "droplet", "droplets"),
    ("images", "image", "images"),
    ("volumes", "volume", "volumes"),
    ("volume_snapshots", "volume_snapshot", "snapshots"),
    ("databases", "database", "databases"),
];

/// Creates the missing tags of a document.
pub(crate) fn note(cloud: &mut Cloud, document: &Value) {
    for tag in tags_of(document) {
        add(cloud, &tag);
    }
}

/// Creates a tag if it does not exist.
pub(crate) fn add(cloud: &mut Cloud, tag: &str) {
    if find(cloud, tag).is_none() {
        cloud.store.put("tags", tag, &json!({"name": tag}));
    }
}

/// The name under which a tag was created. A name that differs only in case is the same tag, but cannot be used for it.
fn find(cloud: &Cloud, tag: &str) -> Option<String> {
    if cloud.store.contains("tags", tag) {
        return Some(tag.to_owned());
    }
    let rows = cloud.store.collection("tags")?.rows();
    rows.iter().find(|row| row.id.eq_ignore_ascii_case(tag)).map(|row| row.id.clone())
}

/// Refuses a tag that does not exist, or whose case differs from its creation.
fn known(cloud: &Cloud, tag: &str) -> Result<(), Refusal> {
    if cloud.store.contains("tags", tag) { Ok(()) } else { Err(Refusal::not_found()) }
}

pub(crate) fn is_valid(tag: &str) -> bool {
    (1..=255).contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_-:".contains(c))
}

/// `GET /v2/tags`
pub(crate) fn list(cloud: &Cloud, call: &Call) -> Reply {
    let rows = cloud.store.collection("tags").map(crate::store::Collection::rows).unwrap_or_default();
    let documents: Vec<Value> = rows.iter().map(|row| document(cloud, &row.id, &call.origin)).collect();
    pages::of_documents("tags", true, call, &documents)
}

/// `GET /v2/tags/{tag}`
pub(crate) fn get(cloud: &Cloud, tag: &str, call: &Call) -> Result<Reply, Refusal> {
    known(cloud, tag)?;
    Ok(Reply::json(StatusCode::OK, &json!({"tag": document(cloud, tag, &call.origin)})))
}

/// `POST /v2/tags`
pub(crate) fn create(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let name = call.text("name").filter(|name| is_valid(name));
    let name =
        name.ok_or_else(|| Refusal::unprocessable("Name can only contain alphanumeric characters, _, - and :"))?;
    add(cloud, name);
    let name = find(cloud, name).unwrap_or_default();
    Ok(Reply::json(StatusCode::CREATED, &json!({"tag": document(cloud, &name, &call.origin)})))
}

/// `DELETE /v2/tags/{tag}`
pub(crate) fn delete(cloud: &mut Cloud, tag: &str) -> Result<Reply, Refusal> {
    known(cloud, tag)?;
    for (_, _, collection) in TAGGED {
        for id in with(cloud, collection, tag) {
            put_on(cloud, collection, &id, tag, false);
        }
    }
    cloud.store.remove("tags", tag);
    Ok(Reply::nothing())
}

/// `POST and DELETE /v2/tags/{tag}/resources`
pub(crate) fn resources(cloud: &mut Cloud, tag: &str, call: &Call, on: bool) -> Result<Reply, Refusal> {
    known(cloud, tag)?;
    let resources = call.body.get("resources").and_then(Value::as_array);
    let resources = resources.ok_or_else(|| Refusal::unprocessable("Resources can't be blank"))?;
    let mut found = Vec::new();
    for resource in resources {
        let kind = resource.get("resource_type").and_then(Value::as_str).unwrap_or_default();
        let id = resource.get("resource_id").map(text_of).unwrap_or_default();
        let (_, _, collection) = TAGGED
            .iter()
            .find(|it| it.1 == kind)
            .ok_or_else(|| Refusal::unprocessable(format!("{kind:?} cannot be tagged")))?;
        let snapshot = cloud.store.get("snapshots", &id).filter(|_| kind == "volume_snapshot");
        let is_foreign = snapshot.is_some_and(|it| it.get("resource_type") != Some(&json!("volume")));
        if !cloud.store.contains(collection, &id) || is_foreign {
            return Err(Refusal::not_found());
        }
        found.push((*collection, id));
    }
    for (collection, id) in found {
        put_on(cloud, collection, &id, tag, on);
    }
    Ok(Reply::nothing())
}

fn put_on(cloud: &mut Cloud, collection: &str, id: &str, tag: &str, on: bool) {
    let tagged = cloud.store.edit(collection, id, |document| {
        let mut tags = tags_of(document);
        tags.retain(|it| !it.eq_ignore_ascii_case(tag));
        if on {
            tags.push(tag.to_owned());
        }
        if let Some(fields) = document.as_object_mut() {
            fields.insert("tags".to_owned(), Value::from(tags));
        }
    });
    // A droplet's snapshot has its tags as an image.
    if collection == "images" {
        images::share(cloud, ("images", "snapshots"), id, &tagged.unwrap_or_default(), &["tags"]);
    }
}

fn document(cloud: &Cloud, tag: &str, origin: &str) -> Value {
    let mut resources = Map::new();
    let mut count = 0;
    let mut last = None;
    for (name, _, collection) in TAGGED {
        let ids = with(cloud, collection, tag);
        let mut counts = json!({"count": ids.len()});
        if let Some(id) = ids.last() {
            let uri = Value::from(format!("{origin}/v2/{collection}/{id}"));
            set(&mut counts, "last_tagged_uri", uri.clone());
            last.get_or_insert(uri);
        }
        count += ids.len();
        resources.insert((*name).to_owned(), counts);
    }
    resources.insert("count".to_owned(), Value::from(count));
    if let Some(uri) = last {
        resources.insert("last_tagged_uri".to_owned(), uri);
    }
    json!({"name": tag, "resources": resources})
}
