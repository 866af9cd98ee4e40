//! Waits for cloud actions on behalf of many: one list call tells about 200 of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::lists::PER_PAGE;
use super::pages::Cursor;
use super::{Client, Error, Path};

/// The token's scope for all of this.
const SCOPE: &str = "actions:read";
/// How many pages of the list are read in one round, newest actions first.
const PAGES: u32 = 5;
/// How many actions that these pages do not show are asked for singly in one round.
const SINGLES: usize = 5;
/// How often an action must be denied before it counts as gone: one that has just begun may not be known everywhere.
const DENIALS: u32 = 2;
/// For how long an end is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The actions that are awaited, and by whom. Clones share them.
#[derive(Clone)]
pub struct Actions<K> {
    waits: Arc<Waits<K>>,
    /// Ends with the last clone.
    _poller: Arc<AbortOnDropHandle<()>>,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// It did what it was to do.
    Completed,
    /// It failed; the API does not say why.
    Errored,
    /// The API says that there is no such action.
    Gone,
}

struct Waits<K> {
    interval: Duration,
    state: Mutex<State<K>>,
    /// Somebody waits for something, after a time when nobody did.
    begun: Notify,
}

struct State<K> {
    waiting: BTreeMap<u64, Wait<K>>,
    ended: HashMap<u64, (ActionState, Instant)>,
    /// When to look next; never while nobody waits.
    due: Option<Instant>,
}

struct Wait<K> {
    since: Instant,
    waiters: HashSet<K>,
    /// When the action was last asked for singly.
    asked: Option<Instant>,
    /// How often the API has denied it since it was last seen.
    denials: u32,
}

/// The task that looks.
struct Poller<K, W> {
    client: Client,
    waits: Arc<Waits<K>>,
    wake: W,
    /// Why the last round failed.
    trouble: Option<&'static str>,
}

#[derive(Deserialize)]
struct Action {
    id: u64,
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Completed,
    Errored,
    #[serde(other)]
    InProgress,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Actions<K> {
    /// Polls in a task of its own while somebody waits, on average with one call per `interval` at most, and sleeps
    /// otherwise. `wake` is called once for each waiter of an action that has ended. Needs a tokio runtime.
    pub fn start(client: Client, interval: Duration, wake: impl Fn(K) + Send + Sync + 'static) -> Self {
        let state = State { waiting: BTreeMap::new(), ended: HashMap::new(), due: None };
        let waits = Arc::new(Waits { interval, state: Mutex::new(state), begun: Notify::new() });
        let poller = Poller { client, waits: Arc::clone(&waits), wake, trouble: None };
        Self { waits, _poller: Arc::new(AbortOnDropHandle::new(tokio::spawn(poller.run()))) }
    }

    /// How an action ended. Nothing where it is in progress or not known yet; `waiter` is woken when it has ended.
    #[must_use]
    pub fn look(&self, id: u64, waiter: &K) -> Option<ActionState> {
        let now = Instant::now();
        let mut state = self.waits.state();
        if let Some((ended, _)) = state.ended.get(&id).filter(|(_, at)| now < *at + REMEMBERED) {
            return Some(*ended);
        }
        let wait = state.waiting.entry(id).or_insert_with(|| Wait {
            since: now,
            waiters: HashSet::new(),
            asked: None,
            denials: 0,
        });
        wait.waiters.insert(waiter.clone());
        if state.due.is_none() {
            state.due = Some(now + self.waits.interval);
            self.waits.begun.notify_one();
        }
        None
    }

    /// `waiter` does not wait for anything any more.
    pub fn forget(&self, waiter: &K) {
        let mut state = self.waits.state();
        state.waiting.retain(|_, wait| {
            wait.waiters.remove(waiter);
            !wait.waiters.is_empty()
        });
        if state.waiting.is_empty() {
            state.due = None;
        }
    }
}

impl<K: Eq + Hash, W: Fn(K)> Poller<K, W> {
    async fn run(mut self) {
        loop {
            let due = self.waits.state().due;
            match due {
                None => self.waits.begun.notified().await,
                Some(due) if Instant::now() < due => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.waits.begun.notified() => {}
                    }
                }
                Some(due) => {
                    let calls = self.round().await;
                    self.waits.rest(due, calls);
                }
            }
        }
    }

    /// Looks once at all that is awaited. How many calls that took.
    async fn round(&mut self) -> u32 {
        let mut calls = 0;
        let trouble = match self.look(&mut calls).await {
            Ok(()) => None,
            Err(error) => {
                if self.trouble != Some(error.category()) {
                    warn!(%error, "cannot see how the cloud's actions go; will try again");
                }
                Some(error.category())
            }
        };
        if self.trouble.is_some() && trouble.is_none() {
            info!("sees again how the cloud's actions go");
        }
        self.trouble = trouble;
        calls
    }

    async fn look(&self, calls: &mut u32) -> Result<(), Error> {
        let mut missing = self.waits.awaited();
        let mut cursor = Cursor::default();
        for _ in 0..PAGES {
            // Newest first, if not strictly so.
            let Some(oldest) = missing.first().copied() else { return Ok(()) };
            *calls += 1;
            let (actions, has_more) = self.page(&mut cursor).await?;
            let is_past = actions.iter().all(|action| action.id < oldest);
            for action in actions {
                if missing.remove(&action.id) {
                    self.saw(&action);
                }
            }
            if is_past || !has_more {
                break;
            }
        }
        for id in self.waits.pick(&missing) {
            *calls += 1;
            self.waits.take_turn(id);
            match self.ask(id).await? {
                Some(action) => self.saw(&action),
                None if self.waits.deny(id) => self.end(id, ActionState::Gone),
                None => {}
            }
        }
        Ok(())
    }

    /// The actions of one page, and whether more pages follow. Each round is a try, so that no call is retried here.
    async fn page(&self, cursor: &mut Cursor) -> Result<(Vec<Action>, bool), Error> {
        let path = Path { route: "/v2/actions", parent: None, id: None, scope: SCOPE };
        let (_, number) = cursor.query();
        let query = [("page", number.as_str()), ("per_page", PER_PAGE)];
        let call = self.client.urgent(path, &query, None)?;
        let body = self.client.once(&call, 1).await?.ok_or_else(|| call.not_found())?;
        let mut actions = Vec::new();
        let page = self.client.page(&call, &body, "actions", None, |_, row| {
            actions.push(serde_json::from_str(row).map_err(|error| error.to_string())?);
            Ok(())
        })?;
        // Actions begin all the time, so the total may change between two pages.
        cursor.take(&page);
        Ok((actions, page.has_more(cursor.rows)))
    }

    /// One action; nothing where the API says that there is none.
    async fn ask(&self, id: u64) -> Result<Option<Action>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            action: Action,
        }
        let text = id.to_string();
        let path = Path { route: "/v2/actions/{id}", parent: None, id: Some(&text), scope: SCOPE };
        let call = self.client.urgent(path, &[], None)?;
        let Some(body) = self.client.once(&call, 1).await? else { return Ok(None) };
        let Answer { action } = self.client.json(&call, &body)?;
        if action.id == id {
            Ok(Some(action))
        } else {
            Err(self.client.malformed(&call, &format!("it is action {}", action.id)))
        }
    }

    fn saw(&self, action: &Action) {
        match action.status {
            Status::Completed => self.end(action.id, ActionState::Completed),
            Status::Errored => self.end(action.id, ActionState::Errored),
            Status::InProgress => self.waits.allow(action.id),
        }
    }

    fn end(&self, id: u64, how: ActionState) {
        // Not under the lock: who is woken may look at once.
        self.waits.end(id, how).into_iter().for_each(&self.wake);
    }
}

