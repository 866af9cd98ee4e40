//! The annotations that people and the operator set. Users script against these names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::terms::terms;

terms! {
    /// Accepts the live value. `true` accepts the value that the drift shows; any other text accepts only that
    /// value, as `status.actual` or `spec.actual` contains it.
    ACCEPT = "arcadia.cloud/accept" on "Drift";
    /// Set with `accept`: the time at which the acceptance ends, as an RFC 3339 time or a duration from now such as
    /// `72h` or `7d`. It can be changed or removed while the acceptance stands; alone it waits for `accept`.
    ACCEPT_UNTIL = "arcadia.cloud/accept-until" on "Drift";
    /// Restores the recorded value in the cloud, if the effect is allowed: `true` allows a safe revert,
    /// `allow-disruption` and `allow-data-loss` allow more. `plan` shows the plan and changes nothing.
    REVERT = "arcadia.cloud/revert" on "Drift";
    /// Set with `accept`, `revert`, `resolve` or `adopt`: the user who decided. From Kubernetes 1.36 the API server
    /// writes it; before, set it to your own name.
    DECIDED_BY = "arcadia.cloud/decided-by" on "Drift", "Saga";
    /// `retry`, `skip` or `abandon`.
    RESOLVE = "arcadia.cloud/resolve" on "Saga that is Stuck";
    /// The id of the resource that the step created, from several candidates.
    ADOPT = "arcadia.cloud/adopt" on "Saga that is Stuck";
    /// Set with `accept`, `revert`, `resolve` or `adopt`: the reason, for the status, the event and the journal.
    BECAUSE = "arcadia.cloud/because" on "Drift", "Saga that is Stuck";
    /// Approves the Approval step STEP. The value is the approver: from Kubernetes 1.36 the API server replaces `yes` with
    /// your name; before, set it to your own name. To reject, cancel the saga.
    APPROVE_PREFIX = "arcadia.cloud/approve-" on "Saga";
    /// Any new value lists the kind immediately. If no extra calls are left, the next sweep lists it.
    SYNC_REQUESTED_AT = "arcadia.cloud/sync-requested-at" on "ProvisionedResource";
    /// Set by the operator: the decision that the saga of a revert carries out, as JSON.
    REVERT_DECISION = "arcadia.cloud/revert-decision" on "Saga";
    /// Set by the operator: the UIDs of the drifts that were accepted last, so that a crash loses no decision.
    LAST_ACCEPTED = "arcadia.cloud/last-accepted" on "ProvisionedResource";
    /// Set by the operator: the account in which recorded resources were first seen. With a token of another account, no
    /// resource counts as deleted until you remove it and restart the operator.
    ACCOUNT = "arcadia.cloud/account" on "Lease";
}

/// The value of an annotation.
#[must_use]
pub(crate) fn value<'m>(object: &'m ObjectMeta, annotation: &str) -> Option<&'m str> {
    object.annotations.as_ref()?.get(annotation).map(String::as_str)
}

/// The client that wrote an annotation, from the managed fields. The user of a client chooses its name, so it replaces
/// a user name only if no admission policy requires a signature.
#[must_use]
pub fn written_by<'m>(object: &'m ObjectMeta, annotation: &str) -> Option<&'m str> {
    let key = format!("f:{annotation}");
    let entries = object.managed_fields.iter().flatten();
    entries
        .filter(|entry| {
            let annotations = entry.fields_v1.as_ref().and_then(|fields| fields.0.pointer("/f:metadata/f:annotations"));
            annotations.is_some_and(|annotations| annotations.get(&key).is_some())
        })
        .filter_map(|entry| entry.manager.as_deref())
        .next_back()
}
