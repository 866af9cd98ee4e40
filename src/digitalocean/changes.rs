//! What sagas call: changes, each made once, and the reads that go with them.
//!
//! A saga's journal decides whether a change is made again. So nothing here is retried but reads, and an error says
//! whether its change may have been carried out all the same ([`Error::may_have_happened`]).

use reqwest::Method;
use serde_json::Value;

use super::client::{PER_PAGE, WALKS};
use super::{Client, Error};

/// How many pages a list can have: those that sagas read are short.
const MOST_PAGES: u32 = 50;

/// Where a call goes.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    /// The path with its placeholders `{parent}` and `{id}`, such as `/v2/domains/{parent}/records/{id}`.
    pub route: &'static str,
    /// What `{parent}` stands for.
    pub parent: Option<&'a str>,
    /// What `{id}` stands for.
    pub id: Option<&'a str>,
    /// The scope that the token needs, for the message of a 403.
    pub scope: &'static str,
}

/// How a call changes things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Makes something, or begins an action.
    Post,
    /// Replaces something as a whole.
    Put,
    /// Changes some fields.
    Patch,
    /// Deletes something.
    Delete,
}

impl Client {
    /// Reads what stands under `key`; nothing where it does not exist (the API's own 404).
    ///
    /// # Errors
    /// Where no trustworthy answer came, one about something else among them, or the budget gave no call in time.
    pub async fn fetch(&self, path: Path<'_>, key: &str, query: &[(&str, &str)]) -> Result<Option<Value>, Error> {
        let call = self.urgent(path, query, None)?;
        let Some(body) = self.read(&call).await? else { return Ok(None) };
        let wrong = |why: String| Error::Malformed { doing: call.doing(), why };
        let document =
            self.json::<Value>(&call, &body)?.get_mut(key).map(Value::take).filter(|document| !document.is_null());
        let document = document.ok_or_else(|| wrong(format!("it has no `{key}`")))?;
        let id = document.get("id").map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        match (id, path.id) {
            (Some(id), Some(wanted)) if id != wanted => Err(wrong(format!("its `{key}` is another one, {id}"))),
            _ => Ok(Some(document)),
        }
    }

    /// Reads all rows of a list, which stand under `key`.
    ///
    /// # Errors
    /// Where the list could not be read in full, or there is no such list (404).
    pub async fn rows(&self, path: Path<'_>, key: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Error> {
        for _ in 0..WALKS {
            if let Some(rows) = self.rows_once(path, key, query).await? {
                return Ok(rows);
            }
        }
        Err(Error::Shifting { doing: format!("GET {}", path.route), walks: WALKS })
    }

    /// Makes a change, once, whatever comes of it. The answer's body; null where it has none (204), as after a deletion.
    ///
    /// # Errors
    /// Where the change was refused or not sent, or it is not known what became of it: see
    /// [`Error::may_have_happened`]. [`Error::NotFound`] only where the API itself says so.
    pub async fn send(&self, verb: Verb, path: Path<'_>, body: Option<&Value>) -> Result<Value, Error> {
        let call = self.urgent(path, &[], Some((verb, body)))?;
        let answer = self.once(&call, 1).await?.ok_or_else(|| call.not_found())?;
        match verb {
            _ if answer.trim_ascii().is_empty() => Ok(Value::Null),
            // A proxy that says "ok" has deleted nothing.
            Verb::Delete => Err(self.malformed(&call, "a deletion is answered with nothing, and this with something")),
            Verb::Post | Verb::Put | Verb::Patch => self.json(&call, &answer),
        }
    }

    /// Nothing where rows are missing: a lookup must not take what moved between the pages for what does not exist.
    async fn rows_once(&self, path: Path<'_>, key: &str, query: &[(&str, &str)]) -> Result<Option<Vec<Value>>, Error> {
        let mut rows = Vec::new();
        let mut first_total = None;
        for number in 1..=MOST_PAGES {
            let number = number.to_string();
            let query = [query, &[("page", number.as_str()), ("per_page", PER_PAGE)]].concat();
            let call = self.urgent(path, &query, None)?;
            let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
            let page = self.page(&call, &body, key, None, |_, row| {
                rows.push(serde_json::from_str(row).map_err(|error| error.to_string())?);
                Ok(())
            })?;
            if page.total != *first_total.get_or_insert(page.total) {
                return Ok(None);
            }
            if !page.has_more(rows.len()) {
                return Ok((!page.lacks(rows.len())).then_some(rows));
            }
        }
        Err(Error::Malformed { doing: format!("GET {}", path.route), why: "its pages do not end".into() })
    }
}

impl Path<'_> {
    /// Refuses ids that would form another path, and those that are missing.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_wanted = |placeholder: &&str| self.route.split('/').any(|segment| segment == *placeholder);
        let placeholders = self.route.split('/').filter(|segment| segment.starts_with('{')).count();
        let ids = [("{parent}", self.parent), ("{id}", self.id)];
        let given: Vec<_> = ids.into_iter().filter_map(|(placeholder, id)| Some((placeholder, id?))).collect();
        let fits = given.iter().all(|(placeholder, id)| is_wanted(placeholder) && is_one_segment(id));
        if fits && given.len() == placeholders {
            return Ok(());
        }
        let resource = format!("{} with {given:?}", self.route);
        Err(Error::BadId { resource, says: "must be there, without line breaks and more than dots" })
    }
}

/// Whether a URL holds it as one segment. Parsers of URLs drop tabs and line breaks, and dots lead elsewhere.
fn is_one_segment(id: &str) -> bool {
    !id.chars().all(|letter| letter == '.') && !id.chars().any(char::is_control)
}

impl Verb {
    pub(super) fn method(self) -> &'static Method {
        match self {
            Self::Post => &Method::POST,
            Self::Put => &Method::PUT,
            Self::Patch => &Method::PATCH,
            Self::Delete => &Method::DELETE,
        }
    }
}

#[cfg(test)]
mod tests;
