//! The fields of a list's row that other responses confirm. Pure.
//!
//! Lists lag: a changed row is confirmed by a GET with the same values, or by the next list. If a GET contradicts a
//! row, the GET takes precedence while the row stays the same.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    comparison,
    digitalocean::{
        kinds::{FieldSet, KindDefinition},
        merge::{fill, remove},
        valid::Valid,
    },
};

/// The evidence of other responses for the fields of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The fields that only this row shows.
    pub(super) unconfirmed: FieldSet,
    /// The fields in which a GET contradicts the row, which was unchanged before that GET.
    pub(super) contradicted: FieldSet,
}

/// The responses before a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EarlierResponses<'t> {
    /// The row of the previous list.
    pub(super) row: Option<&'t str>,
    /// The GET, if it is newer than that row or contradicts it.
    pub(super) get: Option<&'t str>,
    /// True if the GET is newer than the row, so that it counts for all fields.
    pub(super) is_get_newer: bool,
    /// The evidence of other responses for that row.
    pub(super) standing: Evidence,
}

impl Evidence {
    /// After a list with the same row, byte by byte.
    pub(super) fn of_same_row(self) -> Self {
        Self { unconfirmed: FieldSet::default(), contradicted: self.contradicted }
    }

    /// After the first row, which shows these fields.
    pub(super) fn of_first_row(shown: FieldSet) -> Self {
        Self { unconfirmed: shown, contradicted: FieldSet::default() }
    }

    /// After a list with another row.
    pub(super) fn of_row(kind: &KindDefinition, before: EarlierResponses<'_>, text: &str) -> Self {
        let (row, get, new) = (before.row.map(parse), before.get.map(parse), parse(text));
        let mut standing = Self::default();
        for key in keys([Some(&new), row.as_ref(), get.as_ref()]) {
            let field = FieldSet::field_or_other(kind, key);
            let of = |document: &Option<Map<String, Value>>| document.as_ref().and_then(|it| it.get(key).cloned());
            let (new, row, get) = (new.get(key), of(&row), of(&get));
            let counts = before.is_get_newer || before.standing.contradicted.has(field);
            let evidence = get.filter(|_| counts);
            let is_direct = evidence.is_some();
            let says_same = |one: Option<&Value>, other: Option<&Value>| match (one, other) {
                (Some(one), Some(other)) => is_same(kind, key, one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            let has_changed = !says_same(row.as_ref(), new);
            match (evidence.or_else(|| row.clone()), new) {
                (_, None) if !has_changed => {}
                (Some(evidence), Some(new)) if is_same(kind, key, &evidence, new) => {}
                // A row that lags, with its earlier values.
                (Some(_), Some(_)) if is_direct && before.row.is_some() && !has_changed => {
                    standing.contradicted = standing.contradicted.union(field);
                }
                _ => standing.unconfirmed = standing.unconfirmed.union(field),
            }
        }
        standing
    }

    /// After a GET of the resource.
    pub(super) fn of_get(self, kind: &KindDefinition, row: Option<&str>, text: &str) -> Self {
        let Some(row) = row else { return Self::default() };
        let (row, get) = (parse(row), parse(text));
        let mut standing = Self::default();
        for (key, shown) in &row {
            let field = FieldSet::field_or_other(kind, key);
            match get.get(key) {
                Some(got) if is_same(kind, key, got, shown) => {}
                Some(_) => standing.contradicted = standing.contradicted.union(field),
                None => standing.unconfirmed = standing.unconfirmed.union(self.unconfirmed.both(field)),
            }
        }
        standing
    }
}

/// Replaces the contradicted fields of a row by those of the GET.
pub(super) fn correct(kind: &KindDefinition, document: &mut Value, get: &Value, contradicted: FieldSet) -> bool {
    let (Value::Object(document), Value::Object(get)) = (document, get) else { return false };
    let mut has_changed = false;
    for (key, got) in get {
        if contradicted.has(FieldSet::field_or_other(kind, key)) && document.get(key) != Some(got) {
            document.insert(key.clone(), got.clone());
            has_changed = true;
        }
    }
    has_changed
}

/// The fields that a document shows, without their values. None if it is not a valid object.
pub(super) fn shown_fields(kind: &KindDefinition, text: &str) -> Option<FieldSet> {
    serde_json::Deserializer::from_str(text).deserialize_map(DocumentKeys(kind)).ok()
}

/// Reads the keys of an object as a set of fields.
struct DocumentKeys<'k>(&'k KindDefinition);

/// Reads one key.
struct FieldKey<'k>(&'k KindDefinition);

impl<'de> Visitor<'de> for DocumentKeys<'_> {
    type Value = FieldSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut document: A) -> Result<FieldSet, A::Error> {
        let mut shown = FieldSet::default();
        while let Some(field) = document.next_key_seed(FieldKey(self.0))? {
            document.next_value::<Valid>()?;
            shown = shown.union(field);
        }
        Ok(shown)
    }
}

impl<'de> DeserializeSeed<'de> for FieldKey<'_> {
    type Value = FieldSet;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<FieldSet, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldKey<'_> {
    type Value = FieldSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<FieldSet, E> {
        Ok(FieldSet::field_or_other(self.0, key))
    }
}

