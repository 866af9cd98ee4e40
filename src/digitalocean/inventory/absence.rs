//! Decides whether a resource that a list lacks is gone, and whether the list or the token is wrong.

use std::{collections::HashMap, sync::Arc};

use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{
    known::{CachedResource, CachedState},
    snapshot::{Inventory, SIDE_BY_SIDE},
    stage::{ListedRow, Staged},
    sync_error::SyncError,
};
use crate::digitalocean::{Error, Kind, Priority, ResourceKey, account::Account};

/// The number of resources that are requested directly to check a list.
const PROBES: usize = 3;

/// If at least this number of resources is recorded and all are missing at once, the account is checked.
const ALL: usize = 3;

impl Inventory {
    /// The account of these rows, if the token can read it. If all known resources of a kind are missing, the account
    /// must be the one in which they were seen; otherwise they become unknown.
    pub(super) async fn account(
        &self,
        kind: Kind,
        rows: &HashMap<Arc<str>, Staged>,
    ) -> Result<Option<Account>, SyncError> {
        let known = rows.values().filter(|staged| staged.before.as_ref().is_some_and(|before| !before.known.is_gone()));
        let missing = known.clone().filter(|staged| matches!(staged.row, ListedRow::Missing)).count();
        if missing < ALL || missing < known.count() {
            let is_seen = rows.values().any(|staged| matches!(staged.row, ListedRow::Same | ListedRow::New(_)));
            return Ok(if is_seen { self.0.accounts.known(&self.0.client).await } else { None });
        }
        self.doubt_account(kind).await.map(|()| None)
    }

    /// Checks that the token belongs to the account in which the kind was seen; otherwise its resources become unknown.
    pub(super) async fn doubt_account(&self, kind: Kind) -> Result<(), SyncError> {
        let is_other = self.is_other_account(kind, Priority::Sweep).await;
        if is_other.map_err(|source| SyncError::List { kind, source })? {
            let error = SyncError::OtherAccount { kind };
            self.disown(kind, &error.to_string().into());
            return Err(error);
        }
        Ok(())
    }

    /// Returns true if the token belongs to another account than the one in which the kind's resources were seen, if it
    /// can read its account.
    pub(super) async fn is_other_account(&self, kind: Kind, priority: Priority) -> Result<bool, Error> {
        let seen_in = self.kinds().get(&kind).and_then(|snapshot| snapshot.account.clone());
        let Some(seen_in) = seen_in.or_else(|| self.0.accounts.first_seen()) else { return Ok(false) };
        Ok(self.0.accounts.fetch(&self.0.client, priority).await?.is_some_and(|account| account != seen_in))
    }

    /// Makes all resources of a kind unknown, for this reason.
    fn disown(&self, kind: Kind, why: &Arc<str>) {
        let now = Instant::now();
        for entry in self.kinds().entry(kind).or_default().resources.values_mut() {
            *entry = CachedResource::new(CachedState::Failed(Arc::clone(why)), now);
        }
    }

    /// Requests a few of many missing resources directly.
    pub(super) async fn doubt(&self, kind: Kind, absent: &[ResourceKey]) -> Result<(), SyncError> {
        for key in absent.iter().step_by(absent.len().div_ceil(PROBES)) {
            let document =
                self.request(key, Priority::Sweep).await.map_err(|source| SyncError::List { kind, source })?;
            if document.is_some() {
                return Err(SyncError::Incomplete { kind, missing: absent.len() });
            }
        }
        Ok(())
    }

    /// Requests each missing resource, and later once more those that do not exist.
    pub(super) async fn confirm(&self, absent: Vec<ResourceKey>) -> HashMap<Arc<str>, CachedResource> {
        let mut found = HashMap::new();
        let mut missing = absent;
        for is_second in [false, true] {
            if missing.is_empty() {
                break;
            }
            if is_second {
                tokio::time::sleep(self.0.settings.absence_delay).await;
            }
            let questions = missing.into_iter().map(|key| async move {
                let at = Instant::now();
                let asked = self.request(&key, Priority::Sweep).await;
                (key, asked, at)
            });
            let answers: Vec<_> = stream::iter(questions).buffer_unordered(SIDE_BY_SIDE).collect().await;
            missing = Vec::new();
            for (key, asked, at) in answers {
                if matches!(asked, Ok(None)) && !is_second {
                    missing.push(key);
                } else {
                    let known = self.known(&key, asked, at);
                    found.insert(key.id, CachedResource::new(known, at));
                }
            }
        }
        found
    }
}
