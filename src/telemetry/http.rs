//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::{net::TcpListener, runtime::Handle};

use super::metrics::MetricsRegistry;

/// Returns the reason of a failure, if there is one.
pub(crate) type Probe = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The sources of the responses.
#[derive(Clone)]
pub(crate) struct Endpoints {
    /// The reason why the process is not live.
    pub live: Probe,
    /// The reason why the process is not ready.
    pub ready: Probe,
    /// Each check of readiness on a line.
    pub checks: Arc<dyn Fn() -> String + Send + Sync>,
    /// The metrics.
    pub metrics: Arc<MetricsRegistry>,
}

/// Serves on this runtime until the process ends.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn serve(address: SocketAddr, endpoints: Endpoints, runtime: &Handle) -> std::io::Result<()> {
    let listener = runtime.spawn(TcpListener::bind(address)).await.map_err(std::io::Error::other)??;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    let router = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(endpoints);
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "serving health and metrics ended");
        }
    });
    Ok(())
}

async fn live(State(endpoints): State<Endpoints>) -> (StatusCode, String) {
    answer((endpoints.live)())
}

/// Lists each check with `verbose`.
async fn ready(State(endpoints): State<Endpoints>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let (status, text) = answer((endpoints.ready)());
    let is_verbose = query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
    (status, if is_verbose { (endpoints.checks)() } else { text })
}

fn answer(failure: Option<String>) -> (StatusCode, String) {
    match failure {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(failure) => (StatusCode::SERVICE_UNAVAILABLE, failure + "\n"),
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    let text = endpoints.metrics.scrape();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_is_a_503_with_its_reason() {
        let why: Probe = Arc::new(|| Some("stopping".to_owned()));
        let checks = Arc::new(|| "[-]process failed: stopping\n".to_owned());
        let endpoints = Endpoints { live: Arc::new(|| None), ready: why, checks, metrics: Arc::default() };
        assert_eq!(live(State(endpoints.clone())).await, (StatusCode::OK, "ok\n".to_owned()));
        let unready = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
        assert_eq!(ready(State(endpoints.clone()), RawQuery(None)).await, unready("stopping\n"));
        let verbose = RawQuery(Some("timeout=3&verbose".to_owned()));
        assert_eq!(ready(State(endpoints), verbose).await, unready("[-]process failed: stopping\n"));
    }
}
