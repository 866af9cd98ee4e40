//! All records and drifts in memory, as small as verdicts allow. Fed by two watches and by the operator's own writes,
//! so that it never lags behind what this process did.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::{known::KnownDrift, status::StatusSummary};
use crate::{
    api::{Drift, ProvisionedResource, annotations},
    digitalocean::{FieldSet, Kind, ResourceKey, Wanted},
    kube_ext::{
        key::ObjectKey,
        mirror::{Mirror, Presence, is_newer},
        watch::{Scope, is_in},
    },
};

/// What is kept of a `ProvisionedResource`.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its UID.
    pub uid: Arc<str>,
    /// The version of the object; writes to its spec are bound to it.
    pub resource_version: Box<str>,
    /// The version of the record.
    pub generation: i64,
    /// When it was made.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// The live thing.
    pub resource: ResourceKey,
    /// `spec.desired`, as JSON: parsed when it is compared.
    pub desired: Box<str>,
    /// The fields of the live document that it records.
    pub fields: FieldSet,
    /// `spec.drift.ignore`.
    pub ignore: BTreeSet<Box<str>>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Whether the object has any annotation.
    pub has_annotations: bool,
    /// The drift that was adopted last.
    pub last_accepted: Option<Box<str>>,
    /// The sync that somebody asks for.
    pub sync_requested: Option<Box<str>>,
    /// What its status says.
    pub status: StatusSummary,
}

impl Record {
    fn of(object: &ProvisionedResource) -> Self {
        let annotation = |key: &str| object.annotations().get(key).map(|text| text.as_str().into());
        Self {
            uid: object.uid().unwrap_or_default().into(),
            resource_version: object.resource_version().unwrap_or_default().into(),
            generation: object.metadata.generation.unwrap_or_default(),
            created: object.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleting: object.metadata.deletion_timestamp.is_some(),
            resource: object.spec.resource.key(),
            desired: serde_json::to_string(&object.spec.desired).unwrap_or_default().into(),
            fields: FieldSet::of(object.spec.resource.kind, object.spec.desired.keys().map(String::as_str)),
            ignore: object.spec.drift.ignore.iter().map(|field| field.as_str().into()).collect(),
            suspended: object.spec.suspend,
            has_annotations: !object.annotations().is_empty(),
            last_accepted: annotation(annotations::LAST_ACCEPTED),
            sync_requested: annotation(annotations::SYNC_REQUESTED_AT),
            status: StatusSummary::of(object.status.as_ref()),
        }
    }

    /// The expected value of each field.
    #[must_use]
    pub fn desired_fields(&self) -> BTreeMap<String, Value> {
        serde_json::from_str(&self.desired).unwrap_or_default()
    }

    /// The sync that somebody asks for and has not got yet.
    #[must_use]
    pub fn unanswered_sync(&self) -> Option<&str> {
        let requested = self.sync_requested.as_deref();
        requested.filter(|requested| self.status.last_handled_sync.as_deref() != Some(requested))
    }
}

/// Everything that one evaluation reads.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// The older record of the same resource, if there is one.
    pub older: Option<ObjectKey>,
    /// Its drifts.
    pub drifts: Vec<KnownDrift>,
}

impl Entry {
    /// Whether the objects are in the same versions.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let version = |entry: &Self| (entry.record.uid.clone(), entry.record.resource_version.clone());
        version(self) == version(other) && self.drifts == other.drifts
    }
}

/// The open drifts of one field, of all resources of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDrifts {
    /// The kind.
    pub kind: Kind,
    /// The recorded field.
    pub field: String,
    /// How many.
    pub count: i64,
    /// When the first of them was opened.
    pub oldest: Timestamp,
}

/// The records and drifts of the cluster.
#[derive(Default)]
pub struct Index {
    records: HashMap<ObjectKey, Record>,
    by_resource: HashMap<ResourceKey, Vec<ObjectKey>>,
    by_uid: HashMap<Arc<str>, ObjectKey>,
    /// By the UID of their record, which may not be known (any more).
    drifts: HashMap<Box<str>, Drifts>,
    present_records: Presence,
    present_drifts: Presence,
}

