//! The operator's permissions: a table with the purpose of each row. An end-to-end test reads the API server's audit
//! log and fails if a row is unused, or a request was refused for the lack of one.

use k8s_openapi::{
    api::{
        core::v1::ServiceAccount,
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::installation::{Error, Installation, document, explanation, owned};
use crate::api::{GROUP, OPERATOR};

/// One permission of the operator.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The API group.
    pub api_group: &'static str,
    /// Resources, or `resource/subresource`.
    pub resources: &'static [&'static str],
    /// Object names, or empty for all. A create cannot be limited by name: RBAC does not know the name yet.
    pub names: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// The scope.
    pub scope: RuleScope,
    /// The purpose.
    pub why: &'static str,
}

/// The scope of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleScope {
    /// The watched namespaces, or all.
    Watched,
    /// The operator's own namespace.
    Own,
}

/// All permissions of the operator.
pub const RULES: &[Rule] = &[
    Rule {
        api_group: GROUP,
        resources: &["provisionedresources", "drifts", "sagas"],
        names: &[],
        verbs: &["list", "watch"],
        scope: RuleScope::Watched,
        why: "to cache all records, drifts and sagas, and to check at the start that their definitions are served",
    },
    Rule {
        api_group: GROUP,
        resources: &["provisionedresources"],
        names: &[],
        verbs: &["patch"],
        scope: RuleScope::Watched,
        why: "to make an accepted live value the desired one, and to record the resources that sagas create",
    },
    Rule {
        api_group: GROUP,
        resources: &["provisionedresources"],
        names: &[],
        verbs: &["get", "create", "delete"],
        scope: RuleScope::Watched,
        why: "to create and delete records in sagas, and to restore them when a saga is undone",
    },
    Rule {
        api_group: GROUP,
        resources: &["drifts"],
        names: &[],
        verbs: &["get", "create", "patch", "delete"],
        scope: RuleScope::Watched,
        why: "to create drifts, remove refused decisions from them, delete resolved ones beyond the history limit, and \
              read an accepted value that a saga restores",
    },
    Rule {
        api_group: GROUP,
        resources: &["provisionedresources/status", "drifts/status"],
        names: &[],
        verbs: &["patch"],
        scope: RuleScope::Watched,
        why: "to write the results of comparisons and decisions",
    },
    Rule {
        api_group: GROUP,
        resources: &["sagas"],
        names: &[],
        verbs: &["get", "patch", "delete"],
        scope: RuleScope::Watched,
        why: "to read the saga that another undoes, add and remove the finalizer, remove the annotations of \
              resolutions, cancel a revert whose desired value was changed before it began, and delete a saga after its \
              ttlSecondsAfterFinished",
    },
    Rule {
        api_group: GROUP,
        resources: &["sagas"],
        names: &[],
        verbs: &["create"],
        scope: RuleScope::Watched,
        why: "to create the saga of a revert",
    },
    Rule {
        api_group: GROUP,
        resources: &["sagas/status"],
        names: &[],
        verbs: &["update"],
        scope: RuleScope::Watched,
        why: "to write the journal",
    },
    Rule {
        api_group: "events.k8s.io",
        resources: &["events"],
        names: &[],
        verbs: &["create", "patch"],
        scope: RuleScope::Watched,
        why: "to publish events and count repeated ones",
    },
    Rule {
        api_group: "coordination.k8s.io",
        resources: &["leases"],
        names: &[OPERATOR],
        verbs: &["get", "update"],
        scope: RuleScope::Own,
        why: "to elect the one replica that acts",
    },
    Rule {
        api_group: "coordination.k8s.io",
        resources: &["leases"],
        names: &[],
        verbs: &["create"],
        scope: RuleScope::Own,
        why: "to create the Lease in the first replica",
    },
];

/// The `ServiceAccount` and its permissions in the operator's own namespace.
///
/// # Errors
/// When it cannot be serialized.
pub fn own_access(installation: &Installation) -> Result<String, Error> {
    let Installation { name, namespace, service_account, .. } = installation;
    let account = ServiceAccount { metadata: named(service_account, Some(namespace)), ..ServiceAccount::default() };
    let role = format!("{name}-own");
    Ok([explanations(RuleScope::Own), document(&account)?, bound_role(installation, &role, namespace, RuleScope::Own)?]
        .concat())
}

