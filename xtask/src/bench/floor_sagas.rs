//! The floor's jobs about sagas: they write the journals as an operator would, without any decision.

use std::{collections::HashMap, sync::Arc, time::Instant};

use arcadia_operator::{
    api::{OPERATOR, Saga, saga::FINALIZER},
    saga::controller::WORKERS,
};
use kube::{
    Client, Resource as _,
    api::{Api, ListParams, Patch, PatchParams, PostParams},
    core::{ObjectMeta, PartialObjectMeta, Request},
};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    failure::failed,
    jobs::{Done, SagaJob},
    objects::{self, API_VERSION},
    orders::{Batch, Steps},
    parallel,
};
use crate::Error;

/// Runs the jobs.
pub(super) struct SagaWorker {
    client: Client,
    namespace: String,
    known: HashMap<String, ObjectMeta>,
    cloud: Cloud,
}

/// Puts tags on droplets.
#[derive(Clone)]
struct Cloud {
    http: reqwest::Client,
    tags: String,
}

/// Writes the journals of one batch.
struct Pen {
    client: Client,
    requests: Request,
    is_held: bool,
    journal: Vec<Box<RawValue>>,
    cloud: Cloud,
    /// The tag that each step puts on the saga's droplet, if the steps do that.
    tags: Vec<String>,
}

/// A saga without a journal.
struct Unwritten {
    droplet: String,
    spec: Value,
    metadata: ObjectMeta,
}

/// A saga as sent to the API server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'s> {
    api_version: &'static str,
    kind: &'static str,
    metadata: &'s ObjectMeta,
    spec: &'s Value,
    status: &'s RawValue,
}

impl SagaWorker {
    pub(super) fn new(client: Client, namespace: &str, http: reqwest::Client, url: &str) -> Self {
        let cloud = Cloud { http, tags: format!("{url}/v2/tags") };
        Self { client, namespace: namespace.to_owned(), known: HashMap::new(), cloud }
    }

    pub(super) async fn work(&mut self, job: &SagaJob) -> Result<Done, Error> {
        // The bodies are prepared before the measurement.
        let (began, writes) = match job {
            SagaJob::Prepare(batches) => {
                let began = Instant::now();
                self.prepare(batches).await?;
                (began, 0)
            }
            SagaJob::CarryOn { batch, from, count, with_calls } => {
                let pen = Arc::new(self.pen(batch, *with_calls)?);
                let writes = pen.writes() * u64::from(*count);
                let known = |number| self.known.get(&batch.name(number)).cloned().unwrap_or_default();
                let numbers = *from..from.saturating_add(*count);
                let sagas = numbers.map(|number| Unwritten::new(batch, number, known(number))).collect();
                let began = Instant::now();
                parallel::each(WORKERS, sagas, move |saga| Arc::clone(&pen).carry_on(saga)).await?;
                (began, writes)
            }
            SagaJob::Order { batch, from, count, per_second } => {
                let pen = Arc::new(self.pen(batch, true)?);
                let writes = (pen.writes() + 1) * u64::from(*count);
                let named = |number| ObjectMeta { name: Some(batch.name(number)), ..ObjectMeta::default() };
                let numbers = *from..from.saturating_add(*count);
                let sagas = numbers.map(|number| Unwritten::new(batch, number, named(number))).collect();
                let began = Instant::now();
                parallel::at_rate(*per_second, sagas, move |saga| Arc::clone(&pen).order(saga)).await?;
                (began, writes)
            }
        };
        Ok(Done { seconds: began.elapsed().as_secs_f64(), calls: writes, bytes: 0 })
    }

    async fn prepare(&mut self, batches: &[Batch]) -> Result<(), Error> {
        for tag in batches.iter().flat_map(Batch::tags) {
            self.cloud.make(&tag).await?;
        }
        let sagas: Api<Saga> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut page = ListParams::default().limit(500);
        loop {
            let listed = sagas.list_metadata(&page).await.map_err(failed("list the floor's sagas"))?;
            let next = listed.metadata.continue_.clone().filter(|next| !next.is_empty());
            let metadata = listed.items.into_iter().map(|saga| saga.metadata);
            self.known
                .extend(metadata.map(|metadata| (metadata.name.clone().unwrap_or_default(), unmanaged(metadata))));
            let Some(next) = next else { break };
            page = page.continue_token(&next);
        }
        objects::connect(&sagas, WORKERS).await
    }

