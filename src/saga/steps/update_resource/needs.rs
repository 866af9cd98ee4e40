//! Reads that a write needs besides the document.
//!
//! Each is made once. The document is read again after them, so that no call stands between the document and its write.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    digitalocean::{Certificates, Endpoint, ResourceKey, revert::request::FieldWrite},
    saga::{
        step::{Failure, StepContext},
        steps::{common::text, record, reverting::RevertParameters},
    },
};

/// The reads that were made for one write.
#[derive(Default)]
pub(super) struct Needs {
    scopes: BTreeMap<&'static str, bool>,
    guard: Option<Value>,
    offered: Option<Vec<String>>,
    certificates: Option<Certificates>,
    along: Option<Map<String, Value>>,
    /// Whether one was made since the document was read.
    is_document_old: bool,
}

impl Needs {
    /// The document was read just now.
    pub(super) fn have_new_document(&mut self) {
        self.is_document_old = false;
    }

    /// Whether the document has to be read again before it is written.
    pub(super) fn is_document_old(&self) -> bool {
        self.is_document_old
    }

    /// Whether the token is known to have a scope.
    pub(super) async fn may(&mut self, context: &StepContext<'_>, scope: &'static str) -> Result<bool, Failure> {
        if let Some(may) = self.scopes.get(scope) {
            return Ok(*may);
        }
        let may = context.read(context.cloud.may(scope)).await?;
        self.is_document_old = true;
        self.scopes.insert(scope, may);
        Ok(may)
    }

    /// The document at the path of a guard.
    pub(super) async fn guard(
        &mut self,
        context: &StepContext<'_>,
        path: Endpoint<'_>,
        key: &str,
    ) -> Result<&Value, Failure> {
        if self.guard.is_none() {
            self.guard = Some(context.read(context.cloud.fetch(path, key, &[])).await?.unwrap_or_default());
            self.is_document_old = true;
        }
        Ok(self.guard.get_or_insert_default())
    }

    /// The slugs of the versions that DigitalOcean offers to a cluster.
    pub(super) async fn offered(&mut self, context: &StepContext<'_>, id: &str) -> Result<&[String], Failure> {
        if self.offered.is_none() {
            let route = "/v2/kubernetes/clusters/{id}/upgrades";
            let path = Endpoint { route, parent: None, id: Some(id), scope: "kubernetes:read" };
            let offered = context.cloud.fetch_list(path, "available_upgrade_versions");
            let offered = context.read(offered).await?.unwrap_or_default();
            let slugs = offered.iter().filter_map(|version| text(version, "slug"));
            self.offered = Some(slugs.map(str::to_owned).collect());
            self.is_document_old = true;
        }
        Ok(self.offered.get_or_insert_default())
    }

    /// The account's certificates.
    pub(super) async fn certificates(&mut self, context: &StepContext<'_>) -> Result<&Certificates, Failure> {
        if self.certificates.is_none() {
            self.certificates = Some(context.read(context.cloud.certificates()).await?);
            self.is_document_old = true;
        }
        Ok(self.certificates.get_or_insert_default())
    }

    /// The recorded values of other fields that the write sends along.
    pub(super) async fn along(
        &mut self,
        context: &StepContext<'_>,
        given: &RevertParameters,
        write: FieldWrite,
    ) -> Result<Map<String, Value>, Failure> {
        if let Some(along) = &self.along {
            return Ok(along.clone());
        }
        let mut along = Map::new();
        if !write.with_recorded().is_empty() {
            let key: ResourceKey = given.key();
            let record = context.read(record::about(context, &given.record, &key)).await?;
            for (key, field) in write.with_recorded() {
                if let Some(value) = context.read(record::desired(context, &record, field)).await? {
                    along.insert(key.clone(), value);
                }
            }
            self.is_document_old = true;
        }
        self.along = Some(along.clone());
        Ok(along)
    }
}
