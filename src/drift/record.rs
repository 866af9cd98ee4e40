//! Recording what a resource should be, from code: what `kubectl apply` does by hand.

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

/// Creates the record, or makes it say this. Its generation is the version: it stays where nothing is new. Fields that
/// were recorded here before and are not in `spec` any more go; fields that others recorded stay.
///
/// # Errors
/// When the API server refuses it, for instance because the record exists for another resource.
pub async fn record_provisioned(
    client: &Client,
    namespace: &str,
    name: &str,
    spec: &ProvisionedResourceSpec,
) -> Result<ProvisionedResource, Error> {
    apply(client, namespace, Target { name, uid: None }, spec, &PatchParams::apply(OPERATOR).force()).await
}

/// Which record: with a UID, that one and no other of the name.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<&'a str>,
}

/// Makes what is recorded here be this, which may be a part of a spec.
pub(crate) async fn apply(
    client: &Client,
    namespace: &str,
    target: Target<'_>,
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
