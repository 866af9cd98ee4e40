//! Syncs a kind: reads its lists and applies them, as a whole or not at all.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map},
    sync::Arc,
};

use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{
    known::{CachedResource, CachedState},
    responses::{ListedText, Responses, Use, Wants},
    snapshot::{Inventory, SIDE_BY_SIDE},
    spare::{self, Room},
    stage::{ListedRow, ReadLists, Selection, Stage, Staged, StagedResource, Wanted, absent},
    sync_error::SyncError,
    text::Examples,
};
use crate::digitalocean::{
    Error, Kind, Priority, ResourceKey,
    kinds::FieldSet,
    lists::{Listed, Rows},
};

/// The result of a sync.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The kind.
    pub kind: Kind,
    /// Recorded ids whose state changed.
    pub changed: Vec<Arc<str>>,
    /// The ids among them that were unknown before.
    pub renewed: Vec<Arc<str>>,
    /// The number of documents that are unchanged, and now confirmed.
    pub confirmed: usize,
    /// The number of resources of the kind.
    pub listed: usize,
    /// The number of calls, without the one-time calls for resources that were gone.
    pub calls: usize,
    /// The parts that could not be read. Their earlier state is kept, and ages.
    pub unread: Option<SyncError>,
}

impl Inventory {
    /// Lists all pages of `kind` and applies them, or nothing. `wanted` are its recorded resources; without any, no
    /// call is made. Recorded parts that no list shows are read within an allowance.
    ///
    /// # Errors
    /// If the list could not be read in full or was wrong. The earlier state is kept.
    pub async fn sync(
        &self,
        kind: Kind,
        wanted: impl IntoIterator<Item = impl Into<Wanted>> + Send,
    ) -> Result<Changes, SyncError> {
        self.take_turn(kind, Selection::Wanted(wanted.into_iter().map(Into::into).collect())).await
    }

    /// Lists all pages of `kind` and keeps every resource, for a survey of the account. The additional parts of these
    /// fields are read within an allowance. `parents` are the ids of the parents that contain the lists.
    /// # Errors
    /// If the list could not be read in full.
    pub async fn survey(&self, kind: Kind, fields: FieldSet, parents: Vec<String>) -> Result<Changes, SyncError> {
        self.take_turn(kind, Selection::All { fields, parents }).await
    }

    async fn take_turn(&self, kind: Kind, selection: Selection) -> Result<Changes, SyncError> {
        let turn = Arc::clone(self.0.turns.lock().entry(kind).or_default());
        let _turn = turn.lock().await;
        let outcome = self.list(kind, selection).await;
        if let Err(error) = &outcome {
            let mut kinds = self.kinds();
            let snapshot = kinds.entry(kind).or_default();
            snapshot.last_error = Some(error.into());
            snapshot.unrecorded = None;
        }
        outcome
    }

