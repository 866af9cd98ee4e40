//! The setup of every test: a namespace, a cloud with one droplet, and an operator that watches both.

#[path = "account.rs"]
mod account;
#[path = "../support/eventually.rs"]
pub(crate) mod eventually;
#[path = "leaks.rs"]
mod leaks;
#[path = "../support/objects.rs"]
mod objects;
#[path = "operator.rs"]
mod operator;

use std::{collections::BTreeSet, process::Command, time::Instant};

use arcadia_operator::{api, manifests::Installation};
use control_plane::{ControlPlane, Kubectl, Namespace, Process};
use digitalocean_simulator::{Control, Options, RateLimits, Simulator};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use leaks::Tokens;
use objects::Objects;

pub(crate) use account::Credential;
pub(crate) use eventually::eventually;
pub(crate) use operator::Operator;

/// The droplet that exists in every cloud.
pub(crate) const DROPLET: &str = "3164444";
/// The token that no output may contain.
pub(crate) const TOKEN: &str = "dop_v1_never_to_be_printed";

/// The default arguments of an operator.
const UNLESS_SAID: [[&str; 2]; 7] = [
    ["--sync-schedule", "1s"],
    ["--requests-per-minute", "100000"],
    ["--requests-per-hour", "1000000"],
    ["--inventory-max-age", "10m"],
    ["--metrics-address", "127.0.0.1:0"],
    ["--settle-time", "4s"],
    ["--action-poll-interval", "200ms"],
];

/// A namespace, a cloud and an operator.
pub(crate) struct World {
    pub namespace: Namespace,
    pub cloud: Control,
    pub operator: Option<Operator>,
    pub installation: Installation,
    /// True if the API server restarts: it then refuses requests for a moment, until it knows the roles.
    pub api_server_restarts: bool,
    /// True if a test makes the operator panic.
    pub panics: bool,
    folder: tempfile::TempDir,
    objects: Objects,
    /// The credentials of the operator's account; the operator uses the first.
    credentials: Vec<Credential>,
    simulator: Simulator,
    arguments: Vec<String>,
    /// The environment of the operator, such as shorter limits.
    pub environment: Vec<(&'static str, &'static str)>,
    starts: usize,
}

impl World {
    /// Starts with an operator that sweeps every second.
    pub(crate) async fn new(test: &str) -> Self {
        Self::with(test, &[]).await
    }

    /// Starts with additional arguments of the operator.
    pub(crate) async fn with(test: &str, arguments: &[&str]) -> Self {
        let mut world = Self::without_operator(test, RateLimits::HIGH).await;
        world.start_operator(arguments);
        world
    }

    /// Starts with a cloud that counts calls, and without an operator.
    pub(crate) async fn without_operator(test: &str, rate_limits: RateLimits) -> Self {
        let control_plane = control_plane().await;
        Self::on(control_plane, test, rate_limits).await
    }

    /// Starts on a separate control plane.
    pub(crate) async fn on(control_plane: &ControlPlane, test: &str, rate_limits: RateLimits) -> Self {
        let namespace = control_plane.namespace(test).await.unwrap();
        let installation = Installation::namespaced(api::OPERATOR, namespace.name());
        Self::installed(control_plane, namespace, installation, rate_limits).await
    }

    /// Starts with an operator that is installed like this and has exactly the rights of its roles.
    pub(crate) async fn installed(
        control_plane: &ControlPlane,
        namespace: Namespace,
        installation: Installation,
        rate_limits: RateLimits,
    ) -> Self {
        account::grant_access(control_plane, &installation).await;
        let folder = tempfile::tempdir().unwrap();
        let credential = Credential::issue(&namespace, &installation, &folder.path().join("kubeconfig")).await;
        let options = Options { token: Some(TOKEN.to_owned()), rate_limits, action_seconds: 0.2, ..Options::default() };
        let simulator = Simulator::start(options).await.unwrap();
        let cloud = simulator.control();
        cloud.put("droplets", droplet(DROPLET, "web-1")).await.unwrap();
        let objects = Objects::new(namespace.client().await.unwrap(), namespace.name());
        Self {
            namespace,
            cloud,
            operator: None,
            api_server_restarts: false,
            panics: false,
            installation,
            folder,
            objects,
            credentials: vec![credential],
            simulator,
            arguments: Vec::new(),
            environment: Vec::new(),
            starts: 0,
        }
    }

