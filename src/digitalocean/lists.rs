//! Reads whole lists. If a short list shifts while its pages are read, it is read again; of a long one, the latest pages are.

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher,
};

use serde::de::DeserializeOwned;

use super::{
    Client, Endpoint, Error, Kind,
    budget::Priority,
    call::ApiCall,
    kinds::PartList,
    pages::{self, AfterPage, Cursor, ListShape, Page},
};

/// Rows of one page: DigitalOcean's maximum.
const PER_PAGE: &str = "200";

/// The number of attempts after which a list counts as shifting.
pub(super) const WALKS: u32 = 4;

/// The number of pages up to which a list that shifts is read again from its start.
const SHORT: u32 = 4;

/// The maximum number of pages: a guard against a server that always has one more.
const MOST_PAGES: usize = 10_000;

/// The maximum number of rows for which memory is reserved: a total may be wrong.
const MOST_EXPECTED: usize = 200_000;

/// Receives the rows of a list.
pub(super) trait Rows {
    /// The list starts, possibly again: earlier rows do not count.
    fn begin(&mut self);
    /// A resource's id within its parent, and its document.
    fn row(&mut self, id: &str, document: &str);
}

impl Client {
    /// Reads all pages of a list of parts and passes each part with the id of its resource. Returns the number of
    /// pages.
    ///
    /// # Errors
    /// If the list could not be read in full. Parts that were passed until then must not be used.
    pub(super) async fn parts(
        &self,
        kind: Kind,
        list: &'static PartList,
        rows: &mut (impl Rows + Send),
    ) -> Result<usize, Error> {
        let walk = Walk {
            path: &list.path,
            key: &list.key,
            id_field: &list.id,
            shape: ListShape::Map,
            is_paged: true,
            scope: kind.row().list_scope(),
            parent: None,
            query: "",
            priority: Priority::Sweep,
        };
        for _ in 0..WALKS {
            rows.begin();
            if let Some(walked) = self.walk(&walk, rows).await?.filter(|walked| walked.is_whole(walked.rows)) {
                return Ok(walked.pages());
            }
        }
        Err(Error::Shifting { doing: format!("GET {}", list.path), walks: WALKS })
    }

    /// Reads all pages of a kind's lists and passes each row. Returns the number of resources and pages.
    ///
    /// # Errors
    /// If the list could not be read in full. Rows that were passed until then must not be used.
    pub(super) async fn list(
        &self,
        kind: Kind,
        parent: Option<&str>,
        rows: &mut (impl Rows + Send),
        priority: Priority,
    ) -> Result<Listed, Error> {
        let row = kind.row();
        for _ in 0..WALKS {
            rows.begin();
            let mut walked = Vec::new();
            for query in &row.walks {
                let walk = Walk {
                    path: &row.list.path,
                    key: &row.list.key,
                    id_field: &row.id.field,
                    shape: ListShape::List,
                    is_paged: row.paged,
                    scope: row.list_scope(),
                    parent,
                    query,
                    priority,
                };
                let Some(one) = self.walk(&walk, rows).await? else { break };
                walked.push(one);
            }
            let rows = walked.iter().map(|walked| walked.rows).sum();
            if walked.len() == row.walks.len() && walked.iter().all(|walked| walked.is_whole(rows)) {
                let pages = walked.iter().map(Cursor::pages).sum();
                return Ok(Listed { rows, pages });
            }
        }
        Err(Error::Shifting { doing: format!("GET {}", kind.row().list.path), walks: WALKS })
    }

