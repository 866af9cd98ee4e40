//! The policies on decisions. Decisions are annotations: each needs a verb and the user's own signature.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicySpec, Validation, Variable};
use serde_json::{Value, json};

use super::rule::{
    DRIFTS, SAGAS, condition, named, needs_verb, not_the_operator, on, refusing, text, texts, variable, watched,
};
use crate::{
    api::{annotations, verbs},
    manifests::installation::{Error, Installation, document},
};

/// An annotation that decides, and the verb that it needs.
#[derive(Clone, Copy, Debug)]
pub struct DecisionAnnotation {
    /// The plural of the kind.
    pub resource: &'static str,
    /// The annotation key. A key that ends in a dash is a prefix.
    pub annotation: &'static str,
    /// The verb on the resource.
    pub verb: &'static str,
    /// The place of the signature.
    pub signature: Signature,
}

/// The place of the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// In the annotation `arcadia.cloud/decided-by` beside the decision.
    Beside,
    /// The value of the decision's annotation.
    Value,
}

/// All decisions.
pub const DECISIONS: &[DecisionAnnotation] = &[
    DecisionAnnotation {
        resource: DRIFTS,
        annotation: annotations::ACCEPT,
        verb: verbs::ACCEPT,
        signature: Signature::Beside,
    },
    DecisionAnnotation {
        resource: DRIFTS,
        annotation: annotations::ACCEPT_UNTIL,
        verb: verbs::ACCEPT,
        signature: Signature::Beside,
    },
    DecisionAnnotation {
        resource: DRIFTS,
        annotation: annotations::REVERT,
        verb: verbs::REVERT,
        signature: Signature::Beside,
    },
    DecisionAnnotation {
        resource: SAGAS,
        annotation: annotations::RESOLVE,
        verb: verbs::RESOLVE,
        signature: Signature::Beside,
    },
    DecisionAnnotation {
        resource: SAGAS,
        annotation: annotations::ADOPT,
        verb: verbs::RESOLVE,
        signature: Signature::Beside,
    },
    DecisionAnnotation {
        resource: SAGAS,
        annotation: annotations::APPROVE_PREFIX,
        verb: verbs::APPROVE,
        signature: Signature::Value,
    },
];

/// An annotation that belongs to a decision without being one: the reason.
const REASONS: &[(&str, &str)] = &[(DRIFTS, annotations::BECAUSE), (SAGAS, annotations::BECAUSE)];

/// Values that approve nothing.
const NO: [&str; 3] = ["", "no", "false"];

/// The user of the request.
const USER: &str = "request.userInfo.username";

/// The policy on all decisions about a resource.
pub(super) fn signed_by_those_who_may(installation: &Installation, resource: &str) -> ValidatingAdmissionPolicySpec {
    let mut validations: Vec<_> = decisions_on(resource).map(DecisionAnnotation::needs_its_verb).collect();
    validations.push(own_name_beside());
    let reasons: Vec<_> = REASONS.iter().filter(|reason| reason.0 == resource).map(|reason| reason.1).collect();
    validations.extend(reasons.iter().map(|reason| only_with_a_decision(resource, reason)));
    validations.extend(
        decisions_on(resource).filter(|decision| decision.signature == Signature::Value).map(own_name_as_value),
    );
    let guarded =
        decisions_on(resource).map(|decision| decision.annotation).chain([annotations::DECIDED_BY]).chain(reasons);
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![
            not_the_operator(installation),
            condition("a-decision-may-differ", may_differ(guarded)),
        ]),
        variables: Some(variables(resource)),
        ..refusing(on(&[resource], &["CREATE", "UPDATE"]), validations)
    }
}

/// The policy that signs all decisions about a resource, and its binding.
pub(super) fn signing(installation: &Installation, name: &str, resource: &str) -> Result<String, Error> {
    let name = format!("{}-{name}", installation.name);
    let path = |key: &str| format!("'/metadata/annotations/' + jsonpatch.escapeKey({key})");
    let decided_by = text(annotations::DECIDED_BY);
    let beside = format!(
        "(!variables.decides ? []\n: variables.decided ? [JSONPatch{{op: 'add', path: {path}, value: {USER}}}]\n: \
         variables.now[?{decided_by}].hasValue() ? [JSONPatch{{op: 'remove', path: {path}}}]\n: [])",
        path = path(&decided_by),
    );
    let as_value = decisions_on(resource).filter(|decision| decision.signature == Signature::Value).map(|decision| {
        format!(
            "variables.changed.filter(key, {is_it} && key in variables.now && !(variables.now[key] in {no}))\n.map(key, \
             JSONPatch{{op: 'add', path: {path}, value: {USER}}})",
            is_it = decision.is("key"),
            no = texts(NO),
            path = path("key"),
        )
    });
    let sign = std::iter::once(beside).chain(as_value).collect::<Vec<_>>().join("\n+ ");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": named(&name),
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": on(&[resource], &["CREATE", "UPDATE"]),
            "matchConditions": [
                not_the_operator(installation),
                condition("a-decision-may-differ", may_differ(decisions_on(resource).map(|decision| decision.annotation))),
            ],
            "variables": variables(resource),
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

fn decisions_on(resource: &str) -> impl Iterator<Item = &'static DecisionAnnotation> {
    DECISIONS.iter().filter(move |decision| decision.resource == resource)
}

