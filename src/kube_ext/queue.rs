//! A work queue: each key is queued at most once and processed by one worker at a time; failures are retried with
//! backoff. It corresponds to client-go's rate-limiting work queue.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    hash::Hash,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use crate::backoff::Backoff;

/// The pauses after failures. Their jitter keeps failures with one cause apart.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(5));

/// Room for this many keys is kept while the queue is empty.
const FEW: usize = 1024;

/// A failure of processing a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The number of successive failures, including this one.
    pub in_a_row: u32,
    /// The time until the key is requeued.
    pub again_in: Duration,
}

/// The queue.
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    waiting: HashSet<K>,
    running: HashSet<K>,
    again: HashSet<K>,
    delayed: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
    /// The time for which a worker waits on behalf of all: only that worker wakes up when a delayed key is due.
    awaited: Option<Instant>,
    #[cfg(test)]
    wake_ups: usize,
}

impl<K> Default for State<K> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            running: HashSet::new(),
            again: HashSet::new(),
            delayed: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            awaited: None,
            #[cfg(test)]
            wake_ups: 0,
        }
    }
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Adds a key, unless it is already queued.
    pub(crate) fn add(&self, key: K) {
        self.state().add(key);
        self.changed.notify_one();
    }

    /// Adds a key before all others, unless it is already queued.
    pub(crate) fn add_first(&self, key: K) {
        self.state().add_first(key);
        self.changed.notify_one();
    }

    /// Adds several keys.
    pub(crate) fn extend(&self, keys: impl IntoIterator<Item = K>) {
        let mut state = self.state();
        for key in keys {
            state.add(key);
        }
        drop(state);
        // A worker that takes a key wakes the next one while there are more.
        self.changed.notify_one();
    }

    /// The next key to process. Pass it to [`Self::done`] or [`Self::failed`] afterwards.
    pub(crate) async fn next(&self) -> K {
        loop {
            // Registered before the check, so that no key is missed.
            let changed = self.changed.notified();
            let due = {
                let mut state = self.state();
                #[cfg(test)]
                {
                    state.wake_ups += 1;
                }
                if let Some(key) = state.take(Instant::now()) {
                    if !state.ready.is_empty() || state.is_unattended() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                state.await_first()
            };
            match due {
                Some(due) => {
                    let mut awaited = Awaited { queue: self, due, is_abandoned: true };
                    let _ = tokio::time::timeout_at(due, changed).await;
                    awaited.is_abandoned = false;
                }
                None => changed.await,
            }
        }
    }

    /// Completes a key.
    pub(crate) fn done(&self, key: &K) {
        let mut state = self.state();
        state.failures.remove(key);
        state.finish(key);
        drop(state);
        self.changed.notify_one();
    }

    /// Requeues a failed key with backoff.
    pub(crate) fn failed(&self, key: &K) -> Failed {
        let mut state = self.state();
        let failures = state.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let in_a_row = *failures;
        let again_in = BACKOFF.spread(in_a_row, rand::random());
        state.delay(key, again_in);
        state.finish(key);
        drop(state);
        self.changed.notify_one();
        Failed { in_a_row, again_in }
    }

    /// Requeues a key after this time, or earlier if it is added.
    pub(crate) fn later(&self, key: &K, wait: Duration) {
        let mut state = self.state();
        state.failures.remove(key);
        state.delay(key, wait);
        state.finish(key);
        drop(state);
        self.changed.notify_one();
    }

    /// The number of keys that are queued or being processed.
    pub(crate) fn pending(&self) -> usize {
        let state = self.state();
        state.ready.len() + state.running.len()
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock()
    }
}

/// A worker that waits until a delayed key is due. If its wait is abandoned, another worker waits.
struct Awaited<'q, K> {
    queue: &'q Queue<K>,
    due: Instant,
    is_abandoned: bool,
}

