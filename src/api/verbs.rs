//! The verbs that decisions need, beside those of Kubernetes.

/// The verb on drifts that accepting one needs.
pub const ACCEPT: &str = "accept";

/// The verb on drifts that reverting one needs.
pub const REVERT: &str = "revert";

/// The verb on sagas that resolving a stuck one needs.
pub const RESOLVE: &str = "resolve";

/// The verb on sagas that approving a step needs.
pub const APPROVE: &str = "approve";

/// The verb on sagas that stopping one needs.
pub const CANCEL: &str = "cancel";
