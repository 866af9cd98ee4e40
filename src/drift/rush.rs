//! Rushes: many drifts that open at the same time. The statuses of their records follow later, so that no drift waits for
//! them.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::kube_ext::key::ObjectKey;

/// This many records at a time, or fewer, are not a rush: they need no connections that are opened in advance.
pub(super) const FEW: usize = 4;

/// A rush is over when no drift opens for this time.
const LULL: Duration = Duration::from_millis(60);

/// The statuses of one rush wait no longer than this after its start.
const LONGEST: Duration = Duration::from_secs(5);

/// The current rush, if there is one, and the records whose statuses wait for its end.
#[derive(Debug, Default)]
pub(super) struct Rush {
    opened: Mutex<Option<OpenedDrifts>>,
    waiting: Mutex<Vec<ObjectKey>>,
    has_waiting: Notify,
}

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
        let mut rush = self.opened.lock();
        let before = rush.filter(|drifts| now < drifts.last + LULL);
        let (first, count) = before.map_or((now, 0), |drifts| (drifts.first, drifts.count));
        *rush = Some(OpenedDrifts { first, last: now, count: count.saturating_add(1) });
    }

    /// Returns true if more than a few drifts opened just now, and statuses may still wait.
    pub(super) fn is_on(&self) -> bool {
        self.rest().is_some()
    }

    /// The time until the rush is over, unless more drifts open. None if there is no rush.
    fn rest(&self) -> Option<Duration> {
        let drifts = self.opened.lock().filter(|drifts| drifts.count > FEW)?;
        let end = (drifts.last + LULL).min(drifts.first + LONGEST);
        Some(end.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// Defers the status of a record to the end of the rush.
    pub(super) fn defer(&self, record: ObjectKey) {
        self.waiting.lock().push(record);
        self.has_waiting.notify_one();
    }

    /// The records whose statuses waited, after the end of the rush.
    pub(super) async fn released(&self) -> Vec<ObjectKey> {
        self.has_waiting.notified().await;
        while let Some(rest) = self.rest() {
            sleep(rest).await;
        }
        std::mem::take(&mut *self.waiting.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
    async fn statuses_wait_for_the_end_of_a_rush_and_no_longer() {
        let rush = Rush::default();
        let key = |name: &str| ObjectKey { namespace: "default".into(), name: name.into() };
        rush.defer(key("alone"));
        assert_eq!(rush.released().await, [key("alone")], "there is no rush");
        for number in 0..=FEW {
            rush.opened();
            rush.defer(key(&number.to_string()));
        }
        let began = Instant::now();
        assert_eq!(rush.released().await.len(), FEW + 1);
        assert_eq!(began.elapsed(), LULL);
    }

    #[tokio::test(start_paused = true)]
    async fn statuses_of_a_long_rush_are_written_before_its_end() {
        let rush = Arc::new(Rush::default());
        let endless = rush.clone();
        tokio::spawn(async move {
            for number in 0_u32.. {
                endless.opened();
                endless.defer(ObjectKey { namespace: "default".into(), name: number.to_string().as_str().into() });
                sleep(LULL / 2).await;
            }
        });
        let (began, mut released) = (Instant::now(), Vec::new());
        while released.len() < 1000 {
            released.extend(rush.released().await);
        }
        let mut numbers: Vec<u32> = released.iter().map(|key| key.name.parse().unwrap()).collect();
        numbers.dedup();
        assert_eq!(numbers, (0..u32::try_from(released.len()).unwrap()).collect::<Vec<_>>(), "in order, none is lost");
        let least = LULL / 2 * 999;
        assert!((least..least + LONGEST).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}
