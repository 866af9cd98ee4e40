//! The annotations that people and the operator set. Users script against these names.

/// On a Drift: adopt the live value. `true` adopts the value that the Drift shows; any other text demands that value.
pub const ACCEPT: &str = "arcadia.cloud/accept";

/// On a Drift: who decided. Shown in the Drift's status.
pub const DECIDED_BY: &str = "arcadia.cloud/decided-by";

/// On a `ProvisionedResource`: list the cloud now. Any new value asks once.
pub const SYNC_REQUESTED_AT: &str = "arcadia.cloud/sync-requested-at";

/// On a `ProvisionedResource`, by the operator: the Drift whose live value was adopted last. It is written together
/// with the adopted value, so that a decision whose second write was lost to a crash is still told as Accepted.
pub const LAST_ACCEPTED: &str = "arcadia.cloud/last-accepted";
