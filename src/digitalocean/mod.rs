//! The code that depends on the cloud: the kinds of resources, the calls that read and change them, and their values.
//!
//! - [`kinds`] is the only table of kinds; a new kind is a file in `kinds/data`.
//! - [`live`] resolves a recorded field in a live document, and `equivalence` normalizes the cloud's spellings.
//! - [`client`] calls DigitalOcean, within one [`budget`] per token; `lists` and `documents` read, `pages` parses.
//! - [`changes`] contains the calls of sagas: changes, which are made once, and the related reads.
//! - [`revert`] decides the steps that revert a drifted field.
//! - [`actions`] waits for asynchronous actions of DigitalOcean.
//! - [`inventory`] stores the documents of recorded resources with their ages; `merge` composes each from responses
//!   that show a part of it, with `certificates`; `account` and `scopes` describe the token.

mod account;
mod action_state;
pub mod actions;
mod app_values;
mod beside;
pub mod budget;
pub mod by_kubernetes;
mod call;
mod certificates;
pub mod changes;
pub mod client;
pub mod config;
mod document;
mod documents;
mod equivalence;
mod error;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod fake;
mod fresh;
mod headers;
mod host_names;
mod id_format;
pub mod inventory;
pub mod kinds;
mod lists;
pub mod live;
mod merge;
pub mod metrics;
mod notes;
mod observed;
mod owners;
mod pages;
mod pins;
mod read_owners;
pub mod revert;
mod route;
mod rules;
mod scopes;
mod texts;
mod token;

pub use action_state::ActionState;
pub use actions::Actions;
pub use beside::Beside;
pub use budget::Priority;
pub use client::{Client, Usage};
pub use config::Config;
pub use equivalence::SAGA_TAG;
pub use error::Error;
pub use id_format::IdFormat;
pub use inventory::{
    Changes, Inventory, InventorySettings, Observation, SnapshotInfo, SyncError, SyncFailure, UnknownReason, Wanted,
};
pub use kinds::{AccountId, FieldSet, Kind, ResourceKey};
pub use live::{FieldComparison, Live};
pub use observed::{Certificates, Document, UnreadPart};
pub use owners::ResourceOwners;
pub use pins::Pinned;
pub use route::{ChangeMethod, Endpoint};
pub use token::Token;

pub(crate) use host_names::full_name;