fn parse(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn keys(documents: [Option<&Map<String, Value>>; 3]) -> BTreeSet<&String> {
    documents.into_iter().flatten().flat_map(Map::keys).collect()
}

/// Returns true if two responses have the same value of a field, except for changes by the cloud and parts that one
/// kind of response omits.
fn is_same(kind: &KindDefinition, key: &str, one: &Value, other: &Value) -> bool {
    if one == other || kind.volatile.iter().any(|field| field == key) {
        return true;
    }
    let [mut one, mut other] = [one, other].map(Cow::Borrowed);
    for pattern in kind.volatile_parts.iter().filter(|pattern| pattern.root() == key) {
        let below = pattern.segments().split_off(1);
        remove(one.to_mut(), &below);
        remove(other.to_mut(), &below);
    }
    let nested = kind.only_get.iter().chain(&kind.only_list).filter(|it| it.len() > 1 && it.root() == key);
    for pattern in nested {
        let below = pattern.segments().split_off(1);
        fill(one.to_mut(), &other, &below);
        fill(other.to_mut(), &one, &below);
    }
    // The order of items, and the spelling of numbers and blanks, differ between responses.
    let covers = |one: &Value, other: &Value| comparison::is_same(&comparison::NoRules, &[], one, other);
    covers(&one, &other) && covers(&other, &one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digitalocean::Kind;

    fn row(kind: &str) -> &'static KindDefinition {
        Kind::named(kind).unwrap().row()
    }

    /// The names of the unconfirmed fields, and of the contradicted ones.
    fn names(kind: &str, standing: Evidence) -> (Vec<&'static str>, Vec<&'static str>) {
        let names = |fields: FieldSet| fields.names(row(kind)).collect();
        (names(standing.unconfirmed), names(standing.contradicted))
    }

    #[test]
    fn a_changed_field_is_unconfirmed_and_what_changes_by_itself_is_not() {
        let old = json!({"id": 1, "region": "fra1", "status": "running", "updated_at": "1", "tags": ["a", "b"],
            "node_pools": [{"id": "p", "count": 1, "nodes": [{"id": "n", "updated_at": "1", "status": {"state": "x"}}]}]});
        let changed = |pointer: &str, value: Value| {
            let mut new = old.clone();
            *new.pointer_mut(pointer).unwrap() = value;
            let before = old.to_string();
            let before = EarlierResponses { row: Some(&before), ..EarlierResponses::default() };
            names("KubernetesCluster", Evidence::of_row(row("KubernetesCluster"), before, &new.to_string())).0
        };
        assert_eq!(changed("/region", json!("nyc1")), ["region"]);
        assert_eq!(changed("/status", json!("degraded")), [""; 0]);
        assert_eq!(changed("/tags", json!(["b", "a"])), [""; 0], "another order");
        assert_eq!(changed("/tags", json!(["b", "c"])), ["tags"]);
        assert_eq!(changed("/node_pools/0/count", json!(2)), ["node_pools"]);
        assert_eq!(changed("/node_pools/0/nodes/0/updated_at", json!("2")), [""; 0]);
        assert_eq!(changed("/node_pools/0/nodes/0/status/state", json!("running")), [""; 0]);
    }

    #[test]
    fn a_get_confirms_only_what_it_shows() {
        let standing =
            Evidence::of_row(row("Registry"), EarlierResponses::default(), r#"{"name":"r","subscription":{}}"#);
        assert_eq!(names("Registry", standing).0, ["name", "subscription"]);
        let standing = standing.of_get(row("Registry"), Some(r#"{"name":"r","subscription":{}}"#), r#"{"name":"r"}"#);
        assert_eq!(names("Registry", standing), (vec!["subscription"], vec![]));
    }

    #[test]
    fn a_row_that_a_get_contradicts_is_no_news_until_it_changes_there() {
        let kind = row("VPC");
        let (old, got) = (r#"{"name":"old","region":"a"}"#, r#"{"name":"new","region":"a"}"#);
        let standing = Evidence::default().of_get(kind, Some(old), got);
        assert_eq!(names("VPC", standing), (vec![], vec!["name"]));
        assert_eq!(standing.of_same_row(), standing);
        // Another field of the row changes.
        let before = |standing| EarlierResponses { row: Some(old), get: Some(got), is_get_newer: false, standing };
        let other = Evidence::of_row(kind, before(standing), r#"{"name":"old","region":"b"}"#);
        assert_eq!(names("VPC", other), (vec!["region"], vec!["name"]));
        // It has the GET's value, or a third one.
        assert_eq!(Evidence::of_row(kind, before(standing), got), Evidence::default());
        let third = Evidence::of_row(kind, before(standing), r#"{"name":"third","region":"a"}"#);
        assert_eq!(names("VPC", third), (vec!["name"], vec![]));
    }

    #[test]
    fn fields_that_the_table_does_not_know_are_unconfirmed_too() {
        let before = EarlierResponses { row: Some(r#"{"name":"a","brand_new":1}"#), ..EarlierResponses::default() };
        let standing = Evidence::of_row(row("VPC"), before, r#"{"name":"a","brand_new":2}"#);
        assert!(!standing.unconfirmed.is_empty() && names("VPC", standing).0.is_empty());
        assert!(standing.unconfirmed.has(FieldSet::of(Kind::named("VPC").unwrap(), ["brand_new.deep"])));
    }
}
