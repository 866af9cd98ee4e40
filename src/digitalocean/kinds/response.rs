//! A path and its key in the response.

use serde::Deserialize;

/// A path and the key under which its response holds what was asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    pub(crate) path: String,
    pub(crate) key: String,
}
