//! End to end: a real API server, the simulated cloud, the operator as a separate process, and kubectl.
#![cfg(test)]

mod canaries;
mod cases;
mod decisions;
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
mod rush;
mod sagas;
mod smoke;
mod standing;
mod validation;
mod world;
