//! The parts of a Drift that an evaluation needs. There may be many drifts, so nothing else of the object is kept.
//! Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::shown;
use crate::{
    api::{
        AcceptanceMode, Drift, DriftPhase, DriftStatus, annotations,
        conditions::{self, ConditionReason, ConditionStatus},
        labels,
    },
    digitalocean::{Kind, revert::RevertClass},
    kube_ext::version::Version,
};

/// The cached part of a Drift.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub struct KnownDrift {
    pub name: Box<str>,
    pub uid: Box<str>,
    /// The version of the object that this was read from; writes are bound to it.
    pub resource_version: Version,
    /// The time at which it was opened.
    pub created: Timestamp,
    /// True if it is being deleted.
    pub deleting: bool,
    /// The kind of the live resource.
    pub kind: Kind,
    /// The recorded field that differs.
    pub field: Box<str>,
    /// Its number among the drifts of that field.
    pub episode: i64,
    pub phase: DriftPhase,
    /// The desired value that it shows; empty once it is over.
    pub expected: Box<str>,
    /// The live value that it shows now; empty once it is over.
    pub actual: Box<str>,
    /// The difference, in one line; empty once it is resolved.
    pub difference: Box<str>,
    /// The class of its revert that it shows.
    pub class: Option<RevertClass>,
    /// The effect of its revert that it shows; none once it is over.
    pub effect: Option<Box<str>>,
    /// Its label [`labels::CHANGE`].
    pub change: Option<Box<str>>,
    /// The decision to accept, as annotated.
    pub accept: Option<Box<str>>,
    /// The decision that was carried out, or that a saga carries out.
    pub decided: Decided,
    /// The accepted value went into the record.
    pub is_in_place: bool,
    /// It reported that a decision came too late, and dropped all decisions.
    pub is_answered: bool,
    /// The person who decided, if known.
    pub decided_by: Option<Box<str>>,
    /// The requested end of the acceptance, as annotated.
    pub accept_until: Option<Box<str>>,
    /// The reason of the decision, as annotated.
    pub because: Option<Box<str>>,
    /// The decision to revert, as annotated.
    pub revert: Option<Box<str>>,
    /// The saga that reverts it, while it is open and the outcome is not stored yet.
    pub reverting: Option<Reverting>,
    /// The saga that reverts it, or that reverted it last.
    pub saga: Option<Box<str>>,
    /// The time at which it was reverted.
    pub reverted_at: Option<Timestamp>,
    /// The acceptance, while it stands.
    pub standing: Option<Box<Standing>>,
    /// The stored reason of its waiting decision.
    pub waits: Option<Box<str>>,
    /// The last decision was refused.
    pub is_refused: bool,
    /// The transition time of its `Resolved` condition.
    pub transition: Option<Timestamp>,
}

