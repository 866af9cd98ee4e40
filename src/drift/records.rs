//! The cached records, in the smallest form that verdicts need. Each is stored once, and found by its name, by its UID,
//! and by its live resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use hashbrown::{DefaultHashBuilder, HashTable};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Value, value::RawValue};

use super::{
    known::{KnownDrift, LastAccepted},
    ownership::DeclaredFields,
    shared::SharedTexts,
    summary::StatusSummary,
};
use crate::{
    api::{
        AcceptPolicy, ProvisionedResource, ProvisionedResourceStatus,
        annotations::{self, LAST_ACCEPTED, SYNC_REQUESTED_AT},
    },
    digitalocean::{FieldSet, ResourceKey},
    kube_ext::{key::ObjectKey, version::Version},
};

/// The cached part of a `ProvisionedResource`.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its namespace and name.
    pub key: ObjectKey,
    pub uid: Box<str>,
    /// The version of the object; writes to its spec are bound to it.
    pub resource_version: Version,
    /// The version of the record.
    pub generation: i64,
    /// The time of its creation.
    pub created: Timestamp,
    /// True if it is being deleted.
    pub deleting: bool,
    /// The live resource.
    pub resource: ResourceKey,
    /// `spec.desired`, as JSON: parsed when it is compared. Equal ones are shared.
    pub desired: Arc<str>,
    /// The recorded fields of the live document.
    pub fields: FieldSet,
    /// `spec.suspend`.
    pub suspended: bool,
    /// True if the object has any annotation.
    pub has_annotations: bool,
    /// `spec.drift.accept`.
    pub accept: AcceptPolicy,
    /// The fields that a manifest declares.
    pub declared: DeclaredFields,
    /// The cached part of its status.
    pub status: StatusSummary,
    /// None for most records.
    rare: Option<Box<Rare>>,
}

/// The parts that few records have.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rare {
    /// `spec.drift.ignore`.
    ignore: BTreeSet<Box<str>>,
    /// The drifts that were adopted last.
    last_accepted: LastAccepted,
    sync_requested: Option<Box<str>>,
}

impl Rare {
    fn of(metadata: &ObjectMeta, ignore: BTreeSet<Box<str>>) -> Option<Box<Self>> {
        let rare = Self {
            ignore,
            last_accepted: annotations::value(metadata, LAST_ACCEPTED).map(LastAccepted::read).unwrap_or_default(),
            sync_requested: annotations::value(metadata, SYNC_REQUESTED_AT).map(Into::into),
        };
        (rare != Self::default()).then(|| Box::new(rare))
    }
}

impl Record {
    /// The cached part of this object.
    pub(super) fn of(object: &ProvisionedResource, texts: &mut SharedTexts) -> Self {
        let key = ObjectKey::of(object);
        let ignore = object.spec.drift.ignore.iter().map(|field| field.as_str().into()).collect();
        Self {
            key: ObjectKey { namespace: texts.share(&key.namespace), ..key },
            uid: object.uid().unwrap_or_default().into(),
            resource_version: Version::of(&object.metadata),
            generation: object.metadata.generation.unwrap_or_default(),
            created: object.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleting: object.metadata.deletion_timestamp.is_some(),
            resource: object.spec.resource.key(),
            desired: texts.share(&serde_json::to_string(&object.spec.desired).unwrap_or_default()),
            fields: FieldSet::of_values(
                object.spec.resource.kind,
                object.spec.desired.iter().map(|(field, value)| (field.as_str(), value)),
            ),
            suspended: object.spec.suspend,
            has_annotations: !object.annotations().is_empty(),
            accept: object.spec.drift.accept,
            declared: DeclaredFields::of(&object.metadata, &object.spec.desired),
            status: StatusSummary::of(object.status.as_ref()),
            rare: Rare::of(&object.metadata, ignore),
        }
    }

    /// The record after a write of its status, given the metadata of the response. None if the response shows
    /// another change too.
    #[must_use]
    pub(super) fn with_status(&self, metadata: &ObjectMeta, status: &ProvisionedResourceStatus) -> Option<Self> {
        let is_same_object = metadata.uid.as_deref() == Some(&*self.uid);
        // The API server counts changes of the spec and a deletion.
        let has_same_spec = metadata.generation.unwrap_or_default() == self.generation;
        let has_annotations = metadata.annotations.as_ref().is_some_and(|annotations| !annotations.is_empty());
        let is_unchanged = is_same_object
            && has_same_spec
            && has_annotations == self.has_annotations
            && metadata.deletion_timestamp.is_some() == self.deleting
            && Rare::of(metadata, self.ignore().clone()) == self.rare
            && DeclaredFields::of(metadata, &self.unparsed_fields()) == self.declared;
        is_unchanged.then(|| Self {
            resource_version: Version::of(metadata),
            status: StatusSummary::of(Some(status)),
            ..self.clone()
        })
    }

