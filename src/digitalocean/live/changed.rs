//! Every readable field of every kind, changed at each leaf, item and key of DigitalOcean's own example documents: each
//! change is a difference or has a named reason, unless a rule of the table exempts it.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

use super::{FieldComparison, Live, Resolved};
use crate::{
    comparison::scalar::{is_blank, text},
    digitalocean::{Kind, ResourceKey, equivalence::Equivalence, examples, live_document::LiveDocument},
};

/// One change of a document.
struct Change {
    document: Value,
    path: Vec<String>,
    what: What,
    /// The added or removed key.
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Leaf,
    Emptied,
    ItemGone,
    ItemTwice,
    ItemAdded,
    KeyGone,
    KeyAdded,
}

/// The documents of a kind: the rows of the list's examples, and the examples of single documents.
fn documents(kind: Kind) -> Vec<Value> {
    let row = kind.row();
    let rows = examples::answers(&row.list.path).into_iter().flat_map(|page| match &page[&row.list.key] {
        Value::Array(rows) => rows.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    });
    let single = examples::answers(&row.get.path).into_iter().map(|answer| answer[&row.get.key].clone());
    let mut documents: Vec<Value> = rows.chain(single).filter(Value::is_object).collect();
    documents.extend(pieces(&settled(kind)));
    documents.dedup();
    assert!(!documents.is_empty(), "{kind}");
    documents
}

/// A document with every documented field.
pub(super) fn full_document(kind: Kind) -> Value {
    let row = kind.row();
    examples::full_document(&row.get.path, &row.get.key)
}

/// The same, without the fields that the cloud changes.
fn settled(kind: Kind) -> Value {
    let mut document = full_document(kind);
    let is_left_out = |key: &String| kind.row().volatile.contains(key) || key == "pinned_deployment";
    document.as_object_mut().unwrap().retain(|key, _| !is_left_out(key));
    document
}

/// The fields of a large document, one at a time: each is changed at many places.
fn pieces(document: &Value) -> Vec<Value> {
    let fields = document.as_object().unwrap().iter();
    let pieces = fields.flat_map(|(field, value)| match value {
        Value::Object(entries) if entries.len() > 10 => {
            entries.iter().map(|(key, value)| json!({ field: { key: value } })).collect()
        }
        value => vec![json!({ field: value })],
    });
    pieces.collect()
}

pub(super) fn live(kind: Kind, document: &Value) -> Live {
    let id = if kind.parent().is_some() { "example.com/1" } else { "1" };
    Live {
        key: ResourceKey::new(kind, id),
        document: Arc::new(LiveDocument::of(document.clone())),
        unread: Arc::default(),
        certificates: None,
        no_certificates: None,
        scopes: Arc::default(),
        beside: Arc::default(),
    }
}

/// All changes of a document.
fn changes(document: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    visit(document, &mut Vec::new(), &mut |path, value| {
        let mut add = |what, key: Option<&str>, replacement: Value| {
            let mut copy = document.clone();
            replace(&mut copy, path, replacement);
            changes.push(Change { document: copy, path: path.to_vec(), what, key: key.map(ToOwned::to_owned) });
        };
        match value {
            Value::Object(entries) => {
                let mut more = entries.clone();
                more.insert("brand_new".into(), json!("x"));
                add(What::KeyAdded, Some("brand_new"), more.into());
                for key in entries.keys() {
                    let mut less = entries.clone();
                    less.remove(key);
                    add(What::KeyGone, Some(key), less.into());
                }
            }
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    let mut less = items.clone();
                    less.remove(position);
                    add(What::ItemGone, None, less.into());
                    add(What::ItemTwice, None, [items.as_slice(), std::slice::from_ref(item)].concat().into());
                    add(What::ItemAdded, None, [items.as_slice(), &[other(item)]].concat().into());
                }
                if items.is_empty() {
                    add(What::ItemAdded, None, json!(["x"]));
                }
            }
            leaf => {
                add(What::Leaf, None, other(leaf));
                if !leaf.is_null() {
                    add(What::Emptied, None, Value::Null);
                }
            }
        }
    });
    changes
}

/// Another value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!("x"),
        Value::Bool(is) => json!(!is),
        Value::Number(number) => json!(number.as_f64().unwrap() + 1.0),
        Value::String(text) => json!(format!("{text}7")),
        Value::Array(items) => items.iter().map(other).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), other(value))).collect::<Map<_, _>>().into()
        }
    }
}

