//! The writes about reverts: the saga, and the state of the Drift.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tracing::info;

use super::executor::{Executor, open_status, with_reason, written};
use crate::{
    api::{
        OPERATOR, RevertPlan, Saga, SagaPhase,
        conditions::{self, Claim, ConditionReason, ConditionStatus},
        drift::{PlannedCall, PlannedStep, awaiting_decision},
        events, labels,
    },
    digitalocean::revert::{Allow, RevertProposal},
    drift::{
        known::Decided,
        plan::{DecisionOrigin, PlannedSaga},
        reverts::decision_annotations,
        shown::{brief, named},
        standing::whole_seconds,
    },
    kube_ext::{
        cache::Cache,
        call::{Error, bounded},
    },
};

impl Executor<'_> {
    /// The first write of a revert.
    pub(super) async fn revert(&mut self, name: &str, order: PlannedSaga) -> Result<(), Error> {
        let (Some(drift), Some(_)) = (self.known(name), self.record) else { return Ok(()) };
        // The decision may have been withdrawn while the live resource was read.
        let drift = self.confirm(&drift).await?;
        let mut saga = Saga::new(&order.name, order.spec);
        saga.metadata.namespace = Some(self.key.namespace.to_string());
        saga.metadata.labels = Some([(labels::REVERT_OF.to_owned(), drift.uid.to_string())].into());
        saga.metadata.annotations = Some(decision_annotations(&match order.origin {
            DecisionOrigin::Person => drift.revert_decided(None),
        }));
        saga.metadata.owner_references = Some(vec![self.owner_reference()]);
        let doing = format!("creating Saga {}/{}", self.key.namespace, order.name);
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let created = match written(&doing, self.sagas().create(&params, &saga)).await {
            // An earlier attempt for this decision created it, and its response was lost.
            Err(Error::AlreadyExists { .. }) => {
                let doing = format!("reading Saga {}/{}", self.key.namespace, order.name);
                let existing = bounded(&doing, self.sagas().get(&order.name)).await?;
                if existing.labels().get(labels::REVERT_OF).map(String::as_str) != Some(&*drift.uid) {
                    let message = "another saga has the name already; delete it".to_owned();
                    return Err(Error::Refused { doing: format!("creating Saga {}", order.name), message });
                }
                existing
            }
            created => created?,
        };
        self.learn_saga(&created);
        let by: &str = order.origin.into();
        info!(record = %self.key, drift = name, saga = order.name, by, "a saga reverts the drift");
        Ok(())
    }

    /// Applies a saga that the API server returned. It may show changes that the watch has not shown yet, and will not
    /// pass on: the record is queued for them.
    fn learn_saga(&self, saga: &Saga) {
        let affected = self.context.reverts().learn(saga);
        self.context.enqueue(affected);
    }

    /// The second write of a revert, and later ones if the saga gets stuck or continues.
    pub(super) async fn follow(&mut self, name: &str, saga: &str, stuck: Option<String>) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let (reason, message) = match stuck {
            Some(message) => (ConditionReason::RevertStuck, message),
            None => (ConditionReason::Reverting, format!("saga {saga} reverts the live value")),
        };
        let note = format!("{}: {message}", named(&drift.field));
        let claim = Claim { kind: conditions::RESOLVED, status: ConditionStatus::False, reason, message };
        let known = self.context.reverts().of(self.key);
        let of_saga = known.iter().find(|known| *known.name == *saga).map(|saga| &saga.decided);
        let Decided { decision, because, by, .. } = drift.revert_decided(of_saga);
        let mut status = open_status(&drift, claim);
        if let Some(status) = status.as_object_mut() {
            status.insert("sagaRef".to_owned(), json!({ "name": saga }));
            status.insert("decision".to_owned(), json!(decision));
            status.insert("decidedBy".to_owned(), json!(by));
            status.insert("because".to_owned(), json!(because));
        }
        self.patch_drift_status(&drift, "following the revert of", status).await?;
        let event = if reason == ConditionReason::RevertStuck { events::REVERT_STUCK } else { events::REVERTING };
        self.publish(&drift, event, "Revert", &with_reason(&note, &drift));
        Ok(())
    }

    /// Cancels a pending saga before it changes anything: its decision is outdated.
    pub(super) async fn cancel_revert(&mut self, name: &str, saga: &str) -> Result<(), Error> {
        let doing = format!("cancelling Saga {}/{saga}", self.key.namespace);
        let read = match bounded(&doing, self.sagas().get_opt(saga)).await? {
            Some(read) if read.phase() == SagaPhase::Pending => read,
            // The watch is late.
            Some(read) => {
                self.learn_saga(&read);
                return Ok(());
            }
            None => {
                self.context.reverts().forget(self.key, saga);
                return Ok(());
            }
        };
        // Bound to the version that was read: it may start meanwhile.
        let patch = json!({
            "metadata": { "resourceVersion": read.metadata.resource_version }, "spec": { "cancelRequested": true },
        });
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let patched = bounded(&doing, self.sagas().patch(saga, &params, &Patch::Merge(patch))).await?;
        self.learn_saga(&patched);
        info!(record = %self.key, drift = name, saga, "the revert is cancelled before its saga begins");
        Ok(())
    }

    /// The saga has ended, and the drift still exists.
    pub(super) async fn fail_revert(&mut self, name: &str, message: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, why = message, "the revert failed");
        let note = format!("{}: {message}", named(&drift.field));
        let claim = Claim {
            kind: conditions::RESOLVED,
            status: ConditionStatus::False,
            reason: ConditionReason::RevertFailed,
            message,
        };
        self.set_condition(name, "reporting the failed revert of", claim).await?;
        self.publish(&drift, events::REVERT_FAILED, "Revert", &note);
        Ok(())
    }

    /// The saga of a revert is not in the cache: the watch is late, or it was deleted.
    pub(super) async fn lose_revert(&mut self, name: &str, saga: &str) -> Result<(), Error> {
        let doing = format!("reading Saga {}/{saga}", self.key.namespace);
        if let Some(read) = bounded(&doing, self.sagas().get_opt(saga)).await? {
            self.learn_saga(&read);
            if self.context.reverts().of(self.key).iter().any(|known| *known.name == *saga) {
                return Ok(());
            }
        }
        self.drop_decision(name).await?;
        self.fail_revert(name, format!("saga {saga} was deleted before it ended")).await
    }

    /// The first write of the answer to a request for the plan.
    pub(super) async fn show_plan(&mut self, name: &str, plan: RevertProposal, needs: Allow) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let planned = RevertPlan {
            planned_at: Time(whole_seconds(Timestamp::now())),
            class: plan.assessment.class,
            effect: plan.assessment.why,
            needs: needs.annotation().to_owned(),
            steps: plan
                .steps
                .into_iter()
                .map(|step| PlannedStep {
                    name: step.name,
                    step: step.step.to_owned(),
                    irreversible: step.irreversible,
                })
                .collect(),
            calls: plan
                .calls
                .into_iter()
                .map(|call| PlannedCall { method: call.method.to_owned(), path: call.path, changes: call.changes })
                .collect(),
            warnings: plan.assessment.warnings,
        };
        // A refusal is answered by the plan.
        let mut status = if drift.is_refused { open_status(&drift, awaiting_decision()) } else { json!({}) };
        if let Some(status) = status.as_object_mut() {
            status.insert("plan".to_owned(), json!(planned));
        }
        self.patch_drift_status(&drift, "planning the revert of", status).await?;
        let note = format!("{}: the plan of the revert is in status.plan; nothing was changed", brief(&drift.field));
        self.publish(&drift, events::REVERT_PLANNED, "Revert", &note);
        Ok(())
    }

    fn sagas(&self) -> Api<Saga> {
        Api::namespaced(self.context.process.client.clone(), &self.key.namespace)
    }
}
