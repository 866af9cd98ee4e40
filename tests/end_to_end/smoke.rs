//! The main job, step by step, through kubectl and its printed output.

use crate::world::{DROPLET, World, eventually};

/// Columns of kubectl's table, without the last one (the age) and without generated names.
fn columns(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test]
async fn a_differing_field_is_detected_accepted_and_closed() {
    let world = World::new("smoke").await;
    let manifest = format!(
        r#"
apiVersion: arcadia.cloud/v1alpha1
kind: ProvisionedResource
metadata:
  name: web-1
spec:
  resource: {{kind: Droplet, id: "{DROPLET}"}}
  desired:
    size_slug: s-4vcpu-8gb
    region: nyc3
  provisionedBy: platform-team
"#
    );
    let applied = world.kubectl().run_with_input(&["create", "-f", "-"], &manifest).await.unwrap();
    assert_eq!(applied, "provisionedresource.arcadia.cloud/web-1 created\n");

    // Only the wrong field is flagged.
    let drift = world.open_drift().await;
    let table = world.run(&["get", "drifts"]).await;
    let table = columns(&table);
    assert_eq!(table[0], ["NAME", "RESOURCE", "FIELD", "EXPECTED", "ACTUAL", "NOW", "PHASE", "REVERT", "AGE"]);
    assert_eq!(table[1][..6], [drift.as_str(), "web-1", "size_slug", "s-4vcpu-8gb", "s-2vcpu-4gb", "Open"]);
    assert_eq!(table.len(), 2);
    world.reaches("pr/web-1", "InSync", "False DriftOpen").await;
    let table = world.run(&["get", "pr"]).await;
    let table = columns(&table);
    assert_eq!(table[0], ["NAME", "KIND", "ID", "INSYNC", "DRIFTS", "READY", "AGE"]);
    assert_eq!(table[1][..6], ["web-1", "Droplet", DROPLET, "False", "1", "True"]);
    eventually("one event", || async {
        let events = world.events("web-1").await;
        if events == ["DriftDetected"] { Ok(()) } else { Err(events) }
    })
    .await;

    // Accepting adopts the live value.
    let annotated = world.run(&["annotate", "drift", &drift, "arcadia.cloud/accept=true"]).await;
    assert_eq!(annotated, format!("drift.arcadia.cloud/{drift} annotated"));
    world.has_drifts(&[["size_slug", "s-4vcpu-8gb", "s-2vcpu-4gb", "Accepted"]]).await;
    world.shows("pr/web-1", "{.spec.desired.size_slug}", "s-2vcpu-4gb").await;
    world.shows("pr/web-1", "{.metadata.generation}", "2").await;
    world.shows(&format!("drift/{drift}"), "{.status.decidedBy}", "kubectl-annotate").await;
    world.reaches(&format!("drift/{drift}"), "Resolved", "True Accepted").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_eq!(world.run(&["get", "drifts", "--field-selector", "status.phase=Open", "-o", "name"]).await, "");

    // Another sync finds no drift.
    world.sync("web-1").await;
    assert_eq!(world.drifts().await.len(), 1);
    world.shows("pr/web-1", "{.status.openDrifts}", "0").await;
    eventually("both events", || async {
        let events = world.events("web-1").await;
        if events == ["DriftDetected", "DriftAccepted"] { Ok(()) } else { Err(events) }
    })
    .await;
    // The operator only read from the cloud.
    assert_eq!(world.cloud.requests().await.unwrap().mutating(), 0);
}
