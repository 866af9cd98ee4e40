//! Sweeps: the times at which each kind is listed, and the records to reconcile afterwards. One task for each recorded
//! kind, so that kinds sync concurrently and never twice at the same time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    future::pending,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use super::{
    context::{DriftContext, WORKERS},
    due::{Due, NEVER, Now, Past, next, next_sync},
    first_reads::{FirstRead, FirstReads},
    rush::FEW,
    sweeps::{STILL_WAITING, SweepFailure},
};
use crate::{
    digitalocean::{
        Changes, FieldSet, Kind, Observation, ResourceKey, SyncError, UnknownReason,
        revert::{AccountFacts, is_selected_by, is_size},
    },
    kube_ext::key::ObjectKey,
};

/// Manifests are applied in bulk: records are gathered until none arrives for this time...
const LULL: Duration = Duration::from_millis(200);
/// ... but not longer than this.
const GATHER: Duration = Duration::from_secs(3);
/// The maximum time of a sweep without a call: far longer than an exhausted token waits for new calls.
const LONGEST_SWEEP: Duration = Duration::from_hours(3);
/// The interval of checking whether a sweep made calls.
const PROGRESS_CHECK: Duration = Duration::from_mins(1);

/// The time from the comparison of many changes to the list that confirms them. An earlier list may lag in the same way.
const CONFIRM_AFTER: Duration = Duration::from_secs(10);

/// Starts the sweeps of a kind, if they are not running.
pub(super) fn start(context: &Arc<DriftContext>, kind: Kind) {
    if let Some(requests) = context.sweeps.register(kind) {
        tokio::spawn(Sweep::new(context.clone(), kind).run(requests));
    }
}

/// Requests the live resource of a record that is unknown, or for which a sync was requested. The record is queued
/// after that.
pub(super) fn request_read(context: &Arc<DriftContext>, kind: Kind, key: ObjectKey) {
    start(context, kind);
    let new = context
        .index()
        .record(&key)
        .filter(|record| record.unanswered_sync().is_none())
        .map(|record| (record.resource.clone(), record.fields));
    if new.is_some_and(|(resource, fields)| context.inventory.take_from_list(&resource, fields)) {
        context.queue.extend([key]);
        return;
    }
    context.sweeps.send(kind, key);
}

/// The sweeps of one kind.
struct Sweep {
    context: Arc<DriftContext>,
    kind: Kind,
    past: Past,
    /// Changed, and waiting for the detection schedule.
    changed: HashSet<Arc<str>>,
    first_reads: FirstReads,
    /// The requested syncs for which the allowance did not suffice, or whose sweep failed. They wait for the next sweep.
    postponed: BTreeMap<ObjectKey, Box<str>>,
    /// The parts of the account with which the classes of reverts were shown.
    facts: Option<Arc<AccountFacts>>,
}

/// The work for which the task waits while it is busy.
type SweepFuture = BoxFuture<'static, Done>;

/// A sync that an annotation of a record requests.
struct RequestedSync {
    record: ObjectKey,
    uid: Arc<str>,
    resource: ResourceKey,
    request: Box<str>,
}

/// The result of the work.
enum Done {
    Swept {
        began: Instant,
        outcome: Box<Result<Changes, SyncError>>,
        /// The number of calls.
        calls: u64,
        /// The records that requested it.
        requesters: Vec<ObjectKey>,
        /// Their requested syncs.
        syncs: Vec<RequestedSync>,
    },
    Answered(Vec<ObjectKey>),
}

impl Sweep {
    fn new(context: Arc<DriftContext>, kind: Kind) -> Self {
        let now = Instant::now();
        let past = Past {
            busy: None,
            began: None,
            failed: None,
            cost: 1.0,
            detected: now,
            expires: now + context.settings.max_age.min(NEVER),
            pause: Duration::ZERO,
            confirms: None,
        };
        Self {
            context,
            kind,
            past,
            changed: HashSet::new(),
            first_reads: FirstReads::default(),
            postponed: BTreeMap::new(),
            facts: None,
        }
    }

