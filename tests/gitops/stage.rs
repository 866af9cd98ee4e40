//! The setup of these tests: manifests in a folder, a cloud, an operator, and an audit of all writes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use arcadia_operator::api::{Drift, ProvisionedResource};
use control_plane::{ControlPlane, Options};
use digitalocean_simulator::RateLimits;
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::{
    sync::{OnceCell, oneshot},
    task::JoinHandle,
};

use crate::world::{Credential, DROPLET, World, droplet, eventually, install, manifest};

/// The record that a manifest declares.
pub(crate) const RECORD: &str = "web-1";

/// The name of every droplet in the cloud.
pub(crate) const LIVE_NAME: &str = "web-1";

/// Every write to the operator's kinds.
const AUDIT_POLICY: &str = r"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources: [{group: arcadia.cloud}]
- level: None
";

const CHART: &str = "apiVersion: v2\nname: records\nversion: 0.1.0\n";
const KUSTOMIZATION: &str = "resources: [records.yaml]\n";

/// A record in the repository.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub name: String,
    pub droplet: String,
    pub desired: Value,
    /// Additional fields of its spec.
    pub more: Value,
}

/// A write to the operator's kinds, from the audit log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    /// Such as `patch provisionedresources/status`.
    pub what: String,
    /// The name of the object. Empty if the request does not contain it, as for a create.
    pub name: String,
}

impl Write {
    fn of(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &entry["objectRef"];
        let what = format!("{} {}", text(&entry["verb"]), text(&object["resource"]));
        let what = match object["subresource"].as_str() {
            Some(subresource) => format!("{what}/{subresource}"),
            None => what,
        };
        Self { what, name: text(&object["name"]) }
    }

    /// Returns true if it changes the spec or the metadata of a record.
    fn is_to_a_record(&self) -> bool {
        self.what.ends_with(" provisionedresources")
    }
}

/// The count of each kind of write.
pub(crate) fn counted(writes: &[Write]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts.entry(write.what.as_str()).or_default() += 1;
    }
    counts
}

/// The folder of a Git repository, a cloud with one droplet, and an operator to start.
pub(crate) struct Stage {
    pub world: World,
    repository: tempfile::TempDir,
    control_plane: &'static ControlPlane,
    /// The operator's credential.
    credential: Credential,
    history: History,
    client: kube::Client,
}

impl Stage {
    /// Starts without a manifest, and without an operator.
    pub(crate) async fn new(test: &str) -> Self {
        let control_plane = control_plane().await;
        let limits = RateLimits::HIGH;
        let mut world = World::on(control_plane, test, limits).await;
        let repository = tempfile::tempdir().unwrap();
        for (file, content) in [("chart/Chart.yaml", CHART), ("overlay/kustomization.yaml", KUSTOMIZATION)] {
            let path = repository.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        for folder in ["manifests", "chart/templates"] {
            std::fs::create_dir_all(repository.path().join(folder)).unwrap();
        }
        let credential = world.credential().await;
        let history = History::of(&world).await;
        let client = world.namespace.client().await.unwrap();
        Self { world, repository, control_plane, credential, history, client }
    }

    /// The folder of plain manifests.
    pub(crate) fn manifests(&self) -> PathBuf {
        self.repository.path().join("manifests")
    }

    /// The folder of the kustomization with the same manifests.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.repository.path().join("overlay")
    }

    /// The folder of the chart with the same manifests.
    pub(crate) fn chart(&self) -> PathBuf {
        self.repository.path().join("chart")
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        self.world.namespace.kubeconfig()
    }

    /// Commits the manifest of the record with these desired values.
    pub(crate) fn commit(&self, desired: &Value) {
        self.commit_with(desired, &json!({}));
    }

    /// Commits the manifest of the record with additional fields in its spec.
    pub(crate) fn commit_with(&self, desired: &Value, more: &Value) {
        let (name, droplet) = (RECORD.to_owned(), DROPLET.to_owned());
        self.commit_all(&[Record { name, droplet, desired: desired.clone(), more: more.clone() }]);
    }

    /// Commits the manifests of these records.
    pub(crate) fn commit_all(&self, records: &[Record]) {
        let manifests: Vec<_> = records
            .iter()
            .map(|Record { name, droplet, desired, more }| manifest(name, "Droplet", droplet, desired, more))
            .collect();
        for folder in ["manifests", "overlay", "chart/templates"] {
            // An engine reads the old file or the new one, never a partial one.
            let folder = self.repository.path().join(folder);
            let unfinished = folder.join(".unfinished");
            std::fs::write(&unfinished, manifests.join("\n---\n")).unwrap();
            std::fs::rename(&unfinished, folder.join("records.yaml")).unwrap();
        }
    }

