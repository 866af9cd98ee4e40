//! Keeps the drifts of every record up to date: watches, a queue of records, and one short reconcile for each.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, runtime::watcher::Event};
use tokio::time::Instant;
use tracing::info;

use super::{
    act::Executor,
    context::{DriftContext, WORKERS},
    evaluate::{evaluate, orphaned},
    fetches::Confirmation,
    index::Orphans,
    known::KnownDrift,
    observe::{Fetched, LiveState, decision_facts, fetch, list_sizes, observe},
    observed::{DecisionFacts, Inactive, NeedsFreshRead, Observed, ReadFacts, ReadSource, Recorded, Seen},
    plan::{DriftPlan, PlannedWrite, Situation},
    records::RecordEntry,
    revert_saga::concurrency_key,
    status::status,
    summary::StatusDigest,
    sweep,
};
use crate::{
    api::{Drift, ProvisionedResource, Saga, conditions::ConditionReason, events},
    digitalocean::{Beside, ResourceKey, revert},
    failpoint,
    kube_ext::{
        cache::Cache,
        call,
        events::EventDraft,
        key::ObjectKey,
        watch::{self, WatchScope},
        work::{Requeue, Work},
    },
    process,
};

/// The pause of the watch of records between batches of events during a rush. The echoes of own writes gather
/// meanwhile, and the responses to these writes arrive first.
const ECHOES_REST: Duration = Duration::from_millis(20);

/// The time for which the garbage collector of Kubernetes may delete the drifts of a deleted record.
const ORPHANS_REST: Duration = Duration::from_secs(10);

/// The interval of checking drifts whose record exists but cannot be read.
const UNREADABLE_RESTS: Duration = Duration::from_mins(5);

/// The maximum pause before the end of an acceptance is compared with the clock again.
const CLOCK_CHECK: Duration = Duration::from_mins(10);

/// The maximum duration of one reconcile, and of one watch event: far longer than all timeouts of its calls together.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

/// Reads the records and drifts at once, and reconciles them while this process leads, until shutdown. Running
/// reconciles finish.
pub(crate) async fn run(context: Arc<DriftContext>) {
    tokio::spawn(watch_records(context.clone()));
    tokio::spawn(watch_drifts(context.clone()));
    tokio::spawn(watch_reverts(context.clone()));
    if !context.process.may_begin(known(&context)).await {
        return;
    }
    let (kinds, new) = {
        let index = context.index();
        (index.kinds(), index.without_status().take(WORKERS).count())
    };
    context.lead(&kinds);
    // While the first lists are read. Most of the other records need no write.
    context.process.connect(new);
    for kind in kinds {
        sweep::start(&context, kind);
    }
    let orphans = context.index().names_of_orphans();
    context.queue.extend(orphans);
    tokio::spawn(release_statuses(context.clone()));
    process::workers("a worker for records", WORKERS, || work(context.clone())).await;
}

/// Queues the records whose statuses waited for the end of a rush, until shutdown.
async fn release_statuses(context: Arc<DriftContext>) {
    let pulse = context.process.liveness.enter("the release of statuses", LONGEST_ROUND);
    loop {
        tokio::select! {
            () = context.process.stop.cancelled() => return pulse.leave(),
            records = context.rush.released() => context.queue.extend(records),
        }
    }
}

/// Waits until every record and drift is cached.
async fn known(context: &DriftContext) {
    context.records.completed().await;
    context.drifts.completed().await;
    context.sagas.completed().await;
    let (records, kinds) = {
        let index = context.index();
        (index.len(), index.kinds().len())
    };
    info!(records, kinds, "all records and drifts are known");
}

/// Reconciles one record after another.
async fn work(context: Arc<DriftContext>) {
    let work = Work {
        kind: "ProvisionedResource",
        queue: &context.queue,
        stop: &context.process.stop,
        pulse: context.process.liveness.enter("a worker", LONGEST_ROUND),
    };
    work.run(|key| reconcile(key, &context), |took, outcome| context.metrics.reconciled(took, outcome)).await;
}

