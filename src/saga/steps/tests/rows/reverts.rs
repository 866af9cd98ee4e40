//! Steps that restore recorded values.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{StepCase, row};
use crate::saga::steps::tests::world::{DROPLET, OTHER_DROPLET, StepWorld};

const UUID: &str = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";

pub(super) static ROWS: &[StepCase] = &[
    row(
        "UpdateResource",
        "that changes one field of a project",
        |world| {
            async {
                let project = json!({ "id": UUID, "name": "web", "description": "", "purpose": "Other: shop" });
                set_up(world, "projects", "Project", project, "purpose", json!("Web Application")).await
            }
            .boxed()
        },
        |world, _| {
            async {
                assert_eq!(said(world, "projects", "purpose").await, "Web Application");
                assert_eq!(said(world, "projects", "name").await, "web");
            }
            .boxed()
        },
    ),
    row(
        "UpdateResource",
        "that has the value, written in another way",
        |world| {
            async {
                let project = json!({ "id": UUID, "name": "web", "purpose": "Other: shop" });
                set_up(world, "projects", "Project", project, "purpose", json!("shop")).await
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
    row(
        "UpdateResource",
        "that is a rule of a firewall",
        |world| {
            async {
                let rules = json!([rule("tcp", "443", &["0.0.0.0/0"])]);
                set_up(world, "firewalls", "Firewall", firewall(), "inbound_rules", rules).await
            }
            .boxed()
        },
        |world, _| {
            async {
                assert_eq!(said(world, "firewalls", "inbound_rules").await[0]["ports"], "443");
                let droplets = said(world, "firewalls", "droplet_ids").await;
                assert_eq!(droplets, json!([DROPLET.parse::<u64>().unwrap()]));
                assert_eq!(said(world, "firewalls", "outbound_rules").await.as_array().unwrap().len(), 1);
            }
            .boxed()
        },
    ),
    row(
        "UpdateResource",
        "that are the droplets of a firewall",
        |world| {
            async {
                let droplets = json!([OTHER_DROPLET]);
                set_up(world, "firewalls", "Firewall", firewall(), "droplet_ids", droplets).await
            }
            .boxed()
        },
        |world, _| {
            async {
                let droplets = said(world, "firewalls", "droplet_ids").await;
                assert_eq!(droplets, json!([OTHER_DROPLET.parse::<u64>().unwrap()]));
                assert_eq!(world.changes().await, 2, "one is added, and one is removed");
            }
            .boxed()
        },
    ),
    row(
        "UpdateResource",
        "that is the window of a database",
        |world| {
            async {
                let window = json!({ "day": "tuesday", "hour": "14:00:00", "pending": false });
                let database = json!({ "id": UUID, "status": "online", "maintenance_window": window });
                set_up(world, "databases", "Database", database, "maintenance_window", json!({ "hour": "02:00" })).await
            }
            .boxed()
        },
        |world, _| {
            async {
                let window = said(world, "databases", "maintenance_window").await;
                assert_eq!((&window["day"], &window["hour"]), (&json!("tuesday"), &json!("02:00:00")));
            }
            .boxed()
        },
    ),
    row(
        "UpdateResource",
        "that is the number of nodes of a database",
        |world| {
            async {
                let database = json!({ "id": UUID, "status": "online", "num_nodes": 1, "size": "db-s-2vcpu-4gb", "storage_size_mib": 61_440 });
                set_up(world, "databases", "Database", database, "num_nodes", json!(2)).await
            }
            .boxed()
        },
        |world, _| async { assert_eq!(said(world, "databases", "num_nodes").await, 2) }.boxed(),
    ),
    row(
        "UpdateResource",
        "that holds credentials",
        |world| {
            async {
                let slack = |name: &str| {
                    let url = format!("https://hooks.slack.com/services/{name}");
                    json!({ "email": [], "slack": [{ "channel": "ops", "url": url }] })
                };
                let policy = json!({ "uuid": UUID, "alerts": slack("old") });
                set_up(world, "monitoring/alerts", "AlertPolicy", policy, "alerts", slack("new")).await
            }
            .boxed()
        },
        |world, _| {
            async {
                let alerts = said(world, "monitoring/alerts", "alerts").await;
                assert_eq!(alerts["slack"][0]["url"], "https://hooks.slack.com/services/new");
            }
            .boxed()
        },
    ),
    row(
        "UpdateNodePool",
        "that changes two pools",
        |world| {
            async {
                let node = |id: &str| json!({ "id": id, "name": id, "status": { "state": "running" } });
                let pools = json!([
                    { "id": UUID, "name": "web", "size": "s-1vcpu-2gb", "count": 2, "labels": { "a": "b" },
                        "nodes": [node("a"), node("b")] },
                    { "id": PROJECT, "name": "jobs", "size": "s-1vcpu-2gb", "count": 1, "nodes": [node("c")] },
                ]);
                let status = json!({ "state": "running" });
                let cluster = json!({ "id": UUID, "node_pools": pools, "status": status, "tags": [] });
                let desired = json!([
                    { "name": "web", "labels": { "a": "c" } }, { "name": "jobs", "tags": ["blue"], "max_nodes": 3 },
                ]);
                set_up(world, "kubernetes/clusters", "KubernetesCluster", cluster, "node_pools", desired).await
            }
            .boxed()
        },
        |world, _| {
            async {
                let pools = said(world, "kubernetes/clusters", "node_pools").await;
                assert_eq!((&pools[0]["count"], &pools[0]["labels"]), (&json!(2), &json!({ "a": "c" })));
                let tags = pools[1]["tags"].as_array().unwrap();
                assert!(tags.contains(&json!("blue")) && tags.contains(&json!("k8s")), "{tags:?}");
                assert_eq!(pools[1]["count"], 1);
            }
            .boxed()
        },
    ),
    row(
        "AssignToProject",
        "that is a load balancer",
        |world| {
            async {
                world.control.put("projects", json!({ "id": PROJECT, "name": "shop" })).await.unwrap();
                world.control.put("projects", json!({ "id": UUID, "name": "web" })).await.unwrap();
                let balancer = json!({ "id": UUID, "project_id": PROJECT });
                world.control.put("load_balancers", balancer).await.unwrap();
                json!({ "kind": "LoadBalancer", "id": UUID, "project_id": UUID })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(said(world, "load_balancers", "project_id").await, UUID) }.boxed(),
    ),
    row(
        "EnableIPv6",
        "that is running",
        |_| async { json!({ "droplet_provider_id": DROPLET }) }.boxed(),
        |world, _| {
            async {
                let droplet = world.droplet(DROPLET).await;
                assert!(droplet["features"].as_array().unwrap().contains(&json!("ipv6")), "{droplet}");
                assert_eq!(droplet["status"], "active");
                assert_eq!(world.actions(DROPLET).await, ["shutdown", "enable_ipv6", "power_on"]);
            }
            .boxed()
        },
    ),
    row(
        "EnableIPv6",
        "that is off",
        |world| {
            async {
                world.act(DROPLET, json!({ "type": "power_off" })).await;
                json!({ "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.droplet(DROPLET).await["status"], "off") }.boxed(),
    ),
];

const PROJECT: &str = "4e1bfbc3-dc3e-41f2-a18f-1b4d7ba71679";

fn firewall() -> Value {
    json!({
        "id": UUID, "name": "web", "status": "succeeded", "pending_changes": [], "tags": [],
        "droplet_ids": [DROPLET.parse::<u64>().unwrap()],
        "inbound_rules": [rule("tcp", "80", &["0.0.0.0/0"])],
        "outbound_rules": [{ "protocol": "tcp", "ports": "0", "destinations": { "addresses": ["0.0.0.0/0"] } }],
    })
}

fn rule(protocol: &str, ports: &str, addresses: &[&str]) -> Value {
    json!({ "protocol": protocol, "ports": ports, "sources": { "addresses": addresses } })
}

/// A resource with a record of one field, and the parameters that restore it.
async fn set_up(
    world: &StepWorld,
    collection: &str,
    kind: &str,
    document: Value,
    field: &str,
    desired: Value,
) -> Value {
    world.control.put(collection, document).await.unwrap();
    world.record("web-1", kind, UUID, &json!({ field: desired }));
    json!({ "kind": kind, "id": UUID, "record": "web-1", "field": field, "allow": "disruption" })
}

async fn said(world: &StepWorld, collection: &str, field: &str) -> Value {
    world.control.get(collection, UUID).await.unwrap().unwrap()[field].clone()
}
