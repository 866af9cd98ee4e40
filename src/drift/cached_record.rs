//! A record in memory, in the smallest form that verdicts need.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value;

use super::{
    known::{KnownDrift, LastAccepted},
    ownership::DeclaredFields,
    shared::SharedTexts,
    summary::StatusSummary,
};
use crate::{
    api::{
        AcceptPolicy, ProvisionedResource,
        annotations::{LAST_ACCEPTED, SYNC_REQUESTED_AT},
    },
    digitalocean::{FieldSet, ResourceKey},
    kube_ext::key::ObjectKey,
};

/// The cached part of a `ProvisionedResource`.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its UID.
    pub uid: Arc<str>,
    /// The version of the object; writes to its spec are bound to it.
    pub resource_version: Box<str>,
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
    /// `spec.drift.ignore`.
    pub ignore: BTreeSet<Box<str>>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// True if the object has any annotation.
    pub has_annotations: bool,
    /// The drifts that were adopted last.
    pub last_accepted: LastAccepted,
    /// `spec.drift.accept`.
    pub accept: AcceptPolicy,
    /// The fields that a manifest declares.
    pub declared: DeclaredFields,
    /// The requested sync.
    pub sync_requested: Option<Box<str>>,
    /// The cached part of its status.
    pub status: StatusSummary,
}

impl Record {
    pub(super) fn of(object: &ProvisionedResource, texts: &mut SharedTexts) -> Self {
        let annotations = object.annotations();
        Self {
            uid: object.uid().unwrap_or_default().into(),
            resource_version: object.resource_version().unwrap_or_default().into(),
            generation: object.metadata.generation.unwrap_or_default(),
            created: object.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleting: object.metadata.deletion_timestamp.is_some(),
            resource: object.spec.resource.key(),
            desired: texts.share(&serde_json::to_string(&object.spec.desired).unwrap_or_default()),
            fields: FieldSet::of_values(
                object.spec.resource.kind,
                object.spec.desired.iter().map(|(field, value)| (field.as_str(), value)),
            ),
            ignore: object.spec.drift.ignore.iter().map(|field| field.as_str().into()).collect(),
            suspended: object.spec.suspend,
            has_annotations: !annotations.is_empty(),
            last_accepted: annotations.get(LAST_ACCEPTED).map(|text| LastAccepted::read(text)).unwrap_or_default(),
            accept: object.spec.drift.accept,
            declared: DeclaredFields::of(object),
            sync_requested: annotations.get(SYNC_REQUESTED_AT).map(|text| text.as_str().into()),
            status: StatusSummary::of(object.status.as_ref()),
        }
    }

    /// The expected value of each field.
    #[must_use]
    pub fn desired_fields(&self) -> BTreeMap<String, Value> {
        serde_json::from_str(&self.desired).unwrap_or_default()
    }

    /// The requested sync that is not complete yet.
    #[must_use]
    pub fn unanswered_sync(&self) -> Option<&str> {
        let requested = self.sync_requested.as_deref();
        requested.filter(|requested| self.status.last_handled_sync.as_deref() != Some(requested))
    }
}

/// The input of one evaluation.
#[derive(Clone, Debug)]
pub struct RecordEntry {
    /// The record.
    pub record: Arc<Record>,
    /// The older record of the same resource, if there is one.
    pub older: Option<ObjectKey>,
    /// The drifts of the record.
    pub drifts: Vec<KnownDrift>,
}

impl RecordEntry {
    /// Returns true if it is about the same object and the same resource.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        (&self.record.uid, &self.record.resource) == (&other.record.uid, &other.record.resource)
    }
}
