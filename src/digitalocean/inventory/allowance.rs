//! The allowance for calls besides the scheduled lists: a bucket that refills.

use tokio::time::Instant;

/// Extra calls may use one in this number of the hour's calls, in the long run.
const ONE_IN: usize = 4;

/// The remaining extra calls: a bucket that refills.
#[derive(Debug)]
pub(super) struct Allowance {
    per_second: f64,
    at_once: usize,
    pub(super) left: f64,
    at: Instant,
}

impl Allowance {
    /// The allowance of a token with this number of calls per hour. `at_once` is the largest burst.
    pub(super) fn of(hour_limit: usize, at_once: usize) -> Self {
        let per_hour = hour_limit / ONE_IN;
        let at_once = at_once.min(per_hour).max(1);
        Self {
            per_second: number(hour_limit) / number(ONE_IN) / 3600.0,
            at_once,
            left: number(at_once),
            at: Instant::now(),
        }
    }

    /// The largest burst.
    pub(super) fn at_once(&self) -> usize {
        self.at_once
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
        self.left = (self.left + (now - self.at).as_secs_f64() * self.per_second).min(number(self.at_once));
        self.at = now;
    }
}

fn number(calls: usize) -> f64 {
    f64::from(u32::try_from(calls).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_within_the_calls_of_a_minute_and_a_quarter_of_those_of_an_hour() {
        let bursts =
            [(5000, 200), (5000, 4000), (100, 200), (2, 0)].map(|(hour, minute)| Allowance::of(hour, minute).at_once());
        assert_eq!(bursts, [200, 1250, 25, 1]);
    }
}
