//! Sweeps: when each kind is listed, and which records are looked at afterwards. One task for each recorded kind, so
//! that kinds sync side by side and never twice at once.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use super::controller::Context;
use crate::{
    digitalocean::{Changes, FieldSet, Kind, Observation, ResourceKey, SyncError, UnknownReason},
    kube_ext::key::ObjectKey,
    schedule::Schedule,
};

/// Manifests come in bulk: records are gathered until none came for this time...
const LULL: Duration = Duration::from_millis(200);
/// ... but not longer than this.
const GATHER: Duration = Duration::from_secs(3);
/// The number of new records per minute whose resources are fetched one by one, even where a list takes fewer calls.
const SINGLY: usize = 4;
/// The shortest time between two lists for the sake of new records; longer, where a list has many pages.
const FIRST_LOOKS: Duration = Duration::from_secs(5);
/// After a failed sweep, the next one comes after this time, doubled for each further failure, unless it is due before.
const RETRY: Duration = Duration::from_secs(15);
/// How long one sweep may take: far longer than a token that is out of calls waits for new ones.
const LONGEST_SWEEP: Duration = Duration::from_hours(3);
/// As good as never: something else is due before.
const NEVER: Duration = Duration::from_hours(365 * 24);
/// What a record says of which nothing is known, while the first sweep takes too long.
const STILL_WAITING: &str =
    "the first list is not complete yet: it waits for calls of the token, or for DigitalOcean's answers";

/// The reason why nothing is known of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// The first list takes too long.
    Waiting,
    /// The last sweep failed.
    Failed {
        /// A stable word for the kind of error.
        category: &'static str,
        /// The error, for people.
        text: String,
    },
}

impl Failure {
    fn category(&self) -> Option<&'static str> {
        match self {
            Self::Waiting => None,
            Self::Failed { category, .. } => Some(category),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str(STILL_WAITING),
            Self::Failed { text, .. } => f.write_str(text),
        }
    }
}

/// The tasks, one for each recorded kind.
#[derive(Default)]
pub struct Sweeps {
    kinds: Mutex<HashMap<Kind, Task>>,
    /// Whether it was told that sweeps need more calls than they may make.
    is_short: Mutex<bool>,
}

struct Task {
    asks: UnboundedSender<ObjectKey>,
    failure: Option<Failure>,
    /// How many calls the last sweep took.
    calls: usize,
}

impl Sweeps {
    /// Makes sure that a kind is swept.
    pub fn start(&self, context: &Arc<Context>, kind: Kind) {
        self.kinds().entry(kind).or_insert_with(|| {
            let (asks, asked) = unbounded_channel();
            tokio::spawn(Sweep::new(context.clone(), kind).run(asked));
            Task { asks, failure: None, calls: 0 }
        });
    }

    /// Asks for the live resource of a record that nothing is known of yet, or that a sync was requested for. The
    /// record is queued when that is done.
    pub fn ask(&self, context: &Arc<Context>, kind: Kind, key: ObjectKey) {
        self.start(context, kind);
        let new = context
            .index()
            .record(&key)
            .filter(|record| record.unanswered_sync().is_none())
            .map(|record| (record.resource.clone(), record.fields));
        if new.is_some_and(|(resource, fields)| context.inventory.take_from_list(&resource, fields)) {
            context.queue.extend([key]);
            return;
        }
        if let Some(task) = self.kinds().get(&kind) {
            // The task lives as long as the process.
            let _ = task.asks.send(key);
        }
    }

    /// Why nothing is known of a kind, once a sweep was tried.
    #[must_use]
    pub fn failure(&self, kind: Kind) -> Option<String> {
        self.kinds().get(&kind)?.failure.as_ref().map(ToString::to_string)
    }

    /// What it said before.
    fn set_failure(&self, kind: Kind, failure: Option<Failure>) -> Option<Failure> {
        let mut kinds = self.kinds();
        kinds.get_mut(&kind).and_then(|task| std::mem::replace(&mut task.failure, failure))
    }

