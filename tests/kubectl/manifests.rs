//! Accepted values are written into the manifests that declare them.

use std::fs;

use serde_json::{Value, json};

use crate::{
    program::Arcadia,
    world::{DROPLET, World},
};

/// A manifest as a person writes it: with comments, and beside other objects.
const MANIFEST: &str = "# The shop.
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: arcadia.cloud/v1alpha1
kind: ProvisionedResource
metadata:
  name: web-1   # front end
spec:
  resource: {kind: Droplet, id: \"3164444\"}
  desired:
    # Ordered in May.
    size_slug:   s-1vcpu-1gb # small
    tags:
      - web  # for the firewall
      - prod
";

#[tokio::test]
async fn accepted_values_are_written_to_their_manifests() {
    let world = World::new("kubectl-manifests").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yaml");
    fs::write(&path, MANIFEST).unwrap();
    let records = folder.path().display().to_string();
    let none = arcadia.expect(0, &["manifests", "--check", &records]).await;
    assert!(none.contains("No acceptance stands in namespace kubectl-manifests-"), "{none}");

    world.kubectl().apply(MANIFEST).await.unwrap();
    world.cloud.change("droplets", DROPLET, json!({"tags": ["web", "prod", "new"]})).await.unwrap();
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    crate::world::eventually("both drifts", || async {
        let names = arcadia.expect(0, &["inbox", "-o", "name"]).await;
        if names.lines().count() == 2 { Ok(()) } else { Err(names) }
    })
    .await;
    let accept = ["accept", "--record", "web-1", "--because", "OPS-123", "--yes", "--wait"];
    arcadia.expect(0, &accept).await;
    let page = arcadia.expect(0, &["show", "pr/web-1"]).await;
    assert!(page.contains("kubectl arcadia withdraw --record web-1"), "{page}");

    let check = arcadia.expect(1, &["manifests", "--check", &records]).await;
    assert!(
        check.contains("1 file would change.") && check.contains("-    size_slug:   s-1vcpu-1gb # small\n"),
        "{check}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), MANIFEST);
    let json: Value =
        serde_json::from_str(&arcadia.expect(1, &["manifests", "--check", &records, "-o", "json"]).await).unwrap();
    assert_eq!((json["written"].as_array().unwrap().len(), &json["notWritten"]), (2, &json!([])));

    let message = arcadia.expect(0, &["manifests", "--write", &records, "-o", "message"]).await;
    assert!(message.starts_with("Accept 2 live values of 1 resource\n\nDroplet 3164444 (web-1), "), "{message}");
    assert!(message.contains("accepted by ") && message.contains(": OPS-123\n"), "{message}");
    let wanted =
        MANIFEST.replace("s-1vcpu-1gb", "s-2vcpu-4gb").replace("      - prod\n", "      - prod\n      - new\n");
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, wanted);
    let again = arcadia.expect(0, &["manifests", "--check", &records]).await;
    assert!(again.contains("The manifests have the values of 2 acceptances"), "{again}");

    // The written value ends the acceptances, and no drift opens.
    world.kubectl().apply(&written).await.unwrap();
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
}

#[tokio::test]
async fn undeclared_fields_are_named() {
    let world = World::new("kubectl-manifests-left").await;
    let arcadia = Arcadia::new().with_cluster(world.namespace.kubeconfig());
    world.declare("web-1", json!({"size_slug": "s-1vcpu-1gb"})).await;
    let drift = world.open_drift().await;
    arcadia.expect(0, &["accept", &drift, "--yes", "--wait"]).await;
    let folder = tempfile::tempdir().unwrap();
    let template = MANIFEST.replace("3164444", "{{ .Values.id }}");
    fs::write(folder.path().join("chart.yaml"), template).unwrap();
    let records = folder.path().display().to_string();
    let left = arcadia.says(1, &["manifests", "--write", &records]).await;
    assert!(left.contains("size_slug of record web-1 not written: no manifest declares the field"), "{left}");
    assert!(left.contains("chart.yaml was not changed: it is a Helm template"), "{left}");
    // Without a target, with two, and with one that does not exist.
    arcadia.says(2, &["manifests"]).await;
    arcadia.says(2, &["manifests", "--write", &records, "--check", &records]).await;
    let missing = arcadia.says(2, &["manifests", "--write", "/does/not/exist"]).await;
    assert!(missing.contains("/does/not/exist"), "{missing}");
}
