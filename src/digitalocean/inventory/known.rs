//! The knowledge about one resource, and its age.

use std::sync::Arc;

use tokio::time::Instant;

use super::responses::Responses;
use crate::digitalocean::Error;

/// The knowledge about one resource, and its time: the moment before the request.
#[derive(Clone)]
pub(super) struct CachedResource {
    pub(super) known: CachedState,
    pub(super) at: Instant,
    /// True if the expiry was reported.
    pub(super) is_expired: bool,
}

#[derive(Clone)]
pub(super) enum CachedState {
    Present(Arc<Responses>),
    Gone,
    /// Missing in a list, and not requested since.
    Missing,
    /// The request failed, with this message.
    Failed(Arc<str>),
}

impl CachedResource {
    pub(super) fn new(known: CachedState, at: Instant) -> Self {
        Self { known, at, is_expired: false }
    }

    /// The time of the oldest response that it depends on.
    pub(super) fn oldest(&self) -> Instant {
        let rests_on = self.known.shown().and_then(Responses::rests_on);
        rests_on.map_or(self.at, |rests_on| rests_on.min(self.at))
    }
}

impl CachedState {
    pub(super) fn failed(error: &Error) -> Self {
        Self::Failed(error.to_string().into())
    }

    pub(super) fn shown(&self) -> Option<&Responses> {
        match self {
            Self::Present(shown) => Some(shown),
            Self::Gone | Self::Missing | Self::Failed(_) => None,
        }
    }

    pub(super) fn was_listed_as(&self, text: &str) -> bool {
        self.shown().is_some_and(|shown| shown.was_listed_as(text))
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.shown().is_none_or(Responses::is_confirmed)
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    /// Returns true if it supports a verdict.
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Present(_) | Self::Gone)
    }

    /// Returns true if an observer sees no difference, except for the wording of a failure.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => one.is_like(other),
            (Self::Gone, Self::Gone) | (Self::Missing, Self::Missing) | (Self::Failed(_), Self::Failed(_)) => true,
            _ => false,
        }
    }
}
