//! The objects that scrape and protect the operator's pods, on a real API server: they are accepted, and select those
//! pods.

use serde_json::Value;

use crate::{
    cluster::{Cluster, NAMESPACE},
    helm::{Helm, chart, in_repository},
};

/// Defines the kinds of the Prometheus operator.
pub(crate) async fn define(cluster: &Cluster) {
    cluster.run(&["apply", "-f", in_repository("tests/install/monitoring.yaml").to_str().unwrap()]).await;
    let definitions = ["crd/podmonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com"];
    cluster.run(&[["wait", "--for=condition=Established"], definitions].concat()).await;
}

#[tokio::test]
async fn the_monitors_and_policies_select_the_pods() {
    let Some(cluster) = Cluster::empty().await else { return };
    define(&cluster).await;
    cluster.restricted_namespace(NAMESPACE).await;
    let helm = Helm::on(cluster.control_plane.kubeconfig());
    let enabled = "metrics.podMonitor.enabled=true,metrics.prometheusRule.enabled=true,networkPolicy.enabled=true";
    let chart = chart();
    helm.run(&["install", "arcadia-operator", chart.to_str().unwrap(), "-n", NAMESPACE, "--set", enabled]);
    cluster.has_pods(NAMESPACE, 2).await;
    cluster.run(&["run", "another", "--image=x", "-n", "default"]).await;

    let monitor = object(&cluster, "podmonitor").await;
    let policy = object(&cluster, "networkpolicy").await;
    let scraped = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    assert_eq!(&policy["spec"]["ingress"][0]["ports"][0]["port"], scraped);
    for selector in [&monitor["spec"]["selector"], &policy["spec"]["podSelector"]] {
        let labels = selector["matchLabels"].as_object().unwrap().iter();
        let labels: Vec<_> = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let pods = cluster.run(&["get", "pods", "-A", "-l", &labels.join(","), "-o", "json"]).await;
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let pods = pods["items"].as_array().unwrap();
        assert_eq!(pods.len(), 2, "{labels:?}");
        for pod in pods {
            assert_eq!(&pod["spec"]["containers"][0]["ports"][0]["name"], scraped);
        }
    }

    // The objects without Helm are the same.
    let rule = object(&cluster, "prometheusrule").await;
    helm.run(&["uninstall", "arcadia-operator", "-n", NAMESPACE]);
    let left = cluster.run(&["get", "podmonitors,prometheusrules,networkpolicies", "-A", "-o", "name"]).await;
    assert_eq!(left, "");
    for (file, kind, of_the_chart) in
        [("alerts.yaml", "prometheusrule", &rule), ("podmonitor.yaml", "podmonitor", &monitor)]
    {
        let file = in_repository("deploy/observability").join(file);
        cluster.run(&["apply", "--validate=strict", "-n", NAMESPACE, "-f", file.to_str().unwrap()]).await;
        assert_eq!(object(&cluster, kind).await["spec"], of_the_chart["spec"]);
    }
}

async fn object(cluster: &Cluster, kind: &str) -> Value {
    let object = cluster.run(&["get", kind, "arcadia-operator", "-n", NAMESPACE, "-o", "json"]).await;
    serde_json::from_str(&object).unwrap()
}
