//! The intent of a call, as the journal holds it, and its renewal right before a call that comes late.
//!
//! The next leader waits for the settle time from the intent on, and then concludes what the call did. So no call is
//! sent long after its intent. A step reads before it calls, and a slow API may need longer than that: the intent is then
//! written again, bound to the version of the journal that it was written to.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Resource, api::PostParams};
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::{debug, info};

use super::{
    event::{Event, StepEvent},
    journal,
    state::{Direction, current, direction},
};
use crate::{
    api::{OPERATOR, Saga, SagaStatus},
    failpoint,
    kube_ext::{
        call::{Error, bounded},
        key::ObjectKey,
        leader::{AllowedRequests, Leadership},
        undecoded::{Undecoded, decoded},
    },
};

/// Writes the journal of a saga, bound to the version of this object.
pub(super) async fn write_journal(
    client: &kube::Client,
    key: &ObjectKey,
    saga: &Saga,
    status: &SagaStatus,
) -> Result<Saga, Error> {
    failpoint::crash("journal-before");
    let ObjectMeta { uid, resource_version, .. } = &saga.metadata;
    let object = Journal {
        api_version: Saga::api_version(&()),
        kind: Saga::kind(&()),
        metadata: JournalMeta { name: &key.name, namespace: &key.namespace, uid, resource_version },
        status,
    };
    let sagas: Api<Undecoded<Saga>> = Api::namespaced(client.clone(), &key.namespace);
    let doing = format!("writing the journal of Saga {key}");
    let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
    let write = sagas.replace_subresource("status", &key.name, &params, &object);
    let written = bounded(&doing, decoded(write)).await?;
    failpoint::crash("journal-after");
    Ok(written)
}

/// A saga as a write of its journal has it. The API server keeps everything else.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Journal<'a> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: JournalMeta<'a>,
    status: &'a SagaStatus,
}

/// The version to which a write is bound.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JournalMeta<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a Option<String>,
    resource_version: &'a Option<String>,
}

/// An intent in the journal.
pub(super) struct Intent {
    pub(super) key: ObjectKey,
    pub(super) client: kube::Client,
    pub(super) leadership: Leadership,
    /// The longest time from the intent to the call.
    pub(super) latest: Duration,
    pub(super) state: Mutex<Written>,
}

/// The latest version of the journal that holds the intent.
pub(super) struct Written {
    pub(super) saga: Arc<Saga>,
    /// The time right before it was written.
    pub(super) at: Instant,
}

impl Intent {
    /// Whether the call may be sent now. An intent that is too old is renewed first.
    pub(super) async fn holds(&self) -> bool {
        let mut written = self.state.lock().await;
        if written.at.elapsed() >= self.latest && !self.renew(&mut written).await {
            return false;
        }
        written.at.elapsed() < self.latest && self.leadership.permit() == AllowedRequests::Write
    }

    /// Whether the intent is younger than this.
    pub(super) async fn is_younger_than(&self, age: Duration) -> bool {
        self.state.lock().await.at.elapsed() < age
    }

    /// The latest version of the journal that this process wrote.
    pub(super) async fn saga(&self) -> Arc<Saga> {
        self.state.lock().await.saga.clone()
    }

    async fn renew(&self, written: &mut Written) -> bool {
        let at = Instant::now();
        let Some(status) = renewed(&written.saga, Timestamp::now()) else { return false };
        match write_journal(&self.client, &self.key, &written.saga, &status).await {
            Ok(saga) => {
                debug!(saga = %self.key, "renewed the intent of a call that comes late");
                *written = Written { saga: Arc::new(saga), at };
                true
            }
            Err(error) => {
                info!(saga = %self.key, %error, "cannot renew the intent of a call, so it is not made");
                false
            }
        }
    }
}