    /// Issues one more credential of the operator's account.
    pub(crate) async fn credential(&mut self) -> Credential {
        let kubeconfig = self.folder.path().join(format!("kubeconfig-{}", self.credentials.len()));
        let credential = Credential::issue(&self.namespace, &self.installation, &kubeconfig).await;
        self.credentials.push(credential.clone());
        credential
    }

    pub(crate) fn start_operator(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.restart_operator();
    }

    /// Starts the operator again with the same arguments.
    pub(crate) fn restart_operator(&mut self) {
        self.operator = None;
        self.release_lease();
        self.operator = Some(self.spawn_operator(&[], &[]));
    }

    /// Deletes the lease of a killed operator. A new operator would wait for its expiry, since it cannot know that the
    /// last one has ended.
    pub(crate) fn release_lease(&self) {
        if self.starts == 0 {
            return;
        }
        let mut delete = Command::new(self.kubectl().program());
        let namespace = &self.installation.namespace;
        delete.args(["delete", "lease", "arcadia-operator", "--ignore-not-found", "-n", namespace]);
        assert!(delete.env("KUBECONFIG", self.namespace.kubeconfig()).status().unwrap().success());
    }

    /// Starts one more operator with the same and additional arguments.
    pub(crate) fn spawn_operator(&mut self, arguments: &[&str], environment: &[(&str, &str)]) -> Operator {
        self.starts += 1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_arcadia-operator"));
        command.arg("run");
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        for [flag, value] in UNLESS_SAID.iter().filter(|[flag, _]| !arguments.contains(flag)) {
            command.args([flag, value]);
        }
        for namespace in &self.installation.watched {
            command.args(["--namespace", namespace]);
        }
        command.args(["--lease-namespace", &self.installation.namespace]).args(arguments);
        command
            .env("KUBECONFIG", &self.credentials[0].kubeconfig)
            .env("DIGITALOCEAN_API_URL", self.simulator.url())
            .env("DIGITALOCEAN_TOKEN", TOKEN)
            .env("RUST_LOG", "arcadia_operator=debug,warn")
            .envs(self.environment.iter().chain(environment).copied());
        let log = self.folder.path().join(format!("operator-{}.log", self.starts));
        Operator::new(Process::spawn(&command, &log).unwrap(), self.tokens())
    }

    pub(crate) fn kill_operator(&mut self) {
        self.operator.take().unwrap().kill();
    }

    /// The address of the cloud.
    #[allow(dead_code, reason = "the tests of kubectl arcadia need it")]
    pub(crate) fn cloud_url(&self) -> String {
        self.simulator.url()
    }

    /// The kubeconfig of the operator's account.
    #[allow(dead_code, reason = "the tests of kubectl arcadia need it")]
    pub(crate) fn credential_file(&self) -> std::path::PathBuf {
        self.credentials[0].kubeconfig.clone()
    }

    pub(crate) fn kubectl(&self) -> Kubectl {
        self.namespace.kubectl()
    }

