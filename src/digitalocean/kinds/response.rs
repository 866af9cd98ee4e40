//! A path and its key in the response.

use serde::Deserialize;

/// A path and the key of the value in its response.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponseShape {
    pub(crate) path: String,
    pub(crate) key: String,
}
