//! Records under GitOps: real engines apply the same manifest repeatedly, and the operator writes to no record.
#![cfg(test)]

mod accepting;
mod behaviour;
mod cost;
mod engine;
mod pruning;
mod stage;
#[path = "../end_to_end/world.rs"]
#[allow(dead_code, unused_imports, reason = "the end-to-end tests need more of it")]
mod world;
