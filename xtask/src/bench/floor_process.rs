//! The floor's process: reads jobs line by line, and reports the time of each.

use std::{hint::black_box, time::Instant};

use arcadia_operator::api::ProvisionedResource;
use kube::{
    Client, ResourceExt as _,
    api::{Api, DynamicObject, ListParams, Patch, PatchParams},
    config::{Config, KubeConfigOptions, Kubeconfig},
};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::{
    failure::failed,
    floor_environment::Floor,
    floor_reverts::{self, Reverter},
    floor_sagas::SagaWorker,
    jobs::{Done, Job},
    objects::{self, Target},
    parallel,
};
use crate::Error;

/// Rows of a page: DigitalOcean's maximum, which the operator requests too.
const PER_PAGE: u64 = 200;
/// The number of records per page of a list.
const CHUNK: u32 = 500;

/// Runs jobs until the input ends.
pub(super) async fn run(floor: &Floor) -> Result<(), Error> {
    let mut worker = Worker::new(floor).await?;
    let mut jobs = BufReader::new(tokio::io::stdin()).lines();
    let mut answers = tokio::io::stdout();
    while let Some(job) = jobs.next_line().await.map_err(Error::system("read a job"))? {
        let job = serde_json::from_str(&job).map_err(failed("read a job"))?;
        let done = worker.work(&job).await?;
        let mut answer = serde_json::to_string(&done).map_err(failed("answer"))?;
        answer.push('\n');
        answers.write_all(answer.as_bytes()).await.map_err(Error::system("answer"))?;
        answers.flush().await.map_err(Error::system("answer"))?;
    }
    Ok(())
}

struct Worker {
    client: Client,
    http: reqwest::Client,
    url: String,
    records: Api<DynamicObject>,
    drifts: Api<DynamicObject>,
    events: Api<DynamicObject>,
    namespace: String,
    targets: Vec<Target>,
    sagas: SagaWorker,
    reverter: Reverter,
}

impl Worker {
    async fn new(floor: &Floor) -> Result<Self, Error> {
        // As the operator does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().map_err(failed("make an HTTP client"))?;
        let kubeconfig = Kubeconfig::read_from(&floor.kubeconfig).map_err(failed("read the kubeconfig"))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(failed("read the kubeconfig"))?;
        config.proxy_url = None;
        let client = Client::try_from(config).map_err(failed("make a client"))?;
        let (records, drifts) =
            (objects::records(&client, &floor.namespace), objects::drifts(&client, &floor.namespace));
        Ok(Self {
            reverter: Reverter {
                client: client.clone(),
                namespace: floor.namespace.clone(),
                records: records.clone(),
                drifts: drifts.clone(),
                http: http.clone(),
                url: format!("{}/v2", floor.url),
            },
            sagas: SagaWorker::new(client.clone(), &floor.namespace, http.clone(), &floor.url),
            http,
            url: format!("{}/v2/droplets", floor.url),
            records,
            drifts,
            events: objects::events(&client, &floor.namespace),
            namespace: floor.namespace.clone(),
            client,
            targets: Vec::new(),
        })
    }

    async fn work(&mut self, job: &Job) -> Result<Done, Error> {
        // The bodies are prepared before the measurement.
        match *job {
            Job::Sagas(ref job) => self.sagas.work(job).await,
            Job::Prepare => {
                let began = Instant::now();
                self.prepare().await?;
                Ok(Done { seconds: began.elapsed().as_secs_f64(), calls: 0, bytes: 0 })
            }
            Job::List => {
                let began = Instant::now();
                let (calls, bytes) = self.list().await?;
                Ok(Done { seconds: began.elapsed().as_secs_f64(), calls, bytes })
            }
            Job::ListRecords { ref namespace } => {
                let began = Instant::now();
                let calls = self.list_records(namespace).await?;
                Ok(Done { seconds: began.elapsed().as_secs_f64(), calls, bytes: 0 })
            }
            Job::WriteStatuses { from, count } => {
                let statuses: Vec<_> = self
                    .targets
                    .iter()
                    .skip(from)
                    .take(count)
                    .map(|target| (target.name.clone(), objects::status(target)))
                    .collect();
                let records = self.records.clone();
                let began = Instant::now();
                parallel::each(parallel::WORKERS, statuses, move |(name, status)| {
                    let records = records.clone();
                    async move {
                        let params = PatchParams::apply("arcadia-operator").force();
                        let written = records.patch_status(&name, &params, &Patch::Apply(status)).await;
                        written.map(drop).map_err(failed("write a status"))
                    }
                })
                .await?;
                Ok(Done { seconds: began.elapsed().as_secs_f64(), calls: whole(count), bytes: 0 })
            }
            Job::Accept { count } => {
                let bodies: Vec<_> = self
                    .targets
                    .iter()
                    .take(count)
                    .map(|target| {
                        (
                            objects::drift_name(target, 1),
                            objects::accepted(),
                            target.name.clone(),
                            objects::status(target),
                        )
                    })
                    .collect();
                let (drifts, records) = (self.drifts.clone(), self.records.clone());
                let began = Instant::now();
                parallel::each(parallel::WORKERS, bodies, move |(drift, accepted, record, status)| {
                    let (drifts, records) = (drifts.clone(), records.clone());
                    async move {
                        let params = PatchParams::default();
                        let written = drifts.patch_status(&drift, &params, &Patch::Merge(accepted)).await;
                        written.map(drop).map_err(failed("accept a drift"))?;
                        let params = PatchParams::apply("arcadia-operator").force();
                        let written = records.patch_status(&record, &params, &Patch::Apply(status)).await;
                        written.map(drop).map_err(failed("write a status"))
                    }
                })
                .await?;
                Ok(Done { seconds: began.elapsed().as_secs_f64(), calls: whole(count) * 2, bytes: 0 })
            }
            Job::Revert { from, count } => self.revert(from, count).await,
            Job::CreateDrifts { count, episode, with_events } => self.create_drifts(count, episode, with_events).await,
        }
    }