    /// Takes over what a sweep of the kind took. Why the sweeps of all kinds cannot be made as often as they are due;
    /// nothing where they can, or it was told already.
    fn shortage(&self, kind: Kind, calls: usize, schedule: &Schedule, hour_limit: usize) -> Option<String> {
        let calls: usize = {
            let mut kinds = self.kinds();
            if let Some(task) = kinds.get_mut(&kind) {
                task.calls = calls;
            }
            kinds.values().map(|task| task.calls).sum()
        };
        let shortage = shortage(calls, schedule, hour_limit, Timestamp::now());
        let mut is_short = self.is_short.lock().unwrap_or_else(PoisonError::into_inner);
        let was_short = std::mem::replace(&mut *is_short, shortage.is_some());
        shortage.filter(|_| !was_short)
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Task>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why so many calls for each round of sweeps are too many.
fn shortage(calls: usize, schedule: &Schedule, hour_limit: usize, now: Timestamp) -> Option<String> {
    let rounds = schedule.most_per_hour(now);
    let needed = calls.saturating_mul(rounds);
    (needed > hour_limit).then(|| {
        format!(
            "a sweep of all kinds takes {calls} calls, and --sync-schedule {schedule} wants {rounds} in an hour: {needed} \
             calls, but sweeps may make {hour_limit}, nine tenths of --requests-per-hour. The inventory may grow too old \
             for verdicts: set a longer --sync-schedule, or raise --requests-per-hour if the token allows more"
        )
    })
}

/// The sweeps of one kind.
struct Sweep {
    context: Arc<Context>,
    kind: Kind,
    past: Past,
    /// Changed, and waiting for the detection schedule.
    changed: HashSet<Arc<str>>,
    first_looks: FirstLooks,
}

/// The first looks at new records.
#[derive(Debug, Default)]
struct FirstLooks {
    /// Records that wait for the next list.
    waiting: Vec<ObjectKey>,
    /// When the last list was begun.
    listed: Option<Instant>,
    /// When the count of single fetches began, and how many there were since.
    singly: Option<(Instant, usize)>,
}

/// How the resources of new records are looked up.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// One by one.
    Singly,
    /// By a list.
    List,
    /// By a list, not before this time.
    Later(Instant),
}

impl FirstLooks {
    /// How to look so many resources up, where a list has so many pages.
    fn choose(&mut self, resources: usize, pages: usize, lists_all: bool, now: Instant) -> Look {
        let before = self.singly.filter(|(since, _)| now < *since + Duration::from_mins(1));
        let (since, spent) = before.unwrap_or((now, 0));
        let singly = spent.saturating_add(resources);
        if singly <= pages.max(SINGLY) || !lists_all && resources <= SINGLY {
            self.singly = Some((since, singly));
            return Look::Singly;
        }
        let pause = FIRST_LOOKS.max(Duration::from_secs(u64::try_from(pages).unwrap_or(u64::MAX)));
        let due = self.listed.map_or(now, |listed| listed + pause);
        if due <= now { Look::List } else { Look::Later(due) }
    }

