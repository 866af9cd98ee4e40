//! A saga that reverts a drift, as an evaluation sees it.

use super::known::Decided;
use crate::api::SagaPhase;

/// The cached part of a saga that reverts a drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevertSaga {
    pub name: Box<str>,
    /// The UID of the drift.
    pub drift: Box<str>,
    pub phase: SagaPhase,
    /// Why it is in its phase.
    pub message: Box<str>,
    /// True if its cancellation was requested.
    pub is_cancelled: bool,
    /// The decision that created it. Sagas of earlier versions hold none.
    pub decided: Decided,
}
