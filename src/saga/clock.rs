//! The durations of a saga. Suspended time does not count. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::saga::{SagaStatus, StepStatus, UndoStatus};

/// The start of the saga, moved by the time for which it was suspended.
pub(super) fn saga_began(status: &SagaStatus, now: Timestamp) -> Option<Timestamp> {
    Some(shifted(status.started_at.as_ref()?.0, status.suspended_seconds, status, now))
}

/// The start of the step, moved by the time for which the saga was suspended.
pub(super) fn step_began(status: &SagaStatus, entry: &StepStatus, now: Timestamp) -> Option<Timestamp> {
    Some(shifted(entry.started_at.as_ref()?.0, entry.suspended_seconds, status, now))
}

/// The start of undoing the step, moved by the time for which the saga was suspended.
pub(super) fn undo_began(status: &SagaStatus, undo: &UndoStatus, now: Timestamp) -> Option<Timestamp> {
    Some(shifted(undo.started_at.as_ref()?.0, undo.suspended_seconds, status, now))
}

/// The current suspension's duration, counted from `since` at the earliest.
pub(super) fn pause(suspended_at: Option<&Time>, since: Timestamp, now: Timestamp) -> SignedDuration {
    let pause = suspended_at.map(|at| now.duration_since(at.0.max(since))).unwrap_or_default();
    pause.max(SignedDuration::ZERO)
}

fn shifted(since: Timestamp, seconds: i64, status: &SagaStatus, now: Timestamp) -> Timestamp {
    let pauses = pause(status.suspended_at.as_ref(), since, now).saturating_add(SignedDuration::from_secs(seconds));
    since.saturating_add(pauses).unwrap_or(Timestamp::MAX)
}

/// Returns true if a period has ended. The journal truncates times to whole seconds, so one more second is added.
#[must_use]
pub(super) fn has_passed(since: Timestamp, time: Duration, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    Duration::try_from(passed).is_ok_and(|passed| passed > time + Duration::from_secs(1))
}

/// The remaining part of a period; zero once it [`has_passed`].
#[must_use]
pub(super) fn left(since: Timestamp, time: Duration, now: Timestamp) -> Duration {
    if has_passed(since, time, now) {
        return Duration::ZERO;
    }
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    // Slightly more, so that the period has passed at the next decision.
    (time + Duration::from_secs(1)).saturating_sub(passed) + Duration::from_millis(10)
}

/// The time until then; none once it has passed.
#[must_use]
pub(super) fn until(time: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(time.duration_since(now)).ok().filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn time(second: i64) -> Time {
        Time(at(second))
    }

    #[test]
    fn pauses_that_are_over_and_the_one_under_way_do_not_count() {
        let mut status = SagaStatus { started_at: Some(time(100)), ..SagaStatus::default() };
        assert_eq!(saga_began(&status, at(150)), Some(at(100)));
        status.suspended_seconds = 20;
        assert_eq!(saga_began(&status, at(150)), Some(at(120)));
        status.suspended_at = Some(time(140));
        assert_eq!(saga_began(&status, at(150)), Some(at(130)));
        assert_eq!(saga_began(&status, at(160)), Some(at(140)), "it does not advance while the saga is suspended");
    }

    #[test]
    fn a_pause_counts_for_a_step_from_when_the_step_began() {
        let status = SagaStatus { suspended_at: Some(time(100)), ..SagaStatus::default() };
        let entry = StepStatus { started_at: Some(time(130)), ..StepStatus::default() };
        assert_eq!(step_began(&status, &entry, at(150)), Some(at(150)));
        let undo = UndoStatus { started_at: Some(time(90)), suspended_seconds: 7, ..UndoStatus::default() };
        assert_eq!(undo_began(&status, &undo, at(150)), Some(at(147)));
    }
}
