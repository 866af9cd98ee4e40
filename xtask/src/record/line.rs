//! One line of a recorded story.

use std::time::Duration;

/// A line of the demo, with its colours, and the time since the first line.
pub(super) struct Line {
    /// The time since the first line.
    pub(super) at: Duration,
    /// The text, with its colours.
    pub(super) text: String,
}
