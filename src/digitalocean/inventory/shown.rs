//! All that responses showed of one live resource, and the document that they make together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::time::Instant;

use crate::digitalocean::Kind;
use crate::digitalocean::document::{Pattern, is_blank};
use crate::digitalocean::kinds::{FieldSet, Row};
use crate::digitalocean::merge::{complete, is_missing};
use crate::digitalocean::observed::{Document, Unread};

/// The reason for parts that were not read yet.
const NOT_READ_YET: &str = "no list shows it; it is read after one of the next lists";
/// The reason for parts that only lists show.
const ONLY_LISTED: &str = "only lists show it; the next list does";
/// The reason for parts that take turns.
const TOO_OLD: &str =
    "no list shows it, and it was read too long ago; such parts take turns, within the budget of calls";

/// What responses showed of one live resource.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    list: Option<Shot>,
    get: Part,
    /// By position in the kind's `reads`.
    readings: Vec<Part>,
    /// The fields that the list's row does not show in full.
    lacking: FieldSet,
    /// Those of them that a GET does not show either, while the row stays the same.
    settled: FieldSet,
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
}

/// The calls that a document needs besides the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// A GET of the resource.
    pub(super) get: bool,
    /// Positions in the kind's `reads`.
    pub(super) readings: Vec<usize>,
}

impl Shown {
    fn empty() -> Self {
        Self {
            list: None,
            get: Part::default(),
            readings: Vec::new(),
            lacking: FieldSet::default(),
            settled: FieldSet::default(),
            fields: FieldSet::default(),
            document: Document { is_confirmed: false, ..Document::whole("") },
            rests_on: None,
        }
    }

    /// After the row of a list. It confirms what was shown before, where it says the same.
    pub(super) fn listed(row: &Row, before: Option<&Self>, text: &str, at: Instant) -> Self {
        let mut shown = before.cloned().unwrap_or_else(Self::empty);
        let newest = shown.newest();
        let is_same = |shot: &Shot| *shot.text == *text;
        let is_confirmed = newest.is_some_and(|newest| {
            is_same(newest)
                || agree(row, &newest.text, text, shown.list.as_ref().is_none_or(|list| list.at < newest.at))
        });
        let text = [shown.list.as_ref(), shown.get.shot.as_ref()]
            .into_iter()
            .flatten()
            .find(|shot| is_same(shot))
            .map_or_else(|| Arc::from(text), |shot| Arc::clone(&shot.text));
        if !shown.list.as_ref().is_some_and(is_same) {
            shown.lacking = lacking(row, &text);
            shown.settled = FieldSet::default();
        }
        shown.list = Some(Shot { text, at });
        shown.document.is_confirmed = is_confirmed;
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
        self.get = Part { shot: Some(Shot { text, at }), error: None };
        self.document.is_confirmed = true;
    }

    /// A GET of the resource failed.
    pub(super) fn fail_get(&mut self, why: Arc<str>) {
        self.get.error = Some(why);
    }

