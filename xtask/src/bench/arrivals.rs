//! When objects came to be what is waited for, as a watch tells it: to the millisecond, where their own times are whole
//! seconds.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::late;
use super::stage::PATIENCE;
use crate::Error;

/// The moments at which objects were first seen to be as wanted.
#[derive(Debug)]
pub(super) struct Arrivals {
    what: &'static str,
    seen: watch::Receiver<Seen>,
    watching: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    is_listed: bool,
    moments: Vec<Instant>,
}

impl Arrivals {
    /// Watches for objects that are `wanted`; `what` says which those are. Returns once those that exist are known.
    pub(super) async fn of(
        api: Api<DynamicObject>,
        what: &'static str,
        wanted: fn(&Value) -> bool,
    ) -> Result<Self, Error> {
        let (sender, mut seen) = watch::channel(Seen::default());
        let watching = tokio::spawn(async move {
            let mut names = HashSet::new();
            let mut objects = watcher(api, watcher::Config::default()).default_backoff().boxed();
            while let Some(event) = objects.next().await {
                let now = Instant::now();
                match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object))
                        if wanted(&object.data) && names.insert(object.name_any()) =>
                    {
                        sender.send_modify(|seen| seen.moments.push(now));
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

    /// How many there were so far.
    pub(super) fn count(&self) -> usize {
        self.seen.borrow().moments.len()
    }

    /// Waits for `more` after the first `before`, and returns when the first and the last of those came.
    pub(super) async fn after(&mut self, before: usize, more: usize, patience: Duration) -> Result<Span, Error> {
        let wanted = before.saturating_add(more);
        let enough = timeout(patience, self.seen.wait_for(|seen| seen.moments.len() >= wanted)).await;
        if !enough.is_ok_and(|enough| enough.is_ok()) {
            let seen = self.count().saturating_sub(before);
            return Err(late(format!("see {more} {} (there are {seen})", self.what), patience));
        }
        let seen = self.seen.borrow();
        let those = seen.moments.iter().skip(before).take(more);
        let (first, last) = (those.clone().min(), those.max());
        first.zip(last).map(|(&first, &last)| Span { first, last }).ok_or_else(|| late("see any", patience))
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// From the first to the last of what was waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// When the first came.
    pub(super) first: Instant,
    /// When the last came.
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

/// Whether a record's status says that all is as desired.
pub(super) fn is_in_sync(record: &Value) -> bool {
    let conditions = record.pointer("/status/conditions").and_then(Value::as_array);
    let says = |condition: &Value, key: &str, text: &str| condition.get(key).and_then(Value::as_str) == Some(text);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| says(condition, "type", "InSync") && says(condition, "status", "True"))
}
