//! Liveness: the progress of the loops of the process, independent of the API server and the cloud.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, interval};

use crate::failpoint;

/// The runtime is stuck if a timer of one second has not fired for this long.
const LONGEST_TICK: Duration = Duration::from_secs(30);

/// The loops of the process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// None before the runtime is watched.
    ticked: Option<Instant>,
    loops: HashMap<u64, Loop>,
    /// The loops that ended unexpectedly.
    ended: Vec<&'static str>,
    next: u64,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    /// The maximum duration of one round.
    longest: Duration,
    /// The start of the current round.
    busy: Option<Instant>,
}

impl Liveness {
    /// Starts to watch the runtime.
    pub fn start(&self) {
        let liveness = self.clone();
        liveness.state().ticked = Some(Instant::now());
        tokio::spawn(async move {
            let mut seconds = interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                liveness.state().ticked = Some(Instant::now());
            }
        });
    }

    /// Registers a loop. Dropping the pulse counts as a failure, unless [`Pulse::leave`] is called.
    #[must_use]
    pub fn enter(&self, name: &'static str, longest: Duration) -> Pulse {
        let mut state = self.state();
        let longest = failpoint::limit("longest-round", longest);
        let id = state.next;
        state.next = id.wrapping_add(1);
        state.loops.insert(id, Loop { name, longest, busy: None });
        Pulse { liveness: self.clone(), id, name, left: false }
    }

    /// The stuck or ended loop, if any.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let state = self.state();
        if let Some(elapsed) = state.ticked.map(|ticked| ticked.elapsed()).filter(|elapsed| *elapsed > LONGEST_TICK) {
            return Some(format!("no timer has fired for {} s", elapsed.as_secs()));
        }
        if let Some(name) = state.ended.first() {
            return Some(format!("{name} has ended"));
        }
        state.loops.values().find_map(|one| {
            let elapsed = one.busy?.elapsed();
            (elapsed > one.longest).then(|| format!("{} has made no progress for {} s", one.name, elapsed.as_secs()))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// One loop.
#[derive(Debug)]
pub struct Pulse {
    liveness: Liveness,
    id: u64,
    name: &'static str,
    left: bool,
}

impl Pulse {
    /// Starts a round.
    pub fn begin(&self) {
        self.set(Some(Instant::now()));
    }

    /// Ends a round; the loop waits for work.
    pub fn rest(&self) {
        self.set(None);
    }

    /// Ends the loop at shutdown.
    pub fn leave(mut self) {
        self.left = true;
    }

    fn set(&self, busy: Option<Instant>) {
        if let Some(this) = self.liveness.state().loops.get_mut(&self.id) {
            this.busy = busy;
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut state = self.liveness.state();
        state.loops.remove(&self.id);
        if !self.left {
            state.ended.push(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_is_alive_and_one_that_works_for_too_long_is_not() {
        let liveness = Liveness::default();
        let pulse = liveness.enter("a worker", MINUTE);
        tokio::time::sleep(MINUTE * 100).await;
        assert_eq!(liveness.failure(), None, "nothing to do is no failure");
        pulse.begin();
        tokio::time::sleep(MINUTE / 2).await;
        assert_eq!(liveness.failure(), None);
        tokio::time::sleep(MINUTE).await;
        assert_eq!(liveness.failure().unwrap(), "a worker has made no progress for 90 s");
        pulse.rest();
        assert_eq!(liveness.failure(), None);
    }

    #[tokio::test]
    async fn a_loop_that_panics_is_reported_and_one_that_leaves_is_not() {
        let liveness = Liveness::default();
        liveness.enter("a sweep", MINUTE).leave();
        assert_eq!(liveness.failure(), None);
        let pulse = liveness.enter("a worker", MINUTE);
        let task = tokio::spawn(async move {
            pulse.begin();
            panic!("as it should in this test");
        });
        assert!(task.await.is_err());
        assert_eq!(liveness.failure().unwrap(), "a worker has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_whose_timers_do_not_fire_is_reported() {
        let [runs, stands] = [Liveness::default(), Liveness::default()];
        runs.start();
        stands.state().ticked = Some(Instant::now());
        tokio::time::sleep(MINUTE).await;
        assert_eq!(runs.failure(), None);
        assert_eq!(stands.failure().unwrap(), "no timer has fired for 60 s");
    }
}
