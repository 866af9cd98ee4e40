//! Steps that create, change and delete droplets.

use digitalocean_simulator::{Effect, Fault};
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{StepCase, row};
use crate::{
    api::saga::Values,
    digitalocean::Endpoint,
    saga::steps::tests::world::{DROPLET, StepWorld},
};

const VOLUME: &str = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";

pub(super) static ROWS: &[StepCase] = &[
    row(
        "CreateDroplet",
        "with little",
        |_| async { json!({ "name": "web-9", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64" }) }.boxed(),
        |world, output| {
            async move {
                let droplet = world.droplet(output["droplet_id"].as_str().unwrap()).await;
                assert_eq!((&droplet["name"], &droplet["status"]), (&json!("web-9"), &json!("active")));
                assert_eq!(droplet["tags"], json!(["arcadia-saga:7d7bc8cd-04f5-4c5c-a2ef-7bcbb0c6e6a3:2"]));
                assert_eq!(output["private_ipv4"], droplet["networks"]["v4"][0]["ip_address"]);
                assert_eq!(output["public_ipv4"], droplet["networks"]["v4"][1]["ip_address"]);
                assert!(!output.contains_key("public_ipv6"));
            }
            .boxed()
        },
    ),
    row(
        "CreateDroplet",
        "with everything",
        |world| {
            async {
                let volume = json!({ "id": VOLUME, "name": "data", "region": "ams3" });
                world.control.put("volumes", volume).await.unwrap();
                world.control.put("account/keys", json!({ "id": 289_794, "name": "jane" })).await.unwrap();
                json!({
                    "name": "web-9", "size": "s-2vcpu-4gb", "image": 155_133_621, "region": "ams3", "tags": ["web", "a:b"],
                    "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000", "ssh_keys": ["289794"], "backups": true,
                    "backup_policy": { "plan": "weekly", "weekday": "SAT", "hour": 4 }, "ipv6": true, "monitoring": true,
                    "user_data": "#!/bin/sh\n", "volumes": [VOLUME], "with_droplet_agent": true, "public_networking": true,
                })
            }
            .boxed()
        },
        |world, output| {
            async move {
                let droplet = world.droplet(output["droplet_id"].as_str().unwrap()).await;
                assert_eq!((&droplet["region"]["slug"], &droplet["volume_ids"]), (&json!("ams3"), &json!([VOLUME])));
                assert_eq!((&droplet["tags"][0], &droplet["tags"][1]), (&json!("web"), &json!("a:b")));
                let features = droplet["features"].as_array().unwrap();
                assert!(["backups", "ipv6", "monitoring"].iter().all(|it| features.contains(&json!(it))), "{droplet}");
                assert_eq!(output["public_ipv6"], droplet["networks"]["v6"][0]["ip_address"]);
            }
            .boxed()
        },
    ),
    row(
        "CreateDroplet",
        "with a GPU",
        |_| async { json!({ "name": "ml", "size": "gpu-h100x1-80gb", "image": "gpu-h100x1-base" }) }.boxed(),
        |world, output| {
            async move {
                let droplet = world.droplet(output["droplet_id"].as_str().unwrap()).await;
                assert_eq!(droplet["gpu_info"]["count"], 1);
            }
            .boxed()
        },
    ),
    row(
        "DeleteDroplet",
        "that there is",
        |_| async { droplet() }.boxed(),
        |world, _| async { assert_eq!(world.droplet(DROPLET).await, Value::Null) }.boxed(),
    ),
    row(
        "DeleteDroplet",
        "with a volume and backups that may be lost",
        |world| {
            async {
                world.control.change("droplets", DROPLET, json!({ "backup_ids": [7_555_620] })).await.unwrap();
                world.control.put("volumes", json!({ "id": VOLUME, "droplet_ids": [3_164_444] })).await.unwrap();
                json!({ "droplet_provider_id": DROPLET, "discard_backups": true })
            }
            .boxed()
        },
        |world, _| {
            async {
                assert_eq!(world.droplet(DROPLET).await, Value::Null);
                assert!(world.control.get("volumes", VOLUME).await.unwrap().is_some());
            }
            .boxed()
        },
    ),
    row(
        "DeleteDroplet",
        "that is gone already",
        |_| async { json!({ "droplet_provider_id": "1" }) }.boxed(),
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row("PowerOnDroplet", "that is off", |world| off(world).boxed(), is_on),
    row("PowerOnDroplet", "that is on", |_| async { droplet() }.boxed(), is_on),
    row("PowerOffDroplet", "that is on", |_| async { droplet() }.boxed(), is_off),
    row("PowerOffDroplet", "that is off", |world| off(world).boxed(), is_off),
    row(
        "PowerOffDroplet",
        "that does not heed",
        |world| {
            async {
                world.control.inject(Fault::new("*", Effect::IgnoreAction).action("shutdown")).await.unwrap();
                droplet()
            }
            .boxed()
        },
        |world, _| {
            async {
                assert_eq!(world.droplet(DROPLET).await["status"], "off");
                let actions = world.actions(DROPLET).await;
                assert_eq!(actions, ["shutdown", "power_off"]);
            }
            .boxed()
        },
    ),
    row(
        "PowerOffDroplet",
        "at once",
        |_| async { json!({ "droplet_provider_id": DROPLET, "grace_seconds": 0 }) }.boxed(),
        |world, _| async { assert_eq!(world.actions(DROPLET).await, ["power_off"]) }.boxed(),
    ),
    row(
        "ResizeDroplet",
        "that is on",
        |_| async { json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb" }) }.boxed(),
        |world, _| {
            async {
                let droplet = world.droplet(DROPLET).await;
                assert_eq!((&droplet["size_slug"], &droplet["vcpus"]), (&json!("s-4vcpu-8gb"), &json!(4)));
                assert_eq!((&droplet["disk"], &droplet["status"]), (&json!(80), &json!("active")));
                assert_eq!(world.actions(DROPLET).await, ["shutdown", "resize", "power_on"]);
            }
            .boxed()
        },
    ),
    row(
        "ResizeDroplet",
        "that is off, with its disk",
        |world| {
            async {
                off(world).await;
                json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb", "disk": true })
            }
            .boxed()
        },
        |world, _| {
            async {
                let droplet = world.droplet(DROPLET).await;
                assert_eq!((&droplet["disk"], &droplet["status"]), (&json!(160), &json!("off")));
            }
            .boxed()
        },
    ),
    row(
        "ResizeDroplet",
        "that has the size",
        |_| async { json!({ "droplet_provider_id": DROPLET, "size": "S-2vcpu-4gb", "disk": true }) }.boxed(),
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "RenameDroplet",
        "to another name",
        |_| async { json!({ "droplet_provider_id": DROPLET, "name": "web-one" }) }.boxed(),
        |world, _| async { assert_eq!(world.droplet(DROPLET).await["name"], "web-one") }.boxed(),
    ),
    row(
        "RenameDroplet",
        "to its name",
        |_| async { json!({ "droplet_provider_id": DROPLET, "name": "web-1" }) }.boxed(),
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "RestoreDroplet",
        "from a snapshot",
        |world| {
            async {
                let snapshot = json!({ "id": "7555620", "resource_type": "droplet", "resource_id": DROPLET });
                world.control.put("snapshots", snapshot).await.unwrap();
                json!({ "droplet_provider_id": DROPLET, "image": "7555620" })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.droplet(DROPLET).await["image"]["id"], 7_555_620) }.boxed(),
    ),
    row(
        "EnableBackups",
        "that are disabled",
        |_| async { droplet() }.boxed(),
        |world, _| async { assert!(has_backups(world).await) }.boxed(),
    ),
    row(
        "EnableBackups",
        "on Saturdays",
        |_| {
            let policy = json!({ "plan": "weekly", "weekday": "SAT", "hour": 20 });
            async move { json!({ "droplet_provider_id": DROPLET, "backup_policy": policy }) }.boxed()
        },
        |world, _| {
            async {
                assert!(has_backups(world).await);
                let policy = policy(world).await;
                assert_eq!((&policy["plan"], &policy["weekday"]), (&json!("weekly"), &json!("SAT")), "{policy}");
                assert_eq!(policy["hour"], 20);
            }
            .boxed()
        },
    ),
    row(
        "EnableBackups",
        "that are enabled",
        |world| {
            async {
                world.control.change("droplets", DROPLET, json!({ "backups": true })).await.unwrap();
                droplet()
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "EnableBackups",
        "that are enabled, at other times",
        |world| {
            async {
                let policy = json!({ "plan": "weekly", "weekday": "SAT", "hour": 20 });
                world.act(DROPLET, json!({ "type": "enable_backups", "backup_policy": policy })).await;
                json!({ "droplet_provider_id": DROPLET, "backup_policy": { "plan": "daily", "hour": 4 } })
            }
            .boxed()
        },
        |world, _| {
            async {
                assert!(has_backups(world).await);
                let policy = policy(world).await;
                assert_eq!((&policy["plan"], &policy["hour"]), (&json!("daily"), &json!(4)));
            }
            .boxed()
        },
    ),
    row(
        "EnableBackups",
        "that are enabled, at these times",
        |world| {
            async {
                let policy = json!({ "plan": "daily", "hour": 20 });
                world.act(DROPLET, json!({ "type": "enable_backups", "backup_policy": policy })).await;
                world.control.reset_requests().await.unwrap();
                // The API does not return the weekday of daily backups.
                let policy = json!({ "plan": "daily", "weekday": "SAT" });
                json!({ "droplet_provider_id": DROPLET, "backup_policy": policy })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "DisableBackups",
        "on Saturdays",
        |world| {
            async {
                let policy = json!({ "plan": "weekly", "weekday": "SAT", "hour": 20 });
                world.act(DROPLET, json!({ "type": "enable_backups", "backup_policy": policy })).await;
                droplet()
            }
            .boxed()
        },
        |world, _| async { assert!(!has_backups(world).await) }.boxed(),
    ),
    row(
        "DisableBackups",
        "that are disabled",
        |_| async { droplet() }.boxed(),
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "DisableBackups",
        "that may be lost",
        |world| {
            async {
                let with = json!({ "backups": true, "backup_ids": [7_555_620] });
                world.control.change("droplets", DROPLET, with).await.unwrap();
                json!({ "droplet_provider_id": DROPLET, "discard_backups": true })
            }
            .boxed()
        },
        |world, _| async { assert!(!has_backups(world).await) }.boxed(),
    ),
];

fn droplet() -> Value {
    json!({ "droplet_provider_id": DROPLET })
}

async fn off(world: &StepWorld) -> Value {
    world.control.change("droplets", DROPLET, json!({ "status": "off" })).await.unwrap();
    droplet()
}

fn is_on(world: &StepWorld, _: Values) -> BoxFuture<'_, ()> {
    async { assert_eq!(world.droplet(DROPLET).await["status"], "active") }.boxed()
}

fn is_off(world: &StepWorld, _: Values) -> BoxFuture<'_, ()> {
    async { assert_eq!(world.droplet(DROPLET).await["status"], "off") }.boxed()
}

async fn has_backups(world: &StepWorld) -> bool {
    world.droplet(DROPLET).await["features"].as_array().unwrap().contains(&json!("backups"))
}

async fn policy(world: &StepWorld) -> Value {
    let route = "/v2/droplets/{id}/backups/policy";
    let path = Endpoint { route, parent: None, id: Some(DROPLET), scope: "droplet:read" };
    world.cloud.fetch(path, "policy", &[]).await.unwrap().unwrap()["backup_policy"].clone()
}
