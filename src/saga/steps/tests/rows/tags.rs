//! Steps that add tags to resources and remove them.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{StepCase, row};
use crate::saga::steps::tests::world::{DROPLET, StepWorld};

const VOLUME: &str = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
const DATABASE: &str = "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";

pub(super) static ROWS: &[StepCase] = &[
    row(
        "TagResource",
        "that is a droplet, with a new tag",
        |_| async { json!({ "tag": "blue:1", "droplet_provider_id": DROPLET }) }.boxed(),
        |world, _| async { assert_eq!(world.droplet(DROPLET).await["tags"], json!(["web", "prod", "blue:1"])) }.boxed(),
    ),
    row(
        "TagResource",
        "that has the tag, in other letters",
        |_| async { json!({ "tag": "WEB", "droplet_provider_id": DROPLET }) }.boxed(),
        |world, _| {
            async {
                assert_eq!(world.droplet(DROPLET).await["tags"], json!(["web", "prod"]));
                assert_eq!(world.changes().await, 0);
            }
            .boxed()
        },
    ),
    row(
        "TagResource",
        "that is a volume, with a tag that there is in other letters",
        |world| {
            async {
                world.control.put("volumes", json!({ "id": VOLUME })).await.unwrap();
                json!({
                    "tag": "WEB", "resource_type": "volume", "resource_id": VOLUME, "droplet_provider_id": DROPLET,
                })
            }
            .boxed()
        },
        |world, _| {
            async {
                assert_eq!(tags(world, "volumes", VOLUME).await, json!(["web"]));
                assert_eq!(world.changes().await, 3, "as it is given, for its spelling, and as it was spelled first");
                let droplet = &world.droplet(DROPLET).await["tags"];
                assert_eq!(droplet, &json!(["web", "prod"]), "the droplet is meant for other steps");
            }
            .boxed()
        },
    ),
    row(
        "TagResource",
        "that is a database",
        |world| {
            async {
                world.control.put("databases", json!({ "id": DATABASE })).await.unwrap();
                json!({ "tag": "blue", "resource_type": "database", "resource_id": DATABASE })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(tags(world, "databases", DATABASE).await, json!(["blue"])) }.boxed(),
    ),
    row(
        "UntagResource",
        "that has the tag, in other letters",
        |_| async { json!({ "tag": "Web", "droplet_provider_id": DROPLET }) }.boxed(),
        |world, _| async { assert_eq!(world.droplet(DROPLET).await["tags"], json!(["prod"])) }.boxed(),
    ),
    row(
        "UntagResource",
        "that has not got the tag",
        |_| async { json!({ "tag": "blue", "droplet_provider_id": DROPLET }) }.boxed(),
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "UntagResource",
        "that is a snapshot of a volume",
        |world| {
            async {
                let snapshot = json!({ "id": VOLUME, "resource_type": "volume", "tags": ["blue"] });
                world.control.put("snapshots", snapshot).await.unwrap();
                json!({ "tag": "blue", "resource_type": "volume_snapshot", "resource_id": VOLUME })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(tags(world, "snapshots", VOLUME).await, json!([])) }.boxed(),
    ),
];

async fn tags(world: &StepWorld, collection: &str, id: &str) -> Value {
    world.control.get(collection, id).await.unwrap().unwrap()["tags"].clone()
}
