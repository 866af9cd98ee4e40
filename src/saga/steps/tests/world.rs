//! The context of step tests: a simulated account and a Kubernetes client.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use digitalocean_simulator::{Control, Options, RateLimits, Simulator};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::cluster::Cluster;
use crate::{
    digitalocean::{ChangeMethod, Client, Config, Endpoint, Token, budget::Limits},
    saga::steps::http_client,
};

/// The duration of an action in the simulated cloud.
pub(super) const ACTION: Duration = Duration::from_millis(50);

/// The droplets in the account: on, of size `s-2vcpu-4gb`, with tags `web` and `prod`.
pub(super) const DROPLET: &str = "3164444";
pub(super) const OTHER_DROPLET: &str = "3164445";

/// The tag of the resources that the step creates.
pub(super) const TAG: &str = "arcadia-saga:7d7bc8cd-04f5-4c5c-a2ef-7bcbb0c6e6a3:2";

/// The client of `HttpRequest` steps: one for all tests, since each would load the certificate authorities again.
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| http_client().unwrap());

/// An account with two droplets and nothing else, unless a row adds to it.
pub(super) struct StepWorld {
    /// Reads and changes the account.
    pub(super) control: Control,
    pub(super) cloud: Client,
    no_cluster: kube::Client,
    /// The readable Secrets without a cluster, by name.
    pub(super) secrets: Secrets,
    /// The records without a cluster, by name.
    records: Records,
    cluster: OnceCell<Cluster>,
    pub(super) http: reqwest::Client,
    _simulator: Simulator,
}

impl StepWorld {
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rate_limits = RateLimits::OFF;
        let options = Options { droplets: 2, action_seconds: ACTION.as_secs_f64(), rate_limits, ..Options::default() };
        let simulator = Simulator::start(options).await.unwrap();
        let (secrets, records) = (Secrets::default(), Records::default());
        let mut config = Config::new(&simulator.url(), Token::new("a-token").unwrap()).unwrap();
        config.limits = Limits { per_minute: 100_000, per_hour: 100_000, ..Limits::default() };
        config.max_body_bytes = 1 << 20;
        config.retries.base = Duration::from_millis(1);
        Self {
            control: simulator.control(),
            cloud: Client::new(config).unwrap(),
            no_cluster: no_cluster(secrets.clone(), records.clone()),
            secrets,
            records,
            cluster: OnceCell::new(),
            http: HTTP.clone(),
            _simulator: simulator,
        }
    }

    /// The inventory, once all actions have ended.
    pub(super) async fn inventory(&self) -> Value {
        tokio::time::sleep(ACTION + Duration::from_millis(20)).await;
        let mut inventory = self.control.inventory().await.unwrap();
        // The project of a resource is in its document; the lists only add times.
        let is_membership =
            |collection: &str| collection.starts_with("projects/") && collection.ends_with("/resources");
        inventory.as_object_mut().unwrap().retain(|collection, _| !is_membership(collection));
        // Unused tags are omitted, but a tag of the step must not be left over.
        if let Some(tag) = self.control.get("tags", TAG).await.unwrap() {
            inventory["tags"][TAG] = tag;
        }
        if let Some(cluster) = self.cluster.get() {
            inventory["provisionedresources"] = cluster.inventory().await;
        }
        inventory
    }

    /// A cluster, for a row that needs one.
    pub(super) async fn cluster(&self) -> &Cluster {
        self.cluster.get_or_init(Cluster::start).await
    }

    /// Records the desired state of a resource, without a cluster.
    pub(super) fn record(&self, name: &str, kind: &str, id: &str, desired: &Value) {
        let spec = json!({ "resource": { "kind": kind, "id": id }, "desired": desired });
        let record = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "ProvisionedResource", "metadata": { "name": name }, "spec": spec,
        });
        self.records.lock().unwrap().insert(name.to_owned(), record);
    }

    /// Deletes a record.
    pub(super) fn forget(&self, name: &str) {
        self.records.lock().unwrap().remove(name);
    }

    pub(super) fn kube(&self) -> &kube::Client {
        self.cluster.get().map_or(&self.no_cluster, |cluster| &cluster.client)
    }

    pub(super) fn namespace(&self) -> &str {
        self.cluster.get().map_or("default", |cluster| cluster.namespace.name())
    }

    /// The number of changing calls, including failed ones.
    pub(super) async fn changes(&self) -> u64 {
        self.control.requests().await.unwrap().mutating()
    }

    /// A droplet; null if there is none.
    pub(super) async fn droplet(&self, id: &str) -> Value {
        self.control.get("droplets", id).await.unwrap().unwrap_or_default()
    }

    /// The types of all actions on a droplet, oldest first.
    pub(super) async fn actions(&self, droplet: &str) -> Vec<String> {
        let route = "/v2/droplets/{id}/actions";
        let path = Endpoint { route, parent: None, id: Some(droplet), scope: "droplet:read" };
        let actions = self.cloud.rows(path, "actions", &[]).await.unwrap();
        actions.iter().rev().map(|action| action["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Starts an action on a droplet as another user, and waits until it ends.
    pub(super) async fn act(&self, droplet: &str, action: Value) {
        self.begin_to_act(droplet, action).await;
        tokio::time::sleep(ACTION + Duration::from_millis(20)).await;
    }

    /// Starts an action on a droplet as another user.
    pub(super) async fn begin_to_act(&self, droplet: &str, action: Value) {
        let route = "/v2/droplets/{id}/actions";
        let path = Endpoint { route, parent: None, id: Some(droplet), scope: "droplet:update" };
        self.cloud.send(ChangeMethod::Post, path, Some(&action)).await.unwrap();
    }
}

/// Secrets by name, each a map from keys to values. Reading a null one is forbidden.
pub(super) type Secrets = Arc<Mutex<BTreeMap<String, Value>>>;

/// Records by name.
type Records = Arc<Mutex<BTreeMap<String, Value>>>;

/// A cluster with Secrets and records only, which can be read.
fn no_cluster(secrets: Secrets, records: Records) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let below = |path: &str| request.uri().path().strip_prefix(path).map(str::to_owned);
        let name = below("/api/v1/namespaces/default/secrets/");
        let answer = name.map(|name| secret(&name, secrets.lock().unwrap().get(&name)));
        let name = below("/apis/arcadia.cloud/v1alpha1/namespaces/default/provisionedresources/");
        let record = |name: String| records.lock().unwrap().get(&name).map(|record| (200, record.clone()));
        let answer = answer.or_else(|| name.map(|name| record(name).unwrap_or_else(|| refusal(404, "NotFound"))));
        async move {
            let why = format!("there is no cluster to ask for {}", request.uri());
            let (status, body) = answer.ok_or_else(|| std::io::Error::other(why))?;
            let body = kube::client::Body::from(body.to_string().into_bytes());
            Ok::<_, std::io::Error>(http::Response::builder().status(status).body(body).unwrap())
        }
    });
    kube::Client::new(service, "default")
}

