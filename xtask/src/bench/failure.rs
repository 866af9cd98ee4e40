//! The errors of benchmarks, and the lines that they print.

use std::{fmt::Display, io, time::Duration};

use crate::Error;

/// Reports the progress of the benchmark, apart from its result.
pub(super) fn say(text: impl Display) {
    eprintln!("  {text}");
}

/// An error of anything except the system itself.
pub(super) fn failed<E>(doing: impl Into<String>) -> impl FnOnce(E) -> Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let failed = Error::system(doing);
    move |error| failed(io::Error::other(error))
}

/// The error that something did not happen in time.
pub(super) fn late(doing: impl Into<String>, patience: Duration) -> Error {
    let text = format!("it did not happen within {} s", patience.as_secs());
    Error::system(doing)(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// The timeout on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// The timeout of writing this many statuses on a busy machine.
pub(super) fn patience_for(statuses: u32) -> Duration {
    PATIENCE + Duration::from_secs(u64::from(statuses) / 50)
}
