//! The scopes of the token, as responses show them: without a scope, DigitalOcean omits fields.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Client, Priority, budget::PriorityTurns};

/// The maximum age of a known scope.
const AGE: Duration = Duration::from_hours(1);
/// The pause after an attempt without a response.
const RETRY: Duration = Duration::from_mins(1);

/// The scopes that were needed so far.
#[derive(Default)]
pub(super) struct Scopes {
    known: Mutex<HashMap<&'static str, KnownScope>>,
    turns: PriorityTurns,
}

#[derive(Clone, Copy)]
struct KnownScope {
    /// The version of the token.
    version: u64,
    until: Instant,
    has_it: bool,
}

impl Scopes {
    /// Returns true if the token is known to have the scope.
    pub(super) async fn has(&self, client: &Client, scope: &'static str, priority: Priority) -> bool {
        let _turn = self.turns.take(priority).await;
        let version = client.token_version();
        let known = self.known.lock().get(scope).copied().filter(|known| known.version == version);
        if let Some(known) = known.filter(|known| Instant::now() < known.until) {
            return known.has_it;
        }
        let (age, has_it) = match client.has_scope(scope, priority).await {
            Ok(has_it) => (AGE, has_it == Some(true)),
            Err(error) => {
                tracing::debug!(call = "one row of a list", scope, %error, "cannot check whether the token has the scope");
                // Without a response, the last one counts.
                (RETRY, known.is_some_and(|known| known.has_it))
            }
        };
        let mut all = self.known.lock();
        // A check of the other priority may have had a response meanwhile.
        let newer = all.get(scope).filter(|newer| newer.version == version && Instant::now() < newer.until);
        if let (RETRY, Some(newer)) = (age, newer) {
            return newer.has_it;
        }
        all.insert(scope, KnownScope { version, until: Instant::now() + age, has_it });
        has_it
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digitalocean::{
        budget::Limits,
        fake::{Fake, FakeResponse},
    };

    #[tokio::test]
    async fn a_scope_is_checked_once() {
        let server = Fake::start(|path| match path {
            "/v2/load_balancers?page=1&per_page=1" => {
                FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}))
            }
            "/v2/tags?page=1&per_page=1" => FakeResponse::json(422, &json!({"id": "error", "message": "busy"})),
            _ => FakeResponse::json(200, &json!({"droplets": []})),
        })
        .await;
        let (client, scopes) = (server.client(), Scopes::default());
        for _ in 0..2 {
            for (scope, wanted) in [("load_balancer:read", false), ("droplet:read", true), ("tag:read", false)] {
                assert_eq!(scopes.has(&client, scope, Priority::Sweep).await, wanted, "{scope}");
            }
        }
        assert_eq!(server.asked().len(), 3);
    }

    #[tokio::test]
    async fn an_urgent_check_does_not_wait_for_that_of_a_sweep() {
        let server = Fake::start(|_| FakeResponse::json(200, &json!({"droplets": [], "load_balancers": []}))).await;
        let mut config = server.config();
        config.limits = Limits { per_minute: 2, per_hour: 100, minute_reserve: 1, hour_reserve: 0 };
        let (client, scopes) = (Client::new(config).unwrap(), Scopes::default());
        scopes.has(&client, "droplet:read", Priority::Sweep).await;
        tokio::select! {
            biased;
            _ = scopes.has(&client, "load_balancer:read", Priority::Sweep) => panic!("no call is left to sweeps"),
            _ = scopes.has(&client, "load_balancer:read", Priority::Urgent) => {}
        }
        assert_eq!(server.asked().len(), 2);
    }
}
