//! A revert changes one field: each write of the kinds' rules, done and undone in the simulated account.

use serde_json::{Value, json};

use super::{
    each,
    journey::Journey,
    world::{DROPLET, OTHER_DROPLET, World, difference},
};
use crate::{
    digitalocean::{
        FieldSet, Kind, Live, ResourceKey,
        revert::{Allow, Revert, SelectedTags, plan},
    },
    saga::{step::Failure, steps::named},
};

const UUID: &str = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
const OTHER: &str = "4e1bfbc3-dc3e-41f2-a18f-1b4d7ba71679";

/// A drifted field of a resource.
struct Case {
    kind: &'static str,
    collection: &'static str,
    id: &'static str,
    document: Value,
    field: &'static str,
    desired: Value,
}

fn case(
    kind: &'static str,
    collection: &'static str,
    id: &'static str,
    document: Value,
    field: &'static str,
    desired: Value,
) -> Case {
    Case { kind, collection, id, document, field, desired }
}

fn droplets(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!(id.parse::<u64>().unwrap())).collect()
}

fn firewall() -> Value {
    let rule = |ports: &str| json!({ "protocol": "tcp", "ports": ports, "sources": { "addresses": ["0.0.0.0/0"] } });
    let all = json!({ "protocol": "tcp", "ports": "0", "destinations": { "addresses": ["0.0.0.0/0"] } });
    let icmp = json!({ "protocol": "icmp", "ports": "0", "destinations": { "addresses": ["0.0.0.0/0"] } });
    json!({
        "id": UUID, "name": "web", "status": "succeeded", "pending_changes": [], "tags": ["web"],
        "droplet_ids": droplets(&[DROPLET]), "inbound_rules": [rule("80"), rule("22")], "outbound_rules": [all, icmp],
    })
}

fn balancer() -> Value {
    let rule = json!({
        "entry_protocol": "http", "entry_port": 80, "target_protocol": "http", "target_port": 8080,
        "certificate_id": "", "tls_passthrough": false,
    });
    json!({
        "id": UUID, "name": "web", "status": "active", "size_unit": 2, "size": "lb-small", "tag": "", "region": "nyc3",
        "droplet_ids": droplets(&[DROPLET]), "forwarding_rules": [rule],
        "health_check": { "protocol": "http", "port": 80, "path": "/live", "check_interval_seconds": 10,
            "response_timeout_seconds": 5, "healthy_threshold": 5, "unhealthy_threshold": 3 },
    })
}

fn database() -> Value {
    let rule = |value: &str| json!({ "type": "ip_addr", "value": value });
    json!({
        "id": UUID, "status": "online", "size": "db-s-2vcpu-4gb", "num_nodes": 1, "engine": "pg", "version": "15",
        "maintenance_window": { "day": "tuesday", "hour": "14:00:00", "pending": false },
        "rules": [rule("192.0.2.1"), rule("192.0.2.2")], "storage_size_mib": 61440,
    })
}

fn cluster() -> Value {
    json!({
        "id": UUID, "name": "web", "status": { "state": "running" }, "tags": ["blue"], "surge_upgrade": true,
        "auto_upgrade": false, "ha": false,
        "maintenance_policy": { "day": "monday", "start_time": "04:00", "duration": "4h" },
    })
}

