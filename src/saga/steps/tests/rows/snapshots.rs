//! Steps that make snapshots and delete them.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{Row, row};
use crate::{
    api::saga::Values,
    saga::steps::tests::world::{DROPLET, World},
};

pub(super) static ROWS: &[Row] = &[
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
];

async fn made(world: &World, output: &Values) -> Value {
    world.control.get("snapshots", output["snapshot_id"].as_str().unwrap()).await.unwrap().unwrap()
}
