//! What came in, counted: tests compare it with what should have been asked.

use crate::faults::glob;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The calls since the last reset; those of the control API are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// How many, by `METHOD /path` without query: `GET /v2/droplets`.
    pub counts: BTreeMap<String, u64>,
    /// How many were answered 429 by the limiter (injected ones are not among them).
    pub limited: u64,
    /// The most that came in within any 60 s.
    pub highest_per_minute: u64,
    /// The latest, oldest first.
    #[serde(default)]
    pub latest: VecDeque<String>,
}

/// How many of the latest calls are kept.
const LATEST: usize = 200;

impl Requests {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Those with a method other than GET.
    #[must_use]
    pub fn mutating(&self) -> u64 {
        self.counts.iter().filter(|(request, _)| !request.starts_with("GET ")).map(|(_, count)| count).sum()
    }

    /// Those with this method and path, in which each `*` stands for any run of characters: `count("GET /v2/droplets")` is
    /// the list alone, `count("POST /v2/droplets/*/actions")` all actions on droplets, `count("* /v2/volumes*")` all that
    /// has to do with volumes.
    #[must_use]
    pub fn count(&self, request: &str) -> u64 {
        self.counts.iter().filter(|(it, _)| glob(request, it)).map(|(_, count)| count).sum()
    }
}

/// Keeps the counts.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub(crate) requests: Requests,
    last_minute: VecDeque<Instant>,
}

impl Counter {
    pub(crate) fn count(&mut self, method: &str, path: &str, now: Instant) {
        let call = format!("{method} {path}");
        self.requests.latest.push_back(call.clone());
        if self.requests.latest.len() > LATEST {
            self.requests.latest.pop_front();
        }
        *self.requests.counts.entry(call).or_default() += 1;
        while self.last_minute.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_mins(1)) {
            self.last_minute.pop_front();
        }
        self.last_minute.push_back(now);
        let in_last_minute = u64::try_from(self.last_minute.len()).unwrap_or(u64::MAX);
        self.requests.highest_per_minute = self.requests.highest_per_minute.max(in_last_minute);
    }
}
