//! Waiting for what happens a moment later.

use std::{
    fmt::Debug,
    future::Future,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine; nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_mins(2);
/// Short enough to lose no time.
const PAUSE: Duration = Duration::from_millis(50);

/// Tries until it succeeds, or shows the last failure when patience ends.
pub async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if start.elapsed() > PATIENCE => panic!("waited for {what}; still: {error:?}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