pub(super) fn visit(value: &Value, path: &mut Vec<String>, each: &mut dyn FnMut(&[String], &Value)) {
    each(path, value);
    let below: Vec<(String, &Value)> = match value {
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        path.push(key);
        visit(value, path, each);
        path.pop();
    }
}

fn replace(value: &mut Value, path: &[String], replacement: Value) {
    *value.pointer_mut(&pointer(path)).unwrap() = replacement;
}

pub(super) fn pointer<'p>(path: impl IntoIterator<Item = &'p String>) -> String {
    let keys = path.into_iter().map(|key| key.replace('~', "~0").replace('/', "~1"));
    keys.flat_map(|key| ["/".to_owned(), key]).collect()
}

/// A value without blanks, with sorted sets: values that every kind treats as equal are equal.
fn plain(value: &Value) -> Value {
    match value {
        value if is_blank(value) => Value::Null,
        Value::Object(entries) => {
            let entries = entries.iter().filter(|(_, value)| !is_blank(value));
            entries.map(|(key, value)| (key.clone(), plain(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter(|item| !is_blank(item)).map(plain).collect();
            if items.iter().all(|item| text(item).is_some()) {
                return items
                    .iter()
                    .map(|item| text(item).unwrap().into_owned())
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
            }
            items.into()
        }
        value => text(value).unwrap().into(),
    }
}

/// Returns true if the change is explained.
fn is_shown(compared: &FieldComparison) -> bool {
    match compared {
        FieldComparison::Done(found) => !found.differences.is_empty() || !found.doubts.is_empty(),
        FieldComparison::Unknown(_) | FieldComparison::NotReadable | FieldComparison::NoSuchField { .. } => true,
    }
}

/// One side of a comparison: the value of a field, and its document.
#[derive(Clone, Copy)]
struct ComparedValue<'v> {
    value: &'v Value,
    document: &'v Value,
}

impl ComparedValue<'_> {
    /// The changed value.
    fn at(&self, change: &Change) -> Value {
        self.document.pointer(&pointer(change.path.iter().chain(&change.key))).cloned().unwrap_or_default()
    }
}

/// The reason in the table why a change is no difference.
fn reason(
    kind: Kind,
    field: &str,
    change: &Change,
    recorded: ComparedValue<'_>,
    live: ComparedValue<'_>,
) -> Option<&'static str> {
    let row = kind.row();
    let field = vec![field.to_owned()];
    let mut paths: Vec<&[String]> = (1..=change.path.len()).map(|depth| &change.path[..depth]).collect();
    paths.push(&field);
    let rules = row.equivalences.iter().filter(|(pattern, _)| paths.iter().any(|path| pattern.matches(path)));
    // The added or removed items.
    let texts = |value: &Value| -> BTreeSet<String> {
        let mut texts = BTreeSet::new();
        visit(value, &mut Vec::new(), &mut |_, value| texts.extend(value.as_str().map(str::to_owned)));
        texts
    };
    let (recorded_texts, live_texts) = (texts(recorded.value), texts(live.value));
    let ends = [recorded.at(change), live.at(change)];
    let is_only_added = |is_automatic: &dyn Fn(&String) -> bool| {
        recorded_texts.is_subset(&live_texts) && live_texts.difference(&recorded_texts).all(is_automatic)
    };
    let is_rule = |how: &Equivalence| match how {
        Equivalence::Assigned => is_blank(recorded.value),
        Equivalence::Tags => is_only_added(&|tag| tag.starts_with("k8s")),
        Equivalence::Features => {
            is_only_added(&|feature| !["backups", "ipv6", "monitoring"].contains(&feature.as_str()))
        }
        // The same image, by its id.
        Equivalence::Image => change.path == ["image", "slug"] && recorded.value.is_number(),
        Equivalence::NodePool => {
            change.path.last().is_some_and(|key| key == "count") || change.key.as_deref() == Some("count")
        }
        Equivalence::NodeCount => recorded.document["auto_scale"] == json!(true),
        Equivalence::ClusterVersion => {
            ends.iter().all(|end| end.as_str().is_some_and(|version| version.starts_with("1.18.")))
        }
        Equivalence::AppValue | Equivalence::Toggle => ends.iter().all(is_zero),
        Equivalence::AppVariable => ends.iter().all(|end| is_blank(end) || *end == json!("GENERAL")),
        _ => false,
    };
    rules.map(|(_, how)| *how).find(is_rule).map(Equivalence::says)
}

