//! Sweeps: when each kind is listed, and which records are looked at afterwards. One task for each recorded kind, so
//! that kinds sync side by side and never twice at once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info, warn};

use super::controller::Context;
use crate::{
    digitalocean::{Kind, Observation, ResourceKey, UnknownReason},
    kube_ext::key::ObjectKey,
    schedule::Schedule,
};

/// Up to that many newly recorded resources are asked for one by one; for more, a sweep is cheaper.
const ASK_SINGLY: usize = 16;
/// How long to wait for more records after the first: manifests come in bulk.
const GATHER: Duration = Duration::from_millis(100);
/// After a failed sweep, the next one comes after this time, doubled for each further failure, unless it is due before.
const RETRY: Duration = Duration::from_secs(15);
/// How long one sweep may take: far longer than a token that is out of calls waits for new ones.
const LONGEST_SWEEP: Duration = Duration::from_hours(3);
/// As long as nothing else is due.
const IDLE: Duration = Duration::from_hours(24);

/// The tasks, one for each recorded kind.
#[derive(Default)]
pub struct Sweeps {
    kinds: Mutex<HashMap<Kind, Task>>,
}

struct Task {
    asks: UnboundedSender<ObjectKey>,
    failure: Option<String>,
}

impl Sweeps {
    /// Makes sure that a kind is swept.
    pub fn start(&self, context: &Arc<Context>, kind: Kind) {
        self.kinds().entry(kind).or_insert_with(|| {
            let (asks, asked) = unbounded_channel();
            tokio::spawn(Sweep::new(context.clone(), kind).run(asked));
            Task { asks, failure: None }
        });
    }

    /// Asks for the live resource of a record that nothing is known of yet, or that a sync was requested for. The
    /// record is queued when that is done.
    pub fn ask(&self, context: &Arc<Context>, kind: Kind, key: ObjectKey) {
        self.start(context, kind);
        if let Some(task) = self.kinds().get(&kind) {
            // The task lives as long as the process.
            let _ = task.asks.send(key);
        }
    }

    /// Why nothing is known of a kind, once a sweep was tried.
    #[must_use]
    pub fn failure(&self, kind: Kind) -> Option<String> {
        self.kinds().get(&kind)?.failure.clone()
    }

