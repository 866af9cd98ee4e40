//! Rate limits: two sliding windows for each token, and two for the endpoints with their own limits.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use axum::http::Method;

use crate::options::RateLimits;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Counts calls and refuses those over a limit.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: RateLimits,
    windows: HashMap<String, Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    hour: VecDeque<Instant>,
    ssh_keys: VecDeque<Instant>,
    cdn: VecDeque<Instant>,
}

/// The values of the `ratelimit-*` headers.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// The time until the oldest request expires.
    pub(crate) reset: Duration,
    pub(crate) verdict: Verdict,
}

/// The decision about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    /// Over the burst limit; the response contains the time of the next attempt.
    Burst(Duration),
    /// Over the hourly limit; only `ratelimit-reset` shows it.
    Exhausted,
}

impl Limiter {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self { limits, windows: HashMap::new() }
    }

    /// Counts a call, unless it is refused.
    pub(crate) fn admit(&mut self, token: &str, method: &Method, path: &str, now: Instant) -> Standing {
        let limits = &self.limits;
        let windows = self.windows.entry(token.to_owned()).or_default();
        forget(&mut windows.hour, HOUR, now);
        forget(&mut windows.ssh_keys, MINUTE, now);
        forget(&mut windows.cdn, TEN_SECONDS, now);
        let ssh_keys = method == Method::GET && path == "/v2/account/keys";
        let cdn = path.starts_with("/v2/cdn/endpoints");

        let burst = until_room(&windows.hour, MINUTE, limits.per_minute, now)
            .or_else(|| until_room(&windows.ssh_keys, MINUTE, limits.ssh_keys_per_minute, now).filter(|_| ssh_keys))
            .or_else(|| until_room(&windows.cdn, TEN_SECONDS, limits.cdn_per_ten_seconds, now).filter(|_| cdn));
        let verdict = match (until_room(&windows.hour, HOUR, limits.per_hour, now), burst) {
            (Some(_), _) => Verdict::Exhausted,
            (None, Some(wait)) => Verdict::Burst(wait),
            (None, None) => Verdict::Admitted,
        };
        if verdict == Verdict::Admitted {
            windows.hour.push_back(now);
            if ssh_keys {
                windows.ssh_keys.push_back(now);
            }
            if cdn {
                windows.cdn.push_back(now);
            }
        }
        let used = u32::try_from(windows.hour.len()).unwrap_or(u32::MAX);
        let oldest = windows.hour.front().copied().unwrap_or(now);
        // Without a limit the headers still contain usable values.
        let limit = if limits.per_hour == 0 { u32::MAX } else { limits.per_hour };
        Standing {
            limit,
            remaining: limit.saturating_sub(used),
            reset: (oldest + HOUR).saturating_duration_since(now),
            verdict,
        }
    }
}

fn forget(window: &mut VecDeque<Instant>, length: Duration, now: Instant) {
    while window.front().is_some_and(|at| now.duration_since(*at) >= length) {
        window.pop_front();
    }
}

/// The time until the window has room; `None` if it has room now.
fn until_room(window: &VecDeque<Instant>, length: Duration, limit: u32, now: Instant) -> Option<Duration> {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0)?;
    // The limit-th call from the end must expire first.
    let blocking = window.get(window.len().checked_sub(limit)?)?;
    Some((*blocking + length).saturating_duration_since(now)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_burst_limit_returns_retry_after() {
        let limits = RateLimits { per_minute: 2, per_hour: 3, ..RateLimits::default() };
        let mut limiter = Limiter::new(limits);
        let start = Instant::now();
        let mut admit =
            |seconds| limiter.admit("t", &Method::GET, "/v2/droplets", start + Duration::from_secs(seconds));
        assert_eq!(admit(0).verdict, Verdict::Admitted);
        assert_eq!(admit(1).verdict, Verdict::Admitted);
        assert_eq!(admit(2).verdict, Verdict::Burst(Duration::from_secs(58)));
        let third = admit(61);
        assert_eq!(third.verdict, Verdict::Admitted);
        assert_eq!(third.remaining, 0);
        assert_eq!(admit(130).verdict, Verdict::Exhausted);
        assert_eq!(admit(3600).verdict, Verdict::Admitted);
    }
}
