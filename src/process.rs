//! The shared parts of the process: its clients and its leadership.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use kube::Client;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    kube_ext::{events::Events, leader::Leadership},
    liveness::Liveness,
};

/// Opened connections are assumed to stay open for this time: hyper drops idle ones after 90 s.
const CONNECTED_FOR: Duration = Duration::from_mins(1);

/// The parts that the controllers share. Clones share them too.
#[derive(Clone)]
pub struct Process {
    /// The Kubernetes client.
    pub client: Client,
    /// The publisher of events.
    pub events: Events,
    /// The leadership of this process.
    pub leadership: Leadership,
    /// Cancelled at shutdown: no new work may start.
    pub stop: CancellationToken,
    /// The progress of the loops.
    pub liveness: Liveness,
    /// When connections were last opened, and how many.
    connected: Arc<Mutex<Option<(Instant, usize)>>>,
}

impl Process {
    /// Creates the parts of a process that has not started. Needs a tokio runtime.
    #[must_use]
    pub fn new(client: Client, leadership: Leadership) -> Self {
        Self {
            events: Events::start(&client),
            client,
            leadership,
            stop: CancellationToken::new(),
            liveness: Liveness::default(),
            connected: Arc::default(),
        }
    }

    /// Opens this many connections to the API server, before as many concurrent writes need them. Recent ones are still
    /// open.
    pub fn connect(&self, count: usize) {
        let now = Instant::now();
        let mut connected = self.connected.lock();
        if connected.is_some_and(|(at, open)| open >= count && now.duration_since(at) < CONNECTED_FOR) {
            return;
        }
        *connected = Some((now, count));
        drop(connected);
        for _ in 0..count {
            let (client, connected) = (self.client.clone(), self.connected.clone());
            tokio::spawn(async move {
                // Any response shows a connection. One that cannot be opened now is opened by the next rush.
                if !matches!(client.apiserver_version().await, Ok(_) | Err(kube::Error::Api(_))) {
                    *connected.lock() = None;
                }
            });
        }
    }

    /// Waits until a controller's cache is complete and this process leads. Returns false at shutdown.
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

/// Runs this many workers, each as a task, until all have ended.
pub(crate) async fn workers<F>(what: &'static str, count: usize, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for ended in join_all((0..count).map(|_| tokio::spawn(work()))).await {
        if let Err(error) = ended {
            error!(%error, worker = what, "a worker ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// Makes these rushes to an API server with this response. Returns the number of its requests after each.
    async fn requests(rushes: &[usize], respond: fn() -> kube::Result<Response<Body>>) -> Vec<usize> {
        let opened = Arc::new(AtomicUsize::new(0));
        let counted = opened.clone();
        let api_server = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(respond())
        });
        let process = Process::new(Client::new(api_server, "default"), Leadership::unelected());
        let mut requests = Vec::new();
        for rush in rushes {
            process.connect(*rush);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            requests.push(opened.load(Ordering::Relaxed));
        }
        requests
    }

    #[tokio::test]
    async fn connections_are_opened_once_for_several_rushes() {
        let version = || {
            let info = r#"{"major":"1","minor":"37","gitVersion":"v1.37.2","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
            Ok(Response::new(Body::from(info.as_bytes().to_vec())))
        };
        assert_eq!(requests(&[5, 5, 3, 16], version).await, [5, 5, 5, 21]);
    }

    #[tokio::test]
    async fn connections_that_could_not_be_opened_are_opened_for_the_next_rush() {
        let broken = || Err(kube::Error::LinesCodecMaxLineLengthExceeded);
        assert_eq!(requests(&[5, 5], broken).await, [5, 10]);
    }
}
