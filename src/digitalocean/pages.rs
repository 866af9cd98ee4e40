//! Reads one page of a list in a single pass without copies: the rows stay text, and only their ids are parsed.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The contents of a page besides its rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// The number of its rows.
    pub(super) rows: usize,
    /// `meta.total`.
    pub(super) total: Option<u64>,
    /// `links.pages.next`. It may contain another host, such as that behind a gateway: only its page number is used.
    pub(super) next: Option<String>,
}

/// The form of a page's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListShape {
    /// As a list.
    List,
    /// As a map, whose keys repeat the ids.
    Map,
}

/// The position in a list whose pages are read in turn.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The number of rows read so far.
    pub(super) rows: usize,
    /// The total of the first page.
    pub(super) total: Option<u64>,
    /// The number of rows of each page read so far.
    sizes: Vec<usize>,
}

/// The next read after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterPage {
    /// The next page.
    Next,
    /// None: it was the last one.
    End,
    /// Earlier pages again: the list changed between two pages.
    Shifted,
}

impl Cursor {
    /// The number of pages read so far.
    pub(super) fn pages(&self) -> usize {
        self.sizes.len()
    }

    /// The number of the next page, and the query for it.
    pub(super) fn query(&self) -> (u32, String) {
        let number = u32::try_from(self.pages()).unwrap_or(u32::MAX).saturating_add(1);
        (number, number.to_string())
    }

    /// Advances by one page.
    pub(super) fn take(&mut self, page: &Page) -> AfterPage {
        if self.sizes.is_empty() {
            self.total = page.total;
        }
        self.rows += page.rows;
        self.sizes.push(page.rows);
        if page.total != self.total {
            AfterPage::Shifted
        } else if page.has_more(self.rows) {
            AfterPage::Next
        } else {
            AfterPage::End
        }
    }

    /// Goes back to an earlier page of a list that changed: rows that moved up from the latest page are there now. Returns
    /// the number of rows that the list gained.
    pub(super) fn rewind(&mut self, page: &Page) -> usize {
        let [before, after] = [self.total, page.total].map(|total| total.and_then(|total| usize::try_from(total).ok()));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let per_page = self.sizes.first().copied().unwrap_or_default().max(1);
        let back = 2 + before.abs_diff(after) / per_page;
        let dropped: usize = self.sizes.drain(self.pages().saturating_sub(back)..).sum();
        self.rows = self.rows.saturating_sub(dropped);
        self.total = page.total;
        after.saturating_sub(before)
    }

    /// Returns true if there are more rows than the list announces.
    pub(super) fn exceeds(&self) -> bool {
        self.total.is_some_and(|total| u64::try_from(self.rows).is_ok_and(|rows| rows > total))
    }
}

impl Page {
    /// Returns true if more pages follow, given the number of rows of this page and those before it.
    pub(super) fn has_more(&self, rows: usize) -> bool {
        self.rows > 0 && (self.next.is_some() || self.lacks(rows))
    }

    /// Checks that `links.pages.next` of the page with this number is the page after it.
    ///
    /// # Errors
    /// If it names another one.
    pub(super) fn check_next(&self, number: u32) -> Result<(), String> {
        let query = self.next.as_deref().and_then(|next| next.split_once('?')).map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or(query);
        let named = query.split('&').find_map(|pair| pair.strip_prefix("page="));
        let after = number.saturating_add(1);
        match named.map(str::parse::<u32>) {
            None => Ok(()),
            Some(Ok(named)) if named == after => Ok(()),
            Some(_) => Err(format!("links.pages.next of page {number} does not name page {after}")),
        }
    }

    /// Returns true if the number of rows is smaller than announced.
    pub(super) fn lacks(&self, rows: usize) -> bool {
        self.total.is_some_and(|total| u64::try_from(rows).is_ok_and(|rows| rows < total))
    }
}