    /// Takes the part over that a path of the kind's `reads` shows.
    pub(super) fn read(&mut self, reading: usize, outcome: Result<Arc<str>, Arc<str>>, at: Instant) {
        if self.readings.len() <= reading {
            self.readings.resize_with(reading + 1, Part::default);
        }
        let Some(part) = self.readings.get_mut(reading) else { return };
        match outcome {
            Ok(text) => *part = Part { shot: Some(Shot { text, at }), error: None },
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
        let is_due = match (&self.list, &self.get.shot) {
            (Some(list), Some(get)) => get.at < list.at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let readings = row.reads.iter().enumerate().filter(|(_, reading)| {
            let implied = reading.implies.as_ref().map(|_| "features");
            fields.has(FieldSet::fields(row, reading.into.keys().map(String::as_str).chain(implied)))
        });
        Wants {
            get: is_due && !self.unlisted(row, fields).is_empty(),
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
        let never = row.secret.iter().chain(&row.unreadable).map(String::as_str);
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

    /// Makes the document. Responses older than `oldest` are not used, but for the newest.
    pub(super) fn compose(&mut self, row: &Row, oldest: Option<Instant>) {
        let is_usable = |shot: &&Shot| oldest.is_none_or(|oldest| oldest <= shot.at);
        let Some(newest) = self.newest().cloned() else { return };
        let older = [self.list.as_ref(), self.get.shot.as_ref()]
            .into_iter()
            .flatten()
            .find(|shot| shot.at < newest.at)
            .filter(is_usable)
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
            self.merged(row, &newest, older, oldest)
        };
        if self.document.json != json {
            self.document.json = json;
        }
        if self.document.unread != unread {
            self.document.unread = unread;
        }
        self.rests_on = rests_on;
    }

    fn merged(
        &self,
        row: &Row,
        newest: &Shot,
        older: Option<&Shot>,
        oldest: Option<Instant>,
    ) -> (Arc<str>, Arc<[Unread]>, Option<Instant>) {
        let Ok(mut document) = serde_json::from_str::<Value>(&newest.text) else {
            // Parsing it says what is wrong.
            return (Arc::clone(&newest.text), Arc::default(), None);
        };
        let mut rests_on = Vec::new();
        let mut has_changed = false;
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
            if complete(&mut document, &other, &nested) {
                has_changed = true;
                rests_on.push(older.at);
            }
        }
        let is_usable = |shot: &&Shot| oldest.is_none_or(|oldest| oldest <= shot.at);
        let get = self.get.shot.as_ref().filter(is_usable);
        let mut unread = Vec::new();
        let is_absent = |document: &Value, pattern: &Pattern| is_missing(document, &pattern.segments());
        if get.is_none() {
            let unlisted = self.unlisted(row, self.fields).names(row).map(Pattern::from).collect::<Vec<_>>();
            let mut patterns: Vec<_> = row.only_get.iter().chain(&unlisted).collect();
            patterns.sort();
            patterns.dedup();
            let absent = patterns.into_iter().filter(|pattern| is_absent(&document, pattern));
            unread.extend(absent.map(|pattern| part_of(pattern.clone(), self.get.why())));
        }
        if self.list.as_ref().is_none_or(|list| !is_usable(&list)) {
            let absent = row.only_list.iter().filter(|pattern| is_absent(&document, pattern));
            unread.extend(absent.map(|pattern| part_of(pattern.clone(), ONLY_LISTED)));
        }
        let none = Part::default();
        for (position, reading) in row.reads.iter().enumerate() {
            let part = self.readings.get(position).unwrap_or(&none);
            let implied = reading.implies.as_ref();
            let Some(shot) = part.shot.as_ref().filter(is_usable) else {
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
            let shown: Value = serde_json::from_str(&shot.text).unwrap_or_default();
            let Some(entries) = document.as_object_mut() else { continue };
            let is_implied = implied.map(|implied| shown.get(&implied.key) == Some(&Value::Bool(true)));
            for (field, key) in &reading.into {
                let value = if key.is_empty() { Some(&shown) } else { shown.get(key) };
                // A policy can outlive what it is for.
                let value = value.filter(|_| is_implied != Some(false));
                entries.insert(field.clone(), value.cloned().unwrap_or_default());
            }
            if let Some(implied) = implied
                && is_implied == Some(true)
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
        if self.get.shot.as_ref().is_some_and(is_older) && self.unlisted(row, self.fields).is_empty() {
            self.get = Part::default();
        }
    }

    /// The document, without what is older than `oldest`.
    pub(super) fn document(&self, row: &Row, oldest: Option<Instant>) -> Document {
        let is_too_old = |(at, oldest): (Instant, Instant)| at < oldest;
        if self.rests_on.zip(oldest).is_some_and(is_too_old) {
            let mut shown = self.clone();
            shown.compose(row, oldest);
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
        match (&self.list, &self.get.shot) {
            (Some(list), Some(get)) => Some(if get.at >= list.at { get } else { list }),
            (list, get) => list.as_ref().or(get.as_ref()),
        }
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

/// Whether two responses say the same, but for what the cloud changes by itself; and where one of them is a GET, but for
/// what only one of them shows.
fn agree(row: &Row, one: &str, other: &str, is_get: bool) -> bool {
    let parse = |text| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (mut one, mut other) = (parse(one), parse(other));
    if is_get {
        let nested: Vec<_> = row.only_get.iter().chain(&row.only_list).cloned().collect();
        complete(&mut one, &other, &nested);
        complete(&mut other, &one, &nested);
    }
    for document in [&mut one, &mut other] {
        if let Some(entries) = document.as_object_mut() {
            entries.retain(|key, _| !row.volatile.contains(key));
        }
    }
    one == other
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
