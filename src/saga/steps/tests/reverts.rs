//! A revert changes one field: each write of the kinds' rules, done and undone in the simulated account.

use std::sync::Mutex;

use digitalocean_simulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    each,
    journey::Journey,
    world::{DROPLET, OTHER_DROPLET, World, difference},
};
use crate::{
    digitalocean::{
        FieldSet, Kind, Live, ResourceKey,
        revert::{Allow, Plan, Revert, SelectedTags, plan, revertible},
    },
    saga::{
        step::{Failure, Progress},
        steps::named,
    },
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
        "droplet_ids": droplets(&[DROPLET]), "forwarding_rules": [rule], "project_id": UUID,
        "health_check": { "protocol": "http", "port": 80, "path": "/live", "check_interval_seconds": 10,
            "response_timeout_seconds": 5, "healthy_threshold": 5, "unhealthy_threshold": 3 },
    })
}

fn global_balancer() -> Value {
    let mut balancer = balancer();
    for (key, value) in [("type", json!("GLOBAL")), ("droplet_ids", json!([])), ("network", json!("EXTERNAL"))] {
        balancer[key] = value;
    }
    for key in ["size", "size_unit"] {
        balancer.as_object_mut().unwrap().remove(key);
    }
    let settings = json!({ "target_protocol": "http", "target_port": 80, "cdn": { "is_enabled": true } });
    balancer["glb_settings"] = settings;
    balancer["domains"] = json!([{ "name": "a.example.com", "is_managed": false }]);
    balancer["target_load_balancer_ids"] = json!([]);
    balancer
}

fn database() -> Value {
    let rule = |value: &str| json!({ "type": "ip_addr", "value": value });
    json!({
        "id": UUID, "status": "online", "size": "db-s-2vcpu-4gb", "num_nodes": 1, "engine": "pg", "version": "15",
        "maintenance_window": { "day": "tuesday", "hour": "14:00:00", "pending": false }, "project_id": UUID,
        "rules": [rule("192.0.2.1"), rule("192.0.2.2")], "storage_size_mib": 61440, "db_names": ["a"],
        "private_network_uuid": UUID,
    })
}

fn cluster() -> Value {
    json!({
        "id": UUID, "name": "web", "status": { "state": "running" }, "tags": ["blue"], "surge_upgrade": true,
        "auto_upgrade": false, "ha": false, "version": "1.33.1-do.3",
        "maintenance_policy": { "day": "monday", "start_time": "04:00", "duration": "4h" },
        "control_plane_firewall": { "enabled": true, "allowed_addresses": ["192.0.2.1"] },
        "node_pools": [{ "name": "web", "size": "s-1vcpu-2gb", "count": 1, "labels": { "a": "b" } }],
    })
}

