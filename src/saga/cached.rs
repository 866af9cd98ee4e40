//! A saga in the cache: whole until it is finished, and from then on only what other sagas, the census and its own end
//! need. The rest is read when it is needed.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use super::{
    clock,
    event::Choice,
    state::{current, short},
    view::Intervention,
};
use crate::{
    api::{
        Saga, SagaKind, SagaPhase, annotations,
        saga::{FINALIZER, Resolution},
    },
    kube_ext::{version::Version, work::Requeue},
};

#[derive(Clone, Debug)]
pub enum CachedSaga {
    /// The object, without `managedFields`, and the intervention that its annotations request.
    Whole(Arc<Saga>, Option<Arc<Intervention>>),
    Finished(Arc<FinishedSaga>),
}

/// The cached part of a finished saga.
#[derive(Debug, PartialEq)]
pub struct FinishedSaga {
    uid: Box<str>,
    version: Version,
    kind: SagaKind,
    phase: SagaPhase,
    /// The time at which the saga finished, and its time to live from then on.
    expires: Option<(Timestamp, Duration)>,
    /// The saga that it undid, and the UID of that.
    undone: Option<Box<Undone>>,
    is_deleting: bool,
    /// Its journal or its metadata has to be written.
    has_news: bool,
}

/// A saga that another one undoes.
#[derive(Debug, PartialEq)]
struct Undone {
    name: Box<str>,
    uid: Option<Box<str>>,
}

impl CachedSaga {
    /// The cached part of an object. `whole` returns the object without `managedFields`.
    pub(super) fn of(saga: &Saga, intervention: Option<Intervention>, whole: impl FnOnce() -> Arc<Saga>) -> Self {
        if saga.phase().is_finished() {
            Self::Finished(Arc::new(FinishedSaga::of(saga, intervention.is_some())))
        } else {
            Self::Whole(whole(), intervention.map(Arc::new))
        }
    }

    /// The object, unless it is finished.
    pub(super) fn whole(&self) -> Option<&Arc<Saga>> {
        match self {
            Self::Whole(saga, _) => Some(saga),
            Self::Finished(_) => None,
        }
    }

    pub(super) fn uid(&self) -> &str {
        match self {
            Self::Whole(saga, _) => saga.metadata.uid.as_deref().unwrap_or_default(),
            Self::Finished(finished) => &finished.uid,
        }
    }

    /// Whether the object with this metadata is a later version.
    pub(super) fn is_older_than(&self, object: &ObjectMeta) -> bool {
        let newer = Version::of(object);
        match self {
            Self::Whole(saga, _) => newer.is_newer(&Version::of(&saga.metadata)),
            Self::Finished(finished) => newer.is_newer(&finished.version),
        }
    }

    pub(super) fn kind(&self) -> SagaKind {
        match self {
            Self::Whole(saga, _) => saga.spec.kind,
            Self::Finished(finished) => finished.kind,
        }
    }

    pub(super) fn phase(&self) -> SagaPhase {
        match self {
            Self::Whole(saga, _) => saga.phase(),
            Self::Finished(finished) => finished.phase,
        }
    }

    /// The name of the saga that it undoes.
    pub(super) fn undone(&self) -> Option<&str> {
        match self {
            Self::Whole(saga, _) => saga.spec.rollback_of.as_ref().map(|undone| undone.name.as_str()),
            Self::Finished(finished) => finished.undone.as_ref().map(|undone| &*undone.name),
        }
    }

    /// The UID of the saga that it undoes, once it has started.
    pub(super) fn undone_uid(&self) -> Option<&str> {
        match self {
            Self::Whole(saga, _) => saga.status.as_ref()?.rollback_of_uid.as_deref(),
            Self::Finished(finished) => finished.undone.as_ref()?.uid.as_deref(),
        }
    }
}

impl FinishedSaga {
    fn of(saga: &Saga, has_intervention: bool) -> Self {
        let status = saga.status.as_ref();
        let is_deleting = saga.metadata.deletion_timestamp.is_some();
        let generation = saga.metadata.generation.unwrap_or_default();
        let is_observed = status.and_then(|status| status.observed_generation) == Some(generation);
        let ttl = saga.spec.ttl_seconds_after_finished;
        let ttl = ttl.map(|ttl| Duration::from_secs(u64::try_from(ttl).unwrap_or_default()));
        let finished_at = status.and_then(|status| status.finished_at.as_ref()).map(|at| at.0);
        let undone = saga.spec.rollback_of.as_ref().map(|undone| {
            let uid = status.and_then(|status| status.rollback_of_uid.as_deref());
            Box::new(Undone { name: undone.name.as_str().into(), uid: uid.map(Into::into) })
        });
        Self {
            uid: saga.uid().unwrap_or_default().into(),
            version: Version::of(&saga.metadata),
            kind: saga.spec.kind,
            phase: saga.phase(),
            expires: finished_at.zip(ttl),
            undone,
            is_deleting,
            has_news: has_intervention || if is_deleting { is_held(saga) } else { !is_observed },
        }
    }

    /// The next turn of the saga, if none is due now.
    pub(super) fn rest(&self, now: Timestamp) -> Option<Requeue> {
        if self.has_news {
            return None;
        }
        let Some((finished, ttl)) = self.expires.filter(|_| !self.is_deleting) else { return Some(Requeue::Settled) };
        let left = clock::left(finished, ttl, now);
        (!left.is_zero()).then_some(Requeue::After(left))
    }
}

/// The intervention that the annotations request.
pub(super) fn intervention(saga: &Saga) -> Option<Intervention> {
    let annotation = |key: &str| saga.annotations().get(key).map(|text| text.trim().to_owned());
    let resolve = annotation(annotations::RESOLVE);
    let adopt = annotation(annotations::ADOPT);
    let given = if adopt.is_some() { annotations::ADOPT } else { annotations::RESOLVE };
    let by = annotation(annotations::DECIDED_BY)
        .or_else(|| annotations::written_by(&saga.metadata, given).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    let cut = |text: String| short(text, 250);
    let status = saga.status.as_ref();
    let step = status.and_then(|status| status.steps.get(current(status)?)).map(|entry| entry.name.clone());
    let resolution = |what: String| Resolution {
        at: Time(Timestamp::now()),
        step: step.unwrap_or_default(),
        what: cut(what),
        by: cut(by),
        why: annotation(annotations::BECAUSE).map(cut),
    };
    if let Some(id) = adopt {
        return Some(Intervention::Adopt(id.clone(), resolution(format!("adopt {id}"))));
    }
    let word = resolve?;
    let choice = match word.as_str() {
        "retry" => Choice::Retry,
        "skip" => Choice::Skip,
        "abandon" => Choice::Abandon,
        _ => return Some(Intervention::Unknown(cut(word))),
    };
    Some(Intervention::Choose(choice, resolution(word)))
}

/// Returns true if the operator's finalizer delays a deletion.
pub(super) fn is_held(saga: &Saga) -> bool {
    saga.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_decision_that_a_saga_carries_out_is_not_the_reason_of_its_resolution() {
        let saga: Saga = serde_json::from_value(json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga",
            "metadata": { "name": "revert", "namespace": "default", "annotations": {
                annotations::RESOLVE: "skip",
                annotations::REVERT_DECISION: r#"{"decision":"true","because":"OPS-1","by":"jane"}"#,
            } },
            "spec": { "kind": "update", "deploymentId": "d", "steps": [] },
        }))
        .unwrap();
        let Some(Intervention::Choose(Choice::Skip, resolution)) = intervention(&saga) else { panic!() };
        assert_eq!((resolution.by.as_str(), resolution.why), ("unknown", None));
    }
}
