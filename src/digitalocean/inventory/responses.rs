//! All that responses showed of one live resource, and the document that they make together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::time::Instant;

use super::confirmed::{Before, Evidence, correct};
use crate::digitalocean::Kind;
use crate::digitalocean::document::{Pattern, is_blank};
use crate::digitalocean::kinds::{FieldSet, Reading, Row};
use crate::digitalocean::merge::{complete, is_missing};
use crate::digitalocean::observed::{Document, Unread};

/// The reason for parts that were not read yet.
const NOT_READ_YET: &str = "no list shows it; it is read after one of the next lists";
/// The reason for parts that only lists show.
const ONLY_LISTED: &str = "only lists show it; the next list does";
/// The reason for parts that only one list shows so far.
const LISTED_ONCE: &str = "only lists show it, and one list alone may lag behind; the next list confirms it";
/// The reason for parts that take turns.
const TOO_OLD: &str =
    "no list shows it, and it was read too long ago; such parts take turns, within the budget of calls";

/// A row that a GET contradicts is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_mins(10);

/// What responses showed of one live resource.
#[derive(Clone, Debug)]
pub(super) struct Responses {
    list: Option<Shot>,
    get: Part,
    /// By position in the kind's `reads`.
    readings: Vec<Part>,
    /// The fields that the list's row does not show in full.
    lacking: FieldSet,
    /// Those of them that a GET does not show either, while the row stays the same.
    settled: FieldSet,
    /// The evidence of other responses for the list's row.
    standing: Evidence,
    /// The recorded fields.
    fields: FieldSet,
    document: Document,
    /// The time of the oldest response that the document rests on besides its newest.
    rests_on: Option<Instant>,
}

/// One response.
#[derive(Clone, Debug)]
struct Shot {
    text: Arc<str>,
    /// The time before it was requested.
    at: Instant,
}

/// The last good response of one path, and why the last attempt failed.
#[derive(Clone, Debug, Default)]
struct Part {
    shot: Option<Shot>,
    error: Option<Arc<str>>,
    /// Whether it was asked for by itself, or a second list of parts said the same.
    is_confirmed: bool,
}

/// The path of a part's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// That of one resource.
    Own,
    /// A list of the parts of all resources.
    List,
}

/// Which responses are used; all by default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    /// The oldest rows and GETs, but for the newest of them.
    pub(super) responses_since: Option<Instant>,
    /// The oldest parts that other paths show.
    pub(super) parts_since: Option<Instant>,
    /// Whether what only one list shows so far is unknown.
    pub(super) only_confirmed: bool,
}

/// The calls that a document needs besides the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// A GET of the resource.
    pub(super) get: bool,
    /// Positions in the kind's `reads`.
    pub(super) readings: Vec<usize>,
}

impl Responses {
    fn empty() -> Self {
        Self {
            list: None,
            get: Part::default(),
            readings: Vec::new(),
            lacking: FieldSet::default(),
            settled: FieldSet::default(),
            standing: Evidence::default(),
            fields: FieldSet::default(),
            document: Document { is_confirmed: false, ..Document::whole("") },
            rests_on: None,
        }
    }

    /// After the row of a list. It confirms what was shown before, where it says the same.
    pub(super) fn listed(row: &Row, before: Option<&Self>, text: &str, at: Instant) -> Self {
        let mut shown = before.cloned().unwrap_or_else(Self::empty);
        let is_same = |shot: &Shot| *shot.text == *text;
        if shown.list.as_ref().is_some_and(is_same) {
            shown.standing = shown.standing.of_same_row();
        } else {
            let is_get_newer = shown.is_get_newer();
            let get = shown.get.shot.as_ref();
            let before = Before {
                row: shown.list.as_ref().map(|list| &*list.text),
                get: get.filter(|_| is_get_newer || !shown.standing.contradicted.is_empty()).map(|get| &*get.text),
                is_get_newer,
                standing: shown.standing,
            };
            shown.standing = Evidence::of_row(row, before, text);
            shown.lacking = lacking(row, text);
            shown.settled = FieldSet::default();
        }
        let known = [shown.list.as_ref(), shown.get.shot.as_ref()].into_iter().flatten().find(|shot| is_same(shot));
        let text = known.map_or_else(|| Arc::from(text), |shot| Arc::clone(&shot.text));
        shown.list = Some(Shot { text, at });
        shown
    }

