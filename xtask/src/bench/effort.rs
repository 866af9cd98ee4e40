//! The repetitions of a benchmark: enough to be measured, or just enough to see that it works.

use std::time::Duration;

/// The repetitions of a benchmark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// The shortest time between two sweeps.
    pub(super) interval: Duration,
    /// The number of sweeps without news that are measured.
    pub(super) sweeps: u32,
    /// The number of rounds of drifting and returning; the first one counts for no median.
    pub(super) rounds: u32,
    /// The number of times that a start, and an answer of the command line, is measured.
    pub(super) repeats: u32,
    /// The time for which the operator is watched while it does nothing.
    pub(super) idle: Duration,
    /// After this time a client does not use an idle connection any more.
    pub(super) connections_last: Duration,
    /// Whether CPU is read only once a process rests, as the scheduler shows it.
    pub(super) rests: bool,
}

impl Effort {
    /// Numbers that mean something.
    pub(super) const FULL: Self = Self {
        interval: Duration::from_secs(10),
        sweeps: 5,
        rounds: 8,
        repeats: 5,
        idle: Duration::from_secs(3),
        // hyper's default is 90 s.
        connections_last: Duration::from_secs(95),
        rests: true,
    };
    /// Numbers that mean nothing, within seconds.
    pub(super) const SHORT: Self = Self {
        interval: Duration::from_secs(1),
        sweeps: 1,
        rounds: 2,
        repeats: 1,
        idle: Duration::from_millis(200),
        connections_last: Duration::ZERO,
        rests: false,
    };

    /// The time between two sweeps of a fleet of this size: short, so that little time is spent on waiting.
    pub(super) fn interval(self, resources: u32) -> Duration {
        Duration::from_secs(u64::from(resources / 2000)).max(self.interval)
    }
}
