//! Parts of the steps that restore a recorded value: reading both values, and undoing.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    common::{also_null, any_id, changed_since, kind_name, text_or_number},
    decided::{self, DIGEST, LiveDigest, changed_meanwhile},
    record::{self, NAME},
};
use crate::{
    comparison::secret::digest,
    digitalocean::{
        FieldComparison, FieldSet, Kind, Live, ResourceKey,
        revert::{self, AccountFacts, Allow, Revert},
    },
    saga::step::{Failure, StepContext},
};

/// The parameters of each of these steps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevertParameters {
    /// The kind of the resource, such as `Firewall`.
    #[schemars(schema_with = "kind_name")]
    pub(super) kind: Kind,
    /// The id of the resource.
    #[serde(deserialize_with = "text_or_number")]
    #[schemars(schema_with = "any_id")]
    pub(super) id: String,
    /// The name of the record of the resource, which holds the desired value.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub(super) record: String,
    /// The recorded field: one of the kind's fields, or a dotted path into the API's document.
    #[schemars(length(min = 1, max = 253))]
    pub(super) field: String,
    /// The effects that are allowed: `safe`, `disruption` (also changes that cannot be undone) or `data-loss`.
    #[serde(default)]
    pub(super) allow: Allow,
    /// The digest of the desired value that was decided on. The step fails, before it changes anything, if the record has
    /// another desired value by then.
    #[serde(default)]
    #[schemars(regex(pattern = DIGEST))]
    digest: Option<String>,
    /// The digest of the live value that was decided on. The step fails, before it changes anything, if the live value is
    /// neither this one nor the desired one by then.
    #[serde(default)]
    live: Option<LiveDigest>,
    /// The recorded or the live value holds a credential. The saga does not store it, so the step cannot be undone.
    #[serde(default)]
    holds_credential: bool,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The live value differed from the desired one.
    pub(super) differed: bool,
    /// The live value; none if the step cannot be undone.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "also_null")]
    pub(super) was: Option<Value>,
    /// The desired value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "also_null")]
    pub(super) wrote: Option<Value>,
    /// Digests of the live and of the desired value, where the step cannot be undone and holds neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digests: Option<Digests>,
    /// The live values that are sent in the same call.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) along: Map<String, Value>,
    /// The resource was in a state of failure, which the step does not have to correct.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) had_failed: bool,
}

/// Digests of values that a saga does not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Digests {
    was: String,
    wrote: String,
}

/// The comparison of a live field with a value.
pub(super) enum FieldState {
    Equal,
    /// The live document with the value applied.
    Differs(Value),
}

impl RevertParameters {
    pub(super) fn key(&self) -> ResourceKey {
        ResourceKey::new(self.kind, self.id.as_str())
    }

