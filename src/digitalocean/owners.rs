//! The controllers of the account that own a resource, and would undo a revert.

use std::collections::BTreeMap;

/// The controllers that would change a revert back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceOwners {
    /// The owner of the whole resource.
    pub resource: Option<String>,
    /// Those of single fields.
    pub fields: BTreeMap<String, String>,
}