    /// After a list whose row is the same as in the list before.
    pub(super) fn listed_again(&self, row: &Row, at: Instant) -> Self {
        let text = self.list.as_ref().map_or("", |list| &*list.text);
        Self::listed(row, Some(self), text, at)
    }

    /// After a GET of the resource.
    pub(super) fn got(row: &Row, before: Option<&Self>, text: Arc<str>, at: Instant) -> Self {
        let mut shown = before.cloned().unwrap_or_else(Self::empty);
        shown.take_get(row, text, at);
        shown
    }

    /// Takes a GET of the resource over.
    pub(super) fn take_get(&mut self, row: &Row, text: Arc<str>, at: Instant) {
        let only_get = FieldSet::fields(row, row.only_get.iter().map(Pattern::root));
        self.settled = self.lacking.both(lacking(row, &text)).without(only_get);
        let text = self.list.as_ref().filter(|list| list.text == text).map_or(text, |list| Arc::clone(&list.text));
        self.standing = self.standing.of_get(row, self.list.as_ref().map(|list| &*list.text), &text);
        self.get = Part { shot: Some(Shot { text, at }), error: None, is_confirmed: true };
    }

    /// A GET of the resource failed.
    pub(super) fn fail_get(&mut self, why: Arc<str>) {
        self.get.error = Some(why);
    }

    /// Takes the part over that a path of the kind's `reads` shows.
    pub(super) fn read(
        &mut self,
        row: &Row,
        position: usize,
        path: Path,
        outcome: Result<Arc<str>, Arc<str>>,
        at: Instant,
    ) {
        if self.readings.len() <= position {
            self.readings.resize_with(position + 1, Part::default);
        }
        let Some((part, reading)) = self.readings.get_mut(position).zip(row.reads.get(position)) else { return };
        match outcome {
            Ok(text) => {
                let before = part.shot.as_ref();
                let is_same =
                    || before.is_some_and(|before| shown_by(reading, &before.text) == shown_by(reading, &text));
                let is_confirmed = path == Path::Own || is_same();
                *part = Part { shot: Some(Shot { text, at }), error: None, is_confirmed };
            }
            Err(why) => part.error = Some(why),
        }
    }

    /// Sets which fields are recorded, and which scopes the token is known to have.
    pub(super) fn expect(&mut self, fields: FieldSet, scopes: Arc<[&'static str]>) {
        self.fields = fields;
        self.document.scopes = scopes;
    }

    /// The calls that the recorded fields need besides the lists.
    pub(super) fn wants(&self, row: &Row, fields: FieldSet) -> Wants {
        let is_due = self.list.is_some() && !self.is_get_newer();
        let age = self.list.as_ref().zip(self.get.shot.as_ref()).map(|(list, get)| list.at.duration_since(get.at));
        let is_to_ask_again = self.standing.contradicted.has(fields) && age.is_some_and(|age| age >= ASK_AGAIN);
        let readings = row.reads.iter().enumerate().filter(|(_, reading)| {
            let implied = reading.implies.as_ref().map(|_| "features");
            fields.has(FieldSet::fields(row, reading.into.keys().map(String::as_str).chain(implied)))
        });
        Wants {
            get: is_due && (is_to_ask_again || !self.unlisted(row, fields).is_empty()),
            readings: readings.map(|(position, _)| position).collect(),
        }
    }

    /// The recorded fields that only a GET can show.
    fn unlisted(&self, row: &Row, fields: FieldSet) -> FieldSet {
        let unlisted = self.lacking.both(fields).without(self.settled);
        if unlisted.is_empty() {
            return unlisted;
        }
        let gated = row.gated.keys().filter(|pattern| pattern.segments().len() == 1).map(Pattern::root);
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys()).map(String::as_str);
        let unreadable = row.unreadable.iter().filter(|pattern| pattern.len() == 1).map(Pattern::root);
        let never = row.secret.iter().map(String::as_str).chain(unreadable);
        let elsewhere = gated.chain(parts).chain(never).chain(row.only_list.iter().map(Pattern::root));
        // What the token may not see, a GET does not show either.
        unlisted.without(FieldSet::fields(row, elsewhere))
    }

