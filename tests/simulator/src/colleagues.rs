//! Concurrent writes to the same resource, which a test schedules.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{cloud::Cloud, request::Call};

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

/// Runs the writes that waited for this call: a call that changes the resource, or a part of it.
pub(crate) fn act(cloud: &mut Cloud, call: &Call, moment: Moment) {
    let is_about = |colleague: &Colleague| {
        let segments = call.segments().unwrap_or_default();
        let resource: Vec<&str> = colleague.collection.split('/').chain([colleague.id.as_str()]).collect();
        colleague.moment == moment
            && segments.len() >= resource.len()
            && segments.iter().zip(&resource).all(|(a, b)| a == b)
    };
    let (due, waiting) = std::mem::take(&mut cloud.colleagues).into_iter().partition(is_about);
    cloud.colleagues = waiting;
    let due: Vec<Colleague> = due;
    for Colleague { collection, id, patch, .. } in due {
        cloud.change(&collection, &id, &patch);
    }
}
