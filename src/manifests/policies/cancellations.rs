//! A saga that is under way is stopped and rolled back when somebody cancels it, and also when somebody deletes it.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

use super::{SAGAS, condition, needs_verb, not_the_operator, on, refusing, text, texts, variable};
use crate::{
    api::{SagaPhase, saga::FINALIZER},
    manifests::Installation,
};

/// The verb on sagas that stopping one asks for.
pub const CANCEL_VERB: &str = "cancel";

/// What deletes, within Kubernetes, all that was in a namespace or belonged to an object. Whoever deleted that had the
/// right to. The last is their common name where they have no accounts of their own.
const CONTROLLERS: [&str; 3] = [
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
];

/// Whoever cancels a saga, or has it cancelled in another way, needs the verb. One that has not begun may be deleted by
/// whoever may delete.
pub(super) fn by_those_who_may(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let phases =
        |is_it: fn(SagaPhase) -> bool| texts(SagaPhase::ALL.into_iter().filter(|p| is_it(*p)).map(SagaPhase::name));
    let phase = "oldObject.?status.?phase.orValue('Pending')";
    let finalizer = text(FINALIZER);
    // What belongs to an object that is gone, or never was, is deleted by the garbage collector. And without the
    // finalizer a deletion waits for nothing.
    let deed = format!(
        "request.operation == 'DELETE' ? (variables.underway ? 'delete a Saga that is under way' : '')\n: \
         object.spec.?cancelRequested.orValue(false) && !(oldObject != null && \
         oldObject.spec.?cancelRequested.orValue(false)) ? 'set spec.cancelRequested'\n: oldObject == null ? ''\n: \
         variables.unfinished && object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences ? 'change the \
         owner of a Saga that is unfinished'\n: variables.underway && {finalizer} in \
         oldObject.metadata.?finalizers.orValue([]) && !({finalizer} in object.metadata.?finalizers.orValue([])) ? 'take \
         the finalizer {FINALIZER} off a Saga that is under way'\n: ''"
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
            vec![needs_verb("variables.deed == ''", SAGAS, CANCEL_VERB, "variables.deed")],
        )
    }
}
