//! Observes the live resource of a record: in the inventory, or by a direct request.

use std::{sync::Arc, time::Duration};

use super::{
    context::DriftContext,
    observed::{DecisionFacts, NeedsFreshRead},
    records::RecordEntry,
    sweep,
};
use crate::{
    api::conditions::ConditionReason,
    digitalocean::{Document, Error, Live, Observation, ResourceKey, UnknownReason, revert},
    kube_ext::key::ObjectKey,
};

/// The longest wait of one decision for the provider's response.
const LONGEST_READ: Duration = Duration::from_secs(20);

/// The longest wait of one drift for the sizes of droplets.
const LONGEST_LIST: Duration = Duration::from_secs(5);

/// The outcome of fetching the live resource again.
pub(super) enum Fetched {
    /// The process stops.
    Stopped,
    /// The allowance for confirming changes is used up; the next list confirms this one.
    Postponed,
    Read(LiveState),
}

/// Reads the live resource: a decision applies to its current value, not to that of the last sweep.
pub(super) async fn fetch(entry: &RecordEntry, needs: Option<NeedsFreshRead>, context: &DriftContext) -> Fetched {
    let resource = &entry.record.resource;
    let max_age = context.settings.max_age;
    let observation = async {
        match needs {
            Some(NeedsFreshRead::Change) => context.inventory.confirm_change(resource, max_age).await,
            Some(NeedsFreshRead::Decision) | None => Some(context.inventory.fetch(resource, max_age).await),
        }
    };
    // With an exhausted token every call waits; other records must not wait with this one.
    let answer = tokio::select! {
        answer = tokio::time::timeout(LONGEST_READ, observation) => answer,
        // The decision is stored in the object, and the next leader reads it there.
        () = context.process.stop.cancelled() => return Fetched::Stopped,
    };
    match answer {
        Ok(None) => Fetched::Postponed,
        Ok(Some(observation)) => Fetched::Read(read(resource, observation)),
        Err(_) => Fetched::Read(read(resource, Observation::Unknown(UnknownReason::NotYet))),
    }
}

/// The live resource of a record; or the reason and the message why it is unknown.
pub(super) type LiveState = Observation<FoundLive, (ConditionReason, String)>;

/// A live resource, as far as it could be read.
pub(super) struct FoundLive {
    pub(super) live: Box<Live>,
    is_confirmed: bool,
    /// True if a part of it could not be read.
    is_partial: bool,
}

impl LiveState {
    /// Returns true if a change may be acted on. Two requests confirm that a resource is gone.
    pub(super) const fn is_confirmed(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Gone => true,
            Self::Present(found) => found.is_confirmed,
        }
    }

    /// Returns true if a part of the resource could not be read: a decision about it is retried.
    pub(super) const fn is_partial(&self) -> bool {
        matches!(self, Self::Present(FoundLive { is_partial: true, .. }))
    }
}

/// Looks the resource up in the inventory. None while its first read is in progress.
pub(super) fn observe(key: &ObjectKey, entry: &RecordEntry, context: &Arc<DriftContext>) -> Option<LiveState> {
    let resource = &entry.record.resource;
    if entry.record.deleting || entry.record.suspended || entry.older.is_some() {
        return Some(LiveState::Unknown((ConditionReason::Suspended, String::new())));
    }
    let observation = context.inventory.get(resource, context.settings.max_age);
    if observation == Observation::Unknown(UnknownReason::NotYet) {
        if let Some(failure) = context.sweeps.failure(resource.kind) {
            return Some(LiveState::Unknown((ConditionReason::LiveUnknown, failure)));
        }
        sweep::request_read(context, resource.kind, key.clone());
        return None;
    }
    if context.inventory.expect(resource, entry.record.fields) {
        // The record is queued again after the rest is read.
        sweep::request_read(context, resource.kind, key.clone());
        return Some(read(resource, context.inventory.get(resource, context.settings.max_age)));
    }
    Some(read(resource, observation))
}

fn read(resource: &ResourceKey, observation: Observation) -> LiveState {
    match observation {
        Observation::Gone => LiveState::Gone,
        Observation::Present(document) => match Live::of(resource, &document) {
            Ok(live) => {
                let Document { is_confirmed, is_partial, .. } = document;
                LiveState::Present(FoundLive { live: Box::new(live), is_confirmed, is_partial })
            }
            Err(error) => LiveState::Unknown((ConditionReason::LiveUnknown, error.to_string())),
        },
        Observation::Unknown(UnknownReason::NotYet) => {
            LiveState::Unknown((ConditionReason::LiveUnknown, format!("{resource} was not read yet")))
        }
        Observation::Unknown(UnknownReason::Stale { error, .. }) => {
            let why = error.map_or_else(String::new, |error| format!(": {error}"));
            LiveState::Unknown((
                ConditionReason::InventoryStale,
                format!("the last complete list is too old for a verdict{why}"),
            ))
        }
        Observation::Unknown(UnknownReason::Failed { error }) => {
            LiveState::Unknown((ConditionReason::LiveUnknown, format!("{resource} could not be read: {error}")))
        }
    }
}

/// Lists the sizes of droplets if the size of the droplet differs from the recorded one: the class of the revert depends
/// on the disk of the recorded size. Returns true if it differs.
pub(super) async fn list_sizes(entry: &RecordEntry, live: &LiveState, context: &DriftContext) -> bool {
    let LiveState::Present(found) = live else { return false };
    // Most kinds have no sizes, and need not parse the record.
    let is_resized = revert::can_resize(entry.record.resource.kind)
        && revert::is_resize(&found.live, &entry.record.desired_fields());
    if is_resized {
        // If the list times out, a later evaluation may raise the class.
        let _ = tokio::time::timeout(LONGEST_LIST, context.inventory.list_sizes()).await;
    }
    is_resized
}

/// Reads the parts of the account that a decision to revert depends on: the owners of the resource or its fields, and for
/// tags the resources that select by them. Returns why they could not be read, as the reason of a wait.
pub(super) async fn decision_facts(
    entry: &RecordEntry,
    live: &LiveState,
    context: &DriftContext,
) -> Result<DecisionFacts, String> {
    let LiveState::Present(found) = live else { return Ok(DecisionFacts::default()) };
    let decided =
        entry.drifts.iter().filter(|drift| drift.is_open() && drift.revert.is_some() && drift.reverting.is_none());
    let fields: Vec<&str> = decided.map(|drift| &*drift.field).collect();
    if fields.is_empty() {
        return Ok(DecisionFacts::default());
    }
    let owners = in_time(context.inventory.owners(&found.live, &fields)).await;
    let owners = owners.map_err(|why| format!("its owner could not be read: {why}"))?;
    let kind = entry.record.resource.kind;
    let tag_users = if fields.iter().any(|field| revert::is_selected_by(kind, field)) {
        let users = in_time(context.inventory.list_tag_users()).await;
        Some(users.map_err(|why| format!("the firewalls and load balancers could not be listed: {why}"))?)
    } else {
        None
    };
    Ok(DecisionFacts { owners, tag_users })
}

/// The result of reading for a decision.
async fn in_time<T>(reading: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    let read = tokio::time::timeout(LONGEST_READ, reading).await;
    read.map_err(|_| "no response in time".to_owned())?.map_err(|error| error.to_string())
}
