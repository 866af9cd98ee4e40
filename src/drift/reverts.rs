//! The sagas that revert drifts, in the form that evaluations need. A watch and the operator's own writes update it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::{known::Decided, revert_saga::RevertSaga};
use crate::{
    api::{ProvisionedResource, Saga, SagaStatus, annotations, labels},
    kube_ext::{
        cache::{Cache, Tombstones},
        key::ObjectKey,
        version::Version,
        watch::{WatchScope, is_in},
    },
};

#[derive(Default)]
pub(crate) struct RevertSagas {
    sagas: HashMap<Box<str>, StoredRevert>,
    /// The UIDs of the sagas of each record.
    by_record: HashMap<ObjectKey, BTreeSet<Box<str>>>,
    tombstones: Tombstones,
}

struct StoredRevert {
    saga: RevertSaga,
    resource_version: Version,
    record: ObjectKey,
}

impl RevertSagas {
    /// The sagas that revert a drift of this record, by name.
    #[must_use]
    pub(crate) fn of(&self, record: &ObjectKey) -> Vec<RevertSaga> {
        let sagas = self.by_record.get(record).into_iter().flatten().filter_map(|uid| self.sagas.get(uid));
        let mut found: Vec<_> = sagas.map(|known| known.saga.clone()).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    /// Whether this version of a saga is known, or a later one.
    #[must_use]
    pub(crate) fn has(&self, object: &ObjectMeta) -> bool {
        let known = self.sagas.get(object.uid.as_deref().unwrap_or_default());
        known.is_some_and(|known| !Version::of(object).is_newer(&known.resource_version))
    }

    /// Forgets a saga that does not exist any more.
    pub(crate) fn forget(&mut self, record: &ObjectKey, name: &str) {
        let mut uids = self.by_record.get(record).into_iter().flatten();
        let gone = uids.find(|uid| self.sagas.get(*uid).is_some_and(|known| *known.saga.name == *name)).cloned();
        if let Some(uid) = gone {
            self.remove(&uid);
        }
    }

    fn remove(&mut self, uid: &str) -> Option<ObjectKey> {
        let record = self.sagas.remove(uid)?.record;
        if let Some(sagas) = self.by_record.get_mut(&record) {
            sagas.remove(uid);
            if sagas.is_empty() {
                self.by_record.remove(&record);
            }
        }
        Some(record)
    }
}

impl Cache<Saga> for RevertSagas {
    fn tombstones(&mut self) -> &mut Tombstones {
        &mut self.tombstones
    }

    fn uids(&self, scope: &WatchScope) -> HashSet<Box<str>> {
        let sagas = self.sagas.iter().filter(|(_, known)| is_in(scope, &known.record.namespace));
        sagas.map(|(uid, _)| uid.clone()).collect()
    }

    /// Returns the record of the reverted drift.
    fn apply(&mut self, object: &Saga) -> Vec<ObjectKey> {
        let uid: Box<str> = object.uid().unwrap_or_default().into();
        let version = Version::of(&object.metadata);
        if self.has(&object.metadata) {
            return Vec::new();
        }
        let kind = ProvisionedResource::kind(&());
        let owner = object.owner_references().iter().find(|owner| owner.kind == kind);
        let (Some(drift), Some(owner)) = (object.labels().get(labels::REVERT_OF), owner) else {
            // The record was deleted without its sagas: it does not wait for this one any more.
            return self.remove(&uid).into_iter().collect();
        };
        let status = object.status.as_ref();
        let saga = RevertSaga {
            name: object.name_any().into(),
            drift: drift.as_str().into(),
            phase: status.map(|status| status.phase).unwrap_or_default(),
            message: status.map(SagaStatus::explanation).unwrap_or_default().into(),
            resource: object.concurrency_key().map(Box::from),
            finished_at: status.and_then(|status| status.finished_at.as_ref()).map(|at| at.0),
            is_cancelled: object.spec.cancel_requested,
            decided: decided(object),
        };
        let record =
            ObjectKey { namespace: object.namespace().unwrap_or_default().into(), name: owner.name.as_str().into() };
        self.by_record.entry(record.clone()).or_default().insert(uid.clone());
        self.sagas.insert(uid, StoredRevert { saga, resource_version: version, record: record.clone() });
        vec![record]
    }

    fn delete(&mut self, object: &Saga) -> Vec<ObjectKey> {
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        self.remove(uid).into_iter().collect()
    }

    fn purge(&mut self, gone: &HashSet<Box<str>>) -> Vec<ObjectKey> {
        gone.iter().filter_map(|uid| self.remove(uid)).collect()
    }
}

/// The annotation with the decision that a saga carries out: the annotations of the drift may change before the drift
/// names the saga. It has its own key: the other annotations of a saga are about its resolution.
pub(super) fn decision_annotations(decided: &Decided) -> BTreeMap<String, String> {
    let text = serde_json::to_string(decided).ok();
    text.map(|text| (annotations::REVERT_DECISION.to_owned(), text)).into_iter().collect()
}

fn decided(saga: &Saga) -> Decided {
    let text = saga.annotations().get(annotations::REVERT_DECISION);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_that_lost_its_record_is_forgotten() {
        let saga = |version: &str, owners: serde_json::Value| -> Saga {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga",
                "metadata": {
                    "name": "revert", "namespace": "default", "uid": "saga", "resourceVersion": version,
                    "labels": { labels::REVERT_OF: "drift" }, "ownerReferences": owners,
                },
                "spec": { "kind": "update", "deploymentId": "d", "steps": [] },
            }))
            .unwrap()
        };
        let record = ObjectKey { namespace: "default".into(), name: "lb".into() };
        let owner = serde_json::json!([{
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "name": "lb", "uid": "record",
        }]);
        let mut sagas = RevertSagas::default();
        assert_eq!(sagas.apply(&saga("1", owner)).as_slice(), std::slice::from_ref(&record));
        assert_eq!(sagas.of(&record).len(), 1);
        // The record was deleted, and its sagas were kept.
        assert_eq!(sagas.apply(&saga("2", serde_json::json!([]))).as_slice(), std::slice::from_ref(&record));
        assert!(sagas.of(&record).is_empty());
    }

    #[test]
    fn the_decision_that_a_saga_carries_out_is_read_back() {
        let wanted = Decided {
            decision: Some("allow-disruption".into()),
            until: None,
            because: Some("OPS-1: \"more\" memory".into()),
            by: Some("jane".into()),
        };
        let mut saga = Saga::new(
            "revert",
            serde_json::from_value(serde_json::json!({
                "kind": "update", "deploymentId": "d", "steps": [],
            }))
            .unwrap(),
        );
        saga.metadata.annotations = Some(decision_annotations(&wanted));
        assert_eq!(decided(&saga), wanted);
        // Another client wrote the annotation, or a saga has none.
        saga.annotations_mut().insert(annotations::REVERT_DECISION.to_owned(), "{".to_owned());
        assert_eq!(decided(&saga), Decided::default());
    }
}