/// The permissions in the watched namespaces: a `ClusterRole`, or a `Role` in each of them.
///
/// # Errors
/// When it cannot be serialized.
pub fn watched_access(installation: &Installation) -> Result<String, Error> {
    let Installation { name, watched, .. } = installation;
    let mut manifest = explanations(RuleScope::Watched);
    if watched.is_empty() {
        let role = ClusterRole {
            metadata: named(name, None),
            rules: Some(rules(RuleScope::Watched)),
            ..ClusterRole::default()
        };
        let binding = ClusterRoleBinding {
            metadata: named(name, None),
            role_ref: reference("ClusterRole", name),
            subjects: Some(vec![subject(installation)]),
        };
        manifest += &document(&role)?;
        manifest += &document(&binding)?;
    }
    for namespace in watched {
        manifest += &bound_role(installation, name, namespace, RuleScope::Watched)?;
    }
    Ok(manifest)
}

fn bound_role(installation: &Installation, name: &str, namespace: &str, scope: RuleScope) -> Result<String, Error> {
    let role = Role { metadata: named(name, Some(namespace)), rules: Some(rules(scope)) };
    let binding = RoleBinding {
        metadata: named(name, Some(namespace)),
        role_ref: reference("Role", name),
        subjects: Some(vec![subject(installation)]),
    };
    Ok(document(&role)? + &document(&binding)?)
}

fn rules(scope: RuleScope) -> Vec<PolicyRule> {
    let rules = RULES.iter().filter(|rule| rule.scope == scope);
    rules
        .map(|rule| PolicyRule {
            api_groups: Some(vec![rule.api_group.to_owned()]),
            resources: Some(owned(rule.resources)),
            resource_names: (!rule.names.is_empty()).then(|| owned(rule.names)),
            verbs: owned(rule.verbs),
            ..PolicyRule::default()
        })
        .collect()
}

fn explanations(scope: RuleScope) -> String {
    let rules = RULES.iter().filter(|rule| rule.scope == scope);
    rules.map(|rule| explanation(rule.api_group, rule.resources, rule.verbs, rule.why)).collect()
}

fn named(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: namespace.map(str::to_owned), ..ObjectMeta::default() }
}

fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn subject(installation: &Installation) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: installation.service_account.clone(),
        namespace: Some(installation.namespace.clone()),
        ..Subject::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_rule_is_a_wildcard_and_none_is_repeated() {
        let mut seen = BTreeSet::new();
        for rule in RULES {
            assert!(!rule.why.is_empty());
            for (resource, verb) in rule.resources.iter().flat_map(|r| rule.verbs.iter().map(move |v| (r, v))) {
                assert!(![rule.api_group, resource, verb].iter().any(|part| part.contains('*')), "{rule:?}");
                assert!(seen.insert((rule.api_group, resource, verb)), "{verb} {resource} is granted twice");
            }
        }
    }

    #[test]
    fn a_namespaced_installation_has_nothing_of_the_cluster() {
        let installation = Installation {
            watched: vec!["one".into(), "two".into()],
            ..Installation::cluster_wide("arcadia-operator", "arcadia-system")
        };
        let manifest = own_access(&installation).unwrap() + &watched_access(&installation).unwrap();
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&manifest).unwrap();
        let places: Vec<_> = objects
            .iter()
            .map(|object| (object["kind"].as_str().unwrap(), object["metadata"]["namespace"].as_str().unwrap()))
            .collect();
        assert_eq!(
            places,
            [
                ("ServiceAccount", "arcadia-system"),
                ("Role", "arcadia-system"),
                ("RoleBinding", "arcadia-system"),
                ("Role", "one"),
                ("RoleBinding", "one"),
                ("Role", "two"),
                ("RoleBinding", "two"),
            ]
        );
    }
}
