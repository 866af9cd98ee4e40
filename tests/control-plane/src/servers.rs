//! Starts, stops and restarts etcd, kube-apiserver and kube-controller-manager.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::{
    Error, Options, Process,
    binaries::Binaries,
    credentials::{self, Credentials},
    folder::Folder,
    port, store,
};

/// Generous, since a machine with two cores may run several control planes at the same time.
const READY_WITHIN: Duration = Duration::from_mins(2);

const AUDIT_POLICY: &str = "audit-policy.yaml";

/// The controllers that work without nodes and that a chart, an owner reference or a Job may need.
const CONTROLLERS: [&str; 16] = [
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "job-controller",
    "cronjob-controller",
    "ttl-after-finished-controller",
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "disruption-controller",
    "endpointslice-controller",
    "resourcequota-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
];

/// The servers of a control plane that was started here.
#[derive(Debug)]
pub(crate) struct Servers {
    binaries: Binaries,
    options: Options,
    credentials: Credentials,
    /// Before the folder: a server must not wait for the removal of the folder.
    running: Mutex<Running>,
    folder: Arc<Folder>,
}

/// In the order in which they end: each client before its server.
#[derive(Debug)]
struct Running {
    controller_manager: Option<Process>,
    api_server: Option<Process>,
    /// Kept over restarts, so that kubeconfigs stay valid.
    port: u16,
    etcd: Process,
}

impl Servers {
    pub(crate) async fn start(binaries: Binaries, folder: Arc<Folder>, options: Options) -> Result<Self, Error> {
        if options.controller_manager {
            binaries.controller_manager()?;
        }
        let credentials = Credentials::create(folder.path())?;
        if let Some(policy) = &options.audit_policy {
            let file = folder.path().join(AUDIT_POLICY);
            fs::write(&file, policy).map_err(Error::system(format!("write {}", file.display())))?;
        }
        let etcd = start_etcd(&binaries, &folder)?;
        let running = Mutex::new(Running { controller_manager: None, api_server: None, port: port::free()?, etcd });
        let servers = Self { binaries, options, credentials, running, folder };
        servers.start_api_server_on_a_free_port().await?;
        if servers.options.controller_manager {
            servers.start_controller_manager().await?;
        }
        Ok(servers)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn audit_log(&self) -> Option<PathBuf> {
        self.options.audit_policy.as_ref().map(|_| self.folder.path().join("audit.log"))
    }

    pub(crate) async fn processes(&self) -> Vec<u32> {
        let running = self.running.lock().await;
        let optional = running.controller_manager.iter().chain(&running.api_server);
        optional.chain([&running.etcd]).map(Process::id).collect()
    }

    pub(crate) async fn store(&self, plural: &str, object: &serde_json::Value) -> Result<(), Error> {
        store::put(&socket(&self.folder, "etcd"), plural, object).await
    }

    pub(crate) async fn stop_api_server(&self) {
        self.running.lock().await.api_server = None;
    }

    pub(crate) async fn start_api_server(&self) -> Result<(), Error> {
        let mut running = self.running.lock().await;
        running.api_server = None;
        let api_server = Process::spawn_in(&self.folder, &self.api_server(running.port), "kube-apiserver")?;
        let api_server = running.api_server.insert(api_server);
        wait_until_ready(&self.kubeconfig(), api_server, READY_WITHIN).await
    }

    pub(crate) async fn start_controller_manager(&self) -> Result<(), Error> {
        let mut running = self.running.lock().await;
        running.controller_manager = None;
        let command = self.controller_manager()?;
        running.controller_manager = Some(Process::spawn_in(&self.folder, &command, "kube-controller-manager")?);
        Ok(())
    }

    /// Another process may take the port between the search and the bind: then the next port is tried.
    async fn start_api_server_on_a_free_port(&self) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            let port = self.running.lock().await.port;
            self.credentials.write_kubeconfig(&self.kubeconfig(), port)?;
            let started = self.start_api_server().await;
            attempts += 1;
            match started {
                Err(Error::Ended { log, .. }) if log.contains("address already in use") && attempts < 5 => {
                    self.running.lock().await.port = port::free()?;
                }
                started => return started.map_err(|error| self.blame_etcd(error)),
            }
        }
    }

    /// Blames etcd if it has ended: an API server then waits until its timeout.
    fn blame_etcd(&self, error: Error) -> Error {
        let Ok(mut running) = self.running.try_lock() else { return error };
        match running.etcd.ended() {
            Some(_) => ended("etcd", &running.etcd),
            None => error,
        }
    }

    fn api_server(&self, port: u16) -> Command {
        let Credentials { server_certificate, server_key, tokens, .. } = &self.credentials;
        let Credentials { service_account_key, service_account_public_key, .. } = &self.credentials;
        let mut command = Command::new(&self.binaries.kube_apiserver);
        flag(&mut command, "etcd-servers", unix(&socket(&self.folder, "etcd")));
        flag(&mut command, "bind-address", Ipv4Addr::LOCALHOST);
        flag(&mut command, "secure-port", port);
        flag(&mut command, "tls-cert-file", server_certificate.display());
        flag(&mut command, "tls-private-key-file", server_key.display());
        flag(&mut command, "cert-dir", self.folder.path().display());
        flag(&mut command, "token-auth-file", tokens.display());
        flag(&mut command, "authorization-mode", "RBAC");
        flag(&mut command, "service-cluster-ip-range", "10.0.0.0/24");
        flag(&mut command, "service-account-issuer", "https://kubernetes.default.svc");
        flag(&mut command, "service-account-key-file", service_account_public_key.display());
        flag(&mut command, "service-account-signing-key-file", service_account_key.display());
        if let Some(log) = self.audit_log() {
            flag(&mut command, "audit-policy-file", self.folder.path().join(AUDIT_POLICY).display());
            flag(&mut command, "audit-log-path", log.display());
            flag(&mut command, "audit-log-mode", "blocking");
        }
        command.args(&self.options.api_server_flags);
        command
    }

    fn controller_manager(&self) -> Result<Command, Error> {
        let mut command = Command::new(self.binaries.controller_manager()?);
        flag(&mut command, "kubeconfig", self.kubeconfig().display());
        flag(&mut command, "controllers", CONTROLLERS.join(","));
        flag(&mut command, "leader-elect", false);
        flag(&mut command, "secure-port", 0);
        flag(&mut command, "root-ca-file", self.credentials.authority.display());
        flag(&mut command, "service-account-private-key-file", self.credentials.service_account_key.display());
        Ok(command)
    }
}

