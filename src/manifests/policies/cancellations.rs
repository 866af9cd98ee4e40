//! The policy on stopping active sagas. Cancelling or deleting an active saga stops it and rolls it back.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
use strum::VariantArray as _;

use super::rule::{SAGAS, condition, needs_verb, not_the_operator, on, refusing, text, texts, variable};
use crate::{
    api::{SagaPhase, saga::FINALIZER, verbs},
    manifests::installation::Installation,
};

/// The controllers of Kubernetes that delete the contents of a namespace or the dependents of an object. Their caller
/// had the permission for that. The last is their common name if they have no separate accounts.
const CONTROLLERS: [&str; 3] = [
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
];

/// Requires the verb for every way to cancel a saga. A saga that has not started may be deleted with the permission to
/// delete.
pub(super) fn by_those_who_may(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let phases = |is_it: fn(SagaPhase) -> bool| {
        texts(SagaPhase::VARIANTS.iter().copied().filter(|p| is_it(*p)).map(SagaPhase::name))
    };
    let phase = "oldObject.?status.?phase.orValue('Pending')";
    let finalizer = text(FINALIZER);
    // The garbage collector deletes dependents of an object that does not exist. Without the finalizer, a deletion is
    // immediate.
    let deed = format!(
        "request.operation == 'DELETE' ? (variables.underway ? 'delete an active Saga' : '')\n: \
         object.spec.?cancelRequested.orValue(false) && !(oldObject != null && \
         oldObject.spec.?cancelRequested.orValue(false)) ? 'set spec.cancelRequested'\n: oldObject == null ? ''\n: \
         variables.unfinished && object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences ? 'change \
         the owner of an unfinished Saga'\n: variables.underway && {finalizer} in \
         oldObject.metadata.?finalizers.orValue([]) && !({finalizer} in object.metadata.?finalizers.orValue([])) ? \
         'remove the finalizer {FINALIZER} from an active Saga'\n: ''"
    );
    let others = format!("!(request.userInfo.username in {})", texts(CONTROLLERS));
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![
            not_the_operator(installation),
            condition("not-a-controller-of-kubernetes", others),
        ]),
        variables: Some(vec![
            variable("underway", format!("oldObject != null && {phase} in {}", phases(SagaPhase::is_active))),
            variable("unfinished", format!("oldObject != null && !({phase} in {})", phases(SagaPhase::is_finished))),
            variable("deed", deed),
        ]),
        ..refusing(
            on(&[SAGAS], &["CREATE", "UPDATE", "DELETE"]),
            vec![needs_verb("variables.deed == ''", SAGAS, verbs::CANCEL, "variables.deed")],
        )
    }
}
