//! Keeps the drifts of every record right: watches, a queue of records, and one short reconcile for each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::runtime::watcher::Event;
use tracing::info;

use super::{
    act::Act,
    asking::Asking,
    evaluate::{Asked, Observed, Plan, Recorded, Seen, Situation, evaluate},
    index::{Entry, Index},
    status::status,
    sweep::Sweeps,
};
use crate::{
    api::{Drift, ProvisionedResource, conditions::reason},
    digitalocean::{Inventory, Live, Observation, ResourceKey, UnknownReason},
    kube_ext::{
        call,
        events::News,
        key::ObjectKey,
        mirror::Mirror,
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

/// How long one record may be worked on, and one event of a watch: far longer than all limits of its calls together.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

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
    records: FirstLists,
    drifts: FirstLists,
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

    /// Whether every record and drift is known.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.records.are_complete() && self.drifts.are_complete()
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
    if !context.process.may_begin(known(&context)).await {
        return;
    }
    let kinds = context.index().kinds();
    for kind in kinds {
        context.sweeps.start(&context, kind);
    }
    process::workers("a worker for records", WORKERS, || work(context.clone())).await;
}

/// Waits until every record and drift is known.
async fn known(context: &Context) {
    context.records.completed().await;
    context.drifts.completed().await;
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

/// Brings one record's drifts and status up to what is known: observe, decide, act.
async fn reconcile(key: ObjectKey, context: &Arc<Context>) -> Result<Next, call::Error> {
    let Some(entry) = context.index().entry(&key) else {
        context.asking.forget(&key);
        return Ok(Next::Settled);
    };
    if entry.record.deleting {
        return Ok(Next::Settled);
    }
    let is_asked_to_sync = ask_for_sync(&key, &entry, context);
    let Some(seen) = observe(&key, &entry, context) else { return Ok(Next::Settled) };
    let mut plan = decide(&entry, &seen, Asked::No, context);
    let mut next = Next::Settled;
    if plan.ask_live {
        match context.asking.turn() {
            Err(wait) => next = Next::After(wait),
            Ok(turn) => {
                let fresh = match ask(&key, &entry, context).await {
                    Ok(fresh) => fresh,
                    Err(next) => return Ok(next),
                };
                drop(turn);
                if matches!(fresh, Known::Nothing(..)) {
                    next = Next::After(context.asking.in_vain(&key));
                    plan = decide(&entry, &seen, Asked::InVain, context);
                } else {
                    context.asking.forget(&key);
                    plan = decide(&entry, &fresh, Asked::JustNow, context);
                }
            }
        }
    } else {
        context.asking.forget(&key);
    }
    let has_steps = !plan.steps.is_empty();
    let mut act = Act::new(&key, &entry, context);
    for step in plan.steps {
        act.take(step).await?;
    }
    if has_steps {
        // Drifts were written, so the status has to follow.
        return Ok(Next::Again);
    }
    let request = entry.record.sync_requested.as_deref().filter(|_| is_asked_to_sync == Sync::Made);
    let status = status(&entry, &plan.situation, request, Timestamp::now());
    if !entry.record.status.says(&status) {
        act.write_status(status).await?;
        if request.is_some() {
            context.forget_sync(&entry.record.uid);
        }
        tell_stale(&act, &plan.situation);
    }
    Ok(next)
}

/// Reads the live resource: a decision binds to its value of this moment, not of the last sweep. An error is what to do
/// instead of deciding.
async fn ask(key: &ObjectKey, entry: &Entry, context: &Context) -> Result<Known, Next> {
    let resource = &entry.record.resource;
    // A token that is out of calls makes every call wait; other records must not wait with this one.
    let answer = tokio::select! {
        answer = tokio::time::timeout(LONGEST_ASK, context.inventory.fetch(resource)) => answer,
        // The decision stands on the object; the next leader finds it there.
        () = context.process.stop.cancelled() => return Err(Next::Settled),
    };
    if !context.index().entry(key).is_some_and(|now| now.is_like(entry)) {
        // A decision may have been taken back meanwhile.
        return Err(Next::Again);
    }
    Ok(read(resource, answer.unwrap_or(Observation::Unknown(UnknownReason::NotYet))))
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
    Live(Box<Live>),
}

/// Looks the resource up in the inventory. None while the first look is under way.
fn observe(key: &ObjectKey, entry: &Entry, context: &Arc<Context>) -> Option<Known> {
    let resource = &entry.record.resource;
    if entry.record.suspended || entry.older.is_some() {
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
            Ok(live) => Known::Live(Box::new(live)),
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

fn decide(entry: &Entry, known: &Known, asked: Asked, context: &Context) -> Plan {
    let desired = entry.record.desired_fields();
    let older = entry.older.as_ref().map(ToString::to_string);
    let recorded = Recorded {
        desired: &desired,
        ignore: &entry.record.ignore,
        suspended: entry.record.suspended,
        older: older.as_deref(),
        last_accepted: entry.record.last_accepted.as_deref(),
    };
    let seen = match known {
        Known::Nothing(reason, message) => Seen::Unknown(reason, message),
        Known::Gone => Seen::Gone,
        Known::Live(live) => Seen::Present(live),
    };
    evaluate(&recorded, Observed { seen, asked }, &entry.drifts, context.settings.history)
}

/// Tells once that the inventory became too old.
fn tell_stale(act: &Act<'_>, situation: &Situation) {
    let Situation::Unknown(reason::INVENTORY_STALE, message) = situation else { return };
    if !act.entry.record.status.is_stale() {
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
            context.forget(&record.spec.resource.key());
            context.forget_sync(record.metadata.uid.as_deref().unwrap_or_default());
        }
        context.look_at(affected);
    };
    watch::follow(&context.process.client, &context.records, pulse, take).await;
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
