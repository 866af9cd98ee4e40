//! Places at which tests let the process end, as a crash would. Compiled in with the feature `failpoints` only, which is
//! for tests.

/// Ends the process at once, if a test asked for it by the environment: `FAILPOINTS="journal-after=2*off->1*return"`
/// lets the place pass twice and ends at the third time.
pub fn failpoint(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| std::process::abort());
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
