//! The calls of the step `UpdateResource`. Pure: the live document in, the next call out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Revert,
    assess::{judge, rule},
    remove_all,
};
use crate::{
    comparison::{scalar::text, secret::digest},
    digitalocean::{
        ChangeMethod, Endpoint, FieldComparison, Kind, Live, ResourceKey,
        document::{at, is_empty_value, put},
        kinds::{BodyShape, CallTemplate, Content, Guard, How, MemberCall, RestState, Spelling, WriteRule},
        merge::remove_added,
    },
};

/// The live value of a field, to restore it later.
pub(crate) fn value_before(live: &Live, field: &str) -> Value {
    let value = live.value(field);
    if value.is_null() { unset(live, field).cloned().unwrap_or(value) } else { value }
}

/// The value of a field that is not set.
fn unset(live: &Live, field: &str) -> Option<&'static Value> {
    let path = live.path(field);
    let rule = rule(live.key().kind.row().revert.as_ref()?, &path)?;
    rule.unset.as_ref().filter(|_| rule.names.iter().any(|name| name.matches(&path)))
}

/// The digest of the live value of a field, as its comparison with the desired one shows it. The order of lists does not
/// count. None if they cannot be compared.
pub(crate) fn live_digest(live: &Live, field: &str, desired: &Value) -> Option<String> {
    match live.compare(field, desired) {
        FieldComparison::Done(comparison) => Some(digest(&sorted(comparison.adopted))),
        FieldComparison::Unknown(_) | FieldComparison::NotReadable | FieldComparison::NoSuchField { .. } => None,
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(sorted).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, sorted(value))).collect(),
        value => value,
    }
}

/// A call that changes a resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) verb: ChangeMethod,
    pub(crate) route: &'static str,
    pub(crate) scope: &'static str,
    pub(crate) body: Value,
    /// The key of the response; none if it has no body.
    pub(crate) answer: Option<&'static str>,
    /// The body in another spelling, for servers that refuse the first one with 422.
    pub(crate) alternative: Option<Value>,
}

/// The write that changes a field of the resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldWrite {
    write: &'static WriteRule,
}

impl Request {
    /// The path of the call for a resource.
    pub(crate) fn path<'p>(&self, key: &'p ResourceKey) -> Endpoint<'p> {
        let (parent, id) = key.parts();
        Endpoint {
            route: self.route,
            parent: parent.filter(|_| self.route.contains("{parent}")),
            id: Some(id).filter(|_| self.route.contains("{id}")),
            scope: self.scope,
        }
    }
}

impl FieldWrite {
    /// The write of a field, by the rules for the live document.
    pub(crate) fn of(revert: &Revert<'_>) -> Option<Self> {
        Self::named(revert.document.key().kind, judge(revert).how?)
    }

    /// The write that a field needed when it had this value, in either direction: for undoing.
    pub(crate) fn from(live: &Live, field: &str, was: &Value) -> Option<Self> {
        let kind = live.key().kind;
        let rule = rule(kind.row().revert.as_ref()?, &live.path(field))?;
        let mut document = live.document().clone();
        put(&mut document, &document_path(live, field), was.clone());
        let case = rule.cases.iter().find(|case| {
            case.how.is_some() && case.condition.as_ref().is_none_or(|condition| condition.holds(&document))
        });
        Self::named(kind, case.and_then(|case| case.how.as_ref()).or(rule.how.as_ref())?)
    }

    fn named(kind: Kind, how: &How) -> Option<Self> {
        let How::UpdateResource(write) = how else { return None };
        Some(Self { write: kind.row().revert.as_ref()?.writes.get(write)? })
    }

    /// The write that repeats a change which the cloud could not complete.
    pub(crate) fn retry(self, kind: Kind) -> Self {
        let other = self.write.retry.as_ref().and_then(|name| kind.row().revert.as_ref()?.writes.get(name));
        other.map_or(self, |write| Self { write })
    }

    /// The progress of a change of the resource.
    pub(crate) fn rest(self, document: &Value) -> RestState {
        self.write.rest.as_ref().map_or(RestState::AtRest, |rest| rest.state(document))
    }

    /// Returns true if one call completes the change, and its response shows the new value.
    pub(crate) fn is_done_at_once(self) -> bool {
        self.write.rest.is_none() && !self.has_members()
    }

    /// Returns true if members are added and removed one by one.
    pub(crate) fn has_members(self) -> bool {
        self.write.shape == BodyShape::Members
    }

