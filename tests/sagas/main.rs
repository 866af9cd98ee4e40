//! Sagas against everything that can go wrong: the operator, built with failpoints, is a process of its own and is
//! ended at each place at which it could crash; each call fails once, and each answer is lost once.
#![cfg(test)]

mod crashes;
mod examples;
mod faults;
mod isolation;
mod stage;
#[path = "../end_to_end/world.rs"]
#[allow(dead_code, unused_imports, reason = "the end-to-end tests need more of it")]
mod world;
