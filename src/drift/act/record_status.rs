//! The write of a record's status.

use std::{borrow::Cow, fmt::Debug};

use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    api::{Patch, PatchParams},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::executor::{Executor, written};
use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceStatus, managed_fields},
    drift::status::{explicit, reduced, stored},
    kube_ext::call::Error,
};

/// A record as an apply of its status has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a, S> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: StatusMeta<'a>,
    status: &'a S,
}

/// With the UID, a new object of the same name is not given the old one's status.
#[derive(Debug, Serialize)]
struct StatusMeta<'a> {
    name: &'a str,
    uid: &'a str,
}

/// The response to an apply. It has the metadata only: the rest is known.
#[derive(Debug, Deserialize)]
struct StatusResponse {
    metadata: ObjectMeta,
}

/// The media type of only the metadata of an object.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

impl Executor<'_> {
    /// Writes the record's status.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub(crate) async fn write_status(&self, status: ProvisionedResourceStatus) -> Result<(), Error> {
        let short = stored(status.clone());
        match self.apply_status(&short).await {
            Ok(metadata) if owns_whole_status(&metadata) => {
                self.context.index().learn_status(&metadata, &short);
                return Ok(());
            }
            // An apply keeps what it leaves out, if another client wrote it too and the definition is of an earlier
            // version, in which the status is not atomic.
            Ok(_) | Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let (status, written) = match self.apply_status(&explicit(&status)).await {
            // It may be too large: a shortened status is better than none.
            Err(Error::Refused { doing, message }) => {
                warn!(record = %self.key, doing, why = message, "the API server refuses a status; retrying with a shorter one");
                let status = reduced(status);
                let written = self.apply_status(&explicit(&status)).await;
                (status, written)
            }
            written => (status, written),
        };
        let metadata = written?;
        self.context.index().learn_status(&metadata, &status);
        Ok(())
    }

    /// Returns the metadata that the record has then.
    async fn apply_status(&self, status: &(impl Serialize + Debug + Sync)) -> Result<ObjectMeta, Error> {
        let object = Applied {
            api_version: ProvisionedResource::api_version(&()),
            kind: ProvisionedResource::kind(&()),
            metadata: StatusMeta { name: &self.key.name, uid: self.owner },
            status,
        };
        let doing = format!("writing the status of ProvisionedResource {}", self.key);
        let params = PatchParams::apply(OPERATOR).force();
        let write = async {
            let records = kube::core::Request::new(self.records().resource_url());
            let request = records.patch_subresource("status", &self.key.name, &params, &Patch::Apply(object));
            let mut request = request.map_err(kube::Error::BuildRequest)?;
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(METADATA));
            self.context.process.client.request::<StatusResponse>(request).await
        };
        written(&doing, write).await.map(|written| written.metadata)
    }
}

/// Returns true if no other client wrote a part of the status.
fn owns_whole_status(metadata: &ObjectMeta) -> bool {
    let entries = metadata.managed_fields.iter().flatten();
    let mut owners = entries.filter(|entry| managed_fields::owns_status(entry));
    owners.next().is_some_and(managed_fields::is_own_apply) && owners.next().is_none()
}