/// The body of a GET of `path`.
pub(crate) async fn get(client: &kube::Client, path: &str) -> Result<String, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

fn start_etcd(binaries: &Binaries, folder: &Folder) -> Result<Process, Error> {
    // Sockets in a private folder: no port conflicts, and no other user can access the store.
    let (clients, peers) = (unix(&socket(folder, "etcd")), unix(&socket(folder, "etcd-peers")));
    let mut command = Command::new(&binaries.etcd);
    flag(&mut command, "data-dir", folder.path().join("etcd-data").display());
    flag(&mut command, "unsafe-no-fsync", true);
    flag(&mut command, "listen-client-urls", &clients);
    flag(&mut command, "advertise-client-urls", &clients);
    flag(&mut command, "listen-peer-urls", &peers);
    flag(&mut command, "initial-advertise-peer-urls", &peers);
    flag(&mut command, "initial-cluster", format!("default={peers}"));
    Process::spawn_in(folder, &command, "etcd")
}

fn socket(folder: &Folder, name: &str) -> PathBuf {
    folder.path().join(format!("{name}.sock"))
}

fn unix(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

fn flag(command: &mut Command, name: &str, value: impl std::fmt::Display) {
    command.arg(format!("--{name}={value}"));
}

async fn wait_until_ready(kubeconfig: &Path, api_server: &mut Process, patience: Duration) -> Result<(), Error> {
    let mut config = credentials::client_config(kubeconfig).await?;
    // The client's own retries would hide for minutes that the server has ended.
    config.default_retry = false;
    let client = kube::Client::try_from(config).map_err(Error::api("make a client"))?;
    let started = Instant::now();
    loop {
        let ready = timeout(Duration::from_secs(5), get(&client, "/readyz")).await;
        if matches!(ready, Ok(Ok(_))) {
            return Ok(());
        }
        if api_server.ended().is_some() {
            return Err(ended("kube-apiserver", api_server));
        }
        if started.elapsed() > patience {
            return Err(Error::NotReady { server: "kube-apiserver", after: patience, log: api_server.log_tail(20) });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn ended(server: &'static str, process: &Process) -> Error {
    Error::Ended { server, log: process.log_tail(20) }
}