    /// The document without the members that a step added, and with those that it removed. Others are kept.
    pub(crate) fn undone_members(self, live: &Live, field: &str, was: &Value, wrote: &Value) -> Option<Value> {
        if !self.has_members() {
            return None;
        }
        let path = document_path(live, field);
        let now = at(live.document(), &path.join("."))?;
        if !now.is_array() {
            let mut document = live.document().clone();
            let is_put = put(&mut document, &path, was.clone());
            return is_put.then_some(document);
        }
        let (now, was, wrote) = (members_of(now), members_of(was), members_of(wrote));
        let has = |list: &[Value], item: &Value| list.iter().any(|other| text(other) == text(item));
        let kept = now.iter().filter(|item| has(&was, item) || !has(&wrote, item));
        let removed = was.iter().filter(|item| !has(&now, item) && !has(&wrote, item));
        let members: Vec<_> = kept.chain(removed).cloned().collect();
        let mut document = live.document().clone();
        put(&mut document, &path, Value::Array(members)).then_some(document)
    }

    /// Keys of the body that are sent with the recorded value of another field, and those fields.
    pub(crate) fn with_recorded(self) -> &'static BTreeMap<String, String> {
        &self.write.with_recorded
    }

    /// Another controller that may set the field: its condition, and the path and the key of the document to check.
    pub(crate) fn guard(self, live: &Live) -> Option<(&'static Guard, Endpoint<'_>, &'static str)> {
        let guard = self.write.guard.as_ref()?;
        let key = live.key();
        let path = Endpoint { route: &guard.get.path, parent: None, id: Some(&key.id), scope: &key.kind.row().scope };
        Some((guard, path, &guard.get.key))
    }

    /// Returns true if the version in the body has to be looked up.
    pub(crate) fn needs_version(self) -> bool {
        self.write.spelling == Some(Spelling::ClusterVersion)
    }

    /// The scope of a field that the write sends but the document does not show.
    pub(crate) fn hidden(self, live: &Live) -> Option<&'static str> {
        let document = live.document();
        let lacking = self.write.must_show.iter().find(|(field, _)| document.get(field.as_str()).is_none());
        if let Some((_, scope)) = lacking {
            return Some(scope);
        }
        let gated = live.key().kind.row().gated.iter().filter(|(gate, _)| gate.len() == 1 && self.sends(gate.root()));
        let mut hidden = gated.filter(|(gate, _)| document.get(gate.root()).is_none());
        hidden.next().map(|(_, scope)| scope.as_str())
    }

    /// The scopes without which nested lists are missing from the document without any sign.
    pub(crate) fn scopes_in_doubt(self, kind: Kind) -> Vec<&'static str> {
        let gated = &kind.row().gated;
        let is_evident = |scope: &str| gated.iter().any(|(gate, of)| gate.len() == 1 && of == scope);
        let nested =
            gated.iter().filter(|(gate, scope)| gate.len() > 1 && self.sends(gate.root()) && !is_evident(scope));
        let mut scopes: Vec<_> = nested.map(|(_, scope)| scope.as_str()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    fn sends(self, field: &str) -> bool {
        match self.write.shape {
            BodyShape::Whole => !self.write.omit.iter().any(|omitted| omitted.segments() == [field]),
            BodyShape::Body => self.write.along.values().any(|path| path.split('.').next() == Some(field)),
            BodyShape::Members => false,
        }
    }

    /// The next call that brings the live document closer to the restored one. `more` is sent too.
    ///
    /// # Errors
    /// The reason why there is no such call.
    pub(crate) fn request(
        self,
        live: &Live,
        field: &str,
        restored: &Value,
        more: &Map<String, Value>,
    ) -> Result<Request, String> {
        let path = document_path(live, field);
        match (self.write.shape, &self.write.call) {
            (BodyShape::Members, _) => self.members(live, &path, restored),
            (shape, Some(call)) => {
                let mut body = match shape {
                    BodyShape::Whole => self.whole(restored),
                    _ => self.body(&path, restored),
                };
                body.extend(more.clone());
                let changed = path.first().map_or(field, String::as_str);
                if let Some(spelling) = self.write.spelling {
                    spelling.spell(&mut body, changed);
                }
                numbers(&mut body);
                drop_old_ids(&mut body, live.document());
                let alternative = self.write.spelling.and_then(|spelling| spelling.alternative(&body));
                Ok(Request {
                    body: Value::Object(body),
                    answer: self.write.answer.as_deref(),
                    alternative: alternative.map(Value::Object),
                    ..request(call, &self.write.scope)
                })
            }
            (_, None) => Err(format!("the rules of {} have no call for {field}", live.key().kind)),
        }
    }

    /// The whole document, except parts that must not be sent. A null equals a missing key.
    fn whole(self, restored: &Value) -> Map<String, Value> {
        let mut body = restored.clone();
        remove_all(&mut body, &self.write.omit);
        let mut body = match body {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        body.retain(|_, value| !value.is_null());
        body
    }

    /// The changed field and the fields that are sent along.
    fn body(self, path: &[String], restored: &Value) -> Map<String, Value> {
        let mut body = Value::Object(Map::new());
        if let Value::Object(body) = &mut body {
            let along = self.write.along.iter().filter_map(|(key, path)| Some((key, at(restored, path)?)));
            body.extend(along.filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())));
            let dotted = path.join(".");
            let covers = |other: &str| is_within(other, &dotted) || is_within(&dotted, other);
            let keys: BTreeMap<&str, &str> = if self.write.keys.is_empty() {
                path.first().map(|root| (root.as_str(), root.as_str())).into_iter().collect()
            } else {
                self.write.keys.iter().map(|(key, path)| (key.as_str(), path.as_str())).collect()
            };
            for (key, path) in keys.into_iter().filter(|(_, path)| covers(path)) {
                body.insert(key.to_owned(), at(restored, path).cloned().unwrap_or_default());
            }
        }
        remove_all(&mut body, &self.write.omit);
        match body {
            Value::Object(body) => body,
            _ => Map::new(),
        }
    }

    /// A call that first adds members, and then one that removes others.
    fn members(self, live: &Live, path: &[String], restored: &Value) -> Result<Request, String> {
        let dotted = path.join(".");
        let items = |document: &Value| at(document, &dotted).map(members_of).unwrap_or_default();
        let (is, wanted) = (items(live.document()), items(restored));
        let less = |from: &[Value], what: &[Value]| -> Vec<Value> {
            from.iter().filter(|item| !what.iter().any(|other| text(other) == text(item))).cloned().collect()
        };
        let (missing, extra) = (less(&wanted, &is), less(&is, &wanted));
        let call = |call: &'static Option<MemberCall>, members: &[Value], verb: &str| {
            let call = call.as_ref().ok_or_else(|| format!("{dotted}: the operator does not {verb} its members"))?;
            Ok(Request {
                body: member_body(&call.body, live.key(), members),
                answer: call.answer.as_deref(),
                ..request(&call.call, &call.scope)
            })
        };
        if missing.is_empty() {
            call(&self.write.remove, &extra, "remove")
        } else {
            call(&self.write.add, &missing, "add")
        }
    }
}

