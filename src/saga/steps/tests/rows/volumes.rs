//! Volumes.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{StepCase, fails, row};
use crate::saga::steps::tests::world::{DROPLET, OTHER_DROPLET, StepWorld};

const VOLUME: &str = "506f78a4-e098-11e5-ad9f-000f53306ae1";

pub(super) static ROWS: &[StepCase] = &[
    row(
        "CreateVolume",
        "with all that it takes",
        |_| {
            async {
                json!({
                    "name": "data", "region": "nyc3", "size_gigabytes": 10, "description": "for data",
                    "filesystem_type": "ext4", "filesystem_label": "data", "tags": ["prod"],
                })
            }
            .boxed()
        },
        |world, output| {
            async move {
                let volume =
                    world.control.get("volumes", output["volume_id"].as_str().unwrap()).await.unwrap().unwrap();
                assert_eq!((&volume["name"], &volume["size_gigabytes"]), (&json!("data"), &json!(10)));
                assert_eq!((&volume["filesystem_type"], &volume["description"]), (&json!("ext4"), &json!("for data")));
                let tags = json!(["prod", "arcadia-saga:7d7bc8cd-04f5-4c5c-a2ef-7bcbb0c6e6a3:2"]);
                assert_eq!(volume["tags"], tags);
            }
            .boxed()
        },
    ),
    fails("CreateVolume", "with a name that is taken", |world| {
        async {
            volume(world, &[]).await;
            json!({ "name": "data", "region": "nyc3", "size_gigabytes": 10 })
        }
        .boxed()
    }),
    row(
        "AttachVolume",
        "that is not attached",
        |world| {
            async {
                volume(world, &[]).await;
                json!({ "volume_id": VOLUME, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(attached_to(world).await, [DROPLET]) }.boxed(),
    ),
    row(
        "AttachVolume",
        "that is attached",
        |world| {
            async {
                volume(world, &[DROPLET]).await;
                json!({ "volume_id": VOLUME, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(attached_to(world).await, [DROPLET]) }.boxed(),
    ),
    fails("AttachVolume", "that is attached to another droplet", |world| {
        async {
            volume(world, &[OTHER_DROPLET]).await;
            json!({ "volume_id": VOLUME, "droplet_provider_id": DROPLET })
        }
        .boxed()
    }),
    row(
        "DetachVolume",
        "that is attached",
        |world| {
            async {
                volume(world, &[DROPLET]).await;
                json!({ "volume_id": VOLUME, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(attached_to(world).await, [""; 0]) }.boxed(),
    ),
    row(
        "DetachVolume",
        "that is attached to another droplet",
        |world| {
            async {
                volume(world, &[OTHER_DROPLET]).await;
                json!({ "volume_id": VOLUME, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(attached_to(world).await, [OTHER_DROPLET]) }.boxed(),
    ),
    row(
        "ResizeVolume",
        "to more",
        |world| {
            async {
                volume(world, &[DROPLET]).await;
                json!({ "volume_id": VOLUME, "size_gigabytes": 200 })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(get(world).await["size_gigabytes"], 200) }.boxed(),
    ),
    fails("ResizeVolume", "to less", |world| {
        async {
            volume(world, &[]).await;
            json!({ "volume_id": VOLUME, "size_gigabytes": 50 })
        }
        .boxed()
    }),
    row(
        "DeleteVolume",
        "that is there",
        |world| {
            async {
                volume(world, &[]).await;
                json!({ "volume_id": VOLUME })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.control.get("volumes", VOLUME).await.unwrap(), None) }.boxed(),
    ),
    row("DeleteVolume", "that is gone", |_| async { json!({ "volume_id": VOLUME }) }.boxed(), |_, _| async {}.boxed()),
    fails("DeleteVolume", "that is attached", |world| {
        async {
            volume(world, &[DROPLET]).await;
            json!({ "volume_id": VOLUME })
        }
        .boxed()
    }),
];

/// Adds a volume of 100 GiB that a person created and attached to these droplets.
async fn volume(world: &StepWorld, droplets: &[&str]) {
    let ids: Vec<u64> = droplets.iter().map(|id| id.parse().unwrap()).collect();
    let volume = json!({
        "id": VOLUME, "name": "data", "region": "nyc3", "size_gigabytes": 100, "droplet_ids": ids,
        "created_at": "2026-01-01T00:00:00Z",
    });
    world.control.put("volumes", volume).await.unwrap();
    for droplet in droplets {
        world.control.change("droplets", droplet, json!({ "volume_ids": [VOLUME] })).await.unwrap();
    }
}

async fn get(world: &StepWorld) -> Value {
    world.control.get("volumes", VOLUME).await.unwrap().unwrap()
}

async fn attached_to(world: &StepWorld) -> Vec<String> {
    get(world).await["droplet_ids"].as_array().unwrap().iter().map(Value::to_string).collect()
}