    /// Reads the pages of one list once. None if rows shifted between pages.
    ///
    /// An account with 100,000 resources changes while its list is read, so a long list continues from the page before. Rows
    /// that are there twice are passed once. Rows that were deleted after their page stay until the next list, and a row that
    /// is missing is requested directly before it counts as gone.
    async fn walk(&self, walk: &Walk<'_>, rows: &mut (impl Rows + Send)) -> Result<Option<Cursor>, Error> {
        // Hashes instead of ids: 8 bytes each, and a collision costs at most one more walk.
        let hasher = RandomState::new();
        let mut seen: HashSet<u64> = HashSet::new();
        let mut cursor = Cursor::default();
        let (mut furthest, mut rewinds, mut gained) = (0, 0, 0);
        for _ in 0..MOST_PAGES {
            let (number, number_text) = cursor.query();
            let mut parameters: Vec<(&str, &str)> = walk.query.split_once('=').into_iter().collect();
            if walk.is_paged {
                parameters.extend([("page", number_text.as_str()), ("per_page", PER_PAGE)]);
            }
            let url = self.url(walk.path, walk.parent, None, &parameters)?;
            let call = ApiCall::reading(url, walk.path, walk.scope, walk.priority);
            let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
            let mut doubled = false;
            let text = self.text(&call, &body)?;
            let page = pages::read(text, walk.key, walk.shape, Some(walk.id_field), |id, document| {
                if seen.insert(hasher.hash_one(id)) {
                    rows.row(id, document);
                } else {
                    doubled = true;
                }
                Ok(())
            });
            let page = page.map_err(|why| self.malformed(&call, &why))?;
            if number == 1 {
                let total = page.total.and_then(|total| usize::try_from(total).ok()).unwrap_or_default();
                seen.reserve(total.min(MOST_EXPECTED).saturating_sub(seen.len()));
            }
            // Rows of pages that are read again are there twice.
            let has_shifted = doubled && number > furthest;
            furthest = furthest.max(number);
            match cursor.take(&page) {
                after if has_shifted || after == AfterPage::Shifted => {
                    rewinds += 1;
                    if number <= SHORT || rewinds > number {
                        return Ok(None);
                    }
                    gained += cursor.rewind(&page);
                }
                _ if cursor.exceeds() => return Ok(None),
                AfterPage::Next if walk.is_paged => {
                    page.check_next(number).map_err(|why| self.malformed(&call, &why))?;
                }
                AfterPage::Next | AfterPage::End | AfterPage::Shifted => {
                    // The next list shows rows that were created in front.
                    return Ok((seen.len() + gained >= cursor.rows).then_some(cursor));
                }
            }
        }
        Err(endless(walk.path))
    }

    /// The urgent call for the next page of a list. It always is this list's own page with the next number.
    ///
    /// # Errors
    /// If the path's ids would form another path.
    pub(super) fn next_page(
        &self,
        path: Endpoint<'_>,
        query: &[(&str, &str)],
        cursor: &Cursor,
    ) -> Result<ApiCall<'static>, Error> {
        let (_, number) = cursor.query();
        self.urgent(path, &[query, &[("page", number.as_str()), ("per_page", PER_PAGE)]].concat(), None)
    }

    /// Parses the rows of a page.
    ///
    /// # Errors
    /// If the page does not match the API's documentation.
    pub(super) fn page<R: DeserializeOwned>(
        &self,
        call: &ApiCall<'_>,
        body: &[u8],
        key: &str,
    ) -> Result<(Page, Vec<R>), Error> {
        let text = self.text(call, body)?;
        let mut rows = Vec::new();
        let page = pages::read(text, key, ListShape::List, None, |_, row| {
            rows.push(serde_json::from_str(row).map_err(|error| error.to_string())?);
            Ok(())
        });
        Ok((page.map_err(|why| self.malformed(call, &why))?, rows))
    }
}

/// The error for a list without an end.
pub(super) fn endless(path: &str) -> Error {
    Error::Malformed { doing: format!("GET {path}"), why: "the list has more pages than its total allows".into() }
}

/// The contents of a kind's lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Resources.
    pub(super) rows: usize,
    /// Pages, each of which took a call.
    pub(super) pages: usize,
}

/// One list to read.
struct Walk<'a> {
    path: &'static str,
    key: &'static str,
    id_field: &'static str,
    shape: ListShape,
    is_paged: bool,
    scope: &'static str,
    parent: Option<&'a str>,
    /// One more query parameter; empty for none.
    query: &'a str,
    priority: Priority,
}

impl Cursor {
    /// Returns true if every row was read. DigitalOcean does not document whether the total of droplets includes those
    /// that only another list shows, so all lists together may reach it: `listed`.
    fn is_whole(&self, listed: usize) -> bool {
        let [rows, listed] = [self.rows, listed].map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
        self.total.is_none_or(|total| rows == total || (rows < total && total <= listed))
    }
}
