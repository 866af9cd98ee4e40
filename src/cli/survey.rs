//! A survey of the account: every resource of some kinds, with its document, from bulk lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{Error, cloud::MAX_AGE, text};
use crate::digitalocean::{FieldSet, Inventory, Kind, Live, Observation, ResourceKey, by_kubernetes};

/// The number of kinds that are listed at a time.
const KINDS_AT_ONCE: usize = 4;

/// One resource of the account.
#[derive(Clone, Debug)]
pub(super) struct SurveyedResource {
    pub(super) key: ResourceKey,
    pub(super) live: Live,
    /// The document as the API shows it.
    pub(super) document: Value,
}

/// The result of a survey, by kind and id.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) resources: Vec<SurveyedResource>,
    /// Lists that could not be read, each with a message.
    pub(super) failures: Vec<String>,
}

impl SurveyedResource {
    /// The name of the resource, if it has one.
    pub(super) fn name(&self) -> Option<&str> {
        let text = |key: &str| self.document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text("name")
            .or_else(|| self.document.pointer("/spec/name").and_then(Value::as_str))
            .or_else(|| text("description"))
    }

    pub(super) fn tags(&self) -> Vec<&str> {
        let tags = self.document.get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(Value::as_str).chain(self.document.get("tag").and_then(Value::as_str)).collect()
    }

    pub(super) fn region(&self) -> Option<&str> {
        let region = self.document.get("region")?;
        region.as_str().or_else(|| region.get("slug")?.as_str())
    }

    /// Returns true if a Kubernetes cluster created it: nodes, and the cluster's load balancers, volumes and firewalls.
    pub(super) fn is_made_by_kubernetes(&self) -> bool {
        by_kubernetes::is_made(self.key.kind.name(), &self.document.to_string())
    }

    /// The address on the command line: `Droplet/3164444`.
    pub(super) fn address(&self) -> String {
        address(&self.key)
    }
}

pub(super) fn address(key: &ResourceKey) -> String {
    format!("{}/{}", key.kind, key.id)
}

/// Parses `Droplet/3164444`; an id with a parent, such as that of a domain record, contains a slash itself.
pub(super) fn read_address(text: &str) -> Result<ResourceKey, String> {
    let (kind, id) = text.split_once('/').ok_or("must be a kind and an id, such as Droplet/3164444")?;
    let kind = super::verify::kind(kind)?;
    let format = kind.id_format();
    if !format.admits(id) {
        return Err(format!("the id of a {kind} {}", format.says()));
    }
    Ok(ResourceKey::new(kind, id))
}

/// Lists these kinds. `fields` are the fields to read of each resource.
pub(super) async fn survey(inventory: &Inventory, kinds: &BTreeSet<Kind>, fields: impl Fn(Kind) -> FieldSet) -> Survey {
    let mut survey = Survey::default();
    let bar = progress(kinds.len());
    // Parents, such as domains, are listed first, and only once.
    let mut parents: BTreeMap<Kind, Result<Vec<Arc<str>>, String>> = BTreeMap::new();
    for parent in kinds.iter().filter_map(|kind| kind.parent()).collect::<BTreeSet<_>>() {
        parents.insert(parent, list(inventory, parent, fields(parent), Vec::new()).await);
    }
    let lists = kinds.iter().map(|kind| {
        let (known, fields) = (parents.get(kind).cloned(), fields(*kind));
        let parents = kind.parent().and_then(|parent| parents.get(&parent).cloned());
        async move {
            let listed = match (known, parents) {
                (Some(listed), _) => listed,
                (None, Some(Err(why))) => Err(why),
                (None, Some(Ok(parents))) => {
                    let parents = parents.iter().map(ToString::to_string).collect();
                    list(inventory, *kind, fields, parents).await
                }
                (None, None) => list(inventory, *kind, fields, Vec::new()).await,
            };
            (*kind, listed)
        }
    });
    let mut lists = stream::iter(lists).buffer_unordered(KINDS_AT_ONCE);
    while let Some((kind, listed)) = lists.next().await {
        bar.inc(1);
        bar.set_message(kind.name());
        match listed {
            Ok(ids) => {
                for id in ids {
                    let key = ResourceKey::new(kind, id);
                    match resource(inventory, key) {
                        Ok(found) => survey.resources.push(found),
                        Err(why) => survey.failures.push(why),
                    }
                }
            }
            Err(why) => survey.failures.push(why),
        }
    }
    bar.finish_and_clear();
    survey.resources.sort_by(|one, other| one.key.cmp(&other.key));
    survey.failures.sort();
    survey.failures.dedup();
    survey
}

/// Reports the lists that could not be read.
pub(super) fn tell_failures(survey: &Survey) {
    for failure in &survey.failures {
        text::note(&format!("error: {failure}"));
    }
}

/// The ids of a kind.
async fn list(
    inventory: &Inventory,
    kind: Kind,
    fields: FieldSet,
    parents: Vec<String>,
) -> Result<Vec<Arc<str>>, String> {
    let changes = inventory.survey(kind, fields, parents).await.map_err(|error| error.to_string())?;
    match changes.unread {
        // A part of the account must not pass for the whole.
        Some(error) => Err(error.to_string()),
        None => Ok(changes.changed),
    }
}

fn resource(inventory: &Inventory, key: ResourceKey) -> Result<SurveyedResource, String> {
    let document = match inventory.look(&key, MAX_AGE) {
        Observation::Present(document) => document,
        Observation::Gone => return Err(format!("{key} no longer exists")),
        Observation::Unknown(why) => return Err(format!("{key}: {why}")),
    };
    let live = Live::of(&key, &document).map_err(|error| error.to_string())?;
    let document = serde_json::from_str(&document.json).map_err(|error| format!("{key}: {error}"))?;
    Ok(SurveyedResource { key, live, document })
}

/// A bar on standard error; hidden if that is no terminal.
fn progress(kinds: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(kinds).unwrap_or_default());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} kinds {msg}") {
        bar.set_style(style);
    }
    bar
}

/// The kinds of the flags; by default all except those that are part of their parents, so that each resource is listed
/// once.
pub(super) fn kinds(given: &[Kind]) -> BTreeSet<Kind> {
    let all = || Kind::all().filter(|kind| !kind.is_shown_in_parent());
    if given.is_empty() { all().collect() } else { given.iter().copied().collect() }
}

/// The error of a survey in which every list failed.
pub(super) fn unless_all_failed(survey: &Survey) -> Result<(), Error> {
    match survey.failures.first() {
        Some(first) if survey.resources.is_empty() => Err(Error::usage(first.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) fn found(kind: &str, id: &str, document: Value) -> SurveyedResource {
        let key = ResourceKey::new(Kind::named(kind).unwrap(), id);
        SurveyedResource { live: Live::parse(&key, &document.to_string()).unwrap(), key, document }
    }

    #[test]
    fn a_resource_is_named_by_kind_and_id() {
        let read = |text| read_address(text).map(|key| address(&key));
        assert_eq!(read("droplet/3164444").as_deref(), Ok("Droplet/3164444"));
        assert_eq!(read("DomainRecord/example.com/1").as_deref(), Ok("DomainRecord/example.com/1"));
        assert!(read("Droplet/web-1").unwrap_err().contains("must be digits"));
        assert!(read("3164444").unwrap_err().contains("Droplet/3164444"));
    }
}
