//! The same work for many items, with the concurrency of the operator.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::failed;
use crate::Error;

/// As many writes as the operator makes side by side, and as many events besides.
pub(super) const WORKERS: usize = 16;
pub(super) const TELLERS: usize = 2;

/// Does `work` for each item, as many at a time; tasks rather than one, so that all cores are used.
pub(super) async fn each<T, W, F>(workers: usize, items: Vec<T>, work: W) -> Result<(), Error>
where
    T: Send + 'static,
    W: Fn(T) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Error>> + Send,
{
    let items = Arc::new(Mutex::new(items.into_iter()));
    let mut running: JoinSet<Result<(), Error>> = JoinSet::new();
    for _ in 0..workers {
        let (items, work) = (Arc::clone(&items), work.clone());
        running.spawn(async move {
            loop {
                let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(item) = next else { return Ok(()) };
                work(item).await?;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(failed("wait for a worker"))??;
    }
    Ok(())
}
