//! The inventory: the latest documents of the recorded resources, and how far they can be trusted.
//!
//! Only documents of recorded resources are stored. A list is applied as a whole or not at all, and it never proves
//! that a resource does not exist: two direct requests do.

mod absence;
mod allowance;
mod confirmed;
mod direct;
mod extras;
mod known;
mod observation;
mod responses;
mod snapshot;
mod spare;
mod stage;
mod sync;
mod sync_error;
#[cfg(test)]
mod tests;
mod text;

pub use snapshot::{Inventory, InventorySettings, SnapshotInfo};
pub use sync_error::SyncCategory;

pub(crate) use observation::{Observation, UnknownReason};
pub(crate) use stage::Wanted;
pub(crate) use sync::Changes;
pub(crate) use sync_error::SyncError;

#[cfg(test)]
pub(crate) use sync_error::SyncFailure;
