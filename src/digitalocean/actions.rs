//! Waits for cloud actions on behalf of many waiters: one list call returns about 200 actions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{ActionState, Client, Endpoint, Error, pages::Cursor};
use crate::liveness::Pulse;

/// The scope that these calls need.
const SCOPE: &str = "actions:read";
/// The number of pages of the list per round, newest actions first.
const PAGES: u32 = 5;
/// The number of single requests per round for actions that these pages lack.
const SINGLES: usize = 5;
/// The number of 404 responses after which an action counts as gone: a new action may not be visible everywhere yet.
const DENIALS: u32 = 2;
/// The time for which an ended action is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The awaited actions with their waiters. Clones share them.
#[derive(Clone)]
pub(crate) struct Actions<K> {
    waits: Arc<Waits<K>>,
    /// Aborted with the last clone.
    _poller: Arc<AbortOnDropHandle<()>>,
}

struct Waits<K> {
    interval: Duration,
    state: Mutex<State<K>>,
    /// Notifies the poller that the first waiter was added.
    begun: Notify,
}

struct State<K> {
    waiting: BTreeMap<u64, AwaitedAction<K>>,
    ended: HashMap<u64, (ActionState, Instant)>,
    /// The time of the next round; none without waiters.
    due: Option<Instant>,
}

struct AwaitedAction<K> {
    since: Instant,
    waiters: HashSet<K>,
    /// The time of the last single request.
    asked: Option<Instant>,
    /// The number of 404 responses since the action was last seen.
    denials: u32,
}

/// The polling task.
struct Poller<K, W> {
    client: Client,
    waits: Arc<Waits<K>>,
    pulse: Pulse,
    wake: W,
    /// The reason why the last round failed.
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
    /// Polls in a separate task while there are waiters, with at most one call per `interval` on average, and sleeps
    /// otherwise. `wake` is called once for each waiter of an action that has ended. Needs a tokio runtime.
    pub(crate) fn start(
        client: Client,
        interval: Duration,
        pulse: Pulse,
        wake: impl Fn(K) + Send + Sync + 'static,
    ) -> Self {
        let state = State { waiting: BTreeMap::new(), ended: HashMap::new(), due: None };
        let waits = Arc::new(Waits { interval, state: Mutex::new(state), begun: Notify::new() });
        let poller = Poller { client, waits: Arc::clone(&waits), pulse, wake, trouble: None };
        Self { waits, _poller: Arc::new(AbortOnDropHandle::new(tokio::spawn(poller.run()))) }
    }

    /// The result of an action; none if it is in progress or unknown. `waiter` is woken when the action has ended.
    #[must_use]
    pub(crate) fn state_of(&self, id: u64, waiter: &K) -> Option<ActionState> {
        let now = Instant::now();
        let mut state = self.waits.state();
        if let Some((ended, _)) = state.ended.get(&id).filter(|(_, at)| now < *at + REMEMBERED) {
            return Some(*ended);
        }
        let wait = state.waiting.entry(id).or_insert_with(|| AwaitedAction {
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

    /// Removes `waiter` from all actions.
    pub(crate) fn forget(&self, waiter: &K) {
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
                    self.pulse.begin();
                    let calls = self.round().await;
                    self.pulse.rest();
                    self.waits.rest(due, calls);
                }
            }
        }
    }

    /// Polls all awaited actions once. Returns the number of calls.
    async fn round(&mut self) -> u32 {
        let mut calls = 0;
        let trouble = match self.poll(&mut calls).await {
            Ok(()) => None,
            Err(error) => {
                if self.trouble != Some(error.category()) {
                    warn!(%error, "reading the cloud's actions failed; retrying");
                }
                Some(error.category())
            }
        };
        if self.trouble.is_some() && trouble.is_none() {
            info!("reading the cloud's actions succeeded again");
        }
        self.trouble = trouble;
        calls
    }

    async fn poll(&self, calls: &mut u32) -> Result<(), Error> {
        let mut missing = self.waits.awaited();
        let mut cursor = Cursor::default();
        for _ in 0..PAGES {
            // Newest first, with small exceptions.
            let Some(oldest) = missing.first().copied() else { return Ok(()) };
            *calls += 1;
            let (actions, has_more) = match self.page(&mut cursor).await {
                // The steps look up their effects instead, which needs other scopes.
                Err(error @ Error::Forbidden { .. }) => {
                    for id in missing {
                        self.end(id, ActionState::Gone);
                    }
                    return Err(error);
                }
                page => page?,
            };
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
            match self.request(id).await? {
                Some(action) => self.saw(&action),
                None if self.waits.deny(id) => self.end(id, ActionState::Gone),
                None => {}
            }
        }
        Ok(())
    }

    /// The actions of one page, and whether more pages follow. A failed round is repeated as a whole, so no call is
    /// retried here.
    async fn page(&self, cursor: &mut Cursor) -> Result<(Vec<Action>, bool), Error> {
        let path = Endpoint { route: "/v2/actions", parent: None, id: None, scope: SCOPE };
        let call = self.client.next_page(path, &[], cursor)?;
        let body = self.client.once(&call, 1).await?.ok_or_else(|| call.not_found())?;
        let (page, actions) = self.client.page(&call, &body, "actions")?;
        // New actions are added all the time, so the total may change between two pages.
        cursor.take(&page);
        Ok((actions, page.has_more(cursor.rows)))
    }

    /// Requests one action; none if the API returns 404.
    async fn request(&self, id: u64) -> Result<Option<Action>, Error> {
        #[derive(Deserialize)]
        struct ActionResponse {
            action: Action,
        }
        let text = id.to_string();
        let path = Endpoint { route: "/v2/actions/{id}", parent: None, id: Some(&text), scope: SCOPE };
        let call = self.client.urgent(path, &[], None)?;
        let Some(body) = self.client.once(&call, 1).await? else { return Ok(None) };
        let ActionResponse { action } = self.client.json(&call, &body)?;
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
        // Outside of the lock: a woken waiter may read at once.
        self.waits.end(id, how).into_iter().for_each(&self.wake);
    }
}

impl<K> Waits<K> {
    fn awaited(&self) -> BTreeSet<u64> {
        self.state().waiting.keys().copied().collect()
    }

    /// The actions to request singly: those that were never requested, then those with the oldest request, so that each
    /// has its turn. Among these, the longest wait comes first.
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

    /// Counts a 404 for an action. Returns true if the action counts as gone.
    fn deny(&self, id: u64) -> bool {
        self.state().waiting.get_mut(&id).is_some_and(|wait| {
            wait.denials += 1;
            wait.denials >= DENIALS
        })
    }

    /// Resets the count of 404 responses.
    fn allow(&self, id: u64) {
        if let Some(wait) = self.state().waiting.get_mut(&id) {
            wait.denials = 0;
        }
    }

    /// Records the end of an action, and returns its waiters.
    fn end(&self, id: u64, how: ActionState) -> HashSet<K> {
        let mut state = self.state();
        let Some(wait) = state.waiting.remove(&id) else { return HashSet::new() };
        state.ended.insert(id, (how, Instant::now()));
        wait.waiters
    }

    /// Completes the round that was due then. If there are waiters, the next round starts when its calls are made up
    /// for. A waiter that arrives after all others have left does not wait for that.
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
