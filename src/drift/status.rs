//! The status of a record in its situation. Pure. Equal situations give equal texts, so that nothing is written twice.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{
    known::{KnownDrift, Standing},
    plan::{Compared, Situation},
    records::{Record, RecordEntry},
    shown::{COLUMN, Shown, brief, first, named},
    summary::is_implied,
};
use crate::{
    api::{
        ProvisionedResourceStatus, StandingAcceptance,
        conditions::{self, Claim, ConditionReason, ConditionStatus},
        drift::EXISTS,
    },
    comparison::show::{cut, short_text},
    digitalocean::ResourceKey,
};

/// The number of differences that a message names.
const FIRST: usize = 3;
/// The number of fields that a message explains.
const MOST: usize = 20;
/// The width of the column that shows a difference.
const DIFFERENCE: usize = 60;
/// The maximum length of each explanation.
const LONGEST: usize = 300;

/// The status of a record in this situation.
#[must_use]
pub fn status(
    entry: &RecordEntry,
    situation: &Situation,
    handled_sync: Option<&str>,
    now: Timestamp,
) -> ProvisionedResourceStatus {
    let record = &entry.record;
    let mut open: Vec<_> = entry.drifts.iter().filter(|drift| drift.is_open()).collect();
    open.sort_by(|one, other| one.field.cmp(&other.field));
    let standing = standing(&entry.drifts);
    let manifest_current = manifest_current(&standing);
    let claims = claims(record, situation, &open);
    let reason = reason_of(&claims).into();
    let [ready, in_sync, reconciling, stalled] = claims;
    let conditions = [ready, in_sync, manifest_current, reconciling, stalled]
        .into_iter()
        .map(|claim| {
            let previous = record.status.condition(claim.kind);
            claim.onto(previous, now, record.generation)
        })
        .collect();
    let is_seen = matches!(situation, Situation::Compared(compared) if !compared.gone);
    let fields: Vec<_> = open.iter().map(|drift| drift.field.to_string()).collect();
    ProvisionedResourceStatus {
        observed_generation: Some(record.generation),
        open_drifts: i32::try_from(fields.len()).unwrap_or(i32::MAX),
        drifted_fields_short: column(&fields),
        difference_short: open.first().map(|drift| in_a_line(drift)).unwrap_or_default(),
        drifted_fields: fields,
        reason: Some(reason),
        provisioned_at: None,
        first_seen_at: record.status.first_seen().or(is_seen.then_some(now)).map(Time),
        last_handled_sync_at: handled_sync.or(record.status.last_handled_sync.as_deref()).map(str::to_owned),
        certificates: match situation {
            Situation::Compared(compared) if !compared.gone => compared.certificates.clone(),
            _ => record.status.certificates(),
        },
        acceptances: standing.iter().map(Stands::in_status).collect(),
        conditions,
    }
}

/// A standing acceptance.
struct Stands<'d> {
    drift: &'d KnownDrift,
    standing: &'d Standing,
    /// From the declared value to the accepted one.
    shown: Shown,
}

/// The standing acceptances, by field.
fn standing(drifts: &[KnownDrift]) -> Vec<Stands<'_>> {
    // If two stand for one field, the later one is in effect.
    let mut by_field: BTreeMap<&str, &KnownDrift> = BTreeMap::new();
    for drift in drifts.iter().filter(|drift| drift.standing.is_some()) {
        let latest = by_field.entry(&drift.field).or_insert(drift);
        if latest.episode < drift.episode {
            *latest = drift;
        }
    }
    by_field.into_values().filter_map(Stands::of).collect()
}

impl<'d> Stands<'d> {
    fn of(drift: &'d KnownDrift) -> Option<Self> {
        let standing = drift.standing.as_deref()?;
        let shown = Shown::of_hidden(&standing.declared(), &standing.accepted());
        Some(Self { drift, standing, shown })
    }

    fn in_status(&self) -> StandingAcceptance {
        let Self { drift, standing, shown } = self;
        StandingAcceptance {
            field: drift.field.to_string(),
            drift: drift.name.to_string(),
            accepted: shown.actual_short.clone(),
            declared: shown.expected_short.clone(),
            since: Time(standing.since),
            until: standing.until.map(Time),
        }
    }

    fn in_words(&self) -> String {
        let Self { drift, standing, shown } = self;
        let field = named(&drift.field);
        let hint = if standing.has_patch { "" } else { " (a credential: update the manifest by hand)" };
        if shown.is_whole() {
            let (declared, accepted) = (&shown.expected_short, &shown.actual_short);
            format!("{field}: the manifest declares {declared}, {accepted} is accepted{hint}")
        } else {
            format!("{field}: {} is accepted{hint}", shown.difference)
        }
    }
}

