//! The writes about decisions that are refused, wait, or are too late.

use jiff::Timestamp;
use kube::{
    Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::info;

use super::executor::{Executor, is_refusal, written};
use crate::{
    api::{
        Drift, OPERATOR, annotations,
        conditions::{self, Claim, ConditionReason, ConditionStatus},
        events,
    },
    drift::shown::brief,
    kube_ext::call::Error,
};

impl Executor<'_> {
    pub(super) async fn refuse(&mut self, name: &str, message: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, why = message, "decision refused");
        let note = format!("{}: {message}", brief(&drift.field));
        let claim = Claim {
            kind: conditions::RESOLVED,
            status: ConditionStatus::False,
            reason: ConditionReason::DecisionRefused,
            message,
        };
        self.set_condition(name, "refusing a decision on", claim).await?;
        self.publish(&drift, events::DECISION_REFUSED, "Decide", &note);
        Ok(())
    }

    /// Answers a decision on a resolved drift. `Resolved` is unchanged.
    pub(super) async fn answer(&mut self, name: &str, message: String) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, why = message, "refused a decision on a resolved drift");
        let note = format!("{}: {message}", brief(&drift.field));
        let claim = Claim {
            kind: conditions::DECISION_APPLIED,
            status: ConditionStatus::False,
            reason: ConditionReason::AlreadyResolved,
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
        let written = written(&doing, self.drifts().patch_status(name, &params, &Patch::Apply(object))).await;
        self.learn(&self.response(&drift, written)?);
        self.publish(&drift, events::DECISION_REFUSED, "Decide", &note);
        Ok(())
    }

    pub(super) async fn wait_if_new(&mut self, name: &str, message: String) -> Result<bool, Error> {
        let is_new = self.known(name).is_some_and(|drift| drift.waits.as_deref() != Some(message.as_str()));
        if is_new {
            match self.wait(name, message).await {
                // The refusal of the other write is already published.
                Err(error) if is_refusal(&error) => return Ok(false),
                waits => waits?,
            }
        }
        Ok(is_new)
    }

    pub(super) async fn wait(&mut self, name: &str, message: String) -> Result<(), Error> {
        info!(record = %self.key, drift = name, why = message, "a decision waits");
        let claim = Claim {
            kind: conditions::RESOLVED,
            status: ConditionStatus::False,
            reason: ConditionReason::DecisionWaiting,
            message,
        };
        self.set_condition(name, "keeping a decision on", claim).await
    }

    pub(super) async fn drop_decision(&mut self, name: &str) -> Result<(), Error> {
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
        self.patch_drift(&drift, "removing the refused decision from", patch).await
    }
}
