//! The resources with a tag.

use crate::cloud::Cloud;

/// The ids of a collection's resources with the tag.
pub(crate) fn with(cloud: &Cloud, collection: &str, tag: &str) -> Vec<String> {
    let rows = cloud.store.collection(collection).map(crate::store::Collection::rows).unwrap_or_default();
    rows.iter().filter(|row| row.facts.tagged(tag)).map(|row| row.id.clone()).collect()
}