/// Reconciles the drifts and status of one record, and closes the drifts of earlier records of its name.
async fn reconcile(key: ObjectKey, context: &Arc<DriftContext>) -> Result<Requeue, call::Error> {
    // The record must not wait for a drift of an earlier record of its name.
    let orphans = settle_orphans(&key, context).await;
    let next = reconcile_record(&key, context).await;
    context.fetches.pass_on(&key, &context.queue);
    Ok(soonest(next?, orphans?))
}

/// Limits the time of the next reconcile to this wait.
fn soonest(next: Requeue, wait: Option<Duration>) -> Requeue {
    match (next, wait) {
        (Requeue::Settled, Some(wait)) => Requeue::After(wait),
        (Requeue::After(next), Some(wait)) => Requeue::After(next.min(wait)),
        (next, _) => next,
    }
}

/// Observe, decide, act.
async fn reconcile_record(key: &ObjectKey, context: &Arc<DriftContext>) -> Result<Requeue, call::Error> {
    let entry = context.index().entry(key);
    let Some(mut entry) = entry else {
        context.fetches.forget(key);
        context.fetches.confirmed(key);
        return Ok(Requeue::Settled);
    };
    let sync_request = request_sync(key, &entry, context);
    let Some(seen) = observe(key, &entry, context) else { return Ok(Requeue::Settled) };
    let is_confirmed = seen.is_confirmed();
    let reading = ReadSource::Inventory { is_confirmed };
    let mut plan = decide(key, &entry, &seen, reading, context);
    if may_need_sizes(&entry, &plan) && list_sizes(&entry, &seen, context).await {
        plan = decide(key, &entry, &seen, reading, context);
    }
    let mut next = Requeue::Settled;
    let (mut has_its_turn, mut has_read) = (true, false);
    let listed = context.inventory.listed_at(entry.record.resource.kind);
    match how_to_read(plan.needs_fresh_read, key, listed, context) {
        None => {}
        Some(Confirmation::NextList) => {
            context.fetches.forget(key);
            context.sweeps.leave_to_list(entry.record.resource.kind);
        }
        Some(Confirmation::Read) => match context.fetches.turn(key, &context.queue) {
            Err(wait) => {
                next = Requeue::After(wait);
                has_its_turn = false;
            }
            Ok(turn) => match fetch(&entry, plan.needs_fresh_read, context).await {
                Fetched::Stopped => return Ok(Requeue::Settled),
                Fetched::Postponed => context.fetches.forget(key),
                Fetched::Read(fresh) => {
                    drop(turn);
                    has_read = true;
                    // Meanwhile other decisions may have been made, or this one may have been withdrawn.
                    let now = context.index().entry(key).filter(|now| now.is_of_same(&entry));
                    let Some(now) = now else { return Ok(Requeue::Again) };
                    let before = std::mem::replace(&mut entry, now).drifts;
                    list_sizes(&entry, &fresh, context).await;
                    let decided = decision_facts(&entry, &fresh, context).await;
                    if matches!(fresh, LiveState::Unknown(_)) {
                        next = Requeue::After(context.fetches.failed(key));
                        plan = decide(key, &entry, &seen, ReadSource::Failed { is_confirmed }, context);
                    } else {
                        // Parts that only lists show stay unconfirmed until the next list.
                        if observe(key, &entry, context).is_none_or(|known| known.is_confirmed()) {
                            context.fetches.confirmed(key);
                        }
                        let listed = context.inventory.listed_at(entry.record.resource.kind);
                        let listed_at = listed.and_then(|at| Timestamp::now().checked_sub(at.elapsed()).ok());
                        let reading = ReadSource::Fresh { before: &before, listed_at };
                        plan = decide_for(key, &entry, &fresh, reading, context, &decided);
                        if plan.awaits_list {
                            context.sweeps.request_list(entry.record.resource.kind);
                        }
                        if plan.awaits_list
                            || decided.is_err()
                            || fresh.is_partial() && entry.drifts.iter().any(is_decided)
                        {
                            next = Requeue::After(context.fetches.failed(key));
                        } else {
                            context.fetches.forget(key);
                        }
                        if plan.needs_fresh_read.is_some() {
                            next = Requeue::Again;
                        }
                    }
                }
            },
        },
    }
    // An acceptance with an end is reconciled again when it expires. The clock may be set meanwhile.
    let until_end = plan.next_end.map(|end| end.duration_since(Timestamp::now()));
    let until_end = until_end.map(|wait| wait.try_into().unwrap_or_default());
    next = soonest(next, until_end.map(|wait: Duration| wait.min(CLOCK_CHECK)));
    // The situation stays the same after these.
    let adds_only =
        plan.writes.iter().all(|write| matches!(write, PlannedWrite::Open { .. } | PlannedWrite::Wait { .. }));
    let outcome = Executor::new(key, &entry, context).carry_out(plan.writes).await?;
    if outcome.wrote && outcome.refused.is_empty() {
        // Drifts were written, so the status has to follow.
        let now = context.index().entry(key).filter(|now| Arc::ptr_eq(&now.record, &entry.record));
        match now.filter(|_| adds_only) {
            // The drifts of other records come before the status of this one.
            Some(_) if context.is_in_rush() => {
                context.rush.defer(key.clone());
                return Ok(next);
            }
            Some(now) => entry = now,
            None => return Ok(Requeue::Again),
        }
    }
    let mut situation = plan.situation;
    situation.refuse(outcome.messages());
    let is_about_to_be_confirmed = !has_its_turn && plan.needs_fresh_read == Some(NeedsFreshRead::Change);
    if situation != Situation::Deleting && !is_about_to_be_confirmed {
        // After a read, the next reconcile would read again.
        let may_wait = outcome.refused.is_empty() && !has_read;
        keep_status(key, &entry, &situation, sync_request.handled(), may_wait, context).await?;
    }
    match outcome.refused.into_iter().next() {
        // It may be accepted later, after the policy or the conflicting object has changed.
        Some(refused) => Err(refused.error),
        None => Ok(next),
    }
}

