//! The manifests installed with the program: permissions, and the admission policies that enforce them.
//!
//! Data comes first: [`operator::RULES`] lists the operator's permissions, [`users::GRANTS`] those of people, and
//! [`policies::DECISIONS`] the verb for each annotation. The checked-in files and every other form of installation are
//! rendered from these tables.

mod installation;
pub mod operator;
pub(crate) mod places;
pub mod policies;
pub mod users;

use crate::api::OPERATOR;
use installation::owned;
use places::{NAMESPACE, RECORDS};

pub use installation::{Error, Installation};

/// The checked-in files of `deploy/`, with their names.
///
/// # Errors
/// When one cannot be serialized.
pub fn files() -> Result<Vec<(&'static str, String)>, Error> {
    let (name, namespace) = (OPERATOR, NAMESPACE);
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
