//! Alerts, dashboard and runbook are held to each other, to Prometheus' own parser, and to operators that really run.
#![cfg(test)]

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
