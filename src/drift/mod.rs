//! Drift: comparing what is recorded with what is live, and deciding what becomes of each difference.

mod act;
mod cached;
pub(crate) mod context;
pub(crate) mod controller;
mod due;
pub(crate) mod evaluate;
mod fetches;
pub(crate) mod finding;
mod first_reads;
pub mod gauges;
pub mod index;
#[cfg(test)]
mod invariants;
pub(crate) mod known;
mod merge_patch;
pub mod metrics;
mod observe;
pub(crate) mod observed;
pub(crate) mod ownership;
pub mod pace;
pub mod plan;
pub(crate) mod record;
mod records;
pub(crate) mod revert_saga;
pub(crate) mod reverts;
mod rush;
mod shared;
pub(crate) mod shown;
pub(crate) mod standing;
pub mod status;
mod summary;
mod sweep;
pub mod sweeps;

pub use record::record_provisioned;
