//! Carries out the steps of a plan: one write each, bound to the version of the object that the plan was made for.

mod reverting;
mod standing;

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt};
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
use tracing::{debug, info, warn};

use self::standing::with_reason;
use super::{
    controller::Context,
    evaluate::{Accepted, Adoption, EXISTS, Step, waiting},
    index::{Entry, Orphans, Record},
    known::{KnownDrift, Marks, drift_name},
    shown::{Shown, brief, first, named},
    standing::whole_seconds,
};
use crate::{
    api::{
        Acceptance, AcceptanceMode, CloudResource, Drift, DriftPhase, DriftSpec, OPERATOR, ProvisionedResource,
        ProvisionedResourceStatus, RecordRef, annotations,
        conditions::{self, Claim, ConditionStatus, reason},
        drift::awaiting_decision,
        labels,
    },
    kube_ext::{
        cache::Cache,
        call::{Error, bounded},
        events::News,
        key::ObjectKey,
    },
};

/// How many decisions are verified side by side.
const SIDE_BY_SIDE: usize = 8;

/// The drifts of one record, and the means to write about them.
pub struct Act<'a> {
    /// The record's name.
    pub key: &'a ObjectKey,
    /// The record's UID.
    owner: &'a str,
    /// The record; none when it does not exist any more.
    record: Option<&'a Record>,
    /// What the plan was made for.
    drifts: &'a [KnownDrift],
    /// Clients and the index.
    pub context: &'a Context,
    /// The drifts that earlier steps of the plan wrote.
    written: HashMap<Box<str>, KnownDrift>,
}

/// What came of the steps of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// At least one write was made.
    pub wrote: bool,
    /// Writes that the API server refused.
    pub refused: Vec<Refused>,
}

/// A write that the API server refused.
#[derive(Debug)]
pub struct Refused {
    /// The field that it was about.
    pub field: String,
    /// Why.
    pub error: Error,
}

impl Outcome {
    /// The refusals, each said for a person.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.refused.iter().map(|Refused { field, error }| format!("{}: {error}", named(field))).collect()
    }
}

impl<'a> Act<'a> {
    /// Nothing done yet about a record.
    pub fn new(key: &'a ObjectKey, entry: &'a Entry, context: &'a Context) -> Self {
        let record = &entry.record;
        Self { key, owner: &record.uid, record: Some(record), drifts: &entry.drifts, context, written: HashMap::new() }
    }

    /// Nothing done yet about the drifts of a record that does not exist any more.
    pub fn on_orphans(orphans: &'a Orphans, key: &'a ObjectKey, context: &'a Context) -> Self {
        Self { key, owner: &orphans.owner, record: None, drifts: &orphans.drifts, context, written: HashMap::new() }
    }