    async fn list(&self, kind: Kind, selection: Selection) -> Result<Changes, SyncError> {
        let started = Instant::now();
        let token = self.0.client.token_version();
        let examples = self.kinds().get(&kind).map(|snapshot| snapshot.examples.clone()).unwrap_or_default();
        let ReadLists { rows, listed, spare, unread } = self.read(kind, selection, &examples).await?;
        let account = self.account(kind, &rows).await?;
        let mut absent = absent(kind, &rows);
        if absent.len() > self.0.settings.doubt_above && !kind.row().lists_a_part {
            self.doubt(kind, &absent).await?;
        }
        absent.truncate(self.0.settings.confirm_at_most);
        let found = self.confirm(absent).await;
        // An earlier process may have seen them.
        let is_first = self.kinds().get(&kind).is_none_or(|snapshot| snapshot.listed_at.is_none());
        let was_there = |id: &Arc<str>| {
            let before = rows.get(id).and_then(|staged| staged.before.as_ref());
            before.map_or(is_first, |before| !before.known.is_gone())
        };
        if found.iter().any(|(id, entry)| entry.known.is_gone() && was_there(id)) {
            self.doubt_account(kind).await?;
        }
        let asked = found.values().filter(|entry| !entry.known.is_gone()).count();
        let (again, mut entries) = sort(kind, rows, found, started);
        let calls = listed.pages + asked + self.complete(kind, &mut entries).await;
        let (mut changed, renewed, confirmed) = self.take_over(kind, started, again, entries);
        let certificates = self.0.certificates.known();
        let mut kinds = self.kinds();
        let snapshot = kinds.entry(kind).or_default();
        if snapshot.certificates != certificates {
            let needs = FieldSet::fields(kind.row(), kind.row().certificates.iter().map(String::as_str));
            let shows = |entry: &CachedResource| matches!(&entry.known, CachedState::Present(shown) if shown.fields().has(needs));
            changed.extend(snapshot.resources.iter().filter(|(_, entry)| shows(entry)).map(|(id, _)| Arc::clone(id)));
            changed.sort();
            changed.dedup();
            snapshot.certificates = certificates;
        }
        snapshot.examples = examples;
        snapshot.pages = listed.pages;
        // A resource that its parent shows is recorded with the parent.
        let counts = unread.error.is_none() && !kind.is_shown_in_parent();
        snapshot.unrecorded = counts.then(|| spare.unrecorded());
        snapshot.spare = spare.listed(started);
        if !snapshot.spare.is_empty() {
            self.drop_spare_later(kind, started);
        }
        // After a change of the token, the rows of the earlier token have no account.
        let account = account.filter(|_| self.0.client.token_version() == token);
        if let Some(account) = account {
            self.0.accounts.remember(&account);
            snapshot.account = Some(account);
        }
        snapshot.unread = unread.errors;
        Ok(Changes { kind, changed, renewed, confirmed, listed: listed.rows, calls, unread: unread.error })
    }