/// The journal with the intent of this time.
fn renewed(saga: &Saga, now: Timestamp) -> Option<SagaStatus> {
    let mut status = saga.status.clone()?;
    let index = current(&status)?;
    let event: Event = match direction(&status) {
        Direction::Forward => StepEvent::Renew { counts: false }.of(index),
        Direction::Back => StepEvent::Undo { counts: false }.of(index),
    };
    journal::apply(&mut status, event, now).ok()?;
    Some(status)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::saga::StepState;

    const SETTLED: &str = "2026-01-01T00:00:00Z";

    /// A saga whose only step was announced long ago.
    fn saga(state: &str) -> Saga {
        let undo = (state == "Undoing").then(|| json!({ "attempts": 1, "startedAt": SETTLED }));
        let phase = if undo.is_some() { "RollingBack" } else { "Running" };
        let step = json!({
            "name": "a", "state": state, "attempts": 1, "startedAt": SETTLED, "calledAt": SETTLED, "undo": undo,
        });
        let saga = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga",
            "metadata": { "name": "saga", "namespace": "default", "resourceVersion": "7" },
            "spec": { "kind": "test", "steps": [{ "name": "a", "step": "Sleep", "with": { "seconds": 0 } }] },
            "status": { "phase": phase, "steps": [step], "conditions": [] },
        });
        serde_json::from_value(saga).unwrap()
    }

    /// An API server that stores a journal once, bound to its version.
    fn server(writes: Arc<AtomicUsize>, is_outdated: bool) -> kube::Client {
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let writes = writes.clone();
            async move {
                let sent: Value = serde_json::from_slice(&request.into_body().collect_bytes().await?)?;
                let written = writes.fetch_add(1, Ordering::Relaxed);
                assert_eq!(sent["metadata"]["resourceVersion"], (7 + written).to_string());
                let (code, answer) = if is_outdated {
                    let conflict = json!({
                        "kind": "Status", "status": "Failure", "message": "", "reason": "Conflict", "code": 409,
                    });
                    (409, conflict)
                } else {
                    let mut stored = sent;
                    stored["spec"] = json!({ "kind": "test" });
                    stored["metadata"]["resourceVersion"] = json!((8 + written).to_string());
                    (200, stored)
                };
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, tower::BoxError>(http::Response::builder().status(code).body(body)?)
            }
        });
        kube::Client::new(service, "default")
    }

    fn intent(state: &str, client: kube::Client, age: Duration) -> Intent {
        Intent {
            key: ObjectKey { namespace: "default".into(), name: "saga".into() },
            client,
            leadership: Leadership::unelected(),
            latest: Duration::from_secs(5),
            state: Mutex::new(Written { saga: Arc::new(saga(state)), at: Instant::now().checked_sub(age).unwrap() }),
        }
    }

    #[tokio::test]
    async fn an_intent_that_is_too_old_is_written_again_before_the_call() {
        let late = Duration::from_secs(6);
        for (state, age, wanted) in [("Running", Duration::ZERO, 0), ("Running", late, 1), ("Undoing", late, 1)] {
            let writes = Arc::new(AtomicUsize::new(0));
            let intent = intent(state, server(writes.clone(), false), age);
            assert!(intent.holds().await && intent.holds().await, "{state} {age:?}");
            assert_eq!(writes.load(Ordering::Relaxed), wanted, "{state} {age:?}");
            let saga = intent.saga().await;
            assert_eq!(saga.metadata.resource_version, Some((7 + wanted).to_string()));
            let step = &saga.status.as_ref().unwrap().steps[0];
            assert_eq!(step.attempts, 1, "the call is not another attempt");
            let called = step.called_at.as_ref().unwrap().0.to_string();
            assert_eq!(called != SETTLED, state == "Running" && wanted == 1, "{called}");
            assert!(matches!(step.state, StepState::Running | StepState::Undoing));
        }
    }

    #[tokio::test]
    async fn a_call_is_not_made_once_another_process_wrote_the_journal() {
        let writes = Arc::new(AtomicUsize::new(0));
        let intent = intent("Running", server(writes.clone(), true), Duration::from_secs(6));
        assert!(!intent.holds().await);
        assert_eq!(intent.saga().await.metadata.resource_version.as_deref(), Some("7"));
    }
}
