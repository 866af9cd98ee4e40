//! The writes about acceptances that stand on a Drift. None of them touches the record.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::Patch;
use serde_json::{Value, json};
use tracing::info;

use super::executor::{Executor, params, with_reason};
use crate::{
    api::{
        Acceptance, AcceptanceMode, DriftPhase, annotations,
        conditions::{self, Claim, ConditionStatus, reason},
        events,
    },
    drift::{
        plan::{Accepted, Ending},
        shown::{brief, named},
        standing::whole_seconds,
    },
    kube_ext::call::{Error, bounded},
};

impl Executor<'_> {
    /// The only write of an acceptance that stands.
    pub(super) async fn stand(
        &mut self,
        name: &str,
        accepted: Accepted,
        until: Option<Timestamp>,
        patch: Option<Value>,
    ) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let since = whole_seconds(Timestamp::now());
        let actual = brief(&drift.actual);
        let (field, end) = (named(&drift.field), until.map(|until| format!(" until {until}")).unwrap_or_default());
        let hint = if patch.is_some() {
            "status.manifestPatch brings the manifest up to date"
        } else {
            "the value holds a credential, so update the manifest by hand"
        };
        let message = format!("{field}: {actual} is accepted and stands{end}; {hint}");
        let resolved = resolved(message.clone()).since(since, 1);
        let standing = standing(ConditionStatus::True, reason::ACCEPTED, message.clone()).since(since, 1);
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
            "reason": conditions::STANDING,
            "resolvedAt": Time(since),
            "decidedBy": drift.decided_by,
            "because": drift.because,
            "decision": drift.accept,
            "acceptance": acceptance,
            "manifestPatch": patch,
            "conditions": [resolved, standing],
        });
        self.patch_drift_status(&drift, "accepting", status).await?;
        self.context.metrics.resolved(drift.kind, DriftPhase::Accepted, reason::ACCEPTED);
        info!(record = %self.key, drift = name, field, "accepted: the acceptance stands on the drift");
        self.tell(&drift, events::DRIFT_ACCEPTED, "Resolve", &with_reason(&message, &drift));
        Ok(())
    }

    /// An acceptance stands no more.
    pub(super) async fn end(&mut self, name: &str, why: Ending) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let field = named(&drift.field);
        let message = match why {
            Ending::InManifest => format!("{field}: the manifest says the accepted value"),
            Ending::ManifestChanged => {
                format!("{field}: the manifest says another value, or no longer declares the field")
            }
            Ending::LiveReturned => format!("{field}: the live value is as the manifest says again"),
            Ending::Expired => format!("{field}: the time of the acceptance is up"),
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
        if why == Ending::Withdrawn
            && let Some(status) = status.as_object_mut()
        {
            // The same decision made again is a new one, and comes too late.
            status.insert("decision".to_owned(), json!(""));
        }
        self.patch_drift_status(&drift, "ending the acceptance of", status).await?;
        info!(record = %self.key, drift = name, field, reason = why.reason(), "the acceptance ended");
        self.tell(&drift, events::ACCEPTANCE_ENDED, "Resolve", &message);
        Ok(())
    }

    /// The end of an acceptance moved.
    pub(super) async fn reschedule(&mut self, name: &str, until: Option<Timestamp>) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        info!(record = %self.key, drift = name, ?until, "the end of an acceptance was changed");
        let end = until.map_or_else(|| "without an end".to_owned(), |until| format!("until {until}"));
        let message = format!("{}: {} is accepted and stands {end}", named(&drift.field), brief(&drift.actual));
        let since = drift.transition.unwrap_or_else(|| whole_seconds(Timestamp::now()));
        let conditions: [Condition; 2] = [
            resolved(message.clone()).since(since, 1),
            standing(ConditionStatus::True, reason::ACCEPTED, message.clone()).since(since, 1),
        ];
        let status = json!({
            "acceptance": { "until": until.map(Time), "untilRequested": drift.accept_until },
            "decidedBy": drift.decided_by,
            "because": drift.because,
            "conditions": conditions,
        });
        self.patch_drift_status(&drift, "rescheduling the acceptance of", status).await?;
        self.tell(&drift, events::ACCEPTANCE_RESCHEDULED, "Decide", &with_reason(&message, &drift));
        Ok(())
    }

    /// The annotations say again what was decided.
    pub(super) async fn restore_decision(&mut self, name: &str) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let until = drift.standing.as_ref().and_then(|standing| standing.until_requested.clone());
        let patch = json!({
            "metadata": {
                "resourceVersion": drift.resource_version,
                "annotations": {
                    annotations::ACCEPT: drift.decision,
                    annotations::ACCEPT_UNTIL: until,
                    annotations::REVERT: null,
                },
            },
        });
        let doing = format!("restoring the decision on Drift {}/{name}", self.key.namespace);
        let written = bounded(&doing, self.drifts().patch(name, &params(), &Patch::Merge(patch))).await;
        self.learn(&self.heard(&drift, written)?);
        Ok(())
    }
}

fn resolved(message: String) -> Claim {
    Claim { kind: conditions::RESOLVED, status: ConditionStatus::True, reason: reason::ACCEPTED, message }
}

fn standing(status: ConditionStatus, reason: &'static str, message: String) -> Claim {
    Claim { kind: conditions::STANDING, status, reason, message }
}