impl KnownDrift {
    /// Reads the cached part of this object.
    #[must_use]
    pub fn of(drift: &Drift) -> Self {
        let none = DriftStatus::default();
        let status = drift.status.as_ref().unwrap_or(&none);
        let annotation =
            |key: &str| -> Option<Box<str>> { drift.annotations().get(key).map(|text| text.as_str().into()) };
        let condition = |kind| conditions::find(&status.conditions, kind);
        let resolved = condition(conditions::RESOLVED);
        let standing = standing(status);
        let difference = (status.phase == DriftPhase::Open || standing.is_some()).then(|| {
            let written =
                status.difference.as_ref().or(drift.spec.difference.as_ref().filter(|_| status.actual.is_none()));
            written.cloned().unwrap_or_else(|| shown::difference(&drift.spec.expected, drift.actual_now()))
        });
        let (accept, revert) = (annotation(annotations::ACCEPT), annotation(annotations::REVERT));
        // Values may be large, and nobody reads those of a drift that is over.
        let is_over = status.phase != DriftPhase::Open && standing.is_none();
        let unless_over = |text: &str| -> Box<str> { if is_over { Box::default() } else { text.into() } };
        Self {
            name: drift.name_any().into(),
            uid: drift.uid().unwrap_or_default().into(),
            resource_version: Version::of(&drift.metadata),
            created: drift.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleting: drift.metadata.deletion_timestamp.is_some(),
            kind: drift.spec.resource.kind,
            field: drift.spec.field.as_str().into(),
            episode: drift.spec.episode,
            phase: status.phase,
            expected: unless_over(&drift.spec.expected),
            actual: unless_over(drift.actual_now()),
            difference: difference.unwrap_or_default().into(),
            class: drift.spec.revert,
            effect: drift.spec.revert_note.as_deref().filter(|_| !is_over).map(Into::into),
            change: drift.labels().get(labels::CHANGE).filter(|_| !is_over).map(|text| text.as_str().into()),
            decided_by: accept.as_ref().or(revert.as_ref()).and_then(|_| {
                let decision = if accept.is_some() { annotations::ACCEPT } else { annotations::REVERT };
                annotation(annotations::DECIDED_BY)
                    .or_else(|| annotations::written_by(&drift.metadata, decision).map(Into::into))
            }),
            revert,
            accept_until: annotation(annotations::ACCEPT_UNTIL),
            because: annotation(annotations::BECAUSE),
            standing,
            reverting: reverting(status),
            saga: status.saga_ref.as_ref().map(|saga| saga.name.as_str().into()),
            reverted_at: (status.phase == DriftPhase::Reverted)
                .then(|| status.resolved_at.as_ref().map(|time| time.0))
                .flatten(),
            accept,
            decided: Decided {
                decision: status.decision.as_deref().map(Into::into),
                until: status.acceptance.as_ref().and_then(|it| it.until_requested.as_deref()).map(Into::into),
                because: status.because.as_deref().map(Into::into),
                by: status.decided_by.as_deref().map(Into::into),
            },
            is_in_place: status.acceptance.as_ref().is_some_and(|it| it.mode == AcceptanceMode::InPlace),
            is_answered: condition(conditions::DECISION_APPLIED).is_some(),
            waits: resolved
                .filter(|resolved| resolved.reason == ConditionReason::DecisionWaiting)
                .map(|resolved| resolved.message.as_str().into()),
            is_refused: resolved.is_some_and(|resolved| resolved.reason == ConditionReason::DecisionRefused),
            transition: resolved.map(|resolved| resolved.last_transition_time.0),
        }
    }

    /// The acceptance of a Drift, if it stands.
    #[must_use]
    pub fn standing_of(drift: &Drift) -> Option<Standing> {
        drift.status.as_ref().and_then(standing).map(|standing| *standing)
    }

