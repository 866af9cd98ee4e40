//! A live document: resolves a recorded field in it, and compares the field under the kind's rules. Pure.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Error, ResourceKey,
    beside::Beside,
    document::{self, Pattern, at, is_empty_value, is_position},
    equivalence::{Site, has_backup_policy},
    kinds::Source,
    live_document::LiveDocument,
    notes,
    observed::{Certificates, Document, UnreadPart},
    rules::{CredentialsOnly, KindRules},
};
use crate::{
    comparison::{self, Comparison, Doubt},
    nearest::nearest,
};

/// The columns of an unrecorded value in a reason.
const LONGEST_BESIDE: usize = 40;

/// The parsed document of one live resource.
#[derive(Clone, Debug)]
pub struct Live {
    key: ResourceKey,
    document: Arc<LiveDocument>,
    unread: Arc<[UnreadPart]>,
    certificates: Option<Arc<Certificates>>,
    no_certificates: Option<Arc<str>>,
    scopes: Arc<[&'static str]>,
    beside: Arc<Beside>,
}

/// The result of resolving a recorded field in a live document.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// The live value; null if the field is known, but absent or null.
    Value(Value),
    /// The field is omitted for tokens without this scope: unknown, not empty.
    Unknown {
        /// The scope, such as `tag:read`.
        scope: &'static str,
    },
    /// The API never returns this field, or it contains a secret, so it is not compared.
    NotReadable,
    /// Neither the kind nor the document has such a field.
    NoSuchField {
        /// Up to three fields with similar names, nearest first.
        nearest: Vec<String>,
    },
}

/// The outcome of comparing one recorded field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldComparison {
    /// It was compared, except for the parts in doubt.
    Done(Comparison),
    /// The whole field cannot be compared at the moment, for this reason.
    Unknown(String),
    /// The API never returns this field, or it contains a secret.
    NotReadable,
    /// Neither the kind nor the document has such a field.
    NoSuchField {
        /// Up to three fields with similar names, nearest first.
        nearest: Vec<String>,
    },
}