/// Reads the page `text` and passes the id and the text of each row to `row`. The rows are the value of `key`, in this
/// shape, with their id under `id_field`; without `id_field`, the ids are empty.
///
/// # Errors
/// If the page does not match the API's documentation; rows may have been passed until then.
pub(super) fn read(
    text: &str,
    key: &str,
    shape: ListShape,
    id_field: Option<&str>,
    mut row: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<Page, String> {
    let mut page = Page::default();
    let mut found = FoundRows::Nothing;
    let mut has_meta = false;
    let mut broken = None;
    let mut take = |raw: &RawValue| {
        let text = raw.get();
        let id = match id_field {
            Some(field) => id_of(text, field).ok_or_else(|| format!("a row of {key:?} has no {field:?}")),
            None => Ok(Cow::default()),
        };
        let outcome = id.and_then(|id| row(&id, text));
        outcome.map_err(|why| broken = Some(why)).is_ok()
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let envelope = Envelope { key, shape, page: &mut page, found: &mut found, has_meta: &mut has_meta, row: &mut take };
    let outcome = envelope.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Some(why) = broken {
        return Err(why);
    }
    outcome.map_err(|error| error.to_string())?;
    match found {
        FoundRows::List => Ok(page),
        // Protobuf omits an empty list. An error page has no `meta`.
        FoundRows::Nothing if has_meta && page.total.unwrap_or(0) == 0 => Ok(page),
        FoundRows::Nothing => Err(format!("it has no {key:?}")),
    }
}

/// The text of the object under `key` in the object `text`.
///
/// # Errors
/// If `text` is not an object with an object under `key`.
pub(super) fn unwrap<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let found = under(text, key)?;
    if found.starts_with('{') { Ok(found) } else { Err(format!("{key:?} is not an object")) }
}

/// The text of the value under `key` in the object `text`.
///
/// # Errors
/// If `text` is not an object with that key.
pub(super) fn under<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    struct Of<'k>(&'k str);
    impl<'de> Visitor<'de> for Of<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<RowText<'de>>()? {
                if key.0 == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Of(key)).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    found.map(RawValue::get).ok_or_else(|| format!("it has no {key:?}"))
}

/// The id of the row `text`. Reads no further than the id.
pub(super) fn id_of<'a>(text: &'a str, id_field: &str) -> Option<Cow<'a, str>> {
    struct RowId<'a, 'k> {
        field: &'k str,
        found: &'k mut Option<&'a RawValue>,
    }
    impl<'de> Visitor<'de> for RowId<'de, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<RowText<'de>>()? {
                if key.0 == self.field {
                    *self.found = Some(map.next_value()?);
                    return Ok(());
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }
    let mut found = None;
    // An error after the id only means that reading stopped early; the row's text is known to be complete.
    let _ = serde_json::Deserializer::from_str(text).deserialize_map(RowId { field: id_field, found: &mut found });
    let raw = found?.get();
    if raw.starts_with('"') {
        let id: Cow<'a, str> = serde_json::from_str::<RowText<'a>>(raw).ok()?.0;
        return (!id.is_empty()).then_some(id);
    }
    raw.bytes().all(|byte| byte.is_ascii_digit()).then_some(Cow::Borrowed(raw))
}

/// A string, borrowed if it has no escapes.
#[derive(Deserialize)]
struct RowText<'a>(#[serde(borrow)] Cow<'a, str>);

enum FoundRows {
    Nothing,
    List,
}

/// The page's object.
struct Envelope<'p, F> {
    key: &'p str,
    shape: ListShape,
    page: &'p mut Page,
    found: &'p mut FoundRows,
    has_meta: &'p mut bool,
    row: &'p mut F,
}

