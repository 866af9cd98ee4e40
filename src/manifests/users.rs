//! What people may do: three roles, each with all that the one before it has, that also extend the roles that every
//! cluster has (`view`, `edit` and `admin`).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, PolicyRule},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Error, document, explanation, owned, policies};
use crate::api::GROUP;

/// A role for people. The order counts: each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserRole {
    /// Sees records, drifts and sagas.
    Viewer,
    /// Records what resources should be.
    Editor,
    /// Decides drifts, and orders sagas.
    PlatformAdmin,
}

impl UserRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::PlatformAdmin];

    /// The name of its `ClusterRole`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "arcadia-viewer",
            Self::Editor => "arcadia-editor",
            Self::PlatformAdmin => "arcadia-platform-admin",
        }
    }

    /// The role of every cluster that it extends.
    #[must_use]
    pub const fn extends(self) -> &'static str {
        match self {
            Self::Viewer => "view",
            Self::Editor => "edit",
            Self::PlatformAdmin => "admin",
        }
    }
}

/// Something that people may do.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The least role that may.
    pub role: UserRole,
    /// Resources of the group `arcadia.cloud`.
    pub resources: &'static [&'static str],
    /// What may be done to them.
    pub verbs: &'static [&'static str],
    /// What it is for.
    pub why: &'static str,
}

/// All that people may do.
pub const GRANTS: &[Grant] = &[
    Grant {
        role: UserRole::Viewer,
        resources: &["provisionedresources", "drifts", "sagas"],
        verbs: &["get", "list", "watch"],
        why: "to see what is recorded, what drifted, and how far sagas are",
    },
    Grant {
        role: UserRole::Editor,
        resources: &["provisionedresources"],
        verbs: &["create", "update", "patch", "delete"],
        why: "to record, ask for a sync, suspend, and record no longer",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["drifts"],
        verbs: &["patch"],
        why: "a decision is an annotation",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["drifts"],
        verbs: &[policies::ACCEPT_VERB],
        why: "to accept a live value; a verb of this project's own, which an admission policy asks for",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["sagas"],
        verbs: &["create", "update", "patch", "delete"],
        why: "to order sagas, suspend them, and delete what is over; a saga changes the cloud, so editors only look",
    },
    Grant {
        role: UserRole::PlatformAdmin,
        resources: &["sagas"],
        verbs: &[policies::CANCEL_VERB, policies::RESOLVE_VERB, policies::APPROVE_VERB],
        why: "to have a saga rolled back, help one that is stuck, and approve a step that waits for it; verbs of this \
              project's own as well",
    },
];

/// The roles for people, as `ClusterRoles`: for the whole cluster, or bound in some namespaces only.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn roles() -> Result<String, Error> {
    let mut manifest: String =
        GRANTS.iter().map(|grant| explanation(GROUP, grant.resources, grant.verbs, grant.why)).collect();
    for role in UserRole::ALL {
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
