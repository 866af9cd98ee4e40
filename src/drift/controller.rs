//! Keeps the drifts of every record right: watches, a queue of records, and one short reconcile for each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{Api, runtime::watcher::Event};
use tokio::time::Instant;
use tracing::info;

use super::{
    act::Act,
    asking::{Asking, Confirmation},
    evaluate::{
        NeedsFreshRead, Observed, Owner, Plan, Reading, Recorded, Rests, Seen, Selected, Situation, evaluate, orphaned,
    },
    index::{Entry, Index, Orphans},
    known::KnownDrift,
    reverts::Reverts,
    status::status,
    sweep::Sweeps,
};
use crate::{
    api::{Drift, ProvisionedResource, Saga, conditions::reason, labels},
    digitalocean::{
        Document, Inventory, Kind, Live, Observation, ResourceKey, UnknownReason,
        revert::{SelectedTags, selected_by, selects_by_tags},
    },
    kube_ext::{
        cache::Cache,
        call,
        events::News,
        failpoint,
        key::ObjectKey,
        queue::Queue,
        watch::{self, FirstLists, Scope},
        work::{Next, Work},
    },
    process::{self, Process},
    schedule::Schedule,
};

/// How many records are worked on at a time: as many writes as the API server takes side by side.
const WORKERS: usize = 16;

/// How long one decision may wait for the provider's answer.
const LONGEST_ASK: Duration = Duration::from_secs(20);

/// For how many records the provider is asked at a time for the sake of a decision: other news finds a worker all the
/// same.
const ASKING: usize = WORKERS / 2;

/// How long drifts whose record is gone are left to the garbage collector of Kubernetes.
const ORPHANS_REST: Duration = Duration::from_secs(10);

/// When to look again at drifts whose record exists after all and cannot be read.
const UNREADABLE_RESTS: Duration = Duration::from_mins(5);

/// How long one record may be worked on, and one event of a watch: far longer than all limits of its calls together.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

/// For how long the tags by which resources select are taken as read.
const SELECTED_FOR: Duration = Duration::from_secs(10);

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces to watch; all when empty.
    pub namespaces: Vec<String>,
    /// When to list the cloud.
    pub sync: Schedule,
    /// When to compare; right after each sync when not set.
    pub detect: Option<Schedule>,
    /// Inventory older than this gives no verdict.
    pub max_age: Duration,
    /// How many resolved drifts are kept per record and field.
    pub history: usize,
}

/// What every part of the controller shares.
pub struct Context {
    /// What all controllers share.
    pub process: Process,
    /// The cloud.
    pub inventory: Inventory,
    /// What it was told.
    pub settings: Settings,
    pub(super) queue: Queue<ObjectKey>,
    pub(super) sweeps: Sweeps,
    asking: Asking,
    index: Mutex<Index>,
    reverts: Mutex<Reverts>,
    selected: Mutex<Option<(Instant, Arc<SelectedTags>)>>,
    records: FirstLists,
    drifts: FirstLists,
    sagas: FirstLists,
    /// By UID of the record that asks: another one of its name may ask in the same words.
    handled_syncs: Mutex<HashMap<Arc<str>, Box<str>>>,
}