/// A refusal of the API server.
fn refusal(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({ "kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": code }))
}

/// The response of the API server to a read of a Secret.
fn secret(name: &str, values: Option<&Value>) -> (u16, Value) {
    let Some(values) = values else { return refusal(404, "NotFound") };
    let Some(values) = values.as_object() else { return refusal(403, "Forbidden") };
    let values = values.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().as_bytes().to_vec()));
    let data = values.map(|(key, value)| (key, k8s_openapi::ByteString(value))).collect();
    let metadata = kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    let secret = k8s_openapi::api::core::v1::Secret { data: Some(data), metadata, ..Default::default() };
    (200, serde_json::to_value(secret).unwrap())
}

/// The difference between two inventories, without ids and values derived from them, so that equal changes compare
/// equal.
pub(super) fn difference(before: &Value, after: &Value) -> Value {
    let mut difference = Map::new();
    let new = ids_of_new(before, after);
    for collection in keys(before).chain(keys(after)) {
        let (was, is) = (&before[collection], &after[collection]);
        let gone: Vec<_> = keys(was).filter(|id| is.get(id).is_none()).collect();
        let changed: Map<_, _> = keys(is)
            .filter(|id| was.get(id).is_some_and(|was| *was != is[*id]))
            .map(|id| (id.to_owned(), without(&changed(&was[id], &is[id]), &new)))
            .collect();
        let mut added: Vec<_> =
            keys(is).filter(|id| was.get(id).is_none()).map(|id| without(&unnamed(&is[id]), &new)).collect();
        added.sort_by_cached_key(Value::to_string);
        if !gone.is_empty() || !changed.is_empty() || !added.is_empty() {
            let what = json!({ "gone": gone, "changed": changed, "added": added });
            let segments = collection.split('/').map(|id| if new.iter().any(|new| new == id) { "new" } else { id });
            difference.insert(segments.collect::<Vec<_>>().join("/"), what);
        }
    }
    Value::Object(difference)
}

/// The fields of a document that differ from an earlier one; removed fields are null.
fn changed(was: &Value, is: &Value) -> Value {
    let differs = |field: &&str| was.get(*field) != is.get(*field);
    let fields = keys(was).chain(keys(is)).filter(differs);
    fields.map(|field| (field.to_owned(), is.get(field).cloned().unwrap_or_default())).collect::<Map<_, _>>().into()
}

fn keys(object: &Value) -> impl Iterator<Item = &str> {
    object.as_object().into_iter().flat_map(|object| object.keys().map(String::as_str))
}

fn ids_of_new(before: &Value, after: &Value) -> Vec<String> {
    let new = |collection| keys(&after[collection]).filter(move |id| before[collection].get(id).is_none());
    keys(after).flat_map(new).map(str::to_owned).collect()
}

/// Removes the fields that differ between two equal resources.
fn unnamed(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        for field in ["id", "networks", "urn", "uuid"] {
            fields.remove(field);
        }
    }
    document
}

/// Removes these ids everywhere, and all times.
fn without(document: &Value, ids: &[String]) -> Value {
    let is_new = |id: &str| ids.iter().any(|new| new == id);
    match document {
        // Regions, sizes and base images are long and equal everywhere.
        Value::Object(fields) if fields.get("slug").is_some_and(Value::is_string) => document["slug"].clone(),
        Value::Object(fields) => {
            let timeless = fields.iter().filter(|(field, _)| !field.ends_with("_at"));
            timeless.map(|(field, value)| (field.clone(), without(value, ids))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| without(item, ids)).collect(),
        Value::String(id) if is_new(id) => Value::from("new"),
        Value::Number(id) if is_new(&id.to_string()) => Value::from("new"),
        other => other.clone(),
    }
}
