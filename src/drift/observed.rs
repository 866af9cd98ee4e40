//! The values that a verdict rests on: a record, its live resource, and how that was read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    known::{KnownDrift, Marks},
    ownership::Declared,
    reverts::RevertSaga,
};
use crate::{
    api::AcceptPolicy,
    digitalocean::{Live, Owners, revert::SelectedTags},
};

/// A record, as far as a verdict needs it.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// Its name.
    pub name: &'a str,
    /// The expected value of each field.
    pub desired: &'a BTreeMap<String, Value>,
    /// Fields that are not compared.
    pub ignore: &'a BTreeSet<Box<str>>,
    /// Why nothing may be done, if so.
    pub rests: Option<Rests<'a>>,
    /// The live resource was seen before.
    pub was_seen: bool,
    /// Which drifts were adopted last.
    pub last_accepted: Marks,
    /// The place of accepted values.
    pub accept: AcceptPolicy,
    /// The fields that a manifest declares.
    pub declared: &'a Declared,
    /// The sagas that revert its drifts, or did so. A drift may have been deleted since.
    pub reverts: &'a [RevertSaga],
    /// The controllers that own the resource or its fields, as far as reverts need them; or why they could not be read.
    pub owners: Result<&'a Owners, &'a str>,
    /// The tags by which other resources select.
    pub selected: Selected<'a>,
    /// The time of this evaluation.
    pub now: Timestamp,
}

/// Reads the tags by which other resources select. Only a field that differs needs them.
#[derive(Clone, Copy)]
pub struct Selected<'a>(pub &'a dyn Fn() -> Arc<SelectedTags>);

impl fmt::Debug for Selected<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Selected")
    }
}

/// Why nothing may be done about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rests<'a> {
    /// It is being deleted.
    Deleting,
    /// `spec.suspend` is true.
    Suspended,
    /// An older record, named, stands for the same resource.
    Duplicate(&'a str),
}

/// The knowledge about the live resource.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Nothing that a verdict may rest on; why, as (reason, message).
    Unknown(&'static str, &'a str),
    /// The provider said twice that it does not exist.
    Gone,
    /// Its document.
    Present(&'a Live),
}

/// The live resource, and how it was read.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The live resource, as far as it is known.
    pub seen: Seen<'a>,
    /// How it was read.
    pub reading: Reading<'a>,
}

/// How the live resource was read.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// From the inventory. One list alone, unconfirmed, may lag behind: no drift opens on it.
    Inventory {
        /// A second read showed the same.
        is_confirmed: bool,
    },
    /// By a request of its own, for the sake of this evaluation.
    Fresh {
        /// The drifts that were known when the request began. Decisions on them are carried out.
        before: &'a [KnownDrift],
    },
    /// The request failed: what is known is from the inventory.
    Failed {
        /// A second read showed the same.
        is_confirmed: bool,
    },
}

impl Reading<'_> {
    pub(super) const fn is_confirmed(&self) -> bool {
        match self {
            Self::Inventory { is_confirmed } | Self::Failed { is_confirmed } => *is_confirmed,
            Self::Fresh { .. } => true,
        }
    }
}

/// Why a plan needs the live resource to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeedsFreshRead {
    /// One list alone shows a change.
    Change,
    /// A decision binds to the live value of now.
    Decision,
}
