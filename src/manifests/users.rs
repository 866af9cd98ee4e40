//! The permissions of people: three roles, each of which includes the one before. They also extend the default roles
//! `view`, `edit` and `admin`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, PolicyRule},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use strum::{IntoStaticStr, VariantArray};

use super::installation::{Error, document, explanation, owned};
use crate::api::{GROUP, verbs};

/// A role for people. Each role includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
pub enum UserRole {
    /// Reads records, drifts and sagas.
    #[strum(serialize = "arcadia-viewer")]
    Viewer,
    /// Manages records.
    #[strum(serialize = "arcadia-editor")]
    Editor,
    /// Decides drifts and manages sagas.
    #[strum(serialize = "arcadia-platform-admin")]
    PlatformAdmin,
}

impl UserRole {
    /// The name of its `ClusterRole`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The default role that it extends.
    #[must_use]
    pub const fn extends(self) -> &'static str {
        match self {
            Self::Viewer => "view",
            Self::Editor => "edit",
            Self::PlatformAdmin => "admin",
        }
    }
}

/// One permission of people.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The lowest role with this permission.
    pub role: UserRole,
    /// Resources of the group `arcadia.cloud`.
    pub resources: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// The purpose.
    pub why: &'static str,
}

/// All permissions of people.
pub const GRANTS: &[Grant] = &[
    Grant {
        role: UserRole::Viewer,
        resources: &["provisionedresources", "drifts", "sagas"],
        verbs: &["get", "list", "watch"],
        why: "to read records, drifts and sagas",
    },
    Grant {
        role: UserRole::Editor,
        resources: &["provisionedresources"],
        verbs: &["create", "update", "patch", "delete"],
        why: "to create, sync, suspend and delete records",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["drifts"],
        verbs: &["patch"],
        why: "to annotate a drift with a decision",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["drifts"],
        verbs: &[verbs::ACCEPT, verbs::REVERT],
        why: "to accept or revert a live value; custom verbs that an admission policy checks",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["sagas"],
        verbs: &["create", "update", "patch", "delete"],
        why: "to create, suspend and delete sagas; a saga changes the cloud, so editors may only read it",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["sagas"],
        verbs: &[verbs::CANCEL, verbs::RESOLVE, verbs::APPROVE],
        why: "to cancel a saga, resolve a stuck one and approve a waiting step; custom verbs as well",
    },
];

/// The roles for people as `ClusterRoles`, to be bound in the cluster or in single namespaces.
///
/// # Errors
/// When they cannot be serialized.
pub fn roles() -> Result<String, Error> {
    let mut manifest: String =
        GRANTS.iter().map(|grant| explanation(GROUP, grant.resources, grant.verbs, grant.why)).collect();
    for &role in UserRole::VARIANTS {
        manifest += &document(&cluster_role(role))?;
    }
    Ok(manifest)
}

fn cluster_role(role: UserRole) -> ClusterRole {
    let grants = GRANTS.iter().filter(|grant| grant.role <= role);
    let rules = grants.map(|grant| PolicyRule {
        api_groups: Some(vec![GROUP.to_owned()]),
        resources: Some(owned(grant.resources)),
        verbs: owned(grant.verbs),
        ..PolicyRule::default()
    });
    let aggregate = format!("rbac.authorization.k8s.io/aggregate-to-{}", role.extends());
    ClusterRole {
        metadata: ObjectMeta {
            name: Some(role.name().to_owned()),
            labels: Some(BTreeMap::from([(aggregate, "true".to_owned())])),
            ..ObjectMeta::default()
        },
        rules: Some(rules.collect()),
        ..ClusterRole::default()
    }
}