impl Live {
    /// Parses a document that one response has shown in full.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn parse(key: &ResourceKey, document: &str) -> Result<Self, Error> {
        Self::of(key, &Document::whole(document))
    }

    /// Parses a document of the inventory.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn of(key: &ResourceKey, document: &Document) -> Result<Self, Error> {
        let malformed = |why: String| Error::Malformed { doing: format!("reading {key}"), why };
        let valid = document.is_valid.then(|| LiveDocument::of_valid(&document.json)).flatten();
        let json = valid.map_or_else(|| LiveDocument::parse(&document.json), Ok).map_err(malformed)?;
        let Document { unread, certificates, no_certificates, scopes, .. } = document.clone();
        let (key, document, beside) = (key.clone(), Arc::new(json), Arc::default());
        Ok(Self { key, document, unread, certificates, no_certificates, scopes, beside })
    }

    /// The same document, compared for this record.
    #[must_use]
    pub fn beside(&self, record: Beside) -> Self {
        Self { beside: Arc::new(record), ..self.clone() }
    }

    /// The same document, compared for a record of these values.
    #[must_use]
    pub fn for_record(&self, desired: &BTreeMap<String, Value>) -> Self {
        if self.beside.desired == *desired {
            return self.clone();
        }
        self.beside(Beside { desired: desired.clone(), certificates: self.beside.certificates.clone() })
    }

    /// The names of the certificates that the record mentions, by id: listed now, or known before.
    #[must_use]
    pub fn named_certificates(&self) -> BTreeMap<String, String> {
        let fields = &self.key.kind.row().certificates;
        let mut named = BTreeMap::new();
        let recorded = self.beside.desired.iter();
        for (_, value) in recorded.filter(|(field, _)| fields.iter().any(|root| field.split('.').next() == Some(root)))
        {
            document::each_text(value, &mut |id| {
                let listed = self.certificates.as_ref().and_then(|all| all.name_of(id));
                if let Some(name) = listed.or_else(|| self.beside.certificates.get(id).map(String::as_str)) {
                    named.insert(id.to_owned(), name.to_owned());
                }
            });
        }
        named
    }

    /// A value of a field with the name of each certificate in place of its id, which a renewal replaces.
    #[cfg(feature = "cli")]
    pub(crate) fn with_certificate_names(&self, field: &str, value: &Value) -> Value {
        use super::equivalence::Equivalence;

        let is_certificate = |how: &Equivalence| *how == Equivalence::Certificate;
        let patterns = self.key.kind.row().equivalences.iter().filter(|(_, how)| is_certificate(how));
        let (Some(certificates), mut named) = (&self.certificates, value.clone()) else { return value.clone() };
        for (pattern, _) in patterns {
            document::each_at(&mut named, &mut self.path(field), pattern, &mut |id| {
                if let Some(name) = id.as_str().and_then(|id| certificates.name_of(id)) {
                    *id = name.into();
                }
            });
        }
        named
    }

    /// A value of a field with a final dot after a host name that could also be read as relative to the domain: the API
    /// returns full names without the dot.
    #[cfg(feature = "cli")]
    pub(crate) fn with_full_host_names(&self, field: &str, value: Value) -> Value {
        use super::{equivalence::Equivalence, host_names};

        let is_data = |(pattern, how): (&Pattern, &Equivalence)| {
            *how == Equivalence::RecordData && pattern.matches(&self.path(field))
        };
        let is_host = host_names::is_host_type(self.document.str_at("type"));
        match (value, self.key.parts().0) {
            (Value::String(host), Some(domain)) if is_host && self.key.kind.row().equivalences.iter().any(is_data) => {
                host_names::without_doubt(host, domain).into()
            }
            (value, _) => value,
        }
    }

    /// The resource.
    #[must_use]
    pub fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// The whole document.
    pub(crate) fn document(&self) -> &Value {
        self.document.whole()
    }

    /// Whether the token is known to have a scope.
    pub(crate) fn may(&self, scope: &str) -> bool {
        self.scopes.contains(&scope)
    }

    /// The live document with the recorded value of a field applied; none if nothing differs.
    ///
    /// # Errors
    /// The reason why the field cannot be compared.
    pub(crate) fn restored(&self, field: &str, desired: &Value) -> Result<Option<Value>, String> {
        let comparison = match self.compare_alone(field, desired) {
            FieldComparison::Done(comparison) => comparison,
            FieldComparison::Unknown(why) => return Err(why),
            FieldComparison::NotReadable => return Err("the API does not return it, or it holds a secret".to_owned()),
            FieldComparison::NoSuchField { .. } => return Err("there is no such field".to_owned()),
        };
        let Some(value) = comparison.restored else {
            if !comparison.differences.is_empty() {
                return Err("the live value does not show which part differs".to_owned());
            }
            return comparison.doubts.into_iter().next().map_or(Ok(None), |doubt| Err(doubt.why));
        };
        let own = self.document.get(field).filter(|own| own.is_object() && desired.is_object());
        // A record in the API's own shape replaces a text.
        let path = match self.source(field).filter(|_| own.is_none() && !desired.is_object()) {
            Some(source) => source.split('.').map(ToOwned::to_owned).collect(),
            None => self.path(field),
        };
        let mut document = self.document().clone();
        if !document::put(&mut document, &path, value) {
            return Err("the live list has no such item; record the whole list instead".to_owned());
        }
        Ok(Some(document))
    }

    /// The live value of a field; null if there is none.
    pub(crate) fn value(&self, field: &str) -> Value {
        match self.key.kind.row().derived.get(field) {
            Some(source) => self.derive(source),
            None => self.raw(field).cloned().unwrap_or_default(),
        }
    }

    /// The value that the document shows for a field.
    pub(crate) fn raw(&self, field: &str) -> Option<&Value> {
        self.document.at(self.source(field).unwrap_or(&self.own_path(field)))
    }

    /// The path in the document from which the operator derives a field, if it does.
    pub(crate) fn source(&self, field: &str) -> Option<&'static str> {
        match self.key.kind.row().derived.get(field)? {
            Source::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Compares the recorded value of a field with the live one.
    #[must_use]
    pub fn compare(&self, field: &str, expected: &Value) -> FieldComparison {
        match self.compare_alone(field, expected) {
            FieldComparison::Done(mut comparison) => {
                comparison.doubts.extend(self.unrecorded_beside(field));
                FieldComparison::Done(comparison)
            }
            other => other,
        }
    }

    /// Compares a field without the keys beside it.
    fn compare_alone(&self, field: &str, expected: &Value) -> FieldComparison {
        let live = match self.resolve(field, expected) {
            Resolved::Value(live) => live,
            Resolved::Unknown { scope } => return FieldComparison::Unknown(format!("the token needs {scope}")),
            Resolved::NotReadable => return FieldComparison::NotReadable,
            Resolved::NoSuchField { nearest } => return FieldComparison::NoSuchField { nearest },
        };
        let path = self.path(field);
        let rules = self.rules(path.len());
        if let Some(why) = self.unread(field, &path, &live) {
            return FieldComparison::Unknown(why);
        }
        if self.is_within_missing_item(&path) {
            // No rule applies to a part of an item that does not exist.
            return FieldComparison::Done(comparison::compare(&CredentialsOnly(rules), &path, expected, &live));
        }
        FieldComparison::Done(match self.owner(&rules, &path) {
            Some(depth) => self.compare_within(&self.rules(depth), &path, depth, expected, &live),
            None => comparison::compare(&rules, &path, expected, &live),
        })
    }

    /// Returns true if the path leads through an item that the live list lacks.
    fn is_within_missing_item(&self, path: &[String]) -> bool {
        let is_there =
            |depth: &usize| path.get(..*depth).is_some_and(|above| self.document.at(&above.join(".")).is_some());
        let present = (1..path.len()).take_while(is_there).last().unwrap_or(0);
        let missing = path.get(present..path.len().saturating_sub(1)).unwrap_or_default();
        missing.iter().any(|segment| is_position(segment))
    }

    /// The unrecorded keys beside a part that is recorded by its path, if they change what it means: a list of allowed
    /// addresses says nothing of a firewall that was switched off.
    fn unrecorded_beside(&self, field: &str) -> Vec<Doubt> {
        let path = self.path(field);
        let row = self.key.kind.row();
        let together = (1..path.len()).rev().find_map(|depth| {
            let (map, below) = path.split_at(depth);
            let (_, keys) = row.together.iter().find(|(pattern, _)| pattern.matches(map))?;
            Some((map, keys, below.first().filter(|key| keys.contains(key))?))
        });
        let Some((map, keys, own)) = together else { return Vec::new() };
        let closed = row.closed.iter().filter(|(pattern, _)| pattern.matches(map)).flat_map(|(_, keys)| keys);
        let closed = closed.filter(|(key, _)| *key != own && keys.contains(key));
        let doubts = closed.filter_map(|(key, default)| {
            let beside = [map, std::slice::from_ref(key)].concat();
            if self.beside.mentions(&beside) {
                return None;
            }
            let name = beside.join(".");
            let live = self.document.at(&name).unwrap_or(&Value::Null);
            let found = comparison::compare(&self.rules(beside.len()), &beside, default, live);
            let why = if found.differences.is_empty() {
                found.doubts.into_iter().next()?.why
            } else {
                let shown = comparison::show::short(&self.hide(&name, live), LONGEST_BESIDE);
                let whole = map.join(".");
                format!("`{name}` is {shown} and not recorded; record it too, or record `{whole}` as a whole")
            };
            Some(Doubt { path: String::new(), why })
        });
        doubts.collect()
    }

    /// A value of a field with each credential in it replaced by its fingerprint.
    #[must_use]
    pub fn hide(&self, field: &str, value: &Value) -> Value {
        let path = self.path(field);
        let row = self.key.kind.row();
        let is_secret = path.first().is_some_and(|root| row.secret.contains(root));
        if is_secret || row.unreadable.iter().any(|pattern| pattern.covers(&path)) {
            return comparison::secret::fingerprint(value).into();
        }
        comparison::secret::hide(&self.rules(path.len()), &path, value)
    }

    /// The reason why the live value of a field, or of the part of the document that it derives from, is not known yet.
    fn unread(&self, field: &str, path: &[String], live: &Value) -> Option<String> {
        let source = self.key.kind.row().derived.get(field);
        let covers = |unread: &&UnreadPart| match source {
            None => unread.path.covers(path),
            Some(Source::Path(source)) => unread.path.covers(&source.split('.').collect::<Vec<_>>()),
            // The policies show backups that the features may lack.
            Some(Source::Feature(name)) => {
                unread.path.covers(&["features"])
                    || (name == "backups" && *live == Value::Bool(false) && unread.path.covers(&["backup_policy"]))
            }
            Some(source) => unread.path.covers(&[source.root()]),
        };
        self.unread.iter().find(covers).map(|unread| unread.why.to_string())
    }

    /// The likely cause of a difference, if DigitalOcean is known to change the field.
    #[must_use]
    pub fn note(&self, field: &str, expected: &Value, live: &Value) -> Option<&'static str> {
        notes::note(self.key.kind, field, expected, live)
    }

    /// The segments of a field's path in the document.
    pub(super) fn path(&self, field: &str) -> Vec<String> {
        self.document.segments(&self.own_path(field)).into_iter().map(ToOwned::to_owned).collect()
    }

    /// The dotted path in the document. A path below a derived field, such as `volumes.0`, is resolved below its
    /// source, unless the document has a value of the same name.
    fn own_path<'f>(&self, field: &'f str) -> Cow<'f, str> {
        let below = field.split_once('.').and_then(|(root, below)| Some((root, self.source(root)?, below)));
        match below.filter(|(root, ..)| self.document.get(root).is_none()) {
            Some((_, source, below)) => format!("{source}.{below}").into(),
            None => field.into(),
        }
    }

    /// The rules for the comparison of a path of this length.
    fn rules(&self, root: usize) -> KindRules<'_> {
        let site = Site {
            domain: self.key.parts().0.unwrap_or_default(),
            document: &self.document,
            root,
            beside: &self.beside,
            certificates: self.certificates.as_deref(),
            no_certificates: self.no_certificates.as_deref(),
        };
        KindRules { row: self.key.kind.row(), site, unread: &self.unread, scopes: &self.scopes }
    }

    /// The length of the path to the value whose rules also cover the value at `path`, a part of it.
    fn owner(&self, rules: &KindRules<'_>, path: &[String]) -> Option<usize> {
        let is_there = |depth: &usize| {
            path.get(..*depth).is_some_and(|owner| {
                rules.is_whole(owner) && self.document.at(&owner.join(".")).is_some_and(|value| !value.is_null())
            })
        };
        (1..path.len()).rev().find(is_there)
    }

    /// Compares a part of a value as if all its other parts were recorded with their live values.
    fn compare_within(
        &self,
        rules: &KindRules<'_>,
        path: &[String],
        depth: usize,
        expected: &Value,
        live: &Value,
    ) -> Comparison {
        let (owner, rest) = path.split_at(depth);
        let whole = self.document.at(&owner.join(".")).cloned().unwrap_or_default();
        let mut recorded = whole.clone();
        let Some(part) = part_mut(&mut recorded, rest) else {
            return comparison::compare(rules, path, expected, live);
        };
        *part = expected.clone();
        let compared = comparison::compare(rules, owner, &recorded, &whole);
        let rest = rest.join(".");
        // The path of a difference may name the whole or a part of the field.
        let below = |path: &str| path.strip_prefix(&rest).map(|below| below.trim_start_matches('.').to_owned());
        let differences = compared.differences.into_iter().map(|mut difference| {
            if let Some(path) = below(&difference.path) {
                difference.path = path;
            } else {
                difference.path = String::new();
                difference.item = None;
                difference.expected = Some(self.hide(&path.join("."), expected));
                difference.actual = Some(self.hide(&path.join("."), live));
            }
            difference
        });
        let doubts =
            compared.doubts.into_iter().map(|doubt| Doubt { path: below(&doubt.path).unwrap_or_default(), ..doubt });
        let mut differences: Vec<_> = differences.collect();
        differences.dedup();
        let adopted = if differences.is_empty() {
            expected.clone()
        } else {
            at(&compared.adopted, &rest).cloned().unwrap_or_default()
        };
        let restored = (!differences.is_empty())
            .then(|| compared.restored.as_ref().and_then(|whole| at(whole, &rest)).unwrap_or(expected).clone());
        Comparison { differences, doubts: doubts.collect(), adopted, restored }
    }

    /// Resolves `field`, with the recorded value `expected`: first as a derived field of the kind, then as a dotted
    /// path in the document. Numbers in a path are positions in lists.
    #[must_use]
    pub fn resolve(&self, field: &str, expected: &Value) -> Resolved {
        let row = self.key.kind.row();
        if let Some((_, source)) = row.derived.get_key_value(field) {
            let own = self.document.get(field).filter(|own| own.is_object() && expected.is_object());
            let value = || own.cloned().unwrap_or_else(|| self.in_shape_of(expected, source));
            return self.unless_gated(source.root()).unwrap_or_else(|| Resolved::Value(value()));
        }
        let root = field.split('.').next().unwrap_or(field);
        let is_secret = row.secret.iter().any(|name| name == root);
        if is_secret || row.unreadable.iter().any(|pattern| pattern.covers(&self.path(field))) {
            return Resolved::NotReadable;
        }
        let path = self.own_path(field);
        if let Some(unknown) = self.unless_gated(&path) {
            return unknown;
        }
        if let Some(value) = self.document.at(&path) {
            return Resolved::Value(value.clone());
        }
        // Some responses contain the slug instead of an object.
        if let Some(source) = row.derived.values().find(|source| matches!(source, Source::Path(path) if path == field))
        {
            return Resolved::Value(self.derive(source));
        }
        if let Some(end) = self.dead_end(field) {
            return Resolved::NoSuchField { nearest: vec![end] };
        }
        let known = self.key.kind.fields().any(|name| name == root) || self.document.get(root).is_some();
        if known { Resolved::Value(Value::Null) } else { Resolved::NoSuchField { nearest: self.nearest(root) } }
    }

    /// Unknown, if the document lacks the field because the token cannot read it.
    fn unless_gated(&self, field: &str) -> Option<Resolved> {
        let path = self.document.segments(field);
        // The API omits empty keys of nested maps, so only the rules know whether a nested key is hidden.
        let may_be_hidden = |pattern: &Pattern| {
            let gate: Vec<String> = path.iter().take(pattern.len()).map(|segment| (*segment).to_owned()).collect();
            pattern.len() == 1 || self.rules(gate.len()).hidden(&gate).is_some()
        };
        let is_hidden =
            |pattern: &Pattern| pattern.covers(&path) && self.lacks(&path, pattern.len()) && may_be_hidden(pattern);
        let (_, scope) = self.key.kind.row().gated.iter().find(|(pattern, _)| is_hidden(pattern))?;
        Some(Resolved::Unknown { scope })
    }

    /// Returns true if the document, or a map on the way along the first segments of a path, does not have its next key.
    fn lacks(&self, path: &[&str], depth: usize) -> bool {
        let Some((first, rest)) = path.split_first().filter(|_| depth > 0) else { return false };
        self.document.get(first).is_none_or(|value| lacks(value, rest, depth - 1))
    }

    /// The part of a path up to a value without parts, if the path continues below it.
    fn dead_end(&self, field: &str) -> Option<String> {
        let path = self.path(field);
        let mut value = self.document();
        for (depth, segment) in path.iter().enumerate() {
            value = match value {
                Value::Object(entries) => entries.get(segment)?,
                Value::Array(items) if is_position(segment) => items.get(segment.parse::<usize>().ok()?)?,
                blank if is_empty_value(blank) => return None,
                _ => return path.get(..depth).map(|end| end.join(".")),
            };
        }
        None
    }

    /// The value of a derived field. Some responses contain the text instead of an object: `nyc3` is `{slug: nyc3}`.
    fn in_shape_of(&self, expected: &Value, source: &Source) -> Value {
        let value = self.derive(source);
        match source {
            Source::Path(path) if expected.is_object() && !value.is_null() && !value.is_object() => {
                path.rsplit_once('.').map_or_else(|| value.clone(), |(_, key)| serde_json::json!({ key: value }))
            }
            _ => value,
        }
    }

    fn derive(&self, source: &Source) -> Value {
        let document = &*self.document;
        let get = |path: &str| document.at(path).filter(|value| !value.is_null());
        let derived = match source {
            Source::Path(path) => get(path).or_else(|| {
                // Some responses contain the slug instead of an object.
                document.get(source.root()).filter(|value| value.is_string() || value.is_number())
            }),
            Source::Image => get("image").map(|image| match image {
                Value::Object(image) => image
                    .get("slug")
                    .filter(|slug| !is_empty_value(slug))
                    .or_else(|| image.get("id"))
                    .unwrap_or(&Value::Null),
                scalar => scalar,
            }),
            Source::Feature(name) => {
                let has = get("features")
                    .and_then(Value::as_array)
                    .is_some_and(|all| all.iter().filter_map(Value::as_str).any(|one| one.eq_ignore_ascii_case(name)));
                return Value::Bool(has || (name == "backups" && has_backup_policy(document)));
            }
            Source::Address(version, reach) => get("networks")
                .and_then(|networks| networks.get(version)?.as_array())
                .and_then(|all| {
                    all.iter().find(|network| network.get("type").is_some_and(|kind| kind == reach.as_str()))
                })
                .and_then(|network| network.get("ip_address")),
            Source::LoadBalancerUnits => {
                let units = match get("size").and_then(Value::as_str) {
                    Some("lb-small") => 1,
                    Some("lb-medium") => 3,
                    Some("lb-large") => 6,
                    _ => return get("size_unit").cloned().unwrap_or_default(),
                };
                return get("size_unit").cloned().unwrap_or_else(|| units.into());
            }
            Source::LoadBalancerSize => match get("size_unit").and_then(Value::as_u64) {
                Some(1) => return "lb-small".into(),
                Some(3) => return "lb-medium".into(),
                Some(6) => return "lb-large".into(),
                // Sizes in between have no name, only a number.
                Some(units) => return units.into(),
                None => get("size"),
            },
        };
        derived.cloned().unwrap_or_default()
    }

    fn nearest(&self, root: &str) -> Vec<String> {
        let mut names: Vec<&str> = self.key.kind.fields().collect();
        names.extend(self.document.keys());
        nearest(root, names.into_iter())
    }
}

/// Returns true if a map on the way along the first segments of a path does not have its next key.
fn lacks(value: &Value, path: &[&str], depth: usize) -> bool {
    let Some((first, rest)) = path.split_first().filter(|_| depth > 0) else { return false };
    match value {
        Value::Object(entries) => entries.get(*first).is_none_or(|value| lacks(value, rest, depth - 1)),
        Value::Array(items) => {
            let item = first.parse().ok().and_then(|position: usize| items.get(position));
            item.is_some_and(|item| lacks(item, rest, depth - 1))
        }
        _ => false,
    }
}

/// The part of a value at a path; only the last key may be missing, and is added.
fn part_mut<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    let (last, parents) = path.split_last()?;
    let mut value = value;
    for segment in parents {
        value = match value {
            Value::Object(entries) => entries.get_mut(segment)?,
            Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match value {
        Value::Object(entries) => Some(entries.entry(last.as_str()).or_insert(Value::Null)),
        Value::Array(items) => items.get_mut(last.parse::<usize>().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod canaries;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod changed;
#[cfg(test)]
mod tests;
