//! Undoing where others changed the value since: a third value is neither kept in silence nor overwritten.

use serde_json::{Value, json};

use super::{
    each,
    journey::journey,
    world::{DROPLET, OTHER_DROPLET, StepWorld},
};
use crate::saga::step::Failure;

const UUID: &str = "4de7ac8b-495b-4884-9a69-1050c6793cd6";
const OTHER: &str = "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30";
const THIRD: &str = "506f78a4-e098-11e5-ad9f-000f53306ae1";
const IP: &str = "45.55.96.47";
const RECORDS: &str = "domains/example.com/records";

/// A step, and the values that others set after it.
struct Row {
    step: &'static str,
    parameters: Value,
    collection: &'static str,
    id: &'static str,
    /// Merge patches of the document.
    earlier: Value,
    third: Value,
    /// The start of the refusal.
    says: &'static str,
}

fn rows() -> Vec<Row> {
    let row = |step, parameters, (collection, id), [earlier, third]: [Value; 2], says| Row {
        step,
        parameters,
        collection,
        id,
        earlier,
        third,
        says,
    };
    let volume = json!({ "volume_id": UUID, "droplet_provider_id": DROPLET });
    let attached = json!({ "volume_id": OTHER, "droplet_provider_id": DROPLET });
    // Without growing the disk.
    let size = |slug: &str| json!({ "size_slug": slug, "disk": 80 });
    let assigned = |id: &str| json!({ "droplet": { "id": id.parse::<u64>().unwrap() } });
    let address = json!({ "ip": IP, "droplet_provider_id": DROPLET });
    vec![
        row(
            "RenameDroplet",
            json!({ "droplet_provider_id": DROPLET, "name": "web-one" }),
            ("droplets", DROPLET),
            [json!({ "name": "web-1" }), json!({ "name": "web-uno" })],
            "name of droplet 3164444",
        ),
        row(
            "ResizeDroplet",
            json!({ "droplet_provider_id": DROPLET, "size": "s-4vcpu-8gb" }),
            ("droplets", DROPLET),
            [size("s-2vcpu-4gb"), size("s-8vcpu-16gb")],
            "size_slug of droplet 3164444",
        ),
        row(
            "AssignToProject",
            json!({ "kind": "LoadBalancer", "id": UUID, "project_id": OTHER }),
            ("load_balancers", UUID),
            [json!({ "project_id": UUID }), json!({ "project_id": THIRD })],
            "project_id of LoadBalancer",
        ),
        row(
            "UpdateDomainRecord",
            json!({ "domain": "example.com", "record_id": 7, "ttl": 60 }),
            (RECORDS, "7"),
            [json!({ "ttl": 1800 }), json!({ "ttl": 300 })],
            "ttl of record 7 of example.com",
        ),
        row(
            "AttachVolume",
            volume,
            ("volumes", UUID),
            [json!({ "droplet_ids": [] }), json!({ "droplet_ids": [3_164_445] })],
            "droplet_ids of volume",
        ),
        row(
            "DetachVolume",
            attached,
            ("volumes", OTHER),
            [json!({ "droplet_ids": [3_164_444] }), json!({ "droplet_ids": [3_164_445] })],
            "volume 9cc10173-e9ea-4176-9dbc-a4cee4c4ff30 was attached to droplet 3164444 and is",
        ),
        row(
            "AssignReservedIP",
            address,
            ("reserved_ips", IP),
            [json!({ "droplet": null }), assigned(OTHER_DROPLET)],
            "droplet of reserved IP 45.55.96.47",
        ),
        row(
            "UnassignReservedIP",
            json!({ "ip": "192.0.2.7", "droplet_provider_id": DROPLET }),
            ("reserved_ips", "192.0.2.7"),
            [assigned(DROPLET), assigned(OTHER_DROPLET)],
            "reserved IP 192.0.2.7 was assigned to droplet 3164444 before",
        ),
    ]
}

async fn furnish(world: &StepWorld) {
    let droplet = world.droplet(DROPLET).await;
    for (collection, document) in [
        ("projects", json!({ "id": UUID, "name": "a" })),
        ("projects", json!({ "id": OTHER, "name": "b" })),
        ("load_balancers", json!({ "id": UUID, "project_id": UUID })),
        ("domains", json!({ "name": "example.com" })),
        (RECORDS, json!({ "id": 7, "type": "A", "name": "www", "data": "192.0.2.1", "ttl": 1800 })),
        ("volumes", json!({ "id": UUID, "name": "a", "region": "nyc3", "droplet_ids": [] })),
        ("volumes", json!({ "id": OTHER, "name": "b", "region": "nyc3", "droplet_ids": [3_164_444] })),
        ("reserved_ips", json!({ "ip": IP, "region": "nyc3", "droplet": null })),
        ("reserved_ips", json!({ "ip": "192.0.2.7", "region": "nyc3", "droplet": droplet })),
    ] {
        world.control.put(collection, document).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_refuses_a_third_value_and_leaves_the_earlier_one() {
    each(rows(), async |row| {
        let _permit = super::WORLDS.acquire().await.unwrap();
        let world = StepWorld::start().await;
        furnish(&world).await;
        let mut done = journey(&world, row.step, &row.parameters);
        done.go().await.unwrap();
        let set = async |patch: &Value| {
            world.control.change(row.collection, row.id, patch.clone()).await.unwrap();
            world.control.reset_requests().await.unwrap();
        };
        set(&row.third).await;
        match done.undo().await {
            Err(Failure::Permanent(why)) => assert!(why.starts_with(row.says), "{}: {why}", row.step),
            undone => panic!("{}: {undone:?}", row.step),
        }
        assert_eq!(world.changes().await, 0, "{}", row.step);
        set(&row.earlier).await;
        assert_eq!((done.undo().await, world.changes().await), (Ok(()), 0), "{}", row.step);
    })
    .await;
}
