//! Scopes: the kinds and the keys of documents that a token can read.

use std::{collections::HashMap, sync::LazyLock};

use axum::http::Method;
use serde::Deserialize;

use crate::{kinds, request::Call};

/// The scopes of a kind.
#[derive(Debug, Deserialize)]
struct Scopes {
    /// Reads of the kind are refused without this scope.
    read: String,
    /// Places that need a further scope, by that scope.
    #[serde(default)]
    keys: HashMap<String, Vec<String>>,
}

static SCOPES: LazyLock<HashMap<String, Scopes>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("scopes.json")).unwrap_or_else(|error| {
        // Part of the source: a test reads it, so this is unreachable in a tested build.
        eprintln!("scopes.json: {error}");
        HashMap::new()
    })
});

/// The access that a token has to a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Refused,
    /// Its documents lack these places.
    Without(Vec<String>),
}

/// The access of a token that lacks these scopes.
pub(crate) fn access(call: &Call, lacking: &[String]) -> Access {
    let whole = Access::Without(Vec::new());
    if lacking.is_empty() {
        return whole;
    }
    let segments = call.segments().unwrap_or_default();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let kind = kinds::list_at(&segments).map(|(kind, _)| kind);
    let kind = kind.or_else(|| kinds::one_at(&segments).map(|(kind, _, _)| kind));
    // Paths below one resource: its actions, its parts.
    let collection = kind.map(|kind| kind.collection).or_else(|| above(&segments));
    let scopes = collection.and_then(|it| SCOPES.get(it));
    let needed = if call.method == Method::GET {
        scopes.map(|scopes| scopes.read.clone()).into_iter().collect()
    } else {
        needed(call.method.as_str(), &segments, scopes)
    };
    if needed.iter().any(|scope| lacking.contains(scope)) {
        return Access::Refused;
    }
    let gated = lacking.iter().filter_map(|scope| scopes?.keys.get(scope)).flatten();
    Access::Without(if kind.is_some() { gated.cloned().collect() } else { Vec::new() })
}

/// The collection of the resource above a path.
fn above(segments: &[&str]) -> Option<&'static str> {
    (1..segments.len()).rev().find_map(|length| {
        let (kind, _, _) = kinds::one_at(segments.get(..length)?)?;
        Some(kind.collection)
    })
}

/// The scopes that a change needs. Most consist of the kind and the operation.
fn needed(method: &str, segments: &[&str], scopes: Option<&Scopes>) -> Vec<String> {
    let noun = scopes.and_then(|scopes| scopes.read.split(':').next()).unwrap_or_default();
    let of = |verb: &str| vec![format!("{noun}:{verb}")];
    let is_list = kinds::list_at(segments).is_some();
    match (method, segments) {
        ("POST", ["kubernetes", "registry" | "registries"]) => {
            vec!["kubernetes:create".into(), "kubernetes:update".into()]
        }
        ("DELETE", ["kubernetes", "registry" | "registries"]) => vec!["kubernetes:update".into()],
        ("POST", ["registries" | "registry", "subscription"]) => vec!["registry:update".into()],
        (_, ["projects", _, "resources"]) => vec!["project:assign_resource".into()],
        (_, ["volumes", .., "actions"]) => vec!["block_storage_action:create".into()],
        ("POST", ["volumes", _, "snapshots"]) => vec!["block_storage_snapshot:create".into()],
        ("DELETE", ["volumes", "snapshots", _]) => vec!["block_storage_snapshot:delete".into()],
        ("POST", ["vpcs", _, "peerings"]) => vec!["vpc_peering:create".into()],
        ("POST", ["tags", _, "resources"] | ["databases", _, "dbs"]) | ("PUT", ["droplets", "autoscale", _]) => {
            of("create")
        }
        ("DELETE", ["tags", _, "resources"] | ["databases", _, "dbs", _]) => of("delete"),
        ("POST", ["spaces", "keys"]) => of("create_credentials"),
        ("PATCH", ["byoip_prefixes", _]) => of("write"),
        ("POST", ["apps", "propose"]) | ("PATCH" | "DELETE", ["partner_network_connect", "attachments", _]) => {
            of("read")
        }
        // A list, but the call creates nothing of its kind.
        ("POST", ["apps", _, "deployments"]) => of("update"),
        ("POST", _) if is_list => of("create"),
        ("DELETE", _) if is_list || kinds::one_at(segments).is_some() => of("delete"),
        _ => of("update"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_scopes() {
        for kind in kinds::all() {
            let scopes = SCOPES.get(kind.collection).unwrap_or_else(|| panic!("{}", kind.collection));
            assert!(scopes.read.contains(':'), "{}", kind.collection);
        }
        assert_eq!(SCOPES.len(), kinds::all().count());
    }
}
