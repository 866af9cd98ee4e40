//! Steps that create and delete snapshots.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{StepCase, row};
use crate::{
    api::saga::Values,
    saga::steps::tests::world::{DROPLET, StepWorld},
};

const SNAPSHOT: &str = "7555620";

pub(super) static ROWS: &[StepCase] = &[
    row(
        "CreateDropletSnapshot",
        "with a label",
        |_| async { json!({ "droplet_provider_id": DROPLET, "snapshot_label": "before-upgrade" }) }.boxed(),
        |world, output| {
            async move {
                let snapshot = made(world, &output).await;
                assert!(snapshot["name"].as_str().unwrap().starts_with("before-upgrade-"), "{snapshot}");
                assert_eq!(snapshot["resource_id"], DROPLET);
            }
            .boxed()
        },
    ),
    row(
        "CreateDropletSnapshot",
        "with a name made up",
        |_| async { json!({ "droplet_provider_id": 3_164_444 }) }.boxed(),
        |world, output| {
            async move {
                let snapshot = made(world, &output).await;
                assert!(snapshot["name"].as_str().unwrap().starts_with("droplet-3164444-"), "{snapshot}");
            }
            .boxed()
        },
    ),
    row(
        "DeleteSnapshot",
        "that there is",
        |world| a_snapshot(world).boxed(),
        |world, _| async { assert_eq!(world.control.get("snapshots", SNAPSHOT).await.unwrap(), None) }.boxed(),
    ),
    row(
        "DeleteSnapshot",
        "of a droplet that is gone",
        |world| {
            async {
                let parameters = a_snapshot(world).await;
                world.control.delete("droplets", DROPLET).await.unwrap();
                parameters
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.control.get("snapshots", SNAPSHOT).await.unwrap(), None) }.boxed(),
    ),
    row(
        "DeleteSnapshot",
        "that is gone already",
        |_| async { json!({ "snapshot_id": SNAPSHOT }) }.boxed(),
        |_, _| async {}.boxed(),
    ),
];

async fn a_snapshot(world: &StepWorld) -> Value {
    let snapshot = json!({ "id": SNAPSHOT, "resource_type": "droplet", "resource_id": DROPLET });
    world.control.put("snapshots", snapshot).await.unwrap();
    json!({ "snapshot_id": SNAPSHOT })
}

async fn made(world: &StepWorld, output: &Values) -> Value {
    world.control.get("snapshots", output["snapshot_id"].as_str().unwrap()).await.unwrap().unwrap()
}
