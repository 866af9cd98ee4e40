//! Direct requests of one resource.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    known::{CachedResource, CachedState},
    observation::Observation,
    responses::{Responses, Use},
    snapshot::Inventory,
    sync_error::SyncError,
};
use crate::digitalocean::{Error, Kind, Priority, ResourceKey, kinds::FieldSet};

impl Inventory {
    /// Requests the resource now, and stores the response. A 404 is requested twice before it counts, unless the
    /// resource was already known to be gone, and does not count if the token now belongs to another account. A failed
    /// request is stored only if nothing was known.
    ///
    /// Parts of the document that could not be read now are unknown. Parts that only lists show count if two lists
    /// agree, for `max_age`.
    pub async fn fetch(&self, key: &ResourceKey, max_age: Duration) -> Observation {
        let (known, at) = self.fetch_directly(key, FieldSet::default(), Priority::Urgent).await;
        let responses_since = at.checked_sub(self.max_age(key.kind, max_age));
        self.observation(key.kind, &known, Use { responses_since, parts_since: Some(at), only_confirmed: true })
    }

    /// Same as [`Self::fetch`], to confirm a change that only one list shows. None if the allowance for extra calls is
    /// used up; the next list confirms it too.
    pub async fn confirm_change(&self, key: &ResourceKey, max_age: Duration) -> Option<Observation> {
        let calls = {
            let kinds = self.kinds();
            let entry = kinds.get(&key.kind).and_then(|snapshot| snapshot.resources.get(&key.id));
            let shown = entry.and_then(|entry| entry.known.shown());
            shown.map_or(0, |shown| shown.wants(key.kind.row(), shown.fields()).readings.len()).saturating_add(1)
        };
        let is_allowed = self.0.allowance.lock().take(calls);
        if !is_allowed {
            return None;
        }
        Some(self.fetch(key, max_age).await)
    }

    /// The number of changes that may be confirmed at the same time by reading each.
    #[must_use]
    pub fn single_read_limit(&self) -> usize {
        self.0.allowance.lock().at_once()
    }

    /// Returns true if a list takes no more calls than reading each of these changes, and the allowance for extra calls is
    /// not used up. Takes the calls of the list.
    #[must_use]
    pub fn may_confirm_by_list(&self, kind: Kind, changes: usize) -> bool {
        let pages = self.pages(kind);
        pages <= changes && self.0.allowance.lock().take_in_advance(pages)
    }

    /// Reads the resource of a record of these fields for the first time, with the additional parts that they need.
    /// Many new records must not use up the calls that are reserved for decisions.
    pub async fn first_read(&self, key: &ResourceKey, fields: FieldSet) {
        self.fetch_directly(key, fields, Priority::Sweep).await;
    }

    async fn fetch_directly(&self, key: &ResourceKey, fields: FieldSet, priority: Priority) -> (CachedState, Instant) {
        let at = Instant::now();
        let was_gone = self
            .kinds()
            .get(&key.kind)
            .and_then(|kind| kind.resources.get(&key.id))
            .is_some_and(|entry| entry.known.is_gone());
        let mut asked = self.request(key, priority).await;
        if matches!(asked, Ok(None)) && !was_gone {
            tokio::time::sleep(self.0.settings.absence_delay).await;
            asked = self.request(key, priority).await;
        }
        let mut known = self.known(key, asked, at);
        if known.is_gone() && !was_gone {
            match self.is_other_account(key.kind, priority).await {
                Ok(false) => {}
                Ok(true) => known = CachedState::Failed(SyncError::OtherAccount { kind: key.kind }.to_string().into()),
                Err(error) => known = CachedState::failed(&error),
            }
        }
        if let CachedState::Present(shown) = &mut known {
            self.complete_one(key, fields, priority, Arc::make_mut(shown)).await;
        }
        let has_failed = matches!(known, CachedState::Failed(_));
        let mut kinds = self.kinds();
        let resources = &mut kinds.entry(key.kind).or_default().resources;
        if resources.get(&key.id).is_none_or(|entry| entry.at <= at && !has_failed) {
            resources.insert(Arc::clone(&key.id), CachedResource::new(known.clone(), at));
        }
        (known, at)
    }

    /// The result of a direct request, on top of earlier responses.
    pub(super) fn known(&self, key: &ResourceKey, asked: Result<Option<Arc<str>>, Error>, at: Instant) -> CachedState {
        match asked {
            Ok(Some(text)) => {
                let kinds = self.kinds();
                let before = kinds.get(&key.kind).and_then(|kind| kind.resources.get(&key.id));
                let before = before.and_then(|entry| match &entry.known {
                    CachedState::Present(shown) => Some(&**shown),
                    _ => None,
                });
                CachedState::Present(Arc::new(Responses::got(key.kind.row(), before, &text, at)))
            }
            Ok(None) => CachedState::Gone,
            Err(error) => CachedState::failed(&error),
        }
    }
}
