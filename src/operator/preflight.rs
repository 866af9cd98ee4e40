//! Connects to the cluster, and checks the operator's prerequisites: once at the start, then repeatedly.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config, api::ListParams};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::error::Error;
use crate::{
    api::{Drift, OPERATOR, ProvisionedResource, Saga},
    config::RunArgs,
    health::ApiServerState,
    kube_ext::{
        call::{self, bounded},
        depth, fence,
        leader::Leadership,
    },
};

/// The interval of checking the API server for `/readyz`, and the timeout of one check.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// A watch without any event for this long is broken: the API server sends a bookmark every minute.
const LONGEST_SILENCE: Duration = Duration::from_mins(3);

/// A cluster that responds and has the definitions.
#[derive(Clone)]
pub(super) struct CheckedCluster {
    /// For all work: sends only the requests that the lease permits.
    pub(super) client: Client,
    /// For the lease and health checks: without retries, and with a short timeout.
    pub(super) direct: Client,
    /// The watched namespaces; empty for all.
    namespaces: Vec<String>,
    pub(super) lease_namespace: String,
    server: String,
}

impl CheckedCluster {
    /// Connects. The direct client works on the runtime of the lease.
    pub(super) async fn connect(args: &RunArgs, leadership: &Leadership, vital: &Handle) -> Result<Self, Error> {
        let no_cluster = |error: kube::Error| Error::NoCluster(error.to_string());
        let mut config = Config::infer().await.map_err(|error| Error::NoCluster(error.to_string()))?;
        config.connect_timeout = Some(Duration::from_secs(5));
        // `fence` creates its streams and connects to the API server directly.
        config.proxy_url = None;
        // Otherwise the time for which a pooled connection was idle counts as silence of the API server.
        config.reset_reader_on_write = true;
        let mut direct = config.clone();
        direct.default_retry = false;
        direct.connect_timeout = Some(CHECK_TIMEOUT);
        direct.read_timeout = Some(CHECK_TIMEOUT);
        config.read_timeout = Some(LONGEST_SILENCE);
        let pod_namespace = || std::env::var("POD_NAMESPACE").ok().filter(|namespace| !namespace.is_empty());
        let cluster = Self {
            direct: {
                let _context = vital.enter();
                depth::client(direct).map_err(no_cluster)?
            },
            client: fence::client(&config, leadership).map_err(no_cluster)?,
            namespaces: args.namespaces.clone(),
            lease_namespace: args.lease_namespace.clone().or_else(pod_namespace).unwrap_or(config.default_namespace),
            server: config.cluster_url.to_string(),
        };
        cluster.check_all().await?;
        if args.leader_elect {
            let leases = Api::<Lease>::namespaced(cluster.direct.clone(), &cluster.lease_namespace);
            let doing = format!("reading Lease {}/{OPERATOR}", cluster.lease_namespace);
            // The pooled connection belongs to the runtime that opens it, and renewals reuse it.
            let read = vital.spawn(async move { bounded(&doing, leases.get_opt(OPERATOR)).await });
            let lease = read.await.map_err(|error| Error::Thread(error.into()))?;
            lease.map_err(|source| Error::Lease { source })?;
        }
        Ok(cluster)
    }

    /// Checks every watched namespace: with a role missing in one, no cache ever completes.
    async fn check_all(&self) -> Result<(), Error> {
        let first = ListParams::default().limit(1);
        if self.namespaces.is_empty() {
            return self.check(&self.client, None, &first).await;
        }
        for namespace in &self.namespaces {
            self.check(&self.client, Some(namespace), &first).await?;
        }
        Ok(())
    }

    /// Checks that the API server responds, has the definitions, and allows this process to list these objects.
    async fn check(&self, client: &Client, namespace: Option<&str>, listed: &ListParams) -> Result<(), Error> {
        let server = self.server.as_str();
        check(client, namespace, listed, server, "ProvisionedResource", api_of::<ProvisionedResource>).await?;
        check(client, namespace, listed, server, "Drift", api_of::<Drift>).await?;
        check(client, namespace, listed, server, "Saga", api_of::<Saga>).await
    }