    async fn run(mut self, mut requests: UnboundedReceiver<ObjectKey>) {
        let pulse = self.context.process.liveness.enter("a sweep", LONGEST_SWEEP);
        let mut paced = self.context.sweeps.paced();
        let burst = self.context.sweeps.burst(self.kind);
        let mut work: Option<SweepFuture> = None;
        let mut seen_reads = 0;
        let mut progress = interval(PROGRESS_CHECK);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let settings = &self.context.settings;
            let now = Now { instant: Instant::now(), time: Timestamp::now() };
            self.past.pause = self.context.sweeps.pace(self.kind).pause();
            let (at, due) = next(&self.past, &settings.sync, settings.detect.as_ref(), now);
            let first_read = self.first_reads.due(self.context.inventory.pages(self.kind));
            let is_idle = self.past.busy.is_none();
            let due_sync = is_idle.then(|| next_sync(&self.past, &settings.sync, now));
            self.context.sweeps.set_due(self.kind, due_sync);
            let started = tokio::select! {
                biased;
                done = finished(&mut work) => {
                    pulse.rest();
                    work = None;
                    self.rest();
                    self.take(done);
                    None
                }
                () = sleep_until(at) => match due {
                    Due::Distrust => self.distrust(),
                    Due::Detect => self.detect(),
                    // A sweep also completes the waiting requests: with continuous sweeps they would never get a turn.
                    Due::Sync => self.sweep(waiting(&mut requests)),
                    Due::Confirm => self.confirm(&mut requests),
                },
                () = sleep_until(first_read.unwrap_or(at)), if is_idle && first_read.is_some() => self.sweep(waiting(&mut requests)),
                first = requests.recv(), if is_idle => match first {
                    Some(first) => {
                        let keys = gather(first, &mut requests).await;
                        self.answer(keys)
                    }
                    None => return pulse.leave(),
                },
                () = burst.notified(), if self.past.confirms.is_none() => {
                    self.confirm_soon();
                    None
                }
                // The sender lives as long as the process.
                _ = paced.changed() => None,
                _ = progress.tick(), if !is_idle => {
                    // A sweep of many pages waits for the budget again and again.
                    let reads = self.context.inventory.reads_of(self.kind);
                    if std::mem::replace(&mut seen_reads, reads) != reads {
                        pulse.begin();
                    }
                    None
                }
            };
            if started.is_some() {
                pulse.begin();
                work = started;
                self.past.busy = Some(Instant::now());
            }
        }
    }

    /// Lists the kind.
    fn sweep(&mut self, mut requesters: Vec<ObjectKey>) -> Option<SweepFuture> {
        let began = Instant::now();
        self.past.began = Some(began);
        self.past.confirms = None;
        self.context.sweeps.take_list_request(self.kind);
        self.first_reads.listed = Some(began);
        requesters.append(&mut self.first_reads.waiting);
        requesters.extend(std::mem::take(&mut self.postponed).into_keys());
        let (context, kind) = (self.context.clone(), self.kind);
        let (syncs, wanted) = {
            let index = context.index();
            let sync_of = |key: &ObjectKey| {
                let record = index.record(key)?;
                Some(RequestedSync {
                    request: record.unanswered_sync()?.into(),
                    record: key.clone(),
                    uid: Arc::from(&*record.uid),
                    resource: record.resource.clone(),
                })
            };
            (requesters.iter().filter_map(sync_of).collect(), index.recorded(kind))
        };
        if wanted.is_empty() {
            self.past.failed = None;
            context.sweeps.set_failure(kind, None);
            // A record that is created later is requested, and does not get the old error.
            context.inventory.forget_kind(kind);
            context.sweeps.forget(kind);
            self.adapt();
            context.queue.extend(requesters);
            return None;
        }
        Some(Box::pin(async move {
            let before = context.inventory.reads_of(kind);
            let outcome = Box::new(context.inventory.sync(kind, wanted).await);
            let calls = context.inventory.reads_of(kind).saturating_sub(before);
            Done::Swept { began, outcome, calls, requesters, syncs }
        }))
    }

    /// Plans a list for changes that are too many to be read one by one.
    fn confirm_soon(&mut self) {
        let now = Instant::now();
        let listed = self.past.began.map_or(now, |began| began + self.context.inventory.pause(self.kind));
        self.past.confirms = Some(listed.max(now + CONFIRM_AFTER));
    }

    /// Lists the kind, if changes are left to a list, and the calls suffice.
    fn confirm(&mut self, requests: &mut UnboundedReceiver<ObjectKey>) -> Option<SweepFuture> {
        self.past.confirms = None;
        if self.context.sweeps.take_list_request(self.kind)
            && self.context.inventory.may_confirm_by_list(self.kind, usize::MAX)
        {
            info!(kind = %self.kind, "listing again to judge a revert");
            return self.sweep(waiting(requests));
        }
        let listed = self.context.inventory.listed_at(self.kind);
        let left = self.of_kind(self.context.fetches.left_to_list(listed));
        if !self.context.fetches.is_in_burst() {
            // They are few now, and are read one by one.
            self.context.queue.extend(left);
            return None;
        }
        if left.is_empty() || !self.context.inventory.may_confirm_by_list(self.kind, left.len()) {
            return None;
        }
        info!(kind = %self.kind, changes = left.len(), "listing again to confirm changes");
        self.sweep(waiting(requests))
    }

    /// Reads the resources of these records. A requested sync lists the kind, if the calls suffice. Otherwise it waits
    /// for the next sweep.
    fn answer(&mut self, mut keys: Vec<ObjectKey>) -> Option<SweepFuture> {
        let mut resources: HashMap<ResourceKey, FieldSet> = HashMap::new();
        let mut requested: BTreeMap<ObjectKey, Box<str>> = BTreeMap::new();
        // These are reconciled after the read of their resources: once, so that a read that fails is not repeated.
        let mut read: BTreeSet<ObjectKey> = BTreeSet::new();
        {
            let index = self.context.index();
            for (key, record) in keys.iter().filter_map(|key| Some((key, index.record(key)?))) {
                let is_read = !self.context.inventory.take_from_list(&record.resource, record.fields)
                    && (!self.is_known(&record.resource) || self.context.inventory.is_incomplete(&record.resource));
                let request = record.unanswered_sync();
                if let Some(request) = request.filter(|request| !self.context.is_sync_handled(&record.uid, request)) {
                    requested.insert(key.clone(), request.into());
                    if is_read && !self.postponed.contains_key(key) {
                        read.insert(key.clone());
                    }
                }
                if is_read {
                    let fields = resources.entry(record.resource.clone()).or_default();
                    *fields = fields.union(record.fields);
                }
            }
        }
        // A postponed one requests no list, as its last one failed, or did not fit the allowance.
        let mut asked = requested.iter();
        let is_asked = asked.any(|(key, request)| self.postponed.get(key) != Some(request));
        if self.past.began.is_none() || is_asked && self.context.inventory.may_confirm_by_list(self.kind, usize::MAX) {
            return self.sweep(keys);
        }
        if !requested.is_empty() {
            debug!(kind = %self.kind, records = requested.len(), "the requested list waits for the next sweep");
            // The next sweep queues them. A reconcile before it would only repeat the request.
            keys.retain(|key| !requested.contains_key(key) || read.contains(key));
            self.postponed.extend(requested);
        }
        if resources.is_empty() {
            self.context.queue.extend(keys);
            return None;
        }
        let (pages, lists_all) = (self.context.inventory.pages(self.kind), self.kind.lists_all());
        match self.first_reads.choose(resources.len(), pages, lists_all, Instant::now()) {
            FirstRead::Singly => {}
            FirstRead::List => return self.sweep(keys),
            FirstRead::Later(_) => {
                self.first_reads.waiting.extend(keys);
                return None;
            }
        }
        let inventory = self.context.inventory.clone();
        Some(Box::pin(async move {
            let reads = resources.iter().map(|(resource, fields)| inventory.first_read(resource, *fields));
            futures::future::join_all(reads).await;
            Done::Answered(keys)
        }))
    }

    /// The results are as old as the start of the work, and may already be too old.
    fn rest(&mut self) {
        if let Some(since) = self.past.busy.take() {
            self.past.expires = self.past.expires.min(since + self.max_age());
        }
    }

    /// Queues the records whose verdict may change.
    fn take(&mut self, done: Done) {
        match done {
            Done::Answered(keys) => self.context.queue.extend(keys),
            Done::Swept { began, outcome, calls, requesters, syncs } => {
                let category = match &*outcome {
                    Ok(found) => found.unread.as_ref().map_or("ok", |error| error.category().into()),
                    Err(error) => error.category().into(),
                };
                self.context.metrics.synced(self.kind, began.elapsed(), category);
                match *outcome {
                    Ok(found) => self.succeed(found, began.elapsed()),
                    Err(error) => self.fail(&error, calls),
                }
                for RequestedSync { record, uid, resource, request } in syncs {
                    // The status would show the verdict on an earlier read.
                    if self.context.inventory.is_outdated(&resource, self.context.settings.max_age) {
                        self.postponed.insert(record, request);
                    } else {
                        self.context.handled_sync(uid, request);
                    }
                }
                self.context.queue.extend(requesters);
            }
        }
    }

    fn succeed(&mut self, found: Changes, took: Duration) {
        let Changes { listed, confirmed, .. } = found;
        let (changed, seconds) = (found.changed.len(), took.as_secs_f64());
        if changed == 0 {
            debug!(kind = %self.kind, listed, confirmed, seconds, "swept; nothing changed");
        } else {
            info!(kind = %self.kind, listed, changed, seconds, "swept");
        }
        if let Some(error) = found.unread {
            warn!(kind = %self.kind, %error, "sweeping failed for a part; no verdict changes for that part");
        }
        if self.context.sweeps.set_failure(self.kind, None).is_some() {
            // Recorded during the sweep, and given its error instead of a request.
            self.queue_unknown();
        }
        self.past.failed = None;
        // Idle connections are closed after a while. After a restart, most records need no write.
        let changed_since = found.changed.len().saturating_sub(found.renewed.len());
        let rush = changed_since.saturating_add(self.unwritten(&found.renewed)).min(WORKERS);
        if rush > FEW {
            self.context.process.connect(rush);
        }
        // At first all is new.
        let found_changes = found.changed.len() > found.renewed.len();
        self.context.sweeps.swept(self.kind, found.calls, took, found_changes);
        self.adapt();
        // They were unknown, which changes at once.
        self.queue(&found.renewed);
        if found_changes {
            let renewed: HashSet<&Arc<str>> = found.renewed.iter().collect();
            self.changed.extend(found.changed.into_iter().filter(|id| !renewed.contains(id)));
        }
        // They were compared before, and this list may be their confirmation.
        self.context.queue.extend(self.of_kind(self.context.fetches.unconfirmed()));
        for id in &found.renewed {
            self.changed.remove(id);
        }
        if self.context.settings.detect.is_none() {
            self.detect();
        }
        self.queue_selected();
    }

    /// Queues the records with an open drift on tags or sizes, if other tags select resources, or other sizes are known,
    /// than at the last sweep: the classes of their reverts may change.
    fn queue_selected(&mut self) {
        let keys = self
            .context
            .index()
            .keys_with_open(self.kind, |field| is_selected_by(self.kind, field) || is_size(self.kind, field));
        if keys.is_empty() {
            self.facts = None;
            return;
        }
        let facts = self.context.account_facts();
        if self.facts.replace(facts.clone()).is_none_or(|before| before != facts) {
            self.context.queue.extend(keys);
        }
    }

    /// Adapts the pace of all kinds to what is known now.
    fn adapt(&self) {
        for sweeps in self.context.adapt_sweeps() {
            let kind = sweeps.kind;
            if sweeps.is_short() {
                warn!(%kind, %sweeps, "sweeps cannot be made as often as the inventory needs");
            } else {
                info!(%kind, %sweeps, "the sweep interval changed");
            }
        }
    }

    fn fail(&mut self, error: &SyncError, calls: u64) {
        let failures = self.past.failed.map_or(0, |(_, failures)| failures).saturating_add(1);
        self.past.failed = Some((Instant::now(), failures));
        warn!(kind = %self.kind, %error, failures, "sweeping failed; no verdict changes");
        self.past.cost = self.context.sweeps.failed(self.kind, usize::try_from(calls).unwrap_or(usize::MAX));
        self.adapt();
        let failure = SweepFailure::Failed { category: error.category(), text: error.to_string() };
        let before = self.context.sweeps.set_failure(self.kind, Some(failure.clone()));
        // Records quote the error. Its exact text may differ each time, for example in the id of a request.
        let is_news = before.as_ref().and_then(SweepFailure::category) != failure.category();
        let is_other = before.as_ref() != Some(&failure);
        if (is_news && !self.context.inventory.has_listed(self.kind)) || (error.is_about_all() && is_other) {
            self.queue_all();
        } else if is_news {
            // The others keep their state until it is too old.
            self.queue_stale();
        }
    }

    /// Compares the changes.
    fn detect(&mut self) -> Option<SweepFuture> {
        self.past.detected = Instant::now();
        let changed: Vec<_> = std::mem::take(&mut self.changed).into_iter().collect();
        self.queue(&changed);
        None
    }

    /// Resources expired: their records have to report it.
    fn distrust(&mut self) -> Option<SweepFuture> {
        let now = Instant::now();
        let max_age = self.max_age();
        let (expired, next) = self.context.inventory.expire(self.kind, max_age);
        // Later requests expire later.
        self.past.expires = next.unwrap_or(now + max_age);
        if !expired.is_empty() {
            warn!(kind = %self.kind, resources = expired.len(), "the inventory is too old for a comparison");
            self.queue(&expired);
        } else if self.past.busy.is_some()
            && !self.context.inventory.has_listed(self.kind)
            && self.context.sweeps.failure(self.kind).is_none()
        {
            warn!(kind = %self.kind, "{STILL_WAITING}");
            self.context.sweeps.set_failure(self.kind, Some(SweepFailure::Waiting));
            self.queue_all();
        }
        None
    }

    fn max_age(&self) -> Duration {
        self.context.inventory.max_age(self.kind, self.context.settings.max_age).min(NEVER)
    }

    /// The records among these whose resource is of the kind.
    fn of_kind(&self, mut keys: Vec<ObjectKey>) -> Vec<ObjectKey> {
        let index = self.context.index();
        keys.retain(|key| index.record(key).is_some_and(|record| record.resource.kind == self.kind));
        keys
    }

    /// The number of these ids with a record whose status was never written, or reports an expired inventory; at most as
    /// many as there are workers.
    fn unwritten(&self, ids: &[Arc<str>]) -> usize {
        let index = self.context.index();
        let is_unwritten = |id: &&Arc<str>| {
            let resource = ResourceKey::new(self.kind, Arc::clone(id));
            let mut records = index.records_of(&resource).filter_map(|key| index.record(key));
            records.any(|record| record.status.is_stale() || !record.status.is_written())
        };
        ids.iter().filter(is_unwritten).take(WORKERS).count()
    }

    fn is_known(&self, resource: &ResourceKey) -> bool {
        let observation = self.context.inventory.get(resource, self.context.settings.max_age);
        observation != Observation::Unknown(UnknownReason::NotYet)
    }

    /// Queues the records of these ids.
    fn queue(&self, ids: &[Arc<str>]) {
        let index = self.context.index();
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            keys.extend(index.records_of(&ResourceKey::new(self.kind, id.clone())).cloned());
        }
        drop(index);
        // Neighbours are stored side by side, in the API server and in etcd: a large fleet is written faster in this order.
        keys.sort_unstable();
        self.context.queue.extend(keys);
    }

    /// Queues the records that report an expired inventory, so that they report the reason.
    fn queue_stale(&self) {
        let index = self.context.index();
        let is_stale = |key: &ObjectKey| index.record(key).is_some_and(|record| record.status.is_stale());
        let keys: Vec<_> = index.keys_of(self.kind).into_iter().filter(is_stale).collect();
        drop(index);
        self.context.queue.extend(keys);
    }

    /// Queues the records whose resources were never read.
    fn queue_unknown(&self) {
        let index = self.context.index();
        let is_unknown = |key: &ObjectKey| index.record(key).is_some_and(|record| !self.is_known(&record.resource));
        let keys: Vec<_> = index.keys_of(self.kind).into_iter().filter(is_unknown).collect();
        drop(index);
        self.context.queue.extend(keys);
    }

    fn queue_all(&self) {
        let keys = self.context.index().keys_of(self.kind);
        self.context.queue.extend(keys);
    }
}

