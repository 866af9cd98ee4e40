//! Reads one resource in full with direct requests, for steps of sagas, which must not rely on the inventory.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Client, Endpoint, Error, FieldSet, Live, Priority, ResourceKey,
    document::{Pattern, str_at},
    kinds::PartSource,
    merge::complete,
    observed::{Certificates, Document, UnreadPart},
};

impl Client {
    /// Reads a resource with all parts that these recorded fields need; none if it does not exist.
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub async fn live(&self, key: &ResourceKey, fields: FieldSet) -> Result<Option<Live>, Error> {
        let row = key.kind.row();
        // Before the document: a write that follows is as close to it as can be.
        let mut scopes = Vec::new();
        for scope in row.scopes_in_doubt(fields) {
            if !scopes.contains(&scope) && self.has_scope(scope, Priority::Urgent).await? == Some(true) {
                scopes.push(scope);
            }
        }
        let needs_certificates = fields.has(FieldSet::fields(row, row.certificates.iter().map(String::as_str)));
        let certificates = if needs_certificates { Some(Arc::new(self.certificates().await?)) } else { None };
        let Some(text) = self.get(key, Priority::Urgent).await? else { return Ok(None) };
        let malformed = |why: String| Error::Malformed { doing: format!("reading {key}"), why };
        let mut document: Value = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if fields.has(FieldSet::fields(row, row.only_list.iter().map(Pattern::root))) {
            self.complete_from_list(key, &mut document).await?;
        }
        let mut unread = Vec::new();
        for reading in &row.reads {
            if fields.has(reading.fields(row)) {
                let part = self.part(key, reading, Priority::Urgent).await?;
                merge(&mut document, reading, &serde_json::from_str(&part).unwrap_or_default());
            } else {
                unread.extend(reading.into.keys().map(|field| UnreadPart::new(field, "it was not read")));
            }
        }
        let document = Document {
            unread: unread.into(),
            certificates,
            scopes: scopes.into(),
            ..Document::whole(document.to_string())
        };
        Live::of(key, &document).map(Some)
    }

    /// Returns true if the token is known to have a scope.
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub(crate) async fn may(&self, scope: &'static str) -> Result<bool, Error> {
        Ok(self.has_scope(scope, Priority::Urgent).await? == Some(true))
    }

    /// The account's certificates.
    ///
    /// # Errors
    /// If they could not be listed.
    pub(crate) async fn certificates(&self) -> Result<Certificates, Error> {
        let path = Endpoint { route: "/v2/certificates", parent: None, id: None, scope: "certificate:read" };
        let rows = self.rows(path, "certificates", &[]).await?;
        Ok(rows.iter().map(|row| (str_at(row, "id"), str_at(row, "name"))).collect())
    }

    /// Adds the parts that only lists show.
    async fn complete_from_list(&self, key: &ResourceKey, document: &mut Value) -> Result<(), Error> {
        let row = key.kind.row();
        let (parent, id) = key.parts();
        let path = Endpoint { route: &row.list.path, parent, id: None, scope: row.list_scope() };
        let rows = self.rows(path, &row.list.key, &[]).await?;
        if let Some(listed) = rows.iter().find(|listed| str_at(listed, &row.id.field) == id) {
            complete(document, listed, &row.only_list);
        }
        Ok(())
    }
}

/// Adds the part from a separate path.
fn merge(document: &mut Value, reading: &PartSource, part: &Value) {
    let implied = reading.implies.as_ref();
    let is_implied = implied.map(|implied| part.get(&implied.key) == Some(&Value::Bool(true)));
    let Some(entries) = document.as_object_mut() else { return };
    for (field, key) in &reading.into {
        let value = if key.is_empty() { Some(part) } else { part.get(key) };
        entries.insert(field.clone(), value.filter(|_| is_implied != Some(false)).cloned().unwrap_or_default());
    }
    if let (Some(implied), Some(true), Some(Value::Array(features))) =
        (implied, is_implied, entries.get_mut("features"))
        && !features.iter().any(|feature| *feature == implied.feature)
    {
        features.push(implied.feature.as_str().into());
    }
}
