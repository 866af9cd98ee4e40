//! The write that makes live values the desired values.

use futures::stream::{self, StreamExt};
use json_patch::{AddOperation, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use kube::api::Patch;
use serde_json::{Value, json};
use tracing::info;

use super::executor::{Executor, is_refusal, params, written};
use crate::{
    api::{ProvisionedResource, annotations},
    drift::{
        known::LastAccepted,
        plan::Adoption,
        shown::{brief, first},
    },
    failpoint,
    kube_ext::{cache::Cache, call::Error},
};

/// The number of decisions that are verified concurrently.
const SIDE_BY_SIDE: usize = 8;

impl Executor<'_> {
    /// Returns the refusals of the API server.
    pub(super) async fn adopt(
        &self,
        adoptions: Vec<Adoption>,
        in_doubt: LastAccepted,
    ) -> Result<Vec<(Adoption, Error)>, Error> {
        let Some(record) = self.record else { return Ok(Vec::new()) };
        let (verified, mut refused) = self.verify(adoptions).await?;
        let mut marks = in_doubt;
        let mut version = record.resource_version.to_string();
        let mut has_annotations = record.has_annotations;
        let mut batches = vec![verified];
        while let Some(mut batch) = batches.pop() {
            let mut marked = marks.clone();
            batch.iter().filter_map(|adoption| self.known(&adoption.drift)).for_each(|drift| marked.add(&drift));
            if batch.is_empty() {
                continue;
            }
            match self.write_desired(&batch, &marked, &version, has_annotations).await {
                Ok(written) => {
                    marks = marked;
                    version = written.metadata.resource_version.clone().unwrap_or_default();
                    has_annotations = true;
                    self.context.index().learn(&written);
                    failpoint::crash("accepted-half");
                    for Adoption { drift, field, .. } in &batch {
                        info!(record = %self.key, drift = %drift, field, "accepted: the live value is the desired one");
                    }
                }
                // One value may be the reason for the refusal of all.
                Err(error) if is_refusal(&error) && batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    batches.extend([second, batch]);
                }
                Err(error) if is_refusal(&error) => refused.extend(batch.pop().map(|adoption| (adoption, error))),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Checks that the decisions were not withdrawn while the live resource was read.
    async fn verify(&self, adoptions: Vec<Adoption>) -> Result<(Vec<Adoption>, Vec<(Adoption, Error)>), Error> {
        let verify = async |adoption: Adoption| {
            let Some(drift) = self.known(&adoption.drift) else { return (adoption, Ok(())) };
            let confirmed = self.confirm(&drift).await.map(drop);
            (adoption, confirmed)
        };
        let outcomes: Vec<_> = stream::iter(adoptions).map(verify).buffered(SIDE_BY_SIDE).collect().await;
        let (mut verified, mut refused) = (Vec::new(), Vec::new());
        for (adoption, outcome) in outcomes {
            match outcome {
                Ok(()) => verified.push(adoption),
                Err(error) if is_refusal(&error) => refused.push((adoption, error)),
                Err(error) => return Err(error),
            }
        }
        Ok((verified, refused))
    }

    /// The single write that makes live values the desired values, and marks their drifts as adopted.
    async fn write_desired(
        &self,
        batch: &[Adoption],
        marks: &LastAccepted,
        version: &str,
        has_annotations: bool,
    ) -> Result<ProvisionedResource, Error> {
        let add = |path: &[&str], value: Value| {
            PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
        };
        let remember = if has_annotations {
            add(&["metadata", "annotations", annotations::LAST_ACCEPTED], marks.text().into())
        } else {
            add(&["metadata", "annotations"], json!({ annotations::LAST_ACCEPTED: marks.text() }))
        };
        let adopt = |Adoption { field, value, .. }: &Adoption| add(&["spec", "desired", field], value.clone());
        // The API server refuses the patch if the record is no longer the evaluated one.
        let bind = PatchOperation::Replace(ReplaceOperation {
            path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
            value: version.into(),
        });
        let operations = [bind].into_iter().chain(batch.iter().map(adopt)).chain([remember]).collect();
        let fields: Vec<_> = batch.iter().map(|adoption| brief(&adoption.field)).collect();
        let fields = first(&fields, 3, ", ");
        let doing = format!("accepting {fields} of ProvisionedResource {}", self.key);
        let patch = json_patch::Patch(operations);
        written(&doing, self.records().patch(&self.key.name, &params(), &Patch::<()>::Json(patch))).await
    }
}
