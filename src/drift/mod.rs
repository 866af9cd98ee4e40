//! Drift: comparing what is recorded with what is live, and deciding what becomes of each difference.

mod act;
mod asking;
pub mod controller;
pub mod evaluate;
mod finding;
pub mod index;
#[cfg(test)]
mod invariants;
pub mod known;
mod merge_patch;
pub mod ownership;
pub(crate) mod record;
pub mod reverts;
pub(crate) mod shown;
pub mod standing;
pub mod status;
mod sweep;

pub use record::record_provisioned;
