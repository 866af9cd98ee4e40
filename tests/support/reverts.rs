//! A drift of every field that can be reverted: the live document, and the desired value.

use digitalocean_simulator::Control;
use serde_json::{Value, json};

pub(super) const UUID: &str = "3d80cb72-342b-4aaa-b92e-4e4abb24a933";
pub(super) const OTHER: &str = "4e1bfbc3-dc3e-41f2-a18f-1b4d7ba71679";
/// The droplets of the account.
pub(super) const DROPLET: &str = "3164444";
pub(super) const OTHER_DROPLET: &str = "3164445";

/// A drifted field of a resource.
pub(super) struct Case {
    pub kind: &'static str,
    pub collection: &'static str,
    pub id: &'static str,
    pub document: Value,
    pub field: &'static str,
    pub desired: Value,
}

pub(super) fn case(
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

pub(super) fn firewall() -> Value {
    let rule = |ports: &str| json!({ "protocol": "tcp", "ports": ports, "sources": { "addresses": ["0.0.0.0/0"] } });
    let all = json!({ "protocol": "tcp", "ports": "0", "destinations": { "addresses": ["0.0.0.0/0"] } });
    let icmp = json!({ "protocol": "icmp", "ports": "0", "destinations": { "addresses": ["0.0.0.0/0"] } });
    json!({
        "id": UUID, "name": "web", "status": "succeeded", "pending_changes": [], "tags": ["web"],
        "droplet_ids": droplets(&[DROPLET]), "inbound_rules": [rule("80"), rule("22")], "outbound_rules": [all, icmp],
    })
}

pub(super) fn balancer() -> Value {
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

pub(super) fn cluster() -> Value {
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
pub(super) fn cases() -> Vec<Case> {
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
            "node_pools": [{ "name": "web", "labels": { "a": "c", "d": "e" }, "tags": ["blue"] }],
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

impl Case {
    pub(super) fn name(&self) -> String {
        format!("{} {} {}", self.kind, self.field, self.desired)
    }

    /// The id within the collection.
    pub(super) fn key(&self) -> &'static str {
        self.id.rsplit('/').next().unwrap()
    }

    /// The fields of other resources that a revert of this field changes.
    pub(super) fn others(&self) -> Vec<Other> {
        let of = |collection, id: &Value, fields| {
            vec![Other { collection, id: id.as_str().map_or_else(|| id.to_string(), str::to_owned), fields }]
        };
        match (self.kind, self.field) {
            ("Droplet", "volume_ids" | "volumes") => of("volumes", &self.desired[0], &["droplet_ids"]),
            ("Volume", "droplet_ids") => of("droplets", &self.desired[0], &["volume_ids"]),
            ("ReservedIP", "droplet_id") => of("droplets", &self.desired, &["networks"]),
            ("Snapshot", _) => of("images", &json!(self.id), &["name", "tags"]),
            ("Droplet", "backups" | "features") => of("droplets/backups", &json!(self.id), &[]),
            // One of them is the default.
            ("Project", "is_default") => of("projects", &json!(OTHER), &["is_default", "updated_at"]),
            ("VPC", "default") => of("vpcs", &json!(OTHER), &["default"]),
            _ => Vec::new(),
        }
    }

    /// Fields that one write of a field changes too, since they say the same.
    pub(super) fn follows(&self) -> &'static [&'static str] {
        match (self.kind, self.field) {
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
            ("Droplet", "disk") => &["disk_info"],
            ("ReservedIP", "droplet_id") => &["droplet", "project_id"],
            ("Registry", _) => &["subscription"],
            _ => &[],
        }
    }
}

/// A part of another resource; without fields, the whole of it.
pub(super) struct Other {
    pub collection: &'static str,
    pub id: String,
    pub fields: &'static [&'static str],
}

/// Stores the resource of a case in the account.
pub(super) async fn store(account: &Control, case: &Case) {
    let mut document = case.document.clone();
    if case.kind == "LoadBalancer" {
        let droplet = account.get("droplets", DROPLET).await.unwrap().unwrap();
        document["vpc_uuid"] = droplet["vpc_uuid"].clone();
    }
    if case.kind == "Droplet" {
        if account.get("droplets", case.id).await.unwrap().is_none() {
            let id: u64 = case.id.parse().unwrap();
            let droplet = json!({
                "id": id, "name": format!("web-{id}"), "size_slug": "s-2vcpu-4gb", "region": "nyc3",
                "image": "ubuntu-24-04-x64", "tags": ["web", "old"], "features": [],
            });
            account.put("droplets", droplet).await.unwrap();
        }
        if case.field == "disk" {
            account.change("droplets", case.id, json!({ "disk": 40 })).await.unwrap();
        }
    } else {
        account.put(case.collection, document).await.unwrap();
    }
}

/// The other objects of the account: collections and documents.
pub(super) fn furniture() -> Vec<(&'static str, Value)> {
    vec![
        ("domains", json!({ "name": "example.com" })),
        ("projects", json!({ "id": OTHER, "name": "other", "is_default": true })),
        ("projects", json!({ "id": UUID, "name": "first" })),
        ("vpcs", json!({ "id": OTHER, "name": "other", "region": "nyc3", "default": true })),
        ("vpcs", json!({ "id": UUID, "name": "here", "region": "nyc3" })),
        ("certificates", json!({ "id": UUID, "name": "cert" })),
        ("certificates", json!({ "id": OTHER, "name": "other" })),
        ("registries", json!({ "name": "shop" })),
        ("load_balancers", json!({ "id": OTHER, "name": "other" })),
        ("volumes", json!({ "id": UUID, "region": "nyc3", "size_gigabytes": 10 })),
        // A snapshot of a droplet is an image too.
        ("images", json!({ "id": 888, "name": "a", "type": "snapshot" })),
    ]
}
