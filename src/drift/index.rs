//! All records and drifts in memory, in the smallest form that verdicts need. Two watches and the operator's own writes
//! update it, so that it never lags behind this process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use tokio::time::Instant;

use super::{
    cached::CachedDrift,
    known::KnownDrift,
    records::{Record, RecordEntry, Records},
    shared::SharedTexts,
};
use crate::{
    api::{Drift, ProvisionedResource, ProvisionedResourceStatus},
    digitalocean::{Kind, ResourceKey, Wanted},
    kube_ext::{
        cache::{Cache, Tombstones},
        key::ObjectKey,
        version::Version,
        watch::{WatchScope, is_in},
    },
};

/// The drifts of a record that is not in the cache.
#[derive(Clone, Debug)]
pub struct Orphans {
    /// The UID of the record.
    pub owner: Box<str>,
    /// The time at which they were first found without it.
    pub since: Instant,
    /// All drifts of the record.
    pub drifts: Vec<KnownDrift>,
}

/// The open drifts of one field, of all resources of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDrifts {
    /// The kind.
    pub kind: Kind,
    /// The recorded field.
    pub field: String,
    /// The number of drifts.
    pub count: i64,
    /// The time at which the first of them was opened.
    pub oldest: Timestamp,
}

/// The records and drifts of the cluster.
#[derive(Default)]
pub struct RecordIndex {
    records: Records,
    /// By the UID of their record, which may not be in the cache.
    drifts: HashMap<Box<str>, Drifts>,
    /// The owners among them that are not in the cache, by the name of the record.
    ownerless: HashMap<ObjectKey, BTreeMap<Box<str>, Instant>>,
    record_tombstones: Tombstones,
    drift_tombstones: Tombstones,
    /// Namespaces and desired values.
    texts: SharedTexts,
}

struct Drifts {
    record: ObjectKey,
    all: Vec<CachedDrift>,
}

impl Drifts {
    /// The drifts as an evaluation reads them.
    fn known(&self) -> Vec<KnownDrift> {
        self.all.iter().map(CachedDrift::known).collect()
    }

    /// The drifts that wait for a decision.
    fn open(&self) -> impl Iterator<Item = &KnownDrift> {
        self.all.iter().filter_map(CachedDrift::open)
    }
}

impl RecordIndex {
    /// The input of an evaluation of this record.
    #[must_use]
    pub fn entry(&self, key: &ObjectKey) -> Option<RecordEntry> {
        let record = self.records.get(key)?.clone();
        let drifts = self.drifts.get(&record.uid).map(Drifts::known).unwrap_or_default();
        Some(RecordEntry { older: self.older_than(&record), record, drifts })
    }

    /// The record alone.
    #[must_use]
    pub fn record(&self, key: &ObjectKey) -> Option<&Record> {
        self.records.get(key).map(Arc::as_ref)
    }

    /// Whether this version of a record is known, or a later one.
    #[must_use]
    pub fn has_record(&self, object: &ObjectMeta) -> bool {
        let known = self.records.get(&ObjectKey::named(object));
        known.is_some_and(|known| !Version::of(object).is_newer(&known.resource_version))
    }

    /// Whether this version of a drift is known, or a later one. The object has at least its owners.
    #[must_use]
    pub fn has_drift(&self, object: &ObjectMeta) -> bool {
        let owners = object.owner_references.iter().flatten();
        let known = owners.filter_map(|owner| self.drifts.get(owner.uid.as_str())).flat_map(|drifts| &drifts.all);
        let uid = object.uid.as_deref().unwrap_or_default();
        known.filter(|drift| drift.uid() == uid).any(|drift| !Version::of(object).is_newer(drift.resource_version()))
    }

    /// Applies the response to a write of a record's status, which has only the metadata of the object. If it shows another
    /// change too, nothing is applied: the watch shows all of it.
    pub(super) fn learn_status(&mut self, metadata: &ObjectMeta, status: &ProvisionedResourceStatus) {
        let known = self.records.get(&ObjectKey::named(metadata));
        let older = known.filter(|known| Version::of(metadata).is_newer(&known.resource_version));
        if let Some(written) = older.and_then(|known| known.with_status(metadata, status)) {
            self.records.insert(written);
        }
    }

