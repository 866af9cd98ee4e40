//! Decides the target state of one record's drifts. Pure: recorded, live and open drifts in, a plan out.
//!
//! The plan is a list of writes to the API server, in an order in which a crash between any two of them loses nothing:
//! the next evaluation finds the completed writes and continues.

mod accepting;
mod decision;
mod planner;
mod reverting;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use self::{
    decision::{Decision, DecisionChoice},
    planner::Planner,
};
use super::{
    finding::{Finding, Findings, assess, compare},
    known::{KnownDrift, LateDecision},
    observed::{Inactive, NeedsFreshRead, Observed, ReadSource, Recorded, Seen},
    plan::{Closing, Compared, DriftPlan, Ending, PlannedWrite, Situation},
};
use crate::{
    api::{conditions::ConditionReason, drift::EXISTS},
    comparison::{NoRules, is_same, reading::stands_for as shows},
};

/// Decides the target state of one record's drifts. `history` is the number of resolved drifts to keep per field.
#[must_use]
pub(crate) fn evaluate(
    recorded: &Recorded<'_>,
    observed: Observed<'_>,
    drifts: &[KnownDrift],
    history: usize,
) -> DriftPlan {
    let mut planner = Planner::new(observed, recorded.now);
    planner.reverted = drifts.iter().filter_map(|drift| Some((drift.field.clone(), drift.reverted_at?))).collect();
    planner.answer_late(drifts);
    if let Some(rests) = recorded.rests {
        planner.cancel_withdrawn(rests, recorded, drifts);
        let situation = planner.rest(rests, drifts);
        return planner.plan(situation);
    }
    let effective = planner.settle_standing(recorded, observed.seen, drifts);
    let effective = Recorded { desired: &effective, ..recorded.clone() };
    if let Some(saga) = planner.follow_reverts(&effective, observed.seen, drifts) {
        return planner.plan(Situation::Reverting(saga));
    }
    let (in_doubt, rest): (Vec<_>, Vec<_>) = drifts.iter().partition(|drift| was_adopted(recorded, drift));
    let followed = planner.followed.clone();
    let open = || rest.iter().filter(|drift| drift.is_open() && !followed.contains(&drift.name));
    for drift in in_doubt {
        planner.in_doubt.add(drift);
        planner.close_adopted(drift, recorded);
    }
    let is_never_seen =
        matches!(observed.seen, Seen::Gone) && !recorded.was_seen && !recorded.desired.contains_key(EXISTS);
    let situation = match find(&effective, observed.seen) {
        _ if is_never_seen => {
            for drift in open() {
                planner.wait(drift, "the live resource was never seen");
            }
            Situation::NeverSeen
        }
        Err((reason, message)) => {
            for drift in open() {
                // Without the message: its error may differ each time.
                planner.wait(drift, &format!("nothing is known of the live resource at the moment ({reason})"));
            }
            Situation::Unknown(reason, message.to_owned())
        }
        Ok(findings) => {
            for drift in open() {
                planner.follow(drift, recorded, &effective, findings.get(drift.field.as_ref()));
            }
            planner.move_in_place(recorded, &findings, drifts);
            planner.adopt();
            planner.open_new(&findings, drifts);
            let ignored_unrecorded = recorded.ignore.iter().filter(|field| !is_comparable(recorded, field));
            Situation::Compared(Compared {
                ignored_unrecorded: ignored_unrecorded.map(ToString::to_string).collect(),
                unconfirmed: std::mem::take(&mut planner.unconfirmed),
                ..summarise(observed.seen, &findings, &planner.accepted)
            })
        }
    };
    planner.prune(drifts, history);
    planner.plan(situation)
}

/// Decides about the drifts of a record that no longer exists.
#[must_use]
pub(crate) fn orphaned(drifts: &[KnownDrift]) -> Vec<PlannedWrite> {
    let seen = Seen::Unknown((ConditionReason::RecordGone, ""));
    let observed = Observed { seen, reading: ReadSource::Inventory { is_confirmed: false } };
    let mut planner = Planner::new(observed, Timestamp::UNIX_EPOCH);
    for drift in drifts {
        if drift.is_open() {
            planner.close(drift, Closing::RecordGone);
        }
        if drift.standing.is_some() {
            planner.end(&drift.name, Ending::RecordGone);
        }
        if drift.late().is_some() || (drift.is_open() && drift.is_decided()) {
            planner.answer(drift, "the record of this drift is gone; nothing is left to decide");
        }
    }
    planner.writes
}

/// Returns true if the first write of its accept was made, and possibly the second was lost.
fn was_adopted(recorded: &Recorded<'_>, drift: &KnownDrift) -> bool {
    drift.is_open() && recorded.last_accepted.hold(drift)
}

