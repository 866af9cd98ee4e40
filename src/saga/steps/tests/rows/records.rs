//! Records of desired states.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{StepCase, fails, row};
use crate::{
    api::OPERATOR,
    saga::steps::tests::world::{DROPLET, OTHER_DROPLET, StepWorld},
};

pub(super) static ROWS: &[StepCase] = &[
    row(
        "RecordProvisioned",
        "for the first time",
        |world| {
            async {
                world.cluster().await;
                parameters()
            }
            .boxed()
        },
        |world, output| {
            async move {
                assert_eq!((&output["name"], &output["version"]), (&json!("web-1"), &json!(1)));
                let spec = &world.cluster().await.said("web-1").await["spec"];
                assert_eq!(spec["resource"], json!({ "kind": "Droplet", "id": DROPLET }));
                assert_eq!(spec["desired"], parameters()["desired"]);
                assert_eq!((&spec["provisionedBy"], &spec["sagaRef"]["name"]), (&json!("jane"), &json!("trial")));
            }
            .boxed()
        },
    ),
    row(
        "RecordProvisioned",
        "over what a person has recorded",
        |world| {
            async {
                let desired = json!({ "size_slug": "s-1vcpu-1gb", "name": "web-1", "region": "nyc3" });
                recorded(world, "kubectl", DROPLET, desired).await;
                parameters()
            }
            .boxed()
        },
        |world, output| {
            async move {
                assert_eq!(output["version"], 2);
                let spec = &world.cluster().await.said("web-1").await["spec"];
                let desired = json!({ "size_slug": "s-2vcpu-4gb", "name": "web-1", "region": "nyc3" });
                assert_eq!((&spec["desired"], &spec["provisionedBy"]), (&desired, &json!("jane")));
            }
            .boxed()
        },
    ),
    row(
        "RecordProvisioned",
        "over what was recorded from here",
        |world| {
            async {
                let desired = json!({ "size_slug": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64" });
                recorded(world, OPERATOR, DROPLET, desired).await;
                parameters()
            }
            .boxed()
        },
        |world, _| {
            async {
                let spec = &world.cluster().await.said("web-1").await["spec"];
                assert_eq!(spec["desired"], parameters()["desired"]);
            }
            .boxed()
        },
    ),
    fails("RecordProvisioned", "over the record of another resource", |world| {
        async {
            recorded(world, "kubectl", OTHER_DROPLET, json!({})).await;
            parameters()
        }
        .boxed()
    }),
    row(
        "UnrecordProvisioned",
        "of a person",
        |world| {
            async {
                recorded(world, "kubectl", DROPLET, json!({ "size_slug": "s-1vcpu-1gb" })).await;
                json!({ "name": "web-1" })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.cluster().await.said("web-1").await, Value::Null) }.boxed(),
    ),
    row(
        "UnrecordProvisioned",
        "that is gone",
        |world| {
            async {
                world.cluster().await;
                json!({ "name": "web-1" })
            }
            .boxed()
        },
        |_, _| async {}.boxed(),
    ),
];

fn parameters() -> Value {
    let desired = json!({ "size_slug": "s-2vcpu-4gb", "region": "nyc3" });
    json!({ "name": "web-1", "kind": "Droplet", "id": DROPLET, "desired": desired, "provisioned_by": "jane" })
}

/// Creates a record.
async fn recorded(world: &StepWorld, manager: &str, id: &str, desired: Value) {
    let spec = json!({
        "resource": { "kind": "Droplet", "id": id }, "desired": desired, "provisionedBy": "john",
        "drift": { "ignore": ["tags"] },
    });
    let cluster = world.cluster().await;
    cluster.apply("web-1", manager, json!({ "spec": spec })).await;
    let metadata = json!({ "labels": { "team": "web" }, "annotations": { "example.com/ticket": "7" } });
    cluster.edit("web-1", "kubectl-label", json!({ "metadata": metadata })).await;
}