    async fn create_drifts(&self, count: usize, episode: u32, with_events: bool) -> Result<Done, Error> {
        let bodies: Vec<_> = (0..)
            .zip(self.targets.iter().take(count))
            .map(|(number, target)| (objects::droplet(number), objects::drift(target, episode)))
            .collect();
        let (http, url) = (self.http.clone(), self.url.clone());
        let told = if with_events { count } else { 0 };
        let told = self.targets.iter().take(told);
        let told: Vec<_> = told.map(|target| objects::event(target, &self.namespace, episode)).collect();
        let drifts = self.drifts.clone();
        let events = self.events.clone();
        let began = Instant::now();
        let telling = tokio::spawn(parallel::each(parallel::TELLERS, told, move |body| {
            let events = events.clone();
            async move { objects::create(&events, body).await }
        }));
        parallel::each(parallel::WORKERS, bodies, move |(droplet, body)| {
            let (drifts, http, url) = (drifts.clone(), http.clone(), url.clone());
            async move {
                read_droplet(&http, &format!("{url}/{droplet}")).await?;
                objects::create(&drifts, body).await
            }
        })
        .await?;
        let seconds = began.elapsed().as_secs_f64();
        telling.await.map_err(failed("wait for the events"))??;
        Ok(Done { seconds, calls: whole(count), bytes: 0 })
    }

    async fn revert(&self, from: usize, count: usize) -> Result<Done, Error> {
        // The records name the droplets before these.
        let number = |place: usize| u32::try_from(self.targets.len().saturating_add(place)).unwrap_or(u32::MAX);
        let targets = self.targets.iter().enumerate().skip(from).take(count);
        let reverts: Vec<_> =
            targets.map(|(place, target)| (target.clone(), objects::droplet(number(place)))).collect();
        let reverter = self.reverter.clone();
        let began = Instant::now();
        let revert = move |(target, droplet)| reverter.clone().revert(target, droplet);
        parallel::each(parallel::WORKERS, reverts, revert).await?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Done { seconds, calls: whole(count) * floor_reverts::WRITES, bytes: 0 })
    }

    async fn prepare(&mut self) -> Result<(), Error> {
        if self.targets.is_empty() {
            let mut page = ListParams::default().limit(CHUNK);
            loop {
                let records = self.records.list_metadata(&page).await.map_err(failed("list the floor's records"))?;
                let next = records.metadata.continue_.clone().filter(|next| !next.is_empty());
                self.targets.extend(
                    records.into_iter().map(|it| Target { name: it.name_any(), uid: it.uid().unwrap_or_default() }),
                );
                let Some(next) = next else { break };
                page = page.continue_token(&next);
            }
        }
        objects::connect(&self.records, parallel::WORKERS).await
    }

    /// Reads all pages of the records, as typed objects. Returns how many.
    async fn list_records(&self, namespace: &str) -> Result<u64, Error> {
        let records = Api::<ProvisionedResource>::namespaced(self.client.clone(), namespace);
        let mut page = ListParams::default().limit(CHUNK);
        for pages in 1.. {
            let listed = black_box(records.list(&page).await.map_err(failed("list records"))?);
            match listed.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return Ok(pages),
            }
        }
        Ok(0)
    }

    /// Reads all pages of both lists; droplets with a GPU have a separate list.
    async fn list(&self) -> Result<(u64, u64), Error> {
        let (mut calls, mut bytes) = (0, 0);
        for filter in ["", "&type=gpus"] {
            for number in 1.. {
                let url = format!("{}?page={number}&per_page={PER_PAGE}{filter}", self.url);
                let response = self.http.get(url).bearer_auth("bench").send().await;
                let body = response.map_err(failed("list droplets"))?.bytes().await.map_err(failed("list droplets"))?;
                let page: Page = serde_json::from_slice(&body).map_err(failed("read a page of droplets"))?;
                calls += 1;
                bytes += whole(body.len());
                let is_last = number * PER_PAGE >= black_box(page).meta.total;
                if is_last {
                    break;
                }
            }
        }
        Ok((calls, bytes))
    }
}

/// Reads one droplet.
async fn read_droplet(http: &reqwest::Client, url: &str) -> Result<(), Error> {
    let response = http.get(url).bearer_auth("bench").send().await.map_err(failed("read a droplet"))?;
    let body = response.bytes().await.map_err(failed("read a droplet"))?;
    let read: OneDroplet = serde_json::from_slice(&body).map_err(failed("read a droplet"))?;
    drop(black_box(read));
    Ok(())
}

/// The part of a droplet's own document that a comparison needs.
#[derive(Deserialize)]
#[expect(dead_code, reason = "reading the fields is the work; nothing uses them")]
struct OneDroplet {
    droplet: Droplet,
}

/// The part of a page that a comparison needs.
#[derive(Deserialize)]
#[expect(dead_code, reason = "reading the fields is the work; nothing uses them")]
struct Page {
    droplets: Vec<Droplet>,
    links: Links,
    meta: Meta,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Droplet {
    id: u64,
    name: String,
    size_slug: String,
    region: Region,
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Region {
    slug: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Links {
    pages: Option<Pages>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Pages {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    total: u64,
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
