//! Reverting a drift: reads the decision, plans the saga, and follows it to its end. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{decision::RevertRequest, planner::Planner};
use crate::{
    api::{
        SagaKind, SagaPhase, SagaSpec, annotations,
        drift::EXISTS,
        saga::{Retry, StepSpec},
    },
    comparison::reading::stands_for as shows,
    digitalocean::revert::{self, Revert, RevertProposal},
    drift::{
        finding::{Finding, compare},
        known::{KnownDrift, readable},
        observed::{DecisionFacts, Inactive, NeedsFreshRead, ReadSource, Recorded, Seen},
        plan::{Closing, DecisionOrigin, PlannedSaga, PlannedWrite},
        revert_saga::{RevertSaga, concurrency_key},
        shown::{brief, named},
    },
};

/// This number of reverts of one field within [`RECENT`] is the limit: another client keeps changing it.
const MOST_REVERTS: usize = 2;
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// A succeeded revert without an effect is judged by the next list, or after this time.
const LONGEST_DOUBT: SignedDuration = SignedDuration::from_mins(15);

/// The time for which a finished saga of a revert is kept, in seconds.
const KEPT: i32 = 7 * 24 * 60 * 60;

impl PlannedSaga {
    fn of(drift: &KnownDrift, record: &str, resource: &str, plan: RevertProposal, origin: DecisionOrigin) -> Self {
        let steps = plan.steps.into_iter().map(|step| StepSpec {
            name: step.name,
            step: step.step.to_owned(),
            with: step.with,
            timeout_seconds: step.timeout.and_then(|timeout| i32::try_from(timeout.as_secs()).ok()),
            retry: Retry::default(),
            irreversible: step.irreversible,
        });
        let spec = SagaSpec {
            kind: SagaKind::Update,
            steps: steps.collect(),
            inputs: serde_json::Map::new(),
            deployment_id: None,
            triggered_by: Some(first_253(&format!("drift:{}", drift.name))),
            concurrency_key: Some(resource.to_owned()),
            rollback_of: None,
            timeout_seconds: None,
            cancel_requested: false,
            suspend: false,
            ttl_seconds_after_finished: Some(KEPT),
        };
        Self { name: name_of(drift, record), spec, origin }
    }
}

/// The name of the next saga of a drift. It derives from the saga that the drift names already, since a drift names each
/// of its sagas before it shows the outcome. So a decision has one saga, also if the drift is written meanwhile, and
/// the saga of an earlier decision has another name.
fn name_of(drift: &KnownDrift, record: &str) -> String {
    let earlier = drift.saga.as_deref().unwrap_or_default();
    let decision = Sha256::new().chain_update(&*drift.uid).chain_update([0]).chain_update(earlier);
    let hash = decision.finalize().iter().take(4).fold(0_u32, |hash, byte| (hash << 8) | u32::from(*byte));
    let (record, field) = (readable(record, 100), readable(&drift.field, 40));
    format!("revert-{record}-{field}-{hash:08x}")
}

fn first_253(text: &str) -> String {
    text.chars().take(253).collect()
}

