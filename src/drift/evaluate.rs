//! Decides what one record's drifts should become. Pure: recorded, live and open drifts in, a plan out.
//!
//! The plan is a list of steps, each one write to the API server, in an order in which a crash between any two of
//! them loses nothing: the next evaluation finds what was done and goes on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::known::KnownDrift;
use crate::{
    api::{DriftPhase, MAX_VALUE_BYTES, conditions::reason},
    comparison::{
        self, NoRules,
        show::{full as shown, stands_for as shows},
    },
    digitalocean::{Compared, Live},
};

/// The field under which the loss of a whole resource is reported.
pub const EXISTS: &str = "exists";

/// A record, as far as a verdict needs it.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// The expected value of each field.
    pub desired: &'a BTreeMap<String, Value>,
    /// Fields that are not compared.
    pub ignore: &'a BTreeSet<Box<str>>,
    /// Nothing may be done.
    pub suspended: bool,
    /// The older record of the same resource, if there is one.
    pub older: Option<&'a str>,
    /// Which drift was adopted last, as [`KnownDrift::mark`] writes it.
    pub last_accepted: Option<&'a str>,
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

/// The live resource, and whether the provider was asked for the sake of this evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// What is known.
    pub seen: Seen<'a>,
    /// Decisions are carried out only on what was read just now.
    pub asked: Asked,
}

/// Whether the provider was asked for the sake of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What is known is as old as the inventory.
    No,
    /// What is known was read just now.
    JustNow,
    /// It could not be read; what is known is as old as the inventory.
    InVain,
}

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create a Drift.
    Open {
        /// The field that diverged.
        field: String,
        /// Its number among the drifts of that field.
        episode: i64,
        /// What is desired, as shown.
        expected: String,
        /// What is live, as shown.
        actual: String,
    },
    /// The live value of an open drift moved on.
    Refresh {
        /// The drift's name.
        drift: Box<str>,
        /// The live value, as shown.
        actual: String,
    },
    /// First write of an accept: the live value becomes the desired one, and the record remembers which drift it was.
    Adopt {
        /// The drift's name.
        drift: Box<str>,
        /// The field.
        field: String,
        /// The live value.
        value: Value,
    },
    /// The drift is over.
    Close {
        /// The drift's name.
        drift: Box<str>,
        /// Accepted or Stale.
        phase: DriftPhase,
        /// One of [`reason`].
        reason: &'static str,
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
    /// Second write of a refusal: the annotation goes, so that it is not read again as a decision on what the drift
    /// shows next.
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

/// What an evaluation comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Writes, in order. None when nothing is new.
    pub steps: Vec<Step>,
    /// A decision waits for the live resource to be read anew.
    pub ask_live: bool,
    /// What the record's status should say once no step is left.
    pub situation: Situation,
}

/// What is so about a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Situation {
    /// It is to be left alone.
    Suspended,
    /// An older record (named) stands for the same resource.
    Duplicate(String),
    /// Nothing is known, as (reason, message).
    Unknown(&'static str, String),
    /// It was compared.
    Compared {
        /// The resource does not exist (any more).
        gone: bool,
        /// How many fields could be compared.
        compared: usize,
        /// Why fields cannot be told at the moment, each said for a person.
        unknown: Vec<String>,
        /// What is wrong with recorded fields, each said for a person.
        invalid: Vec<String>,
    },
}

/// What comparing one recorded field came to.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    Matches {
        expected: Value,
        live: Value,
    },
    Differs {
        expected: Value,
        live: Value,
    },
    Unknown(String),
    Invalid(String),
    /// The whole resource is the question, not this field.
    Moot,
}

type Findings<'a> = BTreeMap<&'a str, Finding>;

/// Decides what the drifts of one record should become. `history` is how many resolved drifts are kept per field.
#[must_use]
pub fn evaluate(recorded: &Recorded<'_>, observed: Observed<'_>, drifts: &[KnownDrift], history: usize) -> Plan {
    if recorded.suspended {
        return Plan { steps: Vec::new(), ask_live: false, situation: Situation::Suspended };
    }
    if let Some(older) = recorded.older {
        return Plan { steps: Vec::new(), ask_live: false, situation: Situation::Duplicate(older.to_owned()) };
    }
    let mut planner = Planner { steps: Vec::new(), ask_live: false, asked: observed.asked };
    let (in_doubt, rest): (Vec<_>, Vec<_>) = drifts.iter().partition(|drift| was_adopted(recorded, drift));
    let open = || rest.iter().filter(|drift| drift.is_open());
    for drift in in_doubt {
        planner.close(drift, DriftPhase::Accepted, reason::ACCEPTED);
    }
    let situation = match find(recorded, observed.seen) {
        Err((reason, message)) => {
            for drift in open() {
                // Not the message: it may name another failure each time.
                planner.wait(drift, &format!("nothing is known of the live resource at the moment ({reason})"));
            }
            Situation::Unknown(reason, message.to_owned())
        }
        Ok(findings) => {
            for drift in open() {
                planner.follow(drift, recorded, findings.get(drift.field.as_ref()));
            }
            planner.open_new(&findings, drifts);
            summarise(observed.seen, &findings)
        }
    };
    planner.prune(drifts, history);
    Plan { steps: planner.steps, ask_live: planner.ask_live, situation }
}

