//! Accepting a drift: in the record, or on the drift if a manifest declares the field. Pure.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, json};

use super::planner::Planner;
use crate::{
    api::{AcceptPolicy, AcceptanceMode, annotations, drift::EXISTS},
    comparison::{
        reading::{read as read_shown, stands_for as shows},
        secret,
        show::full,
    },
    drift::{
        finding::{Finding, Findings, compare},
        known::KnownDrift,
        merge_patch,
        observed::{NeedsFreshRead, Recorded, Seen},
        ownership,
        plan::{Accepted, Adoption, Closing, Ending, PlannedWrite},
        shown::brief,
        standing,
    },
};

impl Planner<'_> {
    /// Ends acceptances that no longer stand. Returns the desired values in effect.
    pub(super) fn settle_standing<'r>(
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
        for (drift, why) in &settled.ended {
            self.end(drift, *why);
        }
        self.accepted = settled.in_effect;
        standing::effective(recorded.desired, &self.accepted)
    }

    /// The annotations of a standing acceptance may have been changed: its end can change, its value cannot.
    pub(super) fn keep_to_decision(&mut self, drift: &KnownDrift) {
        let (Some(standing), Some(decision)) = (&drift.standing, &drift.accept) else { return };
        if drift.revert.is_some() {
            let message = "the acceptance of this Drift stands; to revert the field, remove the annotation \
                           arcadia.cloud/accept, and revert the Drift that opens then";
            return self.restore(drift, message);
        }
        let is_same_decision = decision.as_ref() == "true"
            || drift.decided.decision.as_ref() == Some(decision)
            || shows(decision, &standing.accepted());
        if !is_same_decision {
            let message = "the acceptance stands; to accept another value, remove the annotation arcadia.cloud/accept \
                           from this Drift and decide the Drift that opens then";
            return self.restore(drift, message);
        }
        let is_moved = drift.accept_until != drift.decided.until;
        if !is_moved && drift.decided.decision == drift.accept && drift.because == drift.decided.because {
            return;
        }
        let until = if is_moved {
            drift.accept_until.as_deref().map(|text| standing::end_from(text, self.now)).transpose()
        } else {
            Ok(standing.until)
        };
        match until {
            Ok(until) => self.writes.push(PlannedWrite::Reaffirm { drift: drift.name.clone(), until }),
            Err(why) => self.restore(drift, &format!("{} {why}", annotations::ACCEPT_UNTIL)),
        }
    }

    /// Refuses a decision that cannot replace the one in effect.
    pub(super) fn restore(&mut self, drift: &KnownDrift, message: &str) {
        self.writes.push(PlannedWrite::Answer { drift: drift.name.clone(), message: message.to_owned() });
        self.writes.push(PlannedWrite::RestoreDecision { drift: drift.name.clone() });
    }

    /// Carries out, or refuses, the decision to accept. It applies to the value that the person saw.
    pub(super) fn decide(
        &mut self,
        drift: &KnownDrift,
        decision: &str,
        recorded: &Recorded<'_>,
        finding: Option<&Finding>,
    ) {
        let demanded = if decision == "true" { drift.actual.as_ref() } else { decision };
        match finding {
            Some(Finding::Differs { expected, live, adopted, shown, .. }) => {
                if !shows(&drift.expected, expected) {
                    let (was, is) = (beside(&drift.expected, expected), brief(&shown.expected));
                    self.refuse(
                        drift,
                        format!("the desired value is now {is}, no longer {was}; review the drift and decide again"),
                    );
                } else if shows(demanded, live) {
                    self.accept(drift, recorded, live, adopted);
                } else {
                    let (is, demanded) = (brief(&shown.actual), beside(demanded, live));
                    self.refuse(
                        drift,
                        format!("the live value is {is}, not {demanded}; review the drift and decide again"),
                    );
                }
            }
            Some(Finding::Matches) => self.decide_without_difference(drift, demanded, recorded),
            Some(Finding::Moot) => {
                self.refuse(
                    drift,
                    "whether the resource exists is the question now; decide its drift on exists".to_owned(),
                );
            }
            None => self.refuse(drift, "the field is no longer compared; nothing is left to accept".to_owned()),
            Some(Finding::Unknown(why) | Finding::Invalid(why)) => self.wait(drift, why),
        }
    }

    /// Answers the decision to accept a value, if the live value equals the desired one.
    fn decide_without_difference(&mut self, drift: &KnownDrift, demanded: &str, recorded: &Recorded<'_>) {
        let (expected, live) = (self.in_effect(drift, recorded), self.live_as_desired(drift, recorded));
        let is = brief(&full(&live));
        if self.accepted.contains_key(drift.field.as_ref()) {
            self.refuse(drift, format!("the live value is {is}, as accepted before; nothing is left to accept"));
        } else if shows(demanded, &live) || shows(demanded, &expected) {
            self.close_adopted(drift, recorded);
        } else {
            let demanded = beside(demanded, &live);
            self.refuse(drift, format!("the live value is {is} as desired, not {demanded}; nothing is left to accept"));
        }
    }

    /// Makes the live value the desired one: in the record if no manifest declares it, else on the drift.
    fn accept(&mut self, drift: &KnownDrift, recorded: &Recorded<'_>, live: &Value, adopted: &Value) {
        let until = drift.accept_until.as_deref().map(|text| standing::end_from(text, recorded.now)).transpose();
        let until = match until {
            Ok(until) => until,
            Err(why) => return self.refuse(drift, format!("{} {why}", annotations::ACCEPT_UNTIL)),
        };
        let declared = standing::declared(recorded.desired, &drift.field).unwrap_or_default();
        let adopted = &self.over_declared(drift, &declared).unwrap_or_else(|| adopted.clone());
        let accepted = Accepted { value: live.clone(), declared: self.hide(drift, &declared) };
        let mode = ownership::mode(recorded.accept, recorded.declared, &drift.field, until.is_some());
        // The record would show a credential for the first time. On the drift, it is a fingerprint.
        let has_credential = |value: &Value| self.hide(drift, value) != *value;
        let leaks = recorded.accept != AcceptPolicy::InPlace && has_credential(adopted) && !has_credential(&declared);
        match mode {
            Some(AcceptanceMode::InPlace) if !leaks => self.adoptions.push(Adoption {
                drift: drift.name.clone(),
                field: drift.field.to_string(),
                value: adopted.clone(),
                accepted,
                stands: false,
            }),
            Some(AcceptanceMode::InPlace | AcceptanceMode::Standing) => {
                let patch = merge_patch::between(&declared, adopted);
                let is_shown = !has_credential(&patch);
                let patch = json!({ "spec": { "desired": { drift.field.as_ref(): patch } } });
                self.writes.push(PlannedWrite::Stand {
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

    /// The value that accepting records in place of the declared one, if an accepted value is in effect: the accepted
    /// value may contain fingerprints, which are not values.
    fn over_declared(&self, drift: &KnownDrift, declared: &Value) -> Option<Value> {
        let live = self.live.filter(|_| self.accepted.contains_key(drift.field.as_ref()))?;
        match compare(live, &drift.field, declared) {
            Finding::Differs { adopted, .. } => Some(adopted),
            Finding::Matches | Finding::Unknown(_) | Finding::Invalid(_) | Finding::Moot => None,
        }
    }

    /// Moves the acceptances that stand into a record whose policy wants its accepted values there. An acceptance with
    /// an end stays on its drift. An acceptance whose live value changed also stays: the change is a separate question.
    pub(super) fn move_in_place(&mut self, recorded: &Recorded<'_>, findings: &Findings<'_>, drifts: &[KnownDrift]) {
        if recorded.accept != AcceptPolicy::InPlace {
            return;
        }
        let stands = |drift: &&KnownDrift| !self.writes.iter().any(|write| write.ends(&drift.name));
        for drift in drifts.iter().filter(stands).collect::<Vec<_>>() {
            let Some(standing) = drift.standing.as_ref().filter(|standing| standing.until.is_none()) else { continue };
            let field = drift.field.as_ref();
            if !matches!(findings.get(field), Some(Finding::Matches)) {
                continue;
            }
            let declared = standing::declared(recorded.desired, field).unwrap_or_default();
            let accepted = Accepted { value: standing.accepted(), declared: standing.declared() };
            let value = if field == EXISTS { Some(standing.accepted()) } else { self.over_declared(drift, &declared) };
            self.adoptions.extend(value.map(|value| Adoption {
                drift: drift.name.clone(),
                field: field.to_owned(),
                value,
                accepted,
                stands: true,
            }));
        }
    }

    /// Closes a drift whose accepted value is already in the record.
    pub(super) fn close_adopted(&mut self, drift: &KnownDrift, recorded: &Recorded<'_>) {
        // Without the live document the places of credentials are unknown.
        let value =
            self.live.and_then(|live| Some(live.hide(&drift.field, recorded.desired.get(drift.field.as_ref())?)));
        let accepted = value.map(|value| Box::new(Accepted { value, declared: read_shown(&drift.expected) }));
        self.writes.push(PlannedWrite::Close { drift: drift.name.clone(), why: Closing::Accepted, accepted });
    }

    /// All accepted values in one write, and then the end of each drift, or of its acceptance.
    pub(super) fn adopt(&mut self) {
        if self.adoptions.is_empty() {
            return;
        }
        let closings: Vec<_> = self
            .adoptions
            .iter()
            .map(|Adoption { drift, accepted, stands, .. }| {
                if *stands {
                    return PlannedWrite::End { drift: drift.clone(), why: Ending::InRecord };
                }
                let accepted = Some(Box::new(accepted.clone()));
                PlannedWrite::Close { drift: drift.clone(), why: Closing::Accepted, accepted }
            })
            .collect();
        self.writes.push(PlannedWrite::Adopt { adoptions: self.adoptions.clone(), in_doubt: self.in_doubt.clone() });
        self.writes.extend(closings);
    }
}

/// A text that a person or an earlier version wrote, in short form; hidden if the value beside it is.
fn beside(text: &str, shown: &Value) -> String {
    if secret::is_hidden(shown) { secret::fingerprint(&text.into()) } else { brief(&secret::hide_text(text)) }
}