fn cases() -> Vec<Case> {
    let project =
        json!({ "id": UUID, "name": "web", "description": "x", "purpose": "Other: shop", "environment": "Staging" });
    let policy = json!({
        "uuid": UUID, "value": 80, "window": "5m", "enabled": true, "description": "busy", "tags": ["web"],
        "alerts": { "email": ["a@example.com"], "slack": [] },
    });
    let of_firewall = |field, desired| case("Firewall", "firewalls", UUID, firewall(), field, desired);
    let of_balancer = |field, desired| case("LoadBalancer", "load_balancers", UUID, balancer(), field, desired);
    let of_database = |field, desired| case("Database", "databases", UUID, database(), field, desired);
    let of_cluster = |field, desired| case("KubernetesCluster", "kubernetes/clusters", UUID, cluster(), field, desired);
    let of_project = |field, desired| case("Project", "projects", UUID, project.clone(), field, desired);
    let of_policy = |field, desired| case("AlertPolicy", "monitoring/alerts", UUID, policy.clone(), field, desired);
    vec![
        of_project("name", json!("shop")),
        of_project("purpose", json!("Web Application")),
        of_project("environment", json!("production")),
        case("VPC", "vpcs", UUID, json!({ "id": UUID, "name": "a", "description": "x" }), "description", json!("y")),
        case(
            "VPCPeering",
            "vpc_peerings",
            UUID,
            json!({ "id": UUID, "name": "a", "status": "ACTIVE" }),
            "name",
            json!("b"),
        ),
        case("SSHKey", "account/keys", "512189", json!({ "id": 512_189, "name": "a" }), "name", json!("b")),
        case("UptimeCheck", "uptime/checks", UUID, json!({ "id": UUID, "enabled": false }), "enabled", json!(true)),
        case("CDNEndpoint", "cdn/endpoints", UUID, json!({ "id": UUID, "ttl": 3600 }), "ttl", json!("60")),
        case(
            "NATGateway",
            "vpc_nat_gateways",
            UUID,
            json!({ "id": UUID, "state": "ACTIVE", "tcp_timeout_seconds": 30 }),
            "tcp_timeout_seconds",
            json!(60),
        ),
        of_policy("value", json!(90)),
        of_policy("window", json!("10m")),
        of_policy("tags", json!(["prod"])),
        of_firewall("name", json!("shop")),
        of_firewall(
            "inbound_rules",
            json!([{ "protocol": "tcp", "ports": "443", "sources": { "addresses": ["0.0.0.0/0"] } },
            { "protocol": "tcp", "ports": "22", "sources": { "addresses": ["0.0.0.0/0"] } }]),
        ),
        of_firewall("inbound_rules.0.ports", json!("8080")),
        of_firewall("droplet_ids", droplets(&[OTHER_DROPLET])),
        of_firewall("tags", json!(["prod"])),
        of_balancer("name", json!("shop")),
        of_balancer("health_check", json!({ "port": 8080 })),
        of_balancer("health_check.path", json!("/ready")),
        of_balancer("forwarding_rules", json!([{ "entry_protocol": "http", "entry_port": 80, "target_port": 9090 }])),
        of_balancer("droplet_ids", droplets(&[OTHER_DROPLET])),
        of_balancer("redirect_http_to_https", json!(true)),
        of_database("maintenance_window", json!({ "day": "monday" })),
        of_database("maintenance_window.hour", json!("02:00")),
        of_database("num_nodes", json!(2)),
        of_database(
            "rules",
            json!([{ "type": "ip_addr", "value": "192.0.2.1" }, { "type": "ip_addr", "value": "192.0.2.9" }]),
        ),
        of_database("version", json!("16")),
        of_cluster("name", json!("shop")),
        of_cluster("tags", json!(["green"])),
        of_cluster("surge_upgrade", json!(false)),
        of_cluster("maintenance_policy.day", json!("friday")),
        of_cluster("ha", json!(true)),
    ]
}

/// Puts the resource and its record there; the parameters of the step as they are planned.
async fn set_up(world: &World, case: &Case) -> Value {
    world.control.put(case.collection, case.document.clone()).await.unwrap();
    world.record("web-1", case.kind, case.id, json!({ case.field: case.desired }));
    let live = live(world, case).await;
    let revert = Revert { field: case.field, desired: &case.desired, document: &live, selected: &SelectedTags::new() };
    let plan = plan(&revert, "web-1", Allow::DataLoss).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
    assert_eq!(plan.steps[0].step, "UpdateResource", "{}", case.name());
    assert!(!plan.calls.is_empty() && plan.calls.iter().all(|call| !call.changes.is_empty()), "{plan:?}");
    Value::Object(plan.steps[0].with.clone())
}

async fn live(world: &World, case: &Case) -> Live {
    let kind = Kind::named(case.kind).unwrap();
    let key = ResourceKey::new(kind, case.id);
    world.cloud.live(&key, FieldSet::of_values(kind, [(case.field, &case.desired)])).await.unwrap().unwrap()
}

