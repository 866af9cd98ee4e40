//! Decides what one record's drifts should become. Pure: recorded, live and open drifts in, a plan out.
//!
//! The plan is a list of steps, each one write to the API server, in an order in which a crash between any two of
//! them loses nothing: the next evaluation finds what was done and goes on.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

mod reverting;

use self::reverting::Decision;
pub use self::reverting::Order;
pub(crate) use super::finding::{Finding, compare};
use super::{
    finding::{Findings, assess},
    known::{KnownDrift, Marks},
    merge_patch,
    ownership::{self, Declared},
    reverts::RevertSaga,
    shown::{Shown, brief},
    standing,
};
use crate::{
    api::{AcceptPolicy, AcceptanceMode, DriftPhase, annotations, conditions::reason},
    comparison::{
        NoRules, is_same, secret,
        show::{full, read as read_shown, stands_for as shows},
    },
    digitalocean::{
        Live,
        revert::{self, Allow, SelectedTags},
    },
};

/// The longest message of a condition that this module writes.
const LONGEST_MESSAGE: usize = 4096;

/// The field under which the loss of a whole resource is reported.
pub const EXISTS: &str = "exists";

/// A record, as far as a verdict needs it.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// Its name.
    pub name: &'a str,
    /// The expected value of each field.
    pub desired: &'a BTreeMap<String, Value>,
    /// Fields that are not compared.
    pub ignore: &'a BTreeSet<Box<str>>,
    /// Why nothing may be done, if so.
    pub rests: Option<Rests<'a>>,
    /// The live resource was seen before.
    pub was_seen: bool,
    /// Which drifts were adopted last.
    pub last_accepted: Marks,
    /// The place of accepted values.
    pub accept: AcceptPolicy,
    /// The fields that a manifest declares.
    pub declared: &'a Declared,
    /// The sagas that revert its drifts.
    pub reverts: &'a [RevertSaga],
    /// The controller that owns the resource, as far as a revert needs it.
    pub owner: Owner<'a>,
    /// The tags by which other resources select.
    pub selected: Selected<'a>,
    /// The time of this evaluation.
    pub now: Timestamp,
}

/// Reads the tags by which other resources select. Only a field that differs needs them.
#[derive(Clone, Copy)]
pub struct Selected<'a>(pub &'a dyn Fn() -> Arc<SelectedTags>);

impl fmt::Debug for Selected<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Selected")
    }
}

/// Another controller that may own a live resource, and would change it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// There is none.
    Nobody,
    /// This one.
    Controller(&'a str),
    /// It could not be read; why.
    Unknown(&'a str),
}

/// Why nothing may be done about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rests<'a> {
    /// It is being deleted.
    Deleting,
    /// `spec.suspend` is true.
    Suspended,
    /// An older record, named, stands for the same resource.
    Duplicate(&'a str),
}

/// What is known of the live resource.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Nothing that a verdict may rest on; why, as (reason, message).
    Unknown(&'static str, &'a str),
    /// The provider said twice that it does not exist.
    Gone,
    /// Its document.
    Present(&'a Live),
}

/// The live resource, and how it was read.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// What is known.
    pub seen: Seen<'a>,
    /// How it was read.
    pub reading: Reading<'a>,
}

/// How the live resource was read.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// From the inventory. One list alone, unconfirmed, may lag behind: no drift opens on it.
    Inventory {
        /// A second read showed the same.
        is_confirmed: bool,
    },
    /// By a request of its own, for the sake of this evaluation.
    Fresh {
        /// The drifts that were known when the request began. Decisions on them are carried out.
        before: &'a [KnownDrift],
    },
    /// The request failed: what is known is from the inventory.
    Failed {
        /// A second read showed the same.
        is_confirmed: bool,
    },
}

impl Reading<'_> {
    const fn is_confirmed(&self) -> bool {
        match self {
            Self::Inventory { is_confirmed } | Self::Failed { is_confirmed } => *is_confirmed,
            Self::Fresh { .. } => true,
        }
    }
}

