//! Alerts, dashboard and runbook are held to each other, to Prometheus' own parser, and to operators that really run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod alerts;
mod dashboard;
mod documents;
mod firing;
mod prometheus;
mod running;
mod scrape;
#[path = "../end_to_end/world.rs"]
#[allow(dead_code, reason = "made for the end-to-end tests, which use all of it")]
mod world;
