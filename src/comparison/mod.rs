//! Comparison of one recorded value with the live one. Pure: it depends neither on Kubernetes nor on a cloud.
//!
//! Scalars are equal if their canonical texts are (`2`, `2.0` and `"2"`), lists of scalars are compared as sets, and
//! maps by the recorded keys. Null, missing, `""`, `[]` and `{}` are all blank. Items of other lists are matched one to
//! one, so that every live item is accounted for. [`Rules`] add the rules of a cloud: other spellings, and keys with
//! defaults.

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
