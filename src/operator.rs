//! The operator as a whole: makes sure that it can work, then runs until it is told to stop.

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, Config, api::ListParams};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::{
    api::{Drift, ProvisionedResource},
    config::{ConfigError, RunArgs},
    digitalocean::{self, Inventory},
    drift::controller::{self, Context, Settings},
    kube_ext::call::{self, bounded},
    telemetry::{http, logs, metrics::Metrics},
};

/// Why the operator cannot work, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or the environment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cloud's client.
    #[error(transparent)]
    DigitalOcean(#[from] digitalocean::Error),
    /// No cluster.
    #[error("no Kubernetes cluster: {0}; set KUBECONFIG, or run in a cluster")]
    NoCluster(String),
    /// It does not answer.
    #[error("the Kubernetes API server at {server} does not answer: {source}; is it up, and KUBECONFIG right?")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        source: call::Error,
    },
    /// The CRDs are not there.
    #[error(
        "the cluster has no {0}: apply the definitions with: arcadia-operator crds | kubectl apply --server-side -f -"
    )]
    NoDefinition(&'static str),
    /// The address for metrics.
    #[error("--metrics-address: {0}")]
    Metrics(std::io::Error),
    /// Signals.
    #[error("listening for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin to work.
pub async fn run(args: RunArgs) -> Result<(), Error> {
    // Both clients speak TLS; the provider is chosen once for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings {
        namespaces: args.namespaces.clone(),
        sync: args.sync_schedule.clone(),
        detect: args.detect_schedule.clone(),
        max_age: args.max_age()?,
        history: usize::from(args.drift_history_limit),
    };
    let cloud = digitalocean::Client::new(args.digitalocean()?)?;
    let client = connect(&settings.namespaces).await?;
    // Not before: what keeps it from starting is one line, said by main.
    logs::start(args.log_format);
    info!(version = env!("CARGO_PKG_VERSION"), sync = %settings.sync, max_age = ?settings.max_age, "arcadia-operator starts");

    let inventory = Inventory::new(cloud.clone(), digitalocean::Settings::default());
    let context = Context::new(client, inventory, Metrics::default(), settings);
    if let Some(address) = args.metrics_address {
        let usage = Arc::new(move || cloud.usage());
        http::serve(address, http::Health { context: context.clone(), usage }).await.map_err(Error::Metrics)?;
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;
    tokio::select! {
        () = controller::run(context) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Every write stands for itself and the next start goes on from the objects: there is nothing to put away.
    info!("arcadia-operator stops");
    Ok(())
}

/// A client of a cluster that answers and has the definitions.
async fn connect(namespaces: &[String]) -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(|error| Error::NoCluster(error.to_string()))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| Error::NoCluster(error.to_string()))?;
    let namespace = namespaces.first().map(String::as_str);
    check(&client, namespace, &server, "ProvisionedResource", api_of::<ProvisionedResource>).await?;
    check(&client, namespace, &server, "Drift", api_of::<Drift>).await?;
    Ok(client)
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
    let doing = format!("listing {kind}s");
    let first = ListParams::default().limit(1);
    match bounded(&doing, api(client, namespace).list_metadata(&first)).await {
        Ok(_) => Ok(()),
        Err(call::Error::NotFound { .. }) => Err(Error::NoDefinition(kind)),
        Err(source) => Err(Error::Unreachable { server: server.to_owned(), source }),
    }
}