/// A value that the API leaves out, or a map of such values.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.values().all(is_zero),
        Value::String(text) => text.is_empty() || text == "AUTOASSIGN" || text.starts_with("UNSPECIFIED"),
        value => is_blank(value) || *value == json!(false) || value.as_f64() == Some(0.0),
    }
}

/// Returns true if an unrecorded key has a default which differs from the live value.
fn is_closed(kind: Kind, change: &Change, document: &Value) -> bool {
    let Some(key) = &change.key else { return false };
    let live = document.pointer(&pointer(change.path.iter().chain([key]))).cloned().unwrap_or_default();
    let defaults = kind.row().closed.iter().filter(|(pattern, _)| pattern.matches(&change.path));
    let mut defaults = defaults.filter_map(|(_, keys)| keys.get(key));
    // Only the keys of a default count.
    let differs = |default: &Value| match (default, &live) {
        (Value::Object(keys), Value::Object(live)) => {
            keys.iter().any(|(key, of)| live.get(key).is_none_or(|it| it != of))
        }
        (default, live) => plain(default) != plain(live),
    };
    defaults.any(differs)
}

#[test]
fn every_change_of_a_field_is_reported_and_accepting_it_settles_it() {
    let (mut untold, mut unsettled) = (BTreeSet::new(), BTreeSet::new());
    let mut count = 0;
    for kind in Kind::all() {
        for document in documents(kind) {
            let before = live(kind, &document);
            let mut fields: BTreeSet<&str> = kind.fields().collect();
            fields.extend(document.as_object().unwrap().keys().map(String::as_str));
            for change in changes(&document) {
                let after = live(kind, &change.document);
                // The document's own field, and all derived fields.
                let root = change.path.first().or(change.key.as_ref());
                let may_change = |field: &&&str| {
                    root.is_some_and(|root| root == **field) || kind.row().derived.contains_key(**field)
                };
                for field in fields.iter().filter(may_change) {
                    let value = |live: &Live| match live.resolve(field, &Value::Null) {
                        Resolved::Value(value) => Some(value),
                        _ => None,
                    };
                    let (Some(old), Some(new)) = (value(&before), value(&after)) else { continue };
                    if old == new || plain(&old) == plain(&new) {
                        continue;
                    }
                    let old = ComparedValue { value: &old, document: &document };
                    let new = ComparedValue { value: &new, document: &change.document };
                    for (is_back, recorded, running, live) in [(false, old, new, &after), (true, new, old, &before)] {
                        // Other unrecorded keys are not compared.
                        let is_unrecorded =
                            matches!((change.what, is_back), (What::KeyAdded, false) | (What::KeyGone, true));
                        if is_unrecorded && !is_closed(kind, &change, running.document) {
                            continue;
                        }
                        count += 1;
                        let compared = live.compare(field, recorded.value);
                        if let FieldComparison::Done(found) = &compared
                            && !matches!(live.compare(field, &found.adopted), FieldComparison::Done(again) if again.differences.is_empty())
                        {
                            let (at, what) = (change.path.join("."), change.what);
                            unsettled
                                .insert(format!("{kind} {field}: {at} {what:?} back={is_back}: {}", found.adopted));
                        }
                        if !is_shown(&compared) && reason(kind, field, &change, recorded, running).is_none() {
                            let (at, what, key) = (change.path.join("."), change.what, &change.key);
                            untold.insert(format!("{kind} {field}: {at} {what:?} {key:?} back={is_back}"));
                        }
                    }
                }
            }
        }
    }
    let untold: Vec<_> = untold.into_iter().collect();
    assert!(untold.is_empty(), "{} of {count}:\n{}", untold.len(), untold.join("\n"));
    let unsettled: Vec<_> = unsettled.into_iter().collect();
    assert!(unsettled.is_empty(), "accepting settles {} of {count} not:\n{}", unsettled.len(), unsettled.join("\n"));
}

