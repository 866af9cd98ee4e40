//! A survey of the account: the resources of some kinds from bulk lists, kind by kind. Only one document is parsed at a
//! time, so that the memory is bounded by the packed lists of the inventory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{Error, cloud::MAX_AGE, text};
use crate::digitalocean::{Client, FieldSet, Inventory, Kind, Live, Observation, ResourceKey, Usage, by_kubernetes};

/// The number of kinds that are listed at a time.
const KINDS_AT_ONCE: usize = 4;
/// The interval at which the progress is shown.
const TICK: Duration = Duration::from_millis(250);

/// One resource of the account.
#[derive(Clone, Debug)]
pub(super) struct SurveyedResource {
    pub(super) key: ResourceKey,
    pub(super) live: Live,
    /// True if a Kubernetes cluster created it: nodes, and the cluster's load balancers, volumes and firewalls.
    pub(super) is_made_by_kubernetes: bool,
}

/// The lists of some kinds, which are read in the background.
pub(super) struct Survey {
    client: Client,
    inventory: Inventory,
    lists: mpsc::UnboundedReceiver<List>,
    reader: JoinHandle<()>,
    bar: ProgressBar,
    /// True if a resource was read.
    has_found: bool,
    /// The lists and resources that could not be read, each with a message.
    failures: BTreeSet<String>,
}

/// The ids of a kind, or the reason why they could not be listed.
struct List {
    kind: Kind,
    ids: Result<Vec<Arc<str>>, String>,
}

impl SurveyedResource {
    pub(super) fn name(&self) -> Option<&str> {
        let document = self.document();
        let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text("name").or_else(|| document.pointer("/spec/name").and_then(Value::as_str)).or_else(|| text("description"))
    }

    /// The document as the API shows it.
    pub(super) fn document(&self) -> &Value {
        self.live.document()
    }

    pub(super) fn tags(&self) -> Vec<&str> {
        let tags = self.document().get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(Value::as_str).chain(self.document().get("tag").and_then(Value::as_str)).collect()
    }

    pub(super) fn region(&self) -> Option<&str> {
        let region = self.document().get("region")?;
        region.as_str().or_else(|| region.get("slug")?.as_str())
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
    kind.id_format().check(id).map_err(|rule| format!("the id of a {kind} {rule}"))?;
    Ok(ResourceKey::new(kind, id))
}

impl Survey {
    /// Starts to list these kinds. `fields` are the fields to read of each resource.
    pub(super) fn start(client: Client, kinds: &BTreeSet<Kind>, fields: impl Fn(Kind) -> FieldSet) -> Self {
        let inventory = super::cloud::inventory(client.clone());
        let parents = kinds.iter().filter_map(|kind| kind.parent());
        let fields = kinds.iter().copied().chain(parents).map(|kind| (kind, fields(kind))).collect();
        let (sender, lists) = mpsc::unbounded_channel();
        let reader = tokio::spawn(read(inventory.clone(), kinds.clone(), fields, sender));
        let bar = progress(kinds.len());
        Self { client, inventory, lists, reader, bar, has_found: false, failures: BTreeSet::new() }
    }

