//! The code that depends on the cloud: the kinds of resources, the calls that read and change them, and their values.
//!
//! - [`kinds`] is the only table of kinds; a new kind is a file in `kinds/data`.
//! - [`live`] resolves a recorded field in a live document, and `equivalence` normalizes the cloud's spellings.
//! - [`client`] calls DigitalOcean, within one [`budget`] per token; `lists` and `documents` read, `pages` parses.
//! - [`changes`] contains the calls of sagas: changes, which are made once, and the related reads.
//! - [`revert`] decides the steps that revert a drifted field.
//! - [`actions`] waits for asynchronous actions of DigitalOcean.
//! - [`inventory`] stores the documents of recorded resources with their ages; `merge` composes each from responses
//!   that show a part of it, with `certificates` and `sizes`; `account` and `scopes` describe the token.

mod account;
mod action_state;
pub(crate) mod actions;
mod app_values;
mod beside;
pub(crate) mod budget;
pub(crate) mod by_kubernetes;
mod call;
mod certificates;
pub(crate) mod changes;
pub(crate) mod client;
pub(crate) mod config;
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
pub(crate) mod inventory;
pub mod kinds;
mod lists;
pub(crate) mod live;
mod live_document;
mod merge;
pub mod metrics;
mod notes;
mod observed;
mod owners;
mod pages;
#[cfg(feature = "cli")]
mod pins;
mod read_owners;
pub mod revert;
mod route;
mod rules;
mod scopes;
mod sizes;
mod tag_users;
mod texts;
mod token;
mod valid;

pub use account::SeenAccount;
pub use client::{Client, Usage};
pub use config::Config;
pub use error::{Error, ErrorCategory};
pub use id_format::IdFormat;
pub use inventory::{Inventory, InventorySettings, SnapshotInfo, SyncCategory};
pub use kinds::{AccountId, Kind, ResourceKey};
pub use token::Token;

pub(crate) use action_state::ActionState;
pub(crate) use actions::Actions;
pub(crate) use beside::Beside;
pub(crate) use budget::Priority;
pub(crate) use equivalence::SAGA_TAG;
pub(crate) use host_names::{full_name, is_host_type, record_name};
pub(crate) use inventory::{Changes, Observation, SyncError, UnknownReason, Wanted};
pub(crate) use kinds::FieldSet;
pub(crate) use live::{FieldComparison, Live};
pub(crate) use observed::{Certificates, Document, SizeDisks};
pub(crate) use owners::{ResourceOwner, ResourceOwners};
#[cfg(feature = "cli")]
pub(crate) use pins::Pinned;
pub(crate) use route::{ChangeMethod, Endpoint};
