//! Drift: comparing what is recorded with what is live, and deciding what becomes of each difference.

mod act;
pub mod context;
pub mod controller;
mod due;
pub mod evaluate;
mod fetches;
pub(crate) mod finding;
mod first_reads;
pub mod gauges;
pub mod index;
#[cfg(test)]
mod invariants;
pub mod known;
mod merge_patch;
pub mod metrics;
mod observe;
pub mod observed;
pub mod ownership;
pub mod pace;
pub mod plan;
pub(crate) mod record;
mod records;
pub mod revert_saga;
pub mod reverts;
mod shared;
pub(crate) mod shown;
pub mod standing;
pub mod status;
mod summary;
mod sweep;
pub mod sweeps;

pub use record::record_provisioned;
