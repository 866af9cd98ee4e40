//! The calls of sagas: changes, which are made once, and the related reads.
//!
//! A saga's journal decides whether a change is repeated. So only reads are retried here, and an error contains whether
//! its change may have been carried out ([`Error::may_have_happened`]).

use serde_json::Value;

use super::{
    ChangeMethod, Client, Endpoint, Error,
    call::ApiCall,
    lists::{WALKS, endless},
    pages::{AfterPage, Cursor},
    texts::text,
};

/// The maximum number of pages: the lists that sagas read are short.
const MOST_PAGES: u32 = 50;

impl Client {
    /// Reads the value under `key`; none if the resource does not exist (the API's own 404).
    ///
    /// # Errors
    /// If no trustworthy response arrived, the response is about another resource, or the budget had no call in time.
    pub async fn fetch(&self, path: Endpoint<'_>, key: &str, query: &[(&str, &str)]) -> Result<Option<Value>, Error> {
        let call = self.urgent(path, query, None)?;
        let Some(document) = self.value(&call, key).await? else { return Ok(None) };
        if document.is_null() {
            return Err(self.malformed(&call, &format!("it has no `{key}`")));
        }
        let id = document.get("id").map(text);
        match (id, path.id) {
            (Some(id), Some(wanted)) if id != wanted => {
                Err(self.malformed(&call, &format!("its `{key}` is another one, {id}")))
            }
            _ => Ok(Some(document)),
        }
    }

    /// Reads the list under `key`, which is not paged; none if the resource does not exist. A null is an empty list.
    ///
    /// # Errors
    /// If no trustworthy response arrived, or the budget had no call in time.
    pub async fn fetch_list(&self, path: Endpoint<'_>, key: &str) -> Result<Option<Vec<Value>>, Error> {
        let call = self.urgent(path, &[], None)?;
        match self.value(&call, key).await? {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(Vec::new())),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(self.malformed(&call, &format!("its `{key}` is no list"))),
        }
    }

    /// Reads all rows of a list, from the value under `key`.
    ///
    /// # Errors
    /// If the list could not be read in full, or does not exist (404).
    pub async fn rows(&self, path: Endpoint<'_>, key: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Error> {
        for _ in 0..WALKS {
            if let Some(rows) = self.rows_once(path, key, query).await? {
                return Ok(rows);
            }
        }
        Err(Error::Shifting { doing: format!("GET {}", path.route), walks: WALKS })
    }

    /// Makes a change exactly once. Returns the body of the response; null if it has none (204), as after a deletion.
    ///
    /// # Errors
    /// If the change was refused or not sent, or its result is unknown: see [`Error::may_have_happened`].
    /// [`Error::NotFound`] is only returned for the API's own 404.
    pub async fn send(&self, verb: ChangeMethod, path: Endpoint<'_>, body: Option<&Value>) -> Result<Value, Error> {
        let call = self.urgent(path, &[], Some((verb, body)))?;
        let answer = self.once(&call, 1).await?.ok_or_else(|| call.not_found())?;
        match verb {
            _ if answer.trim_ascii().is_empty() => Ok(Value::Null),
            // An "ok" of a proxy is not a deletion.
            ChangeMethod::Delete => Err(self.malformed(&call, "the response to a deletion has a body")),
            ChangeMethod::Post | ChangeMethod::Put | ChangeMethod::Patch => self.json(&call, &answer),
        }
    }

    /// The value under `key`, which may be null; none if the resource does not exist.
    async fn value(&self, call: &ApiCall<'_>, key: &str) -> Result<Option<Value>, Error> {
        let Some(body) = self.read(call).await? else { return Ok(None) };
        let value = self.json::<Value>(call, &body)?.get_mut(key).map(Value::take);
        value.map(Some).ok_or_else(|| self.malformed(call, &format!("it has no `{key}`")))
    }

    /// None if rows are missing: a lookup must not miss a row that moved between two pages.
    async fn rows_once(
        &self,
        path: Endpoint<'_>,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Vec<Value>>, Error> {
        let mut rows = Vec::new();
        let mut cursor = Cursor::default();
        for _ in 0..MOST_PAGES {
            let call = self.next_page(path, query, &cursor)?;
            let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
            let (page, mut new) = self.page(&call, &body, key)?;
            rows.append(&mut new);
            match cursor.take(&page) {
                AfterPage::Shifted => return Ok(None),
                AfterPage::Next => {}
                AfterPage::End => return Ok((!page.lacks(rows.len())).then_some(rows)),
            }
        }
        Err(endless(path.route))
    }
}

#[cfg(test)]
mod tests;
