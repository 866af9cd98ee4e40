//! The scopes of the token, as far as responses show them: without one, DigitalOcean leaves fields out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Client, Error, Priority};

/// How long the answer counts that the token has a scope, or lacks it.
const AGE: Duration = Duration::from_hours(1);
/// How long an attempt counts that gave no answer.
const RETRY: Duration = Duration::from_mins(1);

/// The scopes that were needed so far.
#[derive(Default)]
pub(super) struct Scopes(tokio::sync::Mutex<HashMap<&'static str, Known>>);

struct Known {
    /// Of which version of the token.
    version: u64,
    until: Instant,
    /// Why what needs the scope is unknown; nothing where the token has it.
    why_not: Option<Arc<str>>,
}

impl Scopes {
    /// Why fields are unknown that need the scope; nothing where the token has it.
    pub(super) async fn why_not(&self, client: &Client, scope: &'static str, priority: Priority) -> Option<Arc<str>> {
        let mut known = self.0.lock().await;
        let (version, now) = (client.token_version(), Instant::now());
        if let Some(known) = known.get(scope).filter(|known| known.version == version && now < known.until) {
            return known.why_not.clone();
        }
        let (age, why_not) = match client.has_scope(scope, priority).await {
            Ok(Some(true)) => (AGE, None),
            Ok(Some(false)) => {
                (AGE, Some(format!("DigitalOcean leaves it out for tokens without the scope `{scope}`")))
            }
            Ok(None) => (AGE, Some(format!("no response shows whether the token has the scope `{scope}`"))),
            Err(Error::NotFound { .. }) => (AGE, None),
            Err(error) => (RETRY, Some(format!("checking the scope `{scope}`: {error}"))),
        };
        let why_not: Option<Arc<str>> = why_not.map(Arc::from);
        known.insert(scope, Known { version, until: now + age, why_not: why_not.clone() });
        why_not
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digitalocean::fake::{Answer, Fake};

    #[tokio::test]
    async fn a_scope_is_checked_once_and_its_lack_is_named() {
        let server = Fake::start(|path| match path {
            "/v2/load_balancers?page=1&per_page=1" => Answer::json(403, &json!({"id": "forbidden", "message": "no"})),
            "/v2/tags?page=1&per_page=1" => Answer::json(422, &json!({"id": "error", "message": "busy"})),
            _ => Answer::json(200, &json!({"droplets": []})),
        })
        .await;
        let (client, scopes) = (server.client(), Scopes::default());
        for _ in 0..2 {
            let why_not = |scope| scopes.why_not(&client, scope, Priority::Sweep);
            assert!(why_not("load_balancer:read").await.unwrap().contains("`load_balancer:read`"));
            assert_eq!(why_not("droplet:read").await, None);
            assert!(why_not("tag:read").await.unwrap().contains("busy"));
        }
        assert_eq!(server.asked().len(), 3);
    }
}
