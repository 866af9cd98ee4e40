//! The cached part of a record's status: enough to decide whether a new status differs. Pure.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::{
    ProvisionedResourceStatus, StandingAcceptance,
    conditions::{self, ConditionReason, ConditionStatus},
};

pub(super) const TYPES: [&str; 5] = [
    conditions::READY,
    conditions::IN_SYNC,
    conditions::MANIFEST_CURRENT,
    conditions::RECONCILING,
    conditions::STALLED,
];

/// A digest of everything that a status says, except times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusDigest(u64);

/// The cached part of a status: enough to decide whether another one differs, and to keep transition times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusSummary {
    /// The digest of the status.
    pub digest: StatusDigest,
    transitions: [Option<(ConditionStatus, Second)>; TYPES.len()],
    /// It says that the inventory is too old.
    is_stale: bool,
    /// The time at which the live resource was first read.
    first_seen: Option<Second>,
    /// True if a version without `firstSeenAt` wrote it after a comparison.
    was_compared_before: bool,
    /// The names of recorded certificates by id; most records mention none.
    certificates: Option<Arc<BTreeMap<String, String>>>,
    /// The last completed `arcadia.cloud/sync-requested-at`.
    pub last_handled_sync: Option<Box<str>>,
}

impl StatusSummary {
    /// The cached part of this status.
    #[must_use]
    pub fn of(status: Option<&ProvisionedResourceStatus>) -> Self {
        let Some(status) = status else { return Self::default() };
        let condition = |kind| conditions::find(&status.conditions, kind);
        let stale =
            condition(conditions::IN_SYNC).filter(|condition| condition.reason == ConditionReason::InventoryStale);
        let ready = condition(conditions::READY).and_then(|condition| ConditionReason::read(&condition.reason));
        let is_about_comparison = matches!(ready, Some(ConditionReason::Compared | ConditionReason::InvalidField));
        Self {
            digest: StatusDigest::of(status),
            first_seen: status.first_seen_at.as_ref().map(|time| Second::of(time.0)),
            was_compared_before: status.reason.is_none() && is_about_comparison,
            transitions: TYPES.map(|kind| {
                condition(kind)
                    .filter(|condition| !(is_implied(condition) && condition.message.is_empty()))
                    .map(|it| (ConditionStatus::read(&it.status), Second::of(it.last_transition_time.0)))
            }),
            is_stale: stale.is_some(),
            certificates: (!status.certificates.is_empty()).then(|| Arc::new(status.certificates.clone())),
            last_handled_sync: status.last_handled_sync_at.as_deref().map(Into::into),
        }
    }

    /// Returns true if this status equals the cached one.
    #[cfg(test)]
    #[must_use]
    pub fn says(&self, status: &ProvisionedResourceStatus) -> bool {
        self.digest == StatusDigest::of(status)
    }

    /// Returns true if a status was written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.digest != StatusDigest::default()
    }

    /// Returns true if the live resource was seen before.
    #[must_use]
    pub const fn was_seen(&self) -> bool {
        self.first_seen.is_some() || self.was_compared_before
    }

    /// Returns true if it reports that this request for a sync is complete.
    #[must_use]
    pub fn has_handled(&self, request: &str) -> bool {
        self.last_handled_sync.as_deref() == Some(request)
    }

    /// Returns true if it reports that the inventory is too old.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The names of the recorded certificates by id.
    #[must_use]
    pub fn certificates(&self) -> BTreeMap<String, String> {
        self.certificates.as_deref().cloned().unwrap_or_default()
    }

    /// When the live resource was first read.
    #[must_use]
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.first_seen.map(Second::time)
    }

    /// The status of a condition of this type, and its transition time.
    pub(super) fn condition(&self, kind: &str) -> Option<(ConditionStatus, Timestamp)> {
        TYPES
            .iter()
            .zip(&self.transitions)
            .find(|(known, _)| **known == kind)
            .and_then(|(_, known)| *known)
            .map(|(status, since)| (status, since.time()))
    }
}

/// A time as the API server stores it: in whole seconds. Those before 1970 and after 2106 are as near as can be.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Second(u32);

impl Second {
    fn of(time: Timestamp) -> Self {
        Self(u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX))
    }

    fn time(self) -> Timestamp {
        Timestamp::from_second(self.0.into()).unwrap_or_default()
    }
}

/// Whether a condition says what its absence says too. Earlier versions wrote these, without a message: they count as
/// absent, so that an upgrade rewrites no status, and the next write removes them.
pub(super) fn is_implied(condition: &Condition) -> bool {
    let status = ConditionStatus::read(&condition.status);
    match condition.type_.as_str() {
        conditions::RECONCILING | conditions::STALLED => status == ConditionStatus::False,
        _ => false,
    }
}

impl StatusDigest {
    /// The digest of this status.
    #[must_use]
    pub fn of(status: &ProvisionedResourceStatus) -> Self {
        let mut hasher = DefaultHasher::new();
        (status.observed_generation, status.open_drifts, &status.drifted_fields, &status.last_handled_sync_at)
            .hash(&mut hasher);
        (&status.drifted_fields_short, &status.difference_short, &status.reason, status.first_seen_at.is_some())
            .hash(&mut hasher);
        status.certificates.hash(&mut hasher);
        for StandingAcceptance { field, drift, accepted, declared, since, until } in &status.acceptances {
            (field, drift, accepted, declared, since.0, until.as_ref().map(|until| until.0)).hash(&mut hasher);
        }
        for kind in TYPES {
            let condition = conditions::find(&status.conditions, kind);
            let condition = condition.filter(|condition| !is_implied(condition));
            condition
                .map(|said| (&said.status, &said.reason, &said.message, said.observed_generation))
                .hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_of_a_record_is_cached() {
        let of_record = conditions::ALL.iter().filter(|meaning| meaning.on == "record");
        assert_eq!(of_record.map(|meaning| meaning.kind).collect::<Vec<_>>(), TYPES);
    }
}
