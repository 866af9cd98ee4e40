//! All responses about one live resource, and the document that they form together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    confirmed::{EarlierResponses, Evidence, correct, shown_fields},
    text::{Examples, PackedText},
};
use crate::digitalocean::{
    Kind,
    document::{Pattern, is_empty_value},
    kinds::{FieldSet, KindDefinition, PartSource},
    merge::{complete, is_missing},
    observed::{Document, UnreadPart},
};

/// The reason for parts that were not read yet.
const NOT_READ_YET: &str = "no list shows it; it is read after one of the next lists";
/// The reason for parts that only lists show.
const ONLY_LISTED: &str = "only lists show it; the next list does";
/// The reason for parts that only one list shows so far.
const LISTED_ONCE: &str = "only lists show it, and one list alone may lag behind; the next list confirms it";
/// The reason for parts that take turns.
const TOO_OLD: &str =
    "no list shows it, and it was read too long ago; such parts take turns, within the budget of calls";

/// The pauses before a resource is read again whose row a GET contradicts. The row may lag; or the live value changed
/// back before any list showed another one, such as after a revert. The pause doubles from the first to the second.
const READ_AGAIN: [Duration; 2] = [Duration::from_secs(10), Duration::from_mins(10)];

/// The responses about one live resource.
#[derive(Clone, Debug)]
pub(super) struct Responses {
    list: Option<Shot>,
    /// The fields that the list's row does not show completely.
    lacking: FieldSet,
    /// The evidence of other responses for the list's row.
    standing: Evidence,
    /// The recorded fields.
    fields: FieldSet,
    /// The scopes that the token is known to have.
    scopes: Arc<[&'static str]>,
    /// Parts of the document that no response shows.
    unread: Arc<[UnreadPart]>,
    is_confirmed: bool,
    is_partial: bool,
    /// True if the list's row is valid JSON.
    is_row_valid: bool,
    /// None for most resources.
    more: Option<Box<More>>,
}

/// The responses besides the lists, and what comes of them.
#[derive(Clone, Debug, Default)]
struct More {
    get: DocumentPart,
    /// By position in the kind's `reads`.
    readings: Vec<DocumentPart>,
    /// The fields that the list's row does not show completely, and a GET does not show either, while the row is
    /// unchanged.
    settled: FieldSet,
    /// The time of the first GET that contradicted the list's row, if the last one does.
    contradicted_since: Option<Instant>,
    /// The text of the document; none if it is the text of the newest response.
    merged: Option<PackedText>,
    /// The time of the oldest response that the document depends on besides its newest.
    rests_on: Option<Instant>,
}

impl More {
    fn has_responses(&self) -> bool {
        self.get.shot.is_some() || self.get.error.is_some() || !self.readings.is_empty()
    }
}

/// Nothing besides the lists.
static NOTHING_MORE: More = More {
    get: NEVER_READ_PART,
    readings: Vec::new(),
    settled: FieldSet::NONE,
    contradicted_since: None,
    merged: None,
    rests_on: None,
};

#[derive(Clone, Debug)]
struct Shot {
    text: PackedText,
    /// The time before it was requested.
    at: Instant,
}

/// The last good response of one path, and the error of the last attempt.
#[derive(Clone, Debug, Default)]
struct DocumentPart {
    shot: Option<Shot>,
    error: Option<Arc<str>>,
    /// True if it was requested singly, or a second list of parts agreed.
    is_confirmed: bool,
}

const NEVER_READ_PART: DocumentPart = DocumentPart { shot: None, error: None, is_confirmed: false };
/// A part that was never read.
static NEVER_READ: DocumentPart = NEVER_READ_PART;

/// The path of a part's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseSource {
    /// The path of one resource.
    Own,
    /// A list of the parts of all resources.
    List,
}

