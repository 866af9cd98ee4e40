//! One call, with its name in messages and metrics.

use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::{ChangeMethod, Error, budget::Priority};

/// One call: its operation, its target, and its name in messages and metrics.
pub(super) struct ApiCall<'a> {
    /// The method and the body of a change; none for a read.
    pub(super) change: Option<(ChangeMethod, Option<&'a Value>)>,
    pub(super) url: Url,
    /// The path with its placeholders.
    pub(super) route: &'static str,
    /// The token's scope that it needs.
    pub(super) scope: &'static str,
    pub(super) priority: Priority,
    /// The time until which it waits for the budget; without a limit by default.
    pub(super) give_up: Option<Instant>,
}

impl ApiCall<'static> {
    /// A read that waits for the budget without a limit.
    pub(super) fn reading(url: Url, route: &'static str, scope: &'static str, priority: Priority) -> Self {
        Self { change: None, url, route, scope, priority, give_up: None }
    }
}

impl ApiCall<'_> {
    pub(super) fn doing(&self) -> String {
        format!("{} {}", self.method(), self.url.path())
    }

    pub(super) fn not_found(&self) -> Error {
        Error::NotFound { doing: self.doing() }
    }

    pub(super) fn method(&self) -> &'static Method {
        match self.change.map(|(method, _)| method) {
            None => &Method::GET,
            Some(ChangeMethod::Post) => &Method::POST,
            Some(ChangeMethod::Put) => &Method::PUT,
            Some(ChangeMethod::Patch) => &Method::PATCH,
            Some(ChangeMethod::Delete) => &Method::DELETE,
        }
    }
}
