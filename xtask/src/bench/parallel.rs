//! The same work for many items, with the concurrency of the operator.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::failure::failed;
use crate::Error;

/// The number of writes that the operator makes concurrently, and of events besides.
pub(super) const WORKERS: usize = 16;
pub(super) const TELLERS: usize = 2;

/// Runs `work` for each item with this concurrency. Each worker is a task, so that all cores are used.
pub(super) async fn each<T, W, F>(workers: usize, items: Vec<T>, work: W) -> Result<(), Error>
where
    T: Send + 'static,
    W: Fn(T) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Error>> + Send,
{
    let items = Arc::new(Mutex::new(items.into_iter()));
    let mut running = JoinSet::new();
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
    all(running).await
}

/// Starts `work` for one item after another at a steady rate, however long each takes.
pub(super) async fn at_rate<T, W, F>(per_second: f64, items: Vec<T>, work: W) -> Result<(), Error>
where
    W: Fn(T) -> F,
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let began = Instant::now();
    for (number, item) in (0_u32..).zip(items) {
        sleep_until(began + Duration::from_secs_f64(f64::from(number) / per_second)).await;
        running.spawn(work(item));
    }
    all(running).await
}

async fn all(mut running: JoinSet<Result<(), Error>>) -> Result<(), Error> {
    while let Some(ended) = running.join_next().await {
        ended.map_err(failed("wait for a worker"))??;
    }
    Ok(())
}
