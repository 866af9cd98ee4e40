//! End to end: a real API server, the simulator of the cloud, the operator as a process of its own, and kubectl.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod decisions;
mod faults;
mod ha;
mod lifecycle;
mod privilege;
mod program;
mod smoke;
mod validation;
mod world;
