//! One installation of the operator, and the rendering of its manifests.

use serde::Serialize;

/// The reason why a manifest cannot be rendered; a test rules it out.
pub type Error = serde_saphyr::ser::Error;

/// One installation of the operator. The names may be placeholders of a template: words without spaces, since long
/// lines are broken at spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The name, or prefix, of the installed objects. Two installations in one cluster need two names, since policies
    /// are cluster-scoped.
    pub name: String,
    /// The namespace of the operator.
    pub namespace: String,
    /// The `ServiceAccount` of the operator.
    pub service_account: String,
    /// The watched namespaces, to which its permissions are limited; empty for all.
    pub watched: Vec<String>,
}

impl Installation {
    /// An installation that watches the whole cluster.
    #[must_use]
    pub fn cluster_wide(name: &str, namespace: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            service_account: name.to_owned(),
            watched: Vec::new(),
        }
    }

    /// An installation that watches its own namespace and needs no permission outside of it. Everyone who may edit that
    /// namespace may read the token, so it is meant for trials.
    #[must_use]
    pub fn namespaced(name: &str, namespace: &str) -> Self {
        Self { watched: vec![namespace.to_owned()], ..Self::cluster_wide(name, namespace) }
    }

    /// The operator's user name at the API server.
    #[must_use]
    pub fn username(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }
}

/// One object as a document of a YAML stream.
pub(super) fn document(object: &impl Serialize) -> Result<String, Error> {
    Ok(format!("---\n{}", serde_saphyr::to_string(object)?))
}

/// Renders `list, watch drifts.arcadia.cloud: why` as comments for reviewers.
pub(super) fn explanation(api_group: &str, resources: &[&str], verbs: &[&str], why: &str) -> String {
    let resources: Vec<_> = resources
        .iter()
        .map(|resource| match resource.split_once('/') {
            Some((resource, part)) => format!("{resource}.{api_group}/{part}"),
            None => format!("{resource}.{api_group}"),
        })
        .collect();
    format!("# {} {}: {why}\n", verbs.join(", "), resources.join(", "))
}

pub(super) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