/// The drifts of one record.
struct Drifts {
    namespace: Arc<str>,
    all: Vec<KnownDrift>,
}

impl Index {
    /// What an evaluation of this record needs.
    #[must_use]
    pub fn entry(&self, key: &ObjectKey) -> Option<Entry> {
        let record = self.records.get(key)?.clone();
        let drifts = self.drifts.get(record.uid.as_ref()).map(|drifts| drifts.all.clone()).unwrap_or_default();
        Some(Entry { older: self.older_than(key, &record), record, drifts })
    }

    /// The record alone.
    #[must_use]
    pub fn record(&self, key: &ObjectKey) -> Option<&Record> {
        self.records.get(key)
    }

    /// One drift of a record.
    #[must_use]
    pub fn drift(&self, owner: &str, name: &str) -> Option<&KnownDrift> {
        self.drifts.get(owner)?.all.iter().find(|drift| drift.name.as_ref() == name)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Every record.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.records.keys()
    }

    /// The records of one live resource.
    #[must_use]
    pub fn records_of(&self, resource: &ResourceKey) -> &[ObjectKey] {
        self.by_resource.get(resource).map_or(&[], Vec::as_slice)
    }

    /// The kinds that are recorded.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.by_resource.keys().map(|resource| resource.kind).collect()
    }

    /// What is recorded of a kind.
    #[must_use]
    pub fn recorded(&self, kind: Kind) -> Vec<Wanted> {
        let of_kind = self.by_resource.iter().filter(|(resource, _)| resource.kind == kind);
        let wanted = |(resource, keys): (&ResourceKey, &Vec<ObjectKey>)| {
            let records = keys.iter().filter_map(|key| self.records.get(key));
            let fields = records.fold(FieldSet::default(), |fields, record| fields.union(record.fields));
            Wanted { id: resource.id.clone(), fields }
        };
        of_kind.map(wanted).collect()
    }

    /// The records of a kind.
    #[must_use]
    pub fn keys_of(&self, kind: Kind) -> Vec<ObjectKey> {
        self.records.iter().filter(|(_, record)| record.resource.kind == kind).map(|(key, _)| key.clone()).collect()
    }

    /// The open drifts, by kind and field.
    #[must_use]
    pub fn open_drifts(&self) -> Vec<OpenDrifts> {
        let mut open: BTreeMap<(Kind, &str), (i64, Timestamp)> = BTreeMap::new();
        for (owner, drifts) in &self.drifts {
            let record = self.by_uid.get(owner.as_ref()).and_then(|key| self.records.get(key));
            let Some(kind) = record.map(|record| record.resource.kind) else { continue };
            for drift in drifts.all.iter().filter(|drift| drift.is_open()) {
                let (count, oldest) = open.entry((kind, drift.field.as_ref())).or_insert((0, drift.created));
                *count += 1;
                *oldest = drift.created.min(*oldest);
            }
        }
        let told = |((kind, field), (count, oldest)): ((Kind, &str), _)| OpenDrifts {
            kind,
            field: field.to_owned(),
            count,
            oldest,
        };
        open.into_iter().map(told).collect()
    }

    fn remove(&mut self, key: &ObjectKey) -> Vec<ObjectKey> {
        let Some(record) = self.records.remove(key) else { return Vec::new() };
        self.by_uid.remove(&record.uid);
        let Some(others) = self.by_resource.get_mut(&record.resource) else { return Vec::new() };
        others.retain(|other| other != key);
        let others = others.clone();
        if others.is_empty() {
            self.by_resource.remove(&record.resource);
        }
        others
    }

    /// Drops a drift that this process deleted.
    pub fn forget_drift(&mut self, owner: &str, uid: &str) {
        if let Some(drifts) = self.drifts.get_mut(owner) {
            drifts.all.retain(|drift| drift.uid.as_ref() != uid);
            if drifts.all.is_empty() {
                self.drifts.remove(owner);
            }
        }
    }

    fn older_than(&self, key: &ObjectKey, record: &Record) -> Option<ObjectKey> {
        let age = |record: &Record| (record.created, record.uid.clone());
        let others = self.by_resource.get(&record.resource).into_iter().flatten().filter(|other| *other != key);
        let older = others.filter_map(|other| Some((age(self.records.get(other)?), other)));
        older.min().filter(|(other, _)| *other < age(record)).map(|(_, other)| other.clone())
    }
}