    fn pen(&self, batch: &Batch, with_calls: bool) -> Result<Pen, Error> {
        let journal = batch.journal()?;
        let journal = journal.iter().map(to_raw_value).collect::<Result<_, _>>();
        Ok(Pen {
            client: self.client.clone(),
            requests: Request::new(Saga::url_path(&(), Some(&self.namespace))),
            is_held: batch.steps == Steps::Tag,
            journal: journal.map_err(failed("write a journal"))?,
            cloud: self.cloud.clone(),
            tags: if with_calls { batch.tags() } else { Vec::new() },
        })
    }
}

impl Unwritten {
    fn new(batch: &Batch, number: u32, metadata: ObjectMeta) -> Self {
        Self { droplet: objects::droplet(number), spec: batch.spec(number), metadata }
    }
}

impl Pen {
    /// The number of writes of a saga.
    fn writes(&self) -> u64 {
        u64::try_from(self.journal.len()).unwrap_or(u64::MAX) + u64::from(self.is_held)
    }

    /// Creates a saga, as a user would, and writes its journal.
    async fn order(self: Arc<Self>, mut saga: Unwritten) -> Result<(), Error> {
        let new = objects::saga(saga.metadata.name.as_deref().unwrap_or_default(), &saga.spec);
        let request = self.requests.create(&PostParams::default(), new.to_string().into_bytes());
        saga.metadata = self.write(request.map_err(failed("create a saga"))?).await?;
        self.carry_on(saga).await
    }

    /// Writes a journal to its end. Each write requires the version of the previous one.
    async fn carry_on(self: Arc<Self>, saga: Unwritten) -> Result<(), Error> {
        let Unwritten { droplet, spec, mut metadata } = saga;
        let name = metadata.name.clone().unwrap_or_default();
        if self.is_held {
            let metadata_of = json!({ "finalizers": [FINALIZER], "resourceVersion": metadata.resource_version });
            let patch = Patch::Merge(json!({ "metadata": metadata_of }));
            let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
            let request = self.requests.patch(&name, &params, &patch);
            metadata = self.write(request.map_err(failed("hold a saga"))?).await?;
        }
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let mut tags = self.tags.iter();
        for status in &self.journal {
            let sent = Sent { api_version: API_VERSION, kind: "Saga", metadata: &metadata, spec: &spec, status };
            let body = serde_json::to_vec(&sent).map_err(failed("write a journal"))?;
            let request = self.requests.replace_subresource("status", &name, &params, body);
            metadata = self.write(request.map_err(failed("write a journal"))?).await?;
            if let Some(tag) = tags.next() {
                self.cloud.put(tag, &droplet).await?;
            }
        }
        Ok(())
    }

    /// Writes, and returns the part of the response that the next write needs.
    async fn write(&self, request: http::Request<Vec<u8>>) -> Result<ObjectMeta, Error> {
        let written = self.client.request::<PartialObjectMeta<Saga>>(request).await;
        written.map(|saga| unmanaged(saga.metadata)).map_err(failed("write a saga"))
    }
}

impl Cloud {
    /// Creates a tag.
    async fn make(&self, tag: &str) -> Result<(), Error> {
        self.post(&self.tags, &json!({ "name": tag })).await
    }

    /// Puts a tag on a droplet.
    async fn put(&self, tag: &str, droplet: &str) -> Result<(), Error> {
        let resources = json!({ "resources": [{ "resource_id": droplet, "resource_type": "droplet" }] });
        self.post(&format!("{}/{tag}/resources", self.tags), &resources).await
    }

    async fn post(&self, url: &str, body: &Value) -> Result<(), Error> {
        let answer = self.http.post(url).bearer_auth("bench").json(body).send().await;
        answer.and_then(reqwest::Response::error_for_status).map(drop).map_err(failed("make a call to the cloud"))
    }
}

/// Removes the fields that only the API server sets.
fn unmanaged(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta { managed_fields: None, ..metadata }
}