impl Planner<'_> {
    /// Follows the sagas of reverts. Returns the name of a running one: meanwhile the live value gives no verdict. The
    /// drift of the saga may be deleted.
    pub(super) fn follow_reverts(
        &mut self,
        effective: &Recorded<'_>,
        seen: Seen<'_>,
        drifts: &[KnownDrift],
    ) -> Option<String> {
        let (mut running, mut lost): (Option<&RevertSaga>, Option<&str>) = (None, None);
        for drift in drifts.iter().filter(|drift| drift.is_open()) {
            let Some(saga) = saga_of(drift, effective) else {
                if let Some(reverting) = &drift.reverting {
                    self.followed.insert(drift.name.clone());
                    let (drift, saga) = (drift.name.clone(), reverting.saga.clone());
                    self.writes.push(PlannedWrite::LoseRevert { drift, saga });
                    lost = lost.or(Some(&reverting.saga));
                }
                continue;
            };
            self.followed.insert(drift.name.clone());
            if self.follow_revert(drift, saga, effective, seen) {
                // A stuck saga needs a person, and the others may wait for it.
                if running.is_none_or(|other| other.phase != SagaPhase::Stuck) {
                    running = Some(saga);
                }
                if drift.reverting.is_some() {
                    self.keep_to_revert(drift, saga, effective.namespace);
                }
            }
        }
        // The drift of a revert may have been deleted. Its saga completes nevertheless.
        let unfinished = || effective.reverts.iter().find(|saga| !saga.phase.is_finished());
        let running = running.or_else(unfinished).map(|saga| &*saga.name).or(lost).map(str::to_owned);
        if let Some(saga) = &running {
            let why = format!("saga {saga} reverts another field of the resource");
            let others: Vec<_> =
                drifts.iter().filter(|drift| drift.is_open() && !self.followed.contains(&drift.name)).collect();
            for drift in others {
                self.wait(drift, &why);
            }
        }
        running
    }

    /// Cancels the sagas that have not started yet and must not start: their record is being deleted, or the decision was
    /// withdrawn while the record is not reconciled.
    pub(super) fn cancel_withdrawn(&mut self, rests: Inactive<'_>, recorded: &Recorded<'_>, drifts: &[KnownDrift]) {
        let is_deleting = rests == Inactive::Deleting;
        for drift in drifts.iter().filter(|drift| drift.is_open()) {
            let Some(saga) = saga_of(drift, recorded) else { continue };
            if saga.phase == SagaPhase::Pending {
                if !saga.is_cancelled && (is_deleting || drift.revert.is_none()) {
                    self.writes.push(PlannedWrite::CancelRevert { drift: drift.name.clone(), saga: saga.name.clone() });
                }
            } else if !saga.phase.is_finished() {
                self.followed.insert(drift.name.clone());
            } else if saga.is_cancelled && drift.revert.is_none() && drift.reverting.is_some() && !is_deleting {
                self.writes.push(PlannedWrite::Await { drift: drift.name.clone() });
            }
        }
    }

    /// The annotations of a drift that a saga reverts may have been changed: only the saga itself can be stopped.
    fn keep_to_revert(&mut self, drift: &KnownDrift, saga: &RevertSaga, namespace: &str) {
        if drift.revert.is_none() && (saga.phase == SagaPhase::Pending || saga.is_cancelled) {
            // A withdrawal: the saga is cancelled before its first step. An acceptance in its place is carried out then.
            return;
        }
        let stop = match saga.phase {
            SagaPhase::Pending => format!("remove the annotation {}", annotations::REVERT),
            SagaPhase::Stuck => {
                format!("resolve the saga; see how with: kubectl arcadia saga tree {} -n {namespace}", saga.name)
            }
            SagaPhase::Running
            | SagaPhase::RollingBack
            | SagaPhase::Succeeded
            | SagaPhase::RolledBack
            | SagaPhase::Failed => "cancel the saga: set its spec.cancelRequested".to_owned(),
        };
        let saga = &saga.name;
        if drift.accept.is_some() || drift.accept_until.is_some() {
            let message = format!("saga {saga} reverts this Drift; to accept the live value, first {stop}");
            return self.restore(drift, &message);
        }
        // Earlier versions did not write the decision before its end.
        let Some(decision) = &drift.decided.decision else { return };
        if drift.revert.as_ref() != Some(decision) {
            self.restore(drift, &format!("saga {saga} is already reverting this Drift; to stop it, {stop}"));
        } else if drift.because != drift.decided.because {
            self.restore(
                drift,
                &format!("saga {saga} is already reverting this Drift, so the reason can no longer be changed"),
            );
        }
    }

    /// Returns whether the saga still runs.
    fn follow_revert(
        &mut self,
        drift: &KnownDrift,
        saga: &RevertSaga,
        effective: &Recorded<'_>,
        seen: Seen<'_>,
    ) -> bool {
        let is_shown = |stuck| drift.reverting.as_ref().is_some_and(|reverting| reverting.is_stuck == stuck);
        let follow = |stuck| PlannedWrite::Follow { drift: drift.name.clone(), saga: saga.name.clone(), stuck };
        if drift.reverting.is_none() && saga.phase.is_finished() {
            // The drift names the saga first, and shows the outcome then.
            self.writes.push(follow(None));
            return true;
        }
        match saga.phase {
            SagaPhase::Pending | SagaPhase::Running | SagaPhase::RollingBack => {
                if !is_shown(false) {
                    self.writes.push(follow(None));
                }
                // Once it runs, its steps notice by themselves, and a decision cannot be taken back.
                let mut is_void = || match self.moved_on(drift, effective) {
                    _ if drift.revert.is_none() => true,
                    Some(MovedOn::Desired) => true,
                    // A list may lag behind the read of the decision.
                    Some(MovedOn::Live) => self.is_confirmed(),
                    None => false,
                };
                if saga.phase == SagaPhase::Pending && !saga.is_cancelled && is_void() {
                    self.writes.push(PlannedWrite::CancelRevert { drift: drift.name.clone(), saga: saga.name.clone() });
                }
                true
            }
            SagaPhase::Stuck => {
                if !is_shown(true) {
                    let message = format!("saga {} is Stuck: {}", saga.name, saga.message);
                    self.writes.push(follow(Some(message)));
                }
                true
            }
            SagaPhase::Failed if saga.is_cancelled && drift.revert.is_none() => {
                self.writes.push(PlannedWrite::Await { drift: drift.name.clone() });
                false
            }
            SagaPhase::Failed if saga.is_cancelled && self.moved_on(drift, effective).is_some() => {
                let message = format!(
                    "the desired or the live value changed before saga {} began, so it was cancelled; review the drift \
                     and decide again",
                    saga.name
                );
                self.fail_revert(drift, message);
                false
            }
            SagaPhase::RolledBack | SagaPhase::Failed => {
                let outcome = if saga.phase == SagaPhase::Failed { "failed" } else { "was rolled back" };
                self.fail_revert(drift, format!("saga {} {outcome}: {}", saga.name, saga.message));
                false
            }
            SagaPhase::Succeeded => {
                self.verify_revert(drift, saga, effective, seen);
                // Until the live value is read, it counts as running.
                !self.writes.iter().any(|step| step.drift() == Some(&*drift.name))
            }
        }
    }

    /// Verifies a succeeded saga: only a new read of the live value shows whether the drift is reverted.
    fn verify_revert(&mut self, drift: &KnownDrift, saga: &RevertSaga, effective: &Recorded<'_>, seen: Seen<'_>) {
        let is_fresh = matches!(self.reading, ReadSource::Fresh { before, .. } if before.contains(drift));
        if !is_fresh {
            if !matches!(self.reading, ReadSource::Failed { .. }) {
                self.need(NeedsFreshRead::Decision);
            }
            return;
        }
        let expected = effective.desired.get(drift.field.as_ref());
        match (seen, expected) {
            (Seen::Present(live), Some(expected)) => match compare(live, &drift.field, expected) {
                Finding::Matches => self.close(drift, Closing::Reverted),
                Finding::Differs { shown, expected, .. } if !shows(&drift.expected, &expected) => {
                    let (was, is) = (brief(&drift.expected), brief(&shown.expected));
                    let message = format!(
                        "the desired value was changed from {was} to {is} while saga {} ran; compare it again",
                        saga.name
                    );
                    self.fail_revert(drift, message);
                }
                // The response may lag behind the steps of the saga, or lack the field, so that an earlier list shows it.
                Finding::Differs { live: now, .. } if shows(&drift.actual, &now) && self.may_show_late(saga) => {
                    self.awaits_list = true;
                }
                Finding::Differs { shown, .. } => {
                    let is = brief(&shown.actual);
                    self.fail_revert(drift, format!("saga {} succeeded, but the live value is {is}", saga.name));
                }
                Finding::Invalid(why) => {
                    self.fail_revert(drift, format!("saga {} succeeded, but {why}", saga.name));
                }
                // An unreadable value gives no verdict: a later read does.
                Finding::Unknown(_) | Finding::Moot => {}
            },
            (Seen::Gone, _) => {
                self.fail_revert(drift, format!("saga {} succeeded, but the resource is gone", saga.name));
            }
            (Seen::Present(_), None) => {
                self.fail_revert(drift, format!("saga {} succeeded, but the field is no longer recorded", saga.name));
            }
            (Seen::Unknown(..), _) => {}
        }
    }

    /// Returns true if no list began since a saga ended, a short time ago.
    fn may_show_late(&self, saga: &RevertSaga) -> bool {
        let ReadSource::Fresh { listed_at, .. } = self.reading else { return false };
        // The end of a saga is cut to whole seconds.
        let is_later = |ended: Timestamp| listed_at.is_none_or(|listed| listed < ended + SignedDuration::from_secs(1));
        saga.finished_at.is_some_and(|ended| is_later(ended) && self.now.duration_since(ended) < LONGEST_DOUBT)
    }

    /// The value that is no longer the one of the decision.
    fn moved_on(&self, drift: &KnownDrift, effective: &Recorded<'_>) -> Option<MovedOn> {
        let live = self.live?;
        let Some(desired) = effective.desired.get(drift.field.as_ref()) else { return Some(MovedOn::Desired) };
        if !shows(&drift.expected, &live.hide(&drift.field, desired)) {
            return Some(MovedOn::Desired);
        }
        let is_changed = match compare(live, &drift.field, desired) {
            Finding::Differs { live: now, .. } => !shows(&drift.actual, &now),
            // A list may lag behind the read of the decision.
            Finding::Matches | Finding::Unknown(_) | Finding::Invalid(_) | Finding::Moot => false,
        };
        is_changed.then_some(MovedOn::Live)
    }

    fn fail_revert(&mut self, drift: &KnownDrift, message: String) {
        // In this order: a decision whose answer is written would be carried out again after a crash.
        self.writes.push(PlannedWrite::DropDecision { drift: drift.name.clone() });
        self.writes.push(PlannedWrite::FailRevert { drift: drift.name.clone(), message });
    }

    /// Carries out, or refuses, the decision to revert. It applies to the value that the person saw.
    pub(super) fn decide_revert(
        &mut self,
        drift: &KnownDrift,
        (origin, asked): (DecisionOrigin, RevertRequest),
        effective: &Recorded<'_>,
        finding: Option<&Finding>,
    ) {
        let (live, shown) = match finding {
            // Nobody could verify the result.
            Some(Finding::Differs { doubts, .. })
                if asked != RevertRequest::Plan
                    && let Some(doubt) = doubts.first() =>
            {
                return self.wait(drift, doubt);
            }
            Some(Finding::Differs { live, shown, expected, .. }) => {
                if !shows(&drift.expected, expected) {
                    let is = brief(&shown.expected);
                    return self
                        .refuse(drift, format!("the desired value is now {is}; review the drift and decide again"));
                }
                (live, shown)
            }
            Some(Finding::Matches) => {
                return self.refuse(drift, "the live value is as desired; nothing is left to revert".to_owned());
            }
            Some(Finding::Moot) => {
                return self.refuse(
                    drift,
                    "whether the resource exists is the question now; decide its drift on exists".to_owned(),
                );
            }
            None => return self.refuse(drift, "the field is no longer compared; nothing is left to revert".to_owned()),
            Some(Finding::Unknown(why) | Finding::Invalid(why)) => return self.wait(drift, why),
        };
        if !shows(&drift.actual, live) {
            let is = brief(&shown.actual);
            return self.refuse(drift, format!("the live value is now {is}; review the drift and decide again"));
        }
        let (Some(document), false) = (self.live, drift.field.as_ref() == EXISTS) else {
            let why = shown.revert.as_ref().and_then(|revert| revert.why.clone()).unwrap_or_default();
            return self.refuse(drift, format!("reverting {EXISTS} is not possible: {why}"));
        };
        let desired = effective.desired.get(drift.field.as_ref()).unwrap_or(&Value::Null);
        let DecisionFacts { owners, tag_users } = match effective.decided {
            Ok(facts) => facts,
            Err(why) => return self.wait(drift, why),
        };
        let field = owners.fields.get(&*drift.field).map(|by| (format!("{} of ", brief(&drift.field)), by));
        let field = field.map(|(what, by)| (what, by.as_str()));
        if let Some((what, owner)) = field.or(owners.resource.controller().map(|owner| (String::new(), owner))) {
            let message =
                format!("{what}{} belongs to {owner}, which would change it back; change it there", document.key());
            return self.refuse(drift, message);
        }
        let mut facts = (effective.facts.0)();
        if tag_users.is_some() {
            Arc::make_mut(&mut facts).tag_users.clone_from(tag_users);
        }
        let revert = Revert { field: &drift.field, desired, document, facts: &facts };
        match asked {
            RevertRequest::Plan => match revert::proposal(&revert, effective.name) {
                Ok((mut plan, needs)) => {
                    plan.assessment.warnings.extend(owners.resource.warning());
                    self.writes.push(PlannedWrite::ShowPlan { drift: drift.name.clone(), plan: Box::new(plan), needs });
                    self.writes.push(PlannedWrite::DropDecision { drift: drift.name.clone() });
                }
                Err(refused) => self.refuse(drift, refused.to_string()),
            },
            RevertRequest::Revert(allow) => match revert::plan(&revert, effective.name, allow) {
                Ok(_) if let Some(next) = self.next_revert(drift) => self.refuse(
                    drift,
                    format!(
                        "{} was reverted {MOST_REVERTS} times within the last hour and changed again each time; find the \
                         client that changes it. The next revert is possible after {next}",
                        named(&drift.field)
                    ),
                ),
                // The shown class rests on what could be read earlier.
                Ok(plan)
                    if plan.assessment.may_rise
                        && drift.class.is_some_and(|shown| shown > plan.assessment.class && !allow.permits(shown)) =>
                {
                    self.wait(drift, "the resources that the revert affects could not be read");
                }
                Ok(plan) => {
                    let key = concurrency_key(document.key());
                    let saga = PlannedSaga::of(drift, effective.name, &key, plan, origin);
                    let name = saga.name.as_str().into();
                    self.writes.push(PlannedWrite::Revert { drift: drift.name.clone(), saga: Box::new(saga) });
                    self.writes.push(PlannedWrite::Follow { drift: drift.name.clone(), saga: name, stuck: None });
                }
                Err(refused) => self.refuse(drift, refused.to_string()),
            },
        }
    }

    /// The time of the next revert of a field whose live value is changed back again and again; none if it is possible
    /// now.
    fn next_revert(&self, drift: &KnownDrift) -> Option<Timestamp> {
        let of_field = self.reverted.iter().filter(|(field, _)| *field == drift.field);
        let recent = of_field.map(|(_, at)| *at).filter(|at| self.now.duration_since(*at) < RECENT);
        let mut recent: Vec<_> = recent.collect();
        recent.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        recent.get(MOST_REVERTS - 1).map(|at| *at + RECENT)
    }

    /// Whether it was reverted a short time ago, so that it counts against further reverts.
    pub(super) fn is_recent(&self, drift: &KnownDrift) -> bool {
        drift.reverted_at.is_some_and(|at| self.now.duration_since(at) < RECENT)
    }
}

/// A value that changed since the decision to revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MovedOn {
    Desired,
    Live,
}

/// The saga that reverts a drift: the one that the drift names, or one whose creation was the last write before a crash.
fn saga_of<'r>(drift: &KnownDrift, recorded: &Recorded<'r>) -> Option<&'r RevertSaga> {
    match &drift.reverting {
        Some(reverting) => recorded.reverts.iter().find(|saga| saga.name == reverting.saga),
        None => begun(drift, recorded),
    }
}

/// The saga of a decision whose second write was lost. It may have ended meanwhile, and the decision may have been removed
/// or changed.
fn begun<'r>(drift: &KnownDrift, effective: &Recorded<'r>) -> Option<&'r RevertSaga> {
    let name = name_of(drift, effective.name);
    let mut of_drift = effective.reverts.iter().filter(|saga| saga.drift == drift.uid);
    of_drift.rfind(|saga| !saga.phase.is_finished() || *saga.name == *name)
}