    /// When its extra calls were made last: the order in which they take turns.
    pub(super) fn turn(&self, wants: &Wants) -> Option<Instant> {
        let readings = wants.readings.iter().map(|reading| self.readings.get(*reading)?.shot.as_ref());
        let get = wants.get.then_some(self.get.shot.as_ref());
        readings.chain(get).map(|shot| shot.map(|shot| shot.at)).min().flatten()
    }

    /// Makes the document.
    pub(super) fn compose(&mut self, row: &Row, used: Use) {
        let Some(newest) = self.newest().cloned() else { return };
        let older = [self.list.as_ref(), self.get.shot.as_ref()]
            .into_iter()
            .flatten()
            .find(|shot| shot.at < newest.at)
            .filter(|shot| used.takes_response(shot))
            .filter(|shot| shot.text != newest.text);
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys()).map(String::as_str);
        let special = row.only_get.iter().chain(&row.only_list).map(Pattern::root);
        let special = FieldSet::fields(row, special.chain(parts));
        let is_plain = older.is_none()
            && self.readings.is_empty()
            && !self.fields.has(special.union(self.unlisted(row, self.fields)));
        let (json, unread, rests_on) = if is_plain {
            (Arc::clone(&newest.text), UNREAD_IF_PLAIN.get(row.name.as_str()).cloned().unwrap_or_default(), None)
        } else {
            self.merged(row, &newest, older, used)
        };
        if self.document.json != json {
            self.document.json = json;
        }
        if self.document.unread != unread {
            self.document.unread = unread;
        }
        self.rests_on = rests_on;
        self.document.is_confirmed = !self.unconfirmed(row, used).has(self.fields);
        let is_read = |position: &usize| {
            let part = self.readings.get(*position).and_then(|part| part.shot.as_ref());
            part.is_some_and(|shot| used.takes_part(shot))
        };
        self.document.is_partial = used.only_confirmed && !self.wants(row, self.fields).readings.iter().all(is_read);
    }

    /// The fields that only one list shows so far.
    fn unconfirmed(&self, row: &Row, used: Use) -> FieldSet {
        let has_get = self.get.shot.as_ref().is_some_and(|get| used.takes_response(get));
        let contradicted = if has_get { FieldSet::default() } else { self.standing.contradicted };
        let parts = row.reads.iter().zip(&self.readings).filter(|(_, part)| !part.is_confirmed && part.shot.is_some());
        parts.fold(self.standing.unconfirmed.union(contradicted), |all, (reading, _)| {
            let implied = reading.implies.as_ref().map(|_| "features");
            all.union(FieldSet::fields(row, reading.into.keys().map(String::as_str).chain(implied)))
        })
    }

    fn merged(
        &self,
        row: &Row,
        newest: &Shot,
        older: Option<&Shot>,
        used: Use,
    ) -> (Arc<str>, Arc<[Unread]>, Option<Instant>) {
        let Ok(mut document) = serde_json::from_str::<Value>(&newest.text) else {
            // Parsing it says what is wrong.
            return (Arc::clone(&newest.text), Arc::default(), None);
        };
        let mut rests_on = Vec::new();
        let mut has_changed = false;
        let mut unread = Vec::new();
        let get = self.get.shot.as_ref().filter(|get| used.takes_response(get));
        if let Some(get) = get.filter(|_| !self.is_get_newer() && self.standing.contradicted.has(self.fields)) {
            let got: Value = serde_json::from_str(&get.text).unwrap_or_default();
            has_changed |= correct(row, &mut document, &got, self.standing.contradicted);
            rests_on.push(get.at);
        }
        if let Some(older) = older {
            let nested: Vec<_> = row.only_get.iter().chain(&row.only_list).cloned().collect();
            let mut other: Value = serde_json::from_str(&older.text).unwrap_or_default();
            // A key that depends on a scope may be absent because the token lost the scope since.
            let gates = row.gated.keys().filter(|gate| gate.len() == 1 && !row.only_list.contains(gate));
            if let Some(entries) = other.as_object_mut() {
                gates.for_each(|gate| {
                    entries.remove(gate.root());
                });
            }
            if used.only_confirmed
                && let (Value::Object(entries), Value::Object(shown)) = (&mut other, &document)
            {
                entries.retain(|key, _| {
                    let unconfirmed = self.standing.unconfirmed.both(self.fields);
                    let is_unconfirmed =
                        !shown.contains_key(key) && unconfirmed.has(FieldSet::field_or_other(row, key));
                    if is_unconfirmed {
                        unread.push(part_of(key.as_str(), LISTED_ONCE));
                    }
                    !is_unconfirmed
                });
            }
            if complete(&mut document, &other, &nested) {
                has_changed = true;
                rests_on.push(older.at);
            }
        }
        let is_absent = |document: &Value, pattern: &Pattern| is_missing(document, &pattern.segments());
        if get.is_none() {
            let unlisted = self.unlisted(row, self.fields).names(row).map(Pattern::from).collect::<Vec<_>>();
            let mut patterns: Vec<_> = row.only_get.iter().chain(&unlisted).collect();
            patterns.sort();
            patterns.dedup();
            let absent = patterns.into_iter().filter(|pattern| is_absent(&document, pattern));
            unread.extend(absent.map(|pattern| part_of(pattern.clone(), self.get.why())));
        }
        if self.list.as_ref().is_none_or(|list| !used.takes_response(list)) {
            let absent = row.only_list.iter().filter(|pattern| is_absent(&document, pattern));
            unread.extend(absent.map(|pattern| part_of(pattern.clone(), ONLY_LISTED)));
        }
        let none = Part::default();
        for (position, reading) in row.reads.iter().enumerate() {
            let part = self.readings.get(position).unwrap_or(&none);
            let implied = reading.implies.as_ref();
            let Some(shot) = part.shot.as_ref().filter(|shot| used.takes_part(shot)) else {
                for field in reading.into.keys() {
                    // The document may show it all the same.
                    if document.get(field).is_none_or(is_blank) {
                        if let Some(entries) = document.as_object_mut() {
                            has_changed |= entries.remove(field).is_some();
                        }
                        unread.push(part_of(field.as_str(), part.why()));
                    }
                }
                continue;
            };
            let (values, is_implied) = shown_by(reading, &shot.text);
            let Some(entries) = document.as_object_mut() else { continue };
            entries.extend(values.into_iter().map(|(field, value)| (field.to_owned(), value)));
            if let Some(implied) = implied
                && is_implied
                && !has_feature(&document, &implied.feature)
                && let Some(Value::Array(features)) = document.get_mut("features")
            {
                features.push(implied.feature.as_str().into());
            }
            has_changed = true;
            rests_on.push(shot.at);
        }
        let json = if has_changed { document.to_string().into() } else { Arc::clone(&newest.text) };
        (json, unread.into(), rests_on.into_iter().min())
    }

    /// Drops a GET that shows nothing more than the list after it.
    pub(super) fn tidy(&mut self, row: &Row) {
        let is_older = |get: &Shot| self.list.as_ref().is_some_and(|list| get.at < list.at);
        let is_needed = self.standing.contradicted.has(self.fields) || !self.unlisted(row, self.fields).is_empty();
        if self.get.shot.as_ref().is_some_and(is_older) && !is_needed {
            self.get = Part::default();
            self.standing.contradicted = FieldSet::default();
        }
    }

    /// The document, of the responses that are used.
    pub(super) fn document(&self, row: &Row, used: Use) -> Document {
        let since = used.responses_since.max(used.parts_since);
        let is_too_old = self.rests_on.zip(since).is_some_and(|(at, since)| at < since);
        if is_too_old || used.only_confirmed {
            let mut shown = self.clone();
            shown.compose(row, used);
            return shown.document;
        }
        self.document.clone()
    }

    /// Whether recorded fields need calls that were never made.
    pub(super) fn is_incomplete(&self, row: &Row) -> bool {
        let Wants { readings, .. } = self.wants(row, self.fields);
        let is_new = |part: Option<&Part>| part.is_none_or(|part| part.shot.is_none() && part.error.is_none());
        let needs_get = self.list.is_some() && !self.unlisted(row, self.fields).is_empty();
        (needs_get && is_new(Some(&self.get))) || readings.iter().any(|reading| is_new(self.readings.get(*reading)))
    }

    pub(super) fn scopes(&self) -> &Arc<[&'static str]> {
        &self.document.scopes
    }

    /// The recorded fields.
    pub(super) fn fields(&self) -> FieldSet {
        self.fields
    }

    pub(super) fn rests_on(&self) -> Option<Instant> {
        self.rests_on
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.document.is_confirmed
    }

    /// Whether a list showed this text last.
    pub(super) fn was_listed_as(&self, text: &str) -> bool {
        self.list.as_ref().is_some_and(|list| *list.text == *text)
    }

    /// Whether the documents differ in nothing that can change a verdict.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let paths = |shown: &Self| shown.document.unread.iter().map(|unread| unread.path.clone()).collect::<Vec<_>>();
        self.document.json == other.document.json
            && self.document.scopes == other.document.scopes
            && paths(self) == paths(other)
    }

    fn newest(&self) -> Option<&Shot> {
        let get = self.get.shot.as_ref().filter(|_| self.is_get_newer());
        get.or(self.list.as_ref())
    }

    /// Whether the last GET is newer than the last list.
    fn is_get_newer(&self) -> bool {
        let get = self.get.shot.as_ref();
        get.is_some_and(|get| self.list.as_ref().is_none_or(|list| get.at >= list.at))
    }
}