impl Context {
    /// A controller that has not begun.
    #[must_use]
    pub fn new(process: Process, inventory: Inventory, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            process,
            inventory,
            records: FirstLists::of(&settings.namespaces),
            drifts: FirstLists::of(&settings.namespaces),
            sagas: FirstLists::of(&settings.namespaces).with_label(labels::REVERT_OF),
            reverts: Mutex::default(),
            selected: Mutex::default(),
            settings,
            queue: Queue::default(),
            sweeps: Sweeps::default(),
            asking: Asking::new(ASKING),
            index: Mutex::default(),
            handled_syncs: Mutex::default(),
        })
    }

    /// The records and drifts. Never held across an await.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sagas that revert drifts. Never held across an await.
    pub(super) fn reverts(&self) -> MutexGuard<'_, Reverts> {
        self.reverts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tags by which recorded resources select others, as of a moment ago.
    fn selected_tags(&self) -> Arc<SelectedTags> {
        let mut selected = self.selected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, tags)) = &*selected
            && at.elapsed() < SELECTED_FOR
        {
            return tags.clone();
        }
        let kinds = Kind::all().filter(|kind| selects_by_tags(*kind));
        let recorded = kinds.flat_map(|kind| {
            let wanted = self.index().recorded(kind);
            wanted.into_iter().map(move |wanted| ResourceKey { kind, id: wanted.id })
        });
        let mut tags = SelectedTags::new();
        for key in recorded {
            if let Observation::Present(document) = self.inventory.look(&key, self.settings.max_age)
                && let Ok(live) = Live::of(&key, &document)
            {
                selected_by(&live, &mut tags);
            }
        }
        let tags = Arc::new(tags);
        *selected = Some((Instant::now(), tags.clone()));
        tags
    }

    /// Whether every record and drift, and every saga that reverts one, is known.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.records.are_complete() && self.drifts.are_complete() && self.sagas.are_complete()
    }

    /// Queues these records, once all are known and this process acts: the sweeps hand over the first ones, whole kinds
    /// at a time.
    fn look_at(&self, affected: Vec<ObjectKey>) {
        if self.is_loaded() && self.process.leadership.is_leader() {
            self.queue.extend(affected);
        }
    }

    /// Forgets a live resource whose record was deleted, unless another records it.
    fn forget(&self, resource: &ResourceKey) {
        if self.index().records_of(resource).is_empty() {
            self.inventory.forget(resource);
        }
    }

    /// A sync that was asked for has been made.
    pub(super) fn handled_sync(&self, uid: Arc<str>, request: Box<str>) {
        self.handled().insert(uid, request);
    }

    /// The sync that was asked for and made, if its record does not say so yet.
    pub(super) fn is_sync_handled(&self, uid: &str, request: &str) -> bool {
        self.handled().get(uid).is_some_and(|handled| handled.as_ref() == request)
    }

    /// Its record says so, or is gone.
    fn forget_sync(&self, uid: &str) {
        self.handled().remove(uid);
    }

    fn handled(&self) -> MutexGuard<'_, HashMap<Arc<str>, Box<str>>> {
        self.handled_syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the records and drifts at once, and acts on them from when this process is the leader until it is told to
/// stop. What is under way then is finished.
pub async fn run(context: Arc<Context>) {
    tokio::spawn(watch_records(context.clone()));
    tokio::spawn(watch_drifts(context.clone()));
    tokio::spawn(watch_reverts(context.clone()));
    if !context.process.may_begin(known(&context)).await {
        return;
    }
    let kinds = context.index().kinds();
    for kind in kinds {
        context.sweeps.start(&context, kind);
    }
    let orphans = context.index().names_of_orphans();
    context.queue.extend(orphans);
    process::workers("a worker for records", WORKERS, || work(context.clone())).await;
}

/// Waits until every record and drift is known.
async fn known(context: &Context) {
    context.records.completed().await;
    context.drifts.completed().await;
    context.sagas.completed().await;
    let (records, kinds) = {
        let index = context.index();
        (index.len(), index.kinds().len())
    };
    info!(records, kinds, "all records and drifts are known");
}

/// Works on one record after the other.
async fn work(context: Arc<Context>) {
    let work = Work {
        kind: "ProvisionedResource",
        queue: &context.queue,
        stop: &context.process.stop,
        pulse: context.process.liveness.enter("a worker", LONGEST_ROUND),
    };
    work.run(|key| reconcile(key, &context), |took, outcome| context.process.metrics.reconciled(took, outcome)).await;
}

/// Brings one record's drifts and status up to what is known, and closes what former records of its name left behind.
async fn reconcile(key: ObjectKey, context: &Arc<Context>) -> Result<Next, call::Error> {
    // The record must not wait for a drift that is left of an earlier one of its name.
    let orphans = settle_orphans(&key, context).await;
    let next = reconcile_record(&key, context).await?;
    Ok(soonest(next, orphans?))
}

