//! The allowance for calls besides the scheduled lists: a bucket that refills.

use tokio::time::Instant;

/// The maximum number of extra calls of one sweep.
const MOST_AT_ONCE: f64 = 200.0;

/// The share of the hour's calls that extra calls may use, in the long run.
const SHARE: f64 = 0.25;

/// The remaining extra calls: a bucket that refills.
#[derive(Debug)]
pub(super) struct Allowance {
    per_second: f64,
    pub(super) left: f64,
    at: Instant,
}

impl Allowance {
    /// The allowance of a token with this number of calls per hour.
    pub(super) fn of(hour_limit: usize) -> Self {
        let per_hour = number(hour_limit) * SHARE;
        Self { per_second: per_hour / 3600.0, left: MOST_AT_ONCE.min(per_hour).max(1.0), at: Instant::now() }
    }

    /// Takes this number of calls, if they are available.
    pub(super) fn take(&mut self, calls: usize) -> bool {
        self.refill();
        let calls = number(calls);
        let is_there = calls <= self.left;
        if is_there {
            self.left -= calls;
        }
        is_there
    }

    /// Takes this number of calls, if any are available. The balance may become negative.
    pub(super) fn take_in_advance(&mut self, calls: usize) -> bool {
        self.refill();
        let is_there = self.left >= 1.0;
        if is_there {
            self.left -= number(calls);
        }
        is_there
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let most = MOST_AT_ONCE.min(self.per_second * 3600.0).max(1.0);
        self.left = (self.left + (now - self.at).as_secs_f64() * self.per_second).min(most);
        self.at = now;
    }
}

fn number(calls: usize) -> f64 {
    f64::from(u32::try_from(calls).unwrap_or(u32::MAX))
}