    /// Returns true if it waits for a decision.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == DriftPhase::Open
    }

    /// A change of its annotations that came after it was resolved. One on an acceptance that stands is another matter.
    #[must_use]
    pub fn late(&self) -> Option<LateDecision> {
        if self.standing.is_some() || self.is_open() {
            return None;
        }
        if self.is_answered {
            // The answer dropped all of them.
            return self.has_any().then_some(LateDecision::Decision);
        }
        let carried_out = |phase, annotated: &Option<Box<str>>| match &self.decided.decision {
            _ if self.phase != phase => None,
            // Earlier versions did not write it.
            None => annotated.clone(),
            Some(decision) => Some(decision.clone()).filter(|decision| !decision.is_empty()),
        };
        let accept = carried_out(DriftPhase::Accepted, &self.accept);
        let revert = carried_out(DriftPhase::Reverted, &self.revert);
        let is_new =
            |annotated: &Option<Box<str>>, decided: &Option<Box<str>>| annotated.is_some() && annotated != decided;
        if is_new(&self.accept, &accept)
            || is_new(&self.revert, &revert)
            || is_new(&self.accept_until, &self.decided.until)
        {
            return Some(LateDecision::Decision);
        }
        if self.accept != accept || self.revert != revert {
            return Some(LateDecision::Withdrawal);
        }
        // Without a decision, the rest of it means nothing.
        let is_decided = accept.is_some() || revert.is_some();
        let is_changed = is_decided && self.accept_until != self.decided.until;
        let is_explained =
            is_new(&self.because, &self.decided.because) || (is_decided && self.because != self.decided.because);
        let is_reason = is_decided && !is_changed;
        (is_changed || is_explained).then_some(if is_reason { LateDecision::Reason } else { LateDecision::Decision })
    }

    /// Whether it has an annotation about a decision.
    fn has_any(&self) -> bool {
        [&self.accept, &self.accept_until, &self.revert, &self.because].into_iter().any(Option::is_some)
    }

    /// Returns true if it needs work once its record is deleted.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.is_open() || self.standing.is_some() || self.late().is_some()
    }

    /// Returns true if a person decided it.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.accept.is_some() || self.revert.is_some()
    }

    /// The revert that a saga carries out: from the status of the drift, the saga or the annotations, in this order.
    #[must_use]
    pub fn revert_decided(&self, of_saga: Option<&Decided>) -> Decided {
        let written = [Some(&self.decided), of_saga].into_iter().flatten().find(|decided| decided.decision.is_some());
        if let Some(written) = written {
            return written.clone();
        }
        let Self { revert, because, decided_by, .. } = self.clone();
        Decided { decision: revert, until: None, because, by: decided_by }
    }

    /// The value of the label [`labels::CHANGE`] for this live value.
    #[must_use]
    pub fn change_to(&self, actual: &str) -> String {
        labels::change(self.kind.name(), &self.field, &self.expected, actual)
    }
}

/// A decision that was carried out, or that a saga carries out, as its annotations were then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The decision itself. Empty if its annotation was gone already.
    pub decision: Option<Box<str>>,
    /// The end of an acceptance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Box<str>>,
    /// The reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Box<str>>,
    /// The person who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Box<str>>,
}

/// A change of the annotations of a resolved drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateDecision {
    /// A new decision, or another end of the one that was carried out.
    Decision,
    /// The decision that was carried out was removed.
    Withdrawal,
    /// Its reason alone was changed.
    Reason,
}

/// A running revert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reverting {
    /// The name of the saga.
    pub saga: Box<str>,
    /// True if the drift reports that the saga needs a person.
    pub is_stuck: bool,
}

/// The running revert of a status, if there is one.
fn reverting(status: &DriftStatus) -> Option<Reverting> {
    let is_stuck = match ConditionReason::read(status.reason.as_deref()?) {
        Some(ConditionReason::Reverting) => false,
        Some(ConditionReason::RevertStuck) => true,
        _ => return None,
    };
    let saga = status.saga_ref.as_ref().filter(|_| status.phase == DriftPhase::Open)?;
    Some(Reverting { saga: saga.name.as_str().into(), is_stuck })
}

/// The acceptance of a status, if it stands.
fn standing(status: &DriftStatus) -> Option<Box<Standing>> {
    let acceptance = status.acceptance.as_ref()?;
    let standing = conditions::find(&status.conditions, conditions::STANDING);
    let stands = standing.is_some_and(|standing| ConditionStatus::read(&standing.status) == ConditionStatus::True);
    let is_standing = status.phase == DriftPhase::Accepted && acceptance.mode == AcceptanceMode::Standing && stands;
    is_standing.then(|| {
        Box::new(Standing {
            accepted: acceptance.value.to_string().into(),
            declared: acceptance.declared.to_string().into(),
            since: acceptance.since.0,
            until: acceptance.until.as_ref().map(|until| until.0),
            has_patch: status.manifest_patch.is_some(),
        })
    })
}

/// The drifts that a record marks as adopted, by UID, since names are reused after the history is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastAccepted(BTreeSet<Box<str>>);

impl LastAccepted {
    /// Reads the annotation [`annotations::LAST_ACCEPTED`].
    #[must_use]
    pub fn read(text: &str) -> Self {
        let uids = text.split(',').map(|mark| mark.rsplit('/').next().unwrap_or(mark).trim());
        Self(uids.filter(|uid| !uid.is_empty()).map(Into::into).collect())
    }