#[test]
fn every_change_of_a_leaf_that_is_recorded_by_its_path_is_reported() {
    let mut untold = BTreeSet::new();
    for kind in Kind::all() {
        for document in documents(kind) {
            let leaf = |change: &Change| matches!(change.what, What::Leaf | What::Emptied) && change.path.len() > 1;
            for change in changes(&document).into_iter().filter(leaf) {
                let field = change.path.join(".");
                let after = live(kind, &change.document);
                let (Resolved::Value(recorded), Resolved::Value(value)) =
                    (live(kind, &document).resolve(&field, &Value::Null), after.resolve(&field, &Value::Null))
                else {
                    continue;
                };
                let old = ComparedValue { value: &recorded, document: &document };
                let new = ComparedValue { value: &value, document: &change.document };
                if plain(&recorded) != plain(&value)
                    && !is_shown(&after.compare(&field, &recorded))
                    && reason(kind, &field, &change, old, new).is_none()
                {
                    untold.insert(format!("{kind} {field}: {recorded} {:?}", change.what));
                }
            }
        }
    }
    let untold: Vec<_> = untold.into_iter().collect();
    assert!(untold.is_empty(), "{}:\n{}", untold.len(), untold.join("\n"));
}

#[test]
fn every_change_of_a_key_that_all_items_record_alone_is_reported() {
    let mut untold = BTreeSet::new();
    for kind in Kind::all() {
        for document in documents(kind) {
            for change in changes(&document).into_iter().filter(|change| change.what == What::Leaf) {
                // A key of an item of a list.
                let [.., position, key] = change.path.as_slice() else { continue };
                if position.parse::<usize>().is_err() {
                    continue;
                }
                let list = change.path[..change.path.len() - 2].join(".");
                let Resolved::Value(Value::Array(items)) = live(kind, &document).resolve(&list, &Value::Null) else {
                    continue;
                };
                let recorded: Value = items.iter().map(|item| json!({ key: item.get(key) })).collect();
                let after = live(kind, &change.document);
                let Resolved::Value(value) = after.resolve(&list, &Value::Null) else { continue };
                let old = ComparedValue { value: &recorded, document: &document };
                let new = ComparedValue { value: &value, document: &change.document };
                if !is_shown(&after.compare(&list, &recorded)) && reason(kind, &list, &change, old, new).is_none() {
                    untold.insert(format!("{kind} {list}: {key} {recorded}"));
                }
            }
        }
    }
    let untold: Vec<_> = untold.into_iter().collect();
    assert!(untold.is_empty(), "{}:\n{}", untold.len(), untold.join("\n"));
}

/// The value without some of its keys, the same in each item of a list, except those on the way of a path.
fn pruned(value: &Value, at: &mut Vec<String>, kept: &[String], seed: usize) -> Value {
    match value {
        Value::Object(entries) => {
            let mut rest = Map::new();
            for (key, value) in entries {
                at.push(key.clone());
                let pattern: Vec<&String> = at.iter().filter(|key| key.parse::<usize>().is_err()).collect();
                let on_the_way = kept.iter().filter(|key| key.parse::<usize>().is_err());
                let is_on_the_way = pattern.iter().copied().eq(on_the_way.take(pattern.len()));
                let digest = pattern
                    .iter()
                    .flat_map(|key| key.bytes())
                    .fold(seed, |sum, byte| sum * 31 % 65_521 + usize::from(byte));
                if is_on_the_way || digest % 2 == 0 {
                    rest.insert(key.clone(), pruned(value, at, kept, seed));
                }
                at.pop();
            }
            rest.into()
        }
        Value::Array(items) => {
            let rest = items.iter().enumerate().map(|(position, item)| {
                at.push(position.to_string());
                let rest = pruned(item, at, kept, seed);
                at.pop();
                rest
            });
            rest.collect()
        }
        value => value.clone(),
    }
}

#[test]
fn every_change_of_a_leaf_is_reported_with_any_other_recorded_fields() {
    let mut untold = BTreeSet::new();
    for kind in Kind::all() {
        for document in documents(kind) {
            for change in changes(&document).into_iter().filter(|change| change.what == What::Leaf) {
                let field = change.path[0].as_str();
                let after = live(kind, &change.document);
                let (Resolved::Value(recorded), Resolved::Value(value)) =
                    (live(kind, &document).resolve(field, &document[field]), after.resolve(field, &document[field]))
                else {
                    continue;
                };
                for seed in 1..3 {
                    let recorded = pruned(&recorded, &mut vec![field.to_owned()], &change.path, seed);
                    let old = ComparedValue { value: &recorded, document: &document };
                    let new = ComparedValue { value: &value, document: &change.document };
                    if plain(&recorded) != plain(&value)
                        && !is_shown(&after.compare(field, &recorded))
                        && reason(kind, field, &change, old, new).is_none()
                    {
                        untold.insert(format!("{kind} {}: {recorded} -> {value}", change.path.join(".")));
                    }
                }
            }
        }
    }
    let untold: Vec<_> = untold.into_iter().collect();
    assert!(untold.is_empty(), "{}:\n{}", untold.len(), untold.join("\n"));
}

