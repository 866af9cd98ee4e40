//! Alerts, dashboard and runbook are compared with each other, with Prometheus' own parser, and with running operators.
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
