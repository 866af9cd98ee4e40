//! `kubectl apply -k` on a real API server.

use crate::{
    cluster::{Cluster, NAMESPACE},
    helm::in_repository,
};

#[tokio::test]
async fn both_overlays_are_applied_and_deleted_by_one_command() {
    let Some(cluster) = Cluster::empty().await else { return };
    let overlay = |name: &str| in_repository("deploy/overlays").join(name).display().to_string();

    cluster.run(&["apply", "-k", &overlay("cluster-wide")]).await;
    cluster.is_established().await;
    // The base's namespace admits only pods without any privilege.
    cluster.has_pods(NAMESPACE, 2).await;
    cluster
        .operator_can_only(
            &[
                "list drifts.arcadia.cloud -A",
                "list sagas.arcadia.cloud -A",
                "create leases.coordination.k8s.io -n arcadia-system",
            ],
            &["get secrets -n arcadia-system", "create leases.coordination.k8s.io -n default"],
        )
        .await;
    let before = generations(&cluster, &overlay("cluster-wide")).await;
    cluster.run(&["apply", "-k", &overlay("cluster-wide")]).await;
    assert_eq!(generations(&cluster, &overlay("cluster-wide")).await, before, "applied again, it changes nothing");
    cluster.run(&["delete", "-k", &overlay("cluster-wide"), "--timeout=300s"]).await;

    cluster.run(&["apply", "--server-side", "-k", &overlay("namespaced")]).await;
    cluster.is_established().await;
    cluster.has_pods(NAMESPACE, 2).await;
    cluster
        .operator_can_only(
            &["list drifts.arcadia.cloud -n arcadia-records", "list sagas.arcadia.cloud -n arcadia-records"],
            &[
                "list drifts.arcadia.cloud -A",
                "list sagas.arcadia.cloud -A",
                "list drifts.arcadia.cloud -n arcadia-system",
            ],
        )
        .await;
}

async fn generations(cluster: &Cluster, folder: &str) -> String {
    let each = r#"jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}{"\n"}{end}"#;
    cluster.run(&["get", "-k", folder, "-o", each]).await
}
