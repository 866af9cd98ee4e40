//! The resources of the account in a comparable form: after a test that undid its changes, nothing is left over or
//! missing.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::{
    store::{Row, Store},
    values::text_of,
};

/// Fields that change without a request, or that change with every request and are never restored.
const VOLATILE: &[&str] =
    &["active_deployment", "in_progress_deployment", "last_deployment_created_at", "next_backup_window", "updated_at"];

/// Lists whose order has no meaning.
const SETS: &[&str] = &["backup_ids", "droplet_ids", "features", "snapshot_ids", "tags", "volume_ids"];

/// Every resource, as collection → id → document, with sorted fields and ids.
///
/// Actions, deployments, events, base images, empty collections and unused tags are left out: a tag that was created
/// with a resource outlives it. An address contains the id of its droplet, not the whole droplet.
pub(crate) fn of(store: &Store) -> Value {
    let tags: HashSet<String> =
        store.rows().flat_map(|(_, row)| &row.facts.tags).map(|tag| tag.to_ascii_lowercase()).collect();
    let counts = |collection: &str, row: &Row| match collection {
        "actions" => false,
        history if history.ends_with("/deployments") || history.ends_with("/events") => false,
        "images" => row.facts.public != Some(true),
        "tags" => tags.contains(&row.id.to_ascii_lowercase()),
        _ => true,
    };
    let mut collections: Map<String, Value> = Map::new();
    for (collection, row) in store.rows().filter(|(collection, row)| counts(collection, row)) {
        let documents = collections.entry(collection).or_insert_with(|| Value::Object(Map::new()));
        if let (Some(documents), Some(document)) = (documents.as_object_mut(), store.get(collection, &row.id)) {
            documents.insert(row.id.clone(), canonical(document));
        }
    }
    let mut inventory = Value::Object(collections);
    inventory.sort_all_objects();
    inventory
}

fn canonical(document: Value) -> Value {
    match document {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(field, _)| !VOLATILE.contains(&field.as_str()))
            .map(|(field, value)| {
                let value = canonical_field(&field, value);
                (field, value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        other => other,
    }
}

fn canonical_field(field: &str, value: Value) -> Value {
    match value {
        Value::Array(mut items) if SETS.contains(&field) => {
            items.sort_by_cached_key(text_of);
            Value::Array(items)
        }
        Value::Object(mut droplet) if field == "droplet" => droplet.remove("id").unwrap_or_default(),
        other => canonical(other),
    }
}
