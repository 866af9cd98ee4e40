//! Requests to the provider for decisions, and for changes that only one list shows: a few records at a time, with a
//! growing pause after failures, so that many requests do not delay everything else.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    backoff::Backoff,
    kube_ext::{key::ObjectKey, queue::Queue},
};

/// The first and the longest pause of a decision after the live resource could not be read.
const FETCH_BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(2));

/// The time that a record waits for its turn if none is handed over to it, which happens only after a panic.
const NEXT_TURN: Duration = Duration::from_secs(10);

/// The confirmation of a change that only one list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// By a direct request of the resource.
    Read,
    /// By the next list: too many records wait for a confirmation, and this one has not waited for a list yet.
    NextList,
}

/// The current turns, and the failed requests.
pub(super) struct FetchQueue {
    turns: Semaphore,
    waiting: Mutex<Waiting>,
    failed: Mutex<HashMap<ObjectKey, u32>>,
    unconfirmed: Mutex<HashMap<ObjectKey, Unconfirmed>>,
    /// If more records have unconfirmed changes, they wait for the next list, which confirms all of them with a few
    /// requests.
    most_unconfirmed: usize,
}

/// A record with an unconfirmed change.
#[derive(Clone, Copy, Debug)]
struct Unconfirmed {
    /// The latest list when it began to wait.
    listed: Option<Instant>,
    /// True if it is left to the next list.
    is_left: bool,
}

/// The records that wait for a turn, first come, first served.
#[derive(Default)]
struct Waiting {
    order: VecDeque<ObjectKey>,
    all: HashSet<ObjectKey>,
    /// They were next in line, and are queued to take their turn.
    called: HashSet<ObjectKey>,
}

/// A turn, which lasts until it is dropped. The next record in line is queued then.
pub(super) struct FetchPermit<'a> {
    fetches: &'a FetchQueue,
    queue: &'a Queue<ObjectKey>,
    permit: Option<SemaphorePermit<'a>>,
}

impl FetchQueue {
    /// Allows this number of turns at a time. Beyond `most_unconfirmed` changes, the next list confirms them.
    pub(super) fn new(at_a_time: usize, most_unconfirmed: usize) -> Self {
        Self {
            turns: Semaphore::new(at_a_time),
            waiting: Mutex::default(),
            failed: Mutex::default(),
            unconfirmed: Mutex::default(),
            most_unconfirmed,
        }
    }

    /// A turn; or how long to wait for one, unless the record is queued before.
    pub(super) fn turn<'a>(
        &'a self,
        key: &ObjectKey,
        queue: &'a Queue<ObjectKey>,
    ) -> Result<FetchPermit<'a>, Duration> {
        // Locked first: a turn that ends meanwhile finds this record in line.
        let mut waiting = self.waiting.lock();
        let was_called = waiting.called.remove(key);
        if let Ok(permit) = self.turns.try_acquire() {
            waiting.all.remove(key);
            return Ok(FetchPermit { fetches: self, queue, permit: Some(permit) });
        }
        if waiting.all.insert(key.clone()) {
            if was_called {
                waiting.order.push_front(key.clone());
            } else {
                waiting.order.push_back(key.clone());
            }
        }
        // Jitter spreads the records.
        Err(NEXT_TURN.mul_f64(rand::random_range(0.5..1.5)))
    }

    /// Hands the turn of a record over if the record was called and did not take it.
    pub(super) fn pass_on(&self, key: &ObjectKey, queue: &Queue<ObjectKey>) {
        if self.waiting.lock().called.remove(key) {
            self.call_next(queue);
        }
    }

    /// Queues the next record that waits for a turn.
    fn call_next(&self, queue: &Queue<ObjectKey>) {
        let mut waiting = self.waiting.lock();
        let Waiting { order, all, called } = &mut *waiting;
        // Others have had their turn, or need none any more.
        let next = std::iter::from_fn(|| order.pop_front()).find(|key| all.remove(key));
        if let Some(next) = next {
            called.insert(next.clone());
            queue.add_first(next);
        }
    }

    /// Returns true if a record waits for a turn.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.lock().all.is_empty()
    }

    /// Forgets the failures of a record: the provider responded, or nothing needs to be requested.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.failed.lock().remove(key);
    }

    /// The confirmation of this record's change, given the start of the last list. A record waits for at most one list:
    /// rows that change on their own differ in the next list again.
    pub(super) fn confirmation(&self, key: &ObjectKey, listed: Option<Instant>) -> Confirmation {
        let mut all = self.unconfirmed.lock();
        let others = all.len().saturating_sub(usize::from(all.contains_key(key)));
        let own = all.entry(key.clone()).or_insert(Unconfirmed { listed, is_left: false });
        own.is_left = others >= self.most_unconfirmed && own.listed >= listed;
        if own.is_left {
            self.waiting.lock().all.remove(key);
            Confirmation::NextList
        } else {
            Confirmation::Read
        }
    }

    /// Returns true if the records with unconfirmed changes are too many to be read one by one.
    pub(super) fn is_in_burst(&self) -> bool {
        self.unconfirmed.lock().len() > self.most_unconfirmed
    }

    /// The records that are left to the next list after this one.
    pub(super) fn left_to_list(&self, listed: Option<Instant>) -> Vec<ObjectKey> {
        let all = self.unconfirmed.lock();
        let left = all.iter().filter(|(_, change)| change.is_left && change.listed >= listed);
        left.map(|(key, _)| key.clone()).collect()
    }

    /// The records with unconfirmed changes.
    pub(super) fn unconfirmed(&self) -> Vec<ObjectKey> {
        self.unconfirmed.lock().keys().cloned().collect()
    }

    /// No change of this record waits for a confirmation.
    pub(super) fn confirmed(&self, key: &ObjectKey) {
        self.unconfirmed.lock().remove(key);
        self.waiting.lock().all.remove(key);
    }

    /// Records a failed request. Returns the pause, which grows each time.
    pub(super) fn failed(&self, key: &ObjectKey) -> Duration {
        let mut failed = self.failed.lock();
        let times = failed.entry(key.clone()).or_default();
        *times = times.saturating_add(1);
        FETCH_BACKOFF.after(*times)
    }
}

