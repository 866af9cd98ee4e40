//! The operator as a whole: checks its prerequisites, then runs until SIGTERM.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config, api::ListParams};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    api::{Drift, OPERATOR, ProvisionedResource, Saga},
    config::{ConfigError, RunArgs},
    digitalocean::{self, Inventory},
    drift::{
        context::{Context, DriftSettings},
        controller,
        gauges::Gauges,
    },
    health::{ApiServerState, Health},
    kube_ext::{
        call::{self, bounded},
        fence,
        leader::{self, Candidate, Leadership},
    },
    process::Process,
    saga::{self, steps},
    telemetry::{
        http::{self, Endpoints},
        logs,
        metrics::Metrics,
    },
};

/// The time for running work to finish after SIGTERM. Together with the events and the lease it is well within the
/// termination grace period of 30 s.
const FINISH: Duration = Duration::from_secs(20);
/// The time for publishing events after that: another replica waits for the lease.
const TELL: Duration = Duration::from_secs(1);
/// The interval of checking the API server for `/readyz`, and the timeout of one check.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// A watch without any event for this long is broken: the API server sends a bookmark every minute.
const LONGEST_SILENCE: Duration = Duration::from_mins(3);

/// The reason why the operator cannot work, in one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or environment variable is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The client of the cloud cannot be created.
    #[error(transparent)]
    DigitalOcean(#[from] digitalocean::Error),
    /// No cluster is configured.
    #[error("no Kubernetes cluster: {0}; set KUBECONFIG, or run in a cluster")]
    NoCluster(String),
    /// The API server does not respond.
    #[error(
        "connecting to the Kubernetes API server at {server}: {source}; check that it is up and that KUBECONFIG \
             is right"
    )]
    Unreachable {
        /// The URL of the API server.
        server: String,
        /// The cause.
        source: call::Error,
    },
    /// The API server rejects the credentials.
    #[error("authenticating to the Kubernetes API server at {server}: {source}; check the credentials")]
    Refused {
        /// The URL of the API server.
        server: String,
        /// The cause.
        source: call::Error,
    },
    /// A role is missing.
    #[error("{0}")]
    Forbidden(call::Error),
    /// The CRDs are not installed.
    #[error(
        "the cluster has no {0}: apply the definitions with: arcadia-operator crds | kubectl apply --server-side -f -"
    )]
    NoDefinition(&'static str),
    /// The Lease cannot be read.
    #[error("{source}; --leader-elect=false runs a single replica without a lease")]
    Lease {
        /// The cause.
        source: call::Error,
    },
    /// All workers have ended: a bug.
    #[error("all workers have ended; see the log for the cause")]
    Ended,
    /// The address for metrics cannot be bound.
    #[error("--metrics-address: {0}")]
    Metrics(std::io::Error),
    /// The client for calls to the users' own services cannot be created.
    #[error("creating the HTTP client: {0}")]
    Http(String),
    /// Signal handlers cannot be installed.
    #[error("listening for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs until SIGTERM or SIGINT. Losing the lease ends the whole process at once, see [`leader::end`].
///
/// # Errors
/// When a prerequisite is missing.
pub async fn run(args: RunArgs) -> Result<(), Error> {
    // Both clients use TLS; the provider is installed once per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = DriftSettings {
        namespaces: args.namespaces.clone(),
        sync: args.sync_schedule.clone(),
        detect: args.detect_schedule.clone(),
        max_age: args.max_age()?,
        history: usize::from(args.drift_history_limit),
    };
    let cloud = digitalocean::Client::new(args.digitalocean()?)?;
    // Before anything that takes time: without a handler, signals have no effect on the first process of a container.
    let mut stop = Stop::listen()?;
    let leadership = if args.leader_elect { Leadership::standby() } else { Leadership::unelected() };
    let cluster = tokio::select! {
        cluster = Cluster::connect(&args, &leadership) => cluster?,
        () = stop.requested() => return Ok(()),
    };
    // Only now: main prints the errors above in one line.
    logs::start(args.log_format);
    info!(version = env!("CARGO_PKG_VERSION"), sync = %settings.sync, max_age = ?settings.max_age, "arcadia-operator starts");

    let inventory = Inventory::new(cloud.clone(), digitalocean::InventorySettings::default());
    let process = Process::new(cluster.client.clone(), leadership.clone());
    let context = Context::new(process.clone(), inventory, settings);
    let http = steps::http_client().map_err(|error| Error::Http(error.to_string()))?;
    let settings = saga::context::SagaSettings {
        namespaces: args.namespaces.clone(),
        settle: args.settle_time,
        poll: args.action_poll_interval,
    };
    let sagas = saga::context::Context::new(process.clone(), cloud.clone(), http, settings);
    process.liveness.start();
    if let Some(address) = args.metrics_address {
        let api_server = cluster.clone().check_repeatedly();
        let health = Health { context: context.clone(), sagas: sagas.clone(), api_server };
        let metrics = Arc::new(metrics(&context, &sagas, cloud));
        let (live, ready) = (health.clone(), health);
        let endpoints =
            Endpoints { live: Arc::new(move || live.not_live()), ready: Arc::new(move || ready.unready()), metrics };
        http::serve(address, endpoints).await.map_err(Error::Metrics)?;
    }
    let candidate = args.leader_elect.then(|| {
        let candidate = Candidate::new(cluster.direct.clone(), &cluster.lease_namespace, leadership);
        (stand(candidate.clone()), candidate)
    });
    let mut controller = tokio::spawn(join(controller::run(context.clone()), saga::controller::run(sagas)));
    let is_requested = tokio::select! {
        () = stop.requested() => true,
        _ = &mut controller => false,
    };

    info!("arcadia-operator stops");
    process.stop.cancel();
    // This process still leads: running work finishes. The next leader resumes the rest from the objects.
    if is_requested && timeout(FINISH, controller).await.is_err() {
        warn!("some work is unfinished; the next leader resumes it");
    }
    if timeout(TELL, process.events.flush()).await.is_err() {
        warn!("some events were not published");
    }
    if let Some((standing, candidate)) = candidate {
        standing.abort();
        let _ = standing.await;
        candidate.release().await;
    }
    if is_requested { Ok(()) } else { Err(Error::Ended) }
}

