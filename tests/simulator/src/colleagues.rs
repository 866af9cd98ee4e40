//! Concurrent writes to the same resource, which a test schedules.

use crate::{
    cloud::Cloud,
    colleague::{Colleague, Moment},
    request::Call,
};

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