    /// When the waiting records are due, for a list of so many pages.
    fn due(&self, pages: usize) -> Option<Instant> {
        let pause = FIRST_LOOKS.max(Duration::from_secs(u64::try_from(pages).unwrap_or(u64::MAX)));
        (!self.waiting.is_empty()).then(|| self.listed.map_or_else(Instant::now, |listed| listed + pause))
    }
}

/// All that decides what is next.
#[derive(Clone, Debug)]
struct Past {
    /// Since when a sweep is under way, or questions are.
    busy: Option<Instant>,
    /// When the last sweep began.
    began: Option<Instant>,
    /// When the last sweep ended that failed, and how many have failed since the last good one.
    failed: Option<(Instant, u32)>,
    /// When changes were last compared, if there were any.
    detected: Instant,
    /// When the first of what is known becomes too old.
    expires: Instant,
    /// The shortest time from the begin of one sweep to the next.
    pause: Duration,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Something known becomes too old.
    Distrust,
    /// The kind is to be listed.
    Sync,
    /// Changes are to be compared.
    Detect,
}

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
struct Now {
    instant: Instant,
    time: Timestamp,
}

/// What is next, and when: whatever has been due for longest. While the task is busy, only age goes on.
fn next(past: &Past, sync: &Schedule, detect: Option<&Schedule>, now: Now) -> (Instant, Due) {
    let distrust = (past.expires, Due::Distrust);
    if past.busy.is_some() {
        return distrust;
    }
    let synced = match (past.began, past.failed) {
        (None, _) => now.instant,
        (Some(began), None) => due(sync, began, now).max(began + past.pause),
        (Some(_), Some((ended, failures))) => {
            let pause = RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
            due(sync, ended, now).min(ended + pause.min(NEVER))
        }
    };
    // Also where nothing changed: what changes after this time waits for the next.
    let detect = detect.map(|detect| (due(detect, past.detected, now), Due::Detect));
    // Of those that are due at the same time, the first: what changed is compared after it was listed.
    let all = [Some(distrust), Some((synced, Due::Sync)), detect];
    all.into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or(distrust)
}

/// When a schedule is due after its last run, which may be past.
fn due(schedule: &Schedule, last: Instant, now: Now) -> Instant {
    let time = now.time.checked_sub(now.instant.saturating_duration_since(last)).unwrap_or(now.time);
    last + schedule.gap(time).min(NEVER)
}

/// What the task waits for while it is busy.
type Work = BoxFuture<'static, Done>;

/// What came of it.
enum Done {
    Swept {
        began: Instant,
        outcome: Box<Result<Changes, SyncError>>,
        /// Who asked, and which requested syncs this was: record, UID and request.
        asked: Vec<ObjectKey>,
        requests: Vec<(Arc<str>, Box<str>)>,
    },
    Answered(Vec<ObjectKey>),
}

impl Sweep {
    fn new(context: Arc<Context>, kind: Kind) -> Self {
        let now = Instant::now();
        let past = Past {
            busy: None,
            began: None,
            failed: None,
            detected: now,
            expires: now + context.settings.max_age.min(NEVER),
            pause: Duration::ZERO,
        };
        Self { context, kind, past, changed: HashSet::new(), first_looks: FirstLooks::default() }
    }

    async fn run(mut self, mut asks: UnboundedReceiver<ObjectKey>) {
        let pulse = self.context.process.liveness.enter("a sweep", LONGEST_SWEEP);
        let mut work: Option<Work> = None;
        loop {
            let settings = &self.context.settings;
            let now = Now { instant: Instant::now(), time: Timestamp::now() };
            self.past.pause = self.context.inventory.pause(self.kind);
            let (at, due) = next(&self.past, &settings.sync, settings.detect.as_ref(), now);
            let looks = self.first_looks.due(self.context.inventory.pages(self.kind));
            let is_idle = self.past.busy.is_none();
            let begun = tokio::select! {
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
                    // Whoever waits is answered by it: where sweeps follow each other, nobody else's turn comes.
                    Due::Sync => self.sweep(waiting(&mut asks)),
                },
                () = sleep_until(looks.unwrap_or(at)), if is_idle && looks.is_some() => self.sweep(waiting(&mut asks)),
                first = asks.recv(), if is_idle => match first {
                    Some(first) => {
                        let keys = gather(first, &mut asks).await;
                        self.answer(keys)
                    }
                    None => return pulse.leave(),
                },
            };
            if begun.is_some() {
                pulse.begin();
                work = begun;
                self.past.busy = Some(Instant::now());
            }
        }
    }

    /// Lists the kind.
    fn sweep(&mut self, mut asked: Vec<ObjectKey>) -> Option<Work> {
        let began = Instant::now();
        self.past.began = Some(began);
        self.first_looks.listed = Some(began);
        asked.append(&mut self.first_looks.waiting);
        let (context, kind) = (self.context.clone(), self.kind);
        let (requests, wanted) = {
            let index = context.index();
            let records = asked.iter().filter_map(|key| index.record(key));
            let requests: Vec<_> =
                records.filter_map(|record| Some((record.uid.clone(), Box::from(record.unanswered_sync()?)))).collect();
            (requests, index.recorded(kind))
        };
        if wanted.is_empty() {
            self.past.failed = None;
            context.sweeps.set_failure(kind, None);
            // Whoever is recorded next is asked for, and not told what went wrong then.
            context.inventory.forget_kind(kind);
            context.queue.extend(asked);
            return None;
        }
        Some(Box::pin(async move {
            let outcome = Box::new(context.inventory.sync(kind, wanted).await);
            Done::Swept { began, outcome, asked, requests }
        }))
    }

