//! Reads single documents, and parts of them from other paths.

use super::{
    Client, Error, IdFormat, Kind, ResourceKey,
    budget::Priority,
    call::ApiCall,
    kinds::{self, PartSource},
    pages,
};

impl Client {
    /// The document of one resource as text; none if it does not exist (404).
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub async fn get(&self, key: &ResourceKey, priority: Priority) -> Result<Option<String>, Error> {
        check_id(key)?;
        let row = key.kind.row();
        let (parent, id) = key.parts();
        let url = self.url(&row.get.path, parent, Some(id), &[])?;
        let call = ApiCall::reading(url, &row.get.path, &row.scope, priority);
        let Some(body) = self.read(&call).await? else { return Ok(None) };
        let text = self.text(&call, &body)?;
        let document = pages::unwrap(text, &row.get.key).map_err(|why| self.malformed(&call, &why))?;
        if !is_about(document, row, id) {
            let why = format!("its {} is not the requested one", row.id.field);
            return Err(self.malformed(&call, &why));
        }
        Ok(Some(document.to_owned()))
    }

    /// A part of a document from another path, as text.
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub(super) async fn part(
        &self,
        key: &ResourceKey,
        reading: &'static PartSource,
        priority: Priority,
    ) -> Result<String, Error> {
        check_id(key)?;
        let (parent, id) = key.parts();
        let url = self.url(&reading.get.path, parent, Some(id), &[])?;
        let call = ApiCall::reading(url, &reading.get.path, &key.kind.row().scope, priority);
        let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
        let text = self.text(&call, &body)?;
        let part = pages::under(text, &reading.get.key).map_err(|why| self.malformed(&call, &why))?;
        Ok(part.to_owned())
    }

    /// Returns true if the token has a scope, such as `tag:read`; none if no path shows it.
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub(super) async fn has_scope(&self, scope: &'static str, priority: Priority) -> Result<Option<bool>, Error> {
        let of_kind = Kind::all().map(Kind::row).find(|row| row.list_scope() == scope && row.within.is_none());
        let path = match (of_kind, scope) {
            (Some(row), _) => row.list.path.as_str(),
            (None, "tag:read") => "/v2/tags",
            (None, _) => return Ok(None),
        };
        let url = self.url(path, None, None, &[("page", "1"), ("per_page", "1")])?;
        match self.read(&ApiCall::reading(url, path, scope, priority)).await {
            Ok(_) => Ok(Some(true)),
            Err(Error::Forbidden { .. }) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }
}

/// Refuses an id that could form another path.
fn check_id(key: &ResourceKey) -> Result<(), Error> {
    let checked = key.kind.id_format().check(&key.id);
    checked.map_err(|rule| Error::BadId { resource: key.to_string(), rule })
}

/// Returns true if a document is of the requested resource. A proxy or a cache may mix up responses.
fn is_about(document: &str, row: &kinds::KindDefinition, id: &str) -> bool {
    let has = |field: &str| pages::id_of(document, field).is_some_and(|found| found.eq_ignore_ascii_case(id));
    has(&row.id.field) || (row.id.format == IdFormat::DigitsOrSlug && has("slug"))
}
