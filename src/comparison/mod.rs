//! Comparison of one recorded value with the live one. Pure: it knows neither Kubernetes nor any cloud.
//!
//! Scalars are equal when their canonical text is (`2`, `2.0` and `"2"`), lists of scalars as sets, maps by the recorded
//! keys; null, missing, `""`, `[]` and `{}` are all blank. Items of other lists are matched one to one, so that every
//! live item is accounted for. [`Rules`] add the habits of a cloud: other spellings, and keys with defaults.

mod compare;
mod difference;
mod equality;
mod identity;
mod matching;
mod pair;
pub mod reading;
mod rules;
pub mod scalar;
pub mod secret;
pub mod show;

pub use compare::{Comparison, Doubt, compare};
pub use difference::Difference;
pub use equality::{is_alike, is_same};
pub use rules::{NoRules, Rules};

#[cfg(test)]
mod tests;
