//! The custom resources: types, defaults, validation, conditions. This is the contract with users, so a change here
//! is a change of the API.

pub mod annotations;
pub mod conditions;
pub mod drift;
pub mod events;
pub mod labels;
pub(crate) mod managed_fields;
pub(crate) mod provisioned_resource;
pub mod saga;
mod schema;
pub mod terms;
pub mod verbs;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

pub use drift::{
    Acceptance, AcceptanceMode, Drift, DriftDifference, DriftPhase, DriftSpec, DriftStatus, RecordRef, RevertClass,
    RevertPlan,
};
pub use provisioned_resource::{
    AcceptPolicy, DriftPolicy, ProvisionedResource, ProvisionedResourceSpec, ProvisionedResourceStatus,
    StandingAcceptance,
};
pub use saga::{Saga, SagaKind, SagaPhase, SagaSpec, SagaStatus};
pub use schema::{CloudResource, MAX_VALUE_BYTES};

/// The API group of every custom resource of this project.
pub const GROUP: &str = "arcadia.cloud";

/// The operator's field manager and reporter of events.
pub const OPERATOR: &str = "arcadia-operator";

/// The definitions that the operator needs in the cluster, in the order in which to apply them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![provisioned_resource::crd(), drift::crd(), saga::crd()];
    for crd in &mut crds {
        schema::amend(crd, &[], schema::join_lines);
    }
    crds
}

/// The definitions as YAML documents, ready to apply.
///
/// # Errors
/// When they cannot be written as YAML, which a test rules out.
pub fn crds_as_yaml() -> Result<String, serde_saphyr::ser::Error> {
    crds().iter().map(|crd| Ok(format!("---\n{}", serde_saphyr::to_string(crd)?))).collect()
}
