//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use super::metrics::Reading;
use crate::drift::controller::Context;

/// What it serves from.
#[derive(Clone)]
pub struct Health {
    /// The controller.
    pub context: Arc<Context>,
    /// Asks the cloud client how much it was used.
    pub usage: Arc<dyn Fn() -> crate::digitalocean::Usage + Send + Sync>,
}

/// Serves until the process ends.
///
/// # Errors
/// When the address is not to be had.
pub async fn serve(address: SocketAddr, health: Health) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
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

/// Ready once every record is known and every recorded kind has been listed.
async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let context = &health.context;
    if !context.is_loaded() {
        return (StatusCode::SERVICE_UNAVAILABLE, "reading the records and drifts\n".to_owned());
    }
    let recorded = context.index().kinds();
    let snapshots = context.inventory.snapshots();
    let is_listed = |kind| snapshots.iter().any(|snapshot| snapshot.kind == kind && snapshot.age.is_some());
    let missing: Vec<_> = recorded
        .into_iter()
        .filter(|kind| !is_listed(*kind))
        .map(super::super::digitalocean::kinds::Kind::name)
        .collect();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("no inventory yet of {}\n", missing.join(", ")))
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let reading = {
        let index = health.context.index();
        Reading {
            records: index.len(),
            open_drifts: index.open_drifts(),
            snapshots: health.context.inventory.snapshots(),
            usage: (health.usage)(),
        }
    };
    let text = health.context.metrics.scrape(&reading);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
