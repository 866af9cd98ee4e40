//! Unrecorded rows of a fresh list: the first read for a new record finds its resource there.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::digitalocean::{Kind, by_kubernetes};

/// The maximum age of the rows, after which they are dropped.
pub(super) const FRESH: Duration = Duration::from_mins(1);
/// The maximum size of the rows per kind, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// The remaining room for the rows of one kind; its lists share it.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<AtomicUsize>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MOST_BYTES)))
    }
}

impl Room {
    /// Takes this number of bytes, if they are available.
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Rows of one list by id, within the room.
#[derive(Debug, Default)]
pub(super) struct Spare {
    room: Room,
    text: String,
    rows: HashMap<Box<str>, Range<usize>>,
    /// The start of the list.
    at: Option<Instant>,
    /// The number of all unrecorded rows, including those without room. Rows that Kubernetes created do not count.
    unrecorded: usize,
}

impl Spare {
    pub(super) fn within(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.room.give_back(self.text.len());
        *self = Self::within(self.room.clone());
    }

    /// Keeps a row, if there is room.
    pub(super) fn keep(&mut self, kind: Kind, id: &str, document: &str) {
        self.unrecorded += usize::from(!by_kubernetes::is_made(kind, document));
        if self.room.take(document.len()) {
            self.add(id, document);
        }
    }

    /// Adds the rows of another list of the kind, which already have their room.
    pub(super) fn join(&mut self, other: Self) {
        let unrecorded = self.unrecorded + other.unrecorded;
        if self.rows.is_empty() {
            *self = Self { unrecorded, ..other };
            return;
        }
        self.unrecorded = unrecorded;
        for (id, range) in &other.rows {
            self.add(id, other.text.get(range.clone()).unwrap_or_default());
        }
    }

    fn add(&mut self, id: &str, document: &str) {
        let begin = self.text.len();
        self.text.push_str(document);
        self.rows.insert(id.into(), begin..self.text.len());
    }

    /// Sets the time from which the rows are fresh.
    pub(super) fn listed(mut self, at: Instant) -> Self {
        self.at = Some(at);
        self.text.shrink_to_fit();
        self
    }

    /// A row that is still fresh, and the start of its list.
    pub(super) fn row(&self, id: &str) -> Option<(&str, Instant)> {
        let at = self.at.filter(|at| at.elapsed() < FRESH)?;
        Some((self.text.get(self.rows.get(id)?.clone())?, at))
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// The number of unrecorded resources.
    pub(super) fn unrecorded(&self) -> usize {
        self.unrecorded
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_lists_of_a_kind_share_one_bound_and_rows_are_kept_for_a_while() {
        let droplet = Kind::named("Droplet").unwrap();
        let room = Room::default();
        let [mut spare, mut other, mut third] = [(); 3].map(|()| Spare::within(room.clone()));
        spare.keep(droplet, "1", "one");
        spare.keep(droplet, "2", &"x".repeat(MOST_BYTES));
        third.keep(droplet, "4", &"x".repeat(MOST_BYTES / 2));
        other.keep(droplet, "3", "three");
        other.keep(droplet, "5", &"x".repeat(MOST_BYTES / 2));
        // A shifted list is read again.
        third.clear();
        other.keep(droplet, "6", &"x".repeat(MOST_BYTES / 2));
        for list in [other, third] {
            spare.join(list);
        }
        let spare = spare.listed(Instant::now());
        let row = |id| spare.row(id).map(|(text, _)| text);
        assert_eq!((row("1"), row("3")), (Some("one"), Some("three")));
        let is_kept = ["2", "4", "5", "6"].map(|id| row(id).is_some());
        assert_eq!(is_kept, [false, false, false, true], "those for which there was room");
        tokio::time::advance(FRESH).await;
        assert_eq!(spare.row("1"), None);
    }
}