/// The condition that every manifest declares the desired values.
fn manifest_current(standing: &[Stands<'_>]) -> Claim {
    let kind = conditions::MANIFEST_CURRENT;
    if standing.is_empty() {
        let (status, reason) = (ConditionStatus::True, ConditionReason::NoAcceptanceStands);
        return Claim { kind, status, reason, message: String::new() };
    }
    let fields: Vec<_> = standing.iter().map(Stands::in_words).collect();
    let message = format!("{}; see status.manifestPatch of the Drift", list(&fields));
    Claim { kind, status: ConditionStatus::False, reason: ConditionReason::AcceptancesStand, message }
}

/// The stored form of a status: it keeps each condition that says more than its absence does.
#[must_use]
pub fn stored(mut status: ProvisionedResourceStatus) -> ProvisionedResourceStatus {
    status.conditions.retain(|condition| !is_implied(condition));
    status
}

/// A status with its empty fields too, in place of what another client wrote there.
#[must_use]
pub fn explicit(status: &ProvisionedResourceStatus) -> Value {
    let mut written = json!({ "driftedFields": [], "driftedFieldsShort": "", "differenceShort": "", "certificates": {}, "acceptances": [] });
    if let (Value::Object(all), Ok(Value::Object(status))) = (&mut written, serde_json::to_value(status)) {
        all.extend(status);
    }
    written
}

/// A status without parts that may be too large for the API server.
#[must_use]
pub fn reduced(mut status: ProvisionedResourceStatus) -> ProvisionedResourceStatus {
    status.drifted_fields = Vec::new();
    status.certificates = BTreeMap::new();
    status.acceptances = Vec::new();
    for condition in &mut status.conditions {
        condition.message = brief_message(&condition.message);
    }
    status
}

/// A drifted field with both values.
fn in_a_line(drift: &KnownDrift) -> String {
    short_text(&format!("{}: {}", drift.field, drift.difference), DIFFERENCE)
}

/// The number of fields that fit into a column.
fn column(fields: &[String]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| brief(field)).collect();
    let least = first(&fields, 1, ", ");
    let mut all = (1..=fields.len()).rev().map(|most| first(&fields, most, ", "));
    all.find(|text| text.chars().count() <= COLUMN).unwrap_or(least)
}

/// The reason of `InSync` or, unless `Ready` is True, of `Ready`.
fn reason_of(claims: &[Claim; 4]) -> ConditionReason {
    let [ready, in_sync, ..] = claims;
    if ready.status == ConditionStatus::True { in_sync.reason } else { ready.reason }
}

fn claims(record: &Record, situation: &Situation, open: &[&KnownDrift]) -> [Claim; 4] {
    use ConditionStatus::{False, True, Unknown};
    let resource = &record.resource;
    match situation {
        Situation::Suspended => {
            let message = "suspended: set spec.suspend to false to resume".to_owned();
            four([Unknown, Unknown, False, False], ConditionReason::Suspended, &message)
        }
        Situation::Deleting => {
            four([Unknown, Unknown, True, False], ConditionReason::Deleted, "the record is being deleted")
        }
        Situation::Duplicate(older) => {
            let message = format!("{older} is older and already records {resource}; delete one of the two");
            four([False, Unknown, False, True], ConditionReason::DuplicateRecord, &message)
        }
        Situation::Unknown(reason, message) => four([False, Unknown, True, False], *reason, message),
        Situation::Reverting(saga) => {
            let is_stuck = |drift: &&KnownDrift| {
                drift.reverting.as_ref().is_some_and(|reverting| reverting.is_stuck && *reverting.saga == **saga)
            };
            let message = if open.iter().any(is_stuck) {
                format!(
                    "saga {saga}, which reverts a field of {resource}, is Stuck; {resource} is compared after the saga is \
                     resolved"
                )
            } else {
                format!("saga {saga} reverts a field of {resource}; it is compared after that")
            };
            four(
                [True, if open.is_empty() { Unknown } else { False }, True, False],
                ConditionReason::Reverting,
                &message,
            )
        }
        Situation::NeverSeen => {
            let message = format!("{resource} does not exist in this account; check the id and the token");
            four([False, Unknown, False, True], ConditionReason::ResourceNotFound, &message)
        }
        Situation::Compared(compared) => of_comparison(resource, compared, open),
    }
}