    /// Reads what these records need.
    fn answer(&mut self, keys: Vec<ObjectKey>) -> Option<Work> {
        let mut resources: HashMap<ResourceKey, FieldSet> = HashMap::new();
        let mut is_requested = false;
        {
            let index = self.context.index();
            for record in keys.iter().filter_map(|key| index.record(key)) {
                is_requested |=
                    record.unanswered_sync().is_some_and(|request| !self.context.is_sync_handled(&record.uid, request));
                if !self.context.inventory.take_from_list(&record.resource, record.fields)
                    && (!self.is_known(&record.resource) || self.context.inventory.is_incomplete(&record.resource))
                {
                    let fields = resources.entry(record.resource.clone()).or_default();
                    *fields = fields.union(record.fields);
                }
            }
        }
        if self.past.began.is_none() || is_requested {
            return self.sweep(keys);
        }
        if resources.is_empty() {
            self.context.queue.extend(keys);
            return None;
        }
        let (pages, lists_all) = (self.context.inventory.pages(self.kind), self.kind.lists_all());
        match self.first_looks.choose(resources.len(), pages, lists_all, Instant::now()) {
            Look::Singly => {}
            Look::List => return self.sweep(keys),
            Look::Later(_) => {
                self.first_looks.waiting.extend(keys);
                return None;
            }
        }
        let inventory = self.context.inventory.clone();
        Some(Box::pin(async move {
            let looks = resources.iter().map(|(resource, fields)| inventory.first_look(resource, *fields));
            futures::future::join_all(looks).await;
            Done::Answered(keys)
        }))
    }

    /// What the work read is as old as its begin, and may be too old already.
    fn rest(&mut self) {
        if let Some(since) = self.past.busy.take() {
            self.past.expires = self.past.expires.min(since + self.max_age());
        }
    }

    /// Queues what may have another verdict now.
    fn take(&mut self, done: Done) {
        match done {
            Done::Answered(keys) => self.context.queue.extend(keys),
            Done::Swept { began, outcome, asked, requests } => {
                let category = match &*outcome {
                    Ok(found) => found.unread.as_ref().map_or("ok", SyncError::category),
                    Err(error) => error.category(),
                };
                self.context.process.metrics.synced(self.kind, began.elapsed(), category);
                match *outcome {
                    Ok(found) => self.succeed(found, began.elapsed()),
                    Err(error) => self.fail(&error),
                }
                for (uid, request) in requests {
                    self.context.handled_sync(uid, request);
                }
                self.context.queue.extend(asked);
            }
        }
    }

    fn succeed(&mut self, found: Changes, took: Duration) {
        let (listed, changed, seconds) = (found.listed, found.changed.len(), took.as_secs_f64());
        if changed == 0 {
            debug!(kind = %self.kind, listed, seconds, "swept; nothing changed");
        } else {
            info!(kind = %self.kind, listed, changed, seconds, "swept");
        }
        if let Some(error) = found.unread {
            warn!(kind = %self.kind, %error, "could not sweep all of it; nothing is concluded from the rest");
        }
        if self.context.sweeps.set_failure(self.kind, None).is_some() {
            // Recorded while the sweep was under way, and told of the failure rather than asked for.
            self.queue_unknown();
        }
        self.past.failed = None;
        let hour_limit = self.context.inventory.hour_limit();
        let schedule = &self.context.settings.sync;
        if let Some(why) = self.context.sweeps.shortage(self.kind, found.calls, schedule, hour_limit) {
            warn!(why, "sweeps cannot be made as often as they are due");
        }
        // Nothing could be said of them: that changes at once.
        self.queue(&found.renewed);
        self.changed.extend(found.changed);
        // A drift may wait for that.
        self.changed.extend(found.confirmed);
        for id in &found.renewed {
            self.changed.remove(id);
        }
        if self.context.settings.detect.is_none() {
            self.detect();
        }
    }

