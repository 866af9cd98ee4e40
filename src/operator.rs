//! The operator as a whole: checks its prerequisites, then runs until SIGTERM.

mod error;
mod preflight;
mod vital;

use std::{sync::Arc, time::Duration};

use futures::future::join;
use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tracing::{info, warn};

use self::{preflight::CheckedCluster, vital::Vital};
use crate::{
    api::annotations,
    config::RunArgs,
    digitalocean::{self, Inventory},
    drift::{
        context::{DriftContext, DriftSettings},
        controller,
        gauges::Gauges,
    },
    health::Health,
    kube_ext::leader::{self, Candidate, Leadership, LeaseNote},
    liveness::Pulse,
    process::Process,
    saga::{self, steps},
    telemetry::{
        http::{self, Endpoints},
        logs,
        metrics::{MetricsRegistry, register_tasks},
    },
};

pub use self::error::Error;

/// The time for running work to finish after SIGTERM. Together with the events and the lease it is well within the
/// termination grace period of 30 s.
const FINISH: Duration = Duration::from_secs(20);
/// The maximum time for publishing the events that are left: another replica waits for the lease meanwhile, and an
/// event that is not published by then is lost.
const PUBLISH: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT. Losing the lease ends the whole process at once, see [`leader::end`].
///
/// # Errors
/// When a prerequisite is missing.
pub async fn run(args: RunArgs) -> Result<(), Error> {
    // Both clients use TLS; the provider is installed once per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = RunArgs { namespaces: args.watched_namespaces()?, lease_namespace: args.lease_namespace()?, ..args };
    let settings = DriftSettings {
        namespaces: args.namespaces.clone(),
        sync: args.sync_schedule.clone(),
        detect: args.detect_schedule.clone(),
        max_age: args.max_age()?,
        history: usize::from(args.drift_history_limit),
    };
    let cloud = digitalocean::Client::new(args.digitalocean()?)?;
    // Before anything that takes time: without a handler, signals have no effect on the first process of a container.
    let mut stop = StopSignals::listen()?;
    let vital = Vital::start().map_err(Error::Thread)?;
    let leadership = if args.leader_elect { Leadership::standby() } else { Leadership::unelected() };
    let cluster = tokio::select! {
        cluster = CheckedCluster::connect(&args, &leadership, &vital.runtime) => cluster?,
        () = stop.requested() => return Ok(()),
    };
    // Only now: main prints the errors above in one line.
    logs::start(args.log_format);
    info!(version = env!("CARGO_PKG_VERSION"), sync = %settings.sync, max_age = ?settings.max_age, "arcadia-operator starts");

    let inventory = Inventory::new(cloud.clone(), digitalocean::InventorySettings::default());
    let seen_account = inventory.seen_account();
    let process = Process::new(cluster.client.clone(), leadership.clone());
    let context = DriftContext::new(process.clone(), inventory, settings);
    let http = steps::http_client().map_err(|error| Error::Http(error.to_string()))?;
    let settings = saga::context::SagaSettings {
        namespaces: args.namespaces.clone(),
        settle: args.settle_time,
        poll: args.action_poll_interval,
    };
    let sagas = saga::context::SagaContext::new(process.clone(), cloud.clone(), http, settings);
    process.liveness.start();
    if let Some(address) = args.metrics_address {
        let api_server = cluster.clone().check_repeatedly(&vital.runtime);
        let health = Health { context: context.clone(), sagas: sagas.clone(), api_server };
        let metrics = Arc::new(metrics(&context, &sagas, cloud));
        let (live, ready, checks) = (health.clone(), health.clone(), health);
        let endpoints = Endpoints {
            live: Arc::new(move || live.not_live()),
            ready: Arc::new(move || ready.unready()),
            checks: Arc::new(move || checks.checks()),
            metrics,
        };
        http::serve(address, endpoints, &vital.runtime).await.map_err(|source| Error::Metrics { address, source })?;
    }
    let candidate = args.leader_elect.then(|| {
        let note = LeaseNote::new(annotations::ACCOUNT, seen_account);
        let candidate = Candidate::new(cluster.direct.clone(), &cluster.lease_namespace, leadership, note);
        let pulse = process.liveness.enter("the candidate for the lease", Duration::MAX);
        (vital.runtime.spawn(stand(candidate.clone(), pulse)), candidate)
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
    if timeout(PUBLISH, process.events.flush()).await.is_err() {
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
fn metrics(
    context: &Arc<DriftContext>,
    sagas: &Arc<saga::context::SagaContext>,
    cloud: digitalocean::Client,
) -> MetricsRegistry {
    let mut metrics = MetricsRegistry::default();
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
        saga::metrics::register_gauges(&census, sagas.queued(), Timestamp::now(), registry);
    });
    let runtime = Handle::current();
    metrics.add_gauges(move |registry| register_tasks(runtime.metrics().num_alive_tasks(), registry));
    metrics
}

/// Campaigns for the lease and holds it until it is lost, which ends the process. The pulse only shows a panic: each
/// request has a timeout.
async fn stand(candidate: Candidate, _pulse: Pulse) {
    leader::end(&candidate.stand().await)
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
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
