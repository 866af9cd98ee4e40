//! Resources that the cloud controllers of a Kubernetes cluster made: its nodes, load balancers, volumes, firewalls and tags.
//! The cluster owns them, so they are not recorded individually.

use serde::Deserialize;

use super::{Kind, kinds::KubernetesMark};

/// A tag of all resources of a cluster, and the start of their other tags.
const TAG: &str = "k8s";

/// The part of a document that shows the owner.
#[derive(Default, Deserialize)]
struct TagMarks {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    tag: Option<String>,
}

/// Returns true if a controller created the resource of this document.
#[must_use]
pub(crate) fn is_made(kind: Kind, document: &str) -> bool {
    let marks = &kind.row().by_kubernetes;
    // Most documents do not have to be parsed.
    let is_possible = |mark: &KubernetesMark| match mark {
        KubernetesMark::Tag | KubernetesMark::Name => document.contains(TAG),
        KubernetesMark::NamePrefix(prefix) => document.contains(prefix.as_str()),
    };
    if !marks.iter().any(is_possible) {
        return false;
    }
    let shown: TagMarks = serde_json::from_str(document).unwrap_or_default();
    let name = shown.name.unwrap_or_default();
    let tags: Vec<String> = shown.tags.into_iter().flatten().chain(shown.tag).collect();
    let is_tag = |tag: &str| tag.strip_prefix(TAG).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    marks.iter().any(|mark| match mark {
        KubernetesMark::Tag => tags.iter().any(|tag| is_tag(tag)),
        KubernetesMark::Name => is_tag(&name),
        KubernetesMark::NamePrefix(prefix) => name.starts_with(prefix.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_kubernetes_made_is_known_by_tags_and_names() {
        for (kind, document, wanted) in [
            ("Droplet", json!({ "name": "pool-x", "tags": ["k8s", "k8s:worker"] }), true),
            ("Droplet", json!({ "name": "web", "tags": ["k8snot"] }), false),
            ("Droplet", json!({ "name": "k8s-of-mine", "tags": null }), false),
            ("LoadBalancer", json!({ "name": "a", "tag": "k8s:506f78a4" }), true),
            ("Volume", json!({ "name": "pvc-506f78a4" }), true),
            ("Firewall", json!({ "name": "k8s-506f78a4-worker" }), true),
            ("Firewall", json!({ "name": "mine", "tags": ["k8s:506f78a4"] }), false),
            ("KubernetesCluster", json!({ "name": "prod", "tags": ["k8s", "k8s:506f78a4"] }), false),
            ("Tag", json!({ "name": "k8s:506f78a4" }), true),
            ("Tag", json!({ "name": "k8snot" }), false),
            ("KubernetesNodePool", json!({ "name": "workers", "tags": ["k8s", "k8s:worker"] }), false),
        ] {
            assert_eq!(is_made(Kind::named(kind).unwrap(), &document.to_string()), wanted, "{document}");
        }
    }
}
