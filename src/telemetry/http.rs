//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::{net::TcpListener, sync::watch, time::Instant};

use super::metrics::Reading;
use crate::drift::controller::Context;

/// An answer of the API server that is older is none.
const FRESH: Duration = Duration::from_secs(15);

/// Whether the API server answered when it was last asked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When.
    pub at: Instant,
    /// Why not, or what it lacks.
    pub trouble: Option<String>,
}

/// What it serves from.
#[derive(Clone)]
pub struct Health {
    /// The controller.
    pub context: Arc<Context>,
    /// Asks the cloud client how much it was used.
    pub usage: Arc<dyn Fn() -> crate::digitalocean::Usage + Send + Sync>,
    /// Whether the API server answers and has the definitions.
    pub api_server: watch::Receiver<Answer>,
}

/// Serves until the process ends.
///
/// # Errors
/// When the address is not to be had.
pub async fn serve(address: SocketAddr, health: Health) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    let router = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "health and metrics are served no more");
        }
    });
    Ok(())
}

/// Alive as long as the loops go on. Neither the API server nor the cloud has a say in it: a restart mends neither.
async fn live(State(health): State<Health>) -> (StatusCode, String) {
    answer(health.context.liveness.failure())
}

/// Ready once this process does its part, or would as soon as it is the leader.
async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    answer(unready(&health))
}

fn answer(failure: Option<String>) -> (StatusCode, String) {
    match failure {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(failure) => (StatusCode::SERVICE_UNAVAILABLE, failure + "\n"),
    }
}

fn unready(health: &Health) -> Option<String> {
    let context = &health.context;
    if context.stop.is_cancelled() {
        return Some("stopping".to_owned());
    }
    {
        let answer = health.api_server.borrow();
        if answer.trouble.is_some() {
            return answer.trouble.clone();
        }
        if answer.at.elapsed() > FRESH {
            return Some("the API server was not asked of late".to_owned());
        }
    }
    if let Some(trouble) = context.leadership.trouble() {
        return Some(format!("cannot look at the lease: {trouble}"));
    }
    if !context.is_loaded() {
        return Some("reading the records and drifts".to_owned());
    }
    if !context.leadership.is_leader() {
        // A standby leaves the cloud alone: the token's calls are the leader's.
        return None;
    }
    let recorded = context.index().kinds();
    let snapshots = context.inventory.snapshots();
    let is_listed = |kind| snapshots.iter().any(|snapshot| snapshot.kind == kind && snapshot.age.is_some());
    let missing: Vec<_> =
        recorded.into_iter().filter(|kind| !is_listed(*kind)).map(crate::digitalocean::Kind::name).collect();
    (!missing.is_empty()).then(|| format!("no inventory yet of {}", missing.join(", ")))
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let text = health.context.metrics.scrape(&Reading::of(&health.context, (health.usage)()));
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
