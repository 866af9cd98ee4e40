//! The rows of a kind's lists while they are read.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{
    known::{CachedResource, CachedState},
    responses::{ListedText, Responses},
    spare::{Room, Spare},
    sync_error::SyncError,
    text::Examples,
};
use crate::digitalocean::{
    Kind, ResourceKey,
    kinds::{self, FieldSet},
    lists::{Listed, Rows},
};

/// A recorded resource of a kind, and its recorded fields.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The id.
    pub id: Arc<str>,
    /// The recorded fields. The additional parts that they need are read too.
    pub fields: FieldSet,
}

/// The resources for which a list is read.
pub(super) enum Selection {
    /// The recorded ones.
    Wanted(Vec<Wanted>),
    /// All existing ones, and the fields to read of each. Nested kinds are listed in these parents.
    All { fields: FieldSet, parents: Vec<String> },
}

impl<T: Into<Arc<str>>> From<T> for Wanted {
    fn from(id: T) -> Self {
        Self { id: id.into(), fields: FieldSet::default() }
    }
}

/// The number of resources that are requested in one sweep although they are known to be gone.
const RETURNS: usize = 5;

/// The missing resources to request, the longest waiting ones first. If no list would show the return of a resource, a few
/// of those that are known to be gone come last.
pub(super) fn absent(kind: Kind, rows: &HashMap<Arc<str>, Staged>) -> Vec<ResourceKey> {
    let missing = rows.iter().filter(|(_, staged)| matches!(staged.row, ListedRow::Missing));
    let (mut gone, mut absent): (Vec<_>, Vec<_>) = missing.partition(|(_, staged)| staged.is_gone());
    absent.sort_by(|one, other| (one.1.turn(), one.0).cmp(&(other.1.turn(), other.0)));
    if kind.row().lists_a_part {
        // Others in each sweep.
        gone.sort_by_cached_key(|_| rand::random::<u32>());
        absent.extend(gone.into_iter().take(RETURNS));
    }
    absent.into_iter().map(|(id, _)| ResourceKey::new(kind, Arc::clone(id))).collect()
}

/// The resources for which one list is read.
pub(super) struct Stage {
    pub(super) kind: Kind,
    /// The prefix of the ids of its rows.
    pub(super) prefix: String,
    pub(super) resources: HashMap<Arc<str>, Staged>,
    /// Every row is taken over, for these fields.
    pub(super) takes_all: Option<FieldSet>,
    /// Its other rows.
    pub(super) spare: Spare,
    /// The examples that its rows are packed against.
    pub(super) examples: Examples,
}

impl Stage {
    /// The stage of a parent's list, or of the kind's list.
    pub(super) fn of(kind: Kind, parent: Option<&str>, room: &Room, examples: &Examples) -> Self {
        let prefix = parent.map(|parent| format!("{parent}/")).unwrap_or_default();
        Self {
            kind,
            prefix,
            resources: HashMap::new(),
            takes_all: None,
            spare: Spare::within(room.clone()),
            examples: examples.clone(),
        }
    }
}

pub(super) struct Staged {
    pub(super) before: Option<CachedResource>,
    pub(super) row: ListedRow,
    /// The fields to read.
    pub(super) fields: FieldSet,
}

/// The knowledge about one resource after the lists.
pub(super) struct StagedResource {
    pub(super) id: Arc<str>,
    pub(super) fields: FieldSet,
    pub(super) entry: CachedResource,
    /// The time of the knowledge on which it rests.
    pub(super) since: Option<Instant>,
}

/// The list's state of a wanted resource.
pub(super) enum ListedRow {
    Missing,
    /// Its document is the same, byte by byte.
    Same,
    New(ListedText),
    /// Unknown: its list could not be read.
    Unread(Arc<str>),
}

/// The rows of the lists of a kind.
#[derive(Default)]
pub(super) struct ReadLists {
    pub(super) rows: HashMap<Arc<str>, Staged>,
    pub(super) listed: Listed,
    pub(super) spare: Spare,
    pub(super) unread: FailedLists,
}

