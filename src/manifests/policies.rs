//! The admission policies that hold people to their roles. The API server evaluates them itself: nothing of the
//! operator has to run for them to be in force.
//!
//! - *decisions* and *saga-decisions*: whoever sets, changes or removes a decision needs the verb for it, and signs with
//!   their own name;
//! - *cancellations*: whoever has a saga stopped under way needs the verb for that;
//! - *orders*: what a saga was ordered to do stays as it is, and is not larger than its limits;
//! - *contents*: what a Drift says, and the journal of a Saga, is written by the operator alone;
//! - *marks*: so is what the operator notes on a record;
//! - *decided-by* and *saga-decided-by* (mutating, Kubernetes 1.36 and later): the API server itself signs a decision.
//!
//! Only *cancellations* looks at deletions, and not at those of Kubernetes' own controllers. None looks at metadata of
//! other purpose. So garbage collection, the end of a namespace and storage migration go on as if they were not there.

mod cancellations;
mod decisions;
mod orders;

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
        ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
        Validation, Variable,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};

use super::{Error, Installation, document, owned, users::UserRole};
use crate::api::{GROUP, annotations};

pub use cancellations::CANCEL_VERB;
pub use decisions::{ACCEPT_VERB, APPROVE_VERB, DECISIONS, Decision, RESOLVE_VERB, Signature};

/// What a policy is about: the plural of a kind.
const DRIFTS: &str = "drifts";
const SAGAS: &str = "sagas";

/// The policies that refuse, and their bindings.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn validating(installation: &Installation) -> Result<String, Error> {
    let mut manifest = String::new();
    for (name, spec) in [
        ("decisions", decisions::signed_by_those_who_may(installation, DRIFTS)),
        ("saga-decisions", decisions::signed_by_those_who_may(installation, SAGAS)),
        ("cancellations", cancellations::by_those_who_may(installation)),
        ("orders", orders::stay_as_they_are()),
        ("contents", contents(installation)),
        ("marks", marks(installation)),
    ] {
        let name = format!("{}-{name}", installation.name);
        let policy = ValidatingAdmissionPolicy { metadata: named(&name), spec: Some(spec), status: None };
        let binding = ValidatingAdmissionPolicyBinding {
            metadata: named(&name),
            spec: Some(ValidatingAdmissionPolicyBindingSpec {
                policy_name: Some(name),
                validation_actions: Some(owned(&["Deny"])),
                match_resources: watched(installation),
                ..ValidatingAdmissionPolicyBindingSpec::default()
            }),
        };
        manifest += &document(&policy)?;
        manifest += &document(&binding)?;
    }
    Ok(manifest)
}

/// The policies that sign decisions, and their bindings. For Kubernetes 1.36 and later: before, people sign themselves,
/// and *decisions* and *saga-decisions* refuse what is not signed with their own name.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn mutating(installation: &Installation) -> Result<String, Error> {
    Ok(decisions::signing(installation, "decided-by", DRIFTS)?
        + &decisions::signing(installation, "saga-decided-by", SAGAS)?)
}

/// What a Drift says is what the operator found, and what a Saga says of itself is what the operator did. That the spec
/// of a Drift never changes is in the definition already; this is about who makes one.
fn contents(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let differs = "oldObject == null || object.spec != oldObject.spec || object.?status != oldObject.?status";
    let username = installation.username();
    let message = format!(
        "request.resource.resource == '{SAGAS}'\n? 'user ' + request.userInfo.username + ' cannot write the journal of a \
         Saga: only the operator ({username}) writes its status. To help one that is Stuck, set the annotation {} on \
         it'\n: 'user ' + request.userInfo.username + ' cannot write what a Drift says: only the operator ({username}) \
         creates Drifts and writes their spec and status. To decide one, set the annotation {} on it'",
        annotations::RESOLVE,
        annotations::ACCEPT,
    );
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![not_the_operator(installation), condition("contents-differ", differs.to_owned())]),
        ..refusing(on(&["drifts", "drifts/status", "sagas/status"], &["CREATE", "UPDATE"]), vec![never(message)])
    }
}

/// With a mark of its own on a record, the operator remembers that it carried out an accept. Whoever could write it
/// could have a drift told as Accepted that nobody accepted. Removing it is harmless, and so is a new record that has
/// one, as copies do: a mark has the drift's UID in it.
fn marks(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let mark = annotations::LAST_ACCEPTED;
    let key = text(mark);
    let differs = format!(
        "object.metadata.?annotations[?{key}].hasValue() && object.metadata.?annotations[?{key}] != \
         oldObject.metadata.?annotations[?{key}]"
    );
    let message = format!(
        "'user ' + request.userInfo.username + ' cannot set the annotation {mark}: the operator ({}) remembers by it what \
         was accepted. Leave it as it is, or remove it'",
        installation.username(),
    );
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![not_the_operator(installation), condition("the-mark-is-set", differs)]),
        ..refusing(on(&["provisionedresources"], &["UPDATE"]), vec![never(message)])
    }
}

/// Lets through who has a verb on this very object, beside what is free to all. `deed` is an expression that says what
/// takes the verb.
fn needs_verb(free: &str, resource: &str, verb: &str, deed: &str) -> Validation {
    Validation {
        expression: format!(
            "{free}\n|| authorizer.group('{GROUP}').resource('{resource}').namespace(request.namespace)\
             .name(request.?name.orValue('')).check('{verb}').allowed()"
        ),
        message_expression: Some(format!(
            "'user ' + request.userInfo.username + ' cannot {verb} resource {resource} in API group {GROUP} in the \
             namespace ' + request.namespace + ': to ' + {deed} + ' takes the verb {verb} on {resource}. The role {role} \
             has it: ask whoever administers this namespace, and check with: kubectl auth can-i {verb} \
             {resource}.{GROUP} -n ' + request.namespace",
            role = UserRole::PlatformAdmin.name(),
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

/// A policy that fails closed.
fn refusing(resources: MatchResources, validations: Vec<Validation>) -> ValidatingAdmissionPolicySpec {
    ValidatingAdmissionPolicySpec {
        failure_policy: Some("Fail".to_owned()),
        match_constraints: Some(resources),
        validations: Some(validations),
        ..ValidatingAdmissionPolicySpec::default()
    }
}

/// Refuses all that the match conditions let through.
fn never(message: String) -> Validation {
    Validation {
        expression: "false".to_owned(),
        message_expression: Some(message),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

fn not_the_operator(installation: &Installation) -> MatchCondition {
    condition("not-the-operator", format!("request.userInfo.username != {}", text(&installation.username())))
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

fn variable(name: &str, expression: impl Into<String>) -> Variable {
    Variable { name: name.to_owned(), expression: expression.into() }
}

fn on(resources: &[&str], operations: &[&str]) -> MatchResources {
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

/// The namespaces in which this operator is the one that counts; every one when nothing is said.
fn watched(installation: &Installation) -> Option<MatchResources> {
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

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// A string of CEL. What is written so here are names of Kubernetes objects and annotations, which have no quotes.
fn text(name: &str) -> String {
    format!("'{name}'")
}

/// Several of them.
fn texts<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    format!("[{}]", names.into_iter().map(text).collect::<Vec<_>>().join(", "))
}
