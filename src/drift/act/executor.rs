//! The means to write about the drifts of one record.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    api::{Drift, DriftPhase, OPERATOR, ProvisionedResource, conditions::Claim, events::EventReason},
    drift::{
        context::DriftContext,
        index::Orphans,
        known::KnownDrift,
        records::{Record, RecordEntry},
        shown::brief,
    },
    failpoint,
    kube_ext::{
        cache::Cache,
        call::{Error, bounded},
        events::{EventDraft, EventGroup},
        key::ObjectKey,
    },
};

/// The drifts of one record, and the means to write about them.
pub(crate) struct Executor<'a> {
    /// The record's name.
    pub key: &'a ObjectKey,
    /// The record's UID.
    pub(super) owner: &'a str,
    /// The record; none if it no longer exists.
    pub(super) record: Option<&'a Record>,
    /// The drifts for which the plan was made.
    pub(super) drifts: &'a [KnownDrift],
    /// Clients and the index.
    pub context: &'a DriftContext,
    /// The drifts that earlier steps of the plan wrote.
    written: HashMap<Box<str>, KnownDrift>,
}

impl<'a> Executor<'a> {
    /// An executor for a record, before any write.
    pub(crate) fn new(key: &'a ObjectKey, entry: &'a RecordEntry, context: &'a DriftContext) -> Self {
        let record = &entry.record;
        Self { key, owner: &record.uid, record: Some(record), drifts: &entry.drifts, context, written: HashMap::new() }
    }

    /// An executor for the drifts of a record that no longer exists, before any write.
    pub(crate) fn on_orphans(orphans: &'a Orphans, key: &'a ObjectKey, context: &'a DriftContext) -> Self {
        Self { key, owner: &orphans.owner, record: None, drifts: &orphans.drifts, context, written: HashMap::new() }
    }

    /// An empty write, bound to the drift's version: it is refused if the decision was withdrawn or changed since.
    pub(super) async fn confirm(&self, drift: &KnownDrift) -> Result<KnownDrift, Error> {
        let doing = format!("confirming the decision on Drift {}/{}", self.key.namespace, drift.name);
        let nothing = Patch::Merge(json!({ "metadata": { "resourceVersion": drift.resource_version } }));
        let written = written(&doing, self.drifts().patch(&drift.name, &params(), &nothing)).await;
        Ok(KnownDrift::of(&self.response(drift, written)?))
    }

