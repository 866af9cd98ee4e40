//! Acceptances under manifests that are applied repeatedly: they are stored on the Drift, and the record keeps the
//! values of its manifest.

use serde_json::{Value, json};

use crate::world::{DROPLET, World, manifest};

/// A manifest declares the droplet, a colleague resizes it, and a user accepts that.
async fn accepted(test: &str) -> (World, String) {
    let world = World::new(test).await;
    world.declare("web-1", json!({"size_slug": "s-2vcpu-4gb", "region": "nyc3"})).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-4vcpu-8gb"})).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    let because = "arcadia.cloud/because=traffic doubled";
    world.run(&["annotate", &drift, "arcadia.cloud/accept=true", because]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    (world, drift)
}

async fn json(world: &World, object: &str, path: &str) -> Value {
    let text = world.value(object, path).await;
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[tokio::test]
async fn an_accepted_field_of_a_manifest_stands_until_the_manifest_declares_it() {
    let (world, drift) = accepted("stands").await;
    let version = world.value("pr/web-1", "{.metadata.generation}").await;
    world.shows("pr/web-1", "{.spec.desired.size_slug}", "s-2vcpu-4gb").await;
    world.shows(&drift, "{.status.phase} {.status.reason}", "Accepted Standing").await;
    world.shows(&drift, "{.status.because}", "traffic doubled").await;
    let acceptance = json(&world, &drift, "{.status.acceptance}").await;
    assert_eq!(
        (&acceptance["mode"], &acceptance["value"], &acceptance["declared"]),
        (&json!("Standing"), &json!("s-4vcpu-8gb"), &json!("s-2vcpu-4gb"))
    );
    world.reaches("pr/web-1", "ManifestCurrent", "False AcceptancesStand").await;
    let message = world.message("pr/web-1", "ManifestCurrent").await;
    assert!(message.starts_with("size_slug: the manifest declares s-2vcpu-4gb, s-4vcpu-8gb is accepted"), "{message}");
    let table = world.run(&["get", "pr", "web-1", "-o", "wide"]).await;
    assert!(table.contains("MANIFEST"), "{table}");

    // The old manifest is applied repeatedly: nothing flaps, and nothing writes to the record.
    let before = json(&world, "pr/web-1", "{.metadata.resourceVersion}").await;
    for _ in 0..10 {
        world.declare("web-1", json!({"size_slug": "s-2vcpu-4gb", "region": "nyc3"})).await;
    }
    world.sync("web-1").await;
    world.has_drifts(&[["size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", "Accepted"]]).await;
    world.shows("pr/web-1", "{.metadata.generation}", &version).await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    assert_ne!(json(&world, "pr/web-1", "{.metadata.resourceVersion}").await, before, "the sync was answered");

    // The patch brings the manifest up to date.
    let patch = world.value(&drift, "{.status.manifestPatch}").await;
    assert_eq!(patch, r#"{"spec":{"desired":{"size_slug":"s-4vcpu-8gb"}}}"#);
    world.declare("web-1", json!({"size_slug": "s-4vcpu-8gb", "region": "nyc3"})).await;
    world.reaches(&drift, "Standing", "False InManifest").await;
    world.reaches("pr/web-1", "ManifestCurrent", "True NoAcceptanceStands").await;
    world.shows("pr/web-1", "{.status.acceptances}", "").await;
    assert_eq!(world.drifts().await.len(), 1);
}

#[tokio::test]
async fn a_standing_acceptance_ends_in_every_other_way() {
    // The manifest declares a third value.
    let (world, drift) = accepted("third").await;
    world.declare("web-1", json!({"size_slug": "s-8vcpu-16gb", "region": "nyc3"})).await;
    world.reaches(&drift, "Standing", "False ManifestChanged").await;
    world
        .has_drifts(&[
            ["size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", "Accepted"],
            ["size_slug", "s-8vcpu-16gb", "s-4vcpu-8gb", "Open"],
        ])
        .await;

    // The live value returns to the declared one.
    let (world, drift) = accepted("returned").await;
    world.cloud.change("droplets", DROPLET, json!({"size_slug": "s-2vcpu-4gb"})).await.unwrap();
    world.reaches(&drift, "Standing", "False LiveReturned").await;
    assert_eq!(world.drifts().await.len(), 1);

    // A user withdraws it.
    let (world, drift) = accepted("withdrawn").await;
    world.run(&["annotate", &drift, "arcadia.cloud/accept-"]).await;
    world.reaches(&drift, "Standing", "False Withdrawn").await;
    world
        .has_drifts(&[
            ["size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", "Accepted"],
            ["size_slug", "s-2vcpu-4gb", "s-4vcpu-8gb", "Open"],
        ])
        .await;
}

#[tokio::test]
async fn an_acceptance_with_an_end_stands_even_without_a_manifest_and_survives_a_restart() {
    let mut world = World::new("until").await;
    world.record("web-1", json!({"size_slug": "s-4vcpu-8gb"})).await;
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/accept=true", "arcadia.cloud/accept-until=soon"]).await;
    world.reaches(&drift, "Resolved", "False DecisionRefused").await;
    let message = world.message(&drift, "Resolved").await;
    assert!(message.contains("arcadia.cloud/accept-until must be an RFC 3339 time"), "{message}");
    world.shows(&drift, "{.metadata.annotations}", "").await;

    world.run(&["annotate", &drift, "arcadia.cloud/accept=true", "arcadia.cloud/accept-until=1h"]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    world.kill_operator();
    world.restart_operator();
    world.sync("web-1").await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    world.shows("pr/web-1", "{.spec.desired.size_slug}", "s-4vcpu-8gb").await;

    // Its end is moved to a few seconds from now.
    world.run(&["annotate", &drift, "--overwrite", "arcadia.cloud/accept-until=3s"]).await;
    world.reaches(&drift, "Standing", "False Expired").await;
    world
        .has_drifts(&[
            ["size_slug", "s-4vcpu-8gb", "s-2vcpu-4gb", "Accepted"],
            ["size_slug", "s-4vcpu-8gb", "s-2vcpu-4gb", "Open"],
        ])
        .await;
}

#[tokio::test]
async fn the_decision_of_a_standing_acceptance_cannot_be_replaced() {
    let (world, drift) = accepted("restored").await;
    world.run(&["annotate", &drift, "--overwrite", "arcadia.cloud/accept=s-8vcpu-16gb"]).await;
    world.reaches(&drift, "DecisionApplied", "False AlreadyResolved").await;
    world.shows(&drift, "{.metadata.annotations.arcadia\\.cloud/accept}", "true").await;
    world.reaches(&drift, "Standing", "True Accepted").await;
}

#[tokio::test]
async fn the_deletion_of_a_resource_can_be_accepted_too() {
    let (world, _) = accepted("gone").await;
    world.cloud.delete("droplets", DROPLET).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/accept=true"]).await;
    world.reaches(&drift, "Standing", "True Accepted").await;
    world.reaches("pr/web-1", "InSync", "True NoDrift").await;
    world.shows("pr/web-1", "{.spec.desired.exists}", "").await;
    assert_eq!(world.value(&drift, "{.status.manifestPatch}").await, r#"{"spec":{"desired":{"exists":false}}}"#);
}

#[tokio::test]
async fn the_policy_of_a_record_forces_an_acceptance_into_the_record() {
    let world = World::new("in-place").await;
    let more = json!({"drift": {"accept": "InPlace"}});
    let record = manifest("web-1", "Droplet", DROPLET, &json!({"name": "old"}), &more);
    world.kubectl().apply(&record).await.unwrap();
    let drift = format!("drift/{}", world.open_drift().await);
    world.run(&["annotate", &drift, "arcadia.cloud/accept=true"]).await;
    world.has_drifts(&[["name", "old", "web-1", "Accepted"]]).await;
    world.shows("pr/web-1", "{.spec.desired.name}", "web-1").await;
    world.shows(&drift, "{.status.acceptance.mode}", "InPlace").await;
}