fn request(call: &'static CallTemplate, scope: &'static str) -> Request {
    Request { verb: call.verb, route: &call.path, scope, body: Value::Null, answer: None, alternative: None }
}

/// The members of a list; an enabled switch has one.
fn members_of(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.iter().filter(|item| !is_empty_value(item)).cloned().collect(),
        Value::Bool(false) => Vec::new(),
        blank if is_empty_value(blank) => Vec::new(),
        one => vec![one.clone()],
    }
}

fn member_body(template: &BTreeMap<String, Content>, key: &ResourceKey, members: &[Value]) -> Value {
    let part = |content: &Content| match content {
        Content::Members => Value::Array(members.to_vec()),
        Content::Member => members.first().cloned().unwrap_or_default(),
        Content::Ids => json!([*key.id]),
    };
    let mut body: Map<String, Value> = template.iter().map(|(name, content)| (name.clone(), part(content))).collect();
    numbers(&mut body);
    Value::Object(body)
}

/// Items of lists keep their `uuid` only if they are live: the cloud assigns new ones to others.
fn drop_old_ids(body: &mut Map<String, Value>, live: &Value) {
    for (key, value) in body {
        let items = live.get(key.as_str()).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_live = |uuid: &Value| items.iter().any(|item| item.get("uuid") == Some(uuid));
        for item in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            if item.get("uuid").is_some_and(|uuid| !is_live(uuid)) {
                item.remove("uuid");
            }
        }
    }
}

/// Droplets are numbers, but may be recorded as texts.
fn numbers(body: &mut Map<String, Value>) {
    for (key, value) in body {
        match value {
            Value::Array(items) if key == "droplet_ids" => {
                for item in items {
                    if let Some(number) = item.as_str().and_then(|text| text.parse::<u64>().ok()) {
                        *item = json!(number);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(numbers),
            Value::Object(below) => numbers(below),
            _ => {}
        }
    }
}

/// The path of a field in the document.
fn document_path(live: &Live, field: &str) -> Vec<String> {
    match live.source(field) {
        Some(path) => path.split('.').map(ToOwned::to_owned).collect(),
        None => live.path(field),
    }
}

/// The document without the keys of a field's maps that a step added. None if there are none.
pub(crate) fn without_added(
    live: &Live,
    document: &Value,
    field: &str,
    (was, wrote): (&Value, &Value),
) -> Option<Value> {
    let path = document_path(live, field);
    let mut value = at(document, &path.join("."))?.clone();
    let mut document = document.clone();
    let unset = unset(live, field).unwrap_or(&Value::Null);
    (remove_added(&mut value, was, wrote, unset) && put(&mut document, &path, value)).then_some(document)
}

/// Returns true if a dotted path equals another one or is below it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