    /// Writes a condition of an open drift.
    pub(super) async fn set_condition(&mut self, name: &str, what: &str, claim: Claim) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        self.patch_drift_status(&drift, what, open_status(&drift, claim)).await
    }

    /// Writes a part of a drift other than its status. The patch is bound to the drift's version.
    pub(super) async fn patch_drift(&mut self, drift: &KnownDrift, what: &str, patch: Value) -> Result<(), Error> {
        let doing = format!("{what} Drift {}/{}", self.key.namespace, drift.name);
        let written = written(&doing, self.drifts().patch(&drift.name, &params(), &Patch::Merge(patch))).await;
        self.learn(&self.response(drift, written)?);
        Ok(())
    }

    pub(super) async fn patch_drift_status(
        &mut self,
        drift: &KnownDrift,
        what: &str,
        status: Value,
    ) -> Result<(), Error> {
        let patch = json!({ "metadata": { "resourceVersion": drift.resource_version }, "status": status });
        let doing = format!("{what} Drift {}/{}", self.key.namespace, drift.name);
        let written = written(&doing, self.drifts().patch_status(&drift.name, &params(), &Patch::Merge(patch))).await;
        self.learn(&self.response(drift, written)?);
        Ok(())
    }

    /// Applies the response to a write. A deleted drift is forgotten: its deletion may have been observed before it was
    /// cached.
    pub(super) fn response(&self, drift: &KnownDrift, written: Result<Drift, Error>) -> Result<Drift, Error> {
        if matches!(written, Err(Error::NotFound { .. })) {
            self.context.index().forget_drift(self.owner, &drift.uid);
        }
        written
    }

    /// The drift as the plan read it, or as this plan has written it. Never a version that the watch returned since: a
    /// decision made in between has to be evaluated, so the write must be refused.
    pub(super) fn known(&self, name: &str) -> Option<KnownDrift> {
        let planned = || self.drifts.iter().find(|drift| drift.name.as_ref() == name);
        self.written.get(name).or_else(planned).cloned()
    }

    pub(super) fn learn(&mut self, written: &Drift) {
        self.context.index().learn(written);
        let known = KnownDrift::of(written);
        self.written.insert(known.name.clone(), known);
    }

    /// Publishes an Event on the drift, and one on its record, each with the other as the related object.
    pub(super) fn publish(&self, drift: &KnownDrift, event: EventReason, action: &'static str, note: &str) {
        self.publish_in(None, drift, event, action, note);
    }

    /// Publishes these Events; the one on the record is in a group.
    pub(super) fn publish_in(
        &self,
        group: Option<EventGroup>,
        drift: &KnownDrift,
        event: EventReason,
        action: &'static str,
        note: &str,
    ) {
        let this = ObjectReference {
            api_version: Some(Drift::api_version(&()).into_owned()),
            kind: Some(Drift::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(drift.name.to_string()),
            uid: Some(drift.uid.to_string()),
            ..ObjectReference::default()
        };
        let publish = |about: ObjectReference, related: Option<ObjectReference>, group: Option<EventGroup>| {
            let note = note.to_owned();
            let group = group.map(Box::new);
            self.context.process.events.publish(EventDraft { about, related, event, action, note, group });
        };
        if self.record.is_some() {
            publish(self.about(), Some(this.clone()), group);
            publish(this, Some(self.about()), None);
        } else {
            publish(this, None, None);
        }
    }

    /// The owner reference of objects that belong to the record.
    pub(super) fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: ProvisionedResource::api_version(&()).into_owned(),
            kind: ProvisionedResource::kind(&()).into_owned(),
            name: self.key.name.to_string(),
            uid: self.owner.to_owned(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }

    /// The record as the object of events.
    pub(crate) fn about(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(ProvisionedResource::api_version(&()).into_owned()),
            kind: Some(ProvisionedResource::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(self.key.name.to_string()),
            uid: Some(self.owner.to_owned()),
            ..ObjectReference::default()
        }
    }

    pub(super) fn drifts(&self) -> Api<Drift> {
        Api::namespaced(self.context.process.client.clone(), &self.key.namespace)
    }

    pub(super) fn records(&self) -> Api<ProvisionedResource> {
        Api::namespaced(self.context.process.client.clone(), &self.key.namespace)
    }
}

/// Makes a write. Tests end the process before and after it.
pub(super) async fn written<T>(doing: &str, write: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    failpoint::crash("write-before");
    let written = bounded(doing, write).await;
    failpoint::crash("write-after");
    written
}

pub(super) fn params() -> PatchParams {
    PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() }
}

/// The status of an open drift with this condition.
pub(super) fn open_status(drift: &KnownDrift, claim: Claim) -> Value {
    let previous = drift.transition.map(|since| (claim.status, since));
    json!({
        "phase": DriftPhase::Open,
        "reason": claim.reason,
        "resolvedAt": null,
        "decidedBy": null,
        "because": null,
        "decision": null,
        "conditions": [claim.onto(previous, Timestamp::now(), 1)],
    })
}

/// Returns true if the API server would refuse the same write again, until another object changes.
pub(super) const fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused { .. } | Error::Forbidden { .. } | Error::AlreadyExists { .. })
}

/// A message with the person's reason for the decision.
pub(super) fn with_reason(message: &str, drift: &KnownDrift) -> String {
    drift.because.as_ref().map_or_else(|| message.to_owned(), |because| format!("{message} ({})", brief(because)))
}