/// Compares every recorded field. An error is the reason why nothing can be compared.
fn find<'a>(recorded: &Recorded<'a>, seen: Seen<'a>) -> Result<Findings<'a>, (ConditionReason, &'a str)> {
    let live = match seen {
        Seen::Unknown(why) => return Err(why),
        Seen::Gone => None,
        Seen::Present(live) => Some(live),
    };
    let exists = existence(recorded.desired.get(EXISTS), live.is_some());
    let compared = live.filter(|_| !matches!(exists, Finding::Differs { .. }));
    // A verdict may depend on other fields, as they are in effect.
    let for_record = compared.map(|live| live.for_record(recorded.desired));
    let compared = for_record.as_ref();
    let fields = recorded.desired.iter().filter(|(field, _)| !is_ignored(recorded, field) && *field != EXISTS);
    let mut findings: Findings<'a> = fields
        .map(|(field, expected)| {
            let of_live = |live| assess(compare(live, field, expected), live, field, expected, recorded.facts.0);
            (field.as_str(), compared.map_or(Finding::Moot, of_live))
        })
        .collect();
    if !is_ignored(recorded, EXISTS) {
        findings.insert(EXISTS, exists);
    }
    Ok(findings)
}

/// Compares the existence of the resource with the recorded one.
fn existence(recorded: Option<&Value>, does_exist: bool) -> Finding {
    let should_exist = recorded.cloned().unwrap_or(Value::Bool(true));
    let is = |exists: bool| is_same(&NoRules, &[], &should_exist, &Value::Bool(exists));
    match (is(does_exist), is(!does_exist)) {
        (true, _) => Finding::Matches,
        (false, true) => Finding::differs(should_exist, Value::Bool(does_exist)),
        (false, false) => Finding::Invalid(format!("{EXISTS}: it must be true or false; correct or remove it")),
    }
}

fn is_ignored(recorded: &Recorded<'_>, field: &str) -> bool {
    recorded.ignore.contains(field)
}

fn is_comparable(recorded: &Recorded<'_>, field: &str) -> bool {
    field == EXISTS || recorded.desired.contains_key(field)
}

fn summarise(seen: Seen<'_>, findings: &Findings<'_>, accepted: &BTreeMap<String, Value>) -> Compared {
    let certificates = if let Seen::Present(live) = seen { live.named_certificates() } else { BTreeMap::new() };
    let mut summary = Compared { gone: matches!(seen, Seen::Gone), certificates, ..Compared::default() };
    for (field, finding) in findings {
        match finding {
            Finding::Matches => {
                let counts = *field != EXISTS;
                summary.compared += usize::from(counts);
                summary.accepted += usize::from((counts || summary.gone) && accepted.contains_key(*field));
            }
            Finding::Differs { doubts, .. } => {
                summary.compared += usize::from(*field != EXISTS);
                summary.unknown.extend(doubts.iter().cloned());
            }
            Finding::Unknown(why) => summary.unknown.push(why.clone()),
            Finding::Invalid(message) => summary.invalid.push(message.clone()),
            Finding::Moot => {}
        }
    }
    summary
}