    /// The drifts of records of this name that are not in the cache, if they need work.
    #[must_use]
    pub fn orphans(&self, key: &ObjectKey) -> Vec<Orphans> {
        let owners = self.ownerless.get(key).into_iter().flatten();
        let orphans = owners.filter_map(|(owner, since)| {
            let drifts = self.drifts.get(owner)?;
            let is_unsettled = drifts.all.iter().any(|drift| drift.whole().is_some());
            is_unsettled.then(|| Orphans { owner: owner.clone(), since: *since, drifts: drifts.known() })
        });
        orphans.collect()
    }

    /// The names of all records that are not in the cache and have drifts.
    #[must_use]
    pub fn names_of_orphans(&self) -> Vec<ObjectKey> {
        self.ownerless.keys().cloned().collect()
    }

    /// Records that the record of a UID was added to the cache, or removed.
    fn note_owner(&mut self, owner: &str) {
        let Some(drifts) = self.drifts.get(owner) else { return };
        let key = &drifts.record;
        if self.records.of_uid(owner).is_some() {
            self.note_owned(&key.clone(), owner);
        } else {
            self.ownerless.entry(key.clone()).or_default().entry(owner.into()).or_insert_with(Instant::now);
        }
    }

    fn note_owned(&mut self, key: &ObjectKey, owner: &str) {
        if let Some(owners) = self.ownerless.get_mut(key) {
            owners.remove(owner);
            if owners.is_empty() {
                self.ownerless.remove(key);
            }
        }
    }

    /// The record of a drift, which may not be in the cache.
    fn record_of(&self, owner: &str, name: &str, namespace: &Arc<str>) -> ObjectKey {
        let named = || ObjectKey { namespace: namespace.clone(), name: name.into() };
        self.key_of_uid(owner).unwrap_or_else(named)
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns true if there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records whose status was never written.
    pub(super) fn without_status(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.iter().filter(|record| !record.status.is_written())
    }

    /// The keys of all records.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.records.iter().map(|record| &record.key)
    }

    /// The records of one live resource.
    pub fn records_of(&self, resource: &ResourceKey) -> impl Iterator<Item = &ObjectKey> {
        self.records.of_resource(resource).map(|record| &record.key)
    }

