//! The kinds of cloud resources, and the key of one resource.

mod field_set;
mod reference;
mod response;
mod reverts;
mod table;

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::IdFormat;
use crate::nearest::nearest;
use table::{LEFT_OUT, TABLE};

pub use reference::{reference, reference_of_defaults};
pub use reverts::RevertClass;

pub(crate) use field_set::FieldSet;
pub(crate) use reverts::RestState;

pub(super) use reverts::{
    BodyShape, CallTemplate, Content, Guard, How, MemberCall, Owned, RevertCase, RevertRule, RevertRules, Spelling,
    ValueChange, WriteRule,
};
pub(super) use table::{ControllerLists, KindDefinition, KubernetesMark, OwnLimit, PartList, PartSource, Source};

/// A kind of cloud resource: one row of the table. It compares, hashes, orders and serialises by its name.
#[derive(Clone, Copy)]
pub struct Kind(&'static KindDefinition);

/// The account of a resource. It takes no space: the operator has one token, and a token has one account. Objects in
/// Kubernetes therefore name no account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccountId(());

impl AccountId {
    /// The account of the operator's token.
    pub const OF_TOKEN: Self = Self(());
}

/// The identity of a live resource: its account, a kind and an id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ResourceKey {
    /// The account. References in Kubernetes (`spec.resource`), paths of requests and texts drop it.
    pub account: AccountId,
    /// The kind.
    pub kind: Kind,
    /// The id in the cloud's spelling; see [`Kind::id_format`].
    pub id: Arc<str>,
}

/// An [`OwnLimit`] and the kind that it belongs to.
pub(super) type Lane = (&'static str, OwnLimit);

/// The rate limit of a path besides the token's.
pub(super) fn own_limit(route: &str) -> Option<Lane> {
    let limited = TABLE.iter().find(|row| row.own_limit.is_some() && route.starts_with(&row.list.path))?;
    Some((&limited.name, limited.own_limit?))
}

impl Kind {
    /// All kinds, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// Its name, such as `Droplet`.
    #[must_use]
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// The format of its ids.
    #[must_use]
    pub fn id_format(self) -> IdFormat {
        self.0.id.format
    }

    /// The names of its known top-level fields: derived fields first, then those of the document.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let own = self.0.fields.iter().filter(|name| !self.0.derived.contains_key(*name));
        self.0.derived.keys().chain(own).map(String::as_str)
    }

    /// Fields that the cloud changes on its own.
    #[must_use]
    pub fn volatile(self) -> &'static [String] {
        &self.0.volatile
    }

    /// The fields of a new record: those that a person would pin. Lists show all of them.
    #[must_use]
    pub fn pins(self) -> &'static [String] {
        &self.0.pins
    }

    /// The kind whose resources list these resources, such as the domain of a record.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        Self::named(&self.0.within.as_ref()?.kind)
    }

    /// Returns true if documents of the parent show these resources too.
    #[must_use]
    pub fn is_shown_in_parent(self) -> bool {
        self.0.within.as_ref().is_some_and(|within| within.shown_in.is_some())
    }

    /// The kind of the resources that projects list under this type, such as `droplet` in `do:droplet:3164444`.
    #[must_use]
    pub fn of_urn_type(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.0.urn_types.iter().any(|known| known == name))
    }

    /// Returns true if the lists contain all existing resources.
    #[must_use]
    pub fn lists_all(self) -> bool {
        !self.0.lists_a_part
    }

    /// The whole row, for this module only.
    pub(super) fn row(self) -> &'static KindDefinition {
        self.0
    }
}

impl ResourceKey {
    /// The resource of this kind and id.
    pub fn new(kind: Kind, id: impl Into<Arc<str>>) -> Self {
        Self { account: AccountId::OF_TOKEN, kind, id: id.into() }
    }

    /// The id of the parent, and the id within it; otherwise none and the id.
    pub(crate) fn parts(&self) -> (Option<&str>, &str) {
        let halves = self.kind.row().within.as_ref().and_then(|_| self.id.split_once('/'));
        halves.map_or((None, &self.id), |(parent, id)| (Some(parent), id))
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| {
            let nearest = nearest(&name, Self::all().map(Self::name)).join(", ");
            let hint = if nearest.is_empty() { String::new() } else { format!("; did you mean {nearest}?") };
            de::Error::custom(format!("there is no kind {name:?}{hint}"))
        })
    }
}

#[cfg(test)]
mod tests;