impl<K> Drop for Awaited<'_, K> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        if state.awaited == Some(self.due) {
            state.awaited = None;
        }
        drop(state);
        if self.is_abandoned {
            self.queue.changed.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    /// Whether a delayed key is due before the time for which a worker waits.
    fn is_unattended(&self) -> bool {
        let first = self.delayed.first().map(|(due, _)| *due);
        first.is_some_and(|first| self.awaited.is_none_or(|awaited| first < awaited))
    }

    /// The time for which the worker waits; none if another worker waits already.
    fn await_first(&mut self) -> Option<Instant> {
        if self.is_unattended() {
            self.awaited = self.delayed.first().map(|(due, _)| *due);
            return self.awaited;
        }
        None
    }

    fn add(&mut self, key: K) {
        if self.admit(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_first(&mut self, key: K) {
        if self.admit(&key) {
            self.ready.push_front(key);
        }
    }

    /// Whether a key is to be queued now. One that is being processed is queued after that.
    fn admit(&mut self, key: &K) -> bool {
        if let Some(due) = self.due.remove(key) {
            self.delayed.remove(&(due, key.clone()));
        }
        if self.running.contains(key) {
            self.again.insert(key.clone());
            return false;
        }
        self.waiting.insert(key.clone())
    }

    fn delay(&mut self, key: &K, wait: Duration) {
        let due = Instant::now() + wait;
        if let Some(due) = self.due.insert(key.clone(), due) {
            self.delayed.remove(&(due, key.clone()));
        }
        self.delayed.insert((due, key.clone()));
    }

    fn take(&mut self, now: Instant) -> Option<K> {
        while self.delayed.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, key)) = self.delayed.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        if self.ready.is_empty() && self.ready.capacity() > FEW {
            // After a rush.
            self.ready.shrink_to_fit();
            self.waiting.shrink_to_fit();
        }
        self.running.insert(key.clone());
        Some(key)
    }

    fn finish(&mut self, key: &K) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_is_worked_on_by_one() {
        let queue = Queue::default();
        queue.extend([1, 2, 1]);
        assert_eq!(queue.next().await, 1);
        queue.add(1);
        assert_eq!(queue.next().await, 2);
        let nothing = tokio::time::timeout(Duration::from_secs(1), queue.next()).await;
        assert!(nothing.is_err(), "1 is being worked on");
        queue.done(&1);
        assert_eq!(queue.next().await, 1, "it was added again meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_come_back_later_each_time_and_news_comes_at_once() {
        let queue = Queue::default();
        queue.add("a");
        let mut waits = Vec::new();
        for _ in 0..12 {
            let key = queue.next().await;
            waits.push(queue.failed(&key).again_in);
        }
        assert!(waits[0] < Duration::from_secs(1) && waits[6] > waits[0] * 4, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_mins(5)));
        queue.add("a");
        let before = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(before, Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_add_up() {
        let queue = Queue::default();
        let mut in_a_row = Vec::new();
        for waits_in_between in [false, false, true, false] {
            queue.add("a");
            let key = queue.next().await;
            in_a_row.push(queue.failed(&key).in_a_row);
            if waits_in_between {
                queue.add("a");
                let key = queue.next().await;
                queue.later(&key, Duration::from_secs(1));
            }
        }
        assert_eq!(in_a_row, [1, 2, 3, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_keys_wake_no_worker_and_a_due_key_wakes_few() {
        const KEYS: usize = 5000;
        let queue = Arc::new(Queue::default());
        for _ in 0..128 {
            let queue = queue.clone();
            tokio::spawn(async move {
                loop {
                    let key = queue.next().await;
                    // The last one sooner than all others.
                    let wait = if key == KEYS - 1 { 1800 } else { 3600 };
                    queue.later(&key, Duration::from_secs(wait));
                }
            });
        }
        queue.extend(0..KEYS);
        let wake_ups = || std::mem::take(&mut queue.state().wake_ups);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(wake_ups() >= KEYS);
        tokio::time::sleep(Duration::from_secs(1700)).await;
        assert_eq!(wake_ups(), 0, "at rest");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!((1..=6).contains(&wake_ups()), "one key was due");
        assert_eq!(queue.pending(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_key_is_worked_on_in_time_whichever_worker_waits() {
        let queue = Arc::new(Queue::default());
        let begin = Instant::now();
        let seconds = |count| Duration::from_secs(count);
        for key in [30, 20, 10] {
            queue.add(key);
            assert_eq!(queue.next().await, key);
        }
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        // Each is due sooner than the one before.
        for key in [30, 20, 10] {
            queue.later(&key, seconds(key));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let other = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::time::sleep(seconds(1)).await;
        // The worker that waits for the first key ends.
        waiting.abort();
        assert_eq!(other.await.unwrap(), 10);
        assert_eq!((begin.elapsed()).as_secs(), 10);
        assert_eq!(queue.next().await, 20);
        assert_eq!(begin.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn every_worker_gets_its_share() {
        let queue = Arc::new(Queue::default());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let key = queue.next().await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    queue.done(&key);
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = Instant::now();
        queue.extend(0..4);
        for worker in workers {
            worker.await.unwrap();
        }
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    }
}