    /// The kinds that are recorded.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.records.iter().map(|record| record.resource.kind).collect()
    }

    /// The recorded resources of a kind.
    #[must_use]
    pub fn recorded(&self, kind: Kind) -> Vec<Wanted> {
        let of_kind = self.records.iter().filter(|record| record.resource.kind == kind);
        let mut recorded = Vec::with_capacity(of_kind.clone().count());
        recorded.extend(of_kind.filter_map(|record| {
            let mut records = self.records.of_resource(&record.resource);
            // Several records of one resource count once.
            let first = records.next().filter(|first| Arc::ptr_eq(first, record))?;
            let fields = records.fold(first.fields, |fields, record| fields.union(record.fields));
            Some(Wanted { id: record.resource.id.clone(), fields })
        }));
        recorded
    }

    /// The records of a kind.
    #[must_use]
    pub fn keys_of(&self, kind: Kind) -> Vec<ObjectKey> {
        self.records.iter().filter(|record| record.resource.kind == kind).map(|record| record.key.clone()).collect()
    }

    /// The records of a kind with an open drift on a field that is wanted.
    #[must_use]
    pub fn keys_with_open(&self, kind: Kind, is_wanted: impl Fn(&str) -> bool) -> Vec<ObjectKey> {
        let has_one = |drifts: &Drifts| drifts.open().any(|drift| is_wanted(&drift.field));
        let owners = self.drifts.iter().filter(|(_, drifts)| has_one(drifts));
        let records = owners.filter_map(|(owner, _)| self.records.of_uid(owner));
        records.filter(|record| record.resource.kind == kind).map(|record| record.key.clone()).collect()
    }

    /// The open drifts, by kind and field.
    #[must_use]
    pub fn open_drifts(&self) -> Vec<OpenDrifts> {
        let mut open: BTreeMap<(Kind, &str), (i64, Timestamp)> = BTreeMap::new();
        for (owner, drifts) in &self.drifts {
            let record = self.records.of_uid(owner);
            let Some(kind) = record.map(|record| record.resource.kind) else { continue };
            for drift in drifts.open() {
                let (count, oldest) = open.entry((kind, drift.field.as_ref())).or_insert((0, drift.created));
                *count += 1;
                *oldest = drift.created.min(*oldest);
            }
        }
        let row = |((kind, field), (count, oldest)): ((Kind, &str), _)| OpenDrifts {
            kind,
            field: field.to_owned(),
            count,
            oldest,
        };
        open.into_iter().map(row).collect()
    }

    /// Returns the other records of the same resource, and the record itself if it leaves drifts behind.
    fn remove(&mut self, key: &ObjectKey) -> Vec<ObjectKey> {
        let Some(record) = self.records.remove(key) else { return Vec::new() };
        let mut affected = Vec::new();
        if self.drifts.contains_key(&record.uid) {
            self.note_owner(&record.uid);
            affected.push(key.clone());
        }
        affected.extend(self.records_of(&record.resource).cloned());
        affected
    }

    fn key_of_uid(&self, uid: &str) -> Option<ObjectKey> {
        self.records.of_uid(uid).map(|record| record.key.clone())
    }

    /// Drops a drift that this process deleted.
    pub fn forget_drift(&mut self, owner: &str, uid: &str) {
        if let Some(drifts) = self.drifts.get_mut(owner) {
            drifts.all.retain(|drift| drift.uid() != uid);
            if drifts.all.is_empty() {
                let key = drifts.record.clone();
                self.drifts.remove(owner);
                self.note_owned(&key, owner);
            }
        }
    }

    fn older_than(&self, record: &Arc<Record>) -> Option<ObjectKey> {
        let age = |record: &Record| (record.created, record.uid.clone());
        let others = self.records.of_resource(&record.resource).filter(|other| !Arc::ptr_eq(other, record));
        let older = others.map(|other| (age(other), &other.key)).min();
        older.filter(|(other, _)| *other < age(record)).map(|(_, other)| other.clone())
    }
}

impl Cache<ProvisionedResource> for RecordIndex {
    fn tombstones(&mut self) -> &mut Tombstones {
        &mut self.record_tombstones
    }

    fn uids(&self, scope: &WatchScope) -> HashSet<Box<str>> {
        let records = self.records.iter().filter(|record| is_in(scope, &record.key.namespace));
        records.map(|record| record.uid.clone()).collect()
    }

    /// Returns the record itself, and the other records of the same resource if it is new; empty if the object is no
    /// newer.
    fn apply(&mut self, object: &ProvisionedResource) -> Vec<ObjectKey> {
        let key = ObjectKey::of(object);
        if self.has_record(&object.metadata) {
            return Vec::new();
        }
        let mut record = Record::of(object, &mut self.texts);
        let known = self.records.get(&key);
        if let Some(known) = known.filter(|known| known.uid == record.uid && known.resource == record.resource) {
            // Shared with the inventory.
            let (key, resource) = (known.key.clone(), known.resource.clone());
            (record.key, record.resource) = (key.clone(), resource);
            self.records.insert(record);
            return vec![key];
        }
        let mut affected = vec![record.key.clone()];
        affected.extend(self.remove(&key));
        affected.extend(self.records_of(&record.resource).cloned());
        let uid = record.uid.clone();
        self.records.insert(record);
        self.note_owner(&uid);
        affected
    }

    /// Returns the other records of the same resource, one of which may take effect now.
    fn delete(&mut self, object: &ProvisionedResource) -> Vec<ObjectKey> {
        let known = self.key_of_uid(object.meta().uid.as_deref().unwrap_or_default());
        known.map_or_else(Vec::new, |key| self.remove(&key))
    }

    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
        let gone: Vec<_> = gone.iter().filter_map(|uid| self.key_of_uid(uid)).collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }
}

