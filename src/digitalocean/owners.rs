//! The controllers of the account that own a resource, and would undo a revert.

use std::collections::BTreeMap;

/// The controller that owns a whole resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResourceOwner {
    /// None owns it.
    #[default]
    Nobody,
    /// This one owns it, such as `Kubernetes cluster web`.
    Controller(String),
    /// The token cannot list the controllers of this sort, for lack of a scope.
    Unknown {
        /// The sort, such as `Kubernetes cluster`.
        noun: &'static str,
        /// The scope.
        scope: &'static str,
    },
}

impl ResourceOwner {
    /// The controller, if one is known.
    #[must_use]
    pub fn controller(&self) -> Option<&str> {
        match self {
            Self::Controller(controller) => Some(controller),
            Self::Nobody | Self::Unknown { .. } => None,
        }
    }

    /// The warning of a plan about an unknown owner.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Unknown { noun, scope } => {
                Some(format!("Whether a {noun} owns the resource is unknown; the token needs {scope}."))
            }
            Self::Nobody | Self::Controller(_) => None,
        }
    }
}

/// The controllers that would change a revert back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceOwners {
    /// The owner of the whole resource.
    pub resource: ResourceOwner,
    /// Those of single fields.
    pub fields: BTreeMap<String, String>,
}
