//! Sagas and decisions under every failure: the operator, built with failpoints, runs as a separate process and crashes
//! at each point; each call fails once, and each response is lost once.
#![cfg(test)]

mod crashes;
mod decisions;
mod examples;
mod faults;
mod isolation;
mod reverts;
mod stage;
#[path = "../end_to_end/world.rs"]
#[allow(dead_code, unused_imports, reason = "the end-to-end tests need more of it")]
mod world;
