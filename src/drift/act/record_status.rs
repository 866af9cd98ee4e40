//! The write of a record's status.

use std::{borrow::Cow, fmt::Debug};

use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use tracing::warn;

use super::executor::{Executor, written};
use crate::{
    api::{OPERATOR, ProvisionedResource, ProvisionedResourceStatus},
    drift::{
        status::{explicit, reduced, stored},
        summary::StatusDigest,
    },
    kube_ext::{cache::Cache, call::Error, undecoded::Undecoded},
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

impl Executor<'_> {
    /// Writes the record's status, which has this digest.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub(crate) async fn write_status(
        &self,
        status: ProvisionedResourceStatus,
        digest: StatusDigest,
    ) -> Result<(), Error> {
        match self.apply_status(&stored(status.clone())).await {
            Ok(written) if written.is_none_or(|written| written == digest) => return Ok(()),
            // An apply keeps what it leaves out, if another client wrote it too and the definition is of an earlier
            // version, in which the status is not atomic.
            Ok(_) | Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.apply_status(&explicit(&status)).await {
            // It may be too large: a shortened status is better than none.
            Err(Error::Refused { doing, message }) => {
                warn!(record = %self.key, doing, why = message, "the API server refuses a status; retrying with a shorter one");
                self.apply_status(&explicit(&reduced(status))).await.map(drop)
            }
            written => written.map(drop),
        }
    }

    /// Returns the digest of the status that the record has then; none if it was deleted.
    async fn apply_status(&self, status: &(impl Serialize + Debug + Sync)) -> Result<Option<StatusDigest>, Error> {
        let object = Applied {
            api_version: ProvisionedResource::api_version(&()),
            kind: ProvisionedResource::kind(&()),
            metadata: StatusMeta { name: &self.key.name, uid: self.owner },
            status,
        };
        let doing = format!("writing the status of ProvisionedResource {}", self.key);
        let params = PatchParams::apply(OPERATOR).force();
        let (client, namespace) = (self.context.process.client.clone(), &self.key.namespace);
        let records: Api<Undecoded<ProvisionedResource>> = Api::namespaced(client, namespace);
        let patch = Patch::Apply(object);
        let write = async {
            let response = records.patch_status(&self.key.name, &params, &patch).await?;
            // The watch may have shown this version already.
            if self.context.index().has_record(response.meta()) {
                return Ok(None);
            }
            response.decode().map(Some).map_err(kube::Error::SerdeError)
        };
        let news = written(&doing, write).await?;
        let mut index = self.context.index();
        if let Some(record) = news {
            index.learn(&record);
        }
        Ok(index.record(self.key).map(|record| record.status.digest))
    }
}
