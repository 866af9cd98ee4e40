//! A namespace of a real cluster, for the steps that write to Kubernetes: its API server decides who owns a field.

use control_plane::{ControlPlane, Namespace};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::api::{ProvisionedResource, crds_as_yaml};

/// A namespace and a client for it.
pub(super) struct Cluster {
    pub(super) client: kube::Client,
    pub(super) namespace: Namespace,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let control_plane = ControlPlane::shared().await.unwrap();
        INSTALLED.get_or_init(|| install(control_plane)).await;
        let namespace = control_plane.namespace("steps").await.unwrap();
        Self { client: namespace.client().await.unwrap(), namespace }
    }

    pub(super) fn records(&self) -> Api<ProvisionedResource> {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    pub(super) async fn record(&self, name: &str) -> Option<ProvisionedResource> {
        self.records().get_opt(name).await.unwrap()
    }

    /// The spec of a record, with its labels and annotations.
    pub(super) async fn said(&self, name: &str) -> Value {
        self.record(name).await.map_or(Value::Null, |record| said(&record))
    }

    /// Applies a record as a person: `metadata` and `spec`.
    pub(super) async fn apply(&self, name: &str, manager: &str, said: Value) {
        let mut record = json!({ "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource" });
        record.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        record["metadata"]["name"] = name.into();
        let params = PatchParams::apply(manager);
        self.records().patch(name, &params, &Patch::Apply(record)).await.unwrap();
    }

    /// Patches a record as a person.
    pub(super) async fn edit(&self, name: &str, manager: &str, patch: Value) {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.records().patch(name, &params, &Patch::Merge(patch)).await.unwrap();
    }

    pub(super) async fn delete(&self, name: &str) {
        self.records().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// All records, by name.
    pub(super) async fn inventory(&self) -> Value {
        let records = self.records().list(&ListParams::default()).await.unwrap();
        let records = records.iter().map(|record| (record.metadata.name.clone().unwrap(), said(record)));
        records.collect::<Map<_, _>>().into()
    }
}

async fn install(control_plane: &ControlPlane) {
    let kubectl = control_plane.kubectl();
    kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &crds_as_yaml().unwrap()).await.unwrap();
    kubectl.run(&["wait", "--for=condition=Established", "crd/provisionedresources.arcadia.cloud"]).await.unwrap();
}

fn said(record: &ProvisionedResource) -> Value {
    let metadata = &record.metadata;
    json!({ "labels": metadata.labels, "annotations": metadata.annotations, "spec": record.spec })
}
