//! Carries out the steps of a plan: one write each, bound to the version of the object that the plan was made for.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{
    controller::Context,
    evaluate::{EXISTS, Step},
    index::Entry,
    known::{KnownDrift, drift_name},
};
use crate::{
    api::{
        CloudResource, Drift, DriftPhase, DriftSpec, OPERATOR, ProvisionedResource, ProvisionedResourceStatus,
        RecordRef, annotations,
        conditions::{self, Claim, Truth, reason},
        drift::awaiting_decision,
    },
    kube_ext::{
        call::{Error, bounded},
        events::News,
        key::ObjectKey,
        mirror::Mirror,
    },
};

/// One record and the means to write about it.
pub struct Act<'a> {
    /// The record.
    pub key: &'a ObjectKey,
    /// What the plan was made for.
    pub entry: &'a Entry,
    /// Clients and the index.
    pub context: &'a Context,
    /// The drifts that earlier steps of the plan wrote.
    written: HashMap<Box<str>, KnownDrift>,
}

impl<'a> Act<'a> {
    /// Nothing done yet.
    pub fn new(key: &'a ObjectKey, entry: &'a Entry, context: &'a Context) -> Self {
        Self { key, entry, context, written: HashMap::new() }
    }

    /// Carries out one step. The index learns the answer at once.
    ///
    /// # Errors
    /// When the API server refuses it, or the object changed in the meantime.
    pub async fn take(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Open { field, episode, expected, actual } => self.open(field, episode, expected, actual).await,
            Step::Refresh { drift, actual } => self.refresh(&drift, actual).await,
            Step::Adopt { drift, field, value } => self.adopt(&drift, &field, value).await,
            Step::Close { drift, phase, reason } => self.close(&drift, phase, reason).await,
            Step::Refuse { drift, message } => self.refuse(&drift, message).await,
            Step::Wait { drift, message } => self.wait(&drift, message).await,
            Step::Await { drift } => self.say(&drift, "reopening", awaiting_decision()).await,
            Step::DropDecision { drift } => self.drop_decision(&drift).await,
            Step::Prune { drift } => self.prune(&drift).await,
        }
    }

    /// Writes the record's status.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn write_status(&self, status: ProvisionedResourceStatus) -> Result<(), Error> {
        let object = json!({
            "apiVersion": ProvisionedResource::api_version(&()),
            "kind": ProvisionedResource::kind(&()),
            // With the UID, a new object of the same name is not given the old one's status.
            "metadata": { "name": self.key.name.as_ref(), "uid": self.entry.record.uid.as_ref() },
            "status": status,
        });
        let doing = format!("writing the status of ProvisionedResource {}", self.key);
        let params = PatchParams::apply(OPERATOR).force();
        let written =
            bounded(&doing, self.records().patch_status(&self.key.name, &params, &Patch::Apply(object))).await?;
        self.context.index().learn(&written);
        Ok(())
    }

    async fn open(&self, field: String, episode: i64, expected: String, actual: String) -> Result<(), Error> {
        let record = &self.entry.record;
        let name = drift_name(&self.key.name, &record.uid, &field, episode);
        let spec = DriftSpec {
            resource_ref: RecordRef { name: self.key.name.to_string(), uid: record.uid.to_string() },
            resource: CloudResource::from(&record.resource),
            field,
            episode,
            expected,
            actual,
            spec_version: record.generation,
        };
        let mut drift = Drift::new(&name, spec);
        drift.metadata.namespace = Some(self.key.namespace.to_string());
        drift.metadata.owner_references = Some(vec![OwnerReference {
            api_version: ProvisionedResource::api_version(&()).into_owned(),
            kind: ProvisionedResource::kind(&()).into_owned(),
            name: self.key.name.to_string(),
            uid: record.uid.to_string(),
            controller: Some(true),
            block_owner_deletion: None,
        }]);
        let doing = format!("creating Drift {}/{name}", self.key.namespace);
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let created = bounded(&doing, self.drifts().create(&params, &drift)).await?;
        self.context.index().learn(&created);
        self.context.process.metrics.opened(record.resource.kind);
        let DriftSpec { field, expected, actual, .. } = created.spec;
        info!(record = %self.key, drift = name, resource = %record.resource, field, expected, actual, "drift detected");
        let uid = created.metadata.uid.as_deref().unwrap_or_default();
        if field == EXISTS && actual == "false" {
            let note = format!("{} is gone: the provider says that it does not exist", record.resource);
            self.tell(&name, uid, true, "ResourceGone", "Detect", note);
        } else {
            let note = format!("{}: {field} is {actual}, expected {expected}", record.resource);
            self.tell(&name, uid, true, "DriftDetected", "Detect", note);
        }
        Ok(())
    }

    async fn refresh(&mut self, name: &str, actual: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let was = &drift.actual;
        info!(record = %self.key, drift = name, %was, actual, "the live value of an open drift moved");
        let status = json!({ "actual": actual, "lastChangedAt": Time(Timestamp::now()) });
        self.patch_drift_status(&drift, "refreshing", status).await
    }

    async fn adopt(&self, name: &str, field: &str, value: Value) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let record = &self.entry.record;
        let mark = json!(drift.mark());
        let remember = if record.has_annotations {
            json!({ "op": "add", "path": pointer(["metadata", "annotations", annotations::LAST_ACCEPTED]), "value": mark })
        } else {
            json!({ "op": "add", "path": "/metadata/annotations", "value": { annotations::LAST_ACCEPTED: mark } })
        };
        let doing = format!("accepting {field} of ProvisionedResource {}", self.key);
        // Asking the live resource took a while. A write of nothing, bound to the drift's version, is refused when the
        // decision was taken back or changed since.
        let nothing = Patch::Merge(json!({ "metadata": { "resourceVersion": drift.resource_version } }));
        self.heard(&drift, bounded(&doing, self.drifts().patch(name, &params(), &nothing)).await)?;
        let patch = serde_json::from_value(json!([
            // The API server refuses the patch when the record is not the one that was evaluated any more.
            { "op": "replace", "path": "/metadata/resourceVersion", "value": record.resource_version },
            { "op": "add", "path": pointer(["spec", "desired", field]), "value": value },
            remember,
        ]))
        .map_err(|error| Error::Refused { doing: doing.clone(), message: error.to_string() })?;
        let patch = Patch::<()>::Json(patch);
        let written = bounded(&doing, self.records().patch(&self.key.name, &params(), &patch)).await?;
        self.context.index().learn(&written);
        info!(record = %self.key, drift = name, field, value = %drift.actual, "accepted: the live value is the desired one");
        Ok(())
    }

    async fn close(&mut self, name: &str, phase: DriftPhase, why: &'static str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let (field, actual) = (&drift.field, &drift.actual);
        let message = closing_message(why, field, actual);
        let now = Timestamp::now();
        let claim = Claim { kind: conditions::RESOLVED, status: Truth::True, reason: why, message: message.clone() };
        let mut status = json!({
            "phase": phase,
            "reason": why,
            "resolvedAt": Time(now),
            "conditions": [claim.since(now, 1)],
        });
        if phase == DriftPhase::Accepted {
            put(&mut status, "decidedBy", json!(drift.decided_by));
        }
        self.patch_drift_status(&drift, "closing", status).await?;
        self.context.process.metrics.resolved(self.entry.record.resource.kind, phase, why);
        info!(record = %self.key, drift = name, %field, phase = phase.name(), reason = why, "drift resolved");
        let event = if phase == DriftPhase::Accepted { "DriftAccepted" } else { "DriftResolved" };
        self.tell(name, &drift.uid, false, event, "Resolve", message);
        Ok(())
    }

    async fn refuse(&mut self, name: &str, message: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, why = message, "decision refused");
        let claim = Claim {
            kind: conditions::RESOLVED,
            status: Truth::False,
            reason: reason::DECISION_REFUSED,
            message: message.clone(),
        };
        self.say(name, "refusing a decision on", claim).await?;
        self.tell(name, &drift.uid, true, "DecisionRefused", "Decide", format!("{}: {message}", drift.field));
        Ok(())
    }

    async fn wait(&mut self, name: &str, message: String) -> Result<(), Error> {
        info!(record = %self.key, drift = name, why = message, "a decision waits");
        let claim =
            Claim { kind: conditions::RESOLVED, status: Truth::False, reason: reason::DECISION_WAITING, message };
        self.say(name, "keeping a decision on", claim).await
    }

    /// Writes what an open drift says of itself.
    async fn say(&mut self, name: &str, what: &str, claim: Claim) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        // The API server's default speaks of 1970; the operator's own word begins now.
        let since = drift.transition.filter(|since| *since != Timestamp::UNIX_EPOCH).unwrap_or_else(Timestamp::now);
        let status = json!({ "reason": claim.reason, "conditions": [claim.since(since, 1)] });
        self.patch_drift_status(&drift, what, status).await
    }

    async fn drop_decision(&mut self, name: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let patch = json!({
            "metadata": {
                "resourceVersion": drift.resource_version,
                "annotations": { annotations::ACCEPT: null, annotations::DECIDED_BY: null },
            },
        });
        let doing = format!("removing the refused decision from Drift {}/{name}", self.key.namespace);
        let written = bounded(&doing, self.drifts().patch(name, &params(), &Patch::Merge(patch))).await;
        self.learn(&self.heard(&drift, written)?);
        Ok(())
    }

    async fn prune(&self, name: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let uid = Some(drift.uid.to_string());
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        let doing = format!("deleting Drift {}/{name} beyond the history limit", self.key.namespace);
        match bounded(&doing, self.drifts().delete(name, &params)).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.context.index().forget_drift(&self.entry.record.uid, &drift.uid);
        debug!(record = %self.key, drift = name, "deleted beyond the history limit");
        Ok(())
    }

    async fn patch_drift_status(&mut self, drift: &KnownDrift, what: &str, status: Value) -> Result<(), Error> {
        let patch = json!({ "metadata": { "resourceVersion": drift.resource_version }, "status": status });
        let doing = format!("{what} Drift {}/{}", self.key.namespace, drift.name);
        let written = bounded(&doing, self.drifts().patch_status(&drift.name, &params(), &Patch::Merge(patch))).await;
        self.learn(&self.heard(drift, written)?);
        Ok(())
    }

    /// The answer to a write. A drift that is gone is forgotten: its deletion may have been told before it was known here.
    fn heard(&self, drift: &KnownDrift, written: Result<Drift, Error>) -> Result<Drift, Error> {
        if matches!(written, Err(Error::NotFound { .. })) {
            self.context.index().forget_drift(&self.entry.record.uid, &drift.uid);
        }
        written
    }

    /// The drift as the plan saw it, or as this plan has written it. Never what the watch brought since: a decision
    /// made in between has to be evaluated, so the write must be refused.
    fn known(&self, name: &str) -> Option<KnownDrift> {
        let planned = || self.entry.drifts.iter().find(|drift| drift.name.as_ref() == name);
        self.written.get(name).or_else(planned).cloned()
    }

    fn learn(&mut self, written: &Drift) {
        self.context.index().learn(written);
        let known = KnownDrift::of(written);
        self.written.insert(known.name.clone(), known);
    }

    /// Tells it as an Event on the record, with the drift as the other object.
    fn tell(&self, drift: &str, uid: &str, is_warning: bool, reason: &'static str, action: &'static str, note: String) {
        let related = ObjectReference {
            api_version: Some(Drift::api_version(&()).into_owned()),
            kind: Some(Drift::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(drift.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let about = self.about();
        self.context.process.events.publish(News { about, related: Some(related), is_warning, reason, action, note });
    }

    /// The record, as events refer to it.
    pub fn about(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(ProvisionedResource::api_version(&()).into_owned()),
            kind: Some(ProvisionedResource::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(self.key.name.to_string()),
            uid: Some(self.entry.record.uid.to_string()),
            ..ObjectReference::default()
        }
    }

    fn drifts(&self) -> Api<Drift> {
        Api::namespaced(self.context.process.client.clone(), &self.key.namespace)
    }

    fn records(&self) -> Api<ProvisionedResource> {
        Api::namespaced(self.context.process.client.clone(), &self.key.namespace)
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() }
}

/// A JSON pointer to what these names lead to.
fn pointer(names: [&str; 3]) -> String {
    names.map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).concat()
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value);
    }
}