/// A drift of every field that can be reverted.
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut of = |kind, collection, id, document: Value, drifts: Value| {
        for (field, desired) in drifts.as_object().unwrap() {
            // One table of literals: it lives as long as the test.
            let field: &'static str = Box::leak(field.clone().into_boxed_str());
            cases.push(case(kind, collection, id, document.clone(), field, desired.clone()));
        }
    };
    let rule = |ports: &str| json!({ "protocol": "tcp", "ports": ports, "sources": { "addresses": ["0.0.0.0/0"] } });
    of(
        "AlertPolicy",
        "monitoring/alerts",
        UUID,
        json!({
            "uuid": UUID, "value": 80, "window": "5m", "enabled": true, "description": "busy", "tags": ["web"],
            "alerts": { "email": ["a@example.com"], "slack": [] }, "compare": "GreaterThan", "entities": [],
        }),
        json!({
            "value": 90, "window": "10m", "tags": ["prod"], "enabled": false, "description": "idle",
            "compare": "LessThan", "entities": [3_164_444], "type": "v1/insights/droplet/load_1",
            "alerts": { "email": [], "slack": [{ "channel": "ops", "url": "https://hooks.slack.com/services/x" }] },
        }),
    );
    of("App", "apps", UUID, json!({ "id": UUID, "project_id": UUID }), json!({ "project_id": OTHER }));
    of(
        "CDNEndpoint",
        "cdn/endpoints",
        UUID,
        json!({ "id": UUID, "ttl": 3600, "custom_domain": "a.example.com", "certificate_id": UUID }),
        json!({ "ttl": "60", "custom_domain": "b.example.com", "certificate_id": "other" }),
    );
    of(
        "Database",
        "databases",
        UUID,
        database(),
        json!({
            "maintenance_window": { "day": "monday" }, "maintenance_window.hour": "02:00", "num_nodes": 2,
            "rules": [{ "type": "ip_addr", "value": "192.0.2.1" }, { "type": "ip_addr", "value": "192.0.2.9" }],
            "version": "16", "tags": ["web"], "project_id": OTHER, "region": "ams3", "private_network_uuid": OTHER,
            "do_settings": { "service_cnames": ["db.example.com"] }, "db_names": ["a", "b"],
            "size": "db-s-4vcpu-8gb", "storage_size_mib": 81920,
        }),
    );
    of(
        "DomainRecord",
        "domains/example.com/records",
        "example.com/7",
        json!({ "id": 7, "type": "SRV", "name": "_sip._tcp", "data": "a.example.com", "priority": 1, "port": 2, "weight": 3,
            "ttl": 1800 }),
        json!({ "name": "_xmpp._tcp", "data": "b.example.com", "priority": 10, "port": 20, "weight": 30, "ttl": 60 }),
    );
    // Relative to the domain.
    for data in ["b", "b.c"] {
        of(
            "DomainRecord",
            "domains/example.com/records",
            "example.com/9",
            json!({ "id": 9, "type": "CNAME", "name": "www", "data": "a.example.com", "ttl": 1800 }),
            json!({ "data": data }),
        );
    }
    of(
        "DomainRecord",
        "domains/example.com/records",
        "example.com/8",
        json!({ "id": 8, "type": "CAA", "name": "@", "data": "letsencrypt.org", "flags": 0, "tag": "issue", "ttl": 1800 }),
        json!({ "flags": 128, "tag": "issuewild" }),
    );
    of(
        "Droplet",
        "droplets",
        DROPLET,
        json!({}),
        json!({
            "name": "web-9", "tags": ["web", "new"], "size": "s-4vcpu-8gb", "size_slug": "s-4vcpu-8gb", "status": "off",
            "backups": true, "volume_ids": [UUID], "volumes": [UUID], "ipv6": true, "features": ["backups"], "disk": 80,
        }),
    );
    of(
        "Firewall",
        "firewalls",
        UUID,
        firewall(),
        json!({
            "name": "shop", "inbound_rules": [rule("443"), rule("22")], "inbound_rules.0.ports": "8080",
            "outbound_rules": [{ "protocol": "icmp", "destinations": { "addresses": ["192.0.2.1"] } }],
            "droplet_ids": droplets(&[OTHER_DROPLET]), "tags": ["prod"],
        }),
    );
    of(
        "Image",
        "images",
        "777",
        json!({ "id": 777, "name": "base", "description": "x", "distribution": "Debian", "type": "custom" }),
        json!({ "name": "other", "description": "y", "distribution": "Ubuntu", "tags": ["web"] }),
    );
    of(
        "KubernetesCluster",
        "kubernetes/clusters",
        UUID,
        cluster(),
        json!({
            "name": "shop", "tags": ["green"], "surge_upgrade": false, "maintenance_policy.day": "friday", "ha": true,
            "maintenance_policy": { "start_time": "06:00" }, "auto_upgrade": true, "version": "1.34",
            "cluster_autoscaler_configuration": { "expanders": ["priority"] }, "coredns_autoscaler": { "enabled": true },
            "amd_gpu_device_metrics_exporter_plugin": { "enabled": true }, "p2p_oci_registry_plugin": { "enabled": true },
            "routing_agent": { "enabled": true }, "amd_gpu_device_plugin": { "enabled": true },
            "nvidia_gpu_device_plugin": { "enabled": true }, "rdma_shared_dev_plugin": { "enabled": true },
            "control_plane_firewall": { "allowed_addresses": ["192.0.2.9"] }, "registry_enabled": true,
            "sso": { "enabled": true, "issuer_url": "https://id.example.com", "client_id": "x" }, "registries": ["shop"],
            "node_pools": [{ "name": "web", "labels": { "a": "c" }, "tags": ["blue"] }],
        }),
    );
    of(
        "LoadBalancer",
        "load_balancers",
        UUID,
        balancer(),
        json!({
            "name": "shop", "health_check": { "port": 8080 }, "health_check.path": "/ready", "tag": "prod",
            "forwarding_rules": [{ "entry_protocol": "http", "entry_port": 80, "target_port": 9090 }],
            "droplet_ids": droplets(&[OTHER_DROPLET]), "redirect_http_to_https": true, "project_id": OTHER,
            "enable_backend_keepalive": true, "http_idle_timeout_seconds": 90, "disable_lets_encrypt_dns_records": true,
            "size": "lb-medium", "size_unit": 3, "enable_proxy_protocol": true, "tls_cipher_policy": "STRONG",
            "sticky_sessions": { "type": "cookies", "cookie_name": "a", "cookie_ttl_seconds": 60 },
            "firewall": { "allow": ["192.0.2.1"], "deny": ["cidr:198.51.100.0/24"] },
        }),
    );
    of("LoadBalancer", "load_balancers", UUID, balancer(), json!({ "firewall": { "deny": ["cidr:198.51.100.0/24"] } }));
    of(
        "LoadBalancer",
        "load_balancers",
        UUID,
        global_balancer(),
        json!({
            "domains": [{ "name": "b.example.com", "is_managed": false }], "target_load_balancer_ids": [OTHER],
            "glb_settings": { "target_port": 8080 },
        }),
    );
    of(
        "NATGateway",
        "vpc_nat_gateways",
        UUID,
        json!({ "id": UUID, "state": "ACTIVE" }),
        json!({ "name": "other", "tcp_timeout_seconds": 60, "udp_timeout_seconds": 60, "icmp_timeout_seconds": 60, "size": 2 }),
    );
    of(
        "Project",
        "projects",
        UUID,
        json!({ "id": UUID, "name": "web", "description": "x", "purpose": "Other: shop", "environment": "Staging",
            "is_default": false }),
        json!({ "name": "shop", "description": "y", "purpose": "Web Application", "environment": "production",
            "is_default": true }),
    );
    of(
        "Registry",
        "registries",
        "shop",
        json!({ "name": "shop" }),
        json!({ "subscription_tier_slug": "professional", "subscription": { "tier": { "slug": "professional" } } }),
    );
    of(
        "ReservedIP",
        "reserved_ips",
        "192.0.2.7",
        json!({ "ip": "192.0.2.7", "region": "nyc3", "project_id": UUID }),
        json!({ "project_id": OTHER, "droplet_id": DROPLET }),
    );
    of(
        "Snapshot",
        "snapshots",
        "888",
        json!({ "id": "888", "name": "a", "resource_type": "droplet" }),
        json!({ "name": "b", "tags": ["web"] }),
    );
    of("SSHKey", "account/keys", "512189", json!({ "id": 512_189, "name": "a" }), json!({ "name": "b" }));
    of(
        "UptimeCheck",
        "uptime/checks",
        UUID,
        json!({ "id": UUID, "name": "a", "type": "https", "target": "https://a.example.com", "regions": ["us_east"],
            "enabled": true }),
        json!({ "name": "b", "type": "http", "target": "https://b.example.com", "regions": ["eu_west"], "enabled": false }),
    );
    of(
        "Volume",
        "volumes",
        UUID,
        json!({ "id": UUID, "size_gigabytes": 10, "droplet_ids": [] }),
        json!({ "tags": ["web"], "size_gigabytes": 20, "droplet_ids": droplets(&[DROPLET]) }),
    );
    of(
        "VPC",
        "vpcs",
        UUID,
        json!({ "id": UUID, "name": "a", "description": "x", "default": false, "region": "nyc3" }),
        json!({ "name": "b", "description": "y", "default": true }),
    );
    of(
        "VPCPeering",
        "vpc_peerings",
        UUID,
        json!({ "id": UUID, "name": "a", "status": "ACTIVE" }),
        json!({ "name": "b" }),
    );
    cases
}

