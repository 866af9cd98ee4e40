//! One budget of calls for the whole token: as fast as allowed, never faster.
//!
//! DigitalOcean counts calls in sliding windows. A bucket that refills steadily would allow a second burst while the
//! first still counts, so the budget keeps the time of each call instead. A call counts from the moment it may be sent
//! until a whole window after its response: by then it has left the server's window, independent of when the server
//! counted it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use super::kinds::Lane;

/// The windows are slightly longer than DigitalOcean's, for clocks that differ.
const MARGIN: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_mins(1).saturating_add(MARGIN);
const HOUR: Duration = Duration::from_hours(1).saturating_add(MARGIN);

/// The time for which a step keeps its place without a call. Sagas come back much sooner.
const ABSENCE: Duration = Duration::from_mins(2);

/// The calls that are left to each step that came before, even while its saga does something else. Otherwise others
/// would use them up, and a step that lacks one of its calls begins again with the first.
const CALLS_OF_A_STEP: usize = 4;

/// The number of calls that the token may make, and the part that sweeps leave to urgent calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in any 60 seconds. DigitalOcean's limit is 250.
    pub per_minute: usize,
    /// Calls in any hour. DigitalOcean's limit is 5,000.
    pub per_hour: usize,
    /// The part of `per_minute` that only urgent calls may use.
    pub minute_reserve: usize,
    /// The part of `per_hour` that only urgent calls may use.
    pub hour_reserve: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: 250, per_hour: 5_000, minute_reserve: 25, hour_reserve: 500 }
    }
}

/// The budget of one token.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
}

/// The permission to make one call. Dropping it records the end of the call.
#[derive(Debug)]
pub(super) struct CallPermit {
    budget: Arc<Budget>,
    priority: Priority,
    lane: Option<&'static str>,
}

/// The values of `ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerLimits {
    /// The size of the server's budget.
    pub(super) limit: usize,
    /// The remaining part of it.
    pub(super) remaining: usize,
    /// The time until the oldest call leaves the server's window.
    pub(super) reset: Duration,
}

/// The remaining calls, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) minute: usize,
    pub(super) hour: usize,
    pub(super) paused: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    calls: Log,
    /// Of them, those that no sweep made.
    urgent: Log,
    /// Calls that wait, in the order of their tickets.
    lines: HashMap<Line, VecDeque<(u64, Arc<Notify>)>>,
    tickets: Tickets,
    /// Paths with separate limits.
    lanes: HashMap<&'static str, Log>,
    server: Option<Server>,
    /// The calls that the first answer counted and this process had not made, and the time of that answer: they leave
    /// the window within an hour.
    before: Option<(Instant, usize)>,
    /// The version of the token to which all this applies.
    token: u64,
}

/// Calls of one priority and one separate limit wait in one line. Those of steps have their own: they leave calls to each
/// other, for which a decision must not wait.
type Line = (Priority, Option<&'static str>, Waiter);

/// The kind of caller that waits in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Waiter {
    Step,
    Other,
}

/// The order in which calls wait. A step keeps its ticket while its saga does something else between two tries.
#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    /// By step.
    kept: HashMap<Arc<str>, Ticket>,
}

/// The place of a step.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    used: Instant,
}

/// The server's view, which includes other users of the token.
#[derive(Clone, Copy, Debug)]
struct Server {
    limit: usize,
    remaining: usize,
    reserve: usize,
    reset: Instant,
}

/// Calls of one kind of limit: the number of calls in flight, and the end of each other call, oldest first.
#[derive(Debug, Default)]
struct Log {
    under_way: usize,
    ended: VecDeque<Instant>,
    /// The end of the pause that the server requested.
    paused_until: Option<Instant>,
}

/// The reason why a call has to wait.
enum CallDelay {
    /// Until this time at the latest.
    Until(Instant),
    /// Until another call ends.
    ForAnother,
}

/// The priority of a call when the budget is low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Routine: does not use the reserve.
    Sweep,
    /// A user or a saga waits for it: may use the reserve.
    Urgent,
}

