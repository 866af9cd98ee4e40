//! The manifests installed with the program: permissions, and the admission policies that enforce them.
//!
//! Data comes first: [`operator::RULES`] lists the operator's permissions, [`users::GRANTS`] those of people, and
//! [`policies::DECISIONS`] the verb for each annotation. The checked-in files and every other form of installation are
//! rendered from these tables.

pub mod operator;
pub mod policies;
pub mod users;

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

/// The namespace that `deploy/overlays/namespaced` watches. It is not the operator's own, since everyone who may edit
/// there may read the token.
const RECORDS: &str = "arcadia-records";

/// The checked-in files of `deploy/`, with their names.
///
/// # Errors
/// When one cannot be serialized.
pub fn files() -> Result<Vec<(&'static str, String)>, Error> {
    let (name, namespace) = ("arcadia-operator", "arcadia-system");
    let everywhere = Installation::cluster_wide(name, namespace);
    let in_one = Installation { watched: owned(&[RECORDS]), ..everywhere.clone() };
    Ok(vec![
        ("rbac.yaml", operator::own_access(&everywhere)?),
        ("rbac-cluster-wide.yaml", operator::watched_access(&everywhere)?),
        ("rbac-namespaced.yaml", operator::watched_access(&in_one)?),
        ("roles.yaml", users::roles()?),
        ("policies.yaml", policies::validating(&everywhere)?),
        ("policies-namespaced.yaml", policies::validating(&in_one)?),
        ("policies-mutating.yaml", policies::mutating(&everywhere)?),
        ("policies-mutating-namespaced.yaml", policies::mutating(&in_one)?),
    ])
}

/// One object as a document of a YAML stream.
fn document(object: &impl Serialize) -> Result<String, Error> {
    Ok(format!("---\n{}", serde_saphyr::to_string(object)?))
}

/// Renders `list, watch drifts.arcadia.cloud: why` as comments for reviewers.
fn explanation(api_group: &str, resources: &[&str], verbs: &[&str], why: &str) -> String {
    let resources: Vec<_> = resources
        .iter()
        .map(|resource| match resource.split_once('/') {
            Some((resource, part)) => format!("{resource}.{api_group}/{part}"),
            None => format!("{resource}.{api_group}"),
        })
        .collect();
    format!("# {} {}: {why}\n", verbs.join(", "), resources.join(", "))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rendering = fn(&Installation) -> Result<String, Error>;

    #[test]
    fn every_file_is_yaml_that_says_what_it_is() {
        for (name, content) in files().unwrap() {
            let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&content).unwrap();
            assert!(!documents.is_empty(), "{name}");
            for document in documents {
                assert!(document["apiVersion"].is_string() && document["kind"].is_string(), "{name}: {document}");
                assert!(document["metadata"]["name"].is_string(), "{name}: {document}");
            }
        }
    }

    #[test]
    fn names_may_be_placeholders_for_a_template() {
        let template = Installation {
            name: "placeholder-release".into(),
            namespace: "placeholder-namespace".into(),
            service_account: "placeholder-account".into(),
            watched: vec![],
        };
        let filled = |yaml: String| {
            yaml.replace("placeholder-release", "arcadia-operator")
                .replace("placeholder-namespace", "arcadia-system")
                .replace("placeholder-account", "arcadia-operator")
        };
        let read = |yaml: &str| serde_saphyr::from_multiple::<serde_json::Value>(yaml).unwrap();
        let direct = Installation::cluster_wide("arcadia-operator", "arcadia-system");
        let renderings: [Rendering; 4] =
            [operator::own_access, operator::watched_access, policies::validating, policies::mutating];
        for render in renderings {
            assert_eq!(read(&filled(render(&template).unwrap())), read(&render(&direct).unwrap()));
        }
    }
}