impl Planner<'_> {
    /// The refusal of a decision on a resolved drift.
    fn answer_late(&mut self, drifts: &[KnownDrift]) {
        for (drift, late) in drifts.iter().filter_map(|drift| Some((drift, drift.late()?))) {
            let phase = drift.phase.name();
            match late {
                LateDecision::Decision => {}
                LateDecision::Withdrawal if drift.is_in_place => {
                    let undo = "to take it back, set the former value in spec.desired of the record";
                    self.answer(
                        drift,
                        &format!("the accepted value is in the record, so nothing is left to withdraw; {undo}"),
                    );
                    continue;
                }
                LateDecision::Withdrawal => {
                    self.answer(
                        drift,
                        &format!("this drift is resolved already, as {phase}; nothing is left to withdraw"),
                    );
                    continue;
                }
                LateDecision::Reason => {
                    let kept = "status.because keeps the reason that the decision had";
                    self.answer(drift, &format!("this drift is resolved already, as {phase}; {kept}"));
                    continue;
                }
            }
            let mut of_field = drifts.iter().filter(|other| other.field == drift.field);
            let next = match of_field.find(|other| other.is_open() || other.standing.is_some()) {
                Some(other) if other.is_open() => format!("decide Drift {} instead", other.name),
                Some(other) => format!("the acceptance of Drift {} stands", other.name),
                None => "nothing is left to decide".to_owned(),
            };
            self.answer(drift, &format!("this drift is resolved already, as {phase}; {next}"));
        }
    }

    /// Shows the reason of waiting decisions on a record that is not reconciled.
    fn rest(&mut self, rests: Inactive<'_>, drifts: &[KnownDrift]) -> Situation {
        let open = drifts.iter().filter(|drift| drift.is_open());
        match rests {
            Inactive::Deleting => {
                // A saga that runs is undone: its steps cannot read the record any more.
                let decided = open.filter(|drift| drift.is_decided() && !self.followed.contains(&drift.name));
                for drift in decided.collect::<Vec<_>>() {
                    self.refuse(drift, "the record of this drift is being deleted".to_owned());
                }
                Situation::Deleting
            }
            Inactive::Suspended => {
                // A running saga is not stopped.
                open.filter(|drift| drift.reverting.is_none())
                    .for_each(|drift| self.wait(drift, "the record is suspended"));
                self.answer_standing(drifts);
                Situation::Suspended
            }
            Inactive::Duplicate(older) => {
                open.filter(|drift| drift.reverting.is_none())
                    .for_each(|drift| self.wait(drift, "an older record exists for the same resource"));
                self.answer_standing(drifts);
                Situation::Duplicate(older.to_owned())
            }
        }
    }

    /// A decision about a standing acceptance needs no live resource.
    fn answer_standing(&mut self, drifts: &[KnownDrift]) {
        for drift in drifts.iter().filter(|drift| drift.standing.is_some()) {
            if drift.accept.is_none() {
                self.end(&drift.name, Ending::Withdrawn);
            } else {
                self.keep_to_decision(drift);
            }
        }
    }

    /// Decides about one open drift.
    fn follow(
        &mut self,
        drift: &KnownDrift,
        recorded: &Recorded<'_>,
        effective: &Recorded<'_>,
        finding: Option<&Finding>,
    ) {
        if drift.is_decided() {
            if drift.deleting {
                return self.refuse(drift, "this Drift is being deleted; nothing is left to decide".to_owned());
            }
            let decision = match Decision::of(drift) {
                Ok(decision) => decision,
                Err(why) => return self.refuse(drift, why),
            };
            match self.reading {
                ReadSource::Fresh { before, .. } if before.contains(drift) => match decision.choice {
                    DecisionChoice::Accept(value) => self.decide(drift, value, recorded, finding),
                    DecisionChoice::Revert(asked) => {
                        self.decide_revert(drift, (decision.origin, asked), effective, finding);
                    }
                },
                ReadSource::Failed { .. } => self.wait(drift, "the live resource could not be read just now"),
                // After a fresh read, for a decision that was made during the read.
                ReadSource::Inventory { .. } | ReadSource::Fresh { .. } => self.need(NeedsFreshRead::Decision),
            }
            return;
        }
        self.stop_waiting(drift);
        match finding {
            None if is_ignored(recorded, &drift.field) => self.close(drift, Closing::Ignored),
            None => self.close(drift, Closing::NoLongerRecorded),
            Some(Finding::Moot) => self.close(drift, Closing::ResourceGone),
            Some(Finding::Differs { expected, .. }) if !shows(&drift.expected, expected) => {
                self.close(drift, Closing::DesiredChanged);
            }
            Some(Finding::Matches) if !shows(&drift.expected, &self.in_effect(drift, recorded)) => {
                self.close(drift, Closing::DesiredChanged);
            }
            Some(Finding::Matches) => {
                if self.is_confirmed() {
                    self.close(drift, Closing::LiveReturned);
                }
            }
            Some(Finding::Differs { live, shown, .. }) if !shows(&drift.actual, live) => {
                if self.is_confirmed() {
                    self.relabel(drift, &shown.actual);
                    self.writes.push(PlannedWrite::Refresh { drift: drift.name.clone(), shown: shown.clone() });
                    self.reassess(drift, shown);
                }
            }
            Some(Finding::Differs { shown, .. }) => {
                self.relabel(drift, &drift.actual);
                self.reassess(drift, shown);
            }
            Some(Finding::Unknown(_) | Finding::Invalid(_)) => self.relabel(drift, &drift.actual),
        }
    }

    /// Opens a drift for each differing field without an open one.
    fn open_new(&mut self, findings: &Findings<'_>, drifts: &[KnownDrift]) {
        for (field, finding) in findings {
            let Finding::Differs { shown, .. } = finding else { continue };
            let of_field = || drifts.iter().filter(|drift| drift.field.as_ref() == *field);
            // A field whose value was just adopted is compared again with the new record, in the next pass.
            if self.adopts(field) || of_field().any(|drift| drift.is_open() && !self.is_closing(drift)) {
                continue;
            }
            if !self.is_confirmed() {
                self.unconfirmed.push((*field).to_owned());
                continue;
            }
            let episode = of_field().map(|drift| drift.episode).max().unwrap_or(0) + 1;
            self.writes.push(PlannedWrite::Open { field: (*field).to_owned(), episode, shown: shown.clone() });
        }
    }

    /// Deletes resolved drifts beyond the limit, oldest first.
    fn prune(&mut self, drifts: &[KnownDrift], history: usize) {
        let mut by_field: BTreeMap<&str, Vec<&KnownDrift>> = BTreeMap::new();
        for drift in drifts.iter().filter(|drift| !drift.is_open() && drift.standing.is_none()) {
            by_field.entry(drift.field.as_ref()).or_default().push(drift);
        }
        for mut resolved in by_field.into_values() {
            resolved.sort_by_key(|drift| drift.episode);
            let excess = resolved.len().saturating_sub(history);
            // A drift that is being deleted waits for the finalizer of another client, and recent reverts are counted.
            let excess = resolved.into_iter().take(excess).filter(|drift| !drift.deleting && !self.is_recent(drift));
            let excess: Vec<_> = excess.map(|drift| PlannedWrite::Prune { drift: drift.name.clone() }).collect();
            self.writes.extend(excess);
        }
    }
}