    /// Runs kubectl in the test's namespace, and returns its output without the last line break.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        self.kubectl()
            .run(arguments)
            .await
            .unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
            .trim_end()
            .to_owned()
    }

    /// The message of kubectl when a manifest is refused.
    pub(crate) async fn refused(&self, manifest: &str) -> String {
        match self.kubectl().apply(manifest).await {
            Ok(output) => panic!("should have been refused: {output}"),
            Err(error) => error.to_string(),
        }
    }

    /// Records the droplet by hand: no manifest declares its fields.
    pub(crate) async fn record(&self, name: &str, desired: Value) {
        self.record_as(name, "Droplet", DROPLET, desired, json!({})).await;
    }

    pub(crate) async fn record_as(&self, name: &str, kind: &str, id: &str, desired: Value, more: Value) {
        self.objects.create_or_replace("pr", name, &manifest(name, kind, id, &desired, &more)).await;
    }

    /// Applies a manifest of the droplet's record, as a pipeline does repeatedly.
    pub(crate) async fn declare(&self, name: &str, desired: Value) {
        self.kubectl().apply(&manifest(name, "Droplet", DROPLET, &desired, &json!({}))).await.unwrap();
    }

    /// An object such as `pr/web-1`.
    pub(crate) async fn get(&self, object: &str) -> Value {
        self.objects.get(object).await.unwrap_or_else(|error| panic!("{object}: {error}"))
    }

    /// The objects of a resource such as `drifts`.
    pub(crate) async fn list(&self, resource: &str) -> Vec<Value> {
        objects::items(self.get(resource).await)
    }

    /// A value of an object, by the `JSONPath` of kubectl.
    pub(crate) async fn value(&self, object: &str, path: &str) -> String {
        objects::print(&self.get(object).await, path).trim_end().to_owned()
    }

    /// One condition of an object: status and reason.
    pub(crate) async fn condition(&self, object: &str, kind: &str) -> String {
        condition(&self.get(object).await, kind)
    }

    /// The message of a condition.
    pub(crate) async fn message(&self, object: &str, kind: &str) -> String {
        self.value(object, &format!("{{.status.conditions[?(@.type==\"{kind}\")].message}}")).await
    }

    /// The drifts, oldest first: field, expected, actual now, phase.
    pub(crate) async fn drifts(&self) -> Vec<[String; 4]> {
        let mut drifts = self.list("drifts").await;
        drifts.sort_by_key(|drift| (drift["spec"]["field"].to_string(), drift["spec"]["episode"].as_i64()));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        drifts
            .iter()
            .map(|drift| {
                let actual = if drift["status"]["actual"].is_string() {
                    &drift["status"]["actual"]
                } else {
                    &drift["spec"]["actual"]
                };
                [
                    text(&drift["spec"]["field"]),
                    text(&drift["spec"]["expected"]),
                    text(actual),
                    text(&drift["status"]["phase"]),
                ]
            })
            .collect()
    }

    /// The name of the one open drift.
    pub(crate) async fn open_drift(&self) -> String {
        let names = eventually("one open drift", || async {
            let names = self.value("drifts", "{.items[?(@.status.phase=='Open')].metadata.name}").await;
            (!names.is_empty() && !names.contains(' ')).then_some(names).ok_or("none, or more than one")
        });
        names.await
    }

    /// Reasons and notes of the events on a record, oldest first.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.objects.events(&format!("involvedObject.name={name}")).await.unwrap();
        events.sort_by_key(|event| event["metadata"]["name"].to_string());
        events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// Requests a sync and waits until it is complete and processed.
    pub(crate) async fn sync(&self, name: &str) {
        let request = format!("{:?}", Instant::now());
        let annotation = format!("arcadia.cloud/sync-requested-at={request}");
        self.run(&["annotate", "pr", name, "--overwrite", &annotation]).await;
        eventually("the requested sync", || async {
            let handled = self.value(&format!("pr/{name}"), "{.status.lastHandledSyncAt}").await;
            if handled == request { Ok(()) } else { Err(handled) }
        })
        .await;
    }

    /// Waits until a condition has this status and reason.
    pub(crate) async fn reaches(&self, object: &str, kind: &str, wanted: &str) {
        eventually(&format!("{object} {kind} {wanted}"), || async {
            let is = match self.objects.get(object).await {
                Ok(object) => condition(&object, kind),
                // A pipeline may be about to create it.
                Err(kube::Error::Api(status)) if status.is_not_found() => "it does not exist".to_owned(),
                Err(error) => panic!("{object}: {error}"),
            };
            if is == wanted { Ok(()) } else { Err(is) }
        })
        .await;
    }

    /// Waits until a value of an object is this.
    pub(crate) async fn shows(&self, object: &str, path: &str, wanted: &str) {
        eventually(&format!("{object} {path} {wanted}"), || async {
            let is = self.value(object, path).await;
            if is == wanted { Ok(()) } else { Err(is) }
        })
        .await;
    }

    /// Waits until the events on an object have this reason among them.
    pub(crate) async fn has_event(&self, name: &str, reason: &str) {
        eventually(&format!("event {reason} on {name}"), || async {
            let events = self.events(name).await;
            if events.iter().any(|is| is == reason) { Ok(()) } else { Err(events) }
        })
        .await;
    }

    /// Waits until the drifts are these.
    pub(crate) async fn has_drifts(&self, wanted: &[[&str; 4]]) {
        eventually(&format!("drifts {wanted:?}"), || async {
            let is = self.drifts().await;
            if is == wanted { Ok(()) } else { Err(is) }
        })
        .await;
    }

    /// The tokens that no output may contain.
    fn tokens(&self) -> Tokens {
        let credentials = self.credentials.iter().map(|credential| credential.token.clone());
        Tokens(credentials.chain([TOKEN.to_owned()]).collect())
    }

    /// All objects that the operator may have written to the API server.
    pub(crate) fn objects(&self) -> String {
        let own = [self.namespace.name(), &self.installation.namespace];
        let watched = self.installation.watched.iter().map(String::as_str);
        leaks::objects(&self.namespace, &own.into_iter().chain(watched).collect::<BTreeSet<_>>())
    }

    /// The operator's log since its first start.
    pub(crate) fn log(&self) -> String {
        let logs = (1..=self.starts).map(|start| self.folder.path().join(format!("operator-{start}.log")));
        logs.map(|log| std::fs::read_to_string(log).unwrap_or_default()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let log = self.log();
        if std::thread::panicking() {
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("the operator's log ends:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        } else {
            self.tokens().are_not_in("the log", &log);
            self.tokens().are_not_in("an object", &self.objects());
            let is_refused = log.contains("is forbidden: User");
            assert!(!is_refused || self.api_server_restarts, "the operator lacks a right:\n{log}");
            assert_eq!(log.contains("panicked"), self.panics, "the operator panicked:\n{log}");
        }
    }
}

/// The control plane that the tests of this binary share, with the definitions applied.
pub(crate) async fn control_plane() -> &'static ControlPlane {
    static READY: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    READY.get_or_init(|| install(control_plane)).await;
    control_plane
}

