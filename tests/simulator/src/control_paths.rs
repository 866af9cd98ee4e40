//! The paths of the control API.

pub(crate) const RESOURCE: &str = "/_simulator/resource";

pub(crate) const INVENTORY: &str = "/_simulator/inventory";

pub(crate) const RENEWAL: &str = "/_simulator/renewal";

pub(crate) const COLLEAGUES: &str = "/_simulator/colleagues";

pub(crate) const ACTIONS: &str = "/_simulator/actions";

pub(crate) const FAULTS: &str = "/_simulator/faults";

pub(crate) const REQUESTS: &str = "/_simulator/requests";
