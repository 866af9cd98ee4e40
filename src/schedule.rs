//! Schedules: a fixed interval, or a cron expression (UTC).

use std::{fmt, str::FromStr, time::Duration};

use croner::Cron;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A schedule from the command line: `5m`, `90s` or `15 * * * *`.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// This long after the last run.
    Every(Duration),
    /// At every match of the clock (UTC).
    Cron(Box<Cron>),
}

/// The period over which the runs of a cron expression are computed, and the minimum number of gaps: days differ within
/// a week, and months from each other.
const AHEAD: Duration = Duration::from_hours(7 * 24);
const FEWEST_GAPS: usize = 12;
/// The maximum number of gaps: an expression can match every second.
const MOST_GAPS: usize = 100_000;
const HOUR: Duration = Duration::from_hours(1);

impl Schedule {
    /// The time from a run at `last` to the next one. If it has already passed, the run is due.
    #[must_use]
    pub fn gap(&self, last: Timestamp) -> Duration {
        match self {
            Self::Every(period) => *period,
            Self::Cron(cron) => next(cron, last).map_or(Duration::MAX, |due| between(last, due)),
        }
    }

    /// The longest time between two runs.
    #[must_use]
    pub fn period(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(period) => *period,
            Self::Cron(cron) => {
                let runs = runs(cron, now);
                runs.iter().zip(runs.iter().skip(1)).map(|(one, other)| between(*one, *other)).max().unwrap_or_default()
            }
        }
    }

    /// The mean time between two runs: of an interval its period, of a cron expression that of its busiest hour.
    #[must_use]
    pub fn busiest(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(period) => *period,
            Self::Cron(cron) => {
                let runs = runs(cron, now);
                let within =
                    |first: &Timestamp| runs.partition_point(|run| run < first || between(*first, *run) < HOUR);
                let most = runs.iter().enumerate().map(|(at, first)| within(first) - at).max().unwrap_or_default();
                HOUR / u32::try_from(most).unwrap_or(u32::MAX).max(1)
            }
        }
    }
}

/// The next runs: enough to cover every recurring gap at any time.
fn runs(cron: &Cron, now: Timestamp) -> Vec<Timestamp> {
    let mut runs: Vec<Timestamp> = Vec::new();
    for run in std::iter::successors(next(cron, now), |run| next(cron, *run)) {
        let is_far = runs.first().is_some_and(|first| between(*first, run) >= AHEAD);
        runs.push(run);
        if (is_far && runs.len() > FEWEST_GAPS) || runs.len() > MOST_GAPS {
            break;
        }
    }
    runs
}

fn next(cron: &Cron, after: Timestamp) -> Option<Timestamp> {
    let found = cron.find_next_occurrence(&after.to_zoned(TimeZone::UTC), false).ok()?;
    Some(found.timestamp())
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(period) = duration(text) {
            let is_enough = period >= Duration::from_secs(1);
            return if is_enough { Ok(Self::Every(period)) } else { Err("must be at least 1s".to_owned()) };
        }
        let cron = Cron::from_str(text).map_err(|error| {
            format!("must be a duration such as 5m, or a cron expression such as \"15 * * * *\" ({error})")
        })?;
        let never = next(&cron, Timestamp::now()).is_none();
        if never { Err("this cron expression never matches".to_owned()) } else { Ok(Self::Cron(Box::new(cron))) }
    }
}

/// Parses a duration such as `90s`, `5m` or `1h30m`.
///
/// # Errors
/// When the text is not a duration, or is negative.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "must be a duration such as 90s, 5m or 1h30m".to_owned())?;
    parsed.try_into().map_err(|_| "must not be negative".to_owned())
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "{:#}", SignedDuration::try_from(*period).unwrap_or_default()),
            Self::Cron(cron) => write!(f, "{}", cron.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn the_next_run_is_the_first_after_the_last_one_at_any_time() {
        for (text, gap) in [
            ("5m", MINUTE * 5),
            ("90s", Duration::from_secs(90)),
            ("1h30m", MINUTE * 90),
            ("15 * * * *", Duration::from_secs(7 * 60 + 30)),
            ("20 10 * * *", Duration::from_secs(12 * 60 + 30)),
        ] {
            assert_eq!(schedule(text).gap(time("2026-03-01T10:07:30Z")), gap, "{text}");
        }
        // At the exact time of a run, the next one is due.
        assert_eq!(schedule("15 * * * *").gap(time("2026-03-01T10:15:00Z")), MINUTE * 60);
        assert_eq!(schedule("15 * * * *").gap(time("2026-03-01T10:15:00.001Z")).as_secs(), 60 * 60 - 1);
    }

    #[test]
    fn the_longest_gap_and_the_busiest_hour_do_not_depend_on_the_time_of_asking() {
        let hours = |hours: u64| Duration::from_hours(hours);
        for (text, period, busiest) in [
            ("5m", MINUTE * 5, MINUTE * 5),
            ("90s", Duration::from_secs(90), Duration::from_secs(90)),
            ("7m", MINUTE * 7, MINUTE * 7),
            ("2h", hours(2), hours(2)),
            ("15 * * * *", hours(1), hours(1)),
            ("*/5 * * * *", MINUTE * 5, MINUTE * 5),
            ("0 8-18 * * *", hours(14), hours(1)),
            ("*/10 8-18 * * *", hours(13) + MINUTE * 10, MINUTE * 10),
            ("0 9 * * 1-5", hours(72), hours(1)),
            ("0,1 * * * *", MINUTE * 59, MINUTE * 30),
            ("0 0 1 * *", hours(31 * 24), hours(1)),
        ] {
            for now in ["2026-03-01T10:00:00Z", "2026-03-02T17:30:00Z", "2026-02-07T23:59:59Z", "2026-03-06T09:00:00Z"]
            {
                assert_eq!(schedule(text).period(time(now)), period, "{text} at {now}");
                assert_eq!(schedule(text).busiest(time(now)), busiest, "{text} at {now}");
            }
        }
    }

    /// The schema of the chart accepts the same texts.
    #[test]
    fn durations_and_expressions_are_read_in_every_notation() {
        for text in include_str!("../tests/install/schedules.txt").lines() {
            assert!(text.parse::<Schedule>().is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_says_what_would_be_right() {
        for text in ["", "5", "5x", "1d", "soon", "-5m", "0s", "61 * * * *", "0 0 31 2 *", "* * *"] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(!error.is_empty() && !error.contains('\n'), "{text}: {error}");
        }
    }
}