impl Drop for FetchPermit<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.fetches.call_next(self.queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_UNCONFIRMED: usize = 200;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: name.into() }
    }

    fn numbered(number: usize) -> ObjectKey {
        key(&number.to_string())
    }

    /// The turn of `a`. `b` and `c` wait for theirs.
    fn with_two_in_line<'q>(fetches: &'q FetchQueue, queue: &'q Queue<ObjectKey>) -> FetchPermit<'q> {
        let first = fetches.turn(&key("a"), queue).ok().unwrap();
        assert!(["b", "c"].into_iter().all(|name| fetches.turn(&key(name), queue).is_err()));
        first
    }

    #[tokio::test]
    async fn fetches_are_limited_and_each_passes_its_permit_on() {
        let (fetches, queue) = (FetchQueue::new(2, MOST_UNCONFIRMED), Queue::default());
        let turn = |name| fetches.turn(&key(name), &queue);
        let first = turn("a").ok().unwrap();
        let _second = turn("b").ok().unwrap();
        for name in ["c", "d", "c"] {
            assert!(turn(name).err().unwrap() < NEXT_TURN * 2);
        }
        queue.add(key("new"));
        drop(first);
        assert_eq!((queue.next().await, queue.next().await), (key("c"), key("new")), "before those that come anew");
        drop(turn("c").ok().unwrap());
        assert_eq!(queue.next().await, key("d"));
        drop(turn("d").ok().unwrap());
        let nothing = tokio::time::timeout(Duration::from_millis(10), queue.next()).await;
        assert!(nothing.is_err(), "nobody waits twice");
    }

    #[tokio::test]
    async fn a_record_that_needs_no_turn_any_more_does_not_wait_for_one() {
        let (fetches, queue) = (FetchQueue::new(1, MOST_UNCONFIRMED), Queue::default());
        let first = with_two_in_line(&fetches, &queue);
        fetches.confirmed(&key("b"));
        assert!(fetches.has_waiting(), "c waits");
        drop(first);
        assert_eq!(queue.next().await, key("c"));
        assert!(!fetches.has_waiting());
    }

    #[tokio::test]
    async fn a_record_that_was_called_and_needs_no_turn_any_more_hands_it_over() {
        let (fetches, queue) = (FetchQueue::new(1, MOST_UNCONFIRMED), Queue::default());
        drop(with_two_in_line(&fetches, &queue));
        for other in ["a", "c"] {
            fetches.pass_on(&key(other), &queue);
        }
        assert_eq!((queue.next().await, queue.pending()), (key("b"), 1), "others hand over no turn of theirs");
        fetches.pass_on(&key("b"), &queue);
        assert_eq!(queue.next().await, key("c"));
        fetches.pass_on(&key("c"), &queue);
        assert_eq!(queue.pending(), 2, "nobody else waits");
    }

    #[tokio::test]
    async fn a_record_whose_turn_was_taken_is_next_again() {
        let (fetches, queue) = (FetchQueue::new(1, MOST_UNCONFIRMED), Queue::default());
        let turn = |name| fetches.turn(&key(name), &queue);
        drop(with_two_in_line(&fetches, &queue));
        let new = turn("new").ok().unwrap();
        assert!(turn("b").is_err());
        assert_eq!(queue.next().await, key("b"));
        drop(new);
        queue.done(&key("b"));
        assert_eq!(queue.next().await, key("b"), "before c");
    }

    #[test]
    fn a_record_that_is_left_to_a_list_waits_for_no_turn() {
        let (fetches, queue) = (FetchQueue::new(1, 1), Queue::default());
        let listed = Some(Instant::now());
        let _first = fetches.turn(&key("a"), &queue).ok().unwrap();
        assert_eq!(fetches.confirmation(&key("b"), listed), Confirmation::Read);
        assert!(fetches.turn(&key("b"), &queue).is_err() && fetches.has_waiting());
        fetches.confirmation(&key("c"), listed);
        assert_eq!(fetches.confirmation(&key("b"), listed), Confirmation::NextList);
        assert!(!fetches.has_waiting());
    }

    #[test]
    fn a_burst_of_changes_waits_for_the_next_list_and_a_few_are_read_one_by_one() {
        let fetches = FetchQueue::new(1, MOST_UNCONFIRMED);
        let listed = Some(Instant::now());
        let ask = |number| fetches.confirmation(&numbered(number), listed);
        for number in 0..MOST_UNCONFIRMED {
            assert_eq!(ask(number), Confirmation::Read);
        }
        assert_eq!(ask(MOST_UNCONFIRMED), Confirmation::NextList);
        assert_eq!(ask(0), Confirmation::NextList, "those that wait for their turn, too");
        fetches.confirmed(&numbered(1));
        assert_eq!(ask(0), Confirmation::Read);
    }

    #[test]
    fn records_of_a_burst_are_left_to_the_list_after_the_one_that_showed_their_changes() {
        let fetches = FetchQueue::new(1, MOST_UNCONFIRMED);
        let first = Some(Instant::now());
        let second = first.map(|first| first + Duration::from_secs(10));
        for number in 0..=MOST_UNCONFIRMED {
            fetches.confirmation(&numbered(number), first);
        }
        assert_eq!(fetches.left_to_list(first), [numbered(MOST_UNCONFIRMED)]);
        for number in 0..=MOST_UNCONFIRMED {
            fetches.confirmation(&numbered(number), first);
        }
        assert_eq!(fetches.left_to_list(first).len(), MOST_UNCONFIRMED + 1);
        assert!(fetches.left_to_list(second).is_empty(), "the second list confirms them");
        assert!(fetches.is_in_burst());
        fetches.confirmed(&numbered(3));
        assert!(!fetches.is_in_burst());
        assert_eq!(fetches.left_to_list(first).len(), MOST_UNCONFIRMED, "the others are read now");
    }

    #[test]
    fn a_record_of_a_burst_waits_for_one_list_and_is_then_read() {
        let fetches = FetchQueue::new(1, MOST_UNCONFIRMED);
        let first = Instant::now();
        let second = first + Duration::from_mins(5);
        let all = 0..=MOST_UNCONFIRMED;
        for number in all.clone() {
            fetches.confirmation(&numbered(number), Some(first));
        }
        assert_eq!(fetches.confirmation(&numbered(7), Some(first)), Confirmation::NextList, "however often it comes");
        for number in all {
            assert_eq!(fetches.confirmation(&numbered(number), Some(second)), Confirmation::Read);
        }
        // After a read, its next change waits again.
        fetches.confirmed(&numbered(7));
        assert_eq!(fetches.confirmation(&numbered(7), Some(second)), Confirmation::NextList);
    }

    #[test]
    fn failed_fetches_are_retried_less_and_less_often_until_the_first_response() {
        let fetches = FetchQueue::new(1, MOST_UNCONFIRMED);
        let [key, other] = ["a", "b"].map(key);
        let waits: Vec<_> = (0..40).map(|_| fetches.failed(&key)).collect();
        let seconds = Duration::from_secs;
        assert_eq!(waits[..3], [seconds(5), seconds(10), seconds(20)]);
        assert_eq!(waits[39], seconds(120));
        assert_eq!(fetches.failed(&other), seconds(5));
        fetches.forget(&key);
        assert_eq!(fetches.failed(&key), seconds(5));
    }
}
