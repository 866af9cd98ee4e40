//! A drift in the cache: whole until it is resolved, and from then on only what the history and the next episode need.

use std::sync::Arc;

use jiff::Timestamp;

use super::known::{Decided, KnownDrift};
use crate::{api::DriftPhase, digitalocean::Kind, kube_ext::version::Version};

/// The cached part of a Drift.
#[derive(Debug)]
pub(super) enum CachedDrift {
    /// It is open, its acceptance stands, or its annotations need an answer.
    Whole(Box<KnownDrift>),
    /// Nothing is left to do about it but to delete it.
    Resolved(Box<ResolvedDrift>),
}

/// The cached part of a drift about which nothing is left to do.
#[derive(Debug)]
pub(super) struct ResolvedDrift {
    name: Box<str>,
    uid: Box<str>,
    resource_version: Version,
    created: Timestamp,
    reverted_at: Option<Timestamp>,
    /// Shared by the drifts of all records.
    field: Arc<str>,
    episode: i64,
    kind: Kind,
    phase: DriftPhase,
    deleting: bool,
}

impl CachedDrift {
    /// The cached part of a drift. `share` returns the shared text of a field.
    pub(super) fn of(drift: KnownDrift, share: impl FnOnce(&str) -> Arc<str>) -> Self {
        if drift.is_unsettled() {
            return Self::Whole(Box::new(drift));
        }
        Self::Resolved(Box::new(ResolvedDrift {
            field: share(&drift.field),
            name: drift.name,
            uid: drift.uid,
            resource_version: drift.resource_version,
            created: drift.created,
            reverted_at: drift.reverted_at,
            episode: drift.episode,
            kind: drift.kind,
            phase: drift.phase,
            deleting: drift.deleting,
        }))
    }

    /// The drift, unless it is resolved.
    pub(super) fn whole(&self) -> Option<&KnownDrift> {
        match self {
            Self::Whole(drift) => Some(drift),
            Self::Resolved(_) => None,
        }
    }

    /// The drift, if it waits for a decision.
    pub(super) fn open(&self) -> Option<&KnownDrift> {
        self.whole().filter(|drift| drift.is_open())
    }

    pub(super) fn uid(&self) -> &str {
        match self {
            Self::Whole(drift) => &drift.uid,
            Self::Resolved(drift) => &drift.uid,
        }
    }

    pub(super) fn resource_version(&self) -> &Version {
        match self {
            Self::Whole(drift) => &drift.resource_version,
            Self::Resolved(drift) => &drift.resource_version,
        }
    }

    /// The drift as an evaluation reads it.
    pub(super) fn known(&self) -> KnownDrift {
        match self {
            Self::Whole(drift) => KnownDrift::clone(drift),
            Self::Resolved(drift) => drift.known(),
        }
    }
}

impl ResolvedDrift {
    fn known(&self) -> KnownDrift {
        KnownDrift {
            name: self.name.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            created: self.created,
            deleting: self.deleting,
            kind: self.kind,
            field: (*self.field).into(),
            episode: self.episode,
            phase: self.phase,
            reverted_at: self.reverted_at,
            expected: Box::default(),
            actual: Box::default(),
            difference: Box::default(),
            class: None,
            effect: None,
            change: None,
            accept: None,
            decided: Decided::default(),
            is_in_place: false,
            is_answered: false,
            decided_by: None,
            accept_until: None,
            because: None,
            revert: None,
            reverting: None,
            saga: None,
            standing: None,
            waits: None,
            is_refused: false,
            transition: None,
        }
    }
}
