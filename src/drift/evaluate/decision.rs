//! The decision on a drift, read from its annotations.

use crate::{
    api::annotations,
    comparison::secret,
    digitalocean::revert::Allow,
    drift::{known::KnownDrift, plan::DecisionOrigin, shown::brief},
};

/// The maximum length of the reason of a revert, in bytes. The saga contains it too.
const LONGEST_REASON: usize = 4096;

/// A decision on an open drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision<'d> {
    pub(super) origin: DecisionOrigin,
    pub(super) choice: DecisionChoice<'d>,
}

/// The content of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecisionChoice<'d> {
    /// Accept the value that the drift shows, or the named one.
    Accept(&'d str),
    Revert(RevertRequest),
}

/// The request in the annotation `arcadia.cloud/revert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevertRequest {
    /// A revert with no worse effect than this.
    Revert(Allow),
    /// Only the plan.
    Plan,
}

impl<'d> Decision<'d> {
    /// Reads the decision on a drift.
    ///
    /// # Errors
    /// If the annotations are invalid; the text contains the remedy.
    pub(super) fn of(drift: &'d KnownDrift) -> Result<Self, String> {
        Ok(Self { origin: DecisionOrigin::Person, choice: DecisionChoice::of(drift)? })
    }
}

impl<'d> DecisionChoice<'d> {
    fn of(drift: &'d KnownDrift) -> Result<Self, String> {
        match (drift.accept.as_deref(), drift.revert.as_deref()) {
            (Some(_), Some(_)) => Err(format!(
                "{} and {} are both set, and only one can be carried out; set one of them again",
                annotations::ACCEPT,
                annotations::REVERT
            )),
            (None, Some(_)) if drift.accept_until.is_some() => Err(format!(
                "{until} is the end of an acceptance, and a revert has none; set {revert} without it",
                until = annotations::ACCEPT_UNTIL,
                revert = annotations::REVERT
            )),
            (_, Some(_)) if drift.because.as_ref().is_some_and(|because| because.len() > LONGEST_REASON) => {
                Err(format!(
                    "{} is longer than {LONGEST_REASON} bytes; set a shorter one and decide again",
                    annotations::BECAUSE
                ))
            }
            (_, Some("plan")) => Ok(Self::Revert(RevertRequest::Plan)),
            (_, Some(text)) => text.parse().map(|allow| Self::Revert(RevertRequest::Revert(allow))).map_err(|_| {
                let text = brief(&secret::hide_text(text));
                format!(
                    "{}={text} is not a decision; use true, allow-disruption, allow-data-loss or plan",
                    annotations::REVERT
                )
            }),
            (value, None) => Ok(Self::Accept(value.unwrap_or_default())),
        }
    }
}
