//! The result of a cloud action.

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActionState {
    /// It succeeded.
    Completed,
    /// It failed; the API does not return the reason.
    Errored,
    /// The API does not know the action.
    Gone,
}