    /// Drops the spare rows of a list once they are no longer fresh.
    fn drop_spare_later(&self, kind: Kind, at: Instant) {
        let inventory = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep_until(at + spare::FRESH).await;
            let Some(inventory) = inventory.upgrade().map(Self) else { return };
            if let Some(snapshot) = inventory.kinds().get_mut(&kind)
                && snapshot.spare.at() == Some(at)
            {
                snapshot.spare.clear();
            }
        });
    }

    /// Takes the resource of a new record from the rows of a fresh list, if these show all of these fields. Returns
    /// true if it is known now.
    #[must_use]
    pub fn take_from_list(&self, key: &ResourceKey, fields: FieldSet) -> bool {
        let mut kinds = self.kinds();
        let Some(snapshot) = kinds.get_mut(&key.kind) else { return false };
        if let Some(entry) = snapshot.resources.get(&key.id) {
            return entry.known.shown().is_none_or(|shown| !shown.is_incomplete(key.kind.row()));
        }
        let Some((text, at)) = snapshot.spare.row(&key.id) else { return false };
        let row = key.kind.row();
        let mut shown = Responses::listed(row, None, ListedText::of(row, text, &snapshot.examples), at);
        let needs_certificates = fields.has(FieldSet::fields(row, row.certificates.iter().map(String::as_str)));
        let needs_scopes = row.scopes_in_doubt(fields).next().is_some();
        if shown.wants(row, fields) != Wants::default() || needs_certificates || needs_scopes {
            return false;
        }
        shown.expect(fields, Arc::default());
        shown.compose(row, Use::default());
        snapshot.resources.insert(Arc::clone(&key.id), CachedResource::new(CachedState::Present(Arc::new(shown)), at));
        true
    }

    /// Reads the lists. Fails only if none of them could be read.
    async fn read(&self, kind: Kind, selection: Selection, examples: &Examples) -> Result<ReadLists, SyncError> {
        let stages = self.stages(kind, selection, examples);
        let all = stages.len();
        let lists = stages.into_iter().map(|(parent, mut stage)| async move {
            let outcome = match self.0.client.list(kind, parent.as_deref(), &mut stage, Priority::Sweep).await {
                // The parent does not exist, so neither do its resources.
                Err(Error::NotFound { .. }) if parent.is_some() => {
                    stage.begin();
                    Ok(Listed { rows: 0, pages: 1 })
                }
                other => other,
            };
            (parent, outcome, stage)
        });
        let outcomes: Vec<_> = stream::iter(lists).buffer_unordered(SIDE_BY_SIDE).collect().await;
        let mut read = ReadLists::default();
        for (parent, outcome, Stage { mut resources, spare, .. }) in outcomes {
            match outcome {
                Ok(listed) => {
                    read.spare.join(spare);
                    read.listed.rows += listed.rows;
                    read.listed.pages += listed.pages;
                }
                Err(source) => {
                    let error: Arc<str> = source.to_string().into();
                    for staged in resources.values_mut() {
                        staged.row = ListedRow::Unread(Arc::clone(&error));
                    }
                    read.unread.errors.insert(parent.unwrap_or_default().into(), error);
                    let unread = read.unread.errors.len();
                    read.unread.error = Some(SyncError::Part { kind, unread, all, source });
                }
            }
            if read.rows.is_empty() {
                read.rows = resources;
            } else {
                read.rows.extend(resources);
            }
        }
        match read.unread.error {
            Some(SyncError::Part { source, .. }) if read.unread.errors.len() == all => {
                Err(SyncError::List { kind, source })
            }
            _ => Ok(read),
        }
    }

    /// The wanted resources with the state of each: one stage for each list that must be read.
    fn stages(&self, kind: Kind, selection: Selection, examples: &Examples) -> BTreeMap<Option<String>, Stage> {
        let kinds = self.kinds();
        let known = kinds.get(&kind).map(|snapshot| &snapshot.resources);
        let mut stages: BTreeMap<Option<String>, Stage> = BTreeMap::new();
        let room = Room::default();
        let wanted = match selection {
            Selection::Wanted(wanted) => wanted,
            Selection::All { parents, fields } => {
                let is_within = kind.parent().is_some();
                let parents = parents.into_iter().map(Some).filter(|_| is_within);
                let own = (!is_within).then_some(None);
                for parent in parents.chain(own) {
                    let stage = Stage::of(kind, parent.as_deref(), &room, examples);
                    stages.insert(parent, Stage { takes_all: Some(fields), ..stage });
                }
                Vec::new()
            }
        };
        // A kind within no other one has a single list.
        let expected = if kind.parent().is_none() { wanted.len() } else { 0 };
        for Wanted { id, fields } in wanted {
            let key = ResourceKey::new(kind, Arc::clone(&id));
            let parent = key.parts().0;
            let before = known.and_then(|known| known.get(&id)).cloned();
            let stage = match stages.entry(parent.map(ToOwned::to_owned)) {
                btree_map::Entry::Occupied(stage) => stage.into_mut(),
                btree_map::Entry::Vacant(room_for) => {
                    let mut stage = Stage::of(kind, parent, &room, examples);
                    stage.resources.reserve(expected);
                    room_for.insert(stage)
                }
            };
            stage.resources.insert(id, Staged { before, row: ListedRow::Missing, fields });
        }
        if kind.parent().is_some() {
            // An id without a parent belongs to no list.
            stages.remove(&None);
        }
        stages
    }

    /// Applies a sync. Returns the changed ids, those of them that were unknown before, and the number of other
    /// documents that are now confirmed.
    fn take_over(
        &self,
        kind: Kind,
        started: Instant,
        again: Vec<Again>,
        mut entries: Vec<StagedResource>,
    ) -> (Ids, Ids, usize) {
        let mut kinds = self.kinds();
        let snapshot = kinds.entry(kind).or_default();
        let (mut changed, mut renewed, mut confirmed) = (Vec::new(), Vec::new(), 0);
        for Again { id, fields, shown, since } in again {
            let is_as_it_was = |entry: &&mut CachedResource| entry.at == since;
            let Some(entry) = snapshot.resources.get_mut(&id).filter(is_as_it_was) else {
                // Requested directly, or forgotten, since its knowledge was read.
                let mut shown = Responses::clone(&shown);
                shown.confirm(started);
                let entry = CachedResource::new(CachedState::Present(Arc::new(shown)), started);
                entries.push(StagedResource { id, fields, entry, since: Some(since) });
                continue;
            };
            // The knowledge itself has no other owner now, so that it is not copied.
            drop(shown);
            if let CachedState::Present(shown) = &mut entry.known {
                confirmed += usize::from(!shown.is_confirmed());
                Arc::make_mut(shown).confirm(started);
            }
            entry.at = started;
            if std::mem::take(&mut entry.is_expired) {
                renewed.push(Arc::clone(&id));
                changed.push(id);
            }
        }
        if snapshot.resources.is_empty() {
            for ids in [&mut changed, &mut renewed] {
                ids.reserve_exact(entries.len());
            }
            snapshot.resources.reserve(entries.len());
        }
        // An entry that could not be read stays, and ages.
        let mut aging = HashSet::new();
        for StagedResource { id, entry, since, .. } in entries {
            let is_of_list = entry.at == started;
            let is_after = |newer: &CachedResource| {
                is_of_list && newer.known.is_known() && since.is_some_and(|since| newer.at > since)
            };
            if entry.at < started {
                aging.insert(Arc::clone(&id));
            }
            match snapshot.resources.get(&id) {
                // Requested directly since the start of the list, so newer than it; or the list was not read. A request that
                // began before the list and ended after its knowledge was read is kept too: the list may lag behind it.
                Some(newer) if newer.at >= entry.at || is_after(newer) => {
                    if newer.at < started {
                        aging.insert(id);
                    }
                }
                older => {
                    let was_known = older.is_some_and(|older| older.known.is_known() && !older.is_expired);
                    let is_renewed = entry.known.is_known() && !was_known;
                    if is_renewed {
                        renewed.push(Arc::clone(&id));
                    }
                    if is_renewed || !older.is_some_and(|older| older.known.is_like(&entry.known)) {
                        changed.push(Arc::clone(&id));
                    } else if older.is_some_and(|older| entry.known.is_confirmed() && !older.known.is_confirmed()) {
                        confirmed += 1;
                    }
                    snapshot.resources.insert(id, entry);
                }
            }
        }
        // The others are not recorded any more, unless they were recorded and requested since the list started.
        snapshot.resources.retain(|id, entry| entry.at >= started || aging.contains(id));
        snapshot.listed_at = Some(started);
        snapshot.last_error = None;
        (changed, renewed, confirmed)
    }
}