/// One turn at a time for each priority: an urgent caller does not wait for a sweep that waits for the budget.
#[derive(Debug, Default)]
pub(super) struct PriorityTurns {
    sweep: tokio::sync::Mutex<()>,
    urgent: tokio::sync::Mutex<()>,
}

impl PriorityTurns {
    pub(super) async fn take(&self, priority: Priority) -> tokio::sync::MutexGuard<'_, ()> {
        match priority {
            Priority::Sweep => self.sweep.lock().await,
            Priority::Urgent => self.urgent.lock().await,
        }
    }
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), changed: Notify::new() })
    }

    /// Waits until a call may be made, after those of its priority that came before. `lane` names a separate limit
    /// of the path; its calls wait for each other alone. Calls of steps wait for each other alone too; all calls of a
    /// `step` have the place of the first one, until [`Self::leave`].
    pub(super) async fn acquire(
        self: &Arc<Self>,
        priority: Priority,
        lane: Option<Lane>,
        step: Option<&Arc<str>>,
    ) -> CallPermit {
        let waiter = if step.is_some() { Waiter::Step } else { Waiter::Other };
        let place = QueuePlace::of(self, (priority, lane.map(|(name, _)| name), waiter), step);
        loop {
            place.is_first().await;
            let changed = self.changed.notified();
            let wait = match self.take(priority, lane, step) {
                Ok(permit) => return permit,
                Err(wait) => wait,
            };
            let until = match wait {
                // A step may never come back for the calls that are left to it.
                CallDelay::ForAnother => Instant::now() + ABSENCE,
                CallDelay::Until(time) => time,
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = changed => {}
            }
        }
    }

    /// Takes a call, or returns the reason to wait.
    fn take(
        self: &Arc<Self>,
        priority: Priority,
        lane: Option<Lane>,
        step: Option<&Arc<str>>,
    ) -> Result<CallPermit, CallDelay> {
        let (now, mut state) = (Instant::now(), self.state());
        let left_to_others = step.map_or(0, |step| state.tickets.left_to_others(step, now));
        state.take(&self.limits, priority, lane, left_to_others, now)?;
        Ok(CallPermit { budget: Arc::clone(self), priority, lane: lane.map(|(name, _)| name) })
    }

    /// Gives up the place of a step, which needs no more calls for now.
    pub(super) fn leave(&self, step: &str) {
        let left = self.state().tickets.kept.remove(step);
        if left.is_some() {
            self.changed.notify_waiters();
        }
    }

    /// Applies the server's values of the whole token.
    pub(super) fn apply_server_limits(&self, server: ServerLimits) {
        let now = Instant::now();
        let mut state = self.state();
        // The server's values may not include calls in flight.
        let mut remaining = server.remaining.saturating_sub(state.calls.under_way);
        if let Some(before) = state.server.filter(|before| now < before.reset) {
            // No call has left the server's window since, so a higher value is from an overtaken response.
            remaining = remaining.min(before.remaining);
        }
        let reserve = self.limits.hour_reserve.min(server.limit / 10);
        let server = Server { limit: server.limit, remaining, reserve, reset: now + server.reset.min(HOUR) };
        let others = server.others(state.calls.used(now, HOUR));
        state.before.get_or_insert((now, others));
        state.server = Some(server);
    }

    /// Pauses the calls with this separate limit, or all calls of the token, as the server requested.
    pub(super) fn pause(&self, time: Duration, lane: Option<Lane>) {
        let until = Instant::now() + time.min(HOUR);
        let mut state = self.state();
        let log = match lane {
            Some((name, _)) => state.lanes.entry(name).or_default(),
            None => &mut state.calls,
        };
        log.paused_until = Some(log.paused_until.map_or(until, |before| before.max(until)));
    }

    /// Forgets the limits of an earlier token. Its calls in flight count for the new one too.
    pub(super) fn use_token(&self, version: u64) {
        let mut state = self.state();
        if state.token == version {
            return;
        }
        let State { calls, urgent, lanes, server, before, token, lines: _, tickets: _ } = &mut *state;
        for log in [calls, urgent].into_iter().chain(lanes.values_mut()) {
            log.ended.clear();
            log.paused_until = None;
        }
        (*server, *before, *token) = (None, None, version);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The remaining calls of sweeps.
    pub(super) fn left(&self) -> Left {
        let now = Instant::now();
        let mut state = self.state();
        state.calls.forget(now, HOUR);
        let minute = self.limits.of_minute(Priority::Sweep).saturating_sub(state.calls.used(now, MINUTE));
        let mut hour = self.limits.of_hour(Priority::Sweep).saturating_sub(state.calls.used(now, HOUR));
        if let Some(server) = state.server.filter(|server| now < server.reset) {
            hour = hour.min(server.remaining.saturating_sub(server.reserve));
        }
        let paused = state.calls.paused_until.and_then(|until| until.checked_duration_since(now));
        Left { minute, hour, paused: paused.filter(|paused| !paused.is_zero()) }
    }

    /// The number of calls that sweeps may make in an hour: those of the limit that neither urgent calls nor other
    /// users of the token made in the last hour.
    pub(super) fn for_sweeps(&self) -> usize {
        let now = Instant::now();
        let mut state = self.state();
        state.calls.forget(now, HOUR);
        state.urgent.forget(now, HOUR);
        let urgent = state.urgent.used(now, HOUR);
        let (per_hour, reserve, others) = match state.server.filter(|server| now < server.reset) {
            Some(server) => {
                let others = server.others(state.calls.used(now, HOUR)).saturating_sub(state.left_of_before(now));
                (self.limits.per_hour.min(server.limit), server.reserve, others)
            }
            None => (self.limits.per_hour, self.limits.hour_reserve, 0),
        };
        per_hour.saturating_sub(urgent.max(reserve)).saturating_sub(others).max(1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Server {
    /// The calls in the server's window that this process did not make. This process made `own` calls in it.
    fn others(self, own: usize) -> usize {
        self.limit.saturating_sub(self.remaining).saturating_sub(own)
    }
}

impl Tickets {
    /// The ticket of a step, or a new one.
    fn take(&mut self, step: Option<&Arc<str>>, now: Instant) -> u64 {
        if let Some(ticket) = step.and_then(|step| self.kept.get_mut(step)) {
            ticket.used = now;
            return ticket.number;
        }
        let number = self.next;
        self.next += 1;
        if let Some(step) = step {
            // Some steps never come back: their sagas were deleted.
            self.kept.retain(|_, ticket| now < ticket.used + ABSENCE);
            self.kept.insert(Arc::clone(step), Ticket { number, used: now });
        }
        number
    }

    /// The calls that a step leaves to those before it.
    fn left_to_others(&self, step: &Arc<str>, now: Instant) -> usize {
        let Some(own) = self.kept.get(step) else { return 0 };
        let before = self.kept.values().filter(|ticket| ticket.number < own.number && now < ticket.used + ABSENCE);
        before.count() * CALLS_OF_A_STEP
    }
}

/// The place of a call among those that wait. Dropping it lets the next one move up.
struct QueuePlace<'b> {
    budget: &'b Budget,
    line: Line,
    turn: Arc<Notify>,
}

impl<'b> QueuePlace<'b> {
    fn of(budget: &'b Budget, line: Line, step: Option<&Arc<str>>) -> Self {
        let turn = Arc::new(Notify::new());
        let mut state = budget.state();
        let ticket = state.tickets.take(step, Instant::now());
        let waiting = state.lines.entry(line).or_default();
        let place = waiting.partition_point(|(other, _)| *other <= ticket);
        waiting.insert(place, (ticket, Arc::clone(&turn)));
        drop(state);
        Self { budget, line, turn }
    }

    async fn is_first(&self) {
        while !self.is_first_now() {
            self.turn.notified().await;
        }
    }

    fn is_first_now(&self) -> bool {
        let state = self.budget.state();
        let first = state.lines.get(&self.line).and_then(VecDeque::front);
        first.is_none_or(|(_, first)| Arc::ptr_eq(first, &self.turn))
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        let Some(line) = state.lines.get_mut(&self.line) else { return };
        line.retain(|(_, turn)| !Arc::ptr_eq(turn, &self.turn));
        if let Some((_, first)) = line.front() {
            first.notify_one();
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.budget.state();
        state.calls.end(now);
        if self.priority == Priority::Urgent {
            state.urgent.end(now);
        }
        if let Some(log) = self.lane.and_then(|lane| state.lanes.get_mut(lane)) {
            log.end(now);
        }
        drop(state);
        self.budget.changed.notify_waiters();
    }
}

impl Limits {
    /// At least one call, so that a budget that is all reserve still allows sweeps.
    pub(super) fn of_minute(&self, priority: Priority) -> usize {
        match priority {
            Priority::Sweep => self.per_minute.saturating_sub(self.minute_reserve).max(1),
            Priority::Urgent => self.per_minute.max(1),
        }
    }

    pub(super) fn of_hour(&self, priority: Priority) -> usize {
        match priority {
            Priority::Sweep => self.per_hour.saturating_sub(self.hour_reserve).max(1),
            Priority::Urgent => self.per_hour.max(1),
        }
    }
}

impl State {
    /// Counts one more call in flight, or returns the reason to wait.
    fn take(
        &mut self,
        limits: &Limits,
        priority: Priority,
        lane: Option<Lane>,
        left_to_others: usize,
        now: Instant,
    ) -> Result<(), CallDelay> {
        self.calls.check_pause(now)?;
        self.calls.forget(now, HOUR);
        // Many steps may be away at the same time. Half of the calls are for those that are there.
        let own = |limit: usize| limit - left_to_others.min(limit / 2);
        self.calls.room(now, MINUTE, own(limits.of_minute(priority)))?;
        self.calls.room(now, HOUR, own(limits.of_hour(priority)))?;
        if let Some(server) = self.server {
            let reserve = if priority == Priority::Sweep { server.reserve } else { 0 };
            if server.remaining <= reserve {
                if now < server.reset {
                    return Err(CallDelay::Until(server.reset));
                }
                // At least one call has left the server's window, so one call is allowed; its response contains the new
                // value.
                if self.calls.under_way > 0 {
                    return Err(CallDelay::ForAnother);
                }
            }
        }
        if let Some((name, limit)) = lane {
            let log = self.lanes.entry(name).or_default();
            let window = limit.window + MARGIN;
            log.check_pause(now)?;
            log.forget(now, window);
            log.room(now, window, limit.calls)?;
            log.under_way += 1;
        }
        if let Some(server) = &mut self.server {
            server.remaining = server.remaining.saturating_sub(1);
        }
        self.calls.under_way += 1;
        if priority == Priority::Urgent {
            self.urgent.forget(now, HOUR);
            self.urgent.under_way += 1;
        }
        Ok(())
    }

    /// The number of calls before the first answer that are still in the server's window, if they were made evenly.
    fn left_of_before(&self, now: Instant) -> usize {
        let Some((since, calls)) = self.before else { return 0 };
        let left = HOUR.saturating_sub(now.saturating_duration_since(since));
        let left = u128::try_from(calls).unwrap_or_default() * left.as_millis() / HOUR.as_millis();
        usize::try_from(left).unwrap_or(calls)
    }
}

impl Log {
    fn end(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.ended.push_back(now);
    }

    fn forget(&mut self, now: Instant, window: Duration) {
        while self.ended.front().is_some_and(|ended| *ended + window <= now) {
            self.ended.pop_front();
        }
    }

    fn used(&self, now: Instant, window: Duration) -> usize {
        self.under_way + self.ended.len() - self.ended.partition_point(|ended| *ended + window <= now)
    }

    fn check_pause(&self, now: Instant) -> Result<(), CallDelay> {
        match self.paused_until.filter(|until| now < *until) {
            Some(until) => Err(CallDelay::Until(until)),
            None => Ok(()),
        }
    }

    fn room(&self, now: Instant, window: Duration, limit: usize) -> Result<(), CallDelay> {
        let used = self.used(now, window);
        if used < limit {
            return Ok(());
        }
        // This number of calls must leave the window before there is room for one.
        let first = self.ended.partition_point(|ended| *ended + window <= now);
        match self.ended.get(first + used - limit) {
            Some(ended) => Err(CallDelay::Until(*ended + window)),
            None => Err(CallDelay::ForAnother),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::digitalocean::kinds::OwnLimit;

    fn limits(per_minute: usize, per_hour: usize) -> Limits {
        Limits { per_minute, per_hour, minute_reserve: per_minute / 10, hour_reserve: per_hour / 10 }
    }

    /// Makes `calls` calls of random lengths, which the server counts at a random moment within each; returns these
    /// moments.
    async fn counted_by_server(budget: &Arc<Budget>, calls: usize, seed: u64) -> Vec<Instant> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..calls {
            let budget = Arc::clone(budget);
            let (before, after) = (random.random_range(0..5_000), random.random_range(0..5_000));
            let priority = if random.random_bool(0.2) { Priority::Urgent } else { Priority::Sweep };
            tasks.spawn(async move {
                let permit = budget.acquire(priority, None, None).await;
                tokio::time::sleep(Duration::from_millis(before)).await;
                let counted = Instant::now();
                tokio::time::sleep(Duration::from_millis(after)).await;
                drop(permit);
                counted
            });
        }
        let mut counted = tasks.join_all().await;
        counted.sort();
        counted
    }

    fn most_in_any(window: Duration, counted: &[Instant]) -> usize {
        let until = |first: &Instant| counted.partition_point(|time| *time < *first + window);
        counted.iter().enumerate().map(|(at, first)| until(first) - at).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_the_server_ever_holds_more_calls_than_allowed() {
        for seed in 0..5 {
            let budget = Budget::new(limits(50, 400));
            let counted = counted_by_server(&budget, 900, seed).await;
            assert!(most_in_any(Duration::from_mins(1), &counted) <= 50, "seed {seed}");
            assert!(most_in_any(Duration::from_hours(1), &counted) <= 400, "seed {seed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_run_at_full_speed_until_the_reserve_and_urgent_ones_into_it() {
        let budget = Budget::new(limits(50, 400));
        let start = Instant::now();
        for _ in 0..45 {
            drop(budget.acquire(Priority::Sweep, None, None).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(budget.left().minute, 0);
        for _ in 0..5 {
            drop(budget.acquire(Priority::Urgent, None, None).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(budget.acquire(Priority::Urgent, None, None).await);
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_others_on_the_same_token_are_seen_in_the_headers() {
        let budget = Budget::new(Limits::default());
        let permit = budget.acquire(Priority::Sweep, None, None).await;
        drop(permit);
        budget.apply_server_limits(ServerLimits { limit: 5_000, remaining: 502, reset: Duration::from_secs(90) });
        let start = Instant::now();
        drop(budget.acquire(Priority::Sweep, None, None).await);
        drop(budget.acquire(Priority::Sweep, None, None).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        // The rest is reserve: the sweep waits for the oldest call to expire, an urgent one does not.
        drop(budget.acquire(Priority::Urgent, None, None).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(budget.acquire(Priority::Sweep, None, None).await);
        assert_eq!(start.elapsed().as_secs(), 90);
        budget.apply_server_limits(ServerLimits { limit: 5_000, remaining: 4_000, reset: Duration::from_secs(10) });
        drop(budget.acquire(Priority::Sweep, None, None).await);
        assert_eq!(start.elapsed().as_secs(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_overtaken_does_not_raise_the_budget() {
        let budget = Budget::new(Limits::default());
        budget.apply_server_limits(ServerLimits { limit: 5_000, remaining: 500, reset: Duration::from_secs(30) });
        budget.apply_server_limits(ServerLimits { limit: 5_000, remaining: 510, reset: Duration::from_secs(30) });
        let start = Instant::now();
        drop(budget.acquire(Priority::Sweep, None, None).await);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_all_calls_even_urgent_ones() {
        let budget = Budget::new(Limits::default());
        budget.pause(Duration::from_secs(7), None);
        budget.pause(Duration::from_secs(2), None);
        assert_eq!(budget.left().paused, Some(Duration::from_secs(7)));
        let start = Instant::now();
        drop(budget.acquire(Priority::Urgent, None, None).await);
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_with_a_limit_of_its_own_does_not_slow_the_others() {
        let budget = Budget::new(Limits::default());
        let lane = Some(("/v2/account/keys", OwnLimit { calls: 2, window: Duration::from_secs(10) }));
        let start = Instant::now();
        for _ in 0..2 {
            drop(budget.acquire(Priority::Sweep, lane, None).await);
        }
        drop(budget.acquire(Priority::Sweep, None, None).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(budget.acquire(Priority::Sweep, lane, None).await);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_a_path_with_a_limit_of_its_own_holds_only_that_path() {
        let budget = Budget::new(Limits::default());
        let lane = Some(("/v2/account/keys", OwnLimit { calls: 2, window: Duration::from_secs(10) }));
        budget.pause(Duration::from_secs(30), lane);
        let start = Instant::now();
        drop(budget.acquire(Priority::Sweep, None, None).await);
        assert_eq!((start.elapsed(), budget.left().paused), (Duration::ZERO, None));
        drop(budget.acquire(Priority::Urgent, lane, None).await);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_has_none_of_the_limits_of_the_old_one() {
        let budget = Budget::new(limits(10, 1000));
        let lane = Some(("/v2/account/keys", OwnLimit { calls: 1, window: HOUR }));
        drop(budget.acquire(Priority::Urgent, lane, None).await);
        for _ in 0..8 {
            drop(budget.acquire(Priority::Sweep, None, None).await);
        }
        budget.apply_server_limits(ServerLimits { limit: 1000, remaining: 0, reset: HOUR });
        budget.pause(HOUR, None);
        let start = Instant::now();
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { drop(budget.acquire(Priority::Sweep, None, None).await) }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        budget.use_token(0);
        assert!(!waiting.is_finished(), "it is the same token");
        budget.use_token(1);
        waiting.await.unwrap();
        drop(budget.acquire(Priority::Sweep, lane, None).await);
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!((budget.left().minute, budget.left().paused), (7, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_still_counts() {
        let budget = Budget::new(limits(10, 100));
        for _ in 0..9 {
            let call = async {
                let _permit = budget.acquire(Priority::Sweep, None, None).await;
                tokio::time::sleep(Duration::from_secs(9)).await;
            };
            assert!(tokio::time::timeout(Duration::from_millis(10), call).await.is_err());
        }
        assert_eq!(budget.left().minute, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_sagas_finish_in_the_order_of_what_their_calls_cost() {
        let budget = Budget::new(limits(250, 5000));
        let begin = Instant::now();
        let mut sagas = tokio::task::JoinSet::new();
        // The first ones make most calls.
        for number in 0..500_usize {
            let budget = Arc::clone(&budget);
            sagas.spawn(async move {
                let calls = 5 - number / 100;
                for _ in 0..calls {
                    let permit = budget.acquire(Priority::Urgent, None, None).await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    drop(permit);
                }
                (Instant::now(), calls)
            });
        }
        let mut finished = sagas.join_all().await;
        finished.sort();
        assert!(finished.is_sorted_by_key(|(_, calls)| *calls), "{finished:?}");
        // 1,500 calls, 250 in a minute.
        assert_eq!(begin.elapsed().as_secs() / 60, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_decision_does_not_wait_for_the_calls_that_steps_leave_to_each_other() {
        let budget = Budget::new(limits(12, 1000));
        let steps = ["1/0", "2/0", "3/0"].map(Arc::<str>::from);
        for step in steps[..2].iter().cycle().take(6) {
            drop(budget.acquire(Priority::Urgent, None, Some(step)).await);
        }
        let begin = Instant::now();
        let third = budget.acquire(Priority::Urgent, None, Some(&steps[2]));
        let in_time = |time| Instant::now() + Duration::from_secs(time);
        assert!(tokio::time::timeout_at(in_time(1), third).await.is_err(), "half of the calls are left to the others");
        drop(budget.acquire(Priority::Urgent, None, None).await);
        assert_eq!(begin.elapsed().as_secs(), 1);
        budget.leave(&steps[0]);
        drop(budget.acquire(Priority::Urgent, None, Some(&steps[2])).await);
        assert_eq!(begin.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn steps_that_are_away_leave_half_of_the_calls_to_those_that_are_there() {
        let budget = Budget::new(limits(10, 1000));
        let begin = Instant::now();
        let mut waits = Vec::new();
        for number in 0..12 {
            let step: Arc<str> = format!("{number}/0").into();
            drop(budget.acquire(Priority::Urgent, None, Some(&step)).await);
            waits.push(begin.elapsed().as_secs());
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 60, 60, 60, 60, 60, 120, 120]);
    }

    #[tokio::test(start_paused = true)]
    async fn sagas_that_come_and_go_while_they_wait_finish_in_the_order_of_what_their_calls_cost() {
        let budget = Budget::new(limits(90, 5000));
        let (begin, made) = (Instant::now(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let mut sagas = tokio::task::JoinSet::new();
        for number in 0..100_usize {
            let (line, made) = (Arc::clone(&budget), Arc::clone(&made));
            let call = async move |step: &Arc<str>| {
                // As long as a saga waits for one call.
                let permit = line.acquire(Priority::Urgent, None, Some(step));
                let permit = tokio::time::timeout(Duration::from_secs(15), permit).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
                made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                drop(permit);
                Ok::<_, tokio::time::error::Elapsed>(())
            };
            let budget = Arc::clone(&budget);
            sagas.spawn(async move {
                let steps = if number < 50 { 5 } else { 1 };
                for step in 0..steps {
                    let step: Arc<str> = format!("{number}/{step}").into();
                    // A read, and a change.
                    while call(&step).await.is_err() || call(&step).await.is_err() {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                    }
                    budget.leave(&step);
                }
                (Instant::now(), steps)
            });
        }
        let mut finished = sagas.join_all().await;
        finished.sort();
        assert!(finished.is_sorted_by_key(|(_, steps)| *steps), "{finished:?}");
        assert!(budget.state().tickets.kept.is_empty());
        let made = made.load(std::sync::atomic::Ordering::Relaxed);
        assert!((600..650).contains(&made), "{made}: hardly any call is repeated");
        assert!(begin.elapsed() < Duration::from_mins(8), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_made_in_order_and_a_dropped_call_delays_no_other() {
        let budget = Budget::new(limits(10, 1000));
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = Vec::new();
        for number in 0..60 {
            let (budget, sender) = (Arc::clone(&budget), sender.clone());
            waiting.push(tokio::spawn(async move {
                drop(budget.acquire(Priority::Urgent, None, None).await);
                sender.send(number).unwrap();
            }));
            tokio::task::yield_now().await;
        }
        // The first one that waits, and one behind it.
        for number in [10, 40] {
            waiting[number].abort();
        }
        drop(sender);
        let mut made = Vec::new();
        while let Some(number) = order.recv().await {
            made.push(number);
        }
        assert_eq!(made, (0..60).filter(|number| ![10, 40].contains(number)).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn sweeps_plan_with_what_urgent_calls_and_other_users_of_the_token_leave() {
        let budget = Budget::new(limits(100_000, 1000));
        assert_eq!(budget.for_sweeps(), 900);
        for _ in 0..150 {
            drop(budget.acquire(Priority::Urgent, None, None).await);
            drop(budget.acquire(Priority::Sweep, None, None).await);
        }
        assert_eq!(budget.for_sweeps(), 850, "50 urgent calls did not fit the reserve");
        // 200 calls were made before this process started, such as by the last leader.
        let server_limits = |remaining| ServerLimits { limit: 1000, remaining, reset: HOUR };
        budget.apply_server_limits(server_limits(1000 - 300 - 200));
        assert_eq!(budget.for_sweeps(), 850, "they leave the window");
        budget.apply_server_limits(server_limits(1000 - 300 - 200 - 100));
        assert_eq!(budget.for_sweeps(), 750, "another user of the token made 100 more");
        budget.apply_server_limits(ServerLimits { limit: 500, remaining: 100, reset: HOUR });
        assert_eq!(budget.for_sweeps(), 350, "the token has less than it was said to have");
        tokio::time::advance(HOUR + MARGIN).await;
        assert_eq!(budget.for_sweeps(), 900, "what the server said is over");
    }
}
