//! The writes about drifts that open, change or are deleted.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, PostParams, Preconditions};
use serde_json::json;
use tracing::{debug, info};

use super::executor::{Executor, written};
use crate::{
    api::{CloudResource, Drift, DriftSpec, OPERATOR, RecordRef, drift::EXISTS, events, labels},
    digitalocean::revert::Assessment,
    drift::{
        known::{KnownDrift, drift_name},
        shown::{Shown, brief},
    },
    kube_ext::{cache::Cache, call::Error, events::EventGroup},
};

impl Executor<'_> {
    pub(super) async fn open(&self, field: String, episode: i64, shown: Shown) -> Result<(), Error> {
        let Some(record) = self.record else { return Ok(()) };
        let name = drift_name(&self.key.name, &record.uid, &field, episode);
        let event = shown.sentence(&field);
        let short = brief(&field);
        let spec = DriftSpec {
            resource_ref: RecordRef { name: self.key.name.to_string(), uid: record.uid.to_string() },
            resource: CloudResource::from(&record.resource),
            field_short: (short != field).then_some(short),
            field,
            episode,
            expected: shown.expected,
            actual: shown.actual,
            expected_short: Some(shown.expected_short),
            actual_short: Some(shown.actual_short),
            difference: Some(shown.difference),
            differences: shown.differences,
            note: shown.note.map(str::to_owned),
            revert: shown.revert.as_ref().map(|revert| revert.class),
            revert_note: shown.revert.and_then(|revert| revert.why),
            spec_version: record.generation,
        };
        let kind = record.resource.kind;
        let mut drift = Drift::new(&name, spec);
        drift.metadata.namespace = Some(self.key.namespace.to_string());
        drift.metadata.labels =
            Some(labels::of_drift(kind.name(), &drift.spec.field, &drift.spec.expected, &drift.spec.actual));
        drift.metadata.owner_references = Some(vec![self.owner_reference()]);
        let doing = format!("creating Drift {}/{name}", self.key.namespace);
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let created = written(&doing, self.drifts().create(&params, &drift)).await?;
        self.context.index().learn(&created);
        self.context.metrics.opened(kind);
        self.context.rush.opened();
        let DriftSpec { field, difference, .. } = &created.spec;
        let difference = difference.as_deref().unwrap_or_default();
        info!(record = %self.key, drift = name, resource = %record.resource, field, difference, "drift detected");
        let drift = KnownDrift::of(&created);
        if field == EXISTS && created.spec.actual == "false" {
            let note = format!("{} is gone: the provider returned 404 twice", record.resource);
            self.publish(&drift, events::RESOURCE_GONE, "Detect", &note);
        } else {
            let group = drift.change.as_deref().map(|change| EventGroup {
                id: change.to_owned(),
                note: format!(
                    "records differ alike; list them with: kubectl get drifts -n {} -l {}={change}; {event}",
                    self.key.namespace,
                    labels::CHANGE,
                ),
            });
            let note = format!("{}: {event}", record.resource);
            self.publish_in(group, &drift, events::DRIFT_DETECTED, "Detect", &note);
        }
        Ok(())
    }

    pub(super) async fn relabel(&mut self, name: &str, change: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let mut labels = labels::of_drift(drift.kind.name(), &drift.field, &drift.expected, &drift.actual);
        labels.insert(labels::CHANGE.to_owned(), change.to_owned());
        let patch = json!({ "metadata": { "resourceVersion": drift.resource_version, "labels": labels } });
        self.patch_drift(&drift, "labelling", patch).await
    }

    pub(super) async fn refresh(&mut self, name: &str, shown: Shown) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, difference = shown.difference, "the live value of an open drift changed");
        let status = json!({
            "actual": shown.actual,
            "actualShort": shown.actual_short,
            "difference": shown.difference,
            "differences": shown.differences,
            "lastChangedAt": Time(Timestamp::now()),
        });
        self.patch_drift_status(&drift, "refreshing", status).await
    }

    pub(super) async fn reassess(&mut self, name: &str, revert: Assessment) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let Assessment { class, why, .. } = revert;
        info!(record = %self.key, drift = name, %class, "the class of the revert of an open drift changed");
        let patch = json!({
            "metadata": { "resourceVersion": drift.resource_version },
            "spec": { "revert": class, "revertNote": why },
        });
        self.patch_drift(&drift, "changing the class of", patch).await
    }

    pub(super) async fn prune(&self, name: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        // A decision that was made meanwhile is answered first.
        let preconditions = Preconditions {
            uid: Some(drift.uid.to_string()),
            resource_version: Some(drift.resource_version.to_string()),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let doing = format!("deleting Drift {}/{name} beyond the history limit", self.key.namespace);
        match written(&doing, self.drifts().delete(name, &params)).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.context.index().forget_drift(self.owner, &drift.uid);
        debug!(record = %self.key, drift = name, "deleted beyond the history limit");
        Ok(())
    }
}