    /// Carries out all steps. A write that the API server refuses holds up the later steps of its drift, and no other.
    ///
    /// # Errors
    /// When an object changed in the meantime, or the API server could not be reached.
    pub async fn carry_out(&mut self, steps: Vec<Step>) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let mut failed: HashSet<Box<str>> = HashSet::new();
        for step in steps {
            let field = self.field_of(&step);
            // A new drift waits until the earlier one of its field is closed.
            let waits = match &step {
                Step::Open { .. } => failed.iter().any(|name| self.known(name).is_some_and(|it| *it.field == *field)),
                step => step.drift().is_some_and(|drift| failed.contains(drift)),
            };
            if waits {
                continue;
            }
            let drift = step.drift().map(Box::from);
            match self.take(step, &mut outcome, &mut failed).await {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => {
                    warn!(record = %self.key, field, %error, "the API server refuses a write; the other fields go on");
                    failed.extend(drift);
                    outcome.refused.push(Refused { field, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Carries out one step. The index learns the answer at once.
    async fn take(&mut self, step: Step, outcome: &mut Outcome, failed: &mut HashSet<Box<str>>) -> Result<(), Error> {
        match step {
            Step::Adopt { adoptions, in_doubt } => {
                let count = adoptions.len();
                let refused = self.adopt(adoptions, in_doubt).await?;
                outcome.wrote |= refused.len() < count;
                for (adoption, error) in refused {
                    failed.insert(adoption.drift.clone());
                    outcome.wrote |= self.wait_if_new(&adoption.drift, waiting(&error.to_string())).await?;
                    outcome.refused.push(Refused { field: adoption.field, error });
                }
                return Ok(());
            }
            Step::Open { field, episode, shown } => self.open(field, episode, *shown).await?,
            Step::Relabel { drift, change } => self.relabel(&drift, &change).await?,
            Step::Refresh { drift, shown } => self.refresh(&drift, *shown).await?,
            Step::Close { drift, phase, reason, accepted } => {
                self.close(&drift, phase, reason, accepted.map(|accepted| *accepted)).await?;
            }
            Step::Stand { drift, accepted, until, patch } => {
                self.stand(&drift, *accepted, until, patch.map(|patch| *patch)).await?;
            }
            Step::End { drift, reason } => self.end(&drift, reason).await?,
            Step::Revert { drift, saga } => self.revert(&drift, *saga).await?,
            Step::Follow { drift, saga, stuck } => self.follow(&drift, &saga, stuck).await?,
            Step::FailRevert { drift, message } => self.fail_revert(&drift, message).await?,
            Step::ShowPlan { drift, plan, needs } => self.show_plan(&drift, *plan, needs).await?,
            Step::Reschedule { drift, until } => self.reschedule(&drift, until).await?,
            Step::RestoreDecision { drift } => self.restore_decision(&drift).await?,
            Step::Refuse { drift, message } => self.refuse(&drift, message).await?,
            Step::Wait { drift, message } => self.wait(&drift, message).await?,
            Step::Await { drift } => self.say(&drift, "reopening", awaiting_decision()).await?,
            Step::Answer { drift, message } => self.answer(&drift, message).await?,
            Step::DropDecision { drift } => self.drop_decision(&drift).await?,
            Step::Prune { drift } => self.prune(&drift).await?,
        }
        outcome.wrote = true;
        Ok(())
    }

    fn field_of(&self, step: &Step) -> String {
        match step {
            Step::Open { field, .. } => field.clone(),
            step => {
                let drift = step.drift().and_then(|name| self.known(name));
                drift.map(|drift| drift.field.to_string()).unwrap_or_default()
            }
        }
    }

    /// Writes the record's status.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn write_status(&self, status: ProvisionedResourceStatus) -> Result<(), Error> {
        match self.apply_status(&status).await {
            // Too large, perhaps: a record that says less is better than one that says nothing.
            Err(Error::Refused { doing, message }) => {
                warn!(record = %self.key, doing, why = message, "the API server refuses a status; retrying with a shorter one");
                self.apply_status(&super::status::reduced(status)).await
            }
            written => written,
        }
    }

    async fn apply_status(&self, status: &ProvisionedResourceStatus) -> Result<(), Error> {
        let object = json!({
            "apiVersion": ProvisionedResource::api_version(&()),
            "kind": ProvisionedResource::kind(&()),
            // With the UID, a new object of the same name is not given the old one's status.
            "metadata": { "name": self.key.name.as_ref(), "uid": self.owner },
            "status": status,
        });
        let doing = format!("writing the status of ProvisionedResource {}", self.key);
        let params = PatchParams::apply(OPERATOR).force();
        let written =
            bounded(&doing, self.records().patch_status(&self.key.name, &params, &Patch::Apply(object))).await?;
        self.context.index().learn(&written);
        Ok(())
    }

    async fn open(&self, field: String, episode: i64, shown: Shown) -> Result<(), Error> {
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
        let created = bounded(&doing, self.drifts().create(&params, &drift)).await?;
        self.context.index().learn(&created);
        self.context.process.metrics.opened(kind);
        let DriftSpec { field, difference, .. } = &created.spec;
        let difference = difference.as_deref().unwrap_or_default();
        info!(record = %self.key, drift = name, resource = %record.resource, field, difference, "drift detected");
        let drift = KnownDrift::of(&created);
        if field == EXISTS && created.spec.actual == "false" {
            let note = format!("{} is gone: the provider says that it does not exist", record.resource);
            self.tell(&drift, true, "ResourceGone", "Detect", &note);
        } else {
            self.tell(&drift, true, "DriftDetected", "Detect", &format!("{}: {event}", record.resource));
        }
        Ok(())
    }

    async fn relabel(&mut self, name: &str, change: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let mut labels = labels::of_drift(drift.kind.name(), &drift.field, &drift.expected, &drift.actual);
        labels.insert(labels::CHANGE.to_owned(), change.to_owned());
        let patch = json!({ "metadata": { "resourceVersion": drift.resource_version, "labels": labels } });
        let doing = format!("labelling Drift {}/{name}", self.key.namespace);
        let written = bounded(&doing, self.drifts().patch(name, &params(), &Patch::Merge(patch))).await;
        self.learn(&self.heard(&drift, written)?);
        Ok(())
    }

    async fn refresh(&mut self, name: &str, shown: Shown) -> Result<(), Error> {
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

    /// Returns what the API server refused.
    async fn adopt(&self, adoptions: Vec<Adoption>, in_doubt: Marks) -> Result<Vec<(Adoption, Error)>, Error> {
        let Some(record) = self.record else { return Ok(Vec::new()) };
        let (verified, mut refused) = self.verify(adoptions).await?;
        let mut marks = in_doubt;
        let mut version = record.resource_version.to_string();
        let mut has_annotations = record.has_annotations;
        let mut batches = vec![verified];
        while let Some(mut batch) = batches.pop() {
            let mut marked = marks.clone();
            batch.iter().filter_map(|adoption| self.known(&adoption.drift)).for_each(|drift| marked.add(&drift));
            if batch.is_empty() {
                continue;
            }
            match self.write_desired(&batch, &marked, &version, has_annotations).await {
                Ok(written) => {
                    marks = marked;
                    version = written.metadata.resource_version.clone().unwrap_or_default();
                    has_annotations = true;
                    self.context.index().learn(&written);
                    for Adoption { drift, field, .. } in &batch {
                        info!(record = %self.key, drift = %drift, field, "accepted: the live value is the desired one");
                    }
                }
                // One value may have spoilt it for the others.
                Err(error) if is_refusal(&error) && batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    batches.extend([second, batch]);
                }
                Err(error) if is_refusal(&error) => refused.extend(batch.pop().map(|adoption| (adoption, error))),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Writes nothing, bound to the drift's version: it is refused when the decision was taken back or changed since.
    async fn confirm(&self, drift: &KnownDrift) -> Result<KnownDrift, Error> {
        let doing = format!("confirming the decision on Drift {}/{}", self.key.namespace, drift.name);
        let nothing = Patch::Merge(json!({ "metadata": { "resourceVersion": drift.resource_version } }));
        let written = bounded(&doing, self.drifts().patch(&drift.name, &params(), &nothing)).await;
        Ok(KnownDrift::of(&self.heard(drift, written)?))
    }

    /// Reading the live resource took a while, and decisions may have been taken back since.
    async fn verify(&self, adoptions: Vec<Adoption>) -> Result<(Vec<Adoption>, Vec<(Adoption, Error)>), Error> {
        let verify = async |adoption: Adoption| {
            let Some(drift) = self.known(&adoption.drift) else { return (adoption, Ok(())) };
            let confirmed = self.confirm(&drift).await.map(drop);
            (adoption, confirmed)
        };
        let outcomes: Vec<_> = stream::iter(adoptions).map(verify).buffered(SIDE_BY_SIDE).collect().await;
        let (mut verified, mut refused) = (Vec::new(), Vec::new());
        for (adoption, outcome) in outcomes {
            match outcome {
                Ok(()) => verified.push(adoption),
                Err(error) if is_refusal(&error) => refused.push((adoption, error)),
                Err(error) => return Err(error),
            }
        }
        Ok((verified, refused))
    }

    /// The one write that makes live values the desired ones, and remembers which drifts they were.
    async fn write_desired(
        &self,
        batch: &[Adoption],
        marks: &Marks,
        version: &str,
        has_annotations: bool,
    ) -> Result<ProvisionedResource, Error> {
        let remember = if has_annotations {
            let path = pointer(["metadata", "annotations", annotations::LAST_ACCEPTED]);
            json!({ "op": "add", "path": path, "value": marks.text() })
        } else {
            let value = json!({ annotations::LAST_ACCEPTED: marks.text() });
            json!({ "op": "add", "path": "/metadata/annotations", "value": value })
        };
        let adopt = |Adoption { field, value, .. }: &Adoption| json!({ "op": "add", "path": pointer(["spec", "desired", field]), "value": value });
        // The API server refuses the patch when the record is not the one that was evaluated any more.
        let bind = json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version });
        let operations: Vec<_> = [bind].into_iter().chain(batch.iter().map(adopt)).chain([remember]).collect();
        let fields: Vec<_> = batch.iter().map(|adoption| brief(&adoption.field)).collect();
        let fields = first(&fields, 3, ", ");
        let doing = format!("accepting {fields} of ProvisionedResource {}", self.key);
        let patch = serde_json::from_value(operations.into())
            .map_err(|error| Error::Refused { doing: doing.clone(), message: error.to_string() })?;
        bounded(&doing, self.records().patch(&self.key.name, &params(), &Patch::<()>::Json(patch))).await
    }

    async fn close(
        &mut self,
        name: &str,
        phase: DriftPhase,
        why: &'static str,
        accepted: Option<Accepted>,
    ) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let message = closing_message(why, &drift);
        let now = whole_seconds(Timestamp::now());
        let acceptance = accepted.map(|Accepted { value, declared }| Acceptance {
            mode: AcceptanceMode::InPlace,
            value,
            declared,
            since: Time(now),
            until: None,
            until_requested: None,
        });
        let claim =
            Claim { kind: conditions::RESOLVED, status: ConditionStatus::True, reason: why, message: message.clone() };
        let is_accepted = matches!(phase, DriftPhase::Accepted | DriftPhase::Reverted);
        let status = json!({
            "phase": phase,
            "reason": why,
            "resolvedAt": Time(now),
            "decidedBy": drift.decided_by.as_ref().filter(|_| is_accepted),
            // Where the annotation is gone already, no later one counts as this decision.
            "decision": is_accepted.then(|| drift.accept.as_deref().or(drift.revert.as_deref()).unwrap_or_default()),
            "because": drift.because.as_ref().filter(|_| is_accepted),
            "acceptance": acceptance,
            "conditions": [claim.since(now, 1)],
        });
        self.patch_drift_status(&drift, "closing", status).await?;
        self.context.process.metrics.resolved(drift.kind, phase, why);
        let field = &drift.field;
        info!(record = %self.key, drift = name, %field, phase = phase.name(), reason = why, "drift resolved");
        let event = match phase {
            DriftPhase::Accepted => "DriftAccepted",
            DriftPhase::Reverted => "DriftReverted",
            DriftPhase::Open | DriftPhase::Stale => "DriftResolved",
        };
        let message = if is_accepted { with_reason(&message, &drift) } else { message };
        self.tell(&drift, false, event, "Resolve", &message);
        Ok(())
    }

    async fn refuse(&mut self, name: &str, message: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, why = message, "decision refused");
        let note = format!("{}: {message}", brief(&drift.field));
        let claim = Claim {
            kind: conditions::RESOLVED,
            status: ConditionStatus::False,
            reason: reason::DECISION_REFUSED,
            message,
        };
        self.say(name, "refusing a decision on", claim).await?;
        self.tell(&drift, true, "DecisionRefused", "Decide", &note);
        Ok(())
    }

    /// A decision on a resolved drift. `Resolved` stays as it is.
    async fn answer(&mut self, name: &str, message: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, why = message, "a decision came too late");
        let note = format!("{}: {message}", brief(&drift.field));
        let claim = Claim {
            kind: conditions::DECISION_APPLIED,
            status: ConditionStatus::False,
            reason: reason::ALREADY_RESOLVED,
            message,
        };
        let object = json!({
            "apiVersion": Drift::api_version(&()),
            "kind": Drift::kind(&()),
            "metadata": { "name": name, "resourceVersion": drift.resource_version },
            "status": { "conditions": [claim.since(Timestamp::now(), 1)] },
        });
        let doing = format!("answering a decision on Drift {}/{name}", self.key.namespace);
        // An apply adds a condition to the others.
        let params = PatchParams::apply(OPERATOR).force();
        let written = bounded(&doing, self.drifts().patch_status(name, &params, &Patch::Apply(object))).await;
        self.learn(&self.heard(&drift, written)?);
        self.tell(&drift, true, "DecisionRefused", "Decide", &note);
        Ok(())
    }

    async fn wait_if_new(&mut self, name: &str, message: String) -> Result<bool, Error> {
        let is_new = self.known(name).is_some_and(|drift| drift.waits.as_deref() != Some(message.as_str()));
        if is_new {
            match self.wait(name, message).await {
                // The refusal of the other write is told already.
                Err(error) if is_refusal(&error) => return Ok(false),
                waits => waits?,
            }
        }
        Ok(is_new)
    }

    async fn wait(&mut self, name: &str, message: String) -> Result<(), Error> {
        info!(record = %self.key, drift = name, why = message, "a decision waits");
        let claim = Claim {
            kind: conditions::RESOLVED,
            status: ConditionStatus::False,
            reason: reason::DECISION_WAITING,
            message,
        };
        self.say(name, "keeping a decision on", claim).await
    }

    /// Writes what an open drift says of itself.
    async fn say(&mut self, name: &str, what: &str, claim: Claim) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        self.patch_drift_status(&drift, what, open_status(&drift, claim)).await
    }

    async fn drop_decision(&mut self, name: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let patch = json!({
            "metadata": {
                "resourceVersion": drift.resource_version,
                "annotations": {
                    annotations::ACCEPT: null,
                    annotations::ACCEPT_UNTIL: null,
                    annotations::BECAUSE: null,
                    annotations::DECIDED_BY: null,
                    annotations::REVERT: null,
                },
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
        self.context.index().forget_drift(self.owner, &drift.uid);
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
            self.context.index().forget_drift(self.owner, &drift.uid);
        }
        written
    }

    /// The drift as the plan saw it, or as this plan has written it. Never what the watch brought since: a decision
    /// made in between has to be evaluated, so the write must be refused.
    fn known(&self, name: &str) -> Option<KnownDrift> {
        let planned = || self.drifts.iter().find(|drift| drift.name.as_ref() == name);
        self.written.get(name).or_else(planned).cloned()
    }

    fn learn(&mut self, written: &Drift) {
        self.context.index().learn(written);
        let known = KnownDrift::of(written);
        self.written.insert(known.name.clone(), known);
    }

    /// Publishes an Event on the drift, and one on its record, each with the other as the related object.
    fn tell(&self, drift: &KnownDrift, is_warning: bool, reason: &'static str, action: &'static str, note: &str) {
        let this = ObjectReference {
            api_version: Some(Drift::api_version(&()).into_owned()),
            kind: Some(Drift::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(drift.name.to_string()),
            uid: Some(drift.uid.to_string()),
            ..ObjectReference::default()
        };
        let publish = |about: ObjectReference, related: Option<ObjectReference>| {
            let note = note.to_owned();
            self.context.process.events.publish(News { about, related, is_warning, reason, action, note });
        };
        if self.record.is_some() {
            publish(self.about(), Some(this.clone()));
            publish(this, Some(self.about()));
        } else {
            publish(this, None);
        }
    }

    /// The record, as the objects that go with it refer to it.
    fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: ProvisionedResource::api_version(&()).into_owned(),
            kind: ProvisionedResource::kind(&()).into_owned(),
            name: self.key.name.to_string(),
            uid: self.owner.to_owned(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }

    /// The record, as events refer to it.
    pub fn about(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(ProvisionedResource::api_version(&()).into_owned()),
            kind: Some(ProvisionedResource::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.to_string()),
            name: Some(self.key.name.to_string()),
            uid: Some(self.owner.to_owned()),
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

/// The status of an open drift that says this of itself.
fn open_status(drift: &KnownDrift, claim: Claim) -> Value {
    // Earlier versions left a time of 1970 in the default.
    let since = drift.transition.filter(|since| *since != Timestamp::UNIX_EPOCH).unwrap_or_else(Timestamp::now);
    json!({
        "phase": DriftPhase::Open,
        "reason": claim.reason,
        "resolvedAt": null,
        "decidedBy": null,
        "decision": null,
        "conditions": [claim.since(since, 1)],
    })
}

/// A JSON pointer to what these names lead to.
fn pointer(names: [&str; 3]) -> String {
    names.map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).concat()
}

/// Whether the API server would refuse the same write again, until somebody changes something else.
const fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused { .. } | Error::Forbidden { .. } | Error::AlreadyExists { .. })
}

fn closing_message(why: &str, drift: &KnownDrift) -> String {
    let (field, actual) = (named(&drift.field), brief(&drift.actual));
    match why {
        reason::ACCEPTED => format!("{field}: {actual} is the desired value now"),
        reason::REVERTED => format!("{field}: the live value is the desired one again"),
        reason::LIVE_RETURNED => format!("{field}: the live value is as desired again"),
        reason::DESIRED_CHANGED => format!("{field}: the desired value was changed"),
        reason::NO_LONGER_RECORDED => format!("{field}: no longer recorded"),
        reason::IGNORED => format!("{field}: listed in spec.drift.ignore"),
        reason::RESOURCE_GONE => format!("{field}: the resource itself is gone"),
        reason::RECORD_GONE => format!("{field}: the record is gone"),
        why => format!("{field}: {why}"),
    }
}

#[cfg(test)]
mod tests;
