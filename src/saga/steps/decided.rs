//! The live value on which a revert was decided: a step fails where another client has changed it since.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{comparison::secret::digest, saga::step::Failure};

/// The pattern of a digest.
pub(super) const DIGEST: &str = "^[0-9a-f]{8}$";

/// The digest of a live value.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct LiveDigest(#[schemars(regex(pattern = DIGEST))] String);

/// Refuses a live value that is not the decided one. Without a decision there is none to refuse.
pub(super) fn check(
    decided: Option<&LiveDigest>,
    field: &str,
    live: &Value,
    of: &impl fmt::Display,
) -> Result<(), Failure> {
    check_digest(decided, field, &digest(live), of)
}

/// Refuses a live value with another digest than the decided one.
pub(super) fn check_digest(
    decided: Option<&LiveDigest>,
    field: &str,
    live: &str,
    of: &impl fmt::Display,
) -> Result<(), Failure> {
    match decided {
        Some(LiveDigest(decided)) if decided != live => Err(changed_meanwhile(field, of)),
        Some(_) | None => Ok(()),
    }
}

/// The failure of changing a value that has been changed since the decision.
pub(super) fn changed_meanwhile(field: &str, of: &impl fmt::Display) -> Failure {
    Failure::Permanent(format!(
        "{field} of {of} was changed since the revert was decided; review its drift, and decide again"
    ))
}
