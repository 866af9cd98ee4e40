//! Reverting one drifted field: its class in its direction, and the steps. Pure.
//!
//! - [`assess`] returns the class and the reason, by the rules in the kinds' data files;
//! - [`plan`] returns the steps of a saga, and the calls and warnings for people;
//! - `request` builds the calls of the step `UpdateResource`.

mod assess;
mod direction;
mod limits;
mod plan;
mod planned;
mod reference;
pub(crate) mod request;
mod spelling;
mod steps;

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

use super::{Kind, Live, ResourceKey, SizeDisks, document::Pattern, kinds::How};

pub use super::kinds::RevertClass;
pub use assess::{can_resize, existence, irreversible, is_resize, is_selected_by, is_size};
pub use plan::{RevertProposal, RevertRefusal, assess, plan, proposal};
pub use planned::{ProposedCall, ProposedStep};
pub use reference::reference;

pub(crate) use plan::check;
pub(crate) use request::{live_digest, value_before, without_added};

pub(super) use assess::guards;

/// A drifted field to revert.
#[derive(Clone, Copy, Debug)]
pub struct Revert<'a> {
    /// The recorded field.
    pub field: &'a str,
    /// Its effective desired value.
    pub desired: &'a Value,
    /// The live resource.
    pub document: &'a Live,
    /// The rest of the account.
    pub facts: &'a AccountFacts,
}

/// Tags in lower case, each with the resource that selects by it, such as `Firewall 4de7ac8b`.
pub type SelectedTags = BTreeMap<String, String>;

/// Parts of the account that the class of a revert depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// The tags by which other resources select, see [`selected_by`].
    pub tags: SelectedTags,
    /// Every recorded resource that may select by tags is known.
    pub has_all_tags: bool,
    /// The sizes of droplets; none if they were not listed.
    pub sizes: Option<Arc<SizeDisks>>,
    /// All firewalls and load balancers that select by tags; none without a decision, for which alone they are listed.
    pub tag_users: Option<Arc<TagUsers>>,
}

/// The firewalls and load balancers of the account that select by tags, recorded or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagUsers {
    /// Their tags.
    pub tags: SelectedTags,
    /// The scopes of the lists that the token cannot read.
    pub missing: Vec<&'static str>,
}

/// The class of a revert, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The class in its direction.
    pub class: RevertClass,
    /// The effect, or the reason why the field cannot be reverted; none for a safe revert.
    pub why: Option<String>,
    /// Side effects for people.
    pub warnings: Vec<String>,
    /// A part of the account that may raise the class is not known.
    pub may_rise: bool,
}

/// The effects that the user allowed. Each includes the milder ones.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// Only safe reverts.
    #[default]
    #[strum(serialize = "true")]
    Safe,
    /// Also reverts that disrupt, or that cannot be undone.
    #[strum(serialize = "allow-disruption")]
    Disruption,
    /// Also reverts that lose data.
    #[strum(serialize = "allow-data-loss")]
    DataLoss,
}

impl Allow {
    /// The value of the annotation `arcadia.cloud/revert` that allows this.
    #[must_use]
    pub fn annotation(self) -> &'static str {
        self.into()
    }

    /// Returns true if a revert of this class is allowed.
    #[must_use]
    pub fn permits(self, class: RevertClass) -> bool {
        Self::needed(class).is_some_and(|needed| needed <= self)
    }

    /// The permission that a revert of this class needs; none if it is never possible.
    #[must_use]
    pub fn needed(class: RevertClass) -> Option<Self> {
        match class {
            RevertClass::Safe => Some(Self::Safe),
            RevertClass::Disruptive | RevertClass::OneWay => Some(Self::Disruption),
            RevertClass::Lossy => Some(Self::DataLoss),
            RevertClass::NotRevertible | RevertClass::NotOurs => None,
        }
    }
}

/// Returns true if resources of a kind select others by tags.
#[must_use]
pub fn selects_by_tags(kind: Kind) -> bool {
    kind.row().revert.as_ref().is_some_and(|reverts| !reverts.selects_by.is_empty())
}

/// The URN of a resource, if it can be assigned to a project.
pub(crate) fn urn(key: &ResourceKey) -> Option<String> {
    let rules = key.kind.row().revert.as_ref()?.fields.iter();
    let mut kinds = rules.filter_map(|rule| match &rule.how {
        Some(How::AssignToProject(kind)) => Some(kind),
        _ => None,
    });
    kinds.next().map(|kind| format!("do:{kind}:{}", key.id))
}

/// The fields of a kind that can be reverted, at least in one direction.
#[cfg(test)]
pub(crate) fn revertible(kind: super::Kind) -> Vec<String> {
    let rules = kind.row().revert.iter().flat_map(|reverts| &reverts.fields);
    let names = rules.filter(|rule| rule.how.is_some()).flat_map(|rule| &rule.names);
    names.filter(|name| name.len() == 1).map(ToString::to_string).collect()
}

/// A live resource of a kind with every field that DigitalOcean documents.
#[cfg(test)]
pub(crate) fn documented(kind: super::Kind) -> Live {
    let get = &kind.row().get;
    let document = super::examples::full_document(&get.path, &get.key);
    let id = match kind.row().id.format {
        super::IdFormat::DomainRecord => "example.com/7",
        super::IdFormat::Digits => "7",
        super::IdFormat::Ipv4 => "192.0.2.1",
        _ => "3d80cb72-342b-4aaa-b92e-4e4abb24a933",
    };
    Live::parse(&ResourceKey::new(kind, id), &document.to_string()).unwrap()
}

/// Adds the tags by which this resource selects others.
pub fn selected_by(document: &Live, tags: &mut SelectedTags) {
    let patterns = document.key().kind.row().revert.iter().flat_map(|reverts| &reverts.selects_by);
    for value in patterns.flat_map(|pattern| values_at(document.document(), &pattern.segments())) {
        let texts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for tag in texts.iter().filter_map(Value::as_str).filter(|tag| !tag.is_empty()) {
            // Of several, always the same one, so that the reason of a class does not change to and fro.
            let user = document.key().to_string();
            let known = tags.entry(tag.to_lowercase()).or_insert_with(|| user.clone());
            if user < *known {
                *known = user;
            }
        }
    }
}

/// The values at a pattern of keys and `*`.
fn values_at<'v>(value: &'v Value, pattern: &[&str]) -> Vec<&'v Value> {
    let Some((first, rest)) = pattern.split_first() else { return vec![value] };
    match value {
        Value::Array(items) if *first == "*" => items.iter().flat_map(|item| values_at(item, rest)).collect(),
        Value::Object(entries) => entries.get(*first).map(|below| values_at(below, rest)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Removes the values at a pattern of keys and `*`.
fn remove_at(value: &mut Value, pattern: &[&str]) {
    let Some((first, rest)) = pattern.split_first() else { return };
    match value {
        Value::Array(items) if *first == "*" => items.iter_mut().for_each(|item| remove_at(item, rest)),
        Value::Object(entries) if rest.is_empty() => drop(entries.remove(*first)),
        Value::Object(entries) => {
            if let Some(below) = entries.get_mut(*first) {
                remove_at(below, rest);
            }
        }
        _ => {}
    }
}

/// Removes the values at all of these patterns.
fn remove_all(value: &mut Value, patterns: &[Pattern]) {
    for pattern in patterns {
        remove_at(value, &pattern.segments());
    }
}

#[cfg(test)]
mod tests;
