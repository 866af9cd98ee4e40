//! A revert that is in progress: the decisions that its saga still allows, and the command to type. Pure, except for the
//! read of the saga.

use kube::api::DynamicObject;
use serde_json::Value;

use super::verdict::DecisionKind;
use crate::{
    api::{SagaPhase, conditions::ConditionReason},
    cli::{
        cluster::{Noun, UserCluster},
        drift::{DriftView, text},
    },
};

/// The revert of a drift, while its saga has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct RevertInProgress {
    saga: String,
    stage: RevertStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RevertStage {
    /// The saga has not started: the decision can be taken back or replaced.
    Pending,
    Running,
    /// The saga was cancelled or deleted, or rolls back.
    Ending,
    /// The saga is paused, and does not follow a cancellation before it is resumed.
    Suspended,
    Stuck,
}

impl RevertInProgress {
    /// Reads the saga that reverts the drift. None if no saga reverts it, or if the user may not read the saga.
    pub(in crate::cli) async fn of(cluster: &UserCluster, drift: &DriftView) -> Option<Self> {
        Self::read(drift, saga_in_progress(cluster, drift).await.as_ref())
    }

    pub(in crate::cli) fn read(drift: &DriftView, saga: Option<&DynamicObject>) -> Option<Self> {
        let name = drift.reverting_saga()?;
        let stage = match saga {
            Some(saga) => RevertStage::of(saga)?,
            None if drift.reason == ConditionReason::RevertStuck => RevertStage::Stuck,
            None => return None,
        };
        Some(Self { saga: name.to_owned(), stage })
    }

    /// The reason why the operator would refuse a decision, with the command to type first.
    pub(in crate::cli) fn hinders(&self, verb: DecisionKind, drift: &DriftView, flag: &str) -> Option<String> {
        let saga = &self.saga;
        let (command, _) = self.next(drift, flag);
        match (self.stage, verb) {
            (RevertStage::Pending, DecisionKind::Revert | DecisionKind::Plan) => {
                Some(format!("saga {saga} is about to revert it; take the revert back with: {command}"))
            }
            (RevertStage::Pending, DecisionKind::Accept | DecisionKind::Withdraw | DecisionKind::Restore) => None,
            (RevertStage::Running, _) => Some(format!("saga {saga} reverts it; stop the saga with: {command}")),
            (RevertStage::Ending, _) => {
                Some(format!("saga {saga}, which reverts it, is about to end; wait for that with: {command}"))
            }
            (RevertStage::Suspended, _) => {
                Some(format!("saga {saga}, which reverts it, is suspended; continue the saga with: {command}"))
            }
            (RevertStage::Stuck, _) => {
                Some(format!("saga {saga}, which reverts it, is Stuck; see how to resolve the saga with: {command}"))
            }
        }
    }

    /// The next command, and its effect.
    pub(in crate::cli) fn next(&self, drift: &DriftView, flag: &str) -> (String, &'static str) {
        let saga = &self.saga;
        match self.stage {
            RevertStage::Pending => {
                (format!("kubectl arcadia withdraw {}{flag}", drift.name), "take the decision back")
            }
            RevertStage::Running => {
                (format!("kubectl arcadia saga cancel {saga}{flag}"), "stop the revert and undo its steps")
            }
            RevertStage::Suspended => (format!("kubectl arcadia saga resume {saga}{flag}"), "continue the saga"),
            RevertStage::Ending => (format!("kubectl arcadia saga watch {saga}{flag}"), "wait for the end of the saga"),
            RevertStage::Stuck => (format!("kubectl arcadia saga tree {saga}{flag}"), "see how to resolve the saga"),
        }
    }
}

impl RevertStage {
    /// The stage of a saga; none if it has ended.
    fn of(saga: &DynamicObject) -> Option<Self> {
        let phase = text(&saga.data, "/status/phase").unwrap_or(SagaPhase::Pending.name()).parse();
        let is_set = |pointer| saga.data.pointer(pointer).and_then(Value::as_bool) == Some(true);
        // A deletion resumes a saga.
        let is_deleted = saga.metadata.deletion_timestamp.is_some();
        match phase {
            Ok(SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed) => None,
            Ok(SagaPhase::Stuck) => Some(Self::Stuck),
            Ok(SagaPhase::Running | SagaPhase::RollingBack) if is_set("/spec/suspend") && !is_deleted => {
                Some(Self::Suspended)
            }
            Ok(SagaPhase::RollingBack) => Some(Self::Ending),
            _ if is_deleted || is_set("/spec/cancelRequested") => Some(Self::Ending),
            Ok(SagaPhase::Pending) => Some(Self::Pending),
            // A phase that this version does not know.
            Ok(SagaPhase::Running) | Err(_) => Some(Self::Running),
        }
    }
}