impl Mirror<ProvisionedResource> for Index {
    fn presence(&mut self) -> &mut Presence {
        &mut self.present_records
    }

    fn uids(&self, scope: &Scope) -> HashSet<Box<str>> {
        let records = self.records.iter().filter(|(key, _)| is_in(scope, &key.namespace));
        records.map(|(_, record)| record.uid.as_ref().into()).collect()
    }

    /// Returns the record itself, and the others of the same resource when it is new; none when nothing newer was
    /// learnt.
    fn apply(&mut self, object: &ProvisionedResource) -> Vec<ObjectKey> {
        let key = ObjectKey::of(object);
        let record = Record::of(object);
        let known = self.records.get(&key);
        if known.is_some_and(|known| !is_newer(&record.resource_version, &known.resource_version)) {
            return Vec::new();
        }
        let is_same = known.is_some_and(|known| known.uid == record.uid && known.resource == record.resource);
        let mut affected = vec![key.clone()];
        if !is_same {
            affected.extend(self.remove(&key));
            let others = self.by_resource.entry(record.resource.clone()).or_default();
            affected.extend(others.iter().cloned());
            others.push(key.clone());
            self.by_uid.insert(record.uid.clone(), key.clone());
        }
        self.records.insert(key, record);
        affected
    }

    /// Returns the others of the same resource, one of which may stand now.
    fn delete(&mut self, object: &ProvisionedResource) -> Vec<ObjectKey> {
        let known = self.by_uid.get(object.meta().uid.as_deref().unwrap_or_default()).cloned();
        known.map_or_else(Vec::new, |key| self.remove(&key))
    }

    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
        let gone: Vec<_> = gone.iter().filter_map(|uid| self.by_uid.get(uid.as_ref()).cloned()).collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }
}

/// All return the records of the drifts.
impl Mirror<Drift> for Index {
    fn presence(&mut self) -> &mut Presence {
        &mut self.present_drifts
    }

    fn uids(&self, scope: &Scope) -> HashSet<Box<str>> {
        let drifts = self.drifts.values().filter(|drifts| is_in(scope, &drifts.namespace));
        drifts.flat_map(|drifts| &drifts.all).map(|drift| drift.uid.clone()).collect()
    }

    fn apply(&mut self, object: &Drift) -> Vec<ObjectKey> {
        let drift = KnownDrift::of(object);
        let owner = object.spec.resource_ref.uid.as_str();
        let namespace = || object.namespace().unwrap_or_default().into();
        let drifts =
            self.drifts.entry(owner.into()).or_insert_with(|| Drifts { namespace: namespace(), all: Vec::new() });
        match drifts.all.iter_mut().find(|known| known.uid == drift.uid) {
            Some(known) if !is_newer(&drift.resource_version, &known.resource_version) => return Vec::new(),
            Some(known) => *known = drift,
            None => drifts.all.push(drift),
        }
        self.by_uid.get(owner).cloned().into_iter().collect()
    }

