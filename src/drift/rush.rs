//! Rushes: many drifts that open at the same time. The statuses of their records follow later, so that no drift waits for
//! them.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// This many records at a time, or fewer, are not a rush: they need no connections that are opened in advance.
pub(super) const FEW: usize = 4;

/// A rush is over when no drift opens for this time.
const LULL: Duration = Duration::from_millis(60);

/// Statuses wait no longer than this after the start of a rush.
const LONGEST: Duration = Duration::from_secs(5);

/// The first and shortest wait of a status in a rush.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// The current rush, if there is one.
#[derive(Debug, Default)]
pub(super) struct Rush(Mutex<Option<OpenedDrifts>>);

/// The drifts that opened one after another without a lull.
#[derive(Clone, Copy, Debug)]
struct OpenedDrifts {
    first: Instant,
    last: Instant,
    count: usize,
}

impl Rush {
    /// Counts a drift that opened.
    pub(super) fn opened(&self) {
        let now = Instant::now();
        let mut rush = self.0.lock();
        let before = rush.filter(|drifts| now < drifts.last + LULL);
        let (first, count) = before.map_or((now, 0), |drifts| (drifts.first, drifts.count));
        *rush = Some(OpenedDrifts { first, last: now, count: count.saturating_add(1) });
    }

    /// Returns true if more than a few drifts opened just now, and statuses may still wait.
    pub(super) fn is_on(&self) -> bool {
        let now = Instant::now();
        let is_on =
            |drifts: OpenedDrifts| drifts.count > FEW && now < drifts.last + LULL && now < drifts.first + LONGEST;
        self.0.lock().is_some_and(is_on)
    }

    /// The time for which a status waits before it is tried again. It grows with the rush, so that a record asks a few
    /// times, however long the rush lasts.
    pub(super) fn rest(&self) -> Duration {
        let age = self.0.lock().map_or(Duration::ZERO, |drifts| drifts.first.elapsed());
        SHORTEST_REST.max(age / 2)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rush_lasts_until_a_lull_and_a_few_drifts_are_none() {
        let rush = Rush::default();
        assert!(!rush.is_on());
        for _ in 0..FEW {
            rush.opened();
        }
        assert!(!rush.is_on());
        rush.opened();
        assert!(rush.is_on());
        advance(LULL).await;
        assert!(!rush.is_on());
        rush.opened();
        assert!(!rush.is_on(), "the count starts again");
    }

    #[tokio::test(start_paused = true)]
    async fn drifts_that_open_without_end_do_not_delay_statuses_without_end() {
        let rush = Rush::default();
        let mut delayed = 0_u32;
        for _ in 0..1000 {
            rush.opened();
            delayed += u32::from(rush.is_on());
            advance(LULL / 2).await;
        }
        assert!((100..200).contains(&delayed), "{delayed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_asks_a_few_times_in_a_rush_and_is_soon_written_after_it() {
        let rush = Rush::default();
        rush.opened();
        assert_eq!(rush.rest(), SHORTEST_REST);
        let (began, mut due, mut asked) = (Instant::now(), Instant::now(), 0_u32);
        while began.elapsed() < LONGEST {
            rush.opened();
            if due <= Instant::now() {
                asked += 1;
                due = Instant::now() + rush.rest();
            }
            advance(LULL / 2).await;
        }
        assert!((5..20).contains(&asked), "{asked}");
        assert!(due < began + LONGEST * 2);
    }
}
