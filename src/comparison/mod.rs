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
pub(crate) mod reading;
mod rules;
pub(crate) mod scalar;
pub(crate) mod secret;
pub(crate) mod show;

pub(crate) use compare::{Comparison, Doubt, compare};
pub(crate) use difference::Difference;
pub(crate) use equality::{is_alike, is_same};
pub(crate) use rules::{NoRules, Rules};

#[cfg(test)]
mod tests;
