//! The kinds of resources, one row each: the path and the key of the list, and the form of the id.

use serde_json::Value;

use crate::values::text_of;

/// The form of a resource's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    Uuid,
    Integer,
    /// A number written as text.
    Text,
    /// Chosen by the creator.
    Given,
}

/// One kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The list's path below `/v2`; `{}` is a parent's id.
    pub(crate) collection: &'static str,
    /// The envelope of the list.
    pub(crate) key: &'static str,
    /// The envelope of one resource.
    pub(crate) one: &'static str,
    pub(crate) id_field: &'static str,
    pub(crate) id: Id,
    /// True if the list has pages and `meta`.
    pub(crate) paged: bool,
    /// True if `region` is an object.
    pub(crate) region_object: bool,
    /// A second field that identifies a resource.
    pub(crate) alias: Option<&'static str>,
    /// The status of a successful create.
    pub(crate) created: u16,
    /// The status of a successful delete.
    pub(crate) deleted: u16,
    /// The status of a successful update.
    pub(crate) updated: u16,
}

const PAGED: Kind = Kind {
    collection: "",
    key: "",
    one: "",
    id_field: "id",
    id: Id::Uuid,
    paged: true,
    region_object: false,
    alias: None,
    created: 201,
    deleted: 204,
    updated: 200,
};
const UNPAGED: Kind = Kind { paged: false, ..PAGED };

const fn kind(collection: &'static str, key: &'static str, one: &'static str, rest: Kind) -> Kind {
    Kind { collection, key, one, ..rest }
}

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    kind("droplets", "droplets", "droplet", Kind { id: Id::Integer, created: 202, ..PAGED }),
    kind("droplets/autoscale", "autoscale_pools", "autoscale_pool", Kind { created: 202, deleted: 202, ..PAGED }),
    kind("droplets/autoscale/{}/members", "droplets", "droplet", Kind { id_field: "droplet_id", id: Id::Integer, ..PAGED }),
    kind("volumes", "volumes", "volume", Kind { region_object: true, ..PAGED }),
    kind("snapshots", "snapshots", "snapshot", Kind { id: Id::Text, ..PAGED }),
    kind("images", "images", "image", Kind { id: Id::Integer, alias: Some("slug"), created: 202, ..PAGED }),
    kind("load_balancers", "load_balancers", "load_balancer", Kind { region_object: true, created: 202, ..PAGED }),
    kind("databases", "databases", "database", UNPAGED),
    kind("databases/{}/events", "events", "event", UNPAGED),
    kind("firewalls", "firewalls", "firewall", Kind { created: 202, ..PAGED }),
    kind("vpcs", "vpcs", "vpc", PAGED),
    kind("vpc_peerings", "vpc_peerings", "vpc_peering", Kind { created: 202, deleted: 202, ..PAGED }),
    kind("vpc_nat_gateways", "vpc_nat_gateways", "vpc_nat_gateway", Kind { created: 202, deleted: 202, ..PAGED }),
    kind("kubernetes/clusters", "kubernetes_clusters", "kubernetes_cluster", Kind { updated: 202, ..PAGED }),
    kind("domains", "domains", "domain", Kind { id_field: "name", id: Id::Given, ..PAGED }),
    kind("domains/{}/records", "domain_records", "domain_record", Kind { id: Id::Integer, ..PAGED }),
    kind("reserved_ips", "reserved_ips", "reserved_ip", Kind { id_field: "ip", id: Id::Given, region_object: true, created: 202, ..PAGED }),
    kind("reserved_ipv6", "reserved_ipv6s", "reserved_ipv6", Kind { id_field: "ip", id: Id::Given, ..PAGED }),
    kind("byoip_prefixes", "byoip_prefixes", "byoip_prefix", Kind { id_field: "uuid", created: 202, deleted: 202, updated: 202, ..PAGED }),
    kind("projects", "projects", "project", PAGED),
    kind("projects/{}/resources", "resources", "resource", Kind { id_field: "urn", id: Id::Given, created: 200, ..PAGED }),
    kind("tags", "tags", "tag", Kind { id_field: "name", id: Id::Given, ..PAGED }),
    kind("spaces/keys", "keys", "key", Kind { id_field: "access_key", ..PAGED }),
    kind("cdn/endpoints", "endpoints", "endpoint", PAGED),
    kind("apps", "apps", "app", Kind { created: 200, deleted: 200, ..PAGED }),
    kind("apps/{}/deployments", "deployments", "deployment", PAGED),
    kind("certificates", "certificates", "certificate", PAGED),
    kind("account/keys", "ssh_keys", "ssh_key", Kind { id: Id::Integer, alias: Some("fingerprint"), ..PAGED }),
    kind("functions/namespaces", "namespaces", "namespace", Kind { id_field: "namespace", created: 200, ..UNPAGED }),
    kind("registries", "registries", "registry", Kind { id_field: "name", id: Id::Given, ..UNPAGED }),
    kind("monitoring/alerts", "policies", "policy", Kind { id_field: "uuid", created: 200, ..PAGED }),
    kind("monitoring/sinks/destinations", "destinations", "destination", Kind { created: 200, ..UNPAGED }),
    kind("uptime/checks", "checks", "check", PAGED),
    kind("uptime/checks/{}/alerts", "alerts", "alert", PAGED),
    kind("partner_network_connect/attachments", "partner_attachments", "partner_attachment", Kind { created: 202, deleted: 202, updated: 202, ..PAGED }),
    kind("nfs", "shares", "share", UNPAGED),
    kind("nfs/snapshots", "snapshots", "snapshot", UNPAGED),
    kind("add-ons/saas", "resources", "resource", Kind { id_field: "uuid", created: 200, ..UNPAGED }),
    kind("actions", "actions", "action", Kind { id: Id::Integer, ..PAGED }),
];

/// All kinds.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter()
}

impl Kind {
    /// A document's id as text.
    pub(crate) fn id_of(&self, document: &Value) -> Option<String> {
        document.get(self.id_field).filter(|id| !id.is_null()).map(text_of)
    }

    fn is_listed_at<S: AsRef<str>>(&self, segments: &[S]) -> bool {
        let pattern: Vec<&str> = self.collection.split('/').collect();
        pattern.len() == segments.len()
            && pattern.iter().zip(segments).all(|(pattern, segment)| *pattern == "{}" || *pattern == segment.as_ref())
    }
}

/// The kind of a list at a path below `/v2`, and its collection.
pub(crate) fn list(path: &str) -> Option<(&'static Kind, String)> {
    let path = path.trim_matches('/');
    list_at(&path.split('/').collect::<Vec<_>>())
}

/// The kind of a list at these segments, and its collection.
pub(crate) fn list_at<S: AsRef<str>>(segments: &[S]) -> Option<(&'static Kind, String)> {
    // An exact path takes precedence over a path with a parent's id.
    let found =
        KINDS.iter().filter(|kind| kind.is_listed_at(segments)).min_by_key(|kind| kind.collection.contains("{}"))?;
    Some((found, segments.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/")))
}

/// The kind, collection and id of the resource at these segments.
pub(crate) fn one_at<S: AsRef<str>>(segments: &[S]) -> Option<(&'static Kind, String, String)> {
    let (id, list) = segments.split_last()?;
    let (kind, collection) = list_at(list)?;
    Some((kind, collection, id.as_ref().to_owned()))
}

/// The kind, collection and id of the resource that owns a nested list.
pub(crate) fn parent_of(collection: &str) -> Option<(&'static Kind, String, String)> {
    let segments: Vec<&str> = collection.split('/').collect();
    let (_, parent) = segments.split_last()?;
    one_at(parent)
}
