//! `kubectl arcadia` as a separate process, against a real API server, the operator and the simulated cloud.
#![cfg(test)]

mod account;
mod connection;
mod decisions;
mod gate;
mod hostile;
mod manifests;
#[path = "../support/places.rs"]
#[allow(dead_code, reason = "the end-to-end tests need more of it")]
mod places;
mod program;
mod sagas;
mod screen;
mod streams;
mod terminal;
#[path = "../end_to_end/world.rs"]
#[allow(dead_code, unused_imports, reason = "the end-to-end tests need more of it")]
mod world;
