//! The input of a verdict: a record, its live resource, and the way in which that was read. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    known::{KnownDrift, LastAccepted},
    ownership::DeclaredFields,
    revert_saga::RevertSaga,
};
use crate::{
    api::{AcceptPolicy, conditions::ConditionReason},
    digitalocean::{
        Live, Observation, ResourceOwners,
        revert::{AccountFacts, TagUsers},
    },
};

/// The parts of a record that a verdict needs.
#[derive(Clone, Debug)]
pub(crate) struct Recorded<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// The expected value of each field.
    pub desired: &'a BTreeMap<String, Value>,
    /// Fields that are not compared.
    pub ignore: &'a BTreeSet<Box<str>>,
    /// The reason why the record must not be acted on, if any.
    pub rests: Option<Inactive<'a>>,
    /// True if the live resource was seen before.
    pub was_seen: bool,
    /// The drifts that were adopted last.
    pub last_accepted: LastAccepted,
    /// The place of accepted values.
    pub accept: AcceptPolicy,
    /// The fields that a manifest declares.
    pub declared: &'a DeclaredFields,
    /// The sagas that revert its drifts, or have done so. A drift may have been deleted since.
    pub reverts: &'a [RevertSaga],
    /// The parts of the account that are read for decisions to revert only; or why they could not be read.
    pub decided: Result<&'a DecisionFacts, &'a str>,
    /// The parts of the account that the classes of reverts depend on.
    pub facts: ReadFacts<'a>,
    /// The time of this evaluation.
    pub now: Timestamp,
}

/// The parts of the account that are read for decisions to revert only.
#[derive(Clone, Debug, Default)]
pub(crate) struct DecisionFacts {
    /// The controllers that own the resource or its fields.
    pub owners: ResourceOwners,
    /// The firewalls and load balancers that select by tags, if the class of a decided field depends on them.
    pub tag_users: Option<Arc<TagUsers>>,
}

/// Reads the parts of the account that the classes of reverts depend on. Only a field that differs needs them.
#[derive(Clone, Copy)]
pub(crate) struct ReadFacts<'a>(pub &'a dyn Fn() -> Arc<AccountFacts>);

impl fmt::Debug for ReadFacts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReadFacts")
    }
}

/// The reason why a record must not be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inactive<'a> {
    /// It is being deleted.
    Deleting,
    /// `spec.suspend` is true.
    Suspended,
    /// An older record, with this name, exists for the same resource.
    Duplicate(&'a str),
}

/// The live resource of a verdict. If it is unknown, no verdict is possible: the reason and the message.
pub(crate) type Seen<'a> = Observation<&'a Live, (ConditionReason, &'a str)>;

/// The live resource, and the way in which it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed<'a> {
    /// The live resource, if it is known.
    pub seen: Seen<'a>,
    /// The way in which it was read.
    pub reading: ReadSource<'a>,
}

/// The way in which the live resource was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadSource<'a> {
    /// From the inventory. A single unconfirmed list may lag behind, so it opens no drift.
    Inventory {
        /// A second read showed the same.
        is_confirmed: bool,
    },
    /// By a direct request for this evaluation.
    Fresh {
        /// The drifts that were known at the start of the request. Decisions on them are carried out.
        before: &'a [KnownDrift],
        /// The start of the last list of its kind.
        listed_at: Option<Timestamp>,
    },
    /// The request failed, so the state is that of the inventory.
    Failed {
        /// A second read showed the same.
        is_confirmed: bool,
    },
}

impl ReadSource<'_> {
    pub(super) const fn is_confirmed(&self) -> bool {
        match self {
            Self::Inventory { is_confirmed } | Self::Failed { is_confirmed } => *is_confirmed,
            Self::Fresh { .. } => true,
        }
    }
}

/// The reason why a plan needs a fresh read of the live resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeedsFreshRead {
    /// Only one list shows a change.
    Change,
    /// A decision applies to the current live value.
    Decision,
}
