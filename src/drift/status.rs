//! What a record's status says about its situation. Pure; equal situations give equal words, so that nothing is
//! written twice.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    evaluate::{EXISTS, Situation},
    index::{Entry, Record},
};
use crate::api::{
    ProvisionedResourceStatus,
    conditions::{self, Claim, Truth, reason},
};

const TYPES: [&str; 4] = [conditions::READY, conditions::IN_SYNC, conditions::RECONCILING, conditions::STALLED];

/// What is kept of a status: enough to tell whether another one would say anything new, and since when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusSummary {
    digest: u64,
    transitions: [Option<(Truth, Timestamp)>; 4],
    in_sync_reason: Option<&'static str>,
    /// The last `arcadia.cloud/sync-requested-at` that was answered.
    pub last_handled_sync: Option<Box<str>>,
}

impl StatusSummary {
    /// What is kept of this status.
    #[must_use]
    pub fn of(status: Option<&ProvisionedResourceStatus>) -> Self {
        let Some(status) = status else { return Self::default() };
        let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
        let stale = condition(conditions::IN_SYNC).filter(|condition| condition.reason == reason::INVENTORY_STALE);
        Self {
            digest: digest(status),
            transitions: TYPES.map(|kind| {
                condition(kind).map(|condition| (Truth::read(&condition.status), condition.last_transition_time.0))
            }),
            in_sync_reason: stale.map(|_| reason::INVENTORY_STALE),
            last_handled_sync: status.last_handled_sync_at.as_deref().map(Into::into),
        }
    }

    /// Whether this status says nothing that was not said.
    #[must_use]
    pub fn says(&self, status: &ProvisionedResourceStatus) -> bool {
        self.digest == digest(status)
    }

    /// Whether it says that the inventory is too old.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.in_sync_reason == Some(reason::INVENTORY_STALE)
    }

    /// Since when a claim with this status holds.
    fn since(&self, kind: &str, status: Truth, now: Timestamp) -> Timestamp {
        let known =
            TYPES.iter().zip(&self.transitions).find(|(known, _)| **known == kind).and_then(|(_, known)| *known);
        // The API server's default speaks of 1970; the operator's own word begins now.
        known
            .filter(|(known, since)| *known == status && *since != Timestamp::UNIX_EPOCH)
            .map_or(now, |(_, since)| since)
    }
}

/// The status of a record in this situation.
#[must_use]
pub fn status(
    entry: &Entry,
    situation: &Situation,
    handled_sync: Option<&str>,
    now: Timestamp,
) -> ProvisionedResourceStatus {
    let record = &entry.record;
    let mut fields: Vec<_> =
        entry.drifts.iter().filter(|drift| drift.is_open()).map(|drift| drift.field.to_string()).collect();
    fields.sort();
    let conditions = claims(record, situation, &fields)
        .into_iter()
        .map(|claim| {
            let since = record.status.since(claim.kind, claim.status, now);
            claim.since(since, record.generation)
        })
        .collect();
    ProvisionedResourceStatus {
        observed_generation: Some(record.generation),
        open_drifts: i32::try_from(fields.len()).unwrap_or(i32::MAX),
        drifted_fields: fields,
        provisioned_at: Some(Time(record.created)),
        last_handled_sync_at: handled_sync.or(record.status.last_handled_sync.as_deref()).map(str::to_owned),
        conditions,
    }
}

/// Everything but the times.
fn digest(status: &ProvisionedResourceStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    (status.observed_generation, status.open_drifts, &status.drifted_fields, &status.last_handled_sync_at)
        .hash(&mut hasher);
    for kind in TYPES {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind);
        condition.map(|said| (&said.status, &said.reason, &said.message, said.observed_generation)).hash(&mut hasher);
    }
    hasher.finish()
}

fn claims(record: &Record, situation: &Situation, open: &[String]) -> [Claim; 4] {
    use Truth::{False, True, Unknown};
    let resource = &record.resource;
    match situation {
        Situation::Suspended => {
            let message = "suspended: set spec.suspend to false to go on".to_owned();
            four([Unknown, Unknown, False, False], reason::SUSPENDED, &message)
        }
        Situation::Duplicate(older) => {
            let message = format!("{older} is older and already records {resource}; delete one of the two");
            four([False, Unknown, False, True], reason::DUPLICATE_RECORD, &message)
        }
        Situation::Unknown(reason, message) => four([False, Unknown, True, False], reason, message),
        Situation::Compared { gone, compared, unknown, invalid } => {
            let is_invalid = !invalid.is_empty();
            let (ready_reason, ready) = if is_invalid {
                (reason::INVALID_FIELD, invalid.join("; "))
            } else {
                (reason::COMPARED, format!("compared with {resource}"))
            };
            let (in_sync, in_sync_reason, in_sync_message) = if !open.is_empty() {
                let is_gone = *gone && open.iter().any(|field| field == EXISTS);
                let why = if is_gone { reason::RESOURCE_GONE } else { reason::DRIFT_OPEN };
                let said =
                    if is_gone { format!("{resource} is gone") } else { format!("drift on {}", open.join(", ")) };
                (False, why, format!("{said}; see kubectl get drifts"))
            } else if is_invalid {
                (Unknown, reason::INVALID_FIELD, "some recorded fields cannot be compared; see Ready".to_owned())
            } else if !unknown.is_empty() {
                (Unknown, reason::FIELDS_UNKNOWN, format!("not everything can be told: {}", unknown.join("; ")))
            } else if *gone {
                (True, reason::NO_DRIFT, format!("{resource} is gone, as recorded"))
            } else {
                let plural = if *compared == 1 { "field is" } else { "fields are" };
                (True, reason::NO_DRIFT, format!("{compared} {plural} as desired"))
            };
            [
                Claim {
                    kind: conditions::READY,
                    status: Truth::from(!is_invalid),
                    reason: ready_reason,
                    message: ready.clone(),
                },
                Claim { kind: conditions::IN_SYNC, status: in_sync, reason: in_sync_reason, message: in_sync_message },
                Claim { kind: conditions::RECONCILING, status: False, reason: ready_reason, message: String::new() },
                Claim {
                    kind: conditions::STALLED,
                    status: Truth::from(is_invalid),
                    reason: ready_reason,
                    message: if is_invalid { ready } else { String::new() },
                },
            ]
        }
    }
}

/// All four for one reason.
fn four(truths: [Truth; 4], reason: &'static str, message: &str) -> [Claim; 4] {
    let [ready, in_sync, reconciling, stalled] = truths;
    [
        (conditions::READY, ready),
        (conditions::IN_SYNC, in_sync),
        (conditions::RECONCILING, reconciling),
        (conditions::STALLED, stalled),
    ]
    .map(|(kind, status)| Claim { kind, status, reason, message: message.to_owned() })
}
