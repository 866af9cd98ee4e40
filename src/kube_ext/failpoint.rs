//! Places at which tests let the process end, as a crash would, or let something go wrong. Compiled in with the feature
//! `failpoints` only, which is for tests. A test says by the environment what happens where:
//! `FAILPOINTS="journal-after=2*off->1*return"` lets the place pass twice and strikes at the third time.

/// Ends the process at once, if a test wants it here.
pub fn crash(place: &str) {
    if strikes(place) {
        std::process::abort();
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