impl Case {
    fn name(&self) -> String {
        format!("{} {} {}", self.kind, self.field, self.desired)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_changes_its_field_and_no_other() {
    each(cases(), async |case| {
        let world = World::start().await;
        let parameters = set_up(&world, &case).await;
        let before = world.inventory().await;
        let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
        journey.go().await.unwrap_or_else(|error| panic!("{}: {error}", case.name()));

        let after = live(&world, &case).await;
        let compared = after.restored(case.field, &case.desired);
        assert_eq!(compared, Ok(None), "{}: it has the recorded value", case.name());
        let changes = difference(&before, &world.inventory().await);
        let collections: Vec<_> = changes.as_object().unwrap().keys().collect();
        assert_eq!(collections, [case.collection], "{}: {changes}", case.name());
        let document = &changes[case.collection]["changed"][case.id];
        assert!(document.is_object(), "{}: {changes}", case.name());
        let root = case.field.split('.').next().unwrap();
        let follows = ["updated_at", "semantic_version", "pending_changes"];
        for (field, was) in before[case.collection][case.id].as_object().unwrap() {
            let is = &world.control.get(case.collection, case.id).await.unwrap().unwrap()[field];
            assert!(
                field == root || follows.contains(&field.as_str()) || is == was,
                "{}: {field} was {was} and is {is}",
                case.name()
            );
        }

        let undone = journey.undo().await;
        let is_one_way = named("UpdateResource").unwrap().check(&parameters).unwrap().is_some();
        if is_one_way {
            assert!(matches!(undone, Err(Failure::Permanent(_))), "{}: {undone:?}", case.name());
        } else {
            undone.unwrap_or_else(|error| panic!("{}: {error}", case.name()));
            let left = difference(&before, &world.inventory().await);
            assert_eq!(left, json!({}), "{}", case.name());
        }
    })
    .await;
}

#[tokio::test]
async fn what_somebody_else_changed_since_is_not_undone() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = set_up(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.go().await.unwrap();
    world.control.change("firewalls", UUID, json!({ "name": "theirs" })).await.unwrap();
    let Err(Failure::Permanent(why)) = journey.undo().await else { panic!("it should be refused") };
    assert!(why.contains("neither the earlier value nor the one that this step wrote"), "{why}");
    assert_eq!(world.control.get("firewalls", UUID).await.unwrap().unwrap()["name"], "theirs");
}

#[tokio::test]
async fn another_field_that_somebody_changes_meanwhile_stays() {
    let world = World::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = set_up(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    world.control.change("load_balancers", UUID, json!({ "http_idle_timeout_seconds": 90 })).await.unwrap();
    journey.call_on().await.unwrap();
    world.control.change("load_balancers", UUID, json!({ "enable_proxy_protocol": true })).await.unwrap();
    journey.undo().await.unwrap();
    let balancer = world.control.get("load_balancers", UUID).await.unwrap().unwrap();
    assert_eq!((&balancer["name"], &balancer["http_idle_timeout_seconds"]), (&json!("web"), &json!(90)));
    assert_eq!(balancer["enable_proxy_protocol"], true);
}

#[tokio::test]
async fn a_record_that_changed_since_is_not_written() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = set_up(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    world.record("web-1", "Firewall", UUID, json!({ "name": "another" }));
    let Err(Failure::Permanent(why)) = journey.call_on().await else { panic!("it should be refused") };
    assert!(why.contains("was changed since this step started"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_record_of_another_resource_is_refused() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = set_up(&world, &case).await;
    world.record("web-1", "Firewall", OTHER, json!({ "name": "shop" }));
    let Err(Failure::Permanent(why)) = Journey::new(&world, named("UpdateResource").unwrap(), &parameters).go().await
    else {
        panic!("it should be refused")
    };
    assert!(why.contains(&format!("describes Firewall {OTHER}")), "{why}");
}

#[tokio::test]
async fn an_effect_that_is_not_allowed_is_refused_before_anything_is_done() {
    let world = World::start().await;
    let rules = json!([{ "protocol": "udp", "ports": "53", "sources": { "addresses": ["192.0.2.1"] } }]);
    let case = case("Firewall", "firewalls", UUID, firewall(), "inbound_rules", rules);
    let mut parameters = set_up(&world, &case).await;
    parameters["allow"] = json!("safe");
    let Err(Failure::Permanent(why)) = Journey::new(&world, named("UpdateResource").unwrap(), &parameters).go().await
    else {
        panic!("it should be refused")
    };
    assert!(why.contains("is Disruptive") && why.contains("arcadia.cloud/revert=allow-disruption"), "{why}");
    parameters["field"] = json!("tags");
    let Err(Failure::Permanent(why)) = Journey::new(&world, named("UpdateResource").unwrap(), &parameters).go().await
    else {
        panic!("it should be refused")
    };
    assert!(why.contains("no longer records tags"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_pool_gets_and_loses_its_nodes_again() {
    let world = World::start().await;
    let pool = json!({ "name": "web", "size": "s-1vcpu-2gb", "count": 2 });
    let cluster = json!({ "id": UUID, "node_pools": [pool], "status": { "state": "running" }, "tags": [] });
    world.control.put("kubernetes/clusters", cluster).await.unwrap();
    world.record("web-1", "KubernetesCluster", UUID, json!({ "node_pools": [{ "name": "web", "count": 3 }] }));
    let parameters =
        json!({ "kind": "KubernetesCluster", "id": UUID, "record": "web-1", "field": "node_pools", "allow": "safe" });
    let count = async || {
        let cluster = world.control.get("kubernetes/clusters", UUID).await.unwrap().unwrap();
        (cluster["node_pools"][0]["count"].clone(), cluster["node_pools"][0]["nodes"].as_array().unwrap().len())
    };
    let mut journey = Journey::new(&world, named("UpdateNodePool").unwrap(), &parameters);
    journey.go().await.unwrap();
    assert_eq!(count().await, (json!(3), 3));
    journey.undo().await.unwrap();
    assert_eq!(count().await.0, 2);
}