/// A resource whose row was the same in the list, and of which nothing else is needed.
struct Again {
    id: Arc<str>,
    fields: FieldSet,
    /// The earlier knowledge about it.
    shown: Arc<Responses>,
    /// The time of that.
    since: Instant,
}

/// The resources that the lists confirmed as unchanged, and the knowledge about the others.
fn sort(
    kind: Kind,
    rows: HashMap<Arc<str>, Staged>,
    mut asked: HashMap<Arc<str>, CachedResource>,
    started: Instant,
) -> (Vec<Again>, Vec<StagedResource>) {
    let row = kind.row();
    // Fleets record few sets of fields.
    let mut extras: Vec<(FieldSet, bool)> = Vec::new();
    let mut needs_extras = |fields| {
        let known = extras.iter().find(|(known, _)| *known == fields).map(|(_, needs)| *needs);
        known.unwrap_or_else(|| {
            let needs = row.needs_extras(fields);
            extras.push((fields, needs));
            needs
        })
    };
    let new = rows.values().filter(|staged| staged.before.is_none()).count();
    let (mut again, mut found) = (Vec::with_capacity(rows.len() - new), Vec::with_capacity(new));
    for (id, staged) in rows {
        let fields = staged.fields;
        let confirmed = staged.confirmed(row).filter(|_| !needs_extras(fields));
        if let Some((shown, since)) = confirmed {
            again.push(Again { id, fields, shown, since });
        } else {
            let since = staged.before.as_ref().map(|before| before.at);
            // A request that failed is no news about a resource that was gone.
            let answer = asked.remove(&id).filter(|answer| answer.known.is_known() || !staged.is_gone());
            let entry = staged.entry(row, answer, started);
            found.push(StagedResource { id, fields, entry, since });
        }
    }
    (again, found)
}

/// Ids of resources.
type Ids = Vec<Arc<str>>;