impl Use {
    /// All responses since a time.
    pub(super) fn since(oldest: Option<Instant>) -> Self {
        Self { responses_since: oldest, parts_since: oldest, only_confirmed: false }
    }

    fn takes_response(self, shot: &Shot) -> bool {
        self.responses_since.is_none_or(|oldest| oldest <= shot.at)
    }

    fn takes_part(self, shot: &Shot) -> bool {
        self.parts_since.is_none_or(|oldest| oldest <= shot.at)
    }
}

impl Part {
    fn why(&self) -> Arc<str> {
        match (&self.error, &self.shot) {
            (Some(error), _) => Arc::clone(error),
            (None, Some(_)) => TOO_OLD.into(),
            (None, None) => NOT_READ_YET.into(),
        }
    }
}

/// By kind, the parts that a list's row alone does not show.
static UNREAD_IF_PLAIN: LazyLock<HashMap<&str, Arc<[Unread]>>> = LazyLock::new(|| {
    let all = Kind::all().map(Kind::row);
    all.map(|row| {
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys());
        let names = parts.map(|name| Pattern::from(name.as_str()));
        let unread = row.only_get.iter().cloned().chain(names).map(|path| part_of(path, NOT_READ_YET));
        (row.name.as_str(), unread.collect())
    })
    .collect()
});

