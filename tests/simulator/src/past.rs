//! Old values of some fields, which a list may still show.

use std::collections::HashMap;

use serde_json::Value;

use crate::store::Store;

/// Some fields of a list's rows at one moment.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// By id: each field with its value, `None` if the row did not have it.
    pub(crate) rows: HashMap<String, Vec<(String, Option<Value>)>>,
}

impl Past {
    /// The current values of these fields in all rows of a collection.
    pub(crate) fn of(store: &Store, collection: &str, fields: &[String]) -> Self {
        let kept = |document: &Value| fields.iter().map(|it| (it.clone(), document.get(it).cloned())).collect();
        let rows = store.collection(collection).map(crate::store::Collection::rows).unwrap_or_default();
        let documents = rows.iter().filter_map(|row| Some((row.id.clone(), store.get(collection, &row.id)?)));
        Self { rows: documents.map(|(id, document)| (id, kept(&document))).collect() }
    }
}