    fn delete(&mut self, object: &Drift) -> Vec<ObjectKey> {
        let owner = object.spec.resource_ref.uid.as_str();
        self.forget_drift(owner, object.metadata.uid.as_deref().unwrap_or_default());
        self.by_uid.get(owner).cloned().into_iter().collect()
    }

    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
        let mut affected = Vec::new();
        self.drifts.retain(|owner, drifts| {
            let before = drifts.all.len();
            drifts.all.retain(|drift| !gone.contains(&drift.uid));
            if drifts.all.len() != before {
                affected.extend(self.by_uid.get(owner.as_ref()).cloned());
            }
            !drifts.all.is_empty()
        });
        affected
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    fn record(name: &str, uid: &str, version: u64) -> ProvisionedResource {
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1",
            "kind": "ProvisionedResource",
            "metadata": { "name": name, "namespace": "default", "uid": uid, "resourceVersion": version.to_string() },
            "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": {} },
        }))
        .unwrap()
    }

    fn drift(uid: &str, version: u64) -> Drift {
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1",
            "kind": "Drift",
            "metadata": { "name": uid, "namespace": "default", "uid": uid, "resourceVersion": version.to_string() },
            "spec": {
                "resourceRef": { "name": "web-1", "uid": "record" }, "resource": { "kind": "Droplet", "id": "1" },
                "field": "name", "episode": 1, "expected": "a", "actual": "b", "specVersion": 1,
            },
        }))
        .unwrap()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: name.into() }
    }

    fn drifts(index: &Index) -> Vec<&str> {
        index.drifts.values().flat_map(|drifts| &drifts.all).map(|drift| drift.uid.as_ref()).collect()
    }

    const ALL: Scope = None;

    #[test]
    fn a_record_that_was_deleted_while_nobody_looked_makes_way_for_the_younger() {
        let mut index = Index::default();
        index.apply(&record("old", "1", 8));
        index.apply(&record("young", "2", 5));
        assert_eq!(index.entry(&key("young")).unwrap().older, Some(key("old")));
        index.take(&ALL, &Event::<ProvisionedResource>::Init);
        index.take(&ALL, &Event::InitApply(record("young", "2", 5)));
        assert_eq!(index.take(&ALL, &Event::<ProvisionedResource>::InitDone), [key("young")]);
        assert_eq!(index.entry(&key("young")).unwrap().older, None);
        assert!(index.learn(&record("old", "1", 9)).is_empty(), "an answer that comes late");
        assert_eq!(index.len(), 1);
    }

    #[test]
    fn a_record_that_was_made_anew_is_not_replaced_by_late_news_of_the_old_one() {
        let mut index = Index::default();
        index.apply(&record("web-1", "1", 5));
        index.take(&ALL, &Event::<ProvisionedResource>::Init);
        index.take(&ALL, &Event::InitApply(record("web-1", "2", 9)));
        assert!(index.learn(&record("web-1", "1", 7)).is_empty());
        assert!(index.take(&ALL, &Event::<ProvisionedResource>::InitDone).is_empty());
        assert_eq!(index.record(&key("web-1")).unwrap().uid.as_ref(), "2");
    }

    #[test]
    fn a_deleted_drift_does_not_come_back_by_an_answer_and_a_new_one_is_known_at_once() {
        let mut index = Index::default();
        index.apply(&record("web-1", "record", 1));
        index.take(&ALL, &Event::Apply(drift("one", 2)));
        assert_eq!(index.take(&ALL, &Event::Delete(drift("one", 4))), [key("web-1")]);
        index.learn(&drift("one", 3));
        index.learn(&drift("two", 5));
        assert_eq!(drifts(&index), ["two"]);
    }

    #[test]
    fn the_last_drift_goes_with_an_empty_list_of_its_namespace() {
        let mut index = Index::default();
        // That of a record that is not known (any more).
        index.apply(&drift("one", 2));
        for (namespace, left) in [("elsewhere", 1), ("default", 0)] {
            index.take(&Some(namespace.into()), &Event::<Drift>::Init);
            index.take(&Some(namespace.into()), &Event::<Drift>::InitDone);
            assert_eq!(drifts(&index).len(), left);
        }
    }
}