    fn fail(&mut self, error: &SyncError) {
        let failures = self.past.failed.map_or(0, |(_, failures)| failures).saturating_add(1);
        self.past.failed = Some((Instant::now(), failures));
        warn!(kind = %self.kind, %error, failures, "could not sweep; nothing is concluded from it");
        let failure = Failure::Failed { category: error.category(), text: error.to_string() };
        let before = self.context.sweeps.set_failure(self.kind, Some(failure.clone()));
        // Records quote the failure. Its exact text may differ each time, such as in the id of a request.
        let is_news = before.as_ref().and_then(Failure::category) != failure.category();
        let is_other = before.as_ref() != Some(&failure);
        if (is_news && !self.context.inventory.has_listed(self.kind)) || (error.is_about_all() && is_other) {
            self.queue_all();
        } else if is_news {
            // The others trust what is known until it is too old.
            self.queue_stale();
        }
    }

    /// Compares what changed.
    fn detect(&mut self) -> Option<Work> {
        self.past.detected = Instant::now();
        let changed: Vec<_> = self.changed.drain().collect();
        self.queue(&changed);
        None
    }

    /// Something became too old: its records have to say so.
    fn distrust(&mut self) -> Option<Work> {
        let now = Instant::now();
        let max_age = self.max_age();
        let (expired, next) = self.context.inventory.expire(self.kind, max_age);
        // What is asked for from now on expires later.
        self.past.expires = next.unwrap_or(now + max_age);
        if !expired.is_empty() {
            warn!(kind = %self.kind, resources = expired.len(), "what is known of them is too old for verdicts");
            self.queue(&expired);
        } else if self.past.busy.is_some()
            && !self.context.inventory.has_listed(self.kind)
            && self.context.sweeps.failure(self.kind).is_none()
        {
            warn!(kind = %self.kind, "{STILL_WAITING}");
            self.context.sweeps.set_failure(self.kind, Some(Failure::Waiting));
            self.queue_all();
        }
        None
    }

    fn max_age(&self) -> Duration {
        self.context.inventory.max_age(self.kind, self.context.settings.max_age).min(NEVER)
    }

    fn is_known(&self, resource: &ResourceKey) -> bool {
        let observation = self.context.inventory.look(resource, self.context.settings.max_age);
        observation != Observation::Unknown(UnknownReason::NotYet)
    }

    /// Queues the records of these ids.
    fn queue(&self, ids: &[Arc<str>]) {
        let index = self.context.index();
        let records = |id: &Arc<str>| index.records_of(&ResourceKey::new(self.kind, id.clone())).to_vec();
        let keys: Vec<_> = ids.iter().flat_map(records).collect();
        drop(index);
        self.context.queue.extend(keys);
    }

    /// Queues the records that say that what is known of them is too old, for them to say why.
    fn queue_stale(&self) {
        let index = self.context.index();
        let is_stale = |key: &ObjectKey| index.record(key).is_some_and(|record| record.status.is_stale());
        let keys: Vec<_> = index.keys_of(self.kind).into_iter().filter(is_stale).collect();
        drop(index);
        self.context.queue.extend(keys);
    }