/// Fields that one write of a field changes too, since they say the same.
fn follows(case: &Case) -> &'static [&'static str] {
    match (case.kind, case.field) {
        ("LoadBalancer", "size" | "size_unit") => &["size", "size_unit"],
        ("LoadBalancer", "tag") => &["droplet_ids"],
        ("Database", "region") => &["private_network_uuid"],
        ("Database", "version") => &["semantic_version"],
        ("Database", "size") => &["storage_size_mib"],
        ("KubernetesCluster", "registry_enabled" | "registries") => &["registry_enabled", "registries"],
        ("Droplet", "size" | "size_slug") => &["size", "size_slug", "memory", "vcpus", "disk"],
        ("Droplet", "backups" | "features" | "ipv6") => {
            &["features", "networks", "next_backup_window", "backup_policy"]
        }
        ("Droplet", "volumes") => &["volume_ids"],
        ("ReservedIP", "droplet_id") => &["droplet", "project_id"],
        ("Registry", _) => &["subscription"],
        _ => &[],
    }
}

/// What else is in the account.
async fn furnish(world: &World) {
    let mut domain = vec![("domains", json!({ "name": "example.com" }))];
    domain.extend([
        ("projects", json!({ "id": OTHER, "name": "other", "is_default": true })),
        ("projects", json!({ "id": UUID, "name": "first" })),
        ("vpcs", json!({ "id": OTHER, "name": "other", "region": "nyc3", "default": true })),
        ("certificates", json!({ "id": UUID, "name": "cert" })),
        ("certificates", json!({ "id": OTHER, "name": "other" })),
        ("registries", json!({ "name": "shop" })),
        ("load_balancers", json!({ "id": OTHER, "name": "other" })),
        ("volumes", json!({ "id": UUID, "region": "nyc3", "size_gigabytes": 10 })),
        // A snapshot of a droplet is an image too.
        ("images", json!({ "id": 888, "name": "a", "type": "snapshot" })),
    ]);
    for (collection, document) in domain {
        world.control.put(collection, document).await.unwrap();
    }
}

