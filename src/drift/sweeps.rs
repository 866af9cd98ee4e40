//! The sweeps of all recorded kinds: the inbox of each task, and why nothing is known of its kind.

use std::{collections::HashMap, fmt};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{digitalocean::Kind, kube_ext::key::ObjectKey, schedule::Schedule};

/// The message of a record of an unknown resource while the first sweep takes too long.
pub(super) const STILL_WAITING: &str =
    "the first list is not complete yet: it waits for calls of the token, or for DigitalOcean's answers";

/// The reason why nothing is known of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SweepFailure {
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

impl SweepFailure {
    pub(super) fn category(&self) -> Option<&'static str> {
        match self {
            Self::Waiting => None,
            Self::Failed { category, .. } => Some(category),
        }
    }
}

impl fmt::Display for SweepFailure {
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
    /// Whether the warning that sweeps need more calls than they may make was logged.
    is_short: Mutex<bool>,
}

struct Task {
    asks: UnboundedSender<ObjectKey>,
    failure: Option<SweepFailure>,
    /// How many calls the last sweep took.
    calls: usize,
}

impl Sweeps {
    /// Registers the task of a kind. Returns its inbox, unless it was registered before.
    pub(super) fn register(&self, kind: Kind) -> Option<UnboundedReceiver<ObjectKey>> {
        let mut inbox = None;
        self.kinds().entry(kind).or_insert_with(|| {
            let (asks, asked) = unbounded_channel();
            inbox = Some(asked);
            Task { asks, failure: None, calls: 0 }
        });
        inbox
    }

    /// Hands a record over to the task of its kind.
    pub(super) fn send(&self, kind: Kind, key: ObjectKey) {
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

    /// Sets the failure of a kind, or clears it. Returns the previous one.
    pub(super) fn set_failure(&self, kind: Kind, failure: Option<SweepFailure>) -> Option<SweepFailure> {
        let mut kinds = self.kinds();
        kinds.get_mut(&kind).and_then(|task| std::mem::replace(&mut task.failure, failure))
    }

    /// Takes over what a sweep of the kind took. Why the sweeps of all kinds cannot be made as often as they are due;
    /// nothing where they can, or it was told already.
    pub(super) fn shortage(&self, kind: Kind, calls: usize, schedule: &Schedule, hour_limit: usize) -> Option<String> {
        let calls: usize = {
            let mut kinds = self.kinds();
            if let Some(task) = kinds.get_mut(&kind) {
                task.calls = calls;
            }
            kinds.values().map(|task| task.calls).sum()
        };
        let shortage = shortage(calls, schedule, hour_limit, Timestamp::now());
        let mut is_short = self.is_short.lock();
        let was_short = std::mem::replace(&mut *is_short, shortage.is_some());
        shortage.filter(|_| !was_short)
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Task>> {
        self.kinds.lock()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
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
