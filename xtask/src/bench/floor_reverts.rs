//! The work of the floor's process on reverts: the calls and writes that one takes, in their order. It decides nothing.

use arcadia_operator::{
    api::{
        OPERATOR, Saga,
        saga::{FINALIZER, SagaSpec, SagaStatus, StepStatus, Values},
    },
    saga::{
        event::{Event, StepEvent},
        journal,
        order::digest,
    },
};
use jiff::Timestamp;
use kube::{
    Client, ResourceExt as _,
    api::{Api, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    failure::failed,
    objects::{self, Target},
};
use crate::Error;

/// The writes of one revert: about the drift, the record and the saga.
pub(super) const WRITES: u64 = 10;

/// Reverts the drifts of records.
#[derive(Clone)]
pub(super) struct Reverter {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) records: Api<DynamicObject>,
    pub(super) drifts: Api<DynamicObject>,
    pub(super) http: reqwest::Client,
    /// The API of the cloud, up to `/v2`.
    pub(super) url: String,
}

impl Reverter {
    /// Puts a tag back, with all that an operator writes about it.
    pub(super) async fn revert(self, target: Target, droplet: String) -> Result<(), Error> {
        let drift = objects::drift_name(&target, 1);
        self.get(&format!("droplets/{droplet}")).await?;
        self.get("droplets/autoscale?page=1&per_page=200").await?;
        self.confirm(&drift).await?;
        let sagas: Api<Saga> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = spec(&target, &droplet)?;
        let saga = self.create(&sagas, &target, &spec).await?;
        self.write_drift(&drift, objects::reverting(&saga.name_any())).await?;
        self.write_record(&target).await?;

        let held = json!({ "metadata": {
            "finalizers": [FINALIZER], "resourceVersion": saga.metadata.resource_version,
        } });
        let held = sagas.patch(&saga.name_any(), &PatchParams::default(), &Patch::Merge(held)).await;
        let mut saga = held.map_err(failed("hold a saga"))?;
        self.get(&format!("droplets/{droplet}")).await?;
        let journals = journals(&spec)?;
        for (number, status) in journals.into_iter().enumerate() {
            saga.metadata.managed_fields = None;
            saga.status = Some(status);
            let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
            let written = sagas.replace_status(&saga.name_any(), &params, &saga).await;
            saga = written.map_err(failed("write a journal"))?;
            match number {
                0 => self.tag(&droplet).await?,
                1 => self.get(&format!("droplets/{droplet}")).await?,
                _ => {}
            }
        }
        self.get(&format!("droplets/{droplet}")).await?;
        self.write_drift(&drift, objects::reverted()).await?;
        self.write_record(&target).await
    }

    async fn create(&self, sagas: &Api<Saga>, target: &Target, spec: &SagaSpec) -> Result<Saga, Error> {
        let mut saga = Saga::new(&format!("revert-{}", target.name), spec.clone());
        saga.metadata.labels = Some([("arcadia.cloud/revert-of".to_owned(), target.uid.clone())].into());
        let created = sagas.create(&PostParams::default(), &saga).await;
        created.map_err(failed("create a saga"))
    }

    async fn confirm(&self, drift: &str) -> Result<(), Error> {
        let nothing = Patch::Merge(json!({ "metadata": {} }));
        let written = self.drifts.patch(drift, &PatchParams::default(), &nothing).await;
        written.map(drop).map_err(failed("confirm a decision"))
    }

    async fn write_drift(&self, drift: &str, status: Value) -> Result<(), Error> {
        let written = self.drifts.patch_status(drift, &PatchParams::default(), &Patch::Merge(status)).await;
        written.map(drop).map_err(failed("write the status of a drift"))
    }

    async fn write_record(&self, target: &Target) -> Result<(), Error> {
        let params = PatchParams::apply(OPERATOR).force();
        let written = self.records.patch_status(&target.name, &params, &Patch::Apply(objects::status(target))).await;
        written.map(drop).map_err(failed("write a status"))
    }

    async fn get(&self, path: &str) -> Result<(), Error> {
        let answer = self.http.get(format!("{}/{path}", self.url)).bearer_auth("bench").send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status).map_err(failed("read a droplet"))?;
        answer.json::<Value>().await.map(drop).map_err(failed("read a droplet"))
    }

    async fn tag(&self, droplet: &str) -> Result<(), Error> {
        let body = json!({ "resources": [{ "resource_id": droplet, "resource_type": "droplet" }] });
        let url = format!("{}/tags/{}/resources", self.url, objects::TAG);
        let answer = self.http.post(url).bearer_auth("bench").json(&body).send().await;
        answer.and_then(reqwest::Response::error_for_status).map(drop).map_err(failed("tag a droplet"))
    }
}

/// The saga of the revert, as the operator orders it.
fn spec(target: &Target, droplet: &str) -> Result<SagaSpec, Error> {
    let spec = json!({
        "kind": "update",
        "triggeredBy": format!("drift:{}", objects::drift_name(target, 1)),
        "concurrencyKey": format!("Droplet/{droplet}"),
        "ttlSecondsAfterFinished": 604_800,
        "steps": [
            {
                "name": "tag-1",
                "step": "TagResource",
                "with": { "tag": objects::TAG, "resource_type": "droplet", "resource_id": droplet },
            },
            {
                "name": "verify",
                "step": "WaitForField",
                "with": {
                    "kind": "Droplet", "id": droplet, "field": "tags", "record": target.name, "digest": "0a1b2c3d",
                },
            },
        ],
    });
    serde_json::from_value(spec).map_err(failed("write an order"))
}

/// The journal of the saga, each time that it is written.
fn journals(spec: &SagaSpec) -> Result<Vec<SagaStatus>, Error> {
    let mut status = SagaStatus { observed_generation: Some(1), ..SagaStatus::default() };
    let mut note = |event| {
        journal::apply(&mut status, event, Timestamp::now()).map_err(failed("write a journal"))?;
        Ok::<_, Error>(status.clone())
    };
    let steps = spec.steps.iter().map(|step| StepStatus { name: step.name.clone(), ..StepStatus::default() });
    note(Event::Start { steps: steps.collect(), digest: digest(spec), rollback_of: None })?;
    let began = note(StepEvent::Begin { before: json!({ "lacked_it": true }) }.of(0))?;
    note(StepEvent::Complete { output: Values::new() }.of(0))?;
    let verifies = note(StepEvent::Begin { before: Value::Null }.of(1))?;
    note(StepEvent::Complete { output: Values::new() }.of(1))?;
    Ok(vec![began, verifies, note(Event::Finish { is_rollback_kind: false })?])
}
