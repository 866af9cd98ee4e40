//! Waits for asynchronous effects.

use std::{
    fmt::Debug,
    future::Future,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine; a successful wait is shorter.
const PATIENCE: Duration = Duration::from_mins(2);
/// The first pause is short, so that no time is lost. Later ones are longer: an attempt may start a process.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(200)];

/// Retries until the attempt succeeds. Panics with the last failure after [`PATIENCE`].
pub(crate) async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    attempt: impl FnMut() -> F,
) -> T {
    within(PATIENCE, what, attempt).await
}

/// Retries until the attempt succeeds. Panics with the last failure after `patience`.
pub(crate) async fn within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    let [mut pause, longest] = PAUSES;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if start.elapsed() > patience => panic!("waited for {what}; still: {error:?}"),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = longest.min(pause * 2);
    }
}
