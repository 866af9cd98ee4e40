//! The first reads of the resources of new records: one by one, or by a list.

use std::time::Duration;

use tokio::time::Instant;

use crate::kube_ext::key::ObjectKey;

/// The number of new records per minute whose resources are fetched one by one, even if a list needs fewer calls.
const SINGLY: usize = 4;

/// The minimum time between two lists for new records; longer if a list has many pages.
const LIST_PAUSE: Duration = Duration::from_secs(5);

/// The first reads for new records.
#[derive(Debug, Default)]
pub(super) struct FirstReads {
    /// Records that wait for the next list.
    pub(super) waiting: Vec<ObjectKey>,
    /// The start of the last list.
    pub(super) listed: Option<Instant>,
    /// The start of the count of single fetches, and the count.
    singly: Option<(Instant, usize)>,
}

/// The way in which the resources of new records are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstRead {
    Singly,
    List,
    /// By a list, not before this time.
    Later(Instant),
}

impl FirstReads {
    /// Chooses the way for this number of resources, if a list has this number of pages.
    pub(super) fn choose(&mut self, resources: usize, pages: usize, lists_all: bool, now: Instant) -> FirstRead {
        let before = self.singly.filter(|(since, _)| now < *since + Duration::from_mins(1));
        let (since, spent) = before.unwrap_or((now, 0));
        let singly = spent.saturating_add(resources);
        if singly <= pages.max(SINGLY) || !lists_all && resources <= SINGLY {
            self.singly = Some((since, singly));
            return FirstRead::Singly;
        }
        let pause = LIST_PAUSE.max(Duration::from_secs(u64::try_from(pages).unwrap_or(u64::MAX)));
        let due = self.listed.map_or(now, |listed| listed + pause);
        if due <= now { FirstRead::List } else { FirstRead::Later(due) }
    }

    /// The time at which the waiting records are due, for a list with this number of pages.
    pub(super) fn due(&self, pages: usize) -> Option<Instant> {
        let pause = LIST_PAUSE.max(Duration::from_secs(u64::try_from(pages).unwrap_or(u64::MAX)));
        (!self.waiting.is_empty()).then(|| self.listed.map_or_else(Instant::now, |listed| listed + pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn first_looks_take_one_list_per_few_seconds_however_records_come() {
        let begin = Instant::now();
        let mut reads = FirstReads::default();
        // At once beside a fleet of four pages.
        assert_eq!(reads.choose(600, 4, true, begin), FirstRead::List);
        reads.listed = Some(begin);
        assert_eq!(reads.choose(90, 4, true, begin + SECOND), FirstRead::Later(begin + LIST_PAUSE));
        assert_eq!(reads.choose(90, 4, true, begin + LIST_PAUSE), FirstRead::List);
        // One by one, each second.
        let mut reads = FirstReads::default();
        let (mut singly, mut lists) = (0, 0);
        for second in 0..60 {
            let now = begin + SECOND * second;
            match reads.choose(1, 4, true, now) {
                FirstRead::Singly => singly += 1,
                FirstRead::List => {
                    reads.listed = Some(now);
                    lists += 1;
                }
                FirstRead::Later(_) => {}
            }
        }
        assert_eq!((singly, lists), (4, 12));
        // A long list is repeated less often, and a minute later single fetches are available again.
        let mut reads = FirstReads { listed: Some(begin), ..FirstReads::default() };
        assert_eq!(reads.choose(51, 50, true, begin), FirstRead::Later(begin + SECOND * 50));
        assert_eq!(reads.choose(50, 50, true, begin), FirstRead::Singly);
        assert_eq!(reads.choose(1, 50, true, begin + SECOND * 50), FirstRead::List);
        assert_eq!(reads.choose(1, 50, true, begin + MINUTE), FirstRead::Singly);
    }
}
