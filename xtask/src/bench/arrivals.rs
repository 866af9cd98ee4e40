//! The times at which objects reach a state, observed by a watch: in milliseconds, since the times in objects are whole
//! seconds.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{
    ResourceExt as _,
    api::{Api, DynamicObject},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::failure::{PATIENCE, late};
use crate::Error;

/// The times at which objects were first seen in the wanted state.
#[derive(Debug)]
pub(super) struct Arrivals {
    what: &'static str,
    seen: watch::Receiver<Seen>,
    watching: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    is_listed: bool,
    arrivals: Vec<Arrival>,
}

/// The state of one object.
#[derive(Debug)]
struct Known {
    seen: Instant,
    changed: Option<Instant>,
    has_arrived: bool,
}

/// The arrival of one object in the wanted state.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// The time at which it was first seen.
    seen: Instant,
    /// The time at which it was first seen to change.
    changed: Instant,
    /// The time at which it reached the wanted state.
    arrived: Instant,
}

impl Arrivals {
    /// Watches for objects that are `wanted`; `what` names them. Returns once the existing objects are listed.
    pub(super) async fn of(
        api: Api<DynamicObject>,
        what: &'static str,
        wanted: fn(&Value) -> bool,
    ) -> Result<Self, Error> {
        let (sender, mut seen) = watch::channel(Seen::default());
        let watching = tokio::spawn(async move {
            let mut known = HashMap::new();
            let mut objects = watcher(api, watcher::Config::default()).default_backoff().boxed();
            while let Some(event) = objects.next().await {
                let now = Instant::now();
                match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        if let Some(arrival) = look(&mut known, object.name_any(), wanted(&object.data), now) {
                            sender.send_modify(|seen| seen.arrivals.push(arrival));
                        }
                    }
                    Ok(watcher::Event::InitDone) => sender.send_modify(|seen| seen.is_listed = true),
                    _ => {}
                }
            }
        });
        let listed = timeout(PATIENCE, seen.wait_for(|seen| seen.is_listed)).await.is_ok_and(|listed| listed.is_ok());
        let arrivals = Self { what, seen, watching };
        if listed { Ok(arrivals) } else { Err(late(format!("list {what}"), PATIENCE)) }
    }

    /// The number of arrivals so far.
    pub(super) fn count(&self) -> usize {
        self.seen.borrow().arrivals.len()
    }

    /// Waits for `more` arrivals after the first `before`, and returns their times.
    pub(super) async fn after(&mut self, before: usize, more: usize, patience: Duration) -> Result<Span, Error> {
        let wanted = before.saturating_add(more);
        let enough = timeout(patience, self.seen.wait_for(|seen| seen.arrivals.len() >= wanted)).await;
        if !enough.is_ok_and(|enough| enough.is_ok()) {
            let seen = self.count().saturating_sub(before);
            return Err(late(format!("see {more} {} (there are {seen})", self.what), patience));
        }
        let seen = self.seen.borrow();
        let those = || seen.arrivals.iter().skip(before).take(more);
        let span = || {
            Some(Span {
                began: those().map(|one| one.changed).min()?,
                first: those().map(|one| one.arrived).min()?,
                last: those().map(|one| one.arrived).max()?,
            })
        };
        span().ok_or_else(|| late("see any", patience))
    }

    /// The time of each arrival after the first `before`, from the first sight of its object, in seconds.
    pub(super) fn waits(&self, before: usize) -> Vec<f64> {
        let seen = self.seen.borrow();
        seen.arrivals.iter().skip(before).map(|one| (one.arrived - one.seen).as_secs_f64()).collect()
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Records the state of an object. Returns its arrival once it is in the wanted state.
fn look(known: &mut HashMap<String, Known>, name: String, is_as_wanted: bool, now: Instant) -> Option<Arrival> {
    let is_new = !known.contains_key(&name);
    let object = known.entry(name).or_insert(Known { seen: now, changed: None, has_arrived: false });
    if !is_new || is_as_wanted {
        object.changed.get_or_insert(now);
    }
    if !is_as_wanted || std::mem::replace(&mut object.has_arrived, true) {
        return None;
    }
    Some(Arrival { seen: object.seen, changed: object.changed.unwrap_or(now), arrived: now })
}

/// The time from the first to the last arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The time at which the first of them began to change.
    pub(super) began: Instant,
    /// The time of the first arrival.
    pub(super) first: Instant,
    /// The time of the last arrival.
    pub(super) last: Instant,
}

impl Span {
    pub(super) fn seconds(self) -> f64 {
        self.last.duration_since(self.first).as_secs_f64()
    }
}

/// Any object.
pub(super) fn is_there(_: &Value) -> bool {
    true
}

/// Returns true if a saga has succeeded.
pub(super) fn has_succeeded(saga: &Value) -> bool {
    saga.pointer("/status/phase").and_then(Value::as_str) == Some("Succeeded")
}

/// Whether a saga says what it waits for.
pub(super) fn waits(saga: &Value) -> bool {
    saga.pointer("/status/steps/0/waitingFor").is_some_and(Value::is_string)
}

/// Returns true if a record's status is in sync.
pub(super) fn is_in_sync(record: &Value) -> bool {
    is_true(record, "InSync")
}

/// Whether a record's status says that it was compared, and is not to be compared again.
pub(super) fn is_compared(record: &Value) -> bool {
    is_true(record, "Ready")
}

/// Returns true if a drift's acceptance stands.
pub(super) fn stands(drift: &Value) -> bool {
    is_true(drift, "Standing")
}

/// Whether a drift is reverted.
pub(super) fn is_reverted(drift: &Value) -> bool {
    drift.pointer("/status/phase").and_then(Value::as_str) == Some("Reverted")
}

fn is_true(object: &Value, kind: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let says = |condition: &Value, key: &str, text: &str| condition.get(key).and_then(Value::as_str) == Some(text);
    conditions.into_iter().flatten().any(|condition| says(condition, "type", kind) && says(condition, "status", "True"))
}