    /// The resources of the next kind whose lists are complete, in the order of their ids; none after the last kind.
    pub(super) async fn next(&mut self) -> Option<Vec<ResourceKey>> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let list = tokio::select! {
                list = self.lists.recv() => list?,
                _ = ticks.tick() => {
                    self.bar.set_message(state(&self.client.usage()));
                    continue;
                }
            };
            self.bar.inc(1);
            match list.ids {
                Ok(ids) => {
                    let mut keys: Vec<_> = ids.into_iter().map(|id| ResourceKey::new(list.kind, id)).collect();
                    keys.sort();
                    return Some(keys);
                }
                Err(why) => {
                    self.failures.insert(why);
                }
            }
        }
    }

    /// Reads a listed resource, and forgets it in the inventory. None if it cannot be read, which is a failure.
    pub(super) fn take(&mut self, key: &ResourceKey) -> Option<SurveyedResource> {
        let found = resource(&self.inventory, key);
        self.inventory.forget(key);
        match found {
            Ok(found) => {
                self.has_found = true;
                Some(found)
            }
            Err(why) => {
                self.failures.insert(why);
                None
            }
        }
    }

    /// Prints to standard output, beside the progress.
    pub(super) fn print(&self, text: &str) -> Result<(), Error> {
        self.bar.suspend(|| text::print(text))
    }

    /// Reports the lists that could not be read. Returns true if there are none.
    ///
    /// # Errors
    /// If nothing could be read.
    pub(super) fn end(self) -> Result<bool, Error> {
        self.bar.finish_and_clear();
        match self.failures.first() {
            Some(first) if !self.has_found => {
                let others = self.failures.len() - 1;
                let more = if others == 0 { String::new() } else { format!("; and {others} more lists failed") };
                Err(Error::usage(format!("{first}{more}")))
            }
            Some(_) => {
                for failure in &self.failures {
                    text::note(&format!("error: {failure}"));
                }
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Lists the kinds, parents first. A parent that is also a kind of the survey is listed once.
async fn read(
    inventory: Inventory,
    kinds: BTreeSet<Kind>,
    fields: BTreeMap<Kind, FieldSet>,
    lists: mpsc::UnboundedSender<List>,
) {
    let fields = |kind: Kind| fields.get(&kind).copied().unwrap_or_default();
    let mut parents: BTreeMap<Kind, Result<Vec<Arc<str>>, String>> = BTreeMap::new();
    for parent in kinds.iter().filter_map(|kind| kind.parent()).collect::<BTreeSet<_>>() {
        let listed = list(&inventory, parent, fields(parent), Vec::new()).await;
        if kinds.contains(&parent) {
            // If the survey has ended, nobody reads.
            let _ = lists.send(List { kind: parent, ids: listed.clone() });
        }
        parents.insert(parent, listed);
    }
    let mut others = Vec::new();
    for kind in kinds {
        if parents.contains_key(&kind) {
            continue;
        }
        let of_parents = kind.parent().and_then(|parent| parents.get(&parent)).cloned().transpose();
        others.push(within(inventory.clone(), kind, fields(kind), of_parents));
    }
    let mut others = stream::iter(others).buffered(KINDS_AT_ONCE);
    while let Some(list) = others.next().await {
        let _ = lists.send(list);
    }
}

/// The list of a kind, within these parents if it has any.
async fn within(
    inventory: Inventory,
    kind: Kind,
    fields: FieldSet,
    parents: Result<Option<Vec<Arc<str>>>, String>,
) -> List {
    let ids = match parents {
        Err(why) => Err(why),
        Ok(parents) => {
            let parents = parents.iter().flatten().map(ToString::to_string).collect();
            list(&inventory, kind, fields, parents).await
        }
    };
    List { kind, ids }
}

/// The calls so far, and the pause until more are allowed.
fn state(usage: &Usage) -> String {
    let calls: u64 = usage.calls.values().sum();
    let pause = match usage.paused {
        Some(pause) => format!(", DigitalOcean requested a pause of {} s", pause.as_secs()),
        None if usage.hour_left == 0 => ", waiting for the limit of calls per hour".to_owned(),
        None if usage.minute_left == 0 => ", waiting for the limit of calls per minute".to_owned(),
        None => String::new(),
    };
    format!("{calls} calls{pause}")
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

fn resource(inventory: &Inventory, key: &ResourceKey) -> Result<SurveyedResource, String> {
    let document = match inventory.get(key, MAX_AGE) {
        Observation::Present(document) => document,
        Observation::Gone => return Err(format!("{key} no longer exists")),
        Observation::Unknown(why) => return Err(format!("{key}: {why}")),
    };
    let is_made_by_kubernetes = by_kubernetes::is_made(key.kind, &document.json);
    let live = Live::of(key, &document).map_err(|error| error.to_string())?;
    Ok(SurveyedResource { key: key.clone(), live, is_made_by_kubernetes })
}

/// A bar on standard error; hidden if that is no terminal.
fn progress(kinds: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(kinds).unwrap_or_default());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} kinds, {msg}") {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) fn found(kind: &str, id: &str, document: &Value) -> SurveyedResource {
        let key = ResourceKey::new(Kind::named(kind).unwrap(), id);
        let live = Live::parse(&key, &document.to_string()).unwrap();
        SurveyedResource { live, key, is_made_by_kubernetes: false }
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
