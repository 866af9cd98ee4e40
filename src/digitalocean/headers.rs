//! Rate limits in the headers of responses. Times count from the response's own date.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use super::budget::ServerLimits;

pub(super) fn server_limits(headers: &HeaderMap) -> Option<ServerLimits> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    Some(ServerLimits {
        limit: number("ratelimit-limit")?,
        remaining: number("ratelimit-remaining")?,
        reset: reset(headers)?,
    })
}

/// The wait after a 429.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    // The reset belongs to the hourly limit. If that has calls left, another limit refused the call, without a time.
    let is_hourly = || server_limits(headers).is_none_or(|limits| limits.remaining == 0);
    let hourly = || is_hourly().then(|| reset(headers)).flatten();
    seconds.or_else(|| until(headers, date(headers, &RETRY_AFTER)?)).or_else(hourly)
}

/// The time until the oldest call leaves the server's window.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    let epoch: i64 = headers.get("ratelimit-reset")?.to_str().ok()?.parse().ok()?;
    until(headers, Timestamp::from_second(epoch).ok()?)
}

/// The time from the response's own date on, so that a wrong local clock does not matter.
fn until(headers: &HeaderMap, time: Timestamp) -> Option<Duration> {
    let now = date(headers, &DATE).or_else(|| Timestamp::try_from(SystemTime::now()).ok())?;
    Some(Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp())
}