    /// The reason why the step cannot be undone.
    pub(super) fn irreversible(&self) -> Option<&'static str> {
        let credential =
            || self.holds_credential.then_some("the earlier value holds a credential, which a saga does not store");
        revert::irreversible(self.kind, &self.field).or_else(credential)
    }

    /// Reads both values before the step. Refuses them if they are not the ones of the decision, or if its permission is not
    /// enough for them.
    pub(super) async fn both(&self, context: &StepContext<'_>) -> Result<(Value, Live, FieldState), Failure> {
        let desired = self.decided(context).await?;
        let live = self.live(context, &desired).await?;
        let state = self.compare(&live, &desired)?;
        if matches!(state, FieldState::Differs(_)) {
            if let Some(now) = revert::live_digest(&live, &self.field, &desired) {
                decided::check_digest(self.live.as_ref(), &self.field, &now, &self.key())?;
            }
            self.check(&live, &desired)?;
        }
        Ok((desired, live, state))
    }

    /// Reads the state before the step.
    pub(super) async fn before(&self, context: &StepContext<'_>) -> Result<(Before, Live), Failure> {
        let (desired, live, state) = self.both(context).await?;
        if let FieldState::Equal = state {
            return Ok((Before::default(), live));
        }
        let was = revert::value_before(&live, &self.field);
        if self.irreversible().is_some() {
            let digests = Some(Digests { was: digest(&was), wrote: digest(&desired) });
            return Ok((Before { differed: true, digests, ..Before::default() }, live));
        }
        if [&was, &desired].into_iter().any(|value| live.hide(&self.field, value) != *value) {
            return Err(Failure::Permanent(format!(
                "{} of {} holds a credential, which a saga does not store; set `holds_credential: true` and \
                 `irreversible: true` in the step to change it anyway",
                self.field,
                self.key()
            )));
        }
        Ok((Before { differed: true, was: Some(was), wrote: Some(desired), ..Before::default() }, live))
    }

    /// The effective desired value.
    pub(super) async fn desired(&self, context: &StepContext<'_>) -> Result<Value, Failure> {
        let desired = async {
            let record = record::about(context, &self.record, &self.key()).await?;
            record::desired_value(context, &record, &self.field).await
        };
        context.read(desired).await
    }

    /// The effective desired value, if it is still the decided one.
    pub(super) async fn decided(&self, context: &StepContext<'_>) -> Result<Value, Failure> {
        let desired = self.desired(context).await?;
        if self.digest.as_ref().is_none_or(|decided| *decided == digest(&desired)) {
            Ok(desired)
        } else {
            Err(self.moved_on())
        }
    }

    /// Reads the resource.
    pub(super) async fn live(&self, context: &StepContext<'_>, value: &Value) -> Result<Live, Failure> {
        context.read(self.fetch(context, value)).await
    }

    async fn fetch(&self, context: &StepContext<'_>, value: &Value) -> Result<Live, Failure> {
        let fields = FieldSet::of_values(self.kind, [(self.field.as_str(), value)]);
        let live = context.cloud.live(&self.key(), fields).await?.ok_or_else(|| self.gone())?;
        // The verdict about a field may depend on the others. Undoing works without the record too.
        let record = record::get(context, &self.record).await?;
        let record = record.filter(|record| record.spec.resource.key() == self.key());
        Ok(record.map_or_else(|| live.clone(), |record| live.beside(record::beside(&record))))
    }

    pub(super) fn gone(&self) -> Failure {
        Failure::Permanent(format!("there is no {}", self.key()))
    }

    pub(super) fn compare(&self, live: &Live, value: &Value) -> Result<FieldState, Failure> {
        match live.restored(&self.field, value) {
            Ok(None) => Ok(FieldState::Equal),
            Ok(Some(restored)) => Ok(FieldState::Differs(restored)),
            Err(why) => Err(Failure::Permanent(format!("comparing {} of {}: {why}", self.field, self.key()))),
        }
    }

    /// The comparison of a live field with its value before the step, which may have added keys to maps.
    pub(super) fn undone(&self, live: &Live, was: &Value, wrote: &Value) -> Result<FieldState, Failure> {
        let state = self.compare(live, was)?;
        let document = match &state {
            FieldState::Equal => live.document(),
            FieldState::Differs(restored) => restored,
        };
        Ok(revert::without_added(live, document, &self.field, (was, wrote)).map_or(state, FieldState::Differs))
    }

    /// Returns true if a live field has this value. A part in doubt counts as equal.
    pub(super) fn is(&self, live: &Live, value: &Value) -> bool {
        matches!(live.compare(&self.field, value), FieldComparison::Done(comparison) if comparison.differences.is_empty())
    }

    /// Refuses effects that are not allowed: the live value may have changed since the revert was planned.
    pub(super) fn check(&self, live: &Live, desired: &Value) -> Result<(), Failure> {
        // The steps that read the value from a record write no tags by which others select, and no sizes of droplets.
        let facts = AccountFacts::default();
        let revert = Revert { field: &self.field, desired, document: live, facts: &facts };
        revert::check(&revert, self.allow).map_err(Failure::permanent)
    }

    /// Refuses a desired value that changed since the step started.
    pub(super) fn check_record(&self, before: &Before, desired: &Value) -> Result<(), Failure> {
        let is_same = match (&before.wrote, &before.digests) {
            (Some(wrote), _) => wrote == desired,
            (None, Some(digests)) => digests.wrote == digest(desired),
            (None, None) => true,
        };
        if is_same { Ok(()) } else { Err(self.moved_on()) }
    }

    /// Refuses to change a field that had the desired value before the step: another client changed it since, to a value on
    /// which nobody has decided, and undoing would not restore it.
    pub(super) fn check_differed(&self, before: &Before) -> Result<(), Failure> {
        if before.differed { Ok(()) } else { Err(changed_meanwhile(&self.field, &self.key())) }
    }

    /// Refuses a live value that is neither the earlier nor the desired one: another client changed it since.
    pub(super) fn check_live(&self, before: &Before, live: &Live) -> Result<(), Failure> {
        let now = revert::value_before(live, &self.field);
        let is_same = match (&before.was, &before.digests) {
            (Some(was), _) => *was == now || self.is(live, was),
            (None, Some(digests)) => digests.was == digest(&now),
            (None, None) => true,
        };
        if is_same { Ok(()) } else { Err(changed_meanwhile(&self.field, &self.key())) }
    }

    /// Whether the live value shows that a step which cannot be undone has changed it. The record may have another desired
    /// value by now, or be gone: then any other value than the earlier one counts.
    pub(super) async fn is_changed(&self, context: &StepContext<'_>, before: &Before) -> Result<(bool, Live), Failure> {
        let desired = match self.desired(context).await {
            Ok(desired) => self.check_record(before, &desired).is_ok().then_some(desired),
            Err(Failure::Permanent(_)) => None,
            Err(failure) => return Err(failure),
        };
        let live = self.live(context, desired.as_ref().unwrap_or(&Value::Null)).await?;
        let is_changed = match (&desired, &before.digests) {
            (Some(desired), _) => self.is(&live, desired),
            (None, Some(digests)) => digests.was != digest(&revert::value_before(&live, &self.field)),
            (None, None) => false,
        };
        Ok((is_changed, live))
    }

    fn moved_on(&self) -> Failure {
        Failure::Permanent(format!(
            "ProvisionedResource {}: the desired value of {} was changed since the revert was decided; decide it again",
            self.record, self.field
        ))
    }

    /// The failure of undoing a value that has been changed since.
    pub(super) fn changed_since(&self) -> Failure {
        changed_since(&self.field, &self.key())
    }
}

/// The pause between two reads of a resource that the cloud is changing.
pub(super) const WORKING: Duration = Duration::from_secs(5);
