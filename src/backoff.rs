//! Pauses that double with each failure. Pure.

use std::time::Duration;

/// A pause that doubles with each failure in a row, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// The pause after the first failure, and the longest one.
    #[must_use]
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after this number of successive failures, which is at least one.
    #[must_use]
    pub(crate) fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.longest)
    }

    /// The same pause, reduced by up to half, so that not all retry at the same time. `dice` is a random number from 0
    /// to 1.
    #[must_use]
    pub(crate) fn spread(self, failures: u32, dice: f64) -> Duration {
        self.after(failures).mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_doubles_up_to_its_limit_however_many_failures_there_are() {
        let backoff = Backoff::new(SECOND, SECOND * 10);
        let pauses = [1, 2, 3, 4, 5, u32::MAX].map(|failures| backoff.after(failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(Backoff::new(SECOND, Duration::MAX).after(u32::MAX), SECOND * u32::MAX);
    }

    #[test]
    fn dice_reduce_a_pause_by_up_to_half() {
        let backoff = Backoff::new(SECOND * 4, SECOND * 60);
        for (dice, wanted) in [(0.0, 4), (0.5, 6), (1.0, 8), (-1.0, 4), (7.0, 8)] {
            assert_eq!(backoff.spread(2, dice), SECOND * wanted, "{dice}");
        }
    }
}
