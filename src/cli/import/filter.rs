//! The selection of resources of the account.

use clap::Args;
use regex::Regex;

use super::project::Members;
use crate::{
    cli::{Error, survey::SurveyedResource},
    digitalocean::Client,
};

/// The flags that select resources.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Filter {
    /// Only resources with this tag; may be repeated, any of them is enough
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Only resources with this name; `*` matches any text
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    name: Option<Regex>,

    /// Only resources in this region, such as nyc3
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    /// Only members of this project, by id or name
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,

    /// Also nodes, load balancers, volumes, firewalls and tags that Kubernetes made
    #[arg(long)]
    include_kubernetes: bool,
}

impl Filter {
    /// Returns true if a resource is left out because a Kubernetes cluster made it.
    pub(in crate::cli) fn leaves_to_kubernetes(&self, found: &SurveyedResource) -> bool {
        found.is_made_by_kubernetes && !self.include_kubernetes
    }

    /// The members of the project, if one is given.
    pub(in crate::cli) async fn members(&self, client: &Client) -> Result<Option<Members>, Error> {
        match &self.project {
            Some(project) => Members::read(client, project).await.map(Some),
            None => Ok(None),
        }
    }

    pub(in crate::cli) fn admits(&self, found: &SurveyedResource, members: Option<&Members>) -> bool {
        let has_tag = self.tag.is_empty()
            || found.tags().iter().any(|tag| self.tag.iter().any(|one| one.eq_ignore_ascii_case(tag)));
        let has_name = self.name.as_ref().is_none_or(|name| found.name().is_some_and(|found| name.is_match(found)));
        let is_there = self.region.as_ref().is_none_or(|region| found.region() == Some(region));
        let is_member = members.is_none_or(|members| members.contain(found));
        has_tag && has_name && is_there && is_member
    }
}

/// A name, in which `*` matches any text.
fn pattern(text: &str) -> Result<Regex, String> {
    let expression: Vec<String> = text.split('*').map(regex::escape).collect();
    Regex::new(&format!("^{}$", expression.join(".*"))).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::survey::tests::found;

    #[test]
    fn all_given_flags_must_hold() {
        let web = json!({ "name": "web-1.prod", "tags": ["Web"], "region": { "slug": "nyc3" } });
        let web = found("Droplet", "1", &web);
        let filter = |name: &str, tag: &str, region: &str| Filter {
            name: (!name.is_empty()).then(|| pattern(name).unwrap()),
            tag: Vec::from_iter((!tag.is_empty()).then(|| tag.to_owned())),
            region: (!region.is_empty()).then(|| region.to_owned()),
            project: None,
            include_kubernetes: false,
        };
        for (name, tag, region, wanted) in [
            ("", "", "", true),
            ("web-*", "web", "nyc3", true),
            ("*.prod", "", "", true),
            ("web-1", "", "", false),
            ("web-1xprod", "", "", false),
            ("", "db", "", false),
            ("", "", "fra1", false),
        ] {
            assert_eq!(filter(name, tag, region).admits(&web, None), wanted, "{name} {tag} {region}");
        }
    }
}