/// The lists that could not be read.
#[derive(Default)]
pub(super) struct FailedLists {
    /// By parent.
    pub(super) errors: HashMap<Box<str>, Arc<str>>,
    pub(super) error: Option<SyncError>,
}

impl Staged {
    pub(super) fn is_gone(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.known.is_gone())
    }

    /// The order in which missing resources are requested: first those that already wait, then unknown ones, then those
    /// with the oldest knowledge.
    fn turn(&self) -> (bool, Option<Instant>) {
        let before = self.before.as_ref();
        let is_waiting = before.is_some_and(|before| matches!(before.known, CachedState::Missing));
        (!is_waiting, before.map(|before| before.at))
    }

    /// The knowledge that the lists confirmed as it is, where the recorded fields need nothing else, and its time.
    pub(super) fn confirmed(&self, kind: &kinds::KindDefinition) -> Option<(Arc<Responses>, Instant)> {
        let before = self.before.as_ref().filter(|_| matches!(self.row, ListedRow::Same))?;
        match &before.known {
            CachedState::Present(shown) if shown.is_settled(kind, self.fields) => Some((Arc::clone(shown), before.at)),
            _ => None,
        }
    }

    /// The current knowledge; `found` is the result of a direct request.
    pub(super) fn entry(
        self,
        kind: &kinds::KindDefinition,
        found: Option<CachedResource>,
        started: Instant,
    ) -> CachedResource {
        if let Some(found) = found {
            return found;
        }
        let listed = |before: Option<&CachedResource>, text: ListedText| {
            let before = before.and_then(|entry| entry.known.shown());
            CachedResource::new(CachedState::Present(Arc::new(Responses::listed(kind, before, text, started))), started)
        };
        match (self.row, self.before) {
            (ListedRow::New(text), before) => listed(before.as_ref(), text),
            (ListedRow::Unread(_), Some(before)) if before.known.is_known() => before,
            (ListedRow::Unread(error), _) => CachedResource::new(CachedState::Failed(error), started),
            // Its turn did not come. If the lists cannot show it, its absence is no news.
            (ListedRow::Missing, Some(before))
                if kind.lists_a_part && before.known.is_known() && !before.known.is_gone() =>
            {
                before
            }
            (ListedRow::Same, Some(before)) => match before.known {
                CachedState::Present(shown) => {
                    CachedResource::new(CachedState::Present(Arc::new(shown.listed_again(started))), started)
                }
                known => CachedResource::new(known, started),
            },
            (_, Some(before)) if before.known.is_gone() => CachedResource::new(CachedState::Gone, started),
            (_, _) => CachedResource::new(CachedState::Missing, started),
        }
    }
}

impl Rows for Stage {
    fn begin(&mut self) {
        if self.takes_all.is_some() {
            self.resources.clear();
        }
        for staged in self.resources.values_mut() {
            staged.row = ListedRow::Missing;
        }
        self.spare.clear();
    }

    fn row(&mut self, id: &str, document: &str) {
        let key = if self.prefix.is_empty() { Cow::Borrowed(id) } else { Cow::Owned(format!("{}{id}", self.prefix)) };
        match (self.resources.get_mut(&*key), self.takes_all) {
            (Some(staged), _) => {
                let same = staged.before.as_ref().is_some_and(|before| before.known.was_listed_as(document));
                let new = || ListedRow::New(ListedText::of(self.kind.row(), document, &self.examples));
                staged.row = if same { ListedRow::Same } else { new() };
            }
            (None, Some(fields)) => {
                let row = ListedRow::New(ListedText::of(self.kind.row(), document, &self.examples));
                self.resources.insert(key.into(), Staged { before: None, row, fields });
            }
            (None, None) => self.spare.keep(self.kind, &key, document),
        }
    }
}