/// The first write of its accept was made, and perhaps the second was lost.
fn was_adopted(recorded: &Recorded<'_>, drift: &KnownDrift) -> bool {
    drift.is_open() && recorded.last_accepted == Some(drift.mark().as_str())
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
    let exists = if comparison::is_same(&NoRules, &[], &should_exist, &does_exist) {
        Finding::Matches { expected: should_exist, live: does_exist }
    } else {
        Finding::Differs { expected: should_exist, live: does_exist }
    };
    let asked = live.filter(|_| matches!(exists, Finding::Matches { .. }));
    let fields = recorded.desired.iter().filter(|(field, _)| !is_ignored(recorded, field) && *field != EXISTS);
    let mut findings: Findings<'a> = fields
        .map(|(field, expected)| (field.as_str(), asked.map_or(Finding::Moot, |live| compare(live, field, expected))))
        .collect();
    if !is_ignored(recorded, EXISTS) {
        findings.insert(EXISTS, exists);
    }
    Ok(findings)
}

fn is_ignored(recorded: &Recorded<'_>, field: &str) -> bool {
    recorded.ignore.contains(field)
}

/// Compares one recorded field of a live resource.
pub(crate) fn compare(live: &Live, field: &str, expected: &Value) -> Finding {
    match live.compare(field, expected) {
        Compared::Unknown(why) => Finding::Unknown(format!("{field}: {why}")),
        Compared::NotReadable => Finding::Invalid(format!(
            "{field}: the API does not return it, or it holds a secret, so it is not compared; remove it"
        )),
        Compared::NoSuchField { nearest } if nearest.is_empty() => Finding::Invalid(format!("{field}: no such field")),
        Compared::NoSuchField { nearest } => {
            Finding::Invalid(format!("{field}: no such field; did you mean {}?", nearest.join(" or ")))
        }
        Compared::Done(comparison) if !comparison.differences.is_empty() => {
            differs(field, expected, comparison.adopted)
        }
        Compared::Done(comparison) => match comparison.doubts.first() {
            Some(doubt) if doubt.path.is_empty() => Finding::Unknown(format!("{field}: {}", doubt.why)),
            Some(doubt) => Finding::Unknown(format!("{field}.{}: {}", doubt.path, doubt.why)),
            None => Finding::Matches { expected: expected.clone(), live: expected.clone() },
        },
    }
}

fn differs(field: &str, expected: &Value, live: Value) -> Finding {
    let longest = shown(&live).len().max(shown(expected).len());
    if longest > MAX_VALUE_BYTES {
        let limit = MAX_VALUE_BYTES / 1024;
        return Finding::Invalid(format!(
            "{field}: its value is longer than {limit} KiB, too long for a Drift to show; record the parts that matter \
             by dotted paths instead"
        ));
    }
    Finding::Differs { expected: expected.clone(), live }
}

fn summarise(seen: Seen<'_>, findings: &Findings<'_>) -> Situation {
    let mut unknown = Vec::new();
    let mut invalid = Vec::new();
    let mut compared = 0;
    for (field, finding) in findings {
        match finding {
            Finding::Matches { .. } | Finding::Differs { .. } => compared += usize::from(*field != EXISTS),
            Finding::Unknown(why) => unknown.push(why.clone()),
            Finding::Invalid(message) => invalid.push(message.clone()),
            Finding::Moot => {}
        }
    }
    Situation::Compared { gone: matches!(seen, Seen::Gone), compared, unknown, invalid }
}

struct Planner {
    steps: Vec<Step>,
    ask_live: bool,
    asked: Asked,
}

