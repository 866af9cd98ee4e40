//! The table of kinds: everything that differs between one kind of cloud resource and the next. A new kind is a row.

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::equivalence::Equivalence;
use crate::nearest::nearest;

/// A kind of cloud resource: one row of the table. It compares, hashes, orders and serialises by its name.
#[derive(Clone, Copy)]
pub struct Kind(&'static Row);

/// How ids of a kind are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFormat {
    /// `3164444`
    Digits,
    /// `3164444` or `ubuntu-24-04-x64`
    DigitsOrSlug,
    /// `6372321` or `fbe805e8-866b-11e6-96bf-000f53315a41`
    DigitsOrUuid,
    /// `506f78a4-e098-11e5-ad9f-000f53306ae1`
    Uuid,
    /// `example.com`
    Name,
    /// `45.55.96.47`
    Ipv4,
    /// `example.com/28448429`: the domain and the record's id in it
    DomainRecord,
}

/// Which live thing: a kind and an id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ResourceKey {
    /// The kind.
    pub kind: Kind,
    /// The id, as the cloud writes it; see [`Kind::id_format`].
    pub id: Arc<str>,
}

/// A limit that DigitalOcean puts on one path besides those of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnLimit {
    /// How many calls...
    pub(super) calls: usize,
    /// ... in any window of this length.
    pub(super) window: Duration,
}

/// An [`OwnLimit`] and what it is called.
pub(super) type Lane = (&'static str, OwnLimit);

/// Where a normalised field takes its value from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A dotted path in the document; the part before the first dot is the field it depends on.
    Path(&'static str),
    /// The image's slug, or its id where it has none.
    Image,
    /// Whether `features` has this item.
    Feature(&'static str),
    /// The address of this version (`v4`, `v6`) and type (`public`, `private`) in `networks`.
    Address(&'static str, &'static str),
    /// A load balancer's `size_unit`, or what its `size` stands for.
    LoadBalancerUnits,
    /// A load balancer's `size`, or the one that stands for its `size_unit`.
    LoadBalancerSize,
}

impl Source {
    /// The top-level field of the document that the value depends on.
    pub(super) fn root(self) -> &'static str {
        match self {
            Self::Path(path) => path.split('.').next().unwrap_or(path),
            Self::Image => "image",
            Self::Feature(_) => "features",
            Self::Address(..) => "networks",
            Self::LoadBalancerUnits | Self::LoadBalancerSize => "size_unit",
        }
    }
}

/// One row: a kind. `{parent}` and `{id}` in paths stand for the two halves of an id.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name in the API `arcadia.cloud`.
    pub(super) name: &'static str,
    /// The list's path.
    pub(super) list: &'static str,
    /// The key of the rows in the list's answer.
    pub(super) key: &'static str,
    /// The lists that together show the kind, each as extra query parameters.
    pub(super) walks: &'static [&'static str],
    /// The path of one resource.
    pub(super) get: &'static str,
    /// The key of the resource in that answer.
    pub(super) envelope: &'static str,
    /// How its ids are written.
    pub(super) id: IdFormat,
    /// The field of the document that holds the id.
    pub(super) id_field: &'static str,
    /// The token's scope that both paths need.
    pub(super) scope: &'static str,
    /// A limit of these paths besides the token's.
    pub(super) own_limit: Option<OwnLimit>,
    /// Whether the list comes in pages.
    pub(super) paged: bool,
    /// Whether resources that exist can be missing in the lists (public images).
    pub(super) lists_a_part: bool,
    /// The document's top-level fields.
    pub(super) fields: &'static [&'static str],
    /// Fields that this operator derives from the document; they win over the document's own.
    pub(super) normalised: &'static [(&'static str, Source)],
    /// Fields that the cloud changes by itself; nobody should record them without a reason.
    pub(super) volatile: &'static [&'static str],
    /// Fields that can be set but are never returned.
    pub(super) unreadable: &'static [&'static str],
    /// Fields that hold passwords, which no Drift may show.
    pub(super) secret: &'static [&'static str],
    /// Fields that are left out for tokens without a scope. `*` stands for each item of a list.
    pub(super) gated: &'static [(&'static str, &'static str)],
    /// Where a value can be written in more than one way. `*` stands for each item of a list.
    pub(super) equivalences: &'static [(&'static str, Equivalence)],
}