/// Returns true if a drift that opens or is open may show a class that depends on the sizes of droplets. A record in sync
/// shows none.
fn may_need_sizes(entry: &RecordEntry, plan: &DriftPlan) -> bool {
    let kind = entry.record.resource.kind;
    let mut open = entry.drifts.iter().filter(|drift| drift.is_open());
    !plan.writes.is_empty() || open.any(|drift| revert::is_size(kind, &drift.field))
}

/// The kind of fresh read that the live resource needs, if any.
fn how_to_read(
    needs: Option<NeedsFreshRead>,
    key: &ObjectKey,
    listed: Option<Instant>,
    context: &DriftContext,
) -> Option<Confirmation> {
    match needs {
        None => {
            context.fetches.forget(key);
            context.fetches.confirmed(key);
            None
        }
        Some(NeedsFreshRead::Change) => Some(context.fetches.confirmation(key, listed)),
        Some(NeedsFreshRead::Decision) => Some(Confirmation::Read),
    }
}

/// Closes the drifts of earlier records of a name, which `kubectl delete --cascade=orphan` leaves behind. Returns the
/// time of the next check, if there is more to do.
async fn settle_orphans(key: &ObjectKey, context: &DriftContext) -> Result<Option<Duration>, call::Error> {
    let all = context.index().orphans(key);
    let mut rest: Option<Duration> = None;
    for orphans in all {
        let left = failpoint::limit("orphans-rest", ORPHANS_REST).saturating_sub(orphans.since.elapsed());
        let left = if left.is_zero() && exists(key, &orphans, context).await? { UNREADABLE_RESTS } else { left };
        if !left.is_zero() {
            rest = Some(rest.map_or(left, |rest| rest.min(left)));
            continue;
        }
        let outcome = Executor::on_orphans(&orphans, key, context).carry_out(orphaned(&orphans.drifts)).await?;
        if let Some(refused) = outcome.refused.into_iter().next() {
            return Err(refused.error);
        }
    }
    Ok(rest)
}