    /// The file of all manifests.
    pub(crate) fn manifest_file(&self) -> PathBuf {
        self.manifests().join("records.yaml")
    }

    /// A folder for the cache of a tool.
    pub(crate) fn cache(&self) -> PathBuf {
        self.repository.path().join(".cache")
    }

    /// Adds a droplet to the cloud.
    pub(crate) async fn add_droplet(&self, id: &str) {
        self.world.cloud.put("droplets", droplet(id, LIVE_NAME)).await.unwrap();
    }

    /// Starts an operator that sweeps every second.
    pub(crate) fn start_operator(&mut self) {
        let kubeconfig = self.credential.kubeconfig.display().to_string();
        self.world.release_lease();
        self.world.operator = Some(self.world.spawn_operator(&[], &[("KUBECONFIG", &kubeconfig)]));
    }

    /// All drifts.
    pub(crate) async fn drifts(&self) -> Vec<Drift> {
        Api::default_namespaced(self.client.clone()).list(&ListParams::default()).await.unwrap().items
    }

    /// All records.
    pub(crate) async fn records(&self) -> Vec<ProvisionedResource> {
        Api::default_namespaced(self.client.clone()).list(&ListParams::default()).await.unwrap().items
    }

    /// A given cluster has no audit log.
    pub(crate) fn is_on_a_given_cluster(&self) -> bool {
        self.control_plane.audit_log().is_none()
    }

    /// The operator's writes so far. Empty on a given cluster.
    pub(crate) fn operator_writes(&self) -> Vec<Write> {
        let Some(log) = self.control_plane.audit_log() else {
            eprintln!("the audit log of a given cluster is not read");
            return Vec::new();
        };
        let log = std::fs::read_to_string(log).unwrap();
        // Most lines are from the engines and other tests.
        let own = log.lines().filter(|line| line.contains(&self.credential.id));
        let entries = own.map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|entry| self.credential.made(entry)).map(|entry| Write::of(&entry)).collect()
    }

    /// Fails if the operator has ever written to the spec or the metadata of a record.
    pub(crate) fn operator_wrote_to_no_record(&self) {
        let writes = self.operator_writes();
        assert!(!writes.iter().any(Write::is_to_a_record), "{writes:?}");
    }

    /// All versions of the records so far, without the fields that the operator writes: spec, labels and annotations.
    pub(crate) fn versions(&self) -> BTreeMap<String, Vec<Value>> {
        self.history.versions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a record has had this many versions.
    pub(crate) async fn has_versions(&self, record: &str, count: usize) {
        eventually(&format!("{count} versions of {record}"), || async {
            let versions = self.versions().remove(record).unwrap_or_default();
            if versions.len() == count { Ok(()) } else { Err(versions) }
        })
        .await;
    }

    /// The generation of the record.
    pub(crate) async fn generation(&self) -> String {
        self.world.value(&format!("pr/{RECORD}"), "{.metadata.generation}").await
    }
}

/// The versions of the records that a watch has seen, by name.
struct History {
    versions: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
    watch: JoinHandle<()>,
}

impl History {
    /// Starts to watch the records.
    async fn of(world: &World) -> Self {
        let records = Api::<ProvisionedResource>::default_namespaced(world.namespace.client().await.unwrap());
        let versions: Arc<Mutex<BTreeMap<String, Vec<Value>>>> = Arc::default();
        let seen = Arc::clone(&versions);
        let (listed, ready) = oneshot::channel::<()>();
        let mut listed = Some(listed);
        let watch = tokio::spawn(async move {
            let mut changes = pin!(watcher(records, watcher::Config::default()));
            while let Some(change) = changes.next().await {
                match change {
                    Ok(Event::InitApply(record) | Event::Apply(record)) => note(&seen, record),
                    Ok(Event::InitDone) => {
                        let _ = listed.take().map(|listed| listed.send(()));
                    }
                    // After an error, the watch restarts.
                    Ok(Event::Init | Event::Delete(_)) | Err(_) => {}
                }
            }
        });
        ready.await.unwrap();
        Self { versions, watch }
    }
}

fn note(versions: &Mutex<BTreeMap<String, Vec<Value>>>, record: ProvisionedResource) {
    let name = record.name_any();
    let version = json!({
        "spec": record.spec,
        "labels": record.metadata.labels.unwrap_or_default(),
        "annotations": record.metadata.annotations.unwrap_or_default(),
    });
    let mut versions = versions.lock().unwrap_or_else(PoisonError::into_inner);
    let versions = versions.entry(name).or_default();
    if versions.last() != Some(&version) {
        versions.push(version);
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The control plane that these tests share.
async fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let options = Options { audit_policy: Some(AUDIT_POLICY.to_owned()), ..Options::default() };
            let control_plane = ControlPlane::start(options).await.unwrap();
            install(&control_plane).await;
            control_plane
        })
        .await
}
