//! Reserved addresses and records of domains.

use futures::FutureExt;
use serde_json::{Value, json};

use super::{StepCase, fails, row};
use crate::saga::steps::tests::world::{DROPLET, OTHER_DROPLET, StepWorld};

const IP: &str = "45.55.96.47";
const RECORDS: &str = "domains/example.com/records";
const RECORD: &str = "28448429";

pub(super) static ROWS: &[StepCase] = &[
    row(
        "AssignReservedIP",
        "that leads nowhere",
        |world| {
            async {
                address(world, None).await;
                json!({ "ip": IP, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(leads_to(world).await, DROPLET) }.boxed(),
    ),
    row(
        "AssignReservedIP",
        "that leads there already",
        |world| {
            async {
                address(world, Some(DROPLET)).await;
                json!({ "ip": IP, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(leads_to(world).await, DROPLET) }.boxed(),
    ),
    row(
        "AssignReservedIP",
        "that is taken from another droplet",
        |world| {
            async {
                address(world, Some(OTHER_DROPLET)).await;
                json!({ "ip": IP, "droplet_provider_id": DROPLET, "reassign": true })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(leads_to(world).await, DROPLET) }.boxed(),
    ),
    fails("AssignReservedIP", "that leads to another droplet", |world| {
        async {
            address(world, Some(OTHER_DROPLET)).await;
            json!({ "ip": IP, "droplet_provider_id": DROPLET })
        }
        .boxed()
    }),
    row(
        "UnassignReservedIP",
        "that leads there",
        |world| {
            async {
                address(world, Some(DROPLET)).await;
                json!({ "ip": IP, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(leads_to(world).await, "null") }.boxed(),
    ),
    row(
        "UnassignReservedIP",
        "that leads to another droplet",
        |world| {
            async {
                address(world, Some(OTHER_DROPLET)).await;
                json!({ "ip": IP, "droplet_provider_id": DROPLET })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(leads_to(world).await, OTHER_DROPLET) }.boxed(),
    ),
    row(
        "CreateDomainRecord",
        "of a name that has none",
        |world| {
            async {
                record(world, "mail").await;
                json!({ "domain": "example.com", "type": "A", "name": "www", "data": "192.0.2.1", "ttl": 60 })
            }
            .boxed()
        },
        |world, output| {
            async move {
                let record = world.control.get(RECORDS, output["record_id"].as_str().unwrap()).await.unwrap().unwrap();
                assert_eq!((&record["name"], &record["data"]), (&json!("www"), &json!("192.0.2.1")));
                assert_eq!((&record["type"], &record["ttl"]), (&json!("A"), &json!(60)));
            }
            .boxed()
        },
    ),
    row(
        "CreateDomainRecord",
        "beside one that looks the same",
        |world| {
            async {
                record(world, "www").await;
                json!({ "domain": "example.com", "type": "A", "name": "www.example.com.", "data": "192.0.2.1" })
            }
            .boxed()
        },
        |world, output| {
            async move {
                assert_ne!(output["record_id"], "28448429");
                assert!(world.control.get(RECORDS, output["record_id"].as_str().unwrap()).await.unwrap().is_some());
            }
            .boxed()
        },
    ),
    row(
        "CreateDomainRecord",
        "that leads to a host",
        |world| {
            async {
                record(world, "www").await;
                json!({ "domain": "example.com", "type": "MX", "name": "@", "data": "mail.example.org", "priority": 10 })
            }
            .boxed()
        },
        |world, output| {
            async move {
                let record = world.control.get(RECORDS, output["record_id"].as_str().unwrap()).await.unwrap().unwrap();
                assert_eq!((&record["data"], &record["priority"]), (&json!("mail.example.org"), &json!(10)));
            }
            .boxed()
        },
    ),
    row(
        "UpdateDomainRecord",
        "that leads to a host, to another",
        |world| {
            async {
                mail(world).await;
                json!({ "domain": "example.com", "record_id": RECORD, "data": "b.example.org", "priority": 20 })
            }
            .boxed()
        },
        |world, _| {
            async {
                let record = world.control.get(RECORDS, RECORD).await.unwrap().unwrap();
                assert_eq!((&record["data"], &record["priority"]), (&json!("b.example.org"), &json!(20)));
            }
            .boxed()
        },
    ),
    row(
        "UpdateDomainRecord",
        "that leads to a host, in its time only",
        |world| {
            async {
                mail(world).await;
                json!({ "domain": "example.com", "record_id": RECORD, "ttl": 60 })
            }
            .boxed()
        },
        |world, _| {
            async {
                let record = world.control.get(RECORDS, RECORD).await.unwrap().unwrap();
                assert_eq!((&record["data"], &record["ttl"]), (&json!("mail.example.org"), &json!(60)));
            }
            .boxed()
        },
    ),
    row(
        "UpdateDomainRecord",
        "in some fields",
        |world| {
            async {
                record(world, "www").await;
                json!({ "domain": "example.com", "record_id": "28448429", "name": "www", "data": "192.0.2.9", "ttl": 60 })
            }
            .boxed()
        },
        |world, _| {
            async {
                let record = world.control.get(RECORDS, "28448429").await.unwrap().unwrap();
                assert_eq!((&record["data"], &record["ttl"]), (&json!("192.0.2.9"), &json!(60)));
                assert_eq!((&record["name"], &record["type"]), (&json!("www"), &json!("A")));
            }
            .boxed()
        },
    ),
    row(
        "UpdateDomainRecord",
        "that says so already",
        |world| {
            async {
                record(world, "www").await;
                json!({ "domain": "example.com", "record_id": 28_448_429, "name": "WWW.example.com", "ttl": 1800 })
            }
            .boxed()
        },
        |world, _| async { assert_eq!(world.changes().await, 0) }.boxed(),
    ),
];

/// Adds a reserved IP that is assigned to this droplet.
async fn address(world: &StepWorld, droplet: Option<&str>) {
    let droplet = match droplet {
        Some(id) => world.control.get("droplets", id).await.unwrap().unwrap(),
        None => Value::Null,
    };
    world.control.put("reserved_ips", json!({ "ip": IP, "region": "nyc3", "droplet": droplet })).await.unwrap();
}

async fn leads_to(world: &StepWorld) -> String {
    world.control.get("reserved_ips", IP).await.unwrap().unwrap()["droplet"]["id"].to_string()
}

/// Adds a domain with a record of this name.
async fn record(world: &StepWorld, name: &str) {
    put(world, json!({ "id": 28_448_429, "type": "A", "name": name, "data": "192.0.2.1" })).await;
}

/// Adds a domain with a record of a host name.
async fn mail(world: &StepWorld) {
    let record = json!({ "id": 28_448_429, "type": "MX", "name": "@", "data": "mail.example.org", "priority": 10 });
    put(world, record).await;
}

async fn put(world: &StepWorld, record: Value) {
    world.control.put("domains", json!({ "name": "example.com" })).await.unwrap();
    world.control.put(RECORDS, record).await.unwrap();
}
