//! The admission policies that hold people to their roles. The API server evaluates them itself: nothing of the
//! operator has to run for them to be in force.
//!
//! - *decisions*: whoever sets, changes or removes a decision needs the verb for it, and signs with their own name;
//! - *contents*: what a Drift says, in its spec and status, is written by the operator alone;
//! - *marks*: so is what the operator notes on a record;
//! - *decided-by* (mutating, Kubernetes 1.36 and later): the API server itself signs a decision.
//!
//! None of them looks at deletions or at metadata of other purpose, so garbage collection, the end of a namespace and
//! storage migration go on as if they were not there.

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
        ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
        Validation, Variable,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};
use serde_json::{Value, json};

use super::{Error, Installation, document, owned, users::UserRole};
use crate::api::{GROUP, annotations};

/// The verb on drifts that accepting one asks for.
pub const ACCEPT_VERB: &str = "accept";

/// A decision that people take by annotation, and the verb that it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// The annotation on a Drift.
    pub annotation: &'static str,
    /// The verb on drifts.
    pub verb: &'static str,
}

/// All of them.
pub const DECISIONS: &[Decision] = &[Decision { annotation: annotations::ACCEPT, verb: ACCEPT_VERB }];

/// The policies that refuse, and their bindings.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn validating(installation: &Installation) -> Result<String, Error> {
    let mut manifest = String::new();
    for (name, spec) in
        [("decisions", decisions(installation)), ("contents", contents(installation)), ("marks", marks(installation))]
    {
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

/// The policy that signs decisions, and its binding. For Kubernetes 1.36 and later: before, a decision is signed by
/// the name of the client (`kubectl-annotate`), which says less.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn mutating(installation: &Installation) -> Result<String, Error> {
    let name = format!("{}-decided-by", installation.name);
    let path = format!("'/metadata/annotations/' + jsonpatch.escapeKey({})", text(annotations::DECIDED_BY));
    let sign = format!(
        "variables.decided\n? [JSONPatch{{op: 'add', path: {path}, value: request.userInfo.username}}]\n: \
         variables.now[?{decided_by}].hasValue()\n? [JSONPatch{{op: 'remove', path: {path}}}]\n: []",
        decided_by = text(annotations::DECIDED_BY),
    );
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": named(&name),
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": on(&["drifts"], &["CREATE", "UPDATE"]),
            "matchConditions": [not_the_operator(installation), condition("a-decision-differs", any_differs(decision_annotations()))],
            "variables": variables(),
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": sign } }],
        },
    });
    let mut binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": named(&name),
        "spec": { "policyName": name },
    });
    if let (Some(watched), Some(Value::Object(spec))) = (watched(installation), binding.get_mut("spec")) {
        spec.insert("matchResources".to_owned(), json!(watched));
    }
    Ok(document(&policy)? + &document(&binding)?)
}

/// Whoever decides needs the verb, and may sign with their own name only.
fn decisions(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let mut validations: Vec<_> = DECISIONS.iter().map(needs_verb).collect();
    let decided_by = annotations::DECIDED_BY;
    validations.push(Validation {
        expression: format!(
            "variables.decides\n? !variables.decided || variables.now[?{key}].orValue({user}) == {user}\n: \
             variables.now[?{key}] == variables.was[?{key}]",
            key = text(decided_by),
            user = "request.userInfo.username",
        ),
        message_expression: Some(format!(
            "'{decided_by} must not be set to another name than your own (' + request.userInfo.username + '), nor apart \
             from a decision: it says who took it. Leave it out'"
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    });
    let guarded = decision_annotations().chain([decided_by]);
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![
            not_the_operator(installation),
            condition("a-decision-differs", any_differs(guarded)),
        ]),
        variables: Some(variables()),
        ..refusing(on(&["drifts"], &["CREATE", "UPDATE"]), validations)
    }
}

/// One decision asks for its verb on this very drift.
fn needs_verb(decision: &Decision) -> Validation {
    let Decision { annotation, verb } = decision;
    let key = text(annotation);
    Validation {
        expression: format!(
            "variables.now[?{key}] == variables.was[?{key}]\n|| authorizer.group('{GROUP}').resource('drifts')\
             .namespace(request.namespace).name(request.?name.orValue('')).check('{verb}').allowed()"
        ),
        message_expression: Some(format!(
            "'user ' + request.userInfo.username + ' cannot {verb} resource drifts in API group {GROUP} in the namespace \
             ' + request.namespace + ': to set, change or remove the annotation {annotation} takes the verb {verb} on \
             drifts. The role {role} has it: ask whoever administers this namespace, and check with: kubectl auth \
             can-i {verb} drifts.{GROUP} -n ' + request.namespace",
            role = UserRole::PlatformAdmin.name(),
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

/// What a Drift says is what the operator found. That a spec never changes is in the definition already; this is about
/// who makes one.
fn contents(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let differs = "oldObject == null || object.spec != oldObject.spec || object.?status != oldObject.?status";
    let message = format!(
        "'user ' + request.userInfo.username + ' cannot write what a Drift says: only the operator ({}) creates Drifts \
         and writes their spec and status. To decide one, set the annotation {} on it'",
        installation.username(),
        annotations::ACCEPT,
    );
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![not_the_operator(installation), condition("contents-differ", differs.to_owned())]),
        ..refusing(on(&["drifts", "drifts/status"], &["CREATE", "UPDATE"]), vec![never(message)])
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

/// What the expressions of a policy share: the annotations before and after, and what that comes to.
fn variables() -> Vec<Variable> {
    let each = |one: fn(String) -> String| {
        decision_annotations().map(|annotation| one(text(annotation))).collect::<Vec<_>>().join(" || ")
    };
    [
        ("now", "object.metadata.?annotations.orValue({})".to_owned()),
        ("was", "oldObject == null ? dyn({}) : oldObject.metadata.?annotations.orValue({})".to_owned()),
        ("decides", each(|key| format!("variables.now[?{key}] != variables.was[?{key}]"))),
        ("decided", each(|key| format!("variables.now[?{key}].hasValue()"))),
    ]
    .map(|(name, expression)| Variable { name: name.to_owned(), expression })
    .into()
}

/// Match conditions know no variables.
fn any_differs(keys: impl Iterator<Item = &'static str>) -> String {
    let differs = keys.map(text).map(|key| {
        format!(
            "object.metadata.?annotations[?{key}] != \
             (oldObject == null ? optional.none() : oldObject.metadata.?annotations[?{key}])"
        )
    });
    differs.collect::<Vec<_>>().join("\n|| ")
}

fn decision_annotations() -> impl Iterator<Item = &'static str> {
    DECISIONS.iter().map(|decision| decision.annotation)
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
