//! Places at which tests let the process end, as a crash would, or let something go wrong. Compiled in with the feature
//! `failpoints` only, which is for tests. A test says by the environment what happens where:
//! `FAILPOINTS="journal-after=2*off->1*return"` lets the place pass twice and strikes at the third time.

use std::time::Duration;

/// Ends the process at once, if a test wants it here. (With `panic` it panics, and with `sleep` the thread stands still.)
pub fn crash(place: &str) {
    if strikes(place) {
        std::process::abort();
    }
}

/// This limit, or the seconds that a test wants in its place: `FAILPOINTS="longest-round=return(2)"`.
#[must_use]
pub fn limit(place: &str, limit: Duration) -> Duration {
    #[cfg(feature = "failpoints")]
    return fail::eval(place, |seconds| seconds?.parse().ok()).flatten().map_or(limit, Duration::from_secs);
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = place;
        limit
    }
}

/// Whether a test wants something to go wrong here.
#[must_use]
pub fn strikes(place: &str) -> bool {
    #[cfg(feature = "failpoints")]
    return fail::eval(place, |_| ()).is_some();
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = place;
        false
    }
}
