//! A saga that reverts a drift, as an evaluation sees it.

use jiff::Timestamp;

use super::known::Decided;
use crate::{api::SagaPhase, digitalocean::ResourceKey};

/// The cached part of a saga that reverts a drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevertSaga {
    pub name: Box<str>,
    /// The UID of the drift.
    pub drift: Box<str>,
    pub phase: SagaPhase,
    /// Why it is in its phase.
    pub message: Box<str>,
    /// The resource that it changes, as `KIND/ID`. Sagas of earlier versions may hold none.
    pub resource: Option<Box<str>>,
    pub finished_at: Option<Timestamp>,
    /// True if its cancellation was requested.
    pub is_cancelled: bool,
    /// The decision that created it. Sagas of earlier versions hold none.
    pub decided: Decided,
}

/// The key by which all sagas about one resource run one after another.
pub(super) fn concurrency_key(resource: &ResourceKey) -> String {
    format!("{}/{}", resource.kind.name(), resource.id)
}
