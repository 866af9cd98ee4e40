//! The counts of requests, which tests compare with the expected ones.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::faults::glob;

/// The calls since the last reset, without those of the control API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// The count of each `METHOD /path` without query: `GET /v2/droplets`.
    pub counts: BTreeMap<String, u64>,
    /// The calls that the limiter answered with 429. Injected refusals are not counted.
    pub limited: u64,
    /// The most requests within any 60 s.
    pub highest_per_minute: u64,
    /// The latest, oldest first.
    #[serde(default)]
    pub latest: VecDeque<String>,
}

/// The number of latest calls that are kept.
const LATEST: usize = 200;

impl Requests {
    /// The count of all calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The count of calls with a method other than GET.
    #[must_use]
    pub fn mutating(&self) -> u64 {
        self.counts.iter().filter(|(request, _)| !request.starts_with("GET ")).map(|(_, count)| count).sum()
    }

    /// The count of calls with this method and path, in which each `*` matches any run of characters: `count("GET
    /// /v2/droplets")` is only the list, `count("POST /v2/droplets/*/actions")` all actions on droplets, `count("*
    /// /v2/volumes*")` all calls about volumes.
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
