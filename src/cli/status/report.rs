//! The report of the leading operator about itself: `/metrics` and `/readyz?verbose` of its pod, which the API server
//! fetches for users who may get `pods/proxy`.

use std::collections::BTreeMap;

use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use crate::{
    cli::Error,
    kube_ext::call::{self, bounded},
};

/// The name of the port in the chart and the kustomize base.
const PORT: &str = "metrics";
/// The names of the checks of kinds in the verbose readiness.
const INVENTORY: &str = "inventory/";
const SWEEP: &str = "sweep/";

/// The code of an answer that something is not ready.
const UNAVAILABLE: u16 = 503;

/// The report of one operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) struct LeaderReport {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) pod: String,
    pub(in crate::cli) version: Option<String>,
    pub(in crate::cli) kinds: BTreeMap<String, KindReport>,
    /// The age in seconds at which an inventory is too old.
    pub(in crate::cli) max_age: Option<f64>,
    /// Calls left and allowed, by window.
    pub(in crate::cli) budget: BTreeMap<String, (f64, f64)>,
    /// The seconds for which DigitalOcean paused all calls.
    pub(in crate::cli) pause: f64,
    /// Checks that fail, other than those of kinds.
    pub(in crate::cli) failures: Vec<(String, String)>,
}

/// The last sweep of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) struct KindReport {
    /// The age of the last complete list in seconds.
    pub(in crate::cli) age: Option<f64>,
    pub(in crate::cli) recorded: Option<f64>,
    pub(in crate::cli) unrecorded: Option<f64>,
    /// The reason why the last list could not be read.
    pub(in crate::cli) failure: Option<String>,
    /// The calls of the last sweep.
    pub(in crate::cli) calls: Option<f64>,
    /// The seconds until the next sweep is due.
    pub(in crate::cli) due: Option<f64>,
    /// The seconds between two sweeps by the schedule.
    pub(in crate::cli) scheduled: Option<f64>,
    /// The seconds between two sweeps as they are made, and the reason.
    pub(in crate::cli) interval: Option<(f64, String)>,
}

impl LeaderReport {
    /// The kind that these labels name.
    fn kind(&mut self, labels: &BTreeMap<&str, &str>) -> &mut KindReport {
        self.kinds.entry(labels.get("kind").copied().unwrap_or_default().to_owned()).or_default()
    }
}

/// The reason why the report of an operator cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Unreported {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) message: String,
    /// True if the user lacks a right.
    pub(in crate::cli) is_forbidden: bool,
}

impl Unreported {
    pub(super) fn of(namespace: &str, error: &Error) -> Self {
        let (message, is_forbidden) = match error {
            Error::Forbidden { message, .. } => (message.clone(), true),
            error => (error.to_string(), false),
        };
        Self { namespace: namespace.to_owned(), message, is_forbidden }
    }
}

/// Reads the report of the holder of a lease; none if it is no pod, or serves no metrics.
pub(super) async fn read(
    client: &Client,
    namespace: &str,
    holder: Option<&str>,
) -> Result<Option<LeaderReport>, Error> {
    // The identity is the name of the pod with a random suffix.
    let Some((pod, _)) = holder.and_then(|holder| holder.rsplit_once('_')) else { return Ok(None) };
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let doing = format!("reading Pod {namespace}/{pod}");
    let port = bounded(&doing, pods.get_opt(pod)).await?.as_ref().and_then(port);
    let Some(port) = port else { return Ok(None) };
    let base = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy");
    let metrics = fetch(client, &format!("{base}/metrics")).await?;
    let checks = match fetch(client, &format!("{base}/readyz?verbose")).await {
        Err(call::Error::Failed { source, doing }) => match *source {
            // A process that is not ready still lists its checks.
            kube::Error::Api(status) if status.code == UNAVAILABLE => status.message,
            source => return Err(call::Error::Failed { source: Box::new(source), doing }.into()),
        },
        fetched => fetched?,
    };
    let mut report = parse(&metrics, &checks);
    namespace.clone_into(&mut report.namespace);
    pod.clone_into(&mut report.pod);
    Ok(Some(report))
}

fn port(pod: &Pod) -> Option<i32> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some(PORT)).map(|port| port.container_port)
}

async fn fetch(client: &Client, path: &str) -> Result<String, call::Error> {
    let doing = format!("reading {path}");
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
    bounded(&doing, async { client.request_text(request?).await }).await
}

fn parse(metrics: &str, checks: &str) -> LeaderReport {
    let mut report = LeaderReport::default();
    for (name, labels, value) in metrics.lines().filter_map(series) {
        let label = |name: &str| labels.get(name).map(|value| (*value).to_owned());
        match name {
            "arcadia_build_info" => report.version = label("version"),
            "arcadia_inventory_max_age_seconds" => report.max_age = Some(value),
            "arcadia_cloud_pause_seconds" => report.pause = value,
            "arcadia_inventory_age_seconds" => report.kind(&labels).age = Some(value),
            "arcadia_inventory_resources" => report.kind(&labels).recorded = Some(value),
            "arcadia_unrecorded_resources" => report.kind(&labels).unrecorded = Some(value),
            "arcadia_sync_calls" => report.kind(&labels).calls = Some(value),
            "arcadia_sync_due_seconds" => report.kind(&labels).due = Some(value),
            "arcadia_sync_schedule_seconds" => report.kind(&labels).scheduled = Some(value),
            "arcadia_sync_interval_seconds" => {
                report.kind(&labels).interval = Some((value, label("reason").unwrap_or_default()));
            }
            "arcadia_cloud_calls_left" => {
                report.budget.entry(label("window").unwrap_or_default()).or_default().0 = value;
            }
            "arcadia_cloud_calls_limit" => {
                report.budget.entry(label("window").unwrap_or_default()).or_default().1 = value;
            }
            _ => {}
        }
    }
    // The metrics say more about sweeps than their checks.
    for (name, text) in checks.lines().filter_map(|line| line.strip_prefix("[-]")?.split_once(" failed: ")) {
        match name.strip_prefix(INVENTORY) {
            Some(kind) => report.kinds.entry(kind.to_owned()).or_default().failure = Some(text.to_owned()),
            None if name.starts_with(SWEEP) => {}
            None => report.failures.push((name.to_owned(), text.to_owned())),
        }
    }
    report
}

