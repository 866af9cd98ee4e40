//! The guarantees for tests: a real API server with its controllers, kubectl, namespaces and restarts.
#![cfg(test)]

use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Error, Options};

const DRIFTS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: drifts.arcadia.cloud}
spec:
  group: arcadia.cloud
  scope: Namespaced
  names: {kind: Drift, plural: drifts, singular: drift}
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
";

#[tokio::test]
async fn an_owned_object_is_deleted_with_its_owner() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("owner").await.unwrap();
    let kubectl = namespace.kubectl();
    kubectl.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: owner}}").await.unwrap();
    let uid = kubectl.run(&["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]).await.unwrap();
    let reference = format!("{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}");
    let owned =
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: owned, ownerReferences: [{reference}]}}}}");
    kubectl.apply(&owned).await.unwrap();

    kubectl.run(&["delete", "configmap", "owner"]).await.unwrap();

    kubectl.run(&["wait", "--for=delete", "configmap/owned", "--timeout=60s"]).await.unwrap();
}

#[tokio::test]
async fn a_deleted_namespace_deletes_its_objects() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("deleted").await.unwrap();
    namespace.kubectl().apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: inside}}").await.unwrap();

    let kubectl = control_plane.kubectl();
    kubectl.run(&["delete", "namespace", namespace.name(), "--timeout=60s"]).await.unwrap();

    let refusal = kubectl.run(&["get", "namespace", namespace.name()]).await.unwrap_err();
    assert!(matches!(&refusal, Error::Kubectl { stderr, .. } if stderr.contains("not found")), "{refusal}");
}

#[tokio::test]
async fn namespaces_with_one_prefix_do_not_see_each_other() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let (one, two) = (control_plane.namespace("same").await.unwrap(), control_plane.namespace("same").await.unwrap());

    one.kubectl().run(&["create", "configmap", "mine"]).await.unwrap();

    assert_ne!(one.name(), two.name());
    assert_eq!(one.client().await.unwrap().default_namespace(), one.name());
    assert_eq!(
        two.kubectl().run(&["get", "configmaps", "-o", "name", "mine", "--ignore-not-found"]).await.unwrap(),
        ""
    );
}

#[tokio::test]
async fn another_user_has_only_the_rights_that_rbac_grants() {
    let kubectl = ControlPlane::shared().await.unwrap().namespace("rights").await.unwrap().kubectl();

    let refusal = kubectl.run(&["get", "configmaps", "--as", "somebody"]).await.unwrap_err();

    assert!(refusal.to_string().contains("forbidden"), "{refusal}");
}

#[tokio::test]
async fn a_restarted_api_server_keeps_its_data_and_port() {
    let Some(control_plane) = own().await else { return };
    let namespace = control_plane.namespace("kept").await.unwrap();
    namespace.kubectl().run(&["create", "configmap", "kept"]).await.unwrap();

    control_plane.stop_api_server().await.unwrap();
    namespace.kubectl().run(&["get", "configmap", "kept", "--request-timeout=2s"]).await.unwrap_err();
    control_plane.start_api_server().await.unwrap();

    namespace.kubectl().run(&["get", "configmap", "kept"]).await.unwrap();
}

#[tokio::test]
async fn two_control_planes_do_not_conflict() {
    let (Some(one), Some(two)) = tokio::join!(own(), own()) else { return };

    one.kubectl().run(&["create", "namespace", "only-in-one"]).await.unwrap();

    two.kubectl().run(&["get", "namespace", "only-in-one"]).await.unwrap_err();
}

#[tokio::test]
async fn writes_are_counted_by_verb_and_resource() {
    let Some(control_plane) = own().await else { return };
    control_plane.kubectl().apply(DRIFTS).await.unwrap();
    control_plane.kubectl().run(&["wait", "--for=condition=Established", "crd/drifts.arcadia.cloud"]).await.unwrap();
    let kubectl = control_plane.namespace("counted").await.unwrap().kubectl();

    kubectl.apply("{apiVersion: arcadia.cloud/v1alpha1, kind: Drift, metadata: {name: one}}").await.unwrap();
    kubectl.run(&["get", "drifts"]).await.unwrap();
    kubectl.run(&["delete", "drift", "one"]).await.unwrap();

    let counts = control_plane.write_counts().await.unwrap();
    let drifts: Vec<_> = counts.iter().filter(|(what, _)| what.contains("drifts")).collect();
    assert_eq!(drifts, [(&"DELETE drifts".to_owned(), &1), (&"POST drifts".to_owned(), &1)]);
}

#[tokio::test]
async fn a_server_that_does_not_start_reports_the_reason() {
    if control_plane::given_cluster().is_some() {
        return;
    }
    let options = Options { api_server_flags: vec!["--no-such-flag".to_owned()], ..Options::default() };

    let begun = Instant::now();
    let error = ControlPlane::start(options).await.unwrap_err();

    assert!(matches!(error, Error::Ended { server: "kube-apiserver", .. }), "{error}");
    assert!(error.to_string().contains("no-such-flag"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// A control plane for tests that stop it, count its writes or need two. None on a given cluster.
async fn own() -> Option<ControlPlane> {
    if control_plane::given_cluster().is_some() {
        return None;
    }
    Some(ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap())
}
