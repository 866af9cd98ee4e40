//! The write that closes a drift.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use tracing::info;

use super::executor::{Executor, with_reason};
use crate::{
    api::{
        Acceptance, AcceptanceMode, DriftPhase,
        conditions::{self, Claim, ConditionStatus},
        events,
    },
    drift::{
        known::{Decided, KnownDrift},
        plan::{Accepted, Closing},
        shown::{brief, named},
        standing::whole_seconds,
    },
    kube_ext::call::Error,
};

impl Executor<'_> {
    pub(super) async fn close(&mut self, name: &str, why: Closing, accepted: Option<Accepted>) -> Result<(), Error> {
        let Some(drift) = self.known(name) else { return Ok(()) };
        let (phase, reason) = (why.phase(), why.reason());
        let message = closing_message(why, &drift);
        let now = whole_seconds(Timestamp::now());
        let acceptance = accepted.map(|Accepted { value, declared }| Acceptance {
            mode: AcceptanceMode::InPlace,
            value,
            declared,
            since: Time(now),
            until: None,
            until_requested: None,
        });
        let claim =
            Claim { kind: conditions::RESOLVED, status: ConditionStatus::True, reason, message: message.clone() };
        let decided = match phase {
            // If the annotation is already removed, no later one counts as this decision.
            DriftPhase::Accepted => Decided {
                decision: Some(drift.accept.clone().unwrap_or_default()),
                because: drift.because.clone(),
                by: drift.decided_by.clone(),
                until: None,
            },
            DriftPhase::Reverted => {
                let decided = drift.revert_decided(None);
                Decided { decision: Some(decided.decision.unwrap_or_default()), ..decided }
            }
            DriftPhase::Open | DriftPhase::Stale => Decided::default(),
        };
        let is_decided = decided.decision.is_some();
        let status = json!({
            "phase": phase,
            "reason": reason,
            "resolvedAt": Time(now),
            "decidedBy": decided.by,
            "decision": decided.decision,
            "because": decided.because,
            "acceptance": acceptance,
            "conditions": [claim.since(now, 1)],
        });
        self.patch_drift_status(&drift, "closing", status).await?;
        self.context.metrics.resolved(drift.kind, phase, reason);
        let field = &drift.field;
        info!(record = %self.key, drift = name, %field, phase = phase.name(), reason = reason.name(), "drift resolved");
        let event = match phase {
            DriftPhase::Accepted => events::DRIFT_ACCEPTED,
            DriftPhase::Reverted => events::DRIFT_REVERTED,
            DriftPhase::Open | DriftPhase::Stale => events::DRIFT_RESOLVED,
        };
        let message = if is_decided { with_reason(&message, &drift) } else { message };
        self.publish(&drift, event, "Resolve", &message);
        Ok(())
    }
}

fn closing_message(why: Closing, drift: &KnownDrift) -> String {
    let (field, actual) = (named(&drift.field), brief(&drift.actual));
    match why {
        Closing::Accepted => format!("{field}: {actual} is the desired value now"),
        Closing::Reverted => format!("{field}: the live value is the desired one again"),
        Closing::LiveReturned => format!("{field}: the live value equals the desired value again"),
        Closing::DesiredChanged => format!("{field}: the desired value was changed"),
        Closing::NoLongerRecorded => format!("{field}: no longer recorded"),
        Closing::Ignored => format!("{field}: listed in spec.drift.ignore"),
        Closing::ResourceGone => format!("{field}: the resource itself is gone"),
        Closing::RecordGone => format!("{field}: the record is gone"),
    }
}
