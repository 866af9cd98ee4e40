//! The writes about standing acceptances. No write changes the record.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};
use tracing::info;

use super::executor::{Executor, with_reason};
use crate::{
    api::{
        Acceptance, AcceptanceMode, DriftPhase, annotations,
        conditions::{self, Claim, ConditionReason, ConditionStatus},
        events,
    },
    drift::{
        known::{Decided, KnownDrift},
        plan::{Accepted, Ending},
        shown::{brief, named},
        standing::whole_seconds,
    },
    kube_ext::call::Error,
};

impl Executor<'_> {
    /// The only write of a standing acceptance.
    pub(super) async fn stand(
        &mut self,
        name: &str,
        accepted: Accepted,
        until: Option<Timestamp>,
        patch: Option<Value>,
    ) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let since = whole_seconds(Timestamp::now());
        let actual = accepted_words(&drift);
        let (field, end) = (named(&drift.field), until.map(|until| format!(" until {until}")).unwrap_or_default());
        let hint = if patch.is_some() {
            "status.manifestPatch brings the manifest up to date"
        } else {
            "the value holds a credential, so update the manifest by hand"
        };
        let message = format!("{field}: {actual} is accepted and stands{end}; {hint}");
        let resolved = resolved(message.clone()).since(since, 1);
        let standing = standing(ConditionStatus::True, ConditionReason::Accepted, message.clone()).since(since, 1);
        let acceptance = Acceptance {
            mode: AcceptanceMode::Standing,
            value: accepted.value,
            declared: accepted.declared,
            since: Time(since),
            until: until.map(Time),
            until_requested: drift.accept_until.as_deref().map(str::to_owned),
        };
        let status = json!({
            "phase": DriftPhase::Accepted,
            "reason": ConditionReason::Standing,
            "resolvedAt": Time(since),
            "decidedBy": drift.decided_by,
            "because": drift.because,
            "decision": drift.accept,
            "acceptance": acceptance,
            "manifestPatch": patch,
            "conditions": [resolved, standing],
        });
        self.patch_drift_status(&drift, "accepting", status).await?;
        self.context.metrics.resolved(drift.kind, DriftPhase::Accepted, ConditionReason::Accepted);
        info!(record = %self.key, drift = name, field, "accepted: the acceptance stands on the drift");
        self.publish(&drift, events::DRIFT_ACCEPTED, "Resolve", &with_reason(&message, &drift));
        Ok(())
    }

    /// Ends an acceptance.
    pub(super) async fn end(&mut self, name: &str, why: Ending) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let field = named(&drift.field);
        let message = match why {
            Ending::InManifest => format!("{field}: the manifest now declares the accepted value"),
            Ending::InRecord => {
                format!("{field}: spec.drift.accept of the record is InPlace, so the accepted value was written there")
            }
            Ending::ManifestChanged => {
                format!("{field}: the manifest declares another value, or no longer declares the field")
            }
            Ending::LiveReturned => format!("{field}: the live value matches the manifest again"),
            Ending::Expired => format!("{field}: the acceptance expired"),
            Ending::Withdrawn => format!("{field}: the acceptance was withdrawn"),
            Ending::Superseded => format!("{field}: a later acceptance replaced this one"),
            Ending::Ignored => format!("{field}: listed in spec.drift.ignore, so it is not compared"),
            Ending::RecordGone => format!("{field}: the record is gone"),
        };
        let now = whole_seconds(Timestamp::now());
        let since = drift.transition.unwrap_or(now);
        let conditions: [Condition; 2] = [
            resolved(message.clone()).since(since, 1),
            standing(ConditionStatus::False, why.reason(), message.clone()).since(now, 1),
        ];
        let mut status = json!({ "reason": why.reason(), "manifestPatch": null, "conditions": conditions });
        let more = match why {
            // The same decision made again is a new one, and too late.
            Ending::Withdrawn => Some(("decision", json!(""))),
            Ending::InRecord => Some(("acceptance", json!({ "mode": AcceptanceMode::InPlace }))),
            Ending::InManifest
            | Ending::ManifestChanged
            | Ending::LiveReturned
            | Ending::Expired
            | Ending::Superseded
            | Ending::Ignored
            | Ending::RecordGone => None,
        };
        if let (Some(status), Some((key, value))) = (status.as_object_mut(), more) {
            status.insert(key.to_owned(), value);
        }
        self.patch_drift_status(&drift, "ending the acceptance of", status).await?;
        info!(record = %self.key, drift = name, field, reason = why.reason().name(), "the acceptance ended");
        self.publish(&drift, events::ACCEPTANCE_ENDED, "Resolve", &message);
        Ok(())
    }

    /// The same value was accepted again, possibly with another end.
    pub(super) async fn reaffirm(&mut self, name: &str, until: Option<Timestamp>) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let is_moved = drift.accept_until != drift.decided.until;
        info!(record = %self.key, drift = name, ?until, is_moved, "an acceptance that stands was decided again");
        let end = until.map_or_else(|| "without an end".to_owned(), |until| format!("until {until}"));
        let message = format!("{}: {} is accepted and stands {end}", named(&drift.field), accepted_words(&drift));
        let since = drift.transition.unwrap_or_else(|| whole_seconds(Timestamp::now()));
        let conditions: [Condition; 2] = [
            resolved(message.clone()).since(since, 1),
            standing(ConditionStatus::True, ConditionReason::Accepted, message.clone()).since(since, 1),
        ];
        let status = json!({
            "acceptance": { "until": until.map(Time), "untilRequested": drift.accept_until },
            "decidedBy": drift.decided_by,
            "because": drift.because,
            "decision": drift.accept,
            "conditions": conditions,
        });
        self.patch_drift_status(&drift, "reaffirming the acceptance of", status).await?;
        let event = if is_moved { events::ACCEPTANCE_RESCHEDULED } else { events::ACCEPTANCE_REAFFIRMED };
        self.publish(&drift, event, "Decide", &with_reason(&message, &drift));
        Ok(())
    }

    /// Restores the annotations of the decision, either of a standing acceptance or of a running revert.
    pub(super) async fn restore_decision(&mut self, name: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let Decided { decision, until, because, by } = &drift.decided;
        let (accept, revert) = if drift.standing.is_some() { (decision, &None) } else { (&None, decision) };
        let mut restored = json!({ annotations::ACCEPT: accept, annotations::ACCEPT_UNTIL: until });
        // Earlier versions did not write down the decision that a saga carries out.
        let is_known = drift.standing.is_some() || decision.is_some();
        if let Some(restored) = restored.as_object_mut().filter(|_| is_known) {
            restored.insert(annotations::REVERT.to_owned(), json!(revert));
            restored.insert(annotations::BECAUSE.to_owned(), json!(because));
            // The signature belongs to the decision that is restored.
            restored.insert(annotations::DECIDED_BY.to_owned(), json!(by));
        }
        let patch = json!({ "metadata": { "resourceVersion": drift.resource_version, "annotations": restored } });
        self.patch_drift(&drift, "restoring the decision on", patch).await
    }
}

fn resolved(message: String) -> Claim {
    Claim { kind: conditions::RESOLVED, status: ConditionStatus::True, reason: ConditionReason::Accepted, message }
}

fn standing(status: ConditionStatus, reason: ConditionReason, message: String) -> Claim {
    Claim { kind: conditions::STANDING, status, reason, message }
}

/// The accepted value, or the differing part of a composite value.
fn accepted_words(drift: &KnownDrift) -> String {
    let is_composite = drift.actual.starts_with(['[', '{']) && !drift.difference.is_empty();
    if is_composite { drift.difference.to_string() } else { brief(&drift.actual) }
}
