//! The namespaces of `deploy/` and of the documentation.

/// The namespace of the operator.
pub(crate) const NAMESPACE: &str = "arcadia-system";

/// The namespace that `deploy/overlays/namespaced` watches. It is not the operator's own, since everyone who may edit
/// there may read the token.
pub(crate) const RECORDS: &str = "arcadia-records";