fn of_comparison(resource: &ResourceKey, compared: &Compared, open: &[&KnownDrift]) -> [Claim; 4] {
    let (ready_reason, problems) = match (&compared.invalid[..], &compared.refused[..]) {
        ([], []) => (ConditionReason::Compared, None),
        ([], refused) => (ConditionReason::WriteRefused, Some(list(refused))),
        (invalid, []) => (ConditionReason::InvalidField, Some(list(invalid))),
        (invalid, refused) => (ConditionReason::InvalidField, Some(list(&[invalid, refused].concat()))),
    };
    let is_ready = problems.is_none();
    let ready = problems.unwrap_or_else(|| {
        let fields: Vec<_> = compared.ignored_unrecorded.iter().map(|field| named(field)).collect();
        if fields.is_empty() {
            return format!("compared with {resource}");
        }
        let fields = list_by(&fields, ", ");
        format!("compared with {resource}; spec.drift.ignore lists fields that are not recorded: {fields}")
    });
    let (in_sync, in_sync_reason, in_sync_message) = in_sync(resource, compared, open);
    [
        Claim {
            kind: conditions::READY,
            status: ConditionStatus::from(is_ready),
            reason: ready_reason,
            message: ready.clone(),
        },
        Claim { kind: conditions::IN_SYNC, status: in_sync, reason: in_sync_reason, message: in_sync_message },
        Claim {
            kind: conditions::RECONCILING,
            status: ConditionStatus::False,
            reason: ready_reason,
            message: String::new(),
        },
        Claim {
            kind: conditions::STALLED,
            status: ConditionStatus::from(!is_ready),
            reason: ready_reason,
            message: if is_ready { String::new() } else { ready },
        },
    ]
}

/// The condition that all fields equal the desired values, with every field that differs or is unknown.
fn in_sync(
    resource: &ResourceKey,
    compared: &Compared,
    open: &[&KnownDrift],
) -> (ConditionStatus, ConditionReason, String) {
    let unconfirmed: Vec<_> = compared.unconfirmed.iter().map(|field| named(field)).collect();
    let mut parts = Vec::new();
    if !unconfirmed.is_empty() {
        let fields = list_by(&unconfirmed, ", ");
        parts.push(format!("a list shows a difference that the next read has to confirm: {fields}"));
    }
    if !compared.unknown.is_empty() {
        parts.push(format!("cannot be compared now: {}", list(&compared.unknown)));
    }
    if !compared.invalid.is_empty() {
        parts.push(format!("cannot be compared: {}", list(&compared.invalid)));
    }
    if !compared.refused.is_empty() {
        parts.push(format!("the API server refused a write: {}", list(&compared.refused)));
    }
    let is_gone = compared.gone && open.iter().any(|drift| drift.field.as_ref() == EXISTS);
    let (status, reason) = match () {
        () if is_gone => {
            parts.insert(0, format!("{resource} is gone; decide it with: kubectl arcadia"));
            (ConditionStatus::False, ConditionReason::ResourceGone)
        }
        () if !open.is_empty() => {
            let differences: Vec<_> =
                open.iter().map(|drift| format!("{}: {}", named(&drift.field), drift.difference)).collect();
            parts.insert(0, format!("{}; decide it with: kubectl arcadia", first(&differences, FIRST, ", ")));
            (ConditionStatus::False, ConditionReason::DriftOpen)
        }
        () if !compared.refused.is_empty() => (ConditionStatus::Unknown, ConditionReason::WriteRefused),
        () if !compared.invalid.is_empty() => (ConditionStatus::Unknown, ConditionReason::InvalidField),
        () if !unconfirmed.is_empty() => (ConditionStatus::Unknown, ConditionReason::Unconfirmed),
        () if !compared.unknown.is_empty() => (ConditionStatus::Unknown, ConditionReason::FieldsUnknown),
        () if compared.gone => {
            parts.push(format!(
                "{resource} is gone, as {}",
                if compared.accepted > 0 { "accepted" } else { "recorded" }
            ));
            (ConditionStatus::True, ConditionReason::NoDrift)
        }
        () => {
            let plural = if compared.compared == 1 { "field is" } else { "fields are" };
            let accepted = if compared.accepted > 0 {
                format!(", {} of them as accepted", compared.accepted)
            } else {
                String::new()
            };
            parts.push(format!("{} {plural} as desired{accepted}", compared.compared));
            (ConditionStatus::True, ConditionReason::NoDrift)
        }
    };
    (status, reason, parts.join("; "))
}

/// The first of these sentences, each short enough for the message of a condition.
fn list(sentences: &[String]) -> String {
    list_by(sentences, "; ")
}

fn list_by(sentences: &[String], separator: &str) -> String {
    let short: Vec<_> = sentences.iter().map(|sentence| brief_message(sentence)).collect();
    first(&short, MOST, separator)
}

/// A message shortened so that [`MOST`] of them fit into a condition.
fn brief_message(message: &str) -> String {
    if message.len() <= LONGEST { message.to_owned() } else { format!("{}…", cut(message, LONGEST)) }
}

/// All four conditions with one reason.
fn four(truths: [ConditionStatus; 4], reason: ConditionReason, message: &str) -> [Claim; 4] {
    let [ready, in_sync, reconciling, stalled] = truths;
    [
        (conditions::READY, ready),
        (conditions::IN_SYNC, in_sync),
        (conditions::RECONCILING, reconciling),
        (conditions::STALLED, stalled),
    ]
    .map(|(kind, status)| Claim { kind, status, reason, message: message.to_owned() })
}

#[cfg(test)]
mod tests;
