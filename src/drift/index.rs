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
    digitalocean::{Kind, ResourceKey},
    kube_ext::{
        key::ObjectKey,
        watch::{Listing, Mirror, Scope, is_in, is_newer},
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
    drifts: HashMap<Box<str>, Vec<KnownDrift>>,
    listed_records: HashMap<Scope, Listing>,
    listed_drifts: HashMap<Scope, Listing>,
}

impl Index {
    /// What an evaluation of this record needs.
    #[must_use]
    pub fn entry(&self, key: &ObjectKey) -> Option<Entry> {
        let record = self.records.get(key)?.clone();
        let drifts = self.drifts.get(record.uid.as_ref()).cloned().unwrap_or_default();
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
        self.drifts.get(owner)?.iter().find(|drift| drift.name.as_ref() == name)
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

    /// The ids that are recorded of a kind.
    #[must_use]
    pub fn recorded_ids(&self, kind: Kind) -> HashSet<Arc<str>> {
        self.by_resource.keys().filter(|resource| resource.kind == kind).map(|resource| resource.id.clone()).collect()
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
            for drift in drifts.iter().filter(|drift| drift.is_open()) {
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
            drifts.retain(|drift| drift.uid.as_ref() != uid);
            if drifts.is_empty() {
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
    fn start(&mut self, scope: &Scope) {
        self.listed_records.insert(scope.clone(), Listing::default());
    }

    fn list(&mut self, scope: &Scope, object: &ProvisionedResource) -> Vec<ObjectKey> {
        if let Some(listing) = self.listed_records.get_mut(scope) {
            listing.saw(object.meta());
        }
        self.apply(object)
    }

    fn finish(&mut self, scope: &Scope) -> Vec<ObjectKey> {
        let Some(listing) = self.listed_records.remove(scope) else { return Vec::new() };
        let is_gone = |key: &ObjectKey, record: &Record| {
            is_in(scope, &key.namespace) && listing.misses(&record.uid, &record.resource_version)
        };
        let gone: Vec<_> =
            self.records.iter().filter(|(key, record)| is_gone(key, record)).map(|(key, _)| key.clone()).collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }

    /// Returns the record itself, and the others of the same resource when it is new; none when nothing newer was
    /// learnt.
    fn apply(&mut self, object: &ProvisionedResource) -> Vec<ObjectKey> {
        let key = ObjectKey::of(object);
        let record = Record::of(object);
        let known = self.records.get(&key);
        if known.is_some_and(|known| {
            known.uid == record.uid && !is_newer(&record.resource_version, &known.resource_version)
        }) {
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
        let key = ObjectKey::of(object);
        let is_known =
            self.records.get(&key).is_some_and(|known| Some(known.uid.as_ref()) == object.metadata.uid.as_deref());
        if is_known { self.remove(&key) } else { Vec::new() }
    }
}

/// All return the records of the drifts.
impl Mirror<Drift> for Index {
    fn start(&mut self, scope: &Scope) {
        self.listed_drifts.insert(scope.clone(), Listing::default());
    }

    fn list(&mut self, scope: &Scope, object: &Drift) -> Vec<ObjectKey> {
        if let Some(listing) = self.listed_drifts.get_mut(scope) {
            listing.saw(object.meta());
        }
        self.apply(object)
    }

    fn finish(&mut self, scope: &Scope) -> Vec<ObjectKey> {
        let Some(listing) = self.listed_drifts.remove(scope) else { return Vec::new() };
        let mut affected = Vec::new();
        self.drifts.retain(|owner, drifts| {
            let key = self.by_uid.get(owner.as_ref());
            // Drifts of a record that is not known (any more) are nobody's question; they go with the next full list.
            if key.is_some_and(|key| !is_in(scope, &key.namespace)) || (key.is_none() && scope.is_some()) {
                return true;
            }
            let before = drifts.len();
            drifts.retain(|drift| !listing.misses(&drift.uid, &drift.resource_version));
            if drifts.len() != before {
                affected.extend(key.cloned());
            }
            !drifts.is_empty()
        });
        affected
    }

    fn apply(&mut self, object: &Drift) -> Vec<ObjectKey> {
        let drift = KnownDrift::of(object);
        let owner = object.spec.resource_ref.uid.as_str();
        let drifts = self.drifts.entry(owner.into()).or_default();
        match drifts.iter_mut().find(|known| known.uid == drift.uid) {
            Some(known) if !is_newer(&drift.resource_version, &known.resource_version) => return Vec::new(),
            Some(known) => *known = drift,
            None => drifts.push(drift),
        }
        self.by_uid.get(owner).cloned().into_iter().collect()
    }

    fn delete(&mut self, object: &Drift) -> Vec<ObjectKey> {
        let owner = object.spec.resource_ref.uid.as_str();
        self.forget_drift(owner, object.metadata.uid.as_deref().unwrap_or_default());
        self.by_uid.get(owner).cloned().into_iter().collect()
    }
}
