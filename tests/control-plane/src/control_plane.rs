//! A running control plane for tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use k8s_openapi::api::core::v1;
use kube::api::{Api, PostParams};
use tokio::sync::OnceCell;

use crate::{
    Error, Kubectl, Namespace, Process, binaries, credentials,
    folder::Folder,
    metrics,
    options::Options,
    servers::{self, Servers},
};

/// A running control plane. Dropping it, or any end of this process, stops its servers and removes their folder.
#[derive(Debug)]
pub struct ControlPlane {
    kubectl: Kubectl,
    /// None on a cluster that this process did not start.
    servers: Option<Servers>,
    /// Dropped after the servers, which write to it.
    folder: Arc<Folder>,
}

impl ControlPlane {
    /// Starts a control plane on free loopback ports, or uses the cluster that `ARCADIA_TEST_KUBECONFIG` names.
    ///
    /// # Errors
    /// If the programs are missing (the message names the remedy), or a server does not start (the message contains the
    /// end of its log).
    pub async fn start(options: Options) -> Result<Self, Error> {
        if let Some(kubeconfig) = binaries::given_cluster() {
            return Self::of(&kubeconfig);
        }
        let folder = Arc::new(Folder::create()?);
        let binaries = binaries::find()?;
        let kubectl = binaries.kubectl.clone();
        let servers = Servers::start(binaries, Arc::clone(&folder), options).await?;
        let kubectl = Kubectl::new(&kubectl, &servers.kubeconfig());
        Ok(Self { kubectl, servers: Some(servers), folder })
    }

    /// A control plane that another process started.
    fn of(kubeconfig: &Path) -> Result<Self, Error> {
        let kubectl = binaries::find().map_or_else(|_| PathBuf::from("kubectl"), |binaries| binaries.kubectl);
        let folder = Arc::new(Folder::create()?);
        Ok(Self { kubectl: Kubectl::new(&kubectl, kubeconfig), servers: None, folder })
    }

    /// The one control plane that tests share. [`SHARED`](crate::SHARED) names it; otherwise each test binary starts one
    /// on first use.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn shared() -> Result<&'static Self, Error> {
        // Never dropped; its servers end with the process, as after a kill.
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                match binaries::shared_cluster() {
                    Some(kubeconfig) if binaries::given_cluster().is_none() => Self::of(&kubeconfig),
                    _ => Self::start(Options::default()).await,
                }
            })
            .await
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// The folder of data, keys and logs, which is removed at the end. On a cluster that another process
    /// started it contains none of its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The audit log, a line of JSON for each request that [`Options::audit_policy`] selects. A request is logged
    /// before its response. None without a policy, and on a given cluster.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.servers.as_ref()?.audit_log()
    }

    /// Returns a new client with the administrator's rights. Each test needs its own, since a client is bound to the
    /// runtime that created it.
    ///
    /// # Errors
    /// If the kubeconfig is invalid.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        credentials::client(self.kubeconfig()).await
    }

    /// Returns kubectl with the administrator's rights.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl.clone()
    }

    /// Creates a namespace with a unique name.
    ///
    /// # Errors
    /// If the API server refuses it, for instance because the prefix is no DNS label.
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
        Ok(Namespace { name, kubectl, kubeconfig, delete_on_drop: binaries::given_cluster().is_some() })
    }

    /// Starts a program whose log is `NAME.log` in [`Self::folder`]. Drop it before this control plane: it must end
    /// before the folder is removed.
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn(&self, command: &Command, name: &str) -> Result<Process, Error> {
        Process::spawn_in(&self.folder, command, name)
    }

    /// Stores a custom resource in etcd unchanged, with its UID and its status, as if an earlier version had stored it.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster; [`Error::Store`] if etcd refuses it.
    pub async fn store(&self, plural: &str, object: &serde_json::Value) -> Result<(), Error> {
        self.servers("store objects in etcd")?.store(plural, object).await
    }

    /// Returns the counts of writes to the API server since its start, by `VERB resource` (`POST drifts`, `PATCH
    /// drifts/status`), including refused ones: group `arcadia.cloud`, events and leases.
    ///
    /// The counts include all clients of the server. A test that asserts on them needs its own server.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub async fn write_counts(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.metrics().await.map(|metrics| metrics::write_counts(&metrics))
    }

    /// Collects the garbage of the API server, and returns the bytes that it still uses, if it says so.
    ///
    /// # Errors
    /// If the server does not serve its profiles, or the metrics cannot be read.
    pub async fn live_heap_bytes(&self) -> Result<Option<u64>, Error> {
        let profile = servers::get(&self.client().await?, "/debug/pprof/heap?gc=1&debug=1").await;
        profile.map_err(Error::api("collect the API server's garbage"))?;
        self.metrics().await.map(|metrics| metrics::heap_bytes(&metrics))
    }

    async fn metrics(&self) -> Result<String, Error> {
        let metrics = servers::get(&self.client().await?, "/metrics").await;
        metrics.map_err(Error::api("read the API server's metrics"))
    }

    /// The process ids of the servers, to measure them. Empty on a given cluster.
    pub async fn processes(&self) -> Vec<u32> {
        match &self.servers {
            Some(servers) => servers.processes().await,
            None => Vec::new(),
        }
    }

    /// Kills the API server and starts it again on the same port with the same data.
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
    /// Its garbage collector discovers new kinds only every 30 seconds. A restart shortens a test that waits for the
    /// garbage collection of a kind whose definition it has just created.
    ///
    /// # Errors
    /// [`Error::NotOurs`] on a given cluster; [`Error::NoControllerManager`] if it is not installed.
    pub async fn restart_controller_manager(&self) -> Result<(), Error> {
        self.servers("restart the controller manager")?.start_controller_manager().await
    }

    fn servers(&self, doing: &'static str) -> Result<&Servers, Error> {
        self.servers.as_ref().ok_or(Error::NotOurs { doing })
    }
}
