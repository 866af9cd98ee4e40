//! Resources that the cloud controllers of a Kubernetes cluster made: its nodes, load balancers, volumes, firewalls and tags.
//! The cluster owns them, so they are not recorded individually.

use serde::Deserialize;

/// The prefix of the tags of a cluster's resources, and a tag of all of them.
const TAG: &str = "k8s";
/// The prefix of the names of volumes and firewalls that controllers created.
const VOLUME: &str = "pvc-";
const FIREWALL: &str = "k8s-";

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
pub fn is_made(kind: &str, document: &str) -> bool {
    // Most documents do not have to be parsed.
    if !document.contains(TAG) && !document.contains(VOLUME) {
        return false;
    }
    let marks: TagMarks = serde_json::from_str(document).unwrap_or_default();
    let name = marks.name.unwrap_or_default();
    let is_tag = |tag: &str| tag.strip_prefix(TAG).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    let mut tags = marks.tags.into_iter().flatten().chain(marks.tag);
    let mut has_tag = || tags.any(|tag| is_tag(&tag));
    match kind {
        // Its tags are its targets, which people choose too.
        "Firewall" => name.starts_with(FIREWALL),
        "Tag" => is_tag(&name),
        "Volume" => name.starts_with(VOLUME) || has_tag(),
        // People make them, and their tags are the cloud's.
        "KubernetesCluster" | "KubernetesNodePool" => false,
        _ => has_tag(),
    }
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
            assert_eq!(is_made(kind, &document.to_string()), wanted, "{document}");
        }
    }
}
