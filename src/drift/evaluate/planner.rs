//! The plan under construction: every part of an evaluation adds to it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    api::{annotations, drift::EXISTS},
    comparison::secret,
    digitalocean::Live,
    drift::{
        known::{KnownDrift, LastAccepted},
        observed::{NeedsFreshRead, Observed, ReadSource, Recorded, Seen},
        plan::{Adoption, Closing, DriftPlan, Ending, PlannedWrite, Situation, waiting},
        shown::Shown,
        standing,
    },
};

pub(super) struct Planner<'a> {
    pub(super) writes: Vec<PlannedWrite>,
    pub(super) needs_fresh_read: Option<NeedsFreshRead>,
    pub(super) reading: ReadSource<'a>,
    pub(super) awaits_list: bool,
    pub(super) live: Option<&'a Live>,
    pub(super) next_end: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// The accepted values in effect, by field.
    pub(super) accepted: BTreeMap<String, Value>,
    /// The drifts whose revert already has its steps.
    pub(super) followed: BTreeSet<Box<str>>,
    /// Earlier reverts, by field.
    pub(super) reverted: Vec<(Box<str>, Timestamp)>,
    pub(super) in_doubt: LastAccepted,
    pub(super) adoptions: Vec<Adoption>,
    pub(super) unconfirmed: Vec<String>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(observed: Observed<'a>, now: Timestamp) -> Self {
        let live = if let Seen::Present(live) = observed.seen { Some(live) } else { None };
        Self {
            writes: Vec::new(),
            needs_fresh_read: None,
            reading: observed.reading,
            awaits_list: false,
            live,
            next_end: None,
            now,
            accepted: BTreeMap::new(),
            followed: BTreeSet::new(),
            reverted: Vec::new(),
            in_doubt: LastAccepted::default(),
            adoptions: Vec::new(),
            unconfirmed: Vec::new(),
        }
    }

    pub(super) fn plan(self, situation: Situation) -> DriftPlan {
        DriftPlan {
            writes: self.writes,
            needs_fresh_read: self.needs_fresh_read,
            awaits_list: self.awaits_list,
            situation,
            next_end: self.next_end,
        }
    }

    pub(super) fn end(&mut self, drift: &str, why: Ending) {
        self.writes.push(PlannedWrite::End { drift: drift.into(), why });
    }

    /// Sets the label of the change to the shown (next) value.
    pub(super) fn relabel(&mut self, drift: &KnownDrift, actual: &str) {
        let change = drift.change_to(actual);
        if drift.change.as_deref() != Some(change.as_str()) {
            self.writes.push(PlannedWrite::Relabel { drift: drift.name.clone(), change });
        }
    }

    /// Updates the shown class and effect of the revert. The class is lowered only if every fact that could raise it is
    /// known.
    pub(super) fn reassess(&mut self, drift: &KnownDrift, shown: &Shown) {
        let Some(revert) = &shown.revert else { return };
        // Earlier versions did not write it, and the definition of an earlier version would drop it each time.
        let Some(class) = drift.class else { return };
        let is_other = match revert.class.cmp(&class) {
            Ordering::Less => !revert.may_rise,
            Ordering::Equal => !revert.may_rise && revert.why.as_deref() != drift.effect.as_deref(),
            Ordering::Greater => true,
        };
        if is_other && self.is_confirmed() {
            let revert = Box::new(revert.clone());
            self.writes.push(PlannedWrite::Reassess { drift: drift.name.clone(), revert });
        }
    }

    /// Returns true if a change may be acted on. Otherwise a fresh read is due.
    pub(super) fn is_confirmed(&mut self) -> bool {
        let is_confirmed = self.reading.is_confirmed();
        if !is_confirmed {
            self.need(NeedsFreshRead::Change);
        }
        is_confirmed
    }

    pub(super) fn need(&mut self, read: NeedsFreshRead) {
        self.needs_fresh_read = self.needs_fresh_read.max(Some(read));
    }

    /// A value of a drift's field with credentials replaced by fingerprints.
    pub(super) fn hide(&self, drift: &KnownDrift, value: &Value) -> Value {
        self.live.map_or_else(|| secret::hide_unknown(value), |live| live.hide(&drift.field, value))
    }

    /// The desired value of a drift's field in effect, with credentials replaced by fingerprints.
    pub(super) fn in_effect(&self, drift: &KnownDrift, recorded: &Recorded<'_>) -> Value {
        let field = drift.field.as_ref();
        let accepted = self.accepted.get(field).cloned();
        let desired = accepted.or_else(|| standing::declared(recorded.desired, field)).unwrap_or_default();
        if field == EXISTS { desired } else { self.hide(drift, &desired) }
    }

    /// The live value of a drift's field as the drift shows it, if it equals the desired value.
    pub(super) fn live_as_desired(&self, drift: &KnownDrift, recorded: &Recorded<'_>) -> Value {
        if drift.field.as_ref() == EXISTS { self.live.is_some().into() } else { self.in_effect(drift, recorded) }
    }

    /// Shows the reason of a waiting decision once.
    pub(super) fn wait(&mut self, drift: &KnownDrift, why: &str) {
        if drift.is_decided() {
            self.say_waiting(drift, waiting(why));
        } else {
            self.stop_waiting(drift);
        }
    }

    /// Ends the wait if no decision waits, except for an incomplete one.
    pub(super) fn stop_waiting(&mut self, drift: &KnownDrift) {
        let (until, because) = (annotations::ACCEPT_UNTIL, annotations::BECAUSE);
        let (accept, revert) = (annotations::ACCEPT, annotations::REVERT);
        if drift.accept_until.is_some() {
            self.say_waiting(drift, format!("{until} decides nothing by itself; set {accept} too, or remove {until}"));
        } else if drift.because.is_some() {
            let decision = format!("{accept} or {revert}");
            self.say_waiting(
                drift,
                format!("{because} decides nothing by itself; set {decision} too, or remove {because}"),
            );
        } else if drift.waits.is_some() {
            self.writes.push(PlannedWrite::Await { drift: drift.name.clone() });
        }
    }

    fn say_waiting(&mut self, drift: &KnownDrift, message: String) {
        if drift.waits.as_deref() != Some(message.as_str()) {
            self.writes.push(PlannedWrite::Wait { drift: drift.name.clone(), message });
        }
    }

    pub(super) fn refuse(&mut self, drift: &KnownDrift, message: String) {
        self.writes.push(PlannedWrite::Refuse { drift: drift.name.clone(), message });
        self.writes.push(PlannedWrite::DropDecision { drift: drift.name.clone() });
    }

    pub(super) fn answer(&mut self, drift: &KnownDrift, message: &str) {
        self.writes.push(PlannedWrite::Answer { drift: drift.name.clone(), message: message.to_owned() });
        self.writes.push(PlannedWrite::DropDecision { drift: drift.name.clone() });
    }

    pub(super) fn close(&mut self, drift: &KnownDrift, why: Closing) {
        self.writes.push(PlannedWrite::Close { drift: drift.name.clone(), why, accepted: None });
    }

    pub(super) fn adopts(&self, field: &str) -> bool {
        self.adoptions.iter().any(|adoption| adoption.field == field)
    }

    pub(super) fn is_closing(&self, drift: &KnownDrift) -> bool {
        self.writes.iter().any(|step| matches!(step, PlannedWrite::Close { drift: name, .. } if *name == drift.name))
    }
}