/// Not later than after this wait.
fn soonest(next: Next, wait: Option<Duration>) -> Next {
    match (next, wait) {
        (Next::Settled, Some(wait)) => Next::After(wait),
        (Next::After(next), Some(wait)) => Next::After(next.min(wait)),
        (next, _) => next,
    }
}

/// Observe, decide, act.
async fn reconcile_record(key: &ObjectKey, context: &Arc<Context>) -> Result<Next, call::Error> {
    let entry = context.index().entry(key);
    let Some(mut entry) = entry else {
        context.asking.forget(key);
        context.asking.confirmed(key);
        return Ok(Next::Settled);
    };
    let is_asked_to_sync = ask_for_sync(key, &entry, context);
    let Some(seen) = observe(key, &entry, context) else { return Ok(Next::Settled) };
    let is_confirmed = seen.is_confirmed();
    let mut plan = decide(key, &entry, &seen, Reading::Inventory { is_confirmed }, context);
    let mut next = Next::Settled;
    let mut has_its_turn = true;
    let listed = context.inventory.listed_at(entry.record.resource.kind);
    match how_to_read(plan.needs_fresh_read, key, listed, context) {
        None => {}
        Some(Confirmation::NextList) => context.asking.forget(key),
        Some(Confirmation::Read) => match context.asking.turn() {
            Err(wait) => {
                next = Next::After(wait);
                has_its_turn = false;
            }
            Ok(turn) => match fetch(&entry, plan.needs_fresh_read, context).await {
                Fetched::Stopped => return Ok(Next::Settled),
                Fetched::Postponed => context.asking.forget(key),
                Fetched::Read(fresh) => {
                    drop(turn);
                    // Other decisions may have come meanwhile, or this one may have been taken back.
                    let now = context.index().entry(key).filter(|now| now.is_of_same(&entry));
                    let Some(now) = now else { return Ok(Next::Again) };
                    let before = std::mem::replace(&mut entry, now).drifts;
                    let owner = owner(&entry, context).await;
                    if matches!(fresh, Known::Nothing(..)) {
                        next = Next::After(context.asking.failed(key));
                        plan = decide(key, &entry, &seen, Reading::Failed { is_confirmed }, context);
                    } else {
                        context.asking.confirmed(key);
                        let reading = Reading::Fresh { before: &before };
                        plan = decide_for(key, &entry, &fresh, reading, context, &owner);
                        if owner.is_err() || fresh.is_partial() && entry.drifts.iter().any(is_decided) {
                            next = Next::After(context.asking.failed(key));
                        } else {
                            context.asking.forget(key);
                        }
                        if plan.needs_fresh_read.is_some() {
                            next = Next::Again;
                        }
                    }
                }
            },
        },
    }
    // An acceptance that ends by itself is looked at again when its time is up.
    let until_end = plan.next_end.map(|end| end.duration_since(Timestamp::now()));
    next = soonest(next, until_end.map(|wait| wait.try_into().unwrap_or_default()));
    let mut act = Act::new(key, &entry, context);
    let outcome = act.carry_out(plan.steps).await?;
    if outcome.wrote && outcome.refused.is_empty() {
        // Drifts were written, so the status has to follow.
        return Ok(Next::Again);
    }
    let mut situation = plan.situation;
    situation.refuse(outcome.messages());
    let is_about_to_be_confirmed = !has_its_turn && plan.needs_fresh_read == Some(NeedsFreshRead::Change);
    if situation != Situation::Deleting && !is_about_to_be_confirmed {
        let request = entry.record.sync_requested.as_deref().filter(|_| is_asked_to_sync == Sync::Made);
        let status = status(&entry, &situation, request, Timestamp::now());
        if !entry.record.status.says(&status) {
            act.write_status(status).await?;
            if request.is_some() {
                context.forget_sync(&entry.record.uid);
            }
            tell_stale(&act, &entry, &situation);
        }
    }
    match outcome.refused.into_iter().next() {
        // It may be taken later, when the policy or the object that is in its way has changed.
        Some(refused) => Err(refused.error),
        None => Ok(next),
    }
}