    /// Queues the records that were never looked up.
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

/// What the work comes to, once there is some.
async fn finished(work: &mut Option<Work>) -> Done {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}

/// All that wait.
fn waiting(asks: &mut UnboundedReceiver<ObjectKey>) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = std::iter::from_fn(|| asks.try_recv().ok()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// This one, and all that come until a lull.
async fn gather(first: ObjectKey, asks: &mut UnboundedReceiver<ObjectKey>) -> Vec<ObjectKey> {
    let mut keys = vec![first];
    let enough = Instant::now() + GATHER;
    while let Ok(Some(key)) = timeout_at(enough.min(Instant::now() + LULL), asks.recv()).await {
        keys.push(key);
    }
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    /// Moments of one hour, as minutes and seconds past ten.
    #[derive(Clone, Copy)]
    struct Hour(Instant);

    impl Hour {
        fn begin() -> Self {
            Self(Instant::now())
        }

        fn at(self, minutes: u32) -> Instant {
            self.0 + MINUTE * minutes
        }

        fn now(self, minutes: u32) -> Now {
            let ten: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
            Now { instant: self.at(minutes), time: ten + MINUTE * minutes }
        }

        /// A task that listed at ten, with nothing to compare and nothing that becomes too old in this hour.
        fn quiet(self) -> Past {
            Past {
                busy: None,
                began: Some(self.0),
                failed: None,
                detected: self.0,
                expires: self.at(60),
                pause: Duration::ZERO,
            }
        }
    }

    #[test]
    fn next_is_whatever_has_been_due_for_longest() {
        let hour = Hour::begin();
        let quiet = || hour.quiet();
        let failed = |minute, failures| Past { failed: Some((hour.at(minute), failures)), ..quiet() };
        let changed = |began, detected| Past { began: Some(hour.at(began)), detected: hour.at(detected), ..quiet() };
        let cases = [
            ("the first sweep is due at once", Past { began: None, ..quiet() }, "5m", "", 7, (hour.at(7), Due::Sync)),
            ("an interval counts from the begin", quiet(), "5m", "", 3, (hour.at(5), Due::Sync)),
            ("a sweep longer than its period is followed by the next", quiet(), "5m", "", 9, (hour.at(5), Due::Sync)),
            ("a cron time comes", quiet(), "15 * * * *", "", 3, (hour.at(15), Due::Sync)),
            ("a cron time that passed meanwhile is not lost", quiet(), "15 * * * *", "", 25, (hour.at(15), Due::Sync)),
            (
                "what changes waits for the next time",
                changed(15, 20),
                "40m",
                "20 * * * *",
                25,
                (hour.at(55), Due::Sync),
            ),
            ("comparing has its own schedule", changed(0, 0), "30m", "5m", 3, (hour.at(5), Due::Detect)),
            ("comparing is not starved by long sweeps", changed(8, 2), "5m", "6m", 14, (hour.at(8), Due::Detect)),
            (
                "of two times that passed, the earlier",
                changed(10, 10),
                "5m",
                "20 * * * *",
                30,
                (hour.at(15), Due::Sync),
            ),
            ("then the other", changed(30, 10), "5m", "20 * * * *", 36, (hour.at(20), Due::Detect)),
            ("and sweeps not by comparing", changed(0, 4), "5m", "1m", 5, (hour.at(5), Due::Sync)),
            ("a cron time for each", changed(14, 0), "15 * * * *", "20 * * * *", 25, (hour.at(15), Due::Sync)),
            (
                "a limit of the kind's own makes a sweep wait",
                Past { pause: MINUTE * 7, ..quiet() },
                "5m",
                "",
                3,
                (hour.at(7), Due::Sync),
            ),
            ("a failed sweep is retried soon", failed(1, 1), "10m", "", 1, (hour.at(1) + SECOND * 15, Due::Sync)),
            ("and later each time", failed(1, 3), "10m", "", 1, (hour.at(2), Due::Sync)),
            ("but not later than it is due", failed(1, 30), "10m", "", 1, (hour.at(11), Due::Sync)),
            ("nor than a cron time", failed(1, 30), "15 * * * *", "", 1, (hour.at(15), Due::Sync)),
            (
                "a long failed sweep is not retried at once",
                failed(20, 1),
                "5m",
                "",
                20,
                (hour.at(20) + SECOND * 15, Due::Sync),
            ),
            (
                "what becomes too old first is told first",
                Past { expires: hour.at(4), ..quiet() },
                "5m",
                "",
                3,
                (hour.at(4), Due::Distrust),
            ),
            (
                "age goes on during a sweep",
                Past { busy: Some(hour.at(5)), expires: hour.at(12), ..changed(0, 0) },
                "5m",
                "5m",
                9,
                (hour.at(12), Due::Distrust),
            ),
        ];
        for (what, past, sync, detect, minute, wanted) in cases {
            let detect = (!detect.is_empty()).then(|| schedule(detect));
            assert_eq!(next(&past, &schedule(sync), detect.as_ref(), hour.now(minute)), wanted, "{what}");
        }
    }

    #[test]
    fn first_looks_take_one_list_per_few_seconds_however_records_come() {
        let begin = Instant::now();
        let mut looks = FirstLooks::default();
        // At once beside a fleet of four pages.
        assert_eq!(looks.choose(600, 4, true, begin), Look::List);
        looks.listed = Some(begin);
        assert_eq!(looks.choose(90, 4, true, begin + SECOND), Look::Later(begin + FIRST_LOOKS));
        assert_eq!(looks.choose(90, 4, true, begin + FIRST_LOOKS), Look::List);
        // One by one, each second.
        let mut looks = FirstLooks::default();
        let (mut singly, mut lists) = (0, 0);
        for second in 0..60 {
            let now = begin + SECOND * second;
            match looks.choose(1, 4, true, now) {
                Look::Singly => singly += 1,
                Look::List => {
                    looks.listed = Some(now);
                    lists += 1;
                }
                Look::Later(_) => {}
            }
        }
        assert_eq!((singly, lists), (4, 12));
        // A list that takes long is made less often, and a minute later single fetches are left again.
        let mut looks = FirstLooks { listed: Some(begin), ..FirstLooks::default() };
        assert_eq!(looks.choose(51, 50, true, begin), Look::Later(begin + SECOND * 50));
        assert_eq!(looks.choose(50, 50, true, begin), Look::Singly);
        assert_eq!(looks.choose(1, 50, true, begin + SECOND * 50), Look::List);
        assert_eq!(looks.choose(1, 50, true, begin + MINUTE), Look::Singly);
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_gathered_until_a_lull_but_not_for_ever() {
        let key = |number: u32| ObjectKey { namespace: "default".into(), name: number.to_string().into() };
        for (count, pause, wanted) in [(5, LULL / 2, 5), (2, LULL * 2, 1), (100, LULL / 2, 31)] {
            let (sender, mut asks) = unbounded_channel();
            tokio::spawn(async move {
                for number in 0..count {
                    let _ = sender.send(key(number));
                    tokio::time::sleep(pause).await;
                }
                pending::<()>().await;
            });
            let first = asks.recv().await.unwrap();
            let gathered = gather(first, &mut asks).await.len();
            assert!(gathered.abs_diff(wanted) <= 1, "{gathered} of {count}");
        }
    }

    #[test]
    fn sweeps_and_comparing_take_turns_however_long_sweeps_take() {
        for (sync, detect) in [("5m", "5m"), ("5m", "20 * * * *"), ("15 * * * *", "20 * * * *"), ("5m", "1h")] {
            let hour = Hour::begin();
            let (sync, detect) = (schedule(sync), schedule(detect));
            let mut past = Past { expires: hour.at(100_000), ..hour.quiet() };
            let (mut minute, mut swept, mut compared) = (0, 0, 0);
            while minute < 24 * 60 {
                match next(&past, &sync, Some(&detect), hour.now(minute)) {
                    (at, _) if at > hour.at(minute) => minute += 1,
                    (_, Due::Sync) => {
                        past.began = Some(hour.at(minute));
                        minute += 50;
                        swept += 1;
                    }
                    (_, Due::Detect) => {
                        past = Past { detected: hour.at(minute), ..past };
                        compared += 1;
                    }
                    (_, Due::Distrust) => unreachable!(),
                }
            }
            assert!(swept >= 22 && compared >= 9, "{sync} and {detect}: {swept} sweeps, compared {compared} times");
        }
    }

    #[test]
    fn sweeps_that_cannot_be_made_as_often_as_they_are_due_are_told_with_the_numbers() {
        let now = Timestamp::now();
        assert_eq!(shortage(375, &schedule("5m"), 4500, now), None);
        let told = shortage(376, &schedule("5m"), 4500, now).unwrap();
        for wanted in
            ["takes 376 calls", "--sync-schedule 5m", "12 in an hour", "4512", "may make 4500", "--requests-per-hour"]
        {
            assert!(told.contains(wanted), "{told}");
        }
    }
}
