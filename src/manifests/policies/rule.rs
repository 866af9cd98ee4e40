//! The parts of admission policies.

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicySpec, Validation, Variable,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};

use crate::{
    api::GROUP,
    manifests::{
        installation::{Installation, owned},
        users::UserRole,
    },
};

/// The plural of a kind with policies.
pub(super) const DRIFTS: &str = "drifts";

pub(super) const SAGAS: &str = "sagas";

/// Admits users with a verb on this object, and requests that match `free`. `deed` is an expression that describes the
/// request.
pub(super) fn needs_verb(free: &str, resource: &str, verb: &str, deed: &str) -> Validation {
    Validation {
        expression: format!(
            "{free}\n|| authorizer.group('{GROUP}').resource('{resource}').namespace(request.namespace)\
             .name(request.?name.orValue('')).check('{verb}').allowed()"
        ),
        message_expression: Some(format!(
            "'user ' + request.userInfo.username + ' cannot {verb} resource {resource} in API group {GROUP} in the \
             namespace ' + request.namespace + ': only users with the verb {verb} on {resource} may ' + {deed} + '. The \
             role {role} grants it. Request the role from an administrator of this namespace, and check with: kubectl \
             auth can-i {verb} {resource}.{GROUP} -n ' + request.namespace",
            role = UserRole::PlatformAdmin.name(),
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

/// A policy that fails closed.
pub(super) fn refusing(resources: MatchResources, validations: Vec<Validation>) -> ValidatingAdmissionPolicySpec {
    ValidatingAdmissionPolicySpec {
        failure_policy: Some("Fail".to_owned()),
        match_constraints: Some(resources),
        validations: Some(validations),
        ..ValidatingAdmissionPolicySpec::default()
    }
}

/// Refuses every request that passes the match conditions.
pub(super) fn never(message: String) -> Validation {
    Validation {
        expression: "false".to_owned(),
        message_expression: Some(message),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

pub(super) fn not_the_operator(installation: &Installation) -> MatchCondition {
    condition("not-the-operator", format!("request.userInfo.username != {}", text(&installation.username())))
}

pub(super) fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

pub(super) fn variable(name: &str, expression: impl Into<String>) -> Variable {
    Variable { name: name.to_owned(), expression: expression.into() }
}

pub(super) fn on(resources: &[&str], operations: &[&str]) -> MatchResources {
    MatchResources {
        resource_rules: Some(vec![NamedRuleWithOperations {
            api_groups: Some(vec![GROUP.to_owned()]),
            api_versions: Some(owned(&["*"])),
            operations: Some(owned(operations)),
            resources: Some(owned(resources)),
            ..NamedRuleWithOperations::default()
        }]),
        ..MatchResources::default()
    }
}

/// The namespaces that this operator watches; none limits nothing.
pub(super) fn watched(installation: &Installation) -> Option<MatchResources> {
    if installation.watched.is_empty() {
        return None;
    }
    let is_watched = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(installation.watched.clone()),
    };
    let namespace_selector =
        Some(LabelSelector { match_expressions: Some(vec![is_watched]), ..LabelSelector::default() });
    Some(MatchResources { namespace_selector, ..MatchResources::default() })
}

pub(super) fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// A string literal of CEL. The names of Kubernetes objects and annotations need no escaping.
pub(super) fn text(name: &str) -> String {
    format!("'{name}'")
}

/// A list of string literals.
pub(super) fn texts<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    format!("[{}]", names.into_iter().map(text).collect::<Vec<_>>().join(", "))
}