impl<K> Waits<K> {
    fn awaited(&self) -> BTreeSet<u64> {
        self.state().waiting.keys().copied().collect()
    }

    /// Which actions to ask for singly: those that were not asked for yet, then those that were longest ago, so that
    /// each has its turn; among these, the longest wait first.
    fn pick(&self, missing: &BTreeSet<u64>) -> Vec<u64> {
        let state = self.state();
        let turns = missing.iter().filter_map(|id| state.waiting.get(id).map(|wait| (wait.asked, wait.since, *id)));
        let mut turns: Vec<_> = turns.collect();
        drop(state);
        turns.sort_unstable();
        turns.into_iter().map(|(.., id)| id).take(SINGLES).collect()
    }

    fn take_turn(&self, id: u64) {
        if let Some(wait) = self.state().waiting.get_mut(&id) {
            wait.asked = Some(Instant::now());
        }
    }

    /// The API says that there is no such action: whether that is to be believed.
    fn deny(&self, id: u64) -> bool {
        self.state().waiting.get_mut(&id).is_some_and(|wait| {
            wait.denials += 1;
            wait.denials >= DENIALS
        })
    }

    /// There is such an action.
    fn allow(&self, id: u64) {
        if let Some(wait) = self.state().waiting.get_mut(&id) {
            wait.denials = 0;
        }
    }

    /// The action has ended. Who waited for it.
    fn end(&self, id: u64, how: ActionState) -> HashSet<K> {
        let mut state = self.state();
        let Some(wait) = state.waiting.remove(&id) else { return HashSet::new() };
        state.ended.insert(id, (how, Instant::now()));
        wait.waiters
    }

    /// The round that was due then has ended. The next begins when its calls have been made up for, if somebody still
    /// waits; who came after all others had left is not to wait for that.
    fn rest(&self, due: Instant, calls: u32) {
        let now = Instant::now();
        let mut state = self.state();
        state.ended.retain(|_, (_, at)| now < *at + REMEMBERED);
        if state.due == Some(due) {
            let is_awaited = !state.waiting.is_empty();
            state.due = is_awaited.then(|| now + self.interval.saturating_mul(calls.max(1)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests;
