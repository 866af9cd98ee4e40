//! The firewalls and load balancers of the account that select resources by tags, recorded or not. Only decisions list them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Client, Endpoint, Error, Kind, Live, ResourceKey,
    document::at,
    revert::{TagUsers, selected_by},
    texts::text,
};

/// The maximum age of the lists: many decisions at once list them once.
const AGE: Duration = Duration::from_secs(10);

/// The listed kinds. Only the document of one database has its trusted sources.
const LISTED: [&str; 2] = ["Firewall", "LoadBalancer"];

/// The last lists.
#[derive(Default)]
pub(super) struct TagUserBook {
    /// Locked during the lists, which are made one at a time.
    known: tokio::sync::Mutex<Option<(Instant, Arc<TagUsers>)>>,
}

impl TagUserBook {
    /// Lists the resources, unless the last lists are recent.
    ///
    /// # Errors
    /// If a list could not be read, for another reason than a missing scope.
    pub(super) async fn list(&self, client: &Client) -> Result<Arc<TagUsers>, Error> {
        let mut known = self.known.lock().await;
        if let Some((at, users)) = &*known
            && at.elapsed() < AGE
        {
            return Ok(users.clone());
        }
        let mut users = TagUsers::default();
        for kind in LISTED.into_iter().filter_map(Kind::named) {
            let row = kind.row();
            let scope = row.list_scope();
            let all = Endpoint { route: &row.list.path, parent: None, id: None, scope };
            match client.rows(all, &row.list.key, &[]).await {
                Ok(rows) => {
                    for document in rows {
                        let id = at(&document, &row.id.field).map(text).unwrap_or_default();
                        selected_by(&Live::parse(&ResourceKey::new(kind, id), &document.to_string())?, &mut users.tags);
                    }
                }
                Err(Error::Forbidden { .. }) => users.missing.push(scope),
                Err(error) => return Err(error),
            }
        }
        let users = Arc::new(users);
        *known = Some((Instant::now(), users.clone()));
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digitalocean::fake::{Fake, FakeResponse};

    #[tokio::test(start_paused = true)]
    async fn the_lists_are_made_once_for_many_decisions_and_a_missing_scope_is_named() {
        let server = Fake::start(|path| {
            if path.starts_with("/v2/load_balancers") {
                return FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}));
            }
            let firewall = json!({"id": "fw-1", "name": "web", "tags": ["Web"]});
            FakeResponse::json(200, &json!({"firewalls": [firewall], "meta": {"total": 1}}))
        })
        .await;
        let (client, book) = (server.client(), TagUserBook::default());
        for (pause, calls) in [(Duration::ZERO, 2), (AGE / 2, 2), (AGE, 4)] {
            tokio::time::advance(pause).await;
            let users = book.list(&client).await.unwrap();
            let tags: Vec<_> = users.tags.iter().map(|(tag, user)| (tag.as_str(), user.as_str())).collect();
            assert_eq!((tags, &users.missing[..]), (vec![("web", "Firewall fw-1")], &["load_balancer:read"][..]));
            assert_eq!(server.asked().len(), calls);
        }
    }
}
