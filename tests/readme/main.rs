//! The README is held to the program: its tour is typed into a shell, and its tables are compared with the code.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod document;
mod links;
mod stage;
mod tables;
mod tour;