/// Each method returns the records of the drifts. For a new or changed drift, the record may not be in the cache.
impl Cache<Drift> for RecordIndex {
    fn tombstones(&mut self) -> &mut Tombstones {
        &mut self.drift_tombstones
    }

    fn uids(&self, scope: &WatchScope) -> HashSet<Box<str>> {
        let drifts = self.drifts.values().filter(|drifts| is_in(scope, &drifts.record.namespace));
        drifts.flat_map(|drifts| &drifts.all).map(|drift| drift.uid().into()).collect()
    }

    fn apply(&mut self, object: &Drift) -> Vec<ObjectKey> {
        let drift = CachedDrift::of(KnownDrift::of(object), |field| self.texts.share(field));
        let owner = object.spec.resource_ref.uid.as_str();
        let namespace = self.texts.share(object.metadata.namespace.as_deref().unwrap_or_default());
        let record = self.record_of(owner, &object.spec.resource_ref.name, &namespace);
        let is_new = !self.drifts.contains_key(owner);
        let drifts =
            self.drifts.entry(owner.into()).or_insert_with(|| Drifts { record: record.clone(), all: Vec::new() });
        match drifts.all.iter_mut().find(|known| known.uid() == drift.uid()) {
            Some(known) if !drift.resource_version().is_newer(known.resource_version()) => return Vec::new(),
            Some(known) => *known = drift,
            None => {
                // Most records have one.
                drifts.all.reserve_exact(1);
                drifts.all.push(drift);
            }
        }
        if is_new {
            self.note_owner(owner);
        }
        vec![record]
    }

    fn delete(&mut self, object: &Drift) -> Vec<ObjectKey> {
        let owner = object.spec.resource_ref.uid.as_str();
        self.forget_drift(owner, object.metadata.uid.as_deref().unwrap_or_default());
        self.key_of_uid(owner).into_iter().collect()
    }

    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
        let mut affected = Vec::new();
        self.drifts.retain(|owner, drifts| {
            let before = drifts.all.len();
            drifts.all.retain(|drift| !gone.contains(drift.uid()));
            if drifts.all.len() != before {
                affected.extend(self.records.of_uid(owner).map(|record| record.key.clone()));
            }
            !drifts.all.is_empty()
        });
        self.ownerless.retain(|_, owners| {
            owners.retain(|owner, _| self.drifts.contains_key(owner));
            !owners.is_empty()
        });
        affected
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
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

    fn drifts(index: &RecordIndex) -> Vec<&str> {
        index.drifts.values().flat_map(|drifts| &drifts.all).map(CachedDrift::uid).collect()
    }

    const ALL: WatchScope = None;

    #[test]
    fn a_record_that_was_deleted_unobserved_makes_way_for_the_younger() {
        let mut index = RecordIndex::default();
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
        let mut index = RecordIndex::default();
        index.apply(&record("web-1", "1", 5));
        index.take(&ALL, &Event::<ProvisionedResource>::Init);
        index.take(&ALL, &Event::InitApply(record("web-1", "2", 9)));
        assert!(index.learn(&record("web-1", "1", 7)).is_empty());
        assert!(index.take(&ALL, &Event::<ProvisionedResource>::InitDone).is_empty());
        assert_eq!(index.record(&key("web-1")).unwrap().uid.as_ref(), "2");
    }

    #[test]
    fn a_deleted_drift_does_not_come_back_by_an_answer_and_a_new_one_is_known_at_once() {
        let mut index = RecordIndex::default();
        index.apply(&record("web-1", "record", 1));
        index.take(&ALL, &Event::Apply(drift("one", 2)));
        assert_eq!(index.take(&ALL, &Event::Delete(drift("one", 4))), [key("web-1")]);
        index.learn(&drift("one", 3));
        index.learn(&drift("two", 5));
        assert_eq!(drifts(&index), ["two"]);
    }

