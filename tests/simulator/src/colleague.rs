//! A write of another client that waits for a call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The moment of a colleague's write, relative to the caller's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Moment {
    /// After all reads of the caller, just before its change.
    Before,
    /// Just after the change, from a document read before it.
    After,
}

/// A write that waits for its moment.
#[derive(Clone, Debug)]
pub(crate) struct Colleague {
    pub(crate) moment: Moment,
    pub(crate) collection: String,
    pub(crate) id: String,
    pub(crate) patch: Value,
}
