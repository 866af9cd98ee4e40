//! The table of what steps are tried out with: one file for each noun.

mod droplets;
mod network;
mod records;
mod services;
mod snapshots;
mod tags;
mod trials;
mod volumes;
mod waiting;

use std::fmt;

use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;

use super::world::World;
use crate::api::saga::Values;

/// All rows; every step has one at least.
static TABLES: &[&[Row]] = &[
    droplets::ROWS,
    snapshots::ROWS,
    tags::ROWS,
    volumes::ROWS,
    network::ROWS,
    records::ROWS,
    waiting::ROWS,
    services::ROWS,
    trials::ROWS,
];

/// A step, and what it is tried out with.
pub(super) struct Row {
    /// The step's name.
    pub(super) step: &'static str,
    /// What is special about it, for the messages of tests.
    case: &'static str,
    /// Makes ready what the step needs, and returns its parameters.
    pub(super) set_up: SetUp,
    /// Looks at what the step did, given its output. Panics where that is wrong.
    pub(super) check: Check,
    /// It is there to fail.
    pub(super) fails: bool,
}

type SetUp = for<'w> fn(&'w World) -> BoxFuture<'w, Value>;
type Check = for<'w> fn(&'w World, Values) -> BoxFuture<'w, ()>;

/// All of them.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().copied().flatten()
}

/// One that does what it is asked for.
const fn row(step: &'static str, case: &'static str, set_up: SetUp, check: Check) -> Row {
    Row { step, case, set_up, check, fails: false }
}

/// One that fails for good.
const fn fails(step: &'static str, case: &'static str, set_up: SetUp) -> Row {
    Row { step, case, set_up, check: |_, _| async {}.boxed(), fails: true }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.step, self.case)
    }
}