    fn set_failure(&self, kind: Kind, failure: Option<String>) {
        if let Some(task) = self.kinds().get_mut(&kind) {
            task.failure = failure;
        }
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Task>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sweeps of one kind.
struct Sweep {
    context: Arc<Context>,
    kind: Kind,
    /// When the last one began, and when the last good one ended.
    began: Option<Instant>,
    succeeded: Option<Instant>,
    failures: u32,
    /// Every record has been looked at since the inventory was last worth nothing.
    is_settled: bool,
    /// Changed, and waiting for the detection schedule.
    changed: HashSet<Arc<str>>,
    detected: Instant,
}

/// Why the task woke up.
enum Wake {
    Sync,
    Detect,
    Stale,
    Asked(Vec<ObjectKey>),
    End,
}

impl Sweep {
    fn new(context: Arc<Context>, kind: Kind) -> Self {
        Self {
            context,
            kind,
            began: None,
            succeeded: None,
            failures: 0,
            is_settled: false,
            changed: HashSet::new(),
            detected: Instant::now(),
        }
    }

    async fn run(mut self, mut asks: UnboundedReceiver<ObjectKey>) {
        let pulse = self.context.liveness.enter("a sweep", LONGEST_SWEEP);
        loop {
            let wake = tokio::select! {
                biased;
                () = sleep_until(self.stale_at()), if self.is_settled => Wake::Stale,
                () = sleep_until(self.next_sync()) => Wake::Sync,
                () = sleep_until(self.next_detection()), if !self.changed.is_empty() => Wake::Detect,
                first = asks.recv() => match first {
                    Some(first) => Wake::Asked(gather(first, &mut asks).await),
                    None => Wake::End,
                },
            };
            pulse.begin();
            match wake {
                Wake::Sync => self.sync(&[]).await,
                Wake::Detect => self.detect(),
                Wake::Stale => self.distrust(),
                Wake::Asked(keys) => self.answer(keys).await,
                Wake::End => return pulse.leave(),
            }
            pulse.rest();
        }
    }

    /// Lists the kind, and queues what may have another verdict now.
    async fn sync(&mut self, asked: &[ObjectKey]) {
        let began = Instant::now();
        self.began = Some(began);
        let wanted = self.context.index().recorded_ids(self.kind);
        if wanted.is_empty() {
            return;
        }
        let outcome = self.context.inventory.sync(self.kind, wanted).await;
        self.context.metrics.synced(
            self.kind,
            began.elapsed(),
            outcome.as_ref().map_or_else(super::super::digitalocean::inventory::SyncError::category, |_| "ok"),
        );
        match outcome {
            Ok(found) => {
                let seconds = began.elapsed().as_secs_f64();
                if found.changed.is_empty() {
                    debug!(kind = %self.kind, listed = found.listed, seconds, "swept; nothing changed");
                } else {
                    info!(kind = %self.kind, listed = found.listed, changed = found.changed.len(), seconds, "swept");
                }
                self.context.sweeps.set_failure(self.kind, None);
                self.failures = 0;
                self.succeeded = Some(Instant::now());
                if self.is_settled {
                    self.changed.extend(found.changed);
                    if self.context.settings.detect.is_none() {
                        self.detect();
                    }
                } else {
                    self.is_settled = true;
                    self.changed.clear();
                    self.queue_all();
                }
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                warn!(kind = %self.kind, %error, failures = self.failures, "could not sweep; nothing is concluded from it");
                let is_first = self.context.sweeps.failure(self.kind).is_none() && self.succeeded.is_none();
                self.context.sweeps.set_failure(self.kind, Some(error.to_string()));
                if is_first {
                    self.queue_all();
                }
            }
        }
        self.context.queue.extend(asked.iter().cloned());
    }

    /// Compares what changed.
    fn detect(&mut self) {
        self.detected = Instant::now();
        let changed: Vec<_> = self.changed.drain().map(|id| ResourceKey { kind: self.kind, id }).collect();
        let index = self.context.index();
        let keys: Vec<_> = changed.iter().flat_map(|resource| index.records_of(resource).to_vec()).collect();
        drop(index);
        self.context.queue.extend(keys);
    }

    /// The inventory became too old: every record has to say so.
    fn distrust(&mut self) {
        warn!(kind = %self.kind, "the inventory is too old for verdicts");
        self.is_settled = false;
        self.queue_all();
    }

    /// Reads what these records need.
    async fn answer(&mut self, keys: Vec<ObjectKey>) {
        let mut requests = Vec::new();
        let mut resources = HashSet::new();
        {
            let index = self.context.index();
            for key in &keys {
                let Some(record) = index.record(key) else { continue };
                if let Some(request) =
                    record.unanswered_sync().filter(|request| !self.context.is_sync_handled(key, request))
                {
                    requests.push((key.clone(), request.into()));
                }
                if !self.is_known(&record.resource) {
                    resources.insert(record.resource.clone());
                }
            }
        }
        let is_new = self.succeeded.is_none() && self.failures == 0;
        if is_new || !requests.is_empty() || resources.len() > ASK_SINGLY {
            self.sync(&keys).await;
            for (key, request) in requests {
                self.context.handled_sync(&key, request);
                self.context.queue.add(key);
            }
        } else {
            futures::future::join_all(resources.iter().map(|resource| self.context.inventory.fetch(resource))).await;
            self.context.queue.extend(keys);
        }
    }

    fn is_known(&self, resource: &ResourceKey) -> bool {
        let observation = self.context.inventory.look(resource, self.context.settings.max_age);
        observation != Observation::Unknown(UnknownReason::NotYet)
    }

    fn queue_all(&self) {
        let keys = self.context.index().keys_of(self.kind);
        self.context.queue.extend(keys);
    }

    fn next_sync(&self) -> Instant {
        let Some(began) = self.began else { return Instant::now() };
        let now = Instant::now();
        let due = now + wait(&self.context.settings.sync, began);
        match self.failures {
            0 => due,
            failures => due.min(now.max(began + RETRY.saturating_mul(2_u32.saturating_pow(failures - 1)))),
        }
    }

    fn next_detection(&self) -> Instant {
        let schedule = self.context.settings.detect.as_ref();
        Instant::now() + schedule.map_or(Duration::ZERO, |schedule| wait(schedule, self.detected))
    }

    fn stale_at(&self) -> Instant {
        // A moment later, so that the inventory itself agrees.
        let limit = self.context.settings.max_age + Duration::from_millis(50);
        self.succeeded.map_or_else(|| Instant::now() + IDLE, |succeeded| succeeded + limit)
    }
}

fn wait(schedule: &Schedule, last: Instant) -> Duration {
    schedule.wait(Timestamp::now(), last.elapsed()).min(IDLE)
}

/// This one, and all that come within a moment.
async fn gather(first: ObjectKey, asks: &mut UnboundedReceiver<ObjectKey>) -> Vec<ObjectKey> {
    let mut keys = vec![first];
    let enough = sleep(GATHER);
    tokio::pin!(enough);
    loop {
        tokio::select! {
            () = &mut enough => break,
            Some(key) = asks.recv() => keys.push(key),
        }
    }
    keys.sort();
    keys.dedup();
    keys
}
