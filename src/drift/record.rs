//! Records the desired state of a resource from code, like `kubectl apply`.

use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceSpec},
    kube_ext::call::{Error, bounded},
};

/// Creates or updates the record. Its generation is the version, which stays the same without a change. Fields that
/// were recorded here before and are missing in `spec` are removed; fields of other managers are kept.
///
/// # Errors
/// If the API server refuses it, for instance because the record exists for another resource.
pub async fn record_provisioned(
    client: &Client,
    namespace: &str,
    name: &str,
    spec: &ProvisionedResourceSpec,
) -> Result<ProvisionedResource, Error> {
    apply(client, namespace, RecordTarget { name, uid: None }, spec, &PatchParams::apply(OPERATOR).force()).await
}

/// The record to write: with a UID, only that one and no other of the name.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct RecordTarget<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<&'a str>,
}

/// Applies a spec, which may be partial.
pub(crate) async fn apply(
    client: &Client,
    namespace: &str,
    target: RecordTarget<'_>,
    spec: &impl Serialize,
    params: &PatchParams,
) -> Result<ProvisionedResource, Error> {
    let record = json!({
        "apiVersion": ProvisionedResource::api_version(&()),
        "kind": ProvisionedResource::kind(&()),
        "metadata": target,
        "spec": spec,
    });
    let name = target.name;
    let records: Api<ProvisionedResource> = Api::namespaced(client.clone(), namespace);
    let doing = format!("recording ProvisionedResource {namespace}/{name}");
    bounded(&doing, records.patch(name, params, &Patch::Apply(record))).await
}
