//! The annotations that people and the operator set. Users script against these names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// On a Drift: adopt the live value. `true` adopts the value that the Drift shows; any other text demands that value.
pub const ACCEPT: &str = "arcadia.cloud/accept";

/// On a Drift, beside [`ACCEPT`]: when the acceptance ends by itself, as an RFC 3339 time or a duration such as `72h`.
pub const ACCEPT_UNTIL: &str = "arcadia.cloud/accept-until";

/// On a Drift: put the live value back. `true` allows a safe revert, `allow-disruption` and `allow-data-loss` allow more,
/// and `plan` shows the plan and changes nothing.
pub const REVERT: &str = "arcadia.cloud/revert";

/// On a Drift, beside [`ACCEPT`] or [`REVERT`], or on a Saga, beside [`RESOLVE`] or [`ADOPT`]: who decided. Shown in the status.
pub const DECIDED_BY: &str = "arcadia.cloud/decided-by";

/// On a `ProvisionedResource`: list the cloud now. Any new value asks once.
pub const SYNC_REQUESTED_AT: &str = "arcadia.cloud/sync-requested-at";

/// On a `ProvisionedResource`, by the operator: the UIDs of the Drifts whose live values were adopted last, separated
/// by commas. They are written together with the adopted values, so that a decision whose second write was lost to a
/// crash still ends as Accepted. Earlier versions wrote one entry, as `<name>/<uid>`.
pub const LAST_ACCEPTED: &str = "arcadia.cloud/last-accepted";

/// On a Saga that is Stuck: `retry`, `skip` or `abandon`.
pub const RESOLVE: &str = "arcadia.cloud/resolve";

/// On a Saga that is Stuck because several things look like the doing of one step: the id of the right one.
pub const ADOPT: &str = "arcadia.cloud/adopt";

/// On a Drift, beside [`ACCEPT`] or [`REVERT`], or on a Saga, beside [`RESOLVE`] or [`ADOPT`]: why, for the status and the journal.
pub const BECAUSE: &str = "arcadia.cloud/because";

/// On a Saga, followed by the name of an Approval step: who approves it.
pub const APPROVE_PREFIX: &str = "arcadia.cloud/approve-";

/// Which client wrote an annotation, from the API server's own bookkeeping. What a client is called there, whoever runs
/// it chooses: it stands in for a name only where no admission policy asks for one.
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
