//! Workers: each reconciles one key of a queue after the other.

use std::{
    any::Any,
    fmt::Display,
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{
    call,
    queue::{Failed, Queue},
};
use crate::{failpoint, liveness::Pulse};

/// The number of successive conflicts from which they are logged as a warning. It takes about a minute.
const MANY_CONFLICTS: u32 = 8;

/// The pause before an object is retried that caused a panic.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// The next reconcile of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requeue {
    /// After the next change.
    Settled,
    /// At once: more follows from the last write.
    Again,
    /// After this time.
    After(Duration),
}

/// The parts of one worker.
pub(crate) struct Work<'a, K> {
    /// The kind of the objects, for the log.
    pub kind: &'static str,
    /// The queue of keys.
    pub queue: &'a Queue<K>,
    /// Cancelled at shutdown: no new work may start.
    pub stop: &'a CancellationToken,
    /// The liveness of the worker.
    pub pulse: Pulse,
}

impl<K: Clone + Display + Eq + Hash + Ord> Work<'_, K> {
    /// Works until shutdown; running work finishes. `report` receives the duration of each reconcile, and its outcome
    /// as a stable word for metrics. A panic about one object does not affect the others.
    pub(crate) async fn run<F>(self, reconcile: impl Fn(K) -> F, report: impl Fn(Duration, &'static str))
    where
        F: Future<Output = Result<Requeue, call::Error>>,
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
            let outcome = match AssertUnwindSafe(reconcile(key.clone())).catch_unwind().await {
                Ok(Ok(next)) => {
                    match next {
                        Requeue::Settled => queue.done(&key),
                        Requeue::Again => {
                            queue.done(&key);
                            queue.add(key);
                        }
                        Requeue::After(wait) => queue.later(&key, wait),
                    }
                    "ok"
                }
                Ok(Err(error)) => {
                    let Failed { in_a_row, again_in } = queue.failed(&key);
                    if error.is_conflict() && in_a_row < MANY_CONFLICTS {
                        debug!(object = %format_args!("{kind} {key}"), %error, "conflict; retrying");
                    } else {
                        warn!(object = %format_args!("{kind} {key}"), %error, in_a_row, ?again_in, "reconciling failed; retrying");
                    }
                    error.category()
                }
                Err(panic) => {
                    let (object, what) = (format!("{kind} {key}"), panic_message(panic.as_ref()));
                    let again_in = failpoint::limit("after-panic", AFTER_PANIC);
                    error!(object, what, ?again_in, "panicked; please report this");
                    queue.later(&key, again_in);
                    "panic"
                }
            };
            report(began.elapsed(), outcome);
            pulse.rest();
            // Reconciles that await nothing would not let other tasks run.
            consume_budget().await;
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::liveness::Liveness;

    const LONGEST: Duration = Duration::from_mins(1);

    type Outcome = Result<Requeue, call::Error>;

    /// Reconciles one key with these outcomes, and stops after the last. Returns the reported outcomes.
    async fn told(outcomes: impl IntoIterator<Item = Outcome>) -> Vec<&'static str> {
        told_of(outcomes.into_iter().map(|outcome| move || outcome)).await
    }

    async fn told_of<F: FnOnce() -> Outcome>(outcomes: impl IntoIterator<Item = F>) -> Vec<&'static str> {
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
            ready(()).map(|()| outcome())
        };
        work.run(look, |_, outcome| told.lock().unwrap().push(outcome)).await;
        assert_eq!(liveness.failure(), None);
        std::mem::take(&mut *told.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_requeued_as_its_last_reconcile_returned() {
        let began = tokio::time::Instant::now();
        assert_eq!(told([Ok(Requeue::Again), Ok(Requeue::Settled)]).await, ["ok", "ok"]);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(told([Ok(Requeue::After(LONGEST)), Ok(Requeue::Settled)]).await, ["ok", "ok"]);
        assert!(began.elapsed() >= LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_reported_by_its_category_and_retried_later() {
        let doing = || "writing the status of Drift default/web-1".to_owned();
        let failures = [Err(call::Error::Conflict { doing: doing() }), Err(call::Error::TimedOut { doing: doing() })];
        let began = tokio::time::Instant::now();
        assert_eq!(told(failures.into_iter().chain([Ok(Requeue::Settled)])).await, ["conflict", "timeout", "ok"]);
        assert!(began.elapsed() > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_causes_a_panic_is_retried_later_and_the_worker_continues() {
        let looks: [fn() -> Outcome; 2] = [|| panic!("as it should in this test"), || Ok(Requeue::Settled)];
        let began = tokio::time::Instant::now();
        assert_eq!(told_of(looks).await, ["panic", "ok"]);
        assert!(began.elapsed() >= AFTER_PANIC);
    }

    #[tokio::test(start_paused = true)]
    async fn conflicts_are_not_logged_as_warnings_until_there_are_many_in_a_row() {
        let log = Arc::default();
        let conflict = || Err(call::Error::Conflict { doing: "closing Drift default/web-1-name-1".to_owned() });
        let exists = || Err(call::Error::AlreadyExists { doing: "creating Drift default/web-1-name-1".to_owned() });
        let warnings = |outcomes: Vec<Outcome>| async {
            let _guard = tracing::subscriber::set_default(Warnings(Arc::clone(&log)));
            told(outcomes.into_iter().chain([Ok(Requeue::Settled)])).await;
            std::mem::take(&mut *log.lock().unwrap())
        };
        assert_eq!(warnings((1..MANY_CONFLICTS).map(|_| conflict()).collect()).await, 0);
        assert_eq!(warnings((0..=MANY_CONFLICTS).map(|_| conflict()).collect()).await, 2);
        assert_eq!(warnings(vec![exists()]).await, 1, "nobody else's write made it so");
    }

    /// Counts warnings.
    struct Warnings(Arc<Mutex<usize>>);

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::WARN
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            *self.0.lock().unwrap() += 1;
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
}
