//! The definition of `Saga`, and the rules that the API server checks.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, ValidationRule,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{limits::FIXED, spec::Saga, status::SagaPhase};
use crate::api::schema;

/// The definition, with the parts that the derive macro cannot express.
pub(in crate::api) fn crd() -> CustomResourceDefinition {
    let mut crd = Saga::crd();
    schema::amend(&mut crd, &["status"], |status| {
        // kstatus reads a new saga as in progress while `observedGeneration` is another one.
        status.default = Some(JSON(json!({ "phase": SagaPhase::Pending, "observedGeneration": 0 })));
        // The journal is only replaced as a whole.
        schema::atomic(status);
    });
    schema::amend(&mut crd, &["spec"], |spec| {
        spec.x_kubernetes_validations.get_or_insert_default().extend(rules());
    });
    crd
}

/// The rules that the API server checks. They cannot see into `inputs` and `with`; the operator and the admission
/// policies check those.
fn rules() -> Vec<ValidationRule> {
    let rule = |rule: &str, field: &str, message: &str| ValidationRule {
        rule: rule.to_owned(),
        message: Some(message.to_owned()),
        field_path: (!field.is_empty()).then(|| field.to_owned()),
        reason: Some("FieldValueInvalid".to_owned()),
        ..ValidationRule::default()
    };
    let same = |field: &str| {
        format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})")
    };
    let fixed: Vec<_> =
        ["kind", "steps", "deploymentId", "triggeredBy", "concurrencyKey", "rollbackOf", "timeoutSeconds"]
            .map(|field| format!("({})", same(field)))
            .into();
    vec![
        rule(
            "self.kind == 'rollback' ? !has(self.steps) || size(self.steps) == 0 : has(self.steps) && size(self.steps) > 0",
            ".steps",
            "a saga must have 1 to 64 steps, and one of kind rollback none: it undoes those of rollbackOf",
        ),
        rule(
            "(self.kind == 'rollback') == has(self.rollbackOf)",
            "",
            "rollbackOf must name a saga where kind is rollback, and be absent otherwise",
        ),
        rule(
            "!has(self.steps) || self.steps.all(step, self.steps.exists_one(other, other.name == step.name))",
            ".steps",
            "the names of steps must differ from each other",
        ),
        // Steps are immutable, so only new sagas are checked: a saga that an earlier version accepted stays valid.
        ValidationRule {
            optional_old_self: Some(true),
            ..rule(
                "oldSelf.hasValue() || !has(self.steps) || self.steps.all(step, !has(step.retry) || \
                 (has(step.retry.minSeconds) ? step.retry.minSeconds : 1) <= \
                 (has(step.retry.maxSeconds) ? step.retry.maxSeconds : 60))",
                ".steps",
                "retry.minSeconds (1 by default) must not be above retry.maxSeconds (60 by default)",
            )
        },
        rule(
            "!has(oldSelf.cancelRequested) || !oldSelf.cancelRequested || (has(self.cancelRequested) && self.cancelRequested)",
            ".cancelRequested",
            "cancelRequested cannot be withdrawn: the saga may already be rolling back; create another saga",
        ),
        ValidationRule { reason: Some("FieldValueForbidden".to_owned()), ..rule(&fixed.join(" && "), "", FIXED) },
    ]
}