    #[test]
    fn a_written_status_is_known_at_once_unless_the_response_shows_another_change_too() {
        let status = ProvisionedResourceStatus { open_drifts: 7, ..Default::default() };
        let written = |version: u64| record("web-1", "record", version).metadata;
        let of = |metadata: &ObjectMeta| {
            let mut index = RecordIndex::default();
            index.apply(&record("web-1", "record", 3));
            index.learn_status(metadata, &status);
            let known = index.record(&key("web-1")).unwrap();
            assert_eq!(known.status.says(&status), index.has_record(&written(5)));
            index.has_record(&written(5))
        };
        assert!(of(&written(5)));
        assert!(!of(&written(3)), "it is not newer");
        let text = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        for other in [
            ObjectMeta { generation: Some(2), ..written(5) },
            ObjectMeta { uid: Some("another".to_owned()), ..written(5) },
            ObjectMeta { annotations: text("arcadia.cloud/sync-requested-at", "now"), ..written(5) },
            ObjectMeta { annotations: text("x", "y"), ..written(5) },
            ObjectMeta { labels: text("kustomize.toolkit.fluxcd.io/name", "x"), annotations: None, ..written(5) },
        ] {
            assert!(!of(&other), "the watch has to show it: {other:?}");
        }
    }

    #[test]
    fn a_known_version_of_a_drift_needs_no_decoding() {
        let mut index = RecordIndex::default();
        let owner = OwnerReference { uid: "record".to_owned(), ..OwnerReference::default() };
        let of = |version| ObjectMeta { owner_references: Some(vec![owner.clone()]), ..drift("one", version).metadata };
        assert!(!index.has_drift(&of(2)));
        index.apply(&drift("one", 2));
        assert_eq!([1, 2, 3].map(|version| index.has_drift(&of(version))), [true, true, false]);
        assert!(!index.has_drift(&ObjectMeta { owner_references: None, ..of(2) }), "it is decoded");
    }

    #[test]
    fn drifts_whose_record_is_gone_are_found_by_its_name_in_any_order_of_events() {
        let mut index = RecordIndex::default();
        let owners = |index: &RecordIndex| {
            index.orphans(&key("web-1")).into_iter().map(|orphans| orphans.owner).collect::<Vec<_>>()
        };
        // At the start the drifts may be cached first.
        assert_eq!(index.apply(&drift("one", 2)), [key("web-1")]);
        assert_eq!(owners(&index), ["record".into()]);
        index.apply(&record("web-1", "record", 1));
        assert!(owners(&index).is_empty() && index.names_of_orphans().is_empty());
        // The record is deleted, and one with its name is created.
        assert_eq!(index.take(&ALL, &Event::Delete(record("web-1", "record", 3))), [key("web-1")]);
        assert_eq!((owners(&index), index.names_of_orphans()), (vec!["record".into()], vec![key("web-1")]));
        index.apply(&record("web-1", "another", 4));
        assert_eq!(owners(&index), ["record".into()]);
        assert!(index.entry(&key("web-1")).unwrap().drifts.is_empty(), "they are not the new record's");
        // The drift is deleted too.
        index.take(&ALL, &Event::Delete(drift("one", 5)));
        assert!(owners(&index).is_empty() && index.names_of_orphans().is_empty());
    }

    #[test]
    fn a_record_that_leaves_no_drift_behind_leaves_nothing_to_do() {
        let mut index = RecordIndex::default();
        index.apply(&record("web-1", "record", 1));
        assert!(index.take(&ALL, &Event::Delete(record("web-1", "record", 3))).is_empty());
        assert!(index.names_of_orphans().is_empty());
    }

    #[test]
    fn the_last_drift_goes_with_an_empty_list_of_its_namespace() {
        let mut index = RecordIndex::default();
        // A drift of a record that is not in the cache.
        index.apply(&drift("one", 2));
        for (namespace, left) in [("elsewhere", 1), ("default", 0)] {
            index.take(&Some(namespace.into()), &Event::<Drift>::Init);
            index.take(&Some(namespace.into()), &Event::<Drift>::InitDone);
            assert_eq!(drifts(&index).len(), left);
        }
    }
}
