//! Workers: each takes one key after the other from a queue and brings its object up to what is known.

use std::{
    fmt::Display,
    future::Future,
    hash::Hash,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{call, queue::Queue};
use crate::telemetry::liveness::Pulse;

/// What is left to do about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Settled,
    /// Look again: more follows from what was written.
    Again,
    /// Look again after this time.
    After(Duration),
}

/// What one worker works for.
pub struct Work<'a, K> {
    /// The kind of the objects, for the log.
    pub kind: &'static str,
    /// What there is to do.
    pub queue: &'a Queue<K>,
    /// Told when no new work may begin.
    pub stop: &'a CancellationToken,
    /// Whether it goes on.
    pub pulse: Pulse,
}

impl<K: Clone + Display + Eq + Hash + Ord> Work<'_, K> {
    /// Works until it is told to stop; what is under way then is finished. `told` hears how long each look at an object
    /// took, and its outcome in a stable word for metrics.
    pub async fn run<F>(self, reconcile: impl Fn(K) -> F, told: impl Fn(Duration, &'static str))
    where
        F: Future<Output = Result<Next, call::Error>>,
    {
        let Self { kind, queue, stop, pulse } = self;
        loop {
            let key = tokio::select! {
                biased;
                () = stop.cancelled() => return pulse.leave(),
                key = queue.next() => key,
            };
            pulse.begin();
            let began = Instant::now();
            let outcome = reconcile(key.clone()).await;
            match &outcome {
                Ok(Next::Settled) => queue.done(&key),
                Ok(Next::Again) => {
                    queue.done(&key);
                    queue.add(key);
                }
                Ok(Next::After(wait)) => queue.later(&key, *wait),
                Err(error) if error.is_conflict() => {
                    debug!(object = %format_args!("{kind} {key}"), %error, "will look again");
                    queue.failed(&key);
                }
                Err(error) => {
                    let again_in = queue.failed(&key);
                    warn!(object = %format_args!("{kind} {key}"), %error, ?again_in, "could not finish");
                }
            }
            told(began.elapsed(), outcome.as_ref().map_or_else(call::Error::category, |_| "ok"));
            pulse.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::telemetry::liveness::Liveness;

    const LONGEST: Duration = Duration::from_mins(1);

    /// Works on one key, whose looks have these outcomes, and stops after the last. Returns what was told.
    async fn told(outcomes: impl IntoIterator<Item = Result<Next, call::Error>>) -> Vec<&'static str> {
        let (queue, stop, liveness) = (Queue::default(), CancellationToken::new(), Liveness::default());
        queue.add("default/web-1");
        let outcomes = Mutex::new(Vec::from_iter(outcomes).into_iter());
        let told = Arc::new(Mutex::new(Vec::new()));
        let work = Work { kind: "Drift", queue: &queue, stop: &stop, pulse: liveness.enter("a worker", LONGEST) };
        let look = |_| {
            let mut outcomes = outcomes.lock().unwrap();
            let outcome = outcomes.next().unwrap();
            if outcomes.len() == 0 {
                stop.cancel();
            }
            ready(outcome)
        };
        work.run(look, |_, outcome| told.lock().unwrap().push(outcome)).await;
        assert_eq!(liveness.failure(), None);
        std::mem::take(&mut *told.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_comes_back_as_its_last_look_says() {
        let began = tokio::time::Instant::now();
        assert_eq!(told([Ok(Next::Again), Ok(Next::Settled)]).await, ["ok", "ok"]);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(told([Ok(Next::After(LONGEST)), Ok(Next::Settled)]).await, ["ok", "ok"]);
        assert!(began.elapsed() >= LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_by_its_word_and_comes_back_later() {
        let doing = || "writing the status of Drift default/web-1".to_owned();
        let failures = [Err(call::Error::Conflict { doing: doing() }), Err(call::Error::TimedOut { doing: doing() })];
        let began = tokio::time::Instant::now();
        assert_eq!(told(failures.into_iter().chain([Ok(Next::Settled)])).await, ["conflict", "timeout", "ok"]);
        assert!(began.elapsed() > Duration::ZERO);
    }
}
