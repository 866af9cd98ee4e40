//! What all parts of the process share: who it is to others, and whether it may act.

use std::future::Future;

use futures::future::join_all;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    kube_ext::{events::Events, leader::Leadership},
    telemetry::{liveness::Liveness, metrics::Metrics},
};

/// What the controllers share. Clones are the same.
#[derive(Clone)]
pub struct Process {
    /// Kubernetes.
    pub client: Client,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether this process acts or stands by.
    pub leadership: Leadership,
    /// Told when no new work may begin.
    pub stop: CancellationToken,
    /// Whether the loops go on.
    pub liveness: Liveness,
}

impl Process {
    /// One that has not begun. Needs a tokio runtime.
    #[must_use]
    pub fn new(client: Client, leadership: Leadership) -> Self {
        Self {
            events: Events::start(&client),
            client,
            metrics: Metrics::default(),
            leadership,
            stop: CancellationToken::new(),
            liveness: Liveness::default(),
        }
    }

    /// Waits until a controller knows what it must, and this process is the leader. False when it is to stop instead.
    pub async fn may_begin(&self, known: impl Future<Output = ()>) -> bool {
        let ready = async {
            known.await;
            self.leadership.acquired().await;
        };
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = ready => true,
        }
    }
}

/// Runs so many workers, each a task of its own, until all have ended.
pub async fn workers<F>(what: &'static str, count: usize, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for ended in join_all((0..count).map(|_| tokio::spawn(work()))).await {
        if let Err(error) = ended {
            error!(%error, worker = what, "a worker ended");
        }
    }
}
