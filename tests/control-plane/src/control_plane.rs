//! A running control plane, and what a test needs of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use k8s_openapi::api::core::v1;
use kube::api::{Api, PostParams};
use tokio::sync::OnceCell;

use crate::folder::Folder;
use crate::servers::{self, Servers};
use crate::{Error, Kubectl, Namespace, Process, binaries, credentials, writes};

/// How to start a control plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// Start a kube-controller-manager too: owner references, namespace deletion and Jobs need it. On by default.
    pub controller_manager: bool,
    /// Log the requests that this audit policy selects; see [`ControlPlane::audit_log`].
    pub audit_policy: Option<String>,
    /// Further flags for kube-apiserver.
    pub api_server_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { controller_manager: true, audit_policy: None, api_server_flags: Vec::new() }
    }
}

/// A running control plane. Dropping it ends its servers and removes their folder; so does any end of this process.
#[derive(Debug)]
pub struct ControlPlane {
    kubectl: Kubectl,
    /// None on a cluster that was given.
    servers: Option<Servers>,
    /// After the servers, which write there.
    folder: Arc<Folder>,
}

impl ControlPlane {
    /// Starts a control plane on free loopback ports, or uses the cluster that `ARCADIA_TEST_KUBECONFIG` names.
    ///
    /// # Errors
    /// When the programs are not there (the message says what to do), or a server does not start (the message has
    /// the end of its log).
    pub async fn start(options: Options) -> Result<Self, Error> {
        let folder = Arc::new(Folder::create()?);
        if let Some(kubeconfig) = binaries::given_cluster() {
            let kubectl = binaries::find().map_or_else(|_| PathBuf::from("kubectl"), |binaries| binaries.kubectl);
            return Ok(Self { kubectl: Kubectl::new(&kubectl, &kubeconfig), servers: None, folder });
        }
        let binaries = binaries::find()?;
        let kubectl = binaries.kubectl.clone();
        let servers = Servers::start(binaries, Arc::clone(&folder), options).await?;
        let kubectl = Kubectl::new(&kubectl, &servers.kubeconfig());
        Ok(Self { kubectl, servers: Some(servers), folder })
    }

    /// The one control plane of this test binary, started on first use and shared by its tests.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn shared() -> Result<&'static Self, Error> {
        // Never dropped; its servers end with the process as they would after a kill.
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// The folder of data, keys and logs, removed at the end. None of it is a given cluster's.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The audit log, a line of JSON for each request that [`Options::audit_policy`] selects. A request is logged before
    /// it is answered. None without a policy, and on a given cluster.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.servers.as_ref()?.audit_log()
    }

    /// A new client with the administrator's rights. Each test needs its own, since a client lives on the runtime
    /// that made it.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        credentials::client(self.kubeconfig()).await
    }

    /// kubectl with the administrator's rights.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl.clone()
    }

    /// Creates a namespace that no other test has.
    ///
    /// # Errors
    /// When the API server refuses, for instance because the prefix is no DNS label.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace, Error> {
        let name = format!("{prefix}-{:08x}", rand::random::<u32>());
        let mut namespace = v1::Namespace::default();
        namespace.metadata.name = Some(name.clone());
        let namespaces = Api::<v1::Namespace>::all(self.client().await?);
        let created = namespaces.create(&PostParams::default(), &namespace).await;
        created.map_err(Error::api(format!("create namespace {name}")))?;

        let kubeconfig = self.folder.path().join(format!("{name}.kubeconfig"));
        credentials::write_kubeconfig_in(&name, self.kubeconfig(), &kubeconfig)?;
        let kubectl = Kubectl::new(self.kubectl.program(), &kubeconfig);
        Ok(Namespace { name, kubectl, kubeconfig, delete_on_drop: self.servers.is_none() })
    }

    /// Starts a program whose log is `NAME.log` in [`Self::folder`], and which ends before that folder does: drop it
    /// before this control plane.
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn(&self, command: &Command, name: &str) -> Result<Process, Error> {
        Process::spawn_in(&self.folder, command, name)
    }

    /// Stores a custom resource in etcd as it is, with its UID and its status: as if it had been there for long.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster; [`Error::Store`] when etcd refuses.
    pub async fn store(&self, plural: &str, object: &serde_json::Value) -> Result<(), Error> {
        self.servers("store objects in etcd")?.store(plural, object).await
    }

    /// How often the API server was asked to write since it started, by `VERB resource` (`POST drifts`,
    /// `PATCH drifts/status`), refused requests included: group `arcadia.cloud`, events and leases.
    ///
    /// The counts are the whole server's. A test that asserts on them should not share it with others.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn write_counts(&self) -> Result<BTreeMap<String, u64>, Error> {
        let metrics = servers::get(&self.client().await?, "/metrics").await;
        metrics.map(|metrics| writes::counts(&metrics)).map_err(Error::api("read the API server's metrics"))
    }

    /// The process ids of the servers, for those who want to know what they use. None of a given cluster.
    pub async fn processes(&self) -> Vec<u32> {
        match &self.servers {
            Some(servers) => servers.processes().await,
            None => Vec::new(),
        }
    }

    /// Kills the API server and starts it again on the same port and the same data.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster; otherwise as [`Self::start`].
    pub async fn restart_api_server(&self) -> Result<(), Error> {
        self.stop_api_server().await?;
        self.start_api_server().await
    }

    /// Kills the API server; etcd keeps its data.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster.
    pub async fn stop_api_server(&self) -> Result<(), Error> {
        self.servers("stop the API server")?.stop_api_server().await;
        Ok(())
    }

    /// Starts the API server that [`Self::stop_api_server`] killed, and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster; otherwise as [`Self::start`].
    pub async fn start_api_server(&self) -> Result<(), Error> {
        self.servers("start the API server")?.start_api_server().await
    }

    /// Kills the controller manager and starts it again.
    ///
    /// Its garbage collector looks for new kinds of objects only every 30 seconds: a test that waits for the garbage
    /// collection of a kind whose definition it has just created is quicker with a restart between.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster; [`Error::NoControllerManager`] when it is not installed.
    pub async fn restart_controller_manager(&self) -> Result<(), Error> {
        self.servers("restart the controller manager")?.start_controller_manager().await
    }

    fn servers(&self, doing: &'static str) -> Result<&Servers, Error> {
        self.servers.as_ref().ok_or(Error::NotOurs { doing })
    }
}