    /// Repeats the check for one of the namespaces until the receiver is dropped.
    ///
    /// It selects objects by one name in one namespace. A list with a limit of 1 costs the API server as much as a whole
    /// list, because the server collects all objects before it applies the limit.
    pub(super) fn check_repeatedly(self, vital: &Handle) -> watch::Receiver<ApiServerState> {
        let (answers, answer) = watch::channel(ApiServerState { at: Instant::now(), trouble: None });
        vital.spawn(async move {
            let namespace = self.namespaces.first().map(String::as_str);
            let place = namespace.unwrap_or(&self.lease_namespace);
            let one = ListParams::default().fields(&format!("metadata.namespace={place},metadata.name={OPERATOR}"));
            while !answers.is_closed() {
                let check = self.check(&self.direct, namespace, &one);
                let trouble = match timeout(CHECK_TIMEOUT, check).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("the API server did not respond within {} s", CHECK_TIMEOUT.as_secs())),
                };
                answers.send_replace(ApiServerState { at: Instant::now(), trouble });
                sleep(CHECK_INTERVAL).await;
            }
        });
        answer
    }
}

fn api_of<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

async fn check<K>(
    client: &Client,
    namespace: Option<&str>,
    listed: &ListParams,
    server: &str,
    kind: &'static str,
    api: fn(&Client, Option<&str>) -> Api<K>,
) -> Result<(), Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let place = namespace.map_or_else(|| "all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
    let doing = format!("listing {kind}s in {place}");
    let server = || server.to_owned();
    match bounded(&doing, api(client, namespace).list_metadata(listed)).await {
        Ok(_) => Ok(()),
        Err(call::Error::NotFound { .. }) => Err(Error::NoDefinition(kind)),
        Err(source @ call::Error::Forbidden { .. }) => Err(Error::Forbidden(source)),
        Err(source @ call::Error::Refused { .. }) => Err(Error::Refused { server: server(), source }),
        Err(source) => Err(Error::Unreachable { server: server(), source }),
    }
}

#[cfg(test)]
mod tests {
    use ::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// A cluster with these watched namespaces that refuses to list drifts in one of them.
    fn cluster(namespaces: &[&str], code: u16, reason: &'static str) -> CheckedCluster {
        let answer = move |request: Request<Body>| async move {
            let is_refused = request.uri().path().contains("/namespaces/b/drifts");
            let message = "drifts.arcadia.cloud is forbidden: User \"jane\" cannot list";
            let answer = if is_refused {
                json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message })
            } else {
                json!({ "metadata": { "resourceVersion": "1" }, "items": [] })
            };
            let status = if is_refused { code } else { 200 };
            let response = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, kube::Error>(response.unwrap())
        };
        let client = Client::new(tower::service_fn(answer), "default");
        CheckedCluster {
            client: client.clone(),
            direct: client,
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            lease_namespace: "default".to_owned(),
            server: "https://here".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_role_that_is_missing_in_one_of_the_namespaces_is_named() {
        let error = cluster(&["a", "b"], 403, "Forbidden").check_all().await.unwrap_err().to_string();
        for part in ["listing Drifts in namespace b", "forbidden", "cannot list", "role"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("it is up"), "{error}");
        assert!(cluster(&["a", "c"], 403, "Forbidden").check_all().await.is_ok());
        assert!(cluster(&[], 403, "Forbidden").check_all().await.is_ok());
    }

    #[tokio::test]
    async fn refused_credentials_are_distinguished_from_an_unreachable_server() {
        let error = cluster(&["b"], 401, "Unauthorized").check_all().await.unwrap_err().to_string();
        assert!(error.contains("credentials") && !error.contains("it is up"), "{error}");
    }
}
