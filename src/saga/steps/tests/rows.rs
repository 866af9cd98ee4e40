//! The table of step tests: one file per group of resources.

mod droplets;
mod network;
mod records;
mod reverts;
mod services;
mod snapshots;
mod tags;
mod trials;
mod volumes;
mod waiting;

use std::fmt;

use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;

use super::world::StepWorld;
use crate::api::saga::Values;

/// All rows; every step has at least one.
static TABLES: &[&[StepCase]] = &[
    droplets::ROWS,
    snapshots::ROWS,
    tags::ROWS,
    volumes::ROWS,
    network::ROWS,
    records::ROWS,
    reverts::ROWS,
    waiting::ROWS,
    services::ROWS,
    trials::ROWS,
];

/// A step with its setup and check.
pub(super) struct StepCase {
    /// The step's name.
    pub(super) step: &'static str,
    /// The special case, for the messages of tests.
    case: &'static str,
    /// Creates the preconditions of the step, and returns its parameters.
    pub(super) set_up: SetUp,
    /// Checks the effect of the step, given its output. Panics if it is wrong.
    pub(super) check: Check,
    /// The step is expected to fail.
    pub(super) fails: bool,
}

type SetUp = for<'w> fn(&'w StepWorld) -> BoxFuture<'w, Value>;
type Check = for<'w> fn(&'w StepWorld, Values) -> BoxFuture<'w, ()>;

/// All rows.
pub(super) fn rows() -> impl Iterator<Item = &'static StepCase> {
    TABLES.iter().copied().flatten()
}

/// A step that succeeds.
const fn row(step: &'static str, case: &'static str, set_up: SetUp, check: Check) -> StepCase {
    StepCase { step, case, set_up, check, fails: false }
}

/// A step that fails permanently.
const fn fails(step: &'static str, case: &'static str, set_up: SetUp) -> StepCase {
    StepCase { step, case, set_up, check: |_, _| async {}.boxed(), fails: true }
}

impl fmt::Display for StepCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.step, self.case)
    }
}