fn signed_beside(resource: &str) -> impl Iterator<Item = &'static str> {
    decisions_on(resource)
        .filter(|decision| decision.signature == Signature::Beside)
        .map(|decision| decision.annotation)
}

impl DecisionAnnotation {
    /// The expression that matches its annotation keys.
    fn is(&self, key: &str) -> String {
        let annotation = text(self.annotation);
        if is_prefix(self.annotation) {
            format!("{key}.startsWith({annotation})")
        } else {
            format!("{key} == {annotation}")
        }
    }

    fn needs_its_verb(&self) -> Validation {
        let Self { resource, annotation, verb, .. } = self;
        let step = if is_prefix(self.annotation) { "STEP" } else { "" };
        needs_verb(
            &format!("!variables.changed.exists(key, {})", self.is("key")),
            resource,
            verb,
            &text(&format!("set, change or remove the annotation {annotation}{step}")),
        )
    }
}

/// Checks a signature beside the decision. If the API server signs decisions, it has already signed this one; otherwise
/// people sign. An unsigned decision would be attributed to the client's name, which anyone can choose.
fn own_name_beside() -> Validation {
    let decided_by = annotations::DECIDED_BY;
    Validation {
        expression: format!(
            "variables.decides\n? !variables.decided || variables.now[?{key}].orValue('') == {USER}\n: !({key} in \
             variables.changed)",
            key = text(decided_by),
        ),
        message_expression: Some(format!(
            "variables.decides\n? 'a decision must be signed with your own name: set {decided_by}=' + {USER} + ' together \
             with it'\n: '{decided_by} must not be set, changed or removed without a decision: it names the user who \
             decided. Keep its value'"
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

/// Checks a signature that is the value.
fn own_name_as_value(decision: &DecisionAnnotation) -> Validation {
    Validation {
        expression: format!(
            "variables.changed.all(key, !({is_it}) || !(key in variables.now) || variables.now[key] == {USER})",
            is_it = decision.is("key"),
        ),
        message_expression: Some(format!(
            "'{annotation}STEP must be your own name (' + {USER} + '): it names the user who approved. To reject the \
             step, set spec.cancelRequested'",
            annotation = decision.annotation,
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

fn only_with_a_decision(resource: &str, annotation: &str) -> Validation {
    let with: Vec<_> = signed_beside(resource).collect();
    Validation {
        expression: format!("variables.decides || !({} in variables.changed)", text(annotation)),
        message: Some(format!(
            "{annotation} must be set, changed and removed together with {}: it is the reason of the decision",
            with.join(" or ")
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

/// The variables of a policy: the annotations before and after, and the keys that differ.
fn variables(resource: &str) -> Vec<Variable> {
    let keys = texts(signed_beside(resource));
    vec![
        variable("now", "object.metadata.?annotations.orValue({})"),
        variable("was", "oldObject == null ? dyn({}) : oldObject.metadata.?annotations.orValue({})"),
        variable(
            "changed",
            "variables.now.filter(key, variables.now[?key] != variables.was[?key])\n+ variables.was.filter(key, !(key in \
             variables.now))",
        ),
        variable("decides", format!("{keys}.exists(key, key in variables.changed)")),
        variable("decided", format!("{keys}.exists(key, key in variables.now)")),
    ]
}

/// Returns true if one of these annotations differs, or a prefix matches one. Match conditions cannot use variables.
fn may_differ(annotations: impl Iterator<Item = &'static str>) -> String {
    let before =
        |part: &str, none: &str| format!("(oldObject == null ? {none} : oldObject.metadata.?annotations{part})");
    let may_differ = annotations.map(|annotation| {
        let key = text(annotation);
        if is_prefix(annotation) {
            let all = ".orValue({})";
            format!(
                "[object.metadata.?annotations{all}, {}].exists(some, some.exists(key, key.startsWith({key})))",
                before(all, "dyn({})")
            )
        } else {
            let value = format!("[?{key}]");
            format!("object.metadata.?annotations{value} != {}", before(&value, "optional.none()"))
        }
    });
    may_differ.collect::<Vec<_>>().join("\n|| ")
}

/// Returns true if the key is a prefix.
fn is_prefix(annotation: &str) -> bool {
    annotation.ends_with('-')
}