impl<'de, F: FnMut(&RawValue) -> bool> DeserializeSeed<'de> for Envelope<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&RawValue) -> bool> Visitor<'de> for Envelope<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<RowText<'de>>()? {
            if key.0 == self.key {
                *self.found = map.next_value_seed(RowsVisitor {
                    shape: self.shape,
                    count: &mut self.page.rows,
                    row: &mut *self.row,
                })?;
            } else if key.0 == "meta" {
                let meta: Option<Meta> = map.next_value()?;
                *self.has_meta = meta.is_some();
                self.page.total = meta.and_then(|meta| meta.total);
            } else if key.0 == "links" {
                let links: Option<Links> = map.next_value()?;
                self.page.next = links.and_then(|links| links.pages).and_then(|pages| pages.next);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list or map of rows.
struct RowsVisitor<'p, F> {
    shape: ListShape,
    count: &'p mut usize,
    row: &'p mut F,
}

impl<'de, F: FnMut(&RawValue) -> bool> DeserializeSeed<'de> for RowsVisitor<'_, F> {
    type Value = FoundRows;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FoundRows, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&RawValue) -> bool> Visitor<'de> for RowsVisitor<'_, F> {
    type Value = FoundRows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shape {
            ListShape::List => "a list of rows",
            ListShape::Map => "a map of rows",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<FoundRows, E> {
        // Go's nil list.
        Ok(FoundRows::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rows: A) -> Result<FoundRows, A::Error> {
        if self.shape != ListShape::Map {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        while let Some((_, raw)) = rows.next_entry::<IgnoredAny, &'de RawValue>()? {
            *self.count += 1;
            if !(self.row)(raw) {
                return Err(de::Error::custom("a row was refused"));
            }
        }
        Ok(FoundRows::List)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<FoundRows, A::Error> {
        if self.shape != ListShape::List {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        while let Some(raw) = rows.next_element::<&'de RawValue>()? {
            *self.count += 1;
            if !(self.row)(raw) {
                return Err(de::Error::custom("a row was refused"));
            }
        }
        Ok(FoundRows::List)
    }
}

#[derive(Deserialize)]
struct Meta {
    total: Option<u64>,
}

#[derive(Deserialize)]
struct Links {
    pages: Option<Pages>,
}

#[derive(Deserialize)]
struct Pages {
    next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, id_field: &str) -> Result<(Page, Vec<(String, String)>), String> {
        let mut rows = Vec::new();
        let page = read(text, "droplets", ListShape::List, Some(id_field), |id, row| {
            rows.push((id.to_owned(), row.to_owned()));
            Ok(())
        })?;
        Ok((page, rows))
    }

    #[test]
    fn a_page_gives_its_rows_as_they_were_written() {
        let (page, rows) = rows(
            r#"{"droplets": [ {"id": 1, "name": "a"},{"name" : "\"id\"", "nested": {"id": 7}, "id":"x\u0079"} ],
                "links": {"pages": {"next": "https://api/v2/droplets?page=2", "last": "x"}}, "meta": {"total": 5}, "more": [1]}"#,
            "id",
        )
        .unwrap();
        assert_eq!(page, Page { rows: 2, total: Some(5), next: Some("https://api/v2/droplets?page=2".into()) });
        assert_eq!(rows[0], ("1".into(), r#"{"id": 1, "name": "a"}"#.into()));
        assert_eq!(rows[1].0, "xy");
    }

    #[test]
    fn empty_pages_in_all_their_spellings_are_empty() {
        for text in [
            r#"{"droplets": [], "links": {}, "meta": {"total": 0}}"#,
            r#"{"droplets": [], "links": {"pages": {}}}"#,
            r#"{"droplets": null}"#,
            r#"{"droplets": [], "links": null, "meta": null}"#,
            r#"{"links": {"pages": {}}, "meta": {}}"#,
        ] {
            let (page, rows) = rows(text, "id").unwrap();
            assert_eq!((page.rows, rows.len(), page.next), (0, 0, None), "{text}");
        }
    }

    #[test]
    fn what_is_not_such_a_page_is_an_error() {
        for text in [
            "",
            "null",
            "[]",
            "<html>",
            r#"{"id": "server_error", "message": "no"}"#,
            r#"{"meta": {"total": 3}}"#,
            r#"{"droplets": {"id": 1}}"#,
            r#"{"droplets": "none"}"#,
            r#"{"droplets": [1]}"#,
            r#"{"droplets": [{"name": "no id"}]}"#,
            r#"{"droplets": [{"id": null}]}"#,
            r#"{"droplets": [{"id": ""}]}"#,
            r#"{"droplets": [{"id": -1}]}"#,
            r#"{"droplets": [{"id": 1.5}]}"#,
            r#"{"droplets": [{"id": {"id": 1}}]}"#,
            r#"{"droplets": [{"id": 1}"#,
            r#"{"droplets": [{"id": 1}]"#,
            r#"{"droplets": [{"id": 1}]} trailing"#,
            r#"{"droplets": [], "meta": {"total": -1}}"#,
        ] {
            assert!(rows(text, "id").is_err(), "{text}");
        }
    }

    #[test]
    fn a_map_of_rows_is_read_only_where_one_is_documented() {
        let map = r#"{"policies": {"1": {"droplet_id": 1, "x": 2}, "7": {"droplet_id": 7}}, "meta": {"total": 2}}"#;
        let ids = |text: &str, shape| {
            let mut ids = Vec::new();
            let page = read(text, "policies", shape, Some("droplet_id"), |id, _| {
                ids.push(id.to_owned());
                Ok(())
            });
            page.map(|page| (page.rows, ids))
        };
        assert_eq!(ids(map, ListShape::Map), Ok((2, vec!["1".to_owned(), "7".to_owned()])));
        assert!(ids(map, ListShape::List).is_err());
        assert!(ids(r#"{"policies": [{"droplet_id": 1}]}"#, ListShape::Map).is_err());
        assert_eq!(ids(r#"{"policies": {}, "meta": {"total": 0}}"#, ListShape::Map), Ok((0, vec![])));
    }

    #[test]
    fn only_the_number_of_the_next_page_counts() {
        let after = |next: Option<&str>| Page { next: next.map(ToOwned::to_owned), ..Page::default() }.check_next(1);
        for next in [
            None,
            Some("https://elsewhere.invalid/v2/droplets?page=2&per_page=200"),
            Some("/v2/droplets?per_page=200&page=2#x"),
            Some("not an address"),
        ] {
            assert_eq!(after(next), Ok(()), "{next:?}");
        }
        for next in ["https://api.invalid/?page=3", "?page=1", "?page=", "?page=two"] {
            assert!(after(Some(next)).is_err(), "{next}");
        }
    }

    #[test]
    fn a_refusal_ends_the_page() {
        let mut seen = 0;
        let outcome = read(
            r#"{"droplets": [{"id": 1}, {"id": 2}, {"id": 3}]}"#,
            "droplets",
            ListShape::List,
            Some("id"),
            |id, _| {
                seen += 1;
                if id == "2" { Err("enough".into()) } else { Ok(()) }
            },
        );
        assert_eq!((outcome, seen), (Err("enough".into()), 2));
    }

    #[test]
    fn one_resource_is_unwrapped_as_it_was_written() {
        assert_eq!(unwrap(r#"{"x": 1, "droplet": { "id": 1 }, "y": []}"#, "droplet"), Ok(r#"{ "id": 1 }"#));
        for text in ["", "[]", "<html>", r#"{"message": "x"}"#, r#"{"droplet": null}"#, r#"{"droplet": {}"#] {
            assert!(unwrap(text, "droplet").is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn cut_pages_never_pass_for_whole_ones(cut in 0_usize..120) {
            let whole = r#"{"droplets": [{"id": 1, "name": "{\"id\": 2}"}, {"id": 2}], "links": {"pages": {}}, "meta": {"total": 2}}"#;
            let cut = cut.min(whole.len() - 1);
            proptest::prop_assert!(rows(&whole[..cut], "id").is_err());
        }
    }
}