/// Returns true if the record of these drifts exists: a record that this version cannot read is not in the index.
async fn exists(key: &ObjectKey, orphans: &Orphans, context: &DriftContext) -> Result<bool, call::Error> {
    let records: Api<ProvisionedResource> = Api::namespaced(context.process.client.clone(), &key.namespace);
    let doing = format!("reading ProvisionedResource {key}");
    let found = call::bounded(&doing, records.get_metadata_opt(&key.name)).await?;
    Ok(found.is_some_and(|found| found.metadata.uid.as_deref() == Some(orphans.owner.as_ref())))
}

/// The state of a sync that an annotation requests.
enum Sync {
    NotRequested,
    Requested,
    /// The value of the annotation: another request may have arrived since.
    Handled(String),
}

impl Sync {
    /// The request that was handled.
    fn handled(&self) -> Option<&str> {
        match self {
            Self::Handled(request) => Some(request),
            Self::NotRequested | Self::Requested => None,
        }
    }
}

fn request_sync(key: &ObjectKey, entry: &RecordEntry, context: &Arc<DriftContext>) -> Sync {
    let Some(request) = entry.record.unanswered_sync() else { return Sync::NotRequested };
    if context.is_sync_handled(&entry.record.uid, request) {
        return Sync::Handled(request.to_owned());
    }
    sweep::request_read(context, entry.record.resource.kind, key.clone());
    Sync::Requested
}

/// Returns true if a decision waits on an open drift.
fn is_decided(drift: &KnownDrift) -> bool {
    drift.is_open() && drift.is_decided()
}

fn decide(
    key: &ObjectKey,
    entry: &RecordEntry,
    known: &LiveState,
    reading: ReadSource<'_>,
    context: &DriftContext,
) -> DriftPlan {
    decide_for(key, entry, known, reading, context, &Ok(DecisionFacts::default()))
}

fn decide_for(
    key: &ObjectKey,
    entry: &RecordEntry,
    known: &LiveState,
    reading: ReadSource<'_>,
    context: &DriftContext,
    decided: &Result<DecisionFacts, String>,
) -> DriftPlan {
    let record = &entry.record;
    let mut reverts = context.reverts().of(key);
    if !reverts.is_empty() {
        // An earlier record of the name may have been about another resource.
        let resource = concurrency_key(&record.resource);
        reverts.retain(|saga| saga.resource.as_ref().is_none_or(|of| **of == *resource));
    }
    let facts = || context.account_facts();
    let desired = record.desired_fields();
    let older = entry.older.as_ref().map(ToString::to_string);
    let rests = match &older {
        _ if record.deleting => Some(Inactive::Deleting),
        _ if record.suspended => Some(Inactive::Suspended),
        older => older.as_deref().map(Inactive::Duplicate),
    };
    let recorded = Recorded {
        namespace: &key.namespace,
        name: &key.name,
        reverts: &reverts,
        decided: decided.as_ref().map_err(String::as_str),
        facts: ReadFacts(&facts),
        desired: &desired,
        ignore: record.ignore(),
        rests,
        was_seen: record.status.was_seen() || !entry.drifts.is_empty(),
        last_accepted: record.last_accepted(),
        accept: record.accept,
        declared: &record.declared,
        now: Timestamp::now(),
    };
    let for_record;
    let seen = match known {
        LiveState::Unknown((reason, message)) => Seen::Unknown((*reason, message)),
        LiveState::Gone => Seen::Gone,
        LiveState::Present(found) => {
            let certificates = record.status.certificates();
            for_record = found.live.beside(Beside { desired: desired.clone(), certificates });
            Seen::Present(&for_record)
        }
    };
    evaluate(&recorded, Observed { seen, reading }, &entry.drifts, context.settings.history)
}