/// The metrics of all rooms.
fn metrics(context: &Arc<Context>, sagas: &Arc<saga::context::Context>, cloud: digitalocean::Client) -> Metrics {
    let mut metrics = Metrics::default();
    context.metrics.register(metrics.counters());
    sagas.metrics.register(metrics.counters());
    let leadership = context.process.leadership.clone();
    metrics.add_gauges(move |registry| leadership.register_gauge(registry));
    let context = context.clone();
    metrics.add_gauges(move |registry| Gauges::of(&context).register(registry));
    metrics.add_gauges(move |registry| digitalocean::metrics::register(&cloud.usage(), registry));
    let sagas = sagas.clone();
    metrics.add_gauges(move |registry| {
        let census = sagas.index().census();
        saga::metrics::register_gauges(&census, Timestamp::now(), registry);
    });
    metrics
}

/// Campaigns for the lease and holds it until it is lost, which ends the process.
fn stand(candidate: Candidate) -> JoinHandle<()> {
    tokio::spawn(async move { leader::end(&candidate.stand().await) })
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signal);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A cluster that responds and has the definitions.
#[derive(Clone)]
struct Cluster {
    /// For all work: sends only the requests that the lease permits.
    client: Client,
    /// For the lease and health checks: without retries, and with a short timeout.
    direct: Client,
    /// The watched namespaces; empty for all.
    namespaces: Vec<String>,
    lease_namespace: String,
    server: String,
}

impl Cluster {
    async fn connect(args: &RunArgs, leadership: &Leadership) -> Result<Self, Error> {
        let no_cluster = |error: kube::Error| Error::NoCluster(error.to_string());
        let mut config = Config::infer().await.map_err(|error| Error::NoCluster(error.to_string()))?;
        config.connect_timeout = Some(Duration::from_secs(5));
        // `fence` creates its streams and connects to the API server directly.
        config.proxy_url = None;
        let mut direct = config.clone();
        direct.default_retry = false;
        direct.connect_timeout = Some(CHECK_TIMEOUT);
        direct.read_timeout = Some(CHECK_TIMEOUT);
        config.read_timeout = Some(LONGEST_SILENCE);
        let pod_namespace = || std::env::var("POD_NAMESPACE").ok().filter(|namespace| !namespace.is_empty());
        let cluster = Self {
            direct: Client::try_from(direct).map_err(no_cluster)?,
            client: fence::client(&config, leadership).map_err(no_cluster)?,
            namespaces: args.namespaces.clone(),
            lease_namespace: args.lease_namespace.clone().or_else(pod_namespace).unwrap_or(config.default_namespace),
            server: config.cluster_url.to_string(),
        };
        cluster.check_all().await?;
        if args.leader_elect {
            let leases = Api::<Lease>::namespaced(cluster.direct.clone(), &cluster.lease_namespace);
            let doing = format!("reading Lease {}/{OPERATOR}", cluster.lease_namespace);
            bounded(&doing, leases.get_opt(OPERATOR)).await.map_err(|source| Error::Lease { source })?;
        }
        Ok(cluster)
    }

