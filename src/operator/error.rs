//! The reasons why the operator cannot work.

use crate::{config::ConfigError, digitalocean, kube_ext::call};

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
    #[error("--metrics-address {address}: {source}; use an address of this machine and a free port")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The client for calls to the users' own services cannot be created.
    #[error("creating the HTTP client: {0}")]
    Http(String),
    /// The thread of the lease cannot be started, or its work panicked.
    #[error("running the thread of the lease: {0}")]
    Thread(std::io::Error),
    /// Signal handlers cannot be installed.
    #[error("listening for signals: {0}")]
    Signal(std::io::Error),
}
