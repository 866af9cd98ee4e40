//! The setup: a control plane, a simulated cloud, two namespaces with the same records, and the floor. All end when it
//! is dropped, and with this process.

use std::{collections::BTreeMap, sync::Arc};

use control_plane::{ControlPlane, Namespace};
use digitalocean_simulator::{Control, RateLimits, Simulator};
use kube::Client;
use serde_json::json;

use super::{
    effort::Effort,
    failure::{failed, say},
    floor::Floor,
    jobs::Job,
    objects,
    statistics::float,
    usage,
};
use crate::{Error, project};

/// Rows of a page.
const PER_PAGE: u32 = 200;

/// A control plane with the definitions, which benchmarks may share one after the other.
pub(super) type Cluster = Arc<ControlPlane>;

/// Starts a control plane. Its API server streams lists, or sends them in pages.
///
/// It does not check the consistency of its cache. This check reads all stored objects every few minutes, which takes a
/// core for a minute with 200,000 objects, and so it falls on the operator in one run and on the floor in another.
pub(super) async fn cluster(streams_lists: bool) -> Result<Cluster, Error> {
    say("starting a control plane");
    let gates = format!("--feature-gates=DetectCacheInconsistency=false,WatchList={streams_lists}");
    let api_server_flags = vec![gates];
    // Its garbage collector would watch every object too, and there are only two cores.
    let options = control_plane::Options { controller_manager: false, api_server_flags, ..Default::default() };
    let control_plane = ControlPlane::start(options).await?;
    let definitions = project::root().join("crds");
    let kubectl = control_plane.kubectl();
    kubectl.run(&["apply".as_ref(), "-f".as_ref(), definitions.as_os_str()]).await?;
    kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await?;
    Ok(Arc::new(control_plane))
}

/// The memory of the API server, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerMemory {
    /// The resident memory before a garbage collection.
    pub(super) resident: f64,
    /// The memory in use after it.
    pub(super) live: f64,
}

/// In the order in which they end.
pub(super) struct Stage {
    /// The raw floor.
    pub(super) floor: Floor,
    /// A client of the benchmark's own.
    pub(super) client: Client,
    /// Changes the cloud, and counts the calls to it.
    pub(super) cloud: Control,
    /// The operator's namespace.
    pub(super) records: Namespace,
    /// The floor's namespace.
    pub(super) floor_records: Namespace,
    /// The number of droplets and records.
    pub(super) resources: u32,
    /// The repetitions of the benchmark.
    pub(super) effort: Effort,
    /// The cluster.
    pub(super) control_plane: Cluster,
    /// The cloud.
    pub(super) simulator: Simulator,
}

impl Stage {
    /// Starts everything but the operator; nothing is recorded yet.
    pub(super) async fn start(cluster: &Cluster, resources: u32, effort: Effort) -> Result<Self, Error> {
        let droplets = usize::try_from(resources).unwrap_or(usize::MAX);
        let rate_limits = RateLimits::OFF;
        let fleet = digitalocean_simulator::Options { droplets, rate_limits, ..Default::default() };
        let simulator = Simulator::start(fleet).await?;
        let control_plane = cluster.clone();
        let (records, floor_records) =
            (control_plane.namespace("records").await?, control_plane.namespace("floor").await?);
        Ok(Self {
            floor: Floor::start(&simulator.url(), control_plane.kubeconfig(), floor_records.name(), effort.rests)?,
            client: control_plane.client().await?,
            cloud: simulator.control(),
            records,
            floor_records,
            resources,
            effort,
            control_plane,
            simulator,
        })
    }

    /// Records every droplet, in both namespaces.
    pub(super) async fn record_all(&mut self) -> Result<(), Error> {
        say(format!("recording {} droplets, and as many for the floor", self.resources));
        for namespace in [self.floor_records.name(), self.records.name()] {
            objects::record_fleet(&self.client, namespace, self.resources).await?;
        }
        self.floor.ask(&Job::Prepare).await.map(drop)
    }

    /// The calls that a sweep needs: the pages of the droplets, and one page of droplets with a GPU, which is empty.
    pub(super) fn calls_per_sweep(&self) -> u64 {
        u64::from(self.resources.div_ceil(PER_PAGE)) + 1
    }

    /// The number of calls to the cloud, without the one that a process makes to identify its token.
    pub(super) async fn calls(&self) -> Result<u64, Error> {
        let requests = self.cloud.requests().await?;
        Ok(requests.total() - requests.count("GET /v2/account"))
    }

    /// The same without lists, which sweeps make.
    pub(super) async fn calls_but_lists(&self) -> Result<u64, Error> {
        let requests = self.cloud.requests().await?;
        Ok(requests.total() - requests.count("GET /v2/account") - requests.count("GET /v2/droplets"))
    }

    /// The CPU seconds of the API server and etcd.
    pub(super) async fn server_cpu_seconds(&self) -> Result<f64, Error> {
        self.control_plane.processes().await.into_iter().map(usage::cpu_seconds).sum()
    }

    /// The memory of the API server now. This collects its garbage.
    pub(super) async fn api_server_memory(&self) -> Result<ServerMemory, Error> {
        for process in self.control_plane.processes().await {
            if usage::name(process)?.starts_with("kube-apiserver") {
                let resident = usage::memory(process)?.resident;
                let live = self.control_plane.live_heap_bytes().await?;
                let live = live.ok_or_else(|| failed("measure the API server")("it has no metric of its heap"))?;
                return Ok(ServerMemory { resident, live: float(live) });
            }
        }
        Err(failed("measure the API server")("it does not run"))
    }

    /// The number of writes to the API server, by verb and resource. Leases are left out: the server has its own, and
    /// the operator renews its lease every few seconds.
    pub(super) async fn writes(&self) -> Result<Writes, Error> {
        let mut counts = self.control_plane.write_counts().await?;
        counts.retain(|what, _| !what.ends_with(" leases"));
        Ok(Writes(counts))
    }

    /// Resizes the first droplets outside the operator.
    pub(super) async fn resize(&self, count: u32, size: &str) -> Result<(), Error> {
        for number in 0..count {
            self.resize_one(number, size).await?;
        }
        Ok(())
    }

    /// Removes a tag from the first droplets outside the operator.
    pub(super) async fn untag(&self, count: u32) -> Result<(), Error> {
        for number in 0..count {
            self.cloud.change("droplets", &objects::droplet(number), json!({ "tags": ["web"] })).await?;
        }
        Ok(())
    }

    /// Resizes one droplet outside the operator.
    pub(super) async fn resize_one(&self, number: u32, size: &str) -> Result<(), Error> {
        let changed = self.cloud.change("droplets", &objects::droplet(number), json!({ "size_slug": size })).await;
        Ok(changed.map(drop)?)
    }
}

/// Writes to the API server, by verb and resource.
#[derive(Clone, Debug)]
pub(super) struct Writes(BTreeMap<String, u64>);

impl Writes {
    /// Those after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let more = self
            .0
            .iter()
            .map(|(what, count)| (what.clone(), count.saturating_sub(before.0.get(what).copied().unwrap_or_default())));
        Self(more.filter(|(_, count)| *count > 0).collect())
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The number of writes except events.
    pub(super) fn but_events(&self) -> u64 {
        self.0.iter().filter(|(what, _)| !what.ends_with(" events")).map(|(_, count)| count).sum()
    }

    /// Each of them.
    pub(super) fn by_kind(&self) -> &BTreeMap<String, u64> {
        &self.0
    }
}
