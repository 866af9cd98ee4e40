//! The inventory: the documents of the resources that are recorded, as last seen, and how far to trust them.
//!
//! Only documents of recorded resources are kept. A list counts as a whole or not at all, and it never proves that
//! something does not exist: two direct questions do.

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

pub use observation::{Observation, UnknownReason};
pub use snapshot::{Inventory, InventorySettings, SnapshotInfo};
pub use stage::Wanted;
pub use sync::Changes;
pub use sync_error::{SyncError, SyncFailure};