/// What most kinds have in common.
const ROW: Row = Row {
    name: "",
    list: "",
    key: "",
    walks: &[""],
    get: "",
    envelope: "",
    id: IdFormat::Uuid,
    id_field: "id",
    scope: "",
    own_limit: None,
    paged: true,
    lists_a_part: false,
    fields: &[],
    normalised: &[],
    volatile: &[],
    unreadable: &[],
    secret: &[],
    gated: &[],
    equivalences: &[],
};

/// All kinds, by name. Paths, keys, fields and scopes are those of digitalocean/openapi at 7c1300c.
#[rustfmt::skip]
static TABLE: &[Row] = &[
    Row {
        name: "AlertPolicy",
        list: "/v2/monitoring/alerts",
        key: "policies",
        get: "/v2/monitoring/alerts/{id}",
        envelope: "policy",
        id_field: "uuid",
        scope: "monitoring:read",
        fields: &["alerts", "compare", "description", "enabled", "entities", "tags", "type", "uuid", "value", "window"],
        equivalences: &[("tags", Equivalence::Tags)],
        ..ROW
    },
    Row {
        name: "App",
        list: "/v2/apps",
        key: "apps",
        get: "/v2/apps/{id}",
        envelope: "app",
        scope: "app:read",
        fields: &[
            "active_deployment", "created_at", "default_ingress", "domains", "id", "in_progress_deployment",
            "last_deployment_created_at", "live_domain", "live_url", "live_url_base", "owner_uuid", "project_id",
            "pending_deployment", "region", "spec", "tier_slug", "updated_at", "pinned_deployment", "dedicated_ips",
            "vpc",
        ],
        normalised: &[("name", Source::Path("spec.name")), ("region", Source::Path("region.slug"))],
        volatile: &[
            "active_deployment", "created_at", "in_progress_deployment", "last_deployment_created_at",
            "pending_deployment", "updated_at",
        ],
        unreadable: &["update_all_source_versions"],
        gated: &[("project_id", "project:read")],
        equivalences: &[("region", Equivalence::Case), ("spec", Equivalence::AppSpec)],
        ..ROW
    },
    Row {
        name: "CDNEndpoint",
        list: "/v2/cdn/endpoints",
        key: "endpoints",
        get: "/v2/cdn/endpoints/{id}",
        envelope: "endpoint",
        scope: "cdn:read",
        own_limit: Some(OwnLimit { calls: 5, window: Duration::from_secs(10) }),
        fields: &["id", "origin", "endpoint", "ttl", "certificate_id", "custom_domain", "created_at"],
        volatile: &["created_at"],
        equivalences: &[
            ("certificate_id", Equivalence::Certificate), ("custom_domain", Equivalence::Case),
            ("origin", Equivalence::Case),
        ],
        ..ROW
    },
    Row {
        name: "Certificate",
        list: "/v2/certificates",
        key: "certificates",
        get: "/v2/certificates/{id}",
        envelope: "certificate",
        scope: "certificate:read",
        fields: &["id", "name", "not_after", "sha1_fingerprint", "created_at", "dns_names", "state", "type"],
        volatile: &["not_after", "sha1_fingerprint", "created_at", "state"],
        unreadable: &["certificate_chain", "leaf_certificate", "private_key"],
        equivalences: &[("dns_names", Equivalence::CertificateNames)],
        ..ROW
    },
    Row {
        name: "Database",
        list: "/v2/databases",
        key: "databases",
        get: "/v2/databases/{id}",
        envelope: "database",
        scope: "database:read",
        paged: false,
        fields: &[
            "id", "name", "engine", "version", "semantic_version", "num_nodes", "size", "region", "status",
            "created_at", "private_network_uuid", "tags", "db_names", "ui_connection", "schema_registry_connection",
            "connection", "private_connection", "standby_connection", "standby_private_connection", "users",
            "maintenance_window", "project_id", "rules", "version_end_of_life", "version_end_of_availability",
            "storage_size_mib", "metrics_endpoints", "do_settings",
        ],
        volatile: &[
            "status", "created_at", "ui_connection", "schema_registry_connection", "connection",
            "private_connection", "standby_connection", "standby_private_connection", "users", "version_end_of_life",
            "version_end_of_availability",
        ],
        unreadable: &["autoscale", "backup_restore"],
        secret: &[
            "connection", "private_connection", "schema_registry_connection", "standby_connection",
            "standby_private_connection", "ui_connection", "users",
        ],
        gated: &[("private_network_uuid", "vpc:read"), ("tags", "tag:read"), ("project_id", "project:read")],
        equivalences: &[
            ("maintenance_window.day", Equivalence::Case), ("maintenance_window.hour", Equivalence::Hour),
            ("region", Equivalence::Case), ("semantic_version", Equivalence::Version), ("size", Equivalence::Case),
            ("tags", Equivalence::Tags), ("version", Equivalence::Version),
        ],
        ..ROW
    },
    Row {
        name: "Domain",
        list: "/v2/domains",
        key: "domains",
        get: "/v2/domains/{id}",
        envelope: "domain",
        id: IdFormat::Name,
        id_field: "name",
        scope: "domain:read",
        fields: &["name", "ttl", "zone_file"],
        volatile: &["zone_file"],
        unreadable: &["ip_address"],
        equivalences: &[("name", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "DomainRecord",
        list: "/v2/domains/{parent}/records",
        key: "domain_records",
        get: "/v2/domains/{parent}/records/{id}",
        envelope: "domain_record",
        id: IdFormat::DomainRecord,
        scope: "domain:read",
        fields: &["id", "type", "name", "data", "priority", "port", "ttl", "weight", "flags", "tag"],
        equivalences: &[
            ("data", Equivalence::RecordData), ("name", Equivalence::RecordName), ("type", Equivalence::Case),
        ],
        ..ROW
    },
    Row {
        name: "Droplet",
        list: "/v2/droplets",
        key: "droplets",
        // GPU droplets are not in the plain list.
        walks: &["", "type=gpus"],
        get: "/v2/droplets/{id}",
        envelope: "droplet",
        id: IdFormat::Digits,
        scope: "droplet:read",
        fields: &[
            "id", "name", "memory", "vcpus", "disk", "disk_info", "locked", "status", "kernel", "created_at",
            "features", "backup_ids", "next_backup_window", "snapshot_ids", "image", "volume_ids", "size",
            "size_slug", "networks", "region", "tags", "vpc_uuid", "gpu_info",
        ],
        normalised: &[
            ("backups", Source::Feature("backups")), ("image", Source::Image), ("ipv6", Source::Feature("ipv6")),
            ("monitoring", Source::Feature("monitoring")), ("private_ipv4", Source::Address("v4", "private")),
            ("private_networking", Source::Feature("private_networking")),
            ("public_ipv4", Source::Address("v4", "public")), ("public_ipv6", Source::Address("v6", "public")),
            ("region", Source::Path("region.slug")), ("size", Source::Path("size_slug")),
            ("volumes", Source::Path("volume_ids")),
        ],
        volatile: &["locked", "status", "created_at", "backup_ids", "next_backup_window", "snapshot_ids"],
        unreadable: &[
            "backup_policy", "droplet_agent", "names", "public_networking", "resize_disk", "ssh_keys", "user_data",
            "with_droplet_agent",
        ],
        gated: &[
            ("backup_ids", "image:read"), ("snapshot_ids", "image:read"), ("image", "image:read"),
            ("volume_ids", "block_storage:read"), ("tags", "tag:read"), ("vpc_uuid", "vpc:read"),
        ],
        equivalences: &[
            ("features", Equivalence::Case), ("image", Equivalence::Image), ("private_ipv4", Equivalence::Assigned),
            ("public_ipv4", Equivalence::Assigned), ("public_ipv6", Equivalence::Assigned),
            ("region", Equivalence::Case), ("size", Equivalence::Case), ("size_slug", Equivalence::Case),
            ("tags", Equivalence::Tags),
        ],
        ..ROW
    },
    Row {
        name: "Firewall",
        list: "/v2/firewalls",
        key: "firewalls",
        get: "/v2/firewalls/{id}",
        envelope: "firewall",
        scope: "firewall:read",
        fields: &[
            "id", "status", "created_at", "pending_changes", "name", "droplet_ids", "tags", "inbound_rules",
            "outbound_rules",
        ],
        volatile: &["status", "created_at", "pending_changes"],
        gated: &[("droplet_ids", "droplet:read"), ("tags", "tag:read")],
        equivalences: &[
            ("inbound_rules.*", Equivalence::FirewallRule), ("outbound_rules.*", Equivalence::FirewallRule),
            ("tags", Equivalence::Tags),
        ],
        ..ROW
    },
    Row {
        name: "Image",
        list: "/v2/images",
        key: "images",
        walks: &["private=true"],
        get: "/v2/images/{id}",
        envelope: "image",
        id: IdFormat::DigitsOrSlug,
        scope: "image:read",
        lists_a_part: true,
        fields: &[
            "id", "name", "type", "distribution", "slug", "public", "regions", "created_at", "min_disk_size",
            "size_gigabytes", "description", "tags", "status", "error_message",
        ],
        volatile: &["created_at", "status", "error_message"],
        unreadable: &["region", "url"],
        gated: &[("tags", "tag:read")],
        equivalences: &[("regions", Equivalence::Case), ("slug", Equivalence::Case), ("tags", Equivalence::Tags)],
        ..ROW
    },
    Row {
        name: "KubernetesCluster",
        list: "/v2/kubernetes/clusters",
        key: "kubernetes_clusters",
        get: "/v2/kubernetes/clusters/{id}",
        envelope: "kubernetes_cluster",
        scope: "kubernetes:read",
        fields: &[
            "id", "name", "region", "version", "cluster_subnet", "service_subnet", "vpc_uuid", "worker_subnet_uuid",
            "ipv4", "endpoint", "tags", "node_pools", "maintenance_policy", "auto_upgrade", "isolated_workers",
            "status", "created_at", "updated_at", "surge_upgrade", "ha", "registry_enabled", "registries",
            "control_plane_firewall", "cluster_autoscaler_configuration", "sso", "routing_agent",
            "amd_gpu_device_plugin", "amd_gpu_device_metrics_exporter_plugin", "nvidia_gpu_device_plugin",
            "rdma_shared_dev_plugin", "coredns_autoscaler", "p2p_oci_registry_plugin",
        ],
        volatile: &["status", "created_at", "updated_at"],
        gated: &[("vpc_uuid", "vpc:read"), ("worker_subnet_uuid", "vpc:read"), ("tags", "tag:read"), ("node_pools.*.tags", "tag:read")],
        equivalences: &[
            ("cluster_subnet", Equivalence::Address),
            ("control_plane_firewall.allowed_addresses", Equivalence::Address), ("ipv4", Equivalence::Assigned),
            ("maintenance_policy.day", Equivalence::Case), ("maintenance_policy.start_time", Equivalence::Hour),
            ("node_pools.*", Equivalence::NodePool), ("node_pools.*.size", Equivalence::Case),
            ("node_pools.*.tags", Equivalence::Tags), ("region", Equivalence::Case),
            ("service_subnet", Equivalence::Address), ("tags", Equivalence::Tags),
            ("version", Equivalence::ClusterVersion),
        ],
        ..ROW
    },
    Row {
        name: "LoadBalancer",
        list: "/v2/load_balancers",
        key: "load_balancers",
        get: "/v2/load_balancers/{id}",
        envelope: "load_balancer",
        scope: "load_balancer:read",
        fields: &[
            "id", "name", "project_id", "ip", "ipv6", "size_unit", "size", "algorithm", "status", "created_at",
            "forwarding_rules", "health_check", "sticky_sessions", "redirect_http_to_https", "enable_proxy_protocol",
            "enable_backend_keepalive", "http_idle_timeout_seconds", "vpc_uuid", "disable_lets_encrypt_dns_records",
            "firewall", "network", "network_stack", "type", "domains", "glb_settings", "target_load_balancer_ids",
            "tls_cipher_policy", "region", "droplet_ids", "tag",
        ],
        normalised: &[
            ("region", Source::Path("region.slug")), ("size", Source::LoadBalancerSize),
            ("size_unit", Source::LoadBalancerUnits),
        ],
        volatile: &["status", "created_at"],
        equivalences: &[
            ("domains.*.certificate_id", Equivalence::Certificate), ("domains.*.name", Equivalence::Case),
            ("firewall.allow", Equivalence::Address), ("firewall.deny", Equivalence::Address),
            ("forwarding_rules.*.certificate_id", Equivalence::Certificate),
            ("forwarding_rules.*.entry_protocol", Equivalence::Case),
            ("forwarding_rules.*.target_protocol", Equivalence::Case), ("ip", Equivalence::Assigned),
            ("ipv6", Equivalence::Assigned), ("network", Equivalence::Case), ("network_stack", Equivalence::Case),
            ("region", Equivalence::Case), ("size", Equivalence::Case), ("tag", Equivalence::Case),
            ("type", Equivalence::Case),
        ],
        ..ROW
    },
    Row {
        name: "NATGateway",
        list: "/v2/vpc_nat_gateways",
        key: "vpc_nat_gateways",
        get: "/v2/vpc_nat_gateways/{id}",
        envelope: "vpc_nat_gateway",
        scope: "nat_gateway:read",
        fields: &[
            "id", "name", "type", "state", "region", "size", "vpcs", "egresses", "udp_timeout_seconds",
            "icmp_timeout_seconds", "tcp_timeout_seconds", "created_at", "updated_at", "project_id",
        ],
        volatile: &["state", "created_at", "updated_at"],
        equivalences: &[("region", Equivalence::Case), ("type", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "Project",
        list: "/v2/projects",
        key: "projects",
        get: "/v2/projects/{id}",
        envelope: "project",
        scope: "project:read",
        fields: &[
            "id", "owner_uuid", "owner_id", "name", "description", "purpose", "environment", "created_at",
            "updated_at", "is_default",
        ],
        volatile: &["created_at", "updated_at"],
        equivalences: &[("environment", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "Registry",
        list: "/v2/registries",
        key: "registries",
        get: "/v2/registries/{id}",
        envelope: "registry",
        id: IdFormat::Name,
        id_field: "name",
        scope: "registry:read",
        paged: false,
        fields: &[
            "name", "created_at", "region", "storage_usage_bytes", "storage_usage_bytes_updated_at", "subscription",
        ],
        normalised: &[("subscription_tier_slug", Source::Path("subscription.tier.slug"))],
        volatile: &["created_at", "storage_usage_bytes", "storage_usage_bytes_updated_at"],
        equivalences: &[("region", Equivalence::Case), ("subscription_tier_slug", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "ReservedIP",
        list: "/v2/reserved_ips",
        key: "reserved_ips",
        get: "/v2/reserved_ips/{id}",
        envelope: "reserved_ip",
        id: IdFormat::Ipv4,
        id_field: "ip",
        scope: "reserved_ip:read",
        fields: &["ip", "region", "droplet", "locked", "project_id"],
        normalised: &[("droplet_id", Source::Path("droplet.id")), ("region", Source::Path("region.slug"))],
        volatile: &["locked"],
        gated: &[("droplet", "droplet:read"), ("project_id", "project:read")],
        equivalences: &[("region", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "SSHKey",
        list: "/v2/account/keys",
        key: "ssh_keys",
        get: "/v2/account/keys/{id}",
        envelope: "ssh_key",
        id: IdFormat::Digits,
        scope: "ssh_key:read",
        own_limit: Some(OwnLimit { calls: 10, window: Duration::from_mins(1) }),
        fields: &["id", "fingerprint", "public_key", "name"],
        equivalences: &[("public_key", Equivalence::Trimmed)],
        ..ROW
    },
    Row {
        name: "Snapshot",
        list: "/v2/snapshots",
        key: "snapshots",
        get: "/v2/snapshots/{id}",
        envelope: "snapshot",
        id: IdFormat::DigitsOrUuid,
        scope: "snapshot:read",
        fields: &[
            "id", "name", "created_at", "regions", "min_disk_size", "size_gigabytes", "resource_id", "resource_type",
            "tags",
        ],
        volatile: &["created_at"],
        gated: &[("tags", "tag:read")],
        equivalences: &[("regions", Equivalence::Case), ("tags", Equivalence::Tags)],
        ..ROW
    },
    Row {
        name: "UptimeCheck",
        list: "/v2/uptime/checks",
        key: "checks",
        get: "/v2/uptime/checks/{id}",
        envelope: "check",
        scope: "uptime:read",
        fields: &["id", "name", "type", "target", "regions", "enabled"],
        equivalences: &[("regions", Equivalence::Case), ("type", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "VPC",
        list: "/v2/vpcs",
        key: "vpcs",
        get: "/v2/vpcs/{id}",
        envelope: "vpc",
        scope: "vpc:read",
        fields: &["name", "description", "region", "ip_range", "default", "id", "urn", "created_at"],
        volatile: &["created_at"],
        equivalences: &[("ip_range", Equivalence::Address), ("region", Equivalence::Case)],
        ..ROW
    },
    Row {
        name: "VPCPeering",
        list: "/v2/vpc_peerings",
        key: "vpc_peerings",
        get: "/v2/vpc_peerings/{id}",
        envelope: "vpc_peering",
        scope: "vpc_peering:read",
        fields: &["id", "created_at", "status", "vpc_ids", "name"],
        volatile: &["created_at", "status"],
        ..ROW
    },
    Row {
        name: "Volume",
        list: "/v2/volumes",
        key: "volumes",
        get: "/v2/volumes/{id}",
        envelope: "volume",
        scope: "block_storage:read",
        fields: &[
            "id", "droplet_ids", "name", "description", "size_gigabytes", "created_at", "tags", "region",
            "filesystem_type", "filesystem_label",
        ],
        normalised: &[("region", Source::Path("region.slug"))],
        volatile: &["created_at"],
        unreadable: &["snapshot_id"],
        gated: &[("tags", "tag:read")],
        equivalences: &[("region", Equivalence::Case), ("tags", Equivalence::Tags)],
        ..ROW
    },
];

/// The limit of its own that a path has, and its name: that of the kind that it belongs to.
pub(super) fn own_limit(route: &str) -> Option<Lane> {
    let limited = TABLE.iter().find(|row| row.own_limit.is_some() && route.starts_with(row.list))?;
    Some((limited.name, limited.own_limit?))
}

impl Kind {
    /// All kinds, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// Its name, such as `Droplet`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// How its ids are written.
    #[must_use]
    pub fn id_format(self) -> IdFormat {
        self.0.id
    }

    /// The names of its known top-level fields: those that this operator derives, then those of the document.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let normalised = self.0.normalised.iter().map(|(name, _)| *name);
        let derived = move |name: &&str| self.0.normalised.iter().any(|(other, _)| other == name);
        normalised.chain(self.0.fields.iter().copied().filter(move |name| !derived(name)))
    }

    /// Fields that the cloud changes by itself.
    #[must_use]
    pub fn volatile(self) -> &'static [&'static str] {
        self.0.volatile
    }

    /// The whole row, for this room only.
    pub(super) fn row(self) -> &'static Row {
        self.0
    }
}

/// A Markdown table of all kinds, for the generated reference.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "| kind | list | id | fields | changed by the cloud itself | never returned, or secret | need a scope of their own | levelled |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for kind in Kind::all() {
        let row = kind.row();
        let lists = row.walks.iter().map(|walk| match *walk {
            "" => format!("`{}`", row.list),
            walk => format!("`{}?{walk}`", row.list),
        });
        let fields: Vec<_> = kind.fields().collect();
        let gated = row.gated.iter().map(|(field, scope)| format!("`{field}` ({scope})"));
        let levelled = row.equivalences.iter().map(|(field, how)| format!("`{field}`: {}", how.says()));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            lists.collect::<Vec<_>>().join(", "),
            row.id.says(),
            code(&fields),
            code(row.volatile),
            code(&[row.unreadable, row.secret].concat()),
            gated.collect::<Vec<_>>().join(", "),
            levelled.collect::<Vec<_>>().join("; "),
        );
    }
    text
}

fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl IdFormat {
    /// An anchored RE2 expression that ids match, for CEL's `matches()` and JSON schemas.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Digits => "^[1-9][0-9]{0,19}$",
            Self::DigitsOrSlug => "^[a-z0-9][a-z0-9._-]{0,252}$",
            Self::DigitsOrUuid => "^([1-9][0-9]{0,19}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$",
            Self::Uuid => "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            Self::Name => "^[a-z0-9_][a-z0-9._-]{0,252}$",
            Self::Ipv4 => "^(0|[1-9][0-9]{0,2})([.](0|[1-9][0-9]{0,2})){3}$",
            Self::DomainRecord => "^[a-z0-9_][a-z0-9._-]{0,252}/[1-9][0-9]{0,19}$",
        }
    }

    /// What an id must be, to end a sentence that begins with "the id".
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Digits => "must be digits, such as \"3164444\"",
            Self::DigitsOrSlug => "must be digits or a slug, such as \"7555620\" or \"ubuntu-24-04-x64\"",
            Self::DigitsOrUuid => {
                "must be digits or a UUID, such as \"6372321\" or \"fbe805e8-866b-11e6-96bf-000f53315a41\""
            }
            Self::Uuid => "must be a UUID in lower case, such as \"506f78a4-e098-11e5-ad9f-000f53306ae1\"",
            Self::Name => "must be a name in lower case, such as \"example.com\"",
            Self::Ipv4 => "must be an IPv4 address, such as \"45.55.96.47\"",
            Self::DomainRecord => "must be a domain and a record's id, such as \"example.com/28448429\"",
        }
    }

    /// Whether `id` matches [`Self::pattern`].
    #[must_use]
    pub fn admits(self, id: &str) -> bool {
        match self {
            Self::Digits => digits(id),
            Self::DigitsOrSlug => slug(id, false),
            Self::DigitsOrUuid => digits(id) || uuid(id),
            Self::Uuid => uuid(id),
            Self::Name => slug(id, true),
            Self::Ipv4 => ipv4(id),
            Self::DomainRecord => {
                id.split_once('/').is_some_and(|(domain, record)| slug(domain, true) && digits(record))
            }
        }
    }
}

fn digits(id: &str) -> bool {
    (1..=20).contains(&id.len()) && !id.starts_with('0') && id.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn slug(id: &str, underscore_first: bool) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = |byte: u8| letter(byte) || (underscore_first && byte == b'_');
    id.len() <= 253
        && id.bytes().next().is_some_and(first)
        && id.bytes().all(|byte| letter(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

fn ipv4(id: &str) -> bool {
    let part = |part: &str| part == "0" || (part.len() <= 3 && digits(part));
    id.split('.').count() == 4 && id.split('.').all(part)
}

impl ResourceKey {
    /// The resource of this kind and id.
    pub fn new(kind: Kind, id: impl Into<Arc<str>>) -> Self {
        Self { kind, id: id.into() }
    }

    /// The domain of a record's id, and the id within it; otherwise nothing and the id.
    pub(super) fn parts(&self) -> (Option<&str>, &str) {
        match (self.kind.id_format(), self.id.split_once('/')) {
            (IdFormat::DomainRecord, Some((parent, id))) => (Some(parent), id),
            _ => (None, &self.id),
        }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| {
            let nearest = nearest(&name, Self::all().map(Self::name)).join(", ");
            let hint = if nearest.is_empty() { String::new() } else { format!("; did you mean {nearest}?") };
            de::Error::custom(format!("there is no kind {name:?}{hint}"))
        })
    }
}

#[cfg(test)]
mod tests;