    /// The expected value of each field.
    #[must_use]
    pub fn desired_fields(&self) -> BTreeMap<String, Value> {
        serde_json::from_str(&self.desired).unwrap_or_default()
    }

    /// The same fields, with their values as JSON.
    fn unparsed_fields(&self) -> BTreeMap<String, &RawValue> {
        serde_json::from_str(&self.desired).unwrap_or_default()
    }

    /// `spec.drift.ignore`.
    #[must_use]
    pub fn ignore(&self) -> &BTreeSet<Box<str>> {
        static NOTHING: BTreeSet<Box<str>> = BTreeSet::new();
        self.rare.as_ref().map_or(&NOTHING, |rare| &rare.ignore)
    }

    /// The drifts that were adopted last.
    #[must_use]
    pub fn last_accepted(&self) -> LastAccepted {
        self.rare.as_ref().map(|rare| rare.last_accepted.clone()).unwrap_or_default()
    }

    #[must_use]
    pub fn sync_requested(&self) -> Option<&str> {
        self.rare.as_ref()?.sync_requested.as_deref()
    }

    /// The requested sync that is not complete yet.
    #[must_use]
    pub fn unanswered_sync(&self) -> Option<&str> {
        let requested = self.sync_requested();
        requested.filter(|requested| !self.status.has_handled(requested))
    }
}

/// The input of one evaluation.
#[derive(Clone, Debug)]
pub struct RecordEntry {
    pub record: Arc<Record>,
    /// The older record of the same resource, if there is one.
    pub older: Option<ObjectKey>,
    pub drifts: Vec<KnownDrift>,
}

impl RecordEntry {
    /// Returns true if it is about the same object and the same resource.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        (&self.record.uid, &self.record.resource) == (&other.record.uid, &other.record.resource)
    }
}

/// The cached records. Their tables have empty places, so these are small.
#[derive(Default)]
pub(super) struct Records {
    by_key: HashTable<Arc<Record>>,
    by_uid: HashTable<Arc<Record>>,
    /// Several records may name one resource.
    by_resource: HashTable<Arc<Record>>,
    hasher: DefaultHashBuilder,
}

impl Records {
    /// The record of this name.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<Record>> {
        self.by_key.find(self.hash(key), |record| record.key == *key)
    }

    pub(super) fn of_uid(&self, uid: &str) -> Option<&Arc<Record>> {
        self.by_uid.find(self.hash(uid), |record| &*record.uid == uid)
    }

    /// The records of a live resource.
    pub(super) fn of_resource(&self, resource: &ResourceKey) -> impl Iterator<Item = &Arc<Record>> {
        self.by_resource.iter_hash(self.hash(resource)).filter(move |record| record.resource == *resource)
    }

    /// All records, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Record>> + Clone {
        self.by_key.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Adds a record. If there was one of its name, it is replaced.
    pub(super) fn insert(&mut self, record: Record) {
        self.remove(&record.key);
        let record = Arc::new(record);
        let Self { by_key, by_uid, by_resource, hasher } = self;
        let hash = |record: &Arc<Record>| hasher.hash_one(&record.key);
        by_key.insert_unique(hash(&record), Arc::clone(&record), hash);
        let hash = |record: &Arc<Record>| hasher.hash_one(&*record.uid);
        by_uid.insert_unique(hash(&record), Arc::clone(&record), hash);
        let hash = |record: &Arc<Record>| hasher.hash_one(&record.resource);
        by_resource.insert_unique(hash(&record), record, hash);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Record>> {
        let (record, _) = self.by_key.find_entry(self.hash(key), |record| record.key == *key).ok()?.remove();
        let hashes = (self.hash(&*record.uid), self.hash(&record.resource));
        for (table, hash) in [(&mut self.by_uid, hashes.0), (&mut self.by_resource, hashes.1)] {
            if let Ok(place) = table.find_entry(hash, |other| Arc::ptr_eq(other, &record)) {
                place.remove();
            }
        }
        Some(record)
    }

    fn hash(&self, value: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(value)
    }
}
