//! End to end: a real API server, the simulated cloud, the operator as a separate process, and kubectl.
#![cfg(test)]

mod canaries;
mod cases;
mod decisions;
mod every_refusal;
mod every_revert;
#[path = "../../src/digitalocean/examples.rs"]
#[allow(dead_code, reason = "the tests of the room need more of it")]
mod examples;
mod faults;
mod ha;
mod hostile;
mod lifecycle;
mod misuse;
#[path = "../support/places.rs"]
mod places;
mod privilege;
mod program;
mod readability;
mod refusals;
mod replay;
mod reverting;
mod rules;
mod rush;
mod sagas;
mod smoke;
mod standing;
mod validation;
mod world;
