//! The policy on the spec of sagas. The CRD's own rules cannot see into free values and cannot measure their size.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicySpec, Validation, Variable};

use super::rule::{SAGAS, condition, on, refusing, variable};
use crate::api::saga::{FIXED, MAX_INPUT_BYTES, MAX_ORDER_BYTES, MAX_SPEC_BYTES};

/// Values that CEL prints shorter than JSON: control characters, and fractions, of which it keeps six digits.
const SHORTER: &str = r"\\\\[axv]|[.][0-9]{6}";
/// The maximum difference for each of them, in bytes.
const LONGER: usize = 16;

/// A value with a maximum size.
struct Measure {
    /// The name of its variable.
    name: &'static str,
    value: &'static str,
    limit: usize,
    /// The object, for the message.
    what: &'static str,
    hint: &'static str,
}

const MEASURES: &[Measure] = &[
    Measure {
        name: "inputs",
        value: "object.spec.?inputs.orValue({})",
        limit: MAX_INPUT_BYTES,
        what: "spec.inputs",
        hint: "Put large values where the steps find them",
    },
    Measure {
        name: "spec",
        value: "object.spec",
        limit: MAX_SPEC_BYTES,
        what: "the spec of a Saga",
        hint: "Split it into several sagas",
    },
    Measure {
        name: "order",
        value: "[object.spec, object.metadata.?annotations.orValue({}), object.metadata.?labels.orValue({})]",
        limit: MAX_ORDER_BYTES,
        what: "the spec of a Saga, its annotations and its labels together",
        hint: "kubectl create and kubectl apply --server-side keep no second copy of the spec in an annotation",
    },
];

/// Applies to everyone, including the operator.
pub(super) fn stay_as_they_are() -> ValidatingAdmissionPolicySpec {
    let differs = "oldObject == null || object.spec != oldObject.spec || object.metadata.?annotations != \
                   oldObject.metadata.?annotations || object.metadata.?labels != oldObject.metadata.?labels";
    let same = Validation {
        expression: "oldObject == null\n|| object.spec.?inputs == oldObject.spec.?inputs && object.spec.?steps == \
                     oldObject.spec.?steps"
            .to_owned(),
        message: Some(FIXED.to_owned()),
        reason: Some("Invalid".to_owned()),
        ..Validation::default()
    };
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![condition("the-order-differs", differs.to_owned())]),
        variables: Some(MEASURES.iter().flat_map(Measure::variables).collect()),
        ..refusing(
            on(&[SAGAS], &["CREATE", "UPDATE"]),
            std::iter::once(same).chain(MEASURES.iter().map(Measure::at_most)).collect(),
        )
    }
}

impl Measure {
    /// The variables for the value as CEL prints it (JSON with a space after each comma) and its size in bytes.
    fn variables(&self) -> [Variable; 2] {
        let Self { name, value, limit, .. } = self;
        let size = format!("size(bytes(variables.{name}))");
        let longer = format!("{LONGER} * size(variables.{name}.findAll('{SHORTER}'))");
        [
            variable(name, format!("'%s'.format([{value}])")),
            // An excessive value is not searched, since searching is expensive.
            variable(&format!("{name}Bytes"), format!("{size} > {limit} ? {size} : {size} + {longer}")),
        ]
    }

    fn at_most(&self) -> Validation {
        let Self { name, limit, what, hint, .. } = self;
        Validation {
            expression: format!("variables.{name}Bytes <= {limit}"),
            message_expression: Some(format!(
                "'{what} must have at most {limit} bytes as JSON with a space after each comma, not ' + \
                 string(variables.{name}Bytes) + '. {hint}'"
            )),
            reason: Some("Invalid".to_owned()),
            ..Validation::default()
        }
    }
}