/// How to read the live resource anew, where that is needed.
fn how_to_read(
    needs: Option<NeedsFreshRead>,
    key: &ObjectKey,
    listed: Option<Instant>,
    context: &Context,
) -> Option<Confirmation> {
    match needs {
        None => {
            context.asking.forget(key);
            context.asking.confirmed(key);
            None
        }
        Some(NeedsFreshRead::Change) => Some(context.asking.confirmation(key, listed)),
        Some(NeedsFreshRead::Decision) => Some(Confirmation::Read),
    }
}

/// The outcome of fetching the live resource again.
enum Fetched {
    /// The process ends.
    Stopped,
    /// The allowance for confirming changes is spent; the next list confirms this one.
    Postponed,
    Read(Known),
}

/// Reads the live resource: a decision binds to its value of this moment, not of the last sweep.
async fn fetch(entry: &Entry, needs: Option<NeedsFreshRead>, context: &Context) -> Fetched {
    let resource = &entry.record.resource;
    let max_age = context.settings.max_age;
    let read_it = async {
        match needs {
            Some(NeedsFreshRead::Change) => context.inventory.confirm_change(resource, max_age).await,
            Some(NeedsFreshRead::Decision) | None => Some(context.inventory.fetch(resource, max_age).await),
        }
    };
    // A token that is out of calls makes every call wait; other records must not wait with this one.
    let answer = tokio::select! {
        answer = tokio::time::timeout(LONGEST_ASK, read_it) => answer,
        // The decision stands on the object; the next leader finds it there.
        () = context.process.stop.cancelled() => return Fetched::Stopped,
    };
    match answer {
        Ok(None) => Fetched::Postponed,
        Ok(Some(observation)) => Fetched::Read(read(resource, observation)),
        Err(_) => Fetched::Read(read(resource, Observation::Unknown(UnknownReason::NotYet))),
    }
}

/// Closes the drifts of former records of a name, which `kubectl delete --cascade=orphan` leaves behind. Returns when to
/// look again, if something is left to do.
async fn settle_orphans(key: &ObjectKey, context: &Context) -> Result<Option<Duration>, call::Error> {
    let all = context.index().orphans(key);
    let mut rest: Option<Duration> = None;
    for orphans in all {
        let left = failpoint::limit("orphans-rest", ORPHANS_REST).saturating_sub(orphans.since.elapsed());
        let left = if left.is_zero() && exists(key, &orphans, context).await? { UNREADABLE_RESTS } else { left };
        if !left.is_zero() {
            rest = Some(rest.map_or(left, |rest| rest.min(left)));
            continue;
        }
        let outcome = Act::on_orphans(&orphans, key, context).carry_out(orphaned(&orphans.drifts)).await?;
        if let Some(refused) = outcome.refused.into_iter().next() {
            return Err(refused.error);
        }
    }
    Ok(rest)
}

/// Whether the record of these drifts exists after all: one that this version cannot read is not in the index.
async fn exists(key: &ObjectKey, orphans: &Orphans, context: &Context) -> Result<bool, call::Error> {
    let records: Api<ProvisionedResource> = Api::namespaced(context.process.client.clone(), &key.namespace);
    let doing = format!("reading ProvisionedResource {key}");
    let found = call::bounded(&doing, records.get_metadata_opt(&key.name)).await?;
    Ok(found.is_some_and(|found| found.metadata.uid.as_deref() == Some(orphans.owner.as_ref())))
}

/// Whether a sync was asked for by annotation.
#[derive(PartialEq, Eq)]
enum Sync {
    NotAsked,
    Asked,
    Made,
}

fn ask_for_sync(key: &ObjectKey, entry: &Entry, context: &Arc<Context>) -> Sync {
    let Some(request) = entry.record.unanswered_sync() else { return Sync::NotAsked };
    if context.is_sync_handled(&entry.record.uid, request) {
        return Sync::Made;
    }
    context.sweeps.ask(context, entry.record.resource.kind, key.clone());
    Sync::Asked
}

