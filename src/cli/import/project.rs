//! The members of a project: those that it lists, and those that name it themselves. Kinds that projects cannot contain,
//! such as SSH keys, are members of none.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    cli::{Error, drift::text, survey::SurveyedResource},
    digitalocean::{Client, Endpoint, Kind, ResourceKey},
    nearest::nearest,
};

/// The scope of both lists.
const SCOPE: &str = "project:read";
/// The members of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Members {
    /// The id of the project.
    project: String,
    /// The members that it lists, as kinds and ids.
    listed: BTreeSet<(Kind, String)>,
}

impl Members {
    /// Reads the members of the project with this id or name.
    pub(in crate::cli) async fn read(client: &Client, project: &str) -> Result<Self, Error> {
        let all = Endpoint { route: "/v2/projects", parent: None, id: None, scope: SCOPE };
        let projects = client.rows(all, "projects", &[]).await?;
        let id = id_of(&projects, project).map_err(Error::Usage)?;
        let of_project = Endpoint { route: "/v2/projects/{id}/resources", parent: None, id: Some(id), scope: SCOPE };
        let rows = client.rows(of_project, "resources", &[]).await?;
        let listed = rows.iter().filter_map(|row| member(text(row, "/urn")?)).collect();
        Ok(Self { project: id.to_owned(), listed })
    }

    /// Whether the project contains a resource, or the resource that it is within, such as the domain of a record. Some
    /// kinds, such as NAT gateways, are not listed and name their project instead.
    pub(in crate::cli) fn contain(&self, found: &SurveyedResource) -> bool {
        text(found.document(), "/project_id") == Some(&self.project) || self.list(&found.key)
    }

    fn list(&self, key: &ResourceKey) -> bool {
        let (parent, id) = key.parts();
        let member = match (key.kind.parent(), parent) {
            (Some(kind), Some(parent)) => (kind, parent.to_owned()),
            _ => (key.kind, id.to_owned()),
        };
        self.listed.contains(&member)
    }
}

/// `do:droplet:3164444` as a kind and an id.
fn member(urn: &str) -> Option<(Kind, String)> {
    let (name, id) = urn.strip_prefix("do:")?.split_once(':')?;
    Some((Kind::of_urn_type(name)?, id.to_owned()))
}

fn id_of<'p>(projects: &'p [Value], wanted: &str) -> Result<&'p str, String> {
    let is_it = |project: &&Value| text(project, "/id") == Some(wanted) || text(project, "/name") == Some(wanted);
    let ids: Vec<&str> = projects.iter().filter(is_it).filter_map(|project| text(project, "/id")).collect();
    match ids.as_slice() {
        [id] => Ok(id),
        [] => {
            let names = projects.iter().filter_map(|project| text(project, "/name"));
            let nearest = nearest(wanted, names).join(" or ");
            let hint = if nearest.is_empty() { String::new() } else { format!(", did you mean {nearest}?") };
            Err(format!("there is no project {wanted:?}{hint}; list the projects with: doctl projects list"))
        }
        several => Err(format!("several projects have the name {wanted:?}; give the id: {}", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::survey::tests::found;

    #[test]
    fn members_are_known_by_their_names() {
        let urns = ["do:droplet:1", "do:domain:example.com", "do:dbaas:9cc10173", "do:space:static", "nonsense"];
        let listed = urns.into_iter().filter_map(member).collect();
        let members = Members { project: "shop".to_owned(), listed };
        for (kind, id, wanted) in [
            ("Droplet", "1", true),
            ("Droplet", "2", false),
            ("Volume", "1", false),
            ("DomainRecord", "example.com/5", true),
            ("DomainRecord", "example.org/5", false),
            ("Database", "9cc10173", true),
        ] {
            assert_eq!(members.list(&ResourceKey::new(Kind::named(kind).unwrap(), id)), wanted, "{kind} {id}");
        }
        // Kinds that no project lists name theirs.
        for (project, wanted) in [("shop", true), ("blog", false)] {
            for kind in ["NATGateway", "BYOIPPrefix"] {
                let found = found(kind, "5a4981aa-9653-4bd1-bef5-000000000001", &json!({ "project_id": project }));
                assert_eq!(members.contain(&found), wanted, "{kind} in {project}");
            }
        }
    }

    #[test]
    fn a_kind_can_have_several_types() {
        let address = Kind::named("ReservedIP").unwrap();
        for urn in ["do:floatingip:203.0.113.10", "do:reservedip:203.0.113.10"] {
            assert_eq!(member(urn), Some((address, "203.0.113.10".to_owned())));
        }
    }

    #[test]
    fn a_project_is_named_by_id_or_name() {
        let project = |id: &str, name: &str| json!({ "id": id, "name": name });
        let projects = [project("1", "shop"), project("2", "blog"), project("3", "blog")];
        assert_eq!(id_of(&projects, "shop"), Ok("1"));
        assert_eq!(id_of(&projects, "3"), Ok("3"));
        assert!(id_of(&projects, "blog").unwrap_err().contains("2, 3"));
        assert!(id_of(&projects, "shopp").unwrap_err().contains("did you mean shop?"));
    }
}