/// Puts the resource and its record there, and plans the revert.
async fn set_up(world: &World, case: &Case) -> Result<Plan, String> {
    furnish(world).await;
    let mut document = case.document.clone();
    match case.kind {
        "Droplet" if case.field == "disk" => {
            drop(world.control.change("droplets", DROPLET, json!({ "disk": 40 })).await.unwrap());
        }
        "Droplet" => {}
        "LoadBalancer" => {
            document["vpc_uuid"] = world.droplet(DROPLET).await["vpc_uuid"].clone();
            world.control.put(case.collection, document).await.unwrap();
        }
        _ => drop(world.control.put(case.collection, document).await.unwrap()),
    }
    if case.kind == "Database" {
        // The VPC of the cluster, and the one in the recorded region.
        world.control.put("vpcs", json!({ "id": UUID, "name": "here", "region": "nyc3" })).await.unwrap();
    }
    world.record("web-1", case.kind, case.id, &json!({ case.field: case.desired }));
    let live = live(world, case).await;
    let revert = Revert { field: case.field, desired: &case.desired, document: &live, selected: &SelectedTags::new() };
    plan(&revert, "web-1", Allow::Disruption).map_err(|error| error.to_string())
}

/// The parameters of the first step.
async fn parameters(world: &World, case: &Case) -> Value {
    Value::Object(set_up(world, case).await.unwrap().steps[0].with.clone())
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

    /// The id within the collection.
    fn key(&self) -> &'static str {
        self.id.rsplit('/').next().unwrap()
    }

    /// Other collections that a revert of this field changes.
    fn others(&self) -> &'static [&'static str] {
        match (self.kind, self.field) {
            // The other one is no longer the default, and tags and projects list their members.
            ("Droplet", "volume_ids" | "volumes") => &["volumes"],
            ("Volume", "droplet_ids") | ("ReservedIP", "droplet_id") => &["droplets"],
            ("Snapshot", _) => &["images"],
            ("Droplet", "backups" | "features") => &["droplets/backups"],
            _ => &[],
        }
    }
}