/// Applies the definitions and waits until they are served.
pub(crate) async fn install(control_plane: &ControlPlane) {
    let kubectl = control_plane.kubectl();
    kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &api::crds_as_yaml().unwrap()).await.unwrap();
    let crds = ["provisionedresources", "drifts", "sagas"].map(|plural| format!("crd/{plural}.arcadia.cloud"));
    kubectl.run(&["wait", "--for=condition=Established", &crds[0], &crds[1], &crds[2]]).await.unwrap();
}

/// One condition of an object: status and reason.
pub(crate) fn condition(object: &Value, kind: &str) -> String {
    let of_kind = format!(".status.conditions[?(@.type==\"{kind}\")]");
    objects::print(object, &format!("{{{of_kind}.status}} {{{of_kind}.reason}}")).trim().to_owned()
}

/// The manifest of a record; `more` is added to its spec.
pub(crate) fn manifest(name: &str, kind: &str, id: &str, desired: &Value, more: &Value) -> String {
    let mut manifest = json!({
        "apiVersion": "arcadia.cloud/v1alpha1",
        "kind": "ProvisionedResource",
        "metadata": { "name": name },
        "spec": { "resource": { "kind": kind, "id": id }, "desired": desired },
    });
    for (key, value) in more.as_object().unwrap() {
        manifest["spec"][key] = value.clone();
    }
    manifest.to_string()
}

/// A droplet as the simulator completes it.
pub(crate) fn droplet(id: &str, name: &str) -> Value {
    json!({
        "id": id.parse::<u64>().unwrap(),
        "name": name,
        "size_slug": "s-2vcpu-4gb",
        "region": "nyc3",
        "image": "ubuntu-24-04-x64",
        "tags": ["web", "prod"],
        "features": ["monitoring"],
    })
}