/// The saga that reverts a drift; none if there is none, or if the user may not read it.
pub(super) async fn saga_in_progress(cluster: &UserCluster, drift: &DriftView) -> Option<DynamicObject> {
    cluster.find(Noun::Saga, &drift.namespace, drift.reverting_saga()?).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    fn reverting(reason: &str) -> DriftView {
        view("web-1", &json!({ "status": { "reason": reason, "sagaRef": { "name": "revert-web-1" } } }))
    }

    fn saga(phase: Option<&str>, is_cancelled: bool) -> DynamicObject {
        let saga = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": "revert-web-1" },
            "spec": { "cancelRequested": is_cancelled }, "status": { "phase": phase },
        });
        serde_json::from_value(saga).unwrap()
    }

    #[test]
    fn a_decision_is_refused_with_the_command_to_type_first() {
        let of = |verb, phase| {
            let drift = reverting("Reverting");
            RevertInProgress::read(&drift, Some(&saga(phase, false)))?.hinders(verb, &drift, " -n a")
        };
        let refused = [
            of(DecisionKind::Plan, Some("Pending")),
            of(DecisionKind::Revert, None),
            of(DecisionKind::Accept, Some("Running")),
            of(DecisionKind::Restore, Some("RollingBack")),
            of(DecisionKind::Withdraw, Some("Stuck")),
            of(DecisionKind::Withdraw, Some("OfALaterVersion")),
        ];
        expect![[r"
            saga revert-web-1 is about to revert it; take the revert back with: kubectl arcadia withdraw web-1-size-slug-e7320a9aaf-1 -n a
            saga revert-web-1 is about to revert it; take the revert back with: kubectl arcadia withdraw web-1-size-slug-e7320a9aaf-1 -n a
            saga revert-web-1 reverts it; stop the saga with: kubectl arcadia saga cancel revert-web-1 -n a
            saga revert-web-1, which reverts it, is about to end; wait for that with: kubectl arcadia saga watch revert-web-1 -n a
            saga revert-web-1, which reverts it, is Stuck; see how to resolve the saga with: kubectl arcadia saga tree revert-web-1 -n a
            saga revert-web-1 reverts it; stop the saga with: kubectl arcadia saga cancel revert-web-1 -n a"]]
        .assert_eq(&refused.map(Option::unwrap).join("\n"));
        for verb in [DecisionKind::Accept, DecisionKind::Withdraw, DecisionKind::Restore] {
            assert_eq!(of(verb, Some("Pending")), None, "{verb:?} replaces a revert that has not started");
        }
        for phase in ["Succeeded", "RolledBack", "Failed"] {
            assert_eq!(of(DecisionKind::Withdraw, Some(phase)), None, "{phase}");
        }
    }

    #[test]
    fn the_stage_follows_the_saga_and_without_it_the_drift() {
        let stage = |reason, saga: Option<DynamicObject>| {
            RevertInProgress::read(&reverting(reason), saga.as_ref()).map(|revert| revert.stage)
        };
        for phase in ["Pending", "Running"] {
            assert_eq!(stage("Reverting", Some(saga(Some(phase), true))), Some(RevertStage::Ending), "{phase}");
        }
        for (phase, wanted) in [
            ("Pending", RevertStage::Pending),
            ("Running", RevertStage::Suspended),
            ("RollingBack", RevertStage::Suspended),
            ("Stuck", RevertStage::Stuck),
        ] {
            let mut saga = saga(Some(phase), false);
            saga.data["spec"]["suspend"] = true.into();
            assert_eq!(stage("Reverting", Some(saga.clone())), Some(wanted), "{phase}");
            if phase != "Stuck" {
                saga.metadata.deletion_timestamp = Some(Time("2026-05-10T09:00:00Z".parse().unwrap()));
                assert_eq!(stage("Reverting", Some(saga)), Some(RevertStage::Ending), "{phase}");
            }
        }
        assert_eq!(stage("RevertStuck", Some(saga(Some("Running"), false))), Some(RevertStage::Running), "resolved");
        assert_eq!(stage("RevertStuck", None), Some(RevertStage::Stuck));
        assert_eq!(stage("Reverting", None), None, "the operator decides");
        assert_eq!(stage("RevertFailed", Some(saga(Some("Running"), false))), None);
    }
}
