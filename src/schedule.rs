//! When something is due: every so often, or by a cron expression (UTC).

use std::{fmt, str::FromStr, time::Duration};

use croner::Cron;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A schedule as given on the command line: `5m`, `90s` or `15 * * * *`.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// That long after the last time.
    Every(Duration),
    /// Whenever the clock (UTC) matches.
    Cron(Box<Cron>),
}

impl Schedule {
    /// How long to wait from now, when the last time was `last` ago.
    #[must_use]
    pub fn wait(&self, now: Timestamp, last: Duration) -> Duration {
        match self {
            Self::Every(period) => period.saturating_sub(last),
            Self::Cron(cron) => next(cron, now).map_or(Duration::MAX, |due| between(now, due)),
        }
    }

    /// The time between two runs; for a cron expression the longer one of the next two gaps.
    #[must_use]
    pub fn period(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(period) => *period,
            Self::Cron(cron) => {
                let mut times = vec![now];
                times.extend(std::iter::successors(next(cron, now), |time| next(cron, *time)).take(3));
                times
                    .windows(2)
                    .skip(1)
                    .filter_map(|pair| Some(between(*pair.first()?, *pair.last()?)))
                    .max()
                    .unwrap_or_default()
            }
        }
    }
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

/// A duration such as `90s`, `5m` or `1h30m`.
///
/// # Errors
/// When the text is not one, or it is negative.
pub fn duration(text: &str) -> Result<Duration, String> {
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

    #[test]
    fn durations_and_cron_expressions_are_schedules() {
        let now: Timestamp = "2026-03-01T10:07:30Z".parse().unwrap();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let cases = [
            ("5m", minutes(5)),
            ("90s", Duration::from_secs(90)),
            ("1h30m", minutes(90)),
            ("15 * * * *", Duration::from_secs(7 * 60 + 30)),
            ("20 10 * * *", Duration::from_secs(12 * 60 + 30)),
        ];
        for (text, wait) in cases {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.wait(now, Duration::ZERO), wait, "{text}");
        }
        let hourly: Schedule = "15 * * * *".parse().unwrap();
        assert_eq!(hourly.period(now), minutes(60));
        let every: Schedule = "5m".parse().unwrap();
        assert_eq!(every.wait(now, minutes(2)), minutes(3));
    }

    #[test]
    fn anything_else_says_what_would_be_right() {
        for text in ["", "5", "soon", "-5m", "0s", "61 * * * *", "0 0 31 2 *", "* * *"] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(!error.is_empty() && !error.contains('\n'), "{text}: {error}");
        }
    }
}