/// The result of the work, once there is some.
async fn finished(work: &mut Option<SweepFuture>) -> Done {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}

/// All waiting records.
fn waiting(requests: &mut UnboundedReceiver<ObjectKey>) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = std::iter::from_fn(|| requests.try_recv().ok()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// This record, and all others until a lull.
async fn gather(first: ObjectKey, requests: &mut UnboundedReceiver<ObjectKey>) -> Vec<ObjectKey> {
    let mut keys = vec![first];
    let enough = Instant::now() + GATHER;
    while let Ok(Some(key)) = timeout_at(enough.min(Instant::now() + LULL), requests.recv()).await {
        keys.push(key);
    }
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_are_gathered_until_a_lull_but_not_for_ever() {
        let key = |number: u32| ObjectKey { namespace: "default".into(), name: number.to_string().into() };
        for (count, pause, wanted) in [(5, LULL / 2, 5), (2, LULL * 2, 1), (100, LULL / 2, 31)] {
            let (sender, mut requests) = unbounded_channel();
            tokio::spawn(async move {
                for number in 0..count {
                    let _ = sender.send(key(number));
                    tokio::time::sleep(pause).await;
                }
                pending::<()>().await;
            });
            let first = requests.recv().await.unwrap();
            let gathered = gather(first, &mut requests).await.len();
            assert!(gathered.abs_diff(wanted) <= 1, "{gathered} of {count}");
        }
    }
}
