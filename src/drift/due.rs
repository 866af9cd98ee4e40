//! The time of the next list and comparison of a kind.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{backoff::Backoff, schedule::Schedule};

/// After a failed sweep, the pause before the next one, doubled for each further failure, unless one is due earlier.
const RETRY: Backoff = Backoff::new(Duration::from_secs(15), NEVER);

/// Effectively never: other events are due earlier.
pub(super) const NEVER: Duration = Duration::from_hours(365 * 24);

/// The input of the next decision.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// The start of the running sweep or requests.
    pub(super) busy: Option<Instant>,
    /// The start of the last sweep.
    pub(super) began: Option<Instant>,
    /// The end of the last failed sweep, and the number of failures since the last success.
    pub(super) failed: Option<(Instant, u32)>,
    /// The calls of the last failed sweep, as a part of those of a complete one.
    pub(super) cost: f64,
    /// The time of the last comparison, or of its last due time without changes.
    pub(super) detected: Instant,
    /// The time at which the first resource expires.
    pub(super) expires: Instant,
    /// The shortest time from the start of one sweep to the next, by its pace.
    pub(super) pause: Duration,
    /// The time of another list for many changes that only the last list shows.
    pub(super) confirms: Option<Instant>,
}

/// The next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A resource expires.
    Distrust,
    /// The kind is listed.
    Sync,
    /// Changes are compared.
    Detect,
    /// The kind is listed to confirm many changes.
    Confirm,
}

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) time: Timestamp,
}

/// The next event, and its time: the one that has been due for longest. During a sweep only expiries count.
pub(super) fn next(past: &Past, sync: &Schedule, detect: Option<&Schedule>, now: Now) -> (Instant, Due) {
    let distrust = (past.expires, Due::Distrust);
    if past.busy.is_some() {
        return distrust;
    }
    let synced = next_sync(past, sync, now);
    // Also without changes: later changes wait for the next time.
    let detect = detect.map(|detect| (due(detect, past.detected, now), Due::Detect));
    // After a failed sweep, the next one comes first.
    let confirm = past.confirms.filter(|_| past.failed.is_none()).map(|at| (at, Due::Confirm));
    // Of events due at the same time, the first in this order: changes are compared after the list.
    let all = [Some(distrust), Some((synced, Due::Sync)), detect, confirm];
    all.into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or(distrust)
}

/// The time at which the next sweep is due, once no sweep is in progress.
pub(super) fn next_sync(past: &Past, sync: &Schedule, now: Now) -> Instant {
    match (past.began, past.failed) {
        (None, _) => now.instant,
        (Some(began), None) => due(sync, began, now).max(began + past.pause),
        (Some(began), Some((ended, failures))) => {
            // A sweep that failed early cost few calls, so it is repeated soon.
            due(sync, ended, now).min(ended + RETRY.after(failures)).max(began + past.pause.mul_f64(past.cost))
        }
    }
}

/// The time at which a schedule is due after its last run, which may be in the past.
fn due(schedule: &Schedule, last: Instant, now: Now) -> Instant {
    let time = now.time.checked_sub(now.instant.saturating_duration_since(last)).unwrap_or(now.time);
    last + schedule.gap(time).min(NEVER)
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

        /// A task that listed at ten, without changes and without expiries in this hour.
        fn quiet(self) -> Past {
            Past {
                busy: None,
                began: Some(self.0),
                failed: None,
                cost: 1.0,
                detected: self.0,
                expires: self.at(60),
                pause: Duration::ZERO,
                confirms: None,
            }
        }
    }

    #[test]
    fn the_kind_that_has_been_due_for_longest_is_next() {
        let hour = Hour::begin();
        let quiet = || hour.quiet();
        let failed = |minute, failures| Past { failed: Some((hour.at(minute), failures)), ..quiet() };
        let paced = |pause, cost| Past { cost, pause, ..failed(1, 1) };
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
                "a limit of the kind's own, or of the token, makes a sweep wait",
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
            ("one that failed early, soon", paced(MINUTE * 40, 0.1), "5m", "", 3, (hour.at(4), Due::Sync)),
            ("others at the pace of the kind", paced(MINUTE * 7, 1.0), "5m", "", 3, (hour.at(7), Due::Sync)),
            (
                "many changes are confirmed before the next sweep",
                Past { confirms: Some(hour.at(1)), ..quiet() },
                "5m",
                "",
                1,
                (hour.at(1), Due::Confirm),
            ),
            (
                "unless that comes first",
                Past { confirms: Some(hour.at(6)), ..quiet() },
                "5m",
                "",
                1,
                (hour.at(5), Due::Sync),
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
                    (_, Due::Distrust | Due::Confirm) => unreachable!(),
                }
            }
            assert!(swept >= 22 && compared >= 9, "{sync} and {detect}: {swept} sweeps, compared {compared} times");
        }
    }
}