    /// Returns true if the live value of this drift was adopted.
    #[must_use]
    pub fn hold(&self, drift: &KnownDrift) -> bool {
        self.0.contains(&drift.uid)
    }

    pub fn add(&mut self, drift: &KnownDrift) {
        self.0.insert(drift.uid.clone());
    }

    /// The text of the annotation.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(",")
    }
}

/// The name of a Drift. It derives from the record's UID, the field and the episode, so that the API server refuses a
/// second one for the same episode. Record and field come first for people; the hash makes it unique.
#[must_use]
pub(crate) fn drift_name(record: &str, uid: &str, field: &str, episode: i64) -> String {
    let digest = Sha256::new().chain_update(uid).chain_update([0]).chain_update(field).finalize();
    let hash = digest.iter().take(5).fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
    let hash = format!("{hash:010x}");
    let record = readable(record, 100);
    let field = readable(field, 40);
    let parts = [record.as_str(), field.as_str(), &hash, &episode.to_string()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The text as part of an object's name: lower-case letters and digits, other signs as single dashes.
pub(super) fn readable(text: &str, longest: usize) -> String {
    let mut name = String::new();
    for sign in text.chars().take(longest) {
        if sign.is_ascii_alphanumeric() {
            name.push(sign.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_also_those_of_earlier_versions() {
        let mut marks = LastAccepted::default();
        let drift = |uid: &str| KnownDrift { uid: uid.into(), ..KnownDrift::of(&crate::drift::shown::tests::drift()) };
        marks.add(&drift("a"));
        marks.add(&drift("b"));
        for text in
            [marks.text(), "web-1-name-0000000000-1/a,b".to_owned(), " a , web-1-name-0000000000-2/b".to_owned()]
        {
            let read = LastAccepted::read(&text);
            assert!(read.hold(&drift("a")) && read.hold(&drift("b")) && !read.hold(&drift("c")), "{text}");
        }
        assert_eq!(LastAccepted::read("web-1-name-0000000000-1/a").text(), "a");
        assert!(!LastAccepted::read("").hold(&drift("")));
    }

    #[test]
    fn names_tell_record_field_and_episode_and_are_exact() {
        let name = drift_name("web-1", "uid-1", "size_slug", 1);
        assert!(name.starts_with("web-1-size-slug-") && name.ends_with("-1"), "{name}");
        assert_eq!(name, drift_name("web-1", "uid-1", "size_slug", 1));
        assert_ne!(name, drift_name("web-1", "uid-2", "size_slug", 1));
        assert_ne!(name, drift_name("web-1", "uid-1", "size-slug", 1));
        assert_ne!(drift_name("a", "u", "x", 11), drift_name("a", "u", "x", 1));
    }

    #[test]
    fn every_field_gives_a_valid_name() {
        for field in ["networks.v4.0.ip_address", "Ünïcode", "...", &"x".repeat(4000), "a/b c", "1"] {
            let name = drift_name(&"r".repeat(253), "uid", field, i64::MAX);
            assert!(
                name.len() <= 253
                    && name.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-'),
                "{name}"
            );
            assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
        }
    }
}

/// A standing acceptance. Credentials in its values are fingerprints.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The accepted value, as JSON.
    pub accepted: Box<str>,
    /// The value that the record declared then, as JSON.
    pub declared: Box<str>,
    /// The time of the acceptance.
    pub since: Timestamp,
    /// The end of the acceptance.
    pub until: Option<Timestamp>,
    /// The drift has a patch for the manifest.
    pub has_patch: bool,
}

impl Standing {
    #[must_use]
    pub fn accepted(&self) -> Value {
        serde_json::from_str(&self.accepted).unwrap_or_default()
    }

    /// The value that the record declared then.
    #[must_use]
    pub fn declared(&self) -> Value {
        serde_json::from_str(&self.declared).unwrap_or_default()
    }
}
