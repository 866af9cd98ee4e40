//! Rows of a fresh list that nobody recorded: the first look at a new record finds its resource there.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

/// How long the rows count as fresh, after which they are dropped.
pub(super) const FRESH: Duration = Duration::from_mins(1);
/// The number of bytes of rows that are kept per kind.
const MOST_BYTES: usize = 4 << 20;

/// Rows of one list by id, up to a number of bytes.
#[derive(Debug, Default)]
pub(super) struct Spare {
    text: String,
    rows: HashMap<Box<str>, Range<usize>>,
    /// When the list was begun.
    at: Option<Instant>,
}

impl Spare {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Keeps a row, as long as there is room.
    pub(super) fn keep(&mut self, id: &str, document: &str) {
        let begin = self.text.len();
        if begin + document.len() <= MOST_BYTES {
            self.text.push_str(document);
            self.rows.insert(id.into(), begin..self.text.len());
        }
    }

    /// Keeps the rows of another list too.
    pub(super) fn join(&mut self, other: &Self) {
        if self.rows.is_empty() {
            self.text.clone_from(&other.text);
            self.rows.clone_from(&other.rows);
            return;
        }
        for (id, range) in &other.rows {
            self.keep(id, other.text.get(range.clone()).unwrap_or_default());
        }
    }

    /// From when on the rows are fresh.
    pub(super) fn listed(mut self, at: Instant) -> Self {
        self.at = Some(at);
        self.text.shrink_to_fit();
        self
    }

    /// A row that is still fresh, and when its list was begun.
    pub(super) fn row(&self, id: &str) -> Option<(&str, Instant)> {
        let at = self.at.filter(|at| at.elapsed() < FRESH)?;
        Some((self.text.get(self.rows.get(id)?.clone())?, at))
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rows_are_kept_up_to_a_bound_and_for_a_while() {
        let mut spare = Spare::default();
        spare.keep("1", "one");
        spare.keep("2", &"x".repeat(MOST_BYTES));
        let mut other = Spare::default();
        other.keep("3", "three");
        spare.join(&other);
        let spare = spare.listed(Instant::now());
        let row = |id| spare.row(id).map(|(text, _)| text);
        assert_eq!((row("1"), row("2"), row("3")), (Some("one"), None, Some("three")));
        tokio::time::advance(FRESH).await;
        assert_eq!(spare.row("1"), None);
    }
}
