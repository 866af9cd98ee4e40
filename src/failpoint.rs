//! Points at which tests crash the process or inject a failure, compiled in with the feature `failpoints` only. Tests
//! configure them by an environment variable: `FAILPOINTS="journal-after=2*off->1*return"` passes the point twice and
//! fires at the third time.

use std::time::Duration;

/// Crashes the process if a test configures it. (`panic` panics, and `sleep` blocks the thread.)
pub(crate) fn crash(place: &str) {
    if strikes(place) {
        std::process::abort();
    }
}

/// This limit, or the seconds that a test configures instead: `FAILPOINTS="longest-round=return(2)"`.
#[must_use]
pub(crate) fn limit(place: &str, limit: Duration) -> Duration {
    #[cfg(feature = "failpoints")]
    return fail::eval(place, |seconds| seconds?.parse().ok()).flatten().map_or(limit, Duration::from_secs);
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = place;
        limit
    }
}

/// Returns true if a test injects a failure here.
#[must_use]
pub(crate) fn strikes(place: &str) -> bool {
    #[cfg(feature = "failpoints")]
    return fail::eval(place, |_| ()).is_some();
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = place;
        false
    }
}