    /// Checks every watched namespace: with a role missing in one, no cache ever completes.
    async fn check_all(&self) -> Result<(), Error> {
        if self.namespaces.is_empty() {
            return self.check(&self.client, None).await;
        }
        for namespace in &self.namespaces {
            self.check(&self.client, Some(namespace)).await?;
        }
        Ok(())
    }

    /// Checks that the API server responds, has the definitions, and allows this process to read the watched objects.
    async fn check(&self, client: &Client, namespace: Option<&str>) -> Result<(), Error> {
        let server = self.server.as_str();
        check(client, namespace, server, "ProvisionedResource", api_of::<ProvisionedResource>).await?;
        check(client, namespace, server, "Drift", api_of::<Drift>).await?;
        check(client, namespace, server, "Saga", api_of::<Saga>).await
    }

    /// Repeats the check for one of the namespaces until the receiver is dropped.
    fn check_repeatedly(self) -> watch::Receiver<ApiServerState> {
        let (answers, answer) = watch::channel(ApiServerState { at: Instant::now(), trouble: None });
        tokio::spawn(async move {
            while !answers.is_closed() {
                let namespace = self.namespaces.first().map(String::as_str);
                let trouble = match timeout(CHECK_TIMEOUT, self.check(&self.direct, namespace)).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("the API server did not respond within {} s", CHECK_TIMEOUT.as_secs())),
                };
                answers.send_replace(ApiServerState { at: Instant::now(), trouble });
                sleep(CHECK_INTERVAL).await;
            }
        });
        answer
    }
}

fn api_of<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

async fn check<K>(
    client: &Client,
    namespace: Option<&str>,
    server: &str,
    kind: &'static str,
    api: fn(&Client, Option<&str>) -> Api<K>,
) -> Result<(), Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let place = namespace.map_or_else(|| "all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
    let doing = format!("listing {kind}s in {place}");
    let first = ListParams::default().limit(1);
    let server = || server.to_owned();
    match bounded(&doing, api(client, namespace).list_metadata(&first)).await {
        Ok(_) => Ok(()),
        Err(call::Error::NotFound { .. }) => Err(Error::NoDefinition(kind)),
        Err(source @ call::Error::Forbidden { .. }) => Err(Error::Forbidden(source)),
        Err(source @ call::Error::Refused { .. }) => Err(Error::Refused { server: server(), source }),
        Err(source) => Err(Error::Unreachable { server: server(), source }),
    }
}

#[cfg(test)]
mod tests {
    use ::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// A cluster with these watched namespaces that refuses to list drifts in one of them.
    fn cluster(namespaces: &[&str], code: u16, reason: &'static str) -> Cluster {
        let answer = move |request: Request<Body>| async move {
            let is_refused = request.uri().path().contains("/namespaces/b/drifts");
            let message = "drifts.arcadia.cloud is forbidden: User \"jane\" cannot list";
            let answer = if is_refused {
                json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message })
            } else {
                json!({ "metadata": { "resourceVersion": "1" }, "items": [] })
            };
            let status = if is_refused { code } else { 200 };
            let response = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, kube::Error>(response.unwrap())
        };
        let client = Client::new(tower::service_fn(answer), "default");
        Cluster {
            client: client.clone(),
            direct: client,
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            lease_namespace: "default".to_owned(),
            server: "https://here".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_role_that_is_missing_in_one_of_the_namespaces_is_named() {
        let error = cluster(&["a", "b"], 403, "Forbidden").check_all().await.unwrap_err().to_string();
        for part in ["listing Drifts in namespace b", "forbidden", "cannot list", "role"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("it is up"), "{error}");
        assert!(cluster(&["a", "c"], 403, "Forbidden").check_all().await.is_ok());
        assert!(cluster(&[], 403, "Forbidden").check_all().await.is_ok());
    }

    #[tokio::test]
    async fn refused_credentials_are_distinguished_from_an_unreachable_server() {
        let error = cluster(&["b"], 401, "Unauthorized").check_all().await.unwrap_err().to_string();
        assert!(error.contains("credentials") && !error.contains("it is up"), "{error}");
    }
}