fn part_of(path: impl Into<Pattern>, why: impl Into<Arc<str>>) -> Unread {
    Unread { path: path.into(), why: why.into() }
}

fn has_feature(document: &Value, feature: &str) -> bool {
    let features = document.get("features").and_then(Value::as_array);
    features.is_some_and(|features| features.iter().any(|one| one == feature))
}

/// The document's fields that a part shows, and whether it implies its item of `features`.
fn shown_by<'r>(reading: &'r Reading, text: &str) -> (BTreeMap<&'r str, Value>, bool) {
    let shown: Value = serde_json::from_str(text).unwrap_or_default();
    let is_implied = reading.implies.as_ref().map(|implied| shown.get(&implied.key) == Some(&Value::Bool(true)));
    let values = reading.into.iter().map(|(field, key)| {
        let value = if key.is_empty() { Some(&shown) } else { shown.get(key) };
        // A policy can outlive what it is for.
        let value = value.filter(|_| is_implied != Some(false));
        (field.as_str(), value.cloned().unwrap_or_default())
    });
    (values.collect(), is_implied == Some(true))
}

/// The fields that a response does not show in full.
fn lacking(row: &Row, text: &str) -> FieldSet {
    #[derive(Deserialize)]
    #[serde(transparent)]
    #[expect(clippy::zero_sized_map_values, reason = "the values have to be skipped")]
    struct Keys(BTreeMap<String, IgnoredAny>);
    let Ok(Keys(keys)) = serde_json::from_str(text) else { return FieldSet::default() };
    let absent = row.fields.iter().map(String::as_str).filter(|field| !keys.contains_key(*field));
    let absent = FieldSet::fields(row, absent);
    let nested = row.only_get.iter().chain(&row.only_list).filter(|pattern| pattern.segments().len() > 1);
    let mut document = None;
    let nested = nested.filter(|pattern| {
        let document: &Value = document.get_or_insert_with(|| serde_json::from_str(text).unwrap_or_default());
        is_missing(document, &pattern.segments())
    });
    absent.union(FieldSet::fields(row, nested.map(Pattern::root)))
}
