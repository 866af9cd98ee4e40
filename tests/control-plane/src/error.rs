//! What can go wrong between a test and its control plane, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no control plane, or why it did not do what was asked.
#[derive(thiserror::Error)]
pub enum Error {
    /// The servers were neither built nor pointed at.
    #[error(
        "no control plane ({missing} is not there): run `cargo xtask control-plane` once (needs Go), or set \
         KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or ARCADIA_TEST_KUBECONFIG to a \
         cluster's kubeconfig"
    )]
    NotPrepared {
        /// The first file that was looked for in vain.
        missing: PathBuf,
    },
    /// `KUBEBUILDER_ASSETS` is set, and incomplete.
    #[error("{missing} is not there: complete the folder that KUBEBUILDER_ASSETS names, or unset it")]
    AssetsIncomplete {
        /// The file that was looked for.
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
        /// The URL of the list of what can be downloaded.
        index: String,
        /// Why not.
        reason: String,
    },
    /// Helm or a GitOps engine was not built.
    #[error("no {program} ({missing} is not there): run `cargo xtask control-plane` once, which builds it (needs Go)")]
    NotBuilt {
        /// The program's name.
        program: &'static str,
        /// The file that was looked for.
        missing: PathBuf,
    },
    /// envtest's folders have no controller manager.
    #[error(
        "{missing} is not there: run `cargo xtask control-plane` once, which builds it (needs Go), or put one there"
    )]
    NoControllerManager {
        /// The file that was looked for.
        missing: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no cache folder for what tests run on: set HOME or XDG_CACHE_HOME")]
    NoCacheFolder,
    /// There is no Go toolchain to build with.
    #[error(
        "building what tests run on needs Go ({source}): install it from https://go.dev/dl; a control plane may also \
         come from KUBEBUILDER_ASSETS"
    )]
    NoGo {
        /// Why `go` could not be run.
        source: io::Error,
    },
    /// `go` ended with an error.
    #[error("`{command}` failed:\n{output}")]
    Build {
        /// The command as it was run.
        command: String,
        /// The end of what it said.
        output: String,
    },
    /// `go.mod` does not say which version to build.
    #[error("go.mod does not say `require {module}` at a version such as v1.37.2, on a line of its own")]
    Pins {
        /// The module.
        module: &'static str,
    },
    /// etcd did not store an object.
    #[error("storing {key} in etcd: {reason}")]
    Store {
        /// The key of the object.
        key: String,
        /// Why.
        reason: String,
    },
    /// A file, folder or process could not be had from the system.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make the control plane's certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A server ended although it should run.
    #[error("{server} ended at its start; the end of its log:\n{log}")]
    Ended {
        /// The server's name.
        server: &'static str,
        /// The last lines it wrote.
        log: String,
    },
    /// A server runs and does not become ready.
    #[error("{server} was not ready after {}; the end of its log:\n{log}", .after.as_secs())]
    NotReady {
        /// The server's name.
        server: &'static str,
        /// How long it was waited for.
        after: Duration,
        /// The last lines it wrote.
        log: String,
    },
    /// No port could be found that nobody listens on.
    #[error("no free port between 20000 and 30000 on 127.0.0.1")]
    NoPort,
    /// Starting and stopping servers is only possible for servers that were started here.
    #[error("cannot {doing}: ARCADIA_TEST_KUBECONFIG names a cluster that is not ours to stop and start; unset it")]
    NotOurs {
        /// What was asked for.
        doing: &'static str,
    },
    /// A kubeconfig could not be read.
    #[error("cannot use the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The API server refused something.
    #[error("cannot {doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// What the server or the client said.
        source: Box<kube::Error>,
    },
    /// kubectl ended with an error.
    #[error("`kubectl {arguments}` failed: {stderr}")]
    Kubectl {
        /// The arguments, separated by spaces.
        arguments: String,
        /// What it wrote to standard error.
        stderr: String,
    },
}

/// As its Display: a test's `unwrap` shows this, and it is there that what to do must be read.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Error {
    /// Turns the system's error into one that says what was being done.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source: Box::new(source) }
    }
}
