//! Sagas: ordered cloud operations that survive any crash and undo themselves.
//!
//! - [`step`] says what a step is, `steps` has one file for each;
//! - [`order`] reads a saga's spec: which steps with which parameters, or why that cannot be;
//! - [`event`] is what happens, [`journal`] the state machine that a saga's status goes through, and [`decide`] says what
//!   is next: all pure;
//! - [`runner`] does it, one write before and after each call; [`controller`] watches sagas and gives each its turn.

mod claims;
mod clock;
pub mod controller;
pub(crate) mod decide;
pub mod event;
pub(crate) mod expression;
pub mod index;
#[cfg(test)]
mod invariants;
pub mod journal;
pub mod order;
mod report;
pub(crate) mod runner;
pub(crate) mod step;
pub mod steps;
mod upgrade;