/// One line of a scrape: the name, the labels and the value. The operator's labels are words without commas.
fn series(line: &str) -> Option<(&str, BTreeMap<&str, &str>, f64)> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    Some((name, labels.map(|(name, value)| (name, value.trim_matches('"'))).collect(), value.parse().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use http::Response;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    const METRICS: &str = r#"# HELP arcadia_build The version of the operator.
arcadia_build_info{version="0.1.0"} 1
arcadia_inventory_max_age_seconds 900.0
arcadia_inventory_age_seconds{kind="Droplet"} 12.5
arcadia_inventory_resources{kind="Droplet"} 34
arcadia_unrecorded_resources{kind="Droplet"} 5
arcadia_sync_calls{kind="Droplet"} 501
arcadia_sync_due_seconds{kind="Droplet"} 447.5
arcadia_sync_schedule_seconds{kind="Droplet"} 300.0
arcadia_sync_interval_seconds{kind="Droplet",reason="TokenLimit",urgency="Quiet"} 458.1
arcadia_inventory_age_seconds{kind="Domain"} 1200.0
arcadia_sync_calls{kind="Domain"} 900
arcadia_sync_schedule_seconds{kind="Domain"} 300.0
arcadia_sync_interval_seconds{kind="Domain",reason="Shortage",urgency="Quiet"} 1810.0
arcadia_cloud_calls_left{window="hour"} 4000
arcadia_cloud_calls_limit{window="hour"} 4500
arcadia_cloud_calls_left{window="minute"} 12
arcadia_cloud_calls_limit{window="minute"} 225
arcadia_cloud_pause_seconds 30.0
# EOF
"#;
    const CHECKS: &str = "[+]lease ok
[-]sagas failed: listing the sagas
[+]inventory/Droplet ok
[-]sweep/Domain failed: due in 610 s
[-]inventory/Volume failed: listing Volume: the token needs block_storage:read
readyz check failed
";

    pub(in crate::cli::status) fn report() -> LeaderReport {
        LeaderReport {
            namespace: "arcadia-system".into(),
            pod: "arcadia-operator-7d9f".into(),
            ..parse(METRICS, CHECKS)
        }
    }

    /// An API server that answers with this status for a report, and has the pod or not.
    fn client(has_pod: bool, readyz: u16) -> Client {
        let answer = move |request: Request<Body>| async move {
            let path = request.uri().path().to_owned();
            let failure = |code: u16| {
                json!({ "kind": "Status", "status": "Failure", "message": "no",
                    "reason": if code == 404 { "NotFound" } else { "Forbidden" }, "code": code })
                .to_string()
            };
            let (code, body) = match path.rsplit('/').next().unwrap() {
                "metrics" => (200, METRICS.to_owned()),
                "readyz" if readyz == 403 => (403, failure(403)),
                "readyz" => (readyz, CHECKS.to_owned()),
                "arcadia-operator-7d9f" if has_pod => {
                    let ports =
                        json!([{ "name": "health", "containerPort": 1 }, { "name": "metrics", "containerPort": 8080 }]);
                    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
                        "spec": { "containers": [{ "name": "operator", "ports": ports }] } });
                    (200, pod.to_string())
                }
                _ => (404, failure(404)),
            };
            assert!(
                code == 404 || !path.contains("proxy") || path.contains("/pods/arcadia-operator-7d9f:8080/proxy/"),
                "{path}"
            );
            Ok::<_, kube::Error>(Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap())
        };
        Client::new(tower::service_fn(answer), "default")
    }

    #[tokio::test]
    async fn the_report_of_the_leader_is_read_through_the_api_server() {
        let (namespace, holder) = ("arcadia-system", Some("arcadia-operator-7d9f_0123456789abcdef"));
        for readyz in [200, 503] {
            assert_eq!(read(&client(true, readyz), namespace, holder).await.unwrap(), Some(report()), "{readyz}");
        }
        assert_eq!(read(&client(false, 200), namespace, holder).await.unwrap(), None, "outside of the cluster");
        assert!(matches!(read(&client(true, 403), namespace, holder).await, Err(Error::Forbidden { .. })));
    }

    #[test]
    fn metrics_and_checks_are_read_by_name() {
        let report = report();
        assert_eq!((report.version.as_deref(), report.max_age, report.pause), (Some("0.1.0"), Some(900.0), 30.0));
        assert_eq!(report.budget["hour"], (4000.0, 4500.0));
        let droplet = KindReport {
            age: Some(12.5),
            recorded: Some(34.0),
            unrecorded: Some(5.0),
            failure: None,
            calls: Some(501.0),
            due: Some(447.5),
            scheduled: Some(300.0),
            interval: Some((458.1, "TokenLimit".to_owned())),
        };
        assert_eq!(report.kinds["Droplet"], droplet);
        assert!(report.kinds["Volume"].failure.as_ref().unwrap().contains("block_storage:read"));
        assert_eq!(report.failures, [("sagas".to_owned(), "listing the sagas".to_owned())]);
    }
}