impl Planner {
    /// What becomes of one open drift.
    fn follow(&mut self, drift: &KnownDrift, recorded: &Recorded<'_>, finding: Option<&Finding>) {
        if let Some(decision) = &drift.accept {
            match self.asked {
                Asked::No => self.ask_live = true,
                Asked::InVain => self.wait(drift, "the live resource could not be read just now"),
                // One at a time: each adopts into the record that was evaluated. The next comes with the next pass.
                Asked::JustNow if self.is_adopting() => {}
                Asked::JustNow => self.decide(drift, decision, finding),
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
            Some(Finding::Matches { .. }) => self.close(drift, DriftPhase::Stale, reason::LIVE_RETURNED),
            Some(Finding::Differs { live, .. }) if !shows(&drift.actual, live) => {
                self.steps.push(Step::Refresh { drift: drift.name.clone(), actual: shown(live) });
            }
            Some(Finding::Differs { .. } | Finding::Unknown(_) | Finding::Invalid(_)) => {}
        }
    }

    /// Carries out, or refuses, the decision to accept. It binds to what the person saw.
    fn decide(&mut self, drift: &KnownDrift, decision: &str, finding: Option<&Finding>) {
        let demanded = if decision == "true" { drift.actual.as_ref() } else { decision };
        match finding {
            Some(Finding::Differs { expected, live }) => {
                if !shows(&drift.expected, expected) {
                    let (was, is) = (&drift.expected, shown(expected));
                    self.refuse(
                        drift,
                        format!("the desired value is now {is}, no longer {was}; look again and decide anew"),
                    );
                } else if shows(demanded, live) {
                    self.steps.push(Step::Adopt {
                        drift: drift.name.clone(),
                        field: drift.field.to_string(),
                        value: live.clone(),
                    });
                    self.close(drift, DriftPhase::Accepted, reason::ACCEPTED);
                } else {
                    let is = shown(live);
                    self.refuse(drift, format!("the live value is {is}, not {demanded}; look again and decide anew"));
                }
            }
            // Somebody made the live value the desired one already.
            Some(Finding::Matches { expected, live }) if shows(demanded, live) || shows(demanded, expected) => {
                self.close(drift, DriftPhase::Accepted, reason::ACCEPTED);
            }
            Some(Finding::Matches { live, .. }) => {
                let is = shown(live);
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

    /// Says, once, why a decision waits.
    fn wait(&mut self, drift: &KnownDrift, why: &str) {
        if drift.accept.is_none() {
            return self.stop_waiting(drift);
        }
        let message = format!("decided, and carried out once that can be done safely: {why}");
        if drift.waits.as_deref() != Some(message.as_str()) {
            self.steps.push(Step::Wait { drift: drift.name.clone(), message });
        }
    }

    fn stop_waiting(&mut self, drift: &KnownDrift) {
        if drift.accept.is_none() && drift.waits.is_some() {
            self.steps.push(Step::Await { drift: drift.name.clone() });
        }
    }

    fn refuse(&mut self, drift: &KnownDrift, message: String) {
        self.steps.push(Step::Refuse { drift: drift.name.clone(), message });
        self.steps.push(Step::DropDecision { drift: drift.name.clone() });
    }

    fn close(&mut self, drift: &KnownDrift, phase: DriftPhase, reason: &'static str) {
        self.steps.push(Step::Close { drift: drift.name.clone(), phase, reason });
    }

    fn is_adopting(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Adopt { .. }))
    }

    fn adopts(&self, field: &str) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Adopt { field: adopted, .. } if adopted == field))
    }

    fn is_closing(&self, drift: &KnownDrift) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Close { drift: name, .. } if *name == drift.name))
    }

    /// A drift for each diverging field that has none open.
    fn open_new(&mut self, findings: &Findings<'_>, drifts: &[KnownDrift]) {
        for (field, finding) in findings {
            let Finding::Differs { expected, live } = finding else { continue };
            let of_field = || drifts.iter().filter(|drift| drift.field.as_ref() == *field);
            // A field whose value was just adopted is compared anew with the new record, in the next pass.
            if self.adopts(field) || of_field().any(|drift| drift.is_open() && !self.is_closing(drift)) {
                continue;
            }
            let episode = of_field().map(|drift| drift.episode).max().unwrap_or(0) + 1;
            let (expected, actual) = (shown(expected), shown(live));
            self.steps.push(Step::Open { field: (*field).to_owned(), episode, expected, actual });
        }
    }

    /// Resolved drifts beyond the limit go, oldest first.
    fn prune(&mut self, drifts: &[KnownDrift], history: usize) {
        let mut by_field: BTreeMap<&str, Vec<&KnownDrift>> = BTreeMap::new();
        for drift in drifts.iter().filter(|drift| !drift.is_open()) {
            by_field.entry(drift.field.as_ref()).or_default().push(drift);
        }
        for mut resolved in by_field.into_values() {
            resolved.sort_by_key(|drift| drift.episode);
            let excess = resolved.len().saturating_sub(history);
            self.steps.extend(resolved.into_iter().take(excess).map(|drift| Step::Prune { drift: drift.name.clone() }));
        }
    }
}