/// What is known of a live resource.
enum Known {
    Nothing(&'static str, String),
    Gone,
    Live {
        live: Box<Live>,
        is_confirmed: bool,
        /// A part of it could not be read.
        is_partial: bool,
    },
}

impl Known {
    /// Whether a change may be acted on: two requests are behind a resource that is gone.
    const fn is_confirmed(&self) -> bool {
        match self {
            Self::Nothing(..) => false,
            Self::Gone => true,
            Self::Live { is_confirmed, .. } => *is_confirmed,
        }
    }

    /// Whether a part of the resource could not be read: a decision about it is retried.
    const fn is_partial(&self) -> bool {
        matches!(self, Self::Live { is_partial: true, .. })
    }
}

/// Whether a decision waits on an open drift.
fn is_decided(drift: &KnownDrift) -> bool {
    drift.is_open() && drift.is_decided()
}

/// Looks the resource up in the inventory. None while the first look is under way.
fn observe(key: &ObjectKey, entry: &Entry, context: &Arc<Context>) -> Option<Known> {
    let resource = &entry.record.resource;
    if entry.record.deleting || entry.record.suspended || entry.older.is_some() {
        return Some(Known::Nothing(reason::SUSPENDED, String::new()));
    }
    let observation = context.inventory.look(resource, context.settings.max_age);
    if observation == Observation::Unknown(UnknownReason::NotYet) {
        if let Some(failure) = context.sweeps.failure(resource.kind) {
            return Some(Known::Nothing(reason::LIVE_UNKNOWN, failure));
        }
        context.sweeps.ask(context, resource.kind, key.clone());
        return None;
    }
    if context.inventory.expect(resource, entry.record.fields) {
        // The record is queued again when the rest is read.
        context.sweeps.ask(context, resource.kind, key.clone());
        return Some(read(resource, context.inventory.look(resource, context.settings.max_age)));
    }
    Some(read(resource, observation))
}

fn read(resource: &ResourceKey, observation: Observation) -> Known {
    match observation {
        Observation::Gone => Known::Gone,
        Observation::Present(document) => match Live::of(resource, &document) {
            Ok(live) => {
                let Document { is_confirmed, is_partial, .. } = document;
                Known::Live { live: Box::new(live), is_confirmed, is_partial }
            }
            Err(error) => Known::Nothing(reason::LIVE_UNKNOWN, error.to_string()),
        },
        Observation::Unknown(UnknownReason::NotYet) => {
            Known::Nothing(reason::LIVE_UNKNOWN, format!("{resource} was not read yet"))
        }
        Observation::Unknown(UnknownReason::Stale { error, .. }) => {
            let why = error.map_or_else(String::new, |error| format!(": {error}"));
            Known::Nothing(reason::INVENTORY_STALE, format!("the last complete list is too old for a verdict{why}"))
        }
        Observation::Unknown(UnknownReason::Failed { error }) => {
            Known::Nothing(reason::LIVE_UNKNOWN, format!("{resource} could not be read: {error}"))
        }
    }
}

/// The controller that owns the resource, where a revert needs to know.
async fn owner(entry: &Entry, context: &Context) -> Result<Option<String>, String> {
    if !entry.drifts.iter().any(|drift| drift.is_open() && drift.revert.is_some() && drift.reverting.is_none()) {
        return Ok(None);
    }
    let asked = tokio::time::timeout(LONGEST_ASK, context.inventory.owner(&entry.record.resource)).await;
    asked.map_err(|_| "no response in time".to_owned())?.map_err(|error| error.to_string())
}

fn decide(key: &ObjectKey, entry: &Entry, known: &Known, reading: Reading<'_>, context: &Context) -> Plan {
    decide_for(key, entry, known, reading, context, &Ok(None))
}

fn decide_for(
    key: &ObjectKey,
    entry: &Entry,
    known: &Known,
    reading: Reading<'_>,
    context: &Context,
    owner: &Result<Option<String>, String>,
) -> Plan {
    let record = &entry.record;
    let reverts = context.reverts().of(entry.drifts.iter().map(|drift| drift.uid.as_ref()));
    let selected = || context.selected_tags();
    let desired = record.desired_fields();
    let older = entry.older.as_ref().map(ToString::to_string);
    let rests = match &older {
        _ if record.deleting => Some(Rests::Deleting),
        _ if record.suspended => Some(Rests::Suspended),
        older => older.as_deref().map(Rests::Duplicate),
    };
    let recorded = Recorded {
        name: &key.name,
        reverts: &reverts,
        owner: match owner {
            Ok(None) => Owner::Nobody,
            Ok(Some(owner)) => Owner::Controller(owner),
            Err(why) => Owner::Unknown(why),
        },
        selected: Selected(&selected),
        desired: &desired,
        ignore: &record.ignore,
        rests,
        was_seen: record.status.was_seen() || !entry.drifts.is_empty(),
        last_accepted: record.last_accepted.clone(),
        accept: record.accept,
        declared: &record.declared,
        now: Timestamp::now(),
    };
    let seen = match known {
        Known::Nothing(reason, message) => Seen::Unknown(reason, message),
        Known::Gone => Seen::Gone,
        Known::Live { live, .. } => Seen::Present(live),
    };
    evaluate(&recorded, Observed { seen, reading }, &entry.drifts, context.settings.history)
}

/// Tells once that the inventory became too old.
fn tell_stale(act: &Act<'_>, entry: &Entry, situation: &Situation) {
    let Situation::Unknown(reason::INVENTORY_STALE, message) = situation else { return };
    if !entry.record.status.is_stale() {
        act.context.process.events.publish(News {
            about: act.about(),
            related: None,
            is_warning: true,
            reason: reason::INVENTORY_STALE,
            action: "Sync",
            note: message.clone(),
        });
    }
}

async fn watch_records(context: Arc<Context>) {
    let pulse = context.process.liveness.enter("the watch of ProvisionedResources", LONGEST_ROUND);
    let take = |scope: &Scope, event: &Event<ProvisionedResource>| {
        let affected = context.index().take(scope, event);
        if let Event::Delete(record) = event {
            let key = ObjectKey::of(record);
            context.asking.forget(&key);
            context.asking.confirmed(&key);
            context.forget(&record.spec.resource.key());
            context.forget_sync(record.metadata.uid.as_deref().unwrap_or_default());
        }
        context.look_at(affected);
    };
    watch::follow(&context.process.client, &context.records, pulse, take).await;
}

async fn watch_reverts(context: Arc<Context>) {
    let pulse = context.process.liveness.enter("the watch of Sagas that revert drifts", LONGEST_ROUND);
    let take = |scope: &Scope, event: &Event<Saga>| {
        let affected = context.reverts().take(scope, event);
        context.look_at(affected);
    };
    watch::follow(&context.process.client, &context.sagas, pulse, take).await;
}

async fn watch_drifts(context: Arc<Context>) {
    let pulse = context.process.liveness.enter("the watch of Drifts", LONGEST_ROUND);
    let take = |scope: &Scope, event: &Event<Drift>| {
        let affected = context.index().take(scope, event);
        context.look_at(affected);
    };
    watch::follow(&context.process.client, &context.drifts, pulse, take).await;
}

/// A controller that has not begun, and a cloud that does not answer: for tests of what it is made of.
#[cfg(test)]
pub(crate) fn idle(process: Process) -> (Arc<Context>, crate::digitalocean::Client) {
    use crate::digitalocean;

    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = digitalocean::Token::new("x").unwrap();
    let cloud = digitalocean::Client::new(digitalocean::Config::new("http://127.0.0.1:1", token).unwrap()).unwrap();
    let settings = Settings {
        namespaces: Vec::new(),
        sync: "5m".parse().unwrap(),
        detect: None,
        max_age: Duration::from_mins(15),
        history: 1,
    };
    let inventory = Inventory::new(cloud.clone(), digitalocean::Settings::default());
    (Context::new(process, inventory, settings), cloud)
}