/// Other notations and other values of a leaf.
fn variants(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => {
            vec![
                json!(text.to_uppercase()),
                json!(format!(" {text} ")),
                json!(format!("{text}7")),
                json!("x"),
                Value::Null,
            ]
        }
        Value::Bool(is) => vec![json!(is.to_string()), json!(!is), Value::Null],
        Value::Number(number) => {
            vec![json!(number.to_string()), json!(number.as_f64().unwrap() + 1.0), json!(0), Value::Null]
        }
        _ => Vec::new(),
    }
}

#[test]
fn a_part_that_is_recorded_by_its_path_gets_the_verdict_of_the_whole() {
    let mut unlike = BTreeSet::new();
    let mut count = 0;
    for kind in Kind::all() {
        for document in documents(kind) {
            let live = live(kind, &document);
            let mut leaves = Vec::new();
            visit(&document, &mut Vec::new(), &mut |path, value| {
                // Positions of items mean nothing: sets are compared as a whole.
                let is_item = path.last().is_some_and(|key| key.parse::<usize>().is_ok());
                if path.len() > 1 && !is_item {
                    leaves.extend(variants(value).into_iter().map(|variant| (path.to_vec(), variant)));
                }
            });
            for (path, variant) in leaves {
                let (root, field) = (path[0].as_str(), path.join("."));
                let mut recorded = document.clone();
                replace(&mut recorded, &path, variant.clone());
                let verdict = |compared: FieldComparison| match compared {
                    FieldComparison::Done(found) => Some(found.differences.is_empty()),
                    _ => None,
                };
                let live = live.for_record(&[(root.to_owned(), recorded[root].clone())].into());
                let (Some(whole), Some(part)) =
                    (verdict(live.compare(root, &recorded[root])), verdict(live.compare(&field, &variant)))
                else {
                    continue;
                };
                count += 1;
                if whole != part {
                    let is = document.pointer(&pointer(&path)).unwrap();
                    unlike.insert(format!(
                        "{kind} {field}: {variant} -> {is}: as a part {}",
                        if part { "equal" } else { "different" }
                    ));
                }
            }
        }
    }
    let unlike: Vec<_> = unlike.into_iter().collect();
    assert!(count > 3_000, "{count}");
    assert!(unlike.is_empty(), "{} of {count}:\n{}", unlike.len(), unlike.join("\n"));
}

#[test]
fn a_key_beside_a_recorded_part_that_changes_access_is_told() {
    let mut untold = BTreeSet::new();
    let mut count = 0;
    for kind in Kind::all() {
        let row = kind.row();
        for document in documents(kind) {
            let mut maps = Vec::new();
            visit(&document, &mut Vec::new(), &mut |path, value| {
                if value.is_object() && row.together.keys().any(|pattern| pattern.matches(path)) {
                    maps.push((path.to_vec(), value.clone()));
                }
            });
            for (path, map) in maps {
                let closed = row.closed.iter().filter(|(pattern, _)| pattern.matches(&path));
                let (_, together) = row.together.iter().find(|(pattern, _)| pattern.matches(&path)).unwrap();
                let closed = closed.flat_map(|(_, keys)| keys).filter(|(key, _)| together.contains(key));
                for (key, default) in closed {
                    let changed = match default {
                        Value::Bool(is) => json!(!is),
                        _ => json!(["brand-new"]),
                    };
                    let mut after = document.clone();
                    after.pointer_mut(&pointer(&path)).unwrap()[key] = changed;
                    let others =
                        map.as_object().unwrap().iter().filter(|(other, _)| *other != key && together.contains(other));
                    for (other, recorded) in others {
                        count += 1;
                        let field = [path.as_slice(), std::slice::from_ref(other)].concat().join(".");
                        if !is_shown(&live(kind, &after).compare(&field, recorded)) {
                            untold.insert(format!("{kind} {field}: {key}"));
                        }
                    }
                }
            }
        }
    }
    let untold: Vec<_> = untold.into_iter().collect();
    assert!(count > 30, "{count}");
    assert!(untold.is_empty(), "{} of {count}:\n{}", untold.len(), untold.join("\n"));
}
