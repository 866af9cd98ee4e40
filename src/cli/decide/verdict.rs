//! The responses to a decision: by the API server, and by the operator.

use crate::cli::drift::DriftView;

/// The kind of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum DecisionKind {
    Accept,
    Revert,
    Plan,
    Withdraw,
    /// Stores a withdrawn decision again.
    Restore,
}

/// The answer of the API server to a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum PatchResponse {
    /// It is stored.
    Stored,
    /// The drift is another one than the user saw.
    Moved(Box<DriftView>),
    /// The drift is gone.
    Gone,
    /// The API server refused it.
    Refused(String),
}

/// The result of a decision at the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Verdict {
    Done(String),
    Refused(String),
    /// It was not carried out in time; the last known cause.
    Late(String),
}
