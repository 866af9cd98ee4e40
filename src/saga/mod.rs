//! Sagas: ordered cloud operations that survive any crash and undo themselves.
//!
//! - `step` defines the interface of a step; [`steps`] has one file for each;
//! - [`order`] validates a saga's spec: its steps and their parameters;
//! - [`event`] lists the events of a saga, [`journal`] is the state machine of its status, and `decide` chooses the next
//!   command: all pure;
//! - `runner` executes the command, with one write before and after each call; [`controller`] watches sagas and gives
//!   each its turn.

mod attempts;
pub(crate) mod cached;
mod call_states;
mod claims;
mod clock;
mod command;
pub(crate) mod context;
pub mod controller;
pub(crate) mod decide;
mod digest;
pub mod event;
pub(crate) mod expression;
pub mod index;
mod intent;
#[cfg(test)]
mod invariants;
pub mod journal;
pub mod metrics;
pub mod order;
mod orders;
mod outcome;
mod report;
pub(crate) mod runner;
pub(crate) mod state;
pub(crate) mod step;
mod step_result;
mod step_rules;
pub mod steps;
mod turn;
mod upgrade;
mod view;