#[test]
fn every_field_that_can_be_reverted_has_a_case() {
    let cases = cases();
    let has = |kind: &str, field: &str| {
        cases.iter().any(|case| case.kind == kind && case.field.split('.').next() == Some(field))
    };
    let missing: Vec<_> = Kind::all()
        .flat_map(|kind| revertible(kind).into_iter().map(move |field| (kind.name(), field)))
        .filter(|(kind, field)| !has(kind, field))
        .collect();
    assert_eq!(missing, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_changes_its_field_and_no_other() {
    let failures = Mutex::new(Vec::new());
    each(cases(), async |case| {
        if let Err(why) = revert_and_undo(&case).await {
            failures.lock().unwrap().push(format!("{}: {why}", case.name()));
        }
    })
    .await;
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A list without the ids of its items: a rule that comes back has another one.
fn unnamed(value: &Value) -> Value {
    let mut value = value.clone();
    for item in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        item.retain(|key, _| !["uuid", "created_at", "nodes"].contains(&key.as_str()));
    }
    value
}

/// Runs the steps of a plan, verifies what changed, and undoes them.
async fn revert_and_undo(case: &Case) -> Result<(), String> {
    let _permit = super::WORLDS.acquire().await.unwrap();
    let world = World::start().await;
    let plan = set_up(&world, case).await?;
    if plan.calls.is_empty() || plan.calls.iter().any(|call| call.changes.is_empty()) {
        return Err(format!("the plan says too little: {:?}", plan.calls));
    }
    let before = world.inventory().await;
    let mut journeys = Vec::new();
    for step in &plan.steps {
        let (kind, with) = (named(step.step).unwrap(), Value::Object(step.with.clone()));
        let schema = jsonschema::validator_for(&kind.parameters()).unwrap();
        if let Some(error) = schema.iter_errors(&with).next() {
            return Err(format!("{}: {error}", step.step));
        }
        let is_one_way = kind.check(&with).map_err(|error| format!("{}: {error}", step.step))?.is_some();
        if is_one_way != step.irreversible {
            return Err(format!("{}: irreversible is {}", step.step, step.irreversible));
        }
        let mut journey = Journey::new(&world, kind, &with);
        journey.go().await.map_err(|error| format!("{}: {error}", step.step))?;
        journeys.push((step, journey));
    }
    if live(&world, case).await.restored(case.field, &case.desired) != Ok(None) {
        return Err("it has not got the recorded value".to_owned());
    }
    let after = world.inventory().await;
    let root = case.field.split('.').next().unwrap();
    let ignored = ["updated_at", "pending_changes"];
    for (field, was) in before[case.collection][case.key()].as_object().unwrap() {
        let is = &after[case.collection][case.key()][field];
        if field != root && !follows(case).contains(&field.as_str()) && !ignored.contains(&field.as_str()) && is != was
        {
            return Err(format!("{field} was {was} and is {is}"));
        }
    }
    let changes = difference(&before, &after);
    let is_own = |collection: &&String| {
        *collection == case.collection
            || case.others().contains(&collection.as_str())
            || ["tags", "actions"].contains(&collection.as_str())
            || collection.ends_with("/resources")
    };
    if let Some(other) = changes.as_object().unwrap().keys().find(|collection| !is_own(collection)) {
        return Err(format!("it changed {other}: {}", changes[other]));
    }
    let is_one_way = plan.steps.iter().any(|step| step.irreversible);
    for (step, mut journey) in journeys.into_iter().rev() {
        match (journey.undo().await, step.irreversible) {
            (Ok(()), false) | (Err(Failure::Permanent(_)), true) => {}
            (undone, _) => return Err(format!("undoing {}: {undone:?}", step.step)),
        }
    }
    if !is_one_way {
        let after = world.inventory().await;
        for (field, was) in before[case.collection][case.key()].as_object().unwrap() {
            let is = &after[case.collection][case.key()][field];
            if !ignored.contains(&field.as_str()) && unnamed(is) != unnamed(was) {
                return Err(format!("undone, {field} was {was} and is {is}"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_changed_since_is_not_undone() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
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
    let parameters = parameters(&world, &case).await;
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
    let parameters = parameters(&world, &case).await;
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
    journey.begin().await.unwrap();
    world.record("web-1", "Firewall", UUID, &json!({ "name": "another" }));
    let Err(Failure::Permanent(why)) = journey.call_on().await else { panic!("it should be refused") };
    assert!(why.contains("was changed since the revert was decided"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_desired_value_that_changed_before_the_step_began_is_not_written() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.record("web-1", "Firewall", UUID, &json!({ "name": "another" }));
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("was changed since the revert was decided"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn the_last_step_ends_once_nothing_waits_for_the_value_any_more() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let plan = set_up(&world, &case).await.unwrap();
    let verify = plan.steps.last().unwrap();
    let mut journey = Journey::new(&world, named(verify.step).unwrap(), &Value::Object(verify.with.clone()));
    let Ok(Progress::NotYet { why, .. }) = journey.ask().await else { panic!("it should wait") };
    assert!(why.contains("waiting until name of Firewall"), "{why}");
    for desired in [json!({ "name": "another" }), json!({ "tags": ["web"] })] {
        world.record("web-1", "Firewall", UUID, &desired);
        assert!(matches!(journey.ask().await, Ok(Progress::Done(_))), "{desired}");
    }
    // The value is not looked at, and a record of another resource is still a mistake.
    world.record("web-1", "Firewall", OTHER, &json!({ "name": "shop" }));
    assert!(matches!(journey.go().await, Err(Failure::Permanent(_))));
}

#[tokio::test]
async fn a_value_that_looks_like_a_credential_stays_out_of_the_saga() {
    let world = World::start().await;
    let target = |host: &str| format!("https://probe:CANARY@{host}.example.com");
    let check = json!({ "id": UUID, "name": "a", "type": "https", "target": target("a"), "enabled": true });
    let check = case("UptimeCheck", "uptime/checks", UUID, check, "target", json!(target("b")));
    let plan = set_up(&world, &check).await.unwrap();
    assert!(plan.steps[0].irreversible && !format!("{plan:?}").contains("CANARY"), "{plan:?}");
    let with = Value::Object(plan.steps[0].with.clone());
    let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &with);
    journey.go().await.unwrap();
    assert!(!journey.before().to_string().contains("CANARY"), "{}", journey.before());
    let is = world.control.get("uptime/checks", UUID).await.unwrap().unwrap();
    assert_eq!(is["target"], target("b"));
    // Without the word, nothing is done.
    let mut unsaid = with;
    unsaid.as_object_mut().unwrap().remove("holds_credential");
    world.record("web-1", "UptimeCheck", UUID, &json!({ "target": target("c") }));
    unsaid.as_object_mut().unwrap().remove("digest");
    let why = refusal(&world, &unsaid).await;
    assert!(why.contains("holds_credential") && !why.contains("CANARY"), "{why}");
    // Steps that take the value from the saga are not planned.
    let droplet = case("Droplet", "droplets", DROPLET, json!({}), "name", json!(target("web")));
    let why = set_up(&world, &droplet).await.unwrap_err();
    assert!(why.contains("a saga does not store credentials") && !why.contains("CANARY"), "{why}");
}

#[tokio::test]
async fn ports_are_put_back_in_every_spelling_whichever_the_api_refuses() {
    let rule = |ports: &Value| json!({ "protocol": "tcp", "ports": ports, "sources": { "addresses": ["0.0.0.0/0"] } });
    for refused in ["0", "all"] {
        let world = World::start().await;
        let spelling = Effect::RefusePorts { spelling: refused.to_owned() };
        world.control.inject(Fault::new("/v2/firewalls/*", spelling).method("PUT")).await.unwrap();
        for (recorded, shown) in [
            (json!("all"), "0"),
            (json!("0"), "0"),
            (json!(0), "0"),
            (json!("1-65535"), "0"),
            (json!("0-65535"), "0"),
            (Value::Null, "0"),
            (json!("443"), "443"),
            (json!(443), "443"),
            (json!("443-443"), "443"),
            (json!("8000 - 9000"), "8000-9000"),
        ] {
            // Another rule is for all ports already, in the spelling that the API shows.
            let mut document = firewall();
            document["inbound_rules"] = json!([rule(&json!("22"))]);
            let desired = json!([rule(&recorded)]);
            let case = case("Firewall", "firewalls", UUID, document, "inbound_rules", desired);
            let parameters = parameters(&world, &case).await;
            let mut journey = Journey::new(&world, named("UpdateResource").unwrap(), &parameters);
            journey.go().await.unwrap_or_else(|error| panic!("{recorded}, {refused} refused: {error}"));
            let is = world.control.get("firewalls", UUID).await.unwrap().unwrap();
            assert_eq!(is["inbound_rules"][0]["ports"], shown, "{recorded}, {refused} refused");
            assert_eq!(is["outbound_rules"][0]["ports"], "0");
            assert_eq!(live(&world, &case).await.restored("inbound_rules", &case.desired), Ok(None), "{recorded}");
            journey.undo().await.unwrap_or_else(|error| panic!("undoing {recorded}, {refused} refused: {error}"));
            let is = world.control.get("firewalls", UUID).await.unwrap().unwrap();
            assert_eq!(is["inbound_rules"][0]["ports"], "22", "{recorded}, {refused} refused");
        }
    }
}

/// The reason why `UpdateResource` refuses these parameters for good.
async fn refusal(world: &World, parameters: &Value) -> String {
    match Journey::new(world, named("UpdateResource").unwrap(), parameters).go().await {
        Err(Failure::Permanent(why)) => why,
        _ => panic!("it should be refused"),
    }
}

#[tokio::test]
async fn a_certificate_that_is_gone_is_named() {
    let world = World::start().await;
    let mut document = balancer();
    document["forwarding_rules"][0]["certificate_id"] = json!(OTHER);
    document["forwarding_rules"][0]["entry_protocol"] = json!("https");
    let case = case("LoadBalancer", "load_balancers", UUID, document, "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.control.delete("certificates", OTHER).await.unwrap();
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("certificates that do not exist any more") && why.contains(OTHER), "{why}");
}

#[tokio::test]
async fn a_load_balancer_of_a_cluster_belongs_to_it() {
    let world = World::start().await;
    let case = case("LoadBalancer", "load_balancers", UUID, balancer(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.control.put("kubernetes/clusters", json!({ "id": OTHER, "name": "prod" })).await.unwrap();
    let tags = json!(["web", format!("k8s:{OTHER}")]);
    world.control.change("droplets", DROPLET, json!({ "tags": tags })).await.unwrap();
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("belongs to the Kubernetes cluster prod"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_record_of_another_resource_is_refused() {
    let world = World::start().await;
    let case = case("Firewall", "firewalls", UUID, firewall(), "name", json!("shop"));
    let parameters = parameters(&world, &case).await;
    world.record("web-1", "Firewall", OTHER, &json!({ "name": "shop" }));
    let why = refusal(&world, &parameters).await;
    assert!(why.contains(&format!("describes Firewall {OTHER}")), "{why}");
}

#[tokio::test]
async fn an_effect_that_is_not_allowed_is_refused_before_anything_is_done() {
    let world = World::start().await;
    let rules = json!([{ "protocol": "udp", "ports": "53", "sources": { "addresses": ["192.0.2.1"] } }]);
    let case = case("Firewall", "firewalls", UUID, firewall(), "inbound_rules", rules);
    let mut parameters = parameters(&world, &case).await;
    parameters["allow"] = json!("safe");
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("is Disruptive") && why.contains("arcadia.cloud/revert=allow-disruption"), "{why}");
    parameters["field"] = json!("tags");
    let why = refusal(&world, &parameters).await;
    assert!(why.contains("no longer records tags"), "{why}");
    assert_eq!(world.changes().await, 0);
}

#[tokio::test]
async fn a_pool_gets_and_loses_its_nodes_again() {
    let world = World::start().await;
    let pool = json!({ "name": "web", "size": "s-1vcpu-2gb", "count": 2 });
    let cluster = json!({ "id": UUID, "node_pools": [pool], "status": { "state": "running" }, "tags": [] });
    world.control.put("kubernetes/clusters", cluster).await.unwrap();
    world.record("web-1", "KubernetesCluster", UUID, &json!({ "node_pools": [{ "name": "web", "count": 3 }] }));
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
