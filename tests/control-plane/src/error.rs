//! Errors of the control plane, with their remedies.

use std::{fmt, io, path::PathBuf, time::Duration};

/// The reason why a control plane is missing or an operation failed.
#[derive(thiserror::Error)]
pub enum Error {
    /// The servers were not built, and no environment variable points to them.
    #[error(
        "no control plane ({missing} is missing): run `cargo xtask control-plane` once (needs Go), or set \
         KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or ARCADIA_TEST_KUBECONFIG to a \
         cluster's kubeconfig"
    )]
    NotPrepared {
        /// The first missing file.
        missing: PathBuf,
    },
    /// `KUBEBUILDER_ASSETS` is set, but the folder is incomplete.
    #[error("{missing} is missing: complete the folder that KUBEBUILDER_ASSETS names, or unset it")]
    AssetsIncomplete {
        /// The missing file.
        missing: PathBuf,
    },
    /// The programs are of another Kubernetes release than the pinned one.
    #[error(
        "{folder} has Kubernetes {found:?}, and {wanted} is needed: point KUBEBUILDER_ASSETS to the folder that \
         `setup-envtest use {wanted}.x -p path` prints, or unset it"
    )]
    OtherRelease {
        /// The folder of the programs.
        folder: PathBuf,
        /// The version that the API server prints.
        found: String,
        /// The pinned minor release.
        wanted: String,
    },
    /// No prebuilt programs could be downloaded.
    #[error("downloading Kubernetes {release} from {index}: {reason}")]
    NoDownload {
        /// The minor release.
        release: String,
        /// The URL of the list of available downloads.
        index: String,
        /// The reason.
        reason: String,
    },
    /// Helm or a GitOps engine was not built.
    #[error("no {program} ({missing} is missing): run `cargo xtask control-plane` once, which builds it (needs Go)")]
    NotBuilt {
        /// The program's name.
        program: &'static str,
        /// The missing file.
        missing: PathBuf,
    },
    /// envtest's folders have no controller manager.
    #[error("{missing} is missing: run `cargo xtask control-plane` once, which builds it (needs Go), or put one there")]
    NoControllerManager {
        /// The missing file.
        missing: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no cache folder for the programs of tests: set HOME or XDG_CACHE_HOME")]
    NoCacheFolder,
    /// Go, which builds the programs, is missing.
    #[error(
        "building the programs of tests needs Go ({source}): install it from https://go.dev/dl; a control plane may also \
         come from KUBEBUILDER_ASSETS"
    )]
    NoGo {
        /// The reason why `go` could not run.
        source: io::Error,
    },
    /// `go` ended with an error.
    #[error("`{command}` failed:\n{output}")]
    Build {
        /// The full command.
        command: String,
        /// The end of its output.
        output: String,
    },
    /// `go.mod` does not contain the version to build.
    #[error("go.mod contains no line `require {module}` with a version such as v1.37.2")]
    Pins {
        /// The module.
        module: &'static str,
    },
    /// etcd did not store an object.
    #[error("storing {key} in etcd: {reason}")]
    Store {
        /// The key of the object.
        key: String,
        /// The reason.
        reason: String,
    },
    /// An operation on a file, folder or process failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// The operation.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
    /// A certificate or key could not be created.
    #[error("cannot make the control plane's certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A server ended unexpectedly.
    #[error("{server} ended at its start; the end of its log:\n{log}")]
    Ended {
        /// The server's name.
        server: &'static str,
        /// The last lines it wrote.
        log: String,
    },
    /// A server runs but does not become ready.
    #[error("{server} was not ready after {}; the end of its log:\n{log}", .after.as_secs())]
    NotReady {
        /// The server's name.
        server: &'static str,
        /// The length of the wait.
        after: Duration,
        /// The last lines it wrote.
        log: String,
    },
    /// No free port was found.
    #[error("no free port between 20000 and 30000 on 127.0.0.1")]
    NoPort,
    /// Only servers that were started here can be started and stopped.
    #[error("cannot {doing}: ARCADIA_TEST_KUBECONFIG names a cluster that is not ours to stop and start; unset it")]
    NotOurs {
        /// The operation.
        doing: &'static str,
    },
    /// A kubeconfig could not be read.
    #[error("cannot use the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The API server refused a request.
    #[error("cannot {doing}: {source}")]
    Api {
        /// The operation.
        doing: String,
        /// The error of the server or the client.
        source: Box<kube::Error>,
    },
    /// kubectl ended with an error.
    #[error("`kubectl {arguments}` failed: {stderr}")]
    Kubectl {
        /// The arguments, separated by spaces.
        arguments: String,
        /// Its standard error.
        stderr: String,
    },
}

/// Same as its Display: a test's `unwrap` shows this, and the remedy must be readable there.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Error {
    /// Adds the operation to the system's error.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source: Box::new(source) }
    }
}
