//! All that knows the cloud: which kinds of resources there are, how to ask for them, and how their values read.
//!
//! - [`kinds`] is the one table of kinds; a new kind is a row there.
//! - [`live`] resolves a recorded field in a live document, and `equivalence` levels the cloud's own habits.
//! - [`client`] asks DigitalOcean, within one [`budget`] per token; `pages` reads what it answers.
//! - [`changes`] is what sagas call: changes, each made once, and the reads that go with them.
//! - [`revert`] decides how a drifted field is put back.
//! - [`actions`] waits for what DigitalOcean does in its own time.
//! - [`inventory`] keeps the documents of what is recorded, and how old they are; `merge` makes each from the responses
//!   that show a part of it, with `certificates`; `account` and `scopes` know the token.

mod account;
pub mod actions;
pub mod budget;
mod certificates;
pub mod changes;
pub mod client;
mod document;
mod equivalence;
mod error;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod fake;
mod fresh;
pub mod inventory;
pub mod kinds;
pub mod live;
mod merge;
mod notes;
mod observed;
mod owners;
mod pages;
mod pins;
pub mod revert;
mod rules;
mod scopes;
mod token;

pub use actions::{ActionState, Actions};
pub use changes::{Path, Verb};
pub use client::{Client, Config, Priority, Usage};
pub use equivalence::SAGA_TAG;
pub use error::Error;
pub use inventory::{Changes, Inventory, Observation, Settings, SnapshotInfo, SyncError, UnknownReason, Wanted};
pub use kinds::{FieldSet, IdFormat, Kind, ResourceKey};
pub use live::{Compared, Live};
pub use observed::{Certificates, Document, Unread};
pub use pins::Pinned;
pub use token::Token;