/// The responses to use; all by default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    /// The oldest allowed rows and GETs, except the newest of them.
    pub(super) responses_since: Option<Instant>,
    /// The oldest allowed parts from other paths.
    pub(super) parts_since: Option<Instant>,
    /// True if values that only one list shows are unknown.
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
            lacking: FieldSet::default(),
            standing: Evidence::default(),
            fields: FieldSet::default(),
            scopes: Arc::default(),
            unread: Arc::default(),
            is_confirmed: false,
            is_partial: false,
            is_row_valid: false,
            more: None,
        }
    }

    /// The responses besides the lists.
    fn more(&self) -> &More {
        self.more.as_deref().unwrap_or(&NOTHING_MORE)
    }

    fn more_mut(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// After the row of a list. It confirms earlier values that are equal.
    pub(super) fn listed(row: &KindDefinition, before: Option<&Self>, listed: ListedText, at: Instant) -> Self {
        let ListedText { text, shown: fields, lacking, is_valid } = listed;
        let mut shown = before.cloned().unwrap_or_else(Self::empty);
        if shown.list.as_ref().is_some_and(|list| list.text == text) {
            return shown.seen_again(at);
        }
        let is_get_newer = shown.is_get_newer();
        let get = shown.more().get.shot.as_ref();
        let counts = is_get_newer || !shown.standing.contradicted.is_empty();
        let [listed, got] = [shown.list.as_ref(), get.filter(|_| counts)].map(|shot| shot.map(|it| it.text.unpack()));
        let before =
            EarlierResponses { row: listed.as_deref(), get: got.as_deref(), is_get_newer, standing: shown.standing };
        let standing = if before.row.is_none() && before.get.is_none() {
            Evidence::of_first_row(fields)
        } else {
            Evidence::of_row(row, before, &text.unpack())
        };
        let text = get.filter(|get| get.text == text).map_or(text, |get| get.text.clone());
        shown.standing = standing;
        shown.lacking = lacking;
        shown.is_row_valid = is_valid;
        if let Some(more) = &mut shown.more {
            more.settled = FieldSet::default();
        }
        shown.list = Some(Shot { text, at });
        shown
    }

    /// After a list with the same row as the previous one.
    pub(super) fn listed_again(&self, at: Instant) -> Self {
        self.clone().seen_again(at)
    }

    fn seen_again(mut self, at: Instant) -> Self {
        self.standing = self.standing.of_same_row();
        self.set_listed_at(at);
        self
    }

    /// Whether a list that shows the same row again does nothing but confirm it, where these fields are recorded and need
    /// nothing besides the lists.
    pub(super) fn is_settled(&self, row: &KindDefinition, fields: FieldSet) -> bool {
        !self.more().has_responses()
            && self.standing.contradicted.is_empty()
            && self.fields == fields
            && self.unlisted(row, fields).is_empty()
    }

    /// After a list with the same row, of a resource that [`Self::is_settled`].
    pub(super) fn confirm(&mut self, at: Instant) {
        self.standing = Evidence::default();
        self.is_confirmed = true;
        self.set_listed_at(at);
    }

    /// Sets the time of the last list.
    fn set_listed_at(&mut self, at: Instant) {
        if let Some(list) = &mut self.list {
            list.at = at;
        }
    }

    /// After a GET of the resource.
    pub(super) fn got(row: &KindDefinition, before: Option<&Self>, text: &str, at: Instant) -> Self {
        let mut shown = before.cloned().unwrap_or_else(Self::empty);
        shown.take_get(row, text, at);
        shown
    }

    /// Applies a GET of the resource.
    pub(super) fn take_get(&mut self, row: &KindDefinition, text: &str, at: Instant) {
        let only_get = FieldSet::fields(row, row.only_get.iter().map(Pattern::root));
        let settled = self.lacking.both(lacking(row, text)).without(only_get);
        let listed = self.list.as_ref().map(|list| list.text.unpack());
        self.standing = self.standing.of_get(row, listed.as_deref(), text);
        let same = self.list.as_ref().filter(|_| listed.as_deref() == Some(text));
        let text = same.map_or_else(|| self.pack(text), |list| list.text.clone());
        let is_contradicted = !self.standing.contradicted.is_empty();
        let more = self.more_mut();
        more.contradicted_since = is_contradicted.then(|| more.contradicted_since.unwrap_or(at));
        more.settled = settled;
        more.get = DocumentPart { shot: Some(Shot { text, at }), error: None, is_confirmed: true };
    }

    /// Packs a text like the list's row.
    fn pack(&self, text: &str) -> PackedText {
        self.list.as_ref().map_or_else(|| PackedText::alone(text), |list| list.text.like(text))
    }

    fn get(&self) -> &DocumentPart {
        &self.more().get
    }

    /// A GET of the resource failed.
    pub(super) fn fail_get(&mut self, why: Arc<str>) {
        self.more_mut().get.error = Some(why);
    }

    /// Applies the part from a path of the kind's `reads`.
    pub(super) fn read(
        &mut self,
        row: &KindDefinition,
        position: usize,
        path: ResponseSource,
        outcome: Result<Arc<str>, Arc<str>>,
        at: Instant,
    ) {
        let readings = &mut self.more_mut().readings;
        if readings.len() <= position {
            readings.resize_with(position + 1, DocumentPart::default);
        }
        let Some((part, reading)) = readings.get_mut(position).zip(row.reads.get(position)) else { return };
        match outcome {
            Ok(text) => {
                let before = part.shot.as_ref();
                let is_same = |before: &Shot| shown_by(reading, &before.text.unpack()) == shown_by(reading, &text);
                let is_confirmed = path == ResponseSource::Own || before.is_some_and(is_same);
                *part =
                    DocumentPart { shot: Some(Shot { text: PackedText::alone(&text), at }), error: None, is_confirmed };
            }
            Err(why) => part.error = Some(why),
        }
    }

    /// Sets the recorded fields, and the scopes that the token is known to have.
    pub(super) fn expect(&mut self, fields: FieldSet, scopes: Arc<[&'static str]>) {
        self.fields = fields;
        self.scopes = scopes;
    }

    /// The calls that the recorded fields need besides the lists.
    pub(super) fn wants(&self, row: &KindDefinition, fields: FieldSet) -> Wants {
        let is_due = self.list.is_some() && !self.is_get_newer();
        let is_to_read_again = self.standing.contradicted.has(fields) && self.is_contradicted_for_long();
        let readings = row.reads.iter().enumerate().filter(|(_, reading)| reading.is_for(row, fields));
        Wants {
            get: is_due && (is_to_read_again || !self.unlisted(row, fields).is_empty()),
            readings: readings.map(|(position, _)| position).collect(),
        }
    }

    /// Whether the last GET is old enough to be repeated, if it contradicts the list's row.
    fn is_contradicted_for_long(&self) -> bool {
        let Some((list, get)) = self.list.as_ref().zip(self.get().shot.as_ref()) else { return false };
        let [first, longest] = READ_AGAIN;
        let lasted = self.more().contradicted_since.map_or(Duration::ZERO, |since| get.at.duration_since(since));
        list.at.duration_since(get.at) >= lasted.clamp(first, longest)
    }

    /// The recorded fields that only a GET can show.
    fn unlisted(&self, row: &KindDefinition, fields: FieldSet) -> FieldSet {
        let unlisted = self.lacking.both(fields).without(self.more().settled);
        if unlisted.is_empty() {
            return unlisted;
        }
        let gated = row.gated.keys().filter(|pattern| pattern.segments().len() == 1).map(Pattern::root);
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys()).map(String::as_str);
        let unreadable = row.unreadable.iter().filter(|pattern| pattern.len() == 1).map(Pattern::root);
        let never = row.secret.iter().map(String::as_str).chain(unreadable);
        let elsewhere = gated.chain(parts).chain(never).chain(row.only_list.iter().map(Pattern::root));
        // A GET does not show fields either that the token cannot read.
        unlisted.without(FieldSet::fields(row, elsewhere))
    }

    /// The time of its last extra calls, which determines the order of turns.
    pub(super) fn turn(&self, wants: &Wants) -> Option<Instant> {
        let readings = wants.readings.iter().map(|reading| self.more().readings.get(*reading)?.shot.as_ref());
        let get = wants.get.then_some(self.get().shot.as_ref());
        readings.chain(get).map(|shot| shot.map(|shot| shot.at)).min().flatten()
    }

    /// Composes the document.
    pub(super) fn compose(&mut self, row: &KindDefinition, used: Use) {
        let Some(newest) = self.newest().cloned() else { return };
        let older = [self.list.as_ref(), self.get().shot.as_ref()]
            .into_iter()
            .flatten()
            .find(|shot| shot.at < newest.at)
            .filter(|shot| used.takes_response(shot))
            .filter(|shot| shot.text != newest.text);
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys()).map(String::as_str);
        let special = row.only_get.iter().chain(&row.only_list).map(Pattern::root);
        let special = FieldSet::fields(row, special.chain(parts));
        let is_plain = older.is_none()
            && self.more().readings.is_empty()
            && !self.fields.has(special.union(self.unlisted(row, self.fields)));
        let (merged, unread, rests_on) = if is_plain {
            (None, UNREAD_IF_PLAIN.get(row.name.as_str()).cloned().unwrap_or_default(), None)
        } else {
            self.merged(row, &newest, older, used)
        };
        if self.more.is_some() || merged.is_some() || rests_on.is_some() {
            let more = self.more_mut();
            more.merged = merged.map(|text| newest.text.like(&text));
            more.rests_on = rests_on;
        }
        if self.unread != unread {
            self.unread = unread;
        }
        self.is_confirmed = !self.unconfirmed(row, used).has(self.fields);
        let is_read = |position: &usize| {
            let part = self.more().readings.get(*position).and_then(|part| part.shot.as_ref());
            part.is_some_and(|shot| used.takes_part(shot))
        };
        self.is_partial = used.only_confirmed && !self.wants(row, self.fields).readings.iter().all(is_read);
    }

    /// The fields that only one list shows so far.
    fn unconfirmed(&self, row: &KindDefinition, used: Use) -> FieldSet {
        let has_get = self.get().shot.as_ref().is_some_and(|get| used.takes_response(get));
        let contradicted = if has_get { FieldSet::default() } else { self.standing.contradicted };
        let parts =
            row.reads.iter().zip(&self.more().readings).filter(|(_, part)| !part.is_confirmed && part.shot.is_some());
        parts.fold(self.standing.unconfirmed.union(contradicted), |all, (reading, _)| all.union(reading.fields(row)))
    }

    fn merged(
        &self,
        row: &KindDefinition,
        newest: &Shot,
        older: Option<&Shot>,
        used: Use,
    ) -> (Option<String>, Arc<[UnreadPart]>, Option<Instant>) {
        let Ok(mut document) = serde_json::from_str::<Value>(&newest.text.unpack()) else {
            // Parsing it returns the error.
            return (None, Arc::default(), None);
        };
        let mut rests_on = Vec::new();
        let mut has_changed = false;
        let mut unread = Vec::new();
        let get = self.get().shot.as_ref().filter(|get| used.takes_response(get));
        if let Some(get) = get.filter(|_| !self.is_get_newer() && self.standing.contradicted.has(self.fields)) {
            let got: Value = serde_json::from_str(&get.text.unpack()).unwrap_or_default();
            has_changed |= correct(row, &mut document, &got, self.standing.contradicted);
            rests_on.push(get.at);
        }
        if let Some(older) = older {
            let nested: Vec<_> = row.only_get.iter().chain(&row.only_list).cloned().collect();
            let mut other: Value = serde_json::from_str(&older.text.unpack()).unwrap_or_default();
            // A key that depends on a scope may be missing because the token lost the scope in the meantime.
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
            unread.extend(absent.map(|pattern| part_of(pattern.clone(), self.get().why())));
        }
        if self.list.as_ref().is_none_or(|list| !used.takes_response(list)) {
            let absent = row.only_list.iter().filter(|pattern| is_absent(&document, pattern));
            unread.extend(absent.map(|pattern| part_of(pattern.clone(), ONLY_LISTED)));
        }
        for (position, reading) in row.reads.iter().enumerate() {
            let part = self.more().readings.get(position).unwrap_or(&NEVER_READ);
            let implied = reading.implies.as_ref();
            let Some(shot) = part.shot.as_ref().filter(|shot| used.takes_part(shot)) else {
                for field in reading.into.keys() {
                    // The document may show it anyway.
                    if document.get(field).is_none_or(is_empty_value) {
                        if let Some(entries) = document.as_object_mut() {
                            has_changed |= entries.remove(field).is_some();
                        }
                        unread.push(part_of(field.as_str(), part.why()));
                    }
                }
                continue;
            };
            let (values, is_implied) = shown_by(reading, &shot.text.unpack());
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
        (has_changed.then(|| document.to_string()), unread.into(), rests_on.into_iter().min())
    }

    /// Drops a GET that shows nothing beyond the later list.
    pub(super) fn tidy(&mut self, row: &KindDefinition) {
        let is_older = |get: &Shot| self.list.as_ref().is_some_and(|list| get.at < list.at);
        let is_needed = self.standing.contradicted.has(self.fields) || !self.unlisted(row, self.fields).is_empty();
        if self.get().shot.as_ref().is_some_and(is_older) && !is_needed {
            self.standing.contradicted = FieldSet::default();
            if let Some(more) = &mut self.more {
                more.get = DocumentPart::default();
            }
            self.more = self.more.take().filter(|more| more.has_responses() || !more.settled.is_empty());
        }
    }

    /// The document, composed of the used responses.
    pub(super) fn document(&self, row: &KindDefinition, used: Use) -> Document {
        let since = used.responses_since.max(used.parts_since);
        let is_too_old = self.rests_on().zip(since).is_some_and(|(at, since)| at < since);
        if is_too_old || used.only_confirmed {
            let mut shown = self.clone();
            shown.compose(row, used);
            return shown.as_composed();
        }
        self.as_composed()
    }

    fn as_composed(&self) -> Document {
        Document {
            unread: Arc::clone(&self.unread),
            scopes: Arc::clone(&self.scopes),
            is_confirmed: self.is_confirmed,
            is_partial: self.is_partial,
            is_valid: self.is_row_valid && self.more.is_none(),
            ..Document::whole(self.text().map(PackedText::unpack).unwrap_or_default())
        }
    }

    /// The text of the document.
    fn text(&self) -> Option<&PackedText> {
        self.more().merged.as_ref().or_else(|| self.newest().map(|shot| &shot.text))
    }

    /// Returns true if recorded fields need calls that were never made.
    pub(super) fn is_incomplete(&self, row: &KindDefinition) -> bool {
        let Wants { readings, .. } = self.wants(row, self.fields);
        let is_new = |part: Option<&DocumentPart>| part.is_none_or(|part| part.shot.is_none() && part.error.is_none());
        let needs_get = self.list.is_some() && !self.unlisted(row, self.fields).is_empty();
        (needs_get && is_new(Some(self.get())))
            || readings.iter().any(|reading| is_new(self.more().readings.get(*reading)))
    }

    /// Returns true if an earlier response shows a part of the recorded fields, because the last attempt failed.
    pub(super) fn has_outdated_part(&self, row: &KindDefinition, used: Use) -> bool {
        let is_outdated = |part: &DocumentPart, is_used: fn(Use, &Shot) -> bool| {
            part.error.is_some() && part.shot.as_ref().is_some_and(|shot| is_used(used, shot))
        };
        let readings = row.reads.iter().zip(&self.more().readings);
        let needs_get = !self.unlisted(row, self.fields).is_empty();
        (needs_get && is_outdated(self.get(), Use::takes_response))
            || readings
                .filter(|(reading, _)| reading.is_for(row, self.fields))
                .any(|(_, part)| is_outdated(part, Use::takes_part))
    }

    pub(super) fn scopes(&self) -> &Arc<[&'static str]> {
        &self.scopes
    }

    /// The recorded fields.
    pub(super) fn fields(&self) -> FieldSet {
        self.fields
    }

    pub(super) fn rests_on(&self) -> Option<Instant> {
        self.more().rests_on
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Returns true if the last list showed this text.
    pub(super) fn was_listed_as(&self, text: &str) -> bool {
        self.list.as_ref().is_some_and(|list| list.text.is(text))
    }

    /// Returns true if the documents have no difference that can change a verdict.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let paths = |it: &Self| it.unread.iter().map(|unread| unread.path.clone()).collect::<Vec<_>>();
        let are_equal = || Arc::ptr_eq(&self.unread, &other.unread) || paths(self) == paths(other);
        self.text() == other.text() && self.scopes == other.scopes && are_equal()
    }

    fn newest(&self) -> Option<&Shot> {
        let get = self.get().shot.as_ref().filter(|_| self.is_get_newer());
        get.or(self.list.as_ref())
    }

    /// Returns true if the last GET is newer than the last list.
    fn is_get_newer(&self) -> bool {
        let get = self.get().shot.as_ref();
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

impl DocumentPart {
    fn why(&self) -> Arc<str> {
        match (&self.error, &self.shot) {
            (Some(error), _) => Arc::clone(error),
            (None, Some(_)) => TOO_OLD.into(),
            (None, None) => NOT_READ_YET.into(),
        }
    }
}

/// By kind, the parts that a list's row alone does not show.
static UNREAD_IF_PLAIN: LazyLock<HashMap<&str, Arc<[UnreadPart]>>> = LazyLock::new(|| {
    let all = Kind::all().map(Kind::row);
    all.map(|row| {
        let parts = row.reads.iter().flat_map(|reading| reading.into.keys());
        let names = parts.map(|name| Pattern::from(name.as_str()));
        let unread = row.only_get.iter().cloned().chain(names).map(|path| part_of(path, NOT_READ_YET));
        (row.name.as_str(), unread.collect())
    })
    .collect()
});

fn part_of(path: impl Into<Pattern>, why: impl Into<Arc<str>>) -> UnreadPart {
    UnreadPart { path: path.into(), why: why.into() }
}

fn has_feature(document: &Value, feature: &str) -> bool {
    let features = document.get("features").and_then(Value::as_array);
    features.is_some_and(|features| features.iter().any(|one| one == feature))
}

/// The document's fields that a part shows, and whether the part implies its item of `features`.
fn shown_by<'r>(reading: &'r PartSource, text: &str) -> (BTreeMap<&'r str, Value>, bool) {
    let shown: Value = serde_json::from_str(text).unwrap_or_default();
    let is_implied = reading.implies.as_ref().map(|implied| shown.get(&implied.key) == Some(&Value::Bool(true)));
    let values = reading.into.iter().map(|(field, key)| {
        let value = if key.is_empty() { Some(&shown) } else { shown.get(key) };
        // A policy can outlive its purpose.
        let value = value.filter(|_| is_implied != Some(false));
        (field.as_str(), value.cloned().unwrap_or_default())
    });
    (values.collect(), is_implied == Some(true))
}

/// The row of a list, and its fields.
pub(super) struct ListedText {
    text: PackedText,
    /// The fields that it shows.
    shown: FieldSet,
    /// The fields that it does not show completely.
    lacking: FieldSet,
    /// True if it is valid JSON.
    is_valid: bool,
}

impl ListedText {
    /// Packs a row against these examples.
    pub(super) fn of(row: &KindDefinition, text: &str, examples: &Examples) -> Self {
        let shown = shown_fields(row, text);
        let lacking = shown.map(|shown| lacking_beside(row, shown, text)).unwrap_or_default();
        Self { text: examples.pack(text), shown: shown.unwrap_or_default(), lacking, is_valid: shown.is_some() }
    }
}

/// The fields that a response does not show completely.
fn lacking(row: &KindDefinition, text: &str) -> FieldSet {
    shown_fields(row, text).map(|shown| lacking_beside(row, shown, text)).unwrap_or_default()
}

/// The same of a response that shows these fields.
fn lacking_beside(row: &KindDefinition, shown: FieldSet, text: &str) -> FieldSet {
    let absent = FieldSet::all(row).without(shown);
    let nested = row.only_get.iter().chain(&row.only_list).filter(|pattern| pattern.segments().len() > 1);
    let mut document = None;
    let nested = nested.filter(|pattern| {
        let document: &Value = document.get_or_insert_with(|| serde_json::from_str(text).unwrap_or_default());
        is_missing(document, &pattern.segments())
    });
    absent.union(FieldSet::fields(row, nested.map(Pattern::root)))
}