/// Writes the status of a record if it changed, in a rush after its end.
async fn keep_status(
    key: &ObjectKey,
    entry: &RecordEntry,
    situation: &Situation,
    handled: Option<&str>,
    may_wait: bool,
    context: &Arc<DriftContext>,
) -> Result<(), call::Error> {
    let status = status(entry, situation, handled, Timestamp::now());
    let digest = StatusDigest::of(&status);
    if entry.record.status.digest == digest {
        return Ok(());
    }
    if context.rush.is_on() && may_wait {
        context.rush.defer(key.clone());
        return Ok(());
    }
    let act = Executor::new(key, entry, context);
    act.write_status(status).await?;
    // Otherwise the watch has to show the written status first.
    let is_known = |request| context.index().record(key).is_some_and(|record| record.status.has_handled(request));
    if handled.is_some_and(is_known) {
        context.forget_sync(&entry.record.uid);
    }
    publish_stale(&act, entry, situation);
    Ok(())
}

/// Publishes once that the inventory became too old.
fn publish_stale(act: &Executor<'_>, entry: &RecordEntry, situation: &Situation) {
    let Situation::Unknown(ConditionReason::InventoryStale, message) = situation else { return };
    if !entry.record.status.is_stale() {
        act.context.process.events.publish(EventDraft {
            about: act.about(),
            related: None,
            event: events::INVENTORY_STALE,
            action: "Sync",
            note: message.clone(),
            group: None,
        });
    }
}

async fn watch_records(context: Arc<DriftContext>) {
    let pulse = context.process.liveness.enter("the watch of ProvisionedResources", LONGEST_ROUND);
    let take = |scope: &WatchScope, event: &Event<ProvisionedResource>| {
        let affected = context.index().take(scope, event);
        if let Event::Delete(record) = event {
            forget_record(&record.metadata, Some(&record.spec.resource.key()), &context);
        }
        context.enqueue(affected);
    };
    let lose = |metadata: &ObjectMeta| {
        let resource = context.index().record(&ObjectKey::named(metadata)).map(|record| record.resource.clone());
        let affected = Cache::<ProvisionedResource>::delete_undecoded(&mut *context.index(), metadata);
        forget_record(metadata, resource.as_ref(), &context);
        context.enqueue(affected);
    };
    let is_known = |object: &ObjectMeta| context.index().has_record(object);
    let rest = || context.is_in_rush().then_some(ECHOES_REST);
    watch::follow(&context.process.client, &context.records, pulse, is_known, rest, take, lose).await;
}

/// Drops what is kept of a deleted record besides the index.
fn forget_record(metadata: &ObjectMeta, resource: Option<&ResourceKey>, context: &DriftContext) {
    let key = ObjectKey::named(metadata);
    context.fetches.forget(&key);
    context.fetches.confirmed(&key);
    if let Some(resource) = resource {
        context.forget(resource);
    }
    context.forget_sync(metadata.uid.as_deref().unwrap_or_default());
}

async fn watch_reverts(context: Arc<DriftContext>) {
    let pulse = context.process.liveness.enter("the watch of Sagas that revert drifts", LONGEST_ROUND);
    let take = |scope: &WatchScope, event: &Event<Saga>| {
        let affected = context.reverts().take(scope, event);
        context.enqueue(affected);
    };
    let lose = |metadata: &ObjectMeta| {
        let affected = context.reverts().delete_undecoded(metadata);
        context.enqueue(affected);
    };
    let is_known = |object: &ObjectMeta| context.reverts().has(object);
    watch::follow(&context.process.client, &context.sagas, pulse, is_known, || None, take, lose).await;
}

async fn watch_drifts(context: Arc<DriftContext>) {
    let pulse = context.process.liveness.enter("the watch of Drifts", LONGEST_ROUND);
    let take = |scope: &WatchScope, event: &Event<Drift>| {
        let affected = context.index().take(scope, event);
        context.enqueue(affected);
    };
    let lose = |metadata: &ObjectMeta| {
        let affected = Cache::<Drift>::delete_undecoded(&mut *context.index(), metadata);
        context.enqueue(affected);
    };
    let is_known = |object: &ObjectMeta| context.index().has_drift(object);
    watch::follow(&context.process.client, &context.drifts, pulse, is_known, || None, take, lose).await;
}