/// Why a plan needs the live resource to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeedsFreshRead {
    /// One list alone shows a change.
    Change,
    /// A decision binds to the live value of now.
    Decision,
}

/// A live value that becomes the desired one.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The name of the drift that was accepted.
    pub drift: Box<str>,
    /// The field.
    pub field: String,
    /// The live value.
    pub value: Value,
    /// The accepted value, as the drift shows it.
    pub accepted: Accepted,
}

/// An accepted value and the one that it replaces. Credentials are fingerprints.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The accepted value.
    pub value: Value,
    /// The value that the record declared.
    pub declared: Value,
}

/// One write to the API server; several only where it is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create a Drift.
    Open {
        /// The field that diverged.
        field: String,
        /// Its number among the drifts of that field.
        episode: i64,
        /// Both values and their differences.
        shown: Box<Shown>,
    },
    /// First write of a refresh: the label of the change follows the live value. A crash before the second leaves a
    /// label that selects a drift whose decision is then refused, never one that accepts another value.
    Relabel {
        /// The drift's name.
        drift: Box<str>,
        /// The value of the label.
        change: String,
    },
    /// The live value of an open drift moved on.
    Refresh {
        /// The drift's name.
        drift: Box<str>,
        /// Both values and their differences.
        shown: Box<Shown>,
    },
    /// First write of all accepts: the live values become the desired ones, and the record remembers which drifts they
    /// were. One write, unless the API server refuses a value: then the others are written without it.
    Adopt {
        /// The accepted drifts.
        adoptions: Vec<Adoption>,
        /// The drifts that the record remembers already and that are still open.
        in_doubt: Marks,
    },
    /// The drift is over.
    Close {
        /// The drift's name.
        drift: Box<str>,
        /// Accepted or Stale.
        phase: DriftPhase,
        /// One of [`reason`].
        reason: &'static str,
        /// The value that was accepted in place, if one was.
        accepted: Option<Box<Accepted>>,
    },
    /// The only write of an acceptance that stands on its drift: the record is not written to.
    Stand {
        /// The drift's name.
        drift: Box<str>,
        /// The accepted value and the declared one.
        accepted: Box<Accepted>,
        /// When it ends by itself.
        until: Option<Timestamp>,
        /// The merge patch for the manifest, unless it would show a credential.
        patch: Option<Box<Value>>,
    },
    /// First write of a revert: the saga that puts the live value back.
    Revert {
        /// The drift's name.
        drift: Box<str>,
        /// The saga.
        saga: Box<Order>,
    },
    /// Second write of a revert: the drift names the saga.
    Follow {
        /// The drift's name.
        drift: Box<str>,
        /// The name of the saga.
        saga: Box<str>,
        /// For people, if the saga needs a person.
        stuck: Option<String>,
    },
    /// The saga ended, and the live value is not the desired one.
    FailRevert {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// First write of an answer to `arcadia.cloud/revert=plan`: the drift shows the plan.
    ShowPlan {
        /// The drift's name.
        drift: Box<str>,
        /// The plan.
        plan: Box<revert::Plan>,
        /// The value of the annotation that the revert needs.
        needs: Allow,
    },
    /// An acceptance stands no more.
    End {
        /// The drift's name.
        drift: Box<str>,
        /// One of [`reason`].
        reason: &'static str,
    },
    /// The end of an acceptance that stands was changed.
    Reschedule {
        /// The drift's name.
        drift: Box<str>,
        /// When it ends by itself now.
        until: Option<Timestamp>,
    },
    /// Second write of an answer about an acceptance that stands: the annotations say again what was decided.
    RestoreDecision {
        /// The drift's name.
        drift: Box<str>,
    },
    /// First write of a refusal: the drift says why.
    Refuse {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// The drift says why its decision waits.
    Wait {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// The decision that waited was taken back: the drift says again that it awaits one.
    Await {
        /// The drift's name.
        drift: Box<str>,
    },
    /// First write about a decision on a resolved drift: the drift says why nothing comes of it.
    Answer {
        /// The drift's name.
        drift: Box<str>,
        /// For the person who decided.
        message: String,
    },
    /// Second write of a refusal or an answer: the annotation goes, so that it is not read again as a decision on what
    /// the drift shows next.
    DropDecision {
        /// The drift's name.
        drift: Box<str>,
    },
    /// Delete a resolved drift beyond the history limit.
    Prune {
        /// The drift's name.
        drift: Box<str>,
    },
}

impl Step {
    /// The drift that it writes, if that exists already and is one.
    #[must_use]
    pub fn drift(&self) -> Option<&str> {
        match self {
            Self::Open { .. } | Self::Adopt { .. } => None,
            Self::Relabel { drift, .. }
            | Self::Refresh { drift, .. }
            | Self::Close { drift, .. }
            | Self::Stand { drift, .. }
            | Self::End { drift, .. }
            | Self::Revert { drift, .. }
            | Self::Follow { drift, .. }
            | Self::FailRevert { drift, .. }
            | Self::ShowPlan { drift, .. }
            | Self::Reschedule { drift, .. }
            | Self::RestoreDecision { drift }
            | Self::Refuse { drift, .. }
            | Self::Wait { drift, .. }
            | Self::Await { drift }
            | Self::Answer { drift, .. }
            | Self::DropDecision { drift }
            | Self::Prune { drift } => Some(drift),
        }
    }
}

/// What an evaluation comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Writes, in order. None when nothing is new.
    pub steps: Vec<Step>,
    /// What is not in the steps because the live resource has to be read anew first.
    pub needs_fresh_read: Option<NeedsFreshRead>,
    /// What the record's status should say once no step is left.
    pub situation: Situation,
    /// When the next acceptance ends by itself.
    pub next_end: Option<Timestamp>,
}

/// What is so about a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Situation {
    /// It is to be left alone.
    Suspended,
    /// It is being deleted.
    Deleting,
    /// An older record (named) stands for the same resource.
    Duplicate(String),
    /// Nothing is known, as (reason, message).
    Unknown(&'static str, String),
    /// The saga (named) reverts one of its fields: nothing is concluded from what is live meanwhile.
    Reverting(String),
    /// The resource does not exist, and was never seen.
    NeverSeen,
    /// It was compared.
    Compared(Compared),
}

impl Situation {
    /// Adds writes that the API server refused, each said for a person.
    pub fn refuse(&mut self, messages: Vec<String>) {
        if let Self::Compared(compared) = self {
            compared.refused.extend(messages);
        }
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Compared {
    /// The resource does not exist (any more).
    pub gone: bool,
    /// How many fields could be compared.
    pub compared: usize,
    /// Why fields cannot be told at the moment, each said for a person.
    pub unknown: Vec<String>,
    /// What is wrong with recorded fields, each said for a person.
    pub invalid: Vec<String>,
    /// Fields that differ in one list and that no second read has confirmed yet.
    pub unconfirmed: Vec<String>,
    /// Fields that are ignored and not recorded.
    pub ignored_unrecorded: Vec<String>,
    /// Writes that the API server refused, each said for a person.
    pub refused: Vec<String>,
}

/// Decides what the drifts of one record should become. `history` is how many resolved drifts are kept per field.
#[must_use]
pub fn evaluate(recorded: &Recorded<'_>, observed: Observed<'_>, drifts: &[KnownDrift], history: usize) -> Plan {
    let mut planner = Planner::new(observed, recorded.now);
    planner.reverted = drifts.iter().filter_map(|drift| Some((drift.field.clone(), drift.reverted_at?))).collect();
    planner.answer_late(drifts);
    if let Some(rests) = recorded.rests {
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
                // Not the message: it may name another failure each time.
                planner.wait(drift, &format!("nothing is known of the live resource at the moment ({reason})"));
            }
            Situation::Unknown(reason, message.to_owned())
        }
        Ok(findings) => {
            for drift in open() {
                planner.follow(drift, recorded, &effective, findings.get(drift.field.as_ref()));
            }
            planner.adopt();
            planner.open_new(&findings, drifts);
            let ignored_unrecorded = recorded.ignore.iter().filter(|field| !is_comparable(recorded, field));
            Situation::Compared(Compared {
                ignored_unrecorded: ignored_unrecorded.map(ToString::to_string).collect(),
                unconfirmed: std::mem::take(&mut planner.unconfirmed),
                ..summarise(observed.seen, &findings)
            })
        }
    };
    planner.prune(drifts, history);
    planner.plan(situation)
}

/// What becomes of the drifts of a record that does not exist any more.
#[must_use]
pub fn orphaned(drifts: &[KnownDrift]) -> Vec<Step> {
    let seen = Seen::Unknown(reason::RECORD_GONE, "");
    let observed = Observed { seen, reading: Reading::Inventory { is_confirmed: false } };
    let mut planner = Planner::new(observed, Timestamp::UNIX_EPOCH);
    for drift in drifts {
        if drift.is_open() {
            planner.close(drift, DriftPhase::Stale, reason::RECORD_GONE);
        }
        if drift.standing.is_some() {
            planner.end(&drift.name, reason::RECORD_GONE);
        }
        if drift.has_late_decision() || (drift.is_open() && drift.is_decided()) {
            planner.answer(drift, "the record of this drift is gone; nothing is left to decide");
        }
    }
    planner.steps
}

/// The first write of its accept was made, and perhaps the second was lost.
fn was_adopted(recorded: &Recorded<'_>, drift: &KnownDrift) -> bool {
    drift.is_open() && recorded.last_accepted.hold(drift)
}

/// Compares every recorded field. An error is the reason why nothing can be compared.
fn find<'a>(recorded: &Recorded<'a>, seen: Seen<'a>) -> Result<Findings<'a>, (&'static str, &'a str)> {
    let live = match seen {
        Seen::Unknown(reason, message) => return Err((reason, message)),
        Seen::Gone => None,
        Seen::Present(live) => Some(live),
    };
    let should_exist = recorded.desired.get(EXISTS).cloned().unwrap_or(Value::Bool(true));
    let does_exist = Value::Bool(live.is_some());
    let exists = if is_same(&NoRules, &[], &should_exist, &does_exist) {
        Finding::matches(should_exist, does_exist)
    } else {
        Finding::differs(should_exist, does_exist)
    };
    let compared = live.filter(|_| matches!(exists, Finding::Matches { .. }));
    let fields = recorded.desired.iter().filter(|(field, _)| !is_ignored(recorded, field) && *field != EXISTS);
    let mut findings: Findings<'a> = fields
        .map(|(field, expected)| {
            let of_live = |live| assess(compare(live, field, expected), live, field, expected, recorded.selected.0);
            (field.as_str(), compared.map_or(Finding::Moot, of_live))
        })
        .collect();
    if !is_ignored(recorded, EXISTS) {
        findings.insert(EXISTS, exists);
    }
    Ok(findings)
}

fn is_ignored(recorded: &Recorded<'_>, field: &str) -> bool {
    recorded.ignore.contains(field)
}

fn is_comparable(recorded: &Recorded<'_>, field: &str) -> bool {
    field == EXISTS || recorded.desired.contains_key(field)
}

fn summarise(seen: Seen<'_>, findings: &Findings<'_>) -> Compared {
    let mut summary = Compared { gone: matches!(seen, Seen::Gone), ..Compared::default() };
    for (field, finding) in findings {
        match finding {
            Finding::Matches { .. } => summary.compared += usize::from(*field != EXISTS),
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

struct Planner<'a> {
    steps: Vec<Step>,
    needs_fresh_read: Option<NeedsFreshRead>,
    reading: Reading<'a>,
    live: Option<&'a Live>,
    next_end: Option<Timestamp>,
    now: Timestamp,
    /// The accepted values in effect, by field.
    accepted: BTreeMap<String, Value>,
    /// The drifts whose revert has its steps already.
    followed: BTreeSet<Box<str>>,
    /// Earlier reverts, by field.
    reverted: Vec<(Box<str>, Timestamp)>,
    in_doubt: Marks,
    adoptions: Vec<Adoption>,
    unconfirmed: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(observed: Observed<'a>, now: Timestamp) -> Self {
        let live = if let Seen::Present(live) = observed.seen { Some(live) } else { None };
        Self {
            steps: Vec::new(),
            needs_fresh_read: None,
            reading: observed.reading,
            live,
            next_end: None,
            now,
            accepted: BTreeMap::new(),
            followed: BTreeSet::new(),
            reverted: Vec::new(),
            in_doubt: Marks::default(),
            adoptions: Vec::new(),
            unconfirmed: Vec::new(),
        }
    }

    fn plan(self, situation: Situation) -> Plan {
        Plan { steps: self.steps, needs_fresh_read: self.needs_fresh_read, situation, next_end: self.next_end }
    }

    /// Ends the acceptances that stand no more. Returns the desired values in effect.
    fn settle_standing<'r>(
        &mut self,
        recorded: &Recorded<'r>,
        seen: Seen<'_>,
        drifts: &[KnownDrift],
    ) -> Cow<'r, BTreeMap<String, Value>> {
        let settled = standing::settle(recorded, seen, self.reading.is_confirmed(), drifts);
        if !settled.unconfirmed.is_empty() {
            self.need(NeedsFreshRead::Change);
        }
        self.next_end = settled.next_end;
        let stands = |drift: &&KnownDrift| !settled.ended.iter().any(|(name, _)| *name == drift.name);
        drifts.iter().filter(stands).for_each(|drift| self.keep_to_decision(drift));
        for (drift, reason) in &settled.ended {
            self.end(drift, reason);
        }
        self.accepted = settled.in_effect;
        standing::effective(recorded.desired, &self.accepted)
    }

    /// The annotations of an acceptance that stands may have been changed: its end may move, and its value may not.
    fn keep_to_decision(&mut self, drift: &KnownDrift) {
        let (Some(standing), Some(decision)) = (&drift.standing, &drift.accept) else { return };
        if drift.revert.is_some() {
            let message = "the acceptance of this Drift stands; to revert the field, remove the annotation \
                           arcadia.cloud/accept, and revert the Drift that opens then";
            return self.restore(drift, message);
        }
        let is_same_decision = decision.as_ref() == "true"
            || drift.decision.as_ref() == Some(decision)
            || shows(decision, &standing.accepted());
        if !is_same_decision {
            let message = "the acceptance stands; to accept another value, remove the annotation arcadia.cloud/accept \
                           from this Drift and decide the Drift that opens then";
            return self.restore(drift, message);
        }
        if drift.accept_until == standing.until_requested {
            return;
        }
        match drift.accept_until.as_deref().map(|text| standing::end_from(text, self.now)).transpose() {
            Ok(until) => self.steps.push(Step::Reschedule { drift: drift.name.clone(), until }),
            Err(why) => self.restore(drift, &format!("{} {why}", annotations::ACCEPT_UNTIL)),
        }
    }

    fn restore(&mut self, drift: &KnownDrift, message: &str) {
        self.steps.push(Step::Answer { drift: drift.name.clone(), message: message.to_owned() });
        self.steps.push(Step::RestoreDecision { drift: drift.name.clone() });
    }

    fn end(&mut self, drift: &str, reason: &'static str) {
        self.steps.push(Step::End { drift: drift.into(), reason });
    }

    /// Why nothing comes of decisions on resolved drifts.
    fn answer_late(&mut self, drifts: &[KnownDrift]) {
        for drift in drifts.iter().filter(|drift| drift.has_late_decision()) {
            let phase = drift.phase.name();
            self.answer(drift, &format!("this drift is resolved already, as {phase}; nothing is left to decide"));
        }
    }

    /// A record that is left alone still says why its decisions wait.
    fn rest(&mut self, rests: Rests<'_>, drifts: &[KnownDrift]) -> Situation {
        let open = drifts.iter().filter(|drift| drift.is_open());
        match rests {
            Rests::Deleting => {
                for drift in open.filter(|drift| drift.is_decided()) {
                    self.refuse(drift, "the record of this drift is being deleted".to_owned());
                }
                Situation::Deleting
            }
            Rests::Suspended => {
                // A saga that runs is not stopped.
                open.filter(|drift| drift.reverting.is_none())
                    .for_each(|drift| self.wait(drift, "the record is suspended"));
                Situation::Suspended
            }
            Rests::Duplicate(older) => {
                open.for_each(|drift| self.wait(drift, "an older record stands for the same resource"));
                Situation::Duplicate(older.to_owned())
            }
        }
    }

    /// What becomes of one open drift.
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
                Reading::Fresh { before } if before.contains(drift) => match decision {
                    Decision::Accept(value) => self.decide(drift, value, recorded, finding),
                    Decision::Revert(asked) => self.decide_revert(drift, asked, effective, finding),
                },
                Reading::Failed { .. } => self.wait(drift, "the live resource could not be read just now"),
                // After a fresh read, for a decision that came while the resource was read.
                Reading::Inventory { .. } | Reading::Fresh { .. } => self.need(NeedsFreshRead::Decision),
            }
            return;
        }
        self.stop_waiting(drift);
        match finding {
            None if is_ignored(recorded, &drift.field) => self.close(drift, DriftPhase::Stale, reason::IGNORED),
            None => self.close(drift, DriftPhase::Stale, reason::NO_LONGER_RECORDED),
            Some(Finding::Moot) => self.close(drift, DriftPhase::Stale, reason::RESOURCE_GONE),
            Some(Finding::Matches { expected, .. } | Finding::Differs { expected, .. })
                if !shows(&drift.expected, expected) =>
            {
                self.close(drift, DriftPhase::Stale, reason::DESIRED_CHANGED);
            }
            Some(Finding::Matches { .. }) => {
                if self.is_confirmed() {
                    self.close(drift, DriftPhase::Stale, reason::LIVE_RETURNED);
                }
            }
            Some(Finding::Differs { live, shown, .. }) if !shows(&drift.actual, live) => {
                if self.is_confirmed() {
                    self.relabel(drift, &shown.actual);
                    self.steps.push(Step::Refresh { drift: drift.name.clone(), shown: shown.clone() });
                }
            }
            Some(Finding::Differs { .. } | Finding::Unknown(_) | Finding::Invalid(_)) => {
                self.relabel(drift, &drift.actual);
            }
        }
    }

    /// The label of the change is for what the drift shows (next).
    fn relabel(&mut self, drift: &KnownDrift, actual: &str) {
        let change = drift.change_to(actual);
        if drift.change.as_deref() != Some(change.as_str()) {
            self.steps.push(Step::Relabel { drift: drift.name.clone(), change });
        }
    }

    /// Whether a change may be acted on. Where not, a fresh read is due.
    fn is_confirmed(&mut self) -> bool {
        let is_confirmed = self.reading.is_confirmed();
        if !is_confirmed {
            self.need(NeedsFreshRead::Change);
        }
        is_confirmed
    }

    fn need(&mut self, read: NeedsFreshRead) {
        self.needs_fresh_read = self.needs_fresh_read.max(Some(read));
    }

    /// Carries out, or refuses, the decision to accept. It binds to what the person saw.
    fn decide(&mut self, drift: &KnownDrift, decision: &str, recorded: &Recorded<'_>, finding: Option<&Finding>) {
        let demanded = if decision == "true" { drift.actual.as_ref() } else { decision };
        match finding {
            Some(Finding::Differs { expected, live, adopted, shown, .. }) => {
                if !shows(&drift.expected, expected) {
                    let (was, is) = (beside(&drift.expected, expected), brief(&shown.expected));
                    self.refuse(
                        drift,
                        format!("the desired value is now {is}, no longer {was}; look again and decide anew"),
                    );
                } else if shows(demanded, live) {
                    self.accept(drift, recorded, live, adopted);
                } else {
                    let (is, demanded) = (brief(&shown.actual), beside(demanded, live));
                    self.refuse(drift, format!("the live value is {is}, not {demanded}; look again and decide anew"));
                }
            }
            // Somebody made the live value the desired one already.
            Some(Finding::Matches { expected, live }) if shows(demanded, live) || shows(demanded, expected) => {
                self.close_adopted(drift, recorded);
            }
            Some(Finding::Matches { live, .. }) => {
                let (is, demanded) = (brief(&full(live)), beside(demanded, live));
                self.refuse(
                    drift,
                    format!("the live value is {is} as desired, not {demanded}; nothing is left to accept"),
                );
            }
            Some(Finding::Moot) => {
                self.refuse(drift, "the resource itself is the question now; see its drift on exists".to_owned());
            }
            None => self.refuse(drift, "the field is no longer compared; nothing is left to accept".to_owned()),
            Some(Finding::Unknown(why) | Finding::Invalid(why)) => self.wait(drift, why),
        }
    }

    /// The live value becomes the desired one: in the record where nobody else declares it, else on the drift.
    fn accept(&mut self, drift: &KnownDrift, recorded: &Recorded<'_>, live: &Value, adopted: &Value) {
        let until = drift.accept_until.as_deref().map(|text| standing::end_from(text, recorded.now)).transpose();
        let until = match until {
            Ok(until) => until,
            Err(why) => return self.refuse(drift, format!("{} {why}", annotations::ACCEPT_UNTIL)),
        };
        let declared = standing::declared(recorded.desired, &drift.field).unwrap_or_default();
        let accepted = Accepted { value: live.clone(), declared: self.hide(drift, &declared) };
        match ownership::mode(recorded.accept, recorded.declared, &drift.field, until.is_some()) {
            Some(AcceptanceMode::InPlace) => self.adoptions.push(Adoption {
                drift: drift.name.clone(),
                field: drift.field.to_string(),
                value: adopted.clone(),
                accepted,
            }),
            Some(AcceptanceMode::Standing) => {
                let patch = merge_patch::between(&declared, adopted);
                let is_shown = self.hide(drift, &patch) == patch;
                let patch = json!({ "spec": { "desired": { drift.field.as_ref(): patch } } });
                self.steps.push(Step::Stand {
                    drift: drift.name.clone(),
                    accepted: Box::new(accepted),
                    until,
                    patch: is_shown.then(|| Box::new(patch)),
                });
            }
            None => self.refuse(
                drift,
                format!(
                    "spec.drift.accept of the record is InPlace, so an acceptance cannot end by itself; remove {}, or set \
                     spec.drift.accept to Auto",
                    annotations::ACCEPT_UNTIL
                ),
            ),
        }
    }

    /// A value of a drift's field with fingerprints in place of credentials.
    fn hide(&self, drift: &KnownDrift, value: &Value) -> Value {
        self.live.map_or_else(|| secret::hide_unknown(value), |live| live.hide(&drift.field, value))
    }

    /// The record says the accepted value already.
    fn close_adopted(&mut self, drift: &KnownDrift, recorded: &Recorded<'_>) {
        // Without the live document nothing tells where credentials stand.
        let value =
            self.live.and_then(|live| Some(live.hide(&drift.field, recorded.desired.get(drift.field.as_ref())?)));
        let accepted = value.map(|value| Box::new(Accepted { value, declared: read_shown(&drift.expected) }));
        let (drift, phase, reason) = (drift.name.clone(), DriftPhase::Accepted, reason::ACCEPTED);
        self.steps.push(Step::Close { drift, phase, reason, accepted });
    }

    /// All accepted values in one write, and then the end of each drift.
    fn adopt(&mut self) {
        if self.adoptions.is_empty() {
            return;
        }
        let closings: Vec<_> = self
            .adoptions
            .iter()
            .map(|adoption| Step::Close {
                drift: adoption.drift.clone(),
                phase: DriftPhase::Accepted,
                reason: reason::ACCEPTED,
                accepted: Some(Box::new(adoption.accepted.clone())),
            })
            .collect();
        self.steps.push(Step::Adopt { adoptions: self.adoptions.clone(), in_doubt: self.in_doubt.clone() });
        self.steps.extend(closings);
    }

    /// Says, once, why a decision waits.
    fn wait(&mut self, drift: &KnownDrift, why: &str) {
        if !drift.is_decided() {
            return self.stop_waiting(drift);
        }
        let message = waiting(why);
        if drift.waits.as_deref() != Some(message.as_str()) {
            self.steps.push(Step::Wait { drift: drift.name.clone(), message });
        }
    }

    fn stop_waiting(&mut self, drift: &KnownDrift) {
        if !drift.is_decided() && drift.waits.is_some() {
            self.steps.push(Step::Await { drift: drift.name.clone() });
        }
    }

    fn refuse(&mut self, drift: &KnownDrift, message: String) {
        self.steps.push(Step::Refuse { drift: drift.name.clone(), message });
        self.steps.push(Step::DropDecision { drift: drift.name.clone() });
    }

    fn answer(&mut self, drift: &KnownDrift, message: &str) {
        self.steps.push(Step::Answer { drift: drift.name.clone(), message: message.to_owned() });
        self.steps.push(Step::DropDecision { drift: drift.name.clone() });
    }

    fn close(&mut self, drift: &KnownDrift, phase: DriftPhase, reason: &'static str) {
        self.steps.push(Step::Close { drift: drift.name.clone(), phase, reason, accepted: None });
    }

    fn adopts(&self, field: &str) -> bool {
        self.adoptions.iter().any(|adoption| adoption.field == field)
    }

    fn is_closing(&self, drift: &KnownDrift) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Close { drift: name, .. } if *name == drift.name))
    }

    /// A drift for each diverging field that has none open.
    fn open_new(&mut self, findings: &Findings<'_>, drifts: &[KnownDrift]) {
        for (field, finding) in findings {
            let Finding::Differs { shown, .. } = finding else { continue };
            let of_field = || drifts.iter().filter(|drift| drift.field.as_ref() == *field);
            // A field whose value was just adopted is compared anew with the new record, in the next pass.
            if self.adopts(field) || of_field().any(|drift| drift.is_open() && !self.is_closing(drift)) {
                continue;
            }
            if !self.is_confirmed() {
                self.unconfirmed.push((*field).to_owned());
                continue;
            }
            let episode = of_field().map(|drift| drift.episode).max().unwrap_or(0) + 1;
            self.steps.push(Step::Open { field: (*field).to_owned(), episode, shown: shown.clone() });
        }
    }

    /// Resolved drifts beyond the limit go, oldest first.
    fn prune(&mut self, drifts: &[KnownDrift], history: usize) {
        let mut by_field: BTreeMap<&str, Vec<&KnownDrift>> = BTreeMap::new();
        for drift in drifts.iter().filter(|drift| !drift.is_open() && drift.standing.is_none()) {
            by_field.entry(drift.field.as_ref()).or_default().push(drift);
        }
        for mut resolved in by_field.into_values() {
            resolved.sort_by_key(|drift| drift.episode);
            let excess = resolved.len().saturating_sub(history);
            // One that is being deleted waits for the finalizer of another client.
            let excess = resolved.into_iter().take(excess).filter(|drift| !drift.deleting);
            self.steps.extend(excess.map(|drift| Step::Prune { drift: drift.name.clone() }));
        }
    }
}

/// The message of a decision that waits.
pub(crate) fn waiting(why: &str) -> String {
    let mut message = format!("decided, and carried out once that can be done safely: {why}");
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|&end| message.is_char_boundary(end)).unwrap_or_default();
        message.truncate(end);
    }
    message
}

/// A text that a person or an earlier version wrote, in short form; hidden where the value that it stands beside is.
fn beside(text: &str, shown: &Value) -> String {
    if secret::is_hidden(shown) { secret::fingerprint(&text.into()) } else { brief(&secret::hide_text(text)) }
}