fn closing_message(why: &str, field: &str, actual: &str) -> String {
    match why {
        reason::ACCEPTED => format!("{field}: {actual} is the desired value now"),
        reason::LIVE_RETURNED => format!("{field}: the live value is as desired again"),
        reason::DESIRED_CHANGED => format!("{field}: the desired value was changed"),
        reason::NO_LONGER_RECORDED => format!("{field}: no longer recorded"),
        reason::IGNORED => format!("{field}: listed in spec.drift.ignore"),
        reason::RESOURCE_GONE => format!("{field}: the resource itself is gone"),
        why => format!("{field}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::{Client, client::Body};

    use super::*;
    use crate::{drift::controller::idle, kube_ext::leader::Leadership, process::Process};

    /// A controller whose API server refuses writes to drifts by this, and takes all others. What it was asked.
    fn context(conflict: bool) -> (Arc<Context>, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asks = asked.clone();
        let api_server = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path().to_owned();
            let answer = if path.contains("/drifts/") && conflict {
                json!({ "kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409, "message": "newer" })
            } else if path.contains("/drifts/") {
                serde_json::to_value(drift()).unwrap()
            } else {
                serde_json::to_value(record()).unwrap()
            };
            let status = if answer["code"] == 409 { 409 } else { 200 };
            if let Some((_, object)) = path.split_once("/namespaces/default/") {
                asks.lock().unwrap().push(format!("{} {object}", request.method()));
            }
            let response = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
            std::future::ready(Ok::<_, kube::Error>(response.unwrap()))
        });
        let client = Client::new(api_server, "default");
        let (context, _) = idle(Process::new(client, Leadership::unelected()));
        context.index().apply(&record());
        context.index().apply(&drift());
        (context, asked)
    }

    fn record() -> ProvisionedResource {
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource",
            "metadata": { "name": "web-1", "namespace": "default", "uid": "record", "resourceVersion": "1" },
            "spec": { "resource": { "kind": "Droplet", "id": "1" }, "desired": { "name": "a" } },
        }))
        .unwrap()
    }

    fn drift() -> Drift {
        let annotations = json!({ annotations::ACCEPT: "true" });
        serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
            "metadata": {
                "name": "d", "namespace": "default", "uid": "drift", "resourceVersion": "2", "annotations": annotations,
            },
            "spec": {
                "resourceRef": { "name": "web-1", "uid": "record" }, "resource": { "kind": "Droplet", "id": "1" },
                "field": "name", "episode": 1, "expected": "a", "actual": "b", "specVersion": 1,
            },
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_decision_that_was_taken_back_or_changed_since_it_was_looked_at_adopts_nothing() {
        let decisions = "PATCH drifts/d";
        for (is_changed, writes) in
            [(true, vec![decisions]), (false, vec![decisions, "PATCH provisionedresources/web-1"])]
        {
            let (context, asked) = context(is_changed);
            let key = ObjectKey { namespace: "default".into(), name: "web-1".into() };
            let entry = context.index().entry(&key).unwrap();
            let step = Step::Adopt { drift: "d".into(), field: "name".into(), value: json!("b") };
            let outcome = Act::new(&key, &entry, &context).take(step).await;
            assert_eq!(outcome.is_err_and(|error| error.is_conflict()), is_changed);
            assert_eq!(*asked.lock().unwrap(), writes);
        }
    }
}
