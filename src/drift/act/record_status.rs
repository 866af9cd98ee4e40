//! The write of a record's status.

use kube::{
    Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::warn;

use super::executor::{Executor, written};
use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceStatus},
    drift::status::reduced,
    kube_ext::{cache::Cache, call::Error},
};

impl Executor<'_> {
    /// Writes the record's status.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn write_status(&self, status: ProvisionedResourceStatus) -> Result<(), Error> {
        match self.apply_status(&status).await {
            // Too large, perhaps: a record that says less is better than one that says nothing.
            Err(Error::Refused { doing, message }) => {
                warn!(record = %self.key, doing, why = message, "the API server refuses a status; retrying with a shorter one");
                self.apply_status(&reduced(status)).await
            }
            written => written,
        }
    }

    async fn apply_status(&self, status: &ProvisionedResourceStatus) -> Result<(), Error> {
        let object = json!({
            "apiVersion": ProvisionedResource::api_version(&()),
            "kind": ProvisionedResource::kind(&()),
            // With the UID, a new object of the same name is not given the old one's status.
            "metadata": { "name": self.key.name.as_ref(), "uid": self.owner },
            "status": status,
        });
        let doing = format!("writing the status of ProvisionedResource {}", self.key);
        let params = PatchParams::apply(OPERATOR).force();
        let written =
            written(&doing, self.records().patch_status(&self.key.name, &params, &Patch::Apply(object))).await?;
        self.context.index().learn(&written);
        Ok(())
    }
}
