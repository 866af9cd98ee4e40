//! The setup of these tests: manifests in a folder, a cloud, an operator, and a record of all that is written.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use arcadia_operator::api::ProvisionedResource;
use control_plane::{ControlPlane, Options};
use digitalocean_simulator::RateLimits;
use futures::StreamExt as _;
use kube::{
    Api,
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::{
    sync::{OnceCell, oneshot},
    task::JoinHandle,
};

use crate::world::{Credential, DROPLET, World, eventually, install};

/// The record that the manifest declares.
pub const RECORD: &str = "web-1";

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
const KUSTOMIZATION: &str = "resources: [record.yaml]\n";

/// A Git repository's folder, a cloud with one droplet, and an operator to start.
pub struct Stage {
    pub world: World,
    repository: tempfile::TempDir,
    control_plane: &'static ControlPlane,
    /// The operator's own.
    credential: Credential,
    history: History,
}

impl Stage {
    /// Without a manifest, and without an operator.
    pub async fn new(test: &str) -> Self {
        let control_plane = control_plane().await;
        let limits = RateLimits { per_minute: 1_000_000, per_hour: 10_000_000, ..RateLimits::default() };
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
        Self { world, repository, control_plane, credential, history }
    }

    /// The folder of plain manifests.
    pub fn manifests(&self) -> PathBuf {
        self.repository.path().join("manifests")
    }

    /// The folder of the kustomization with the same manifests.
    pub fn overlay(&self) -> PathBuf {
        self.repository.path().join("overlay")
    }

    /// The folder of the chart with the same manifests.
    pub fn chart(&self) -> PathBuf {
        self.repository.path().join("chart")
    }

    pub fn kubeconfig(&self) -> &Path {
        self.world.namespace.kubeconfig()
    }

    /// Commits the manifest of the record with these desired values.
    pub fn commit(&self, desired: &Value) {
        self.commit_with(desired, &json!({}));
    }

    /// Commits the manifest of the record with more in its spec.
    pub fn commit_with(&self, desired: &Value, more: &Value) {
        let mut manifest = json!({
            "apiVersion": "arcadia.cloud/v1alpha1",
            "kind": "ProvisionedResource",
            "metadata": {"name": RECORD},
            "spec": {"resource": {"kind": "Droplet", "id": DROPLET}, "desired": desired},
        });
        for (key, value) in more.as_object().unwrap() {
            manifest["spec"][key] = value.clone();
        }
        for folder in ["manifests", "overlay", "chart/templates"] {
            // An engine reads the old file or the new one, never a part.
            let folder = self.repository.path().join(folder);
            let unfinished = folder.join(".unfinished");
            std::fs::write(&unfinished, manifest.to_string()).unwrap();
            std::fs::rename(&unfinished, folder.join("record.yaml")).unwrap();
        }
    }

    /// Starts an operator that sweeps every second.
    pub fn start_operator(&mut self) {
        let kubeconfig = self.credential.kubeconfig.display().to_string();
        self.world.operator = Some(self.world.spawn_operator(&[], &[("KUBECONFIG", &kubeconfig)]));
    }

    /// Without an audit log.
    pub fn is_on_a_given_cluster(&self) -> bool {
        self.control_plane.audit_log().is_none()
    }

    /// The operator's writes so far, as `patch provisionedresources/status`. Empty on a given cluster.
    pub fn operator_writes(&self) -> Vec<String> {
        let Some(log) = self.control_plane.audit_log() else {
            eprintln!("the audit log of a given cluster is not read");
            return Vec::new();
        };
        let log = std::fs::read_to_string(log).unwrap();
        let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries
            .filter(|entry| self.credential.made(entry))
            .map(|entry| {
                let object = &entry["objectRef"];
                let what = format!("{} {}", text(&entry["verb"]), text(&object["resource"]));
                match object["subresource"].as_str() {
                    Some(subresource) => format!("{what}/{subresource}"),
                    None => what,
                }
            })
            .collect()
    }

    /// Fails if the operator has ever written to the spec or the metadata of a record.
    pub fn operator_wrote_to_no_record(&self) {
        let writes = self.operator_writes();
        assert!(!writes.iter().any(|write| write.ends_with(" provisionedresources")), "{writes:?}");
    }

    /// All versions of the record so far, by what people and engines write: its spec, labels and annotations.
    pub fn versions(&self) -> Vec<Value> {
        self.history.versions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the record has had this many versions.
    pub async fn has_versions(&self, count: usize) {
        eventually(&format!("{count} versions of the record"), || async {
            let versions = self.versions();
            if versions.len() == count { Ok(()) } else { Err(versions) }
        })
        .await;
    }

    /// The generation of the record.
    pub async fn generation(&self) -> String {
        self.world.value(&format!("pr/{RECORD}"), "{.metadata.generation}").await
    }

    /// Waits until the record has no open drift.
    pub async fn is_in_sync(&self) {
        self.world.reaches(&format!("pr/{RECORD}"), "InSync", "True NoDrift").await;
    }
}

/// What a watch has seen of the record.
struct History {
    versions: Arc<Mutex<Vec<Value>>>,
    watch: JoinHandle<()>,
}

impl History {
    /// From now on.
    async fn of(world: &World) -> Self {
        let records = Api::<ProvisionedResource>::default_namespaced(world.namespace.client().await.unwrap());
        let versions = Arc::default();
        let seen: Arc<Mutex<Vec<Value>>> = Arc::clone(&versions);
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
                    // After an error, the watch is started again.
                    Ok(Event::Init | Event::Delete(_)) | Err(_) => {}
                }
            }
        });
        ready.await.unwrap();
        Self { versions, watch }
    }
}

fn note(versions: &Mutex<Vec<Value>>, record: ProvisionedResource) {
    let version = json!({
        "spec": record.spec,
        "labels": record.metadata.labels.unwrap_or_default(),
        "annotations": record.metadata.annotations.unwrap_or_default(),
    });
    let mut versions = versions.lock().unwrap_or_else(PoisonError::into_inner);
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
