//! Reads the controllers of the account that own a resource. Only their lists show it, not the resource's document.

use serde_json::Value;

use super::{
    Client, Endpoint, Error, Live, ResourceOwner, ResourceOwners,
    document::{at, str_at},
    kinds::ControllerLists,
    revert,
    texts::text,
};

impl Client {
    /// The controllers that own a resource, or one of these fields.
    ///
    /// # Errors
    /// If a list or a document could not be read.
    pub async fn owners(&self, live: &Live, fields: &[&str]) -> Result<ResourceOwners, Error> {
        let key = live.key();
        let mut owners = ResourceOwners { resource: self.owner(live).await?, ..ResourceOwners::default() };
        for field in fields {
            for guard in revert::guards(key.kind, field) {
                let path =
                    Endpoint { route: &guard.get.path, parent: None, id: Some(&key.id), scope: &key.kind.row().scope };
                let shown = self.fetch(path, &guard.get.key, &[]).await?.unwrap_or_default();
                if guard.condition.holds(&shown) {
                    owners.fields.insert((*field).to_owned(), guard.by.clone());
                }
            }
        }
        Ok(owners)
    }

    /// The controller that owns a resource. The resources of each controller need a separate call, so those of other regions are
    /// not read.
    ///
    /// # Errors
    /// If a list could not be read.
    pub async fn owner(&self, live: &Live) -> Result<ResourceOwner, Error> {
        let key = live.key();
        let Some(lists) = &key.kind.row().controllers else { return Ok(ResourceOwner::Nobody) };
        let all = Endpoint { route: &lists.list.path, parent: None, id: None, scope: &lists.scope };
        let all = match self.rows(all, &lists.list.key, &[]).await {
            Err(Error::Forbidden { .. }) => {
                return Ok(ResourceOwner::Unknown { noun: &lists.noun, scope: &lists.scope });
            }
            all => all?,
        };
        let document = live.document();
        let region = at(document, "region.slug").or_else(|| at(document, "region")).and_then(Value::as_str);
        let is_elsewhere = |controller: &Value| {
            let other = at(controller, &lists.region).and_then(Value::as_str);
            region.zip(other).is_some_and(|(one, other)| !one.eq_ignore_ascii_case(other))
        };
        for controller in all.into_iter().filter(|controller| !is_elsewhere(controller)) {
            let id = str_at(&controller, "id");
            let path = Endpoint { route: &lists.of_one.path, parent: None, id: Some(id), scope: &lists.scope };
            let is_it = |row: &Value| row.get(&lists.id).is_some_and(|id| text(id) == *key.id);
            if self.owned(path, lists).await?.iter().any(is_it) {
                let name = str_at(&controller, "name");
                return Ok(ResourceOwner::Controller(format!("{} {name}", lists.noun)));
            }
        }
        Ok(ResourceOwner::Nobody)
    }

    /// The rows of one controller's resources.
    async fn owned(&self, path: Endpoint<'_>, lists: &ControllerLists) -> Result<Vec<Value>, Error> {
        let key = &lists.of_one.key;
        let rows = if lists.paged {
            self.rows(path, key, &[]).await
        } else {
            let rows = self.fetch(path, key, &[]).await;
            rows.map(|rows| rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default())
        };
        match rows {
            // The controller was deleted meanwhile.
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            rows => rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digitalocean::{
        Kind, ResourceKey,
        fake::{Fake, FakeResponse},
    };

    fn live(kind: &str, id: &str, document: &Value) -> Live {
        Live::parse(&ResourceKey::new(Kind::named(kind).unwrap(), id), &document.to_string()).unwrap()
    }

    #[tokio::test]
    async fn a_field_that_the_cloud_sets_by_itself_is_named() {
        for is_on in [true, false] {
            let server = Fake::start(move |path| match path {
                "/v2/databases/9cc10173-e9ea-4176-9dbc-a4cee4c4ff30/autoscale" => {
                    FakeResponse::json(200, &json!({"autoscale": {"storage": {"enabled": is_on}}}))
                }
                other => FakeResponse::json(404, &json!({"id": "not_found", "message": other})),
            })
            .await;
            let database = live("Database", "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30", &json!({}));
            let owners = server.client().owners(&database, &["storage_size_mib", "tags"]).await.unwrap();
            assert_eq!(owners.resource, ResourceOwner::Nobody);
            let fields: Vec<_> = owners.fields.keys().map(String::as_str).collect();
            assert_eq!(fields, if is_on { vec!["storage_size_mib"] } else { vec![] });
            assert_eq!(server.asked().len(), 1, "{:?}", server.asked());
        }
    }

    #[tokio::test]
    async fn the_cluster_or_the_pool_of_a_resource_is_named() {
        let server = Fake::start(|path| match path {
            "/v2/kubernetes/clusters?page=1&per_page=200" => {
                // The resources of the other one are not read.
                let other = json!({"id": "c0", "name": "far", "region": "ams3"});
                let cluster = json!({"id": "c1", "name": "web", "region": "NYC3"});
                FakeResponse::json(200, &json!({"kubernetes_clusters": [other, cluster], "meta": {"total": 2}}))
            }
            "/v2/kubernetes/clusters/c1/destroy_with_associated_resources" => {
                let balancer = json!({"id": "lb-1", "name": "a"});
                FakeResponse::json(200, &json!({"load_balancers": [balancer], "volumes": []}))
            }
            "/v2/droplets/autoscale?page=1&per_page=200" => FakeResponse::json(
                200,
                &json!({"autoscale_pools": [{"id": "p1", "name": "pool"}], "meta": {"total": 1}}),
            ),
            "/v2/droplets/autoscale/p1/members?page=1&per_page=200" => {
                FakeResponse::json(200, &json!({"droplets": [{"droplet_id": 7}], "meta": {"total": 1}}))
            }
            other => FakeResponse::json(404, &json!({"id": "not_found", "message": other})),
        })
        .await;
        let client = server.client();
        for (kind, id, wanted) in [
            ("LoadBalancer", "lb-1", Some("Kubernetes cluster web")),
            ("LoadBalancer", "lb-2", None),
            ("Volume", "lb-1", None),
            ("Droplet", "7", Some("droplet autoscale pool pool")),
            ("Droplet", "8", None),
            ("Firewall", "lb-1", None),
        ] {
            let owner = client.owner(&live(kind, id, &json!({"region": {"slug": "nyc3"}}))).await.unwrap();
            assert_eq!((owner.controller(), owner.warning()), (wanted, None), "{kind} {id}");
        }
    }

    #[tokio::test]
    async fn an_owner_that_the_token_cannot_read_is_unknown_and_not_nobody() {
        let server = Fake::start(|_| FakeResponse::json(403, &json!({"id": "forbidden", "message": "no"}))).await;
        for (kind, says) in [
            (
                "LoadBalancer",
                Some("Whether a Kubernetes cluster owns the resource is unknown; the token needs kubernetes:read."),
            ),
            (
                "Droplet",
                Some("Whether a droplet autoscale pool owns the resource is unknown; the token needs droplet:read."),
            ),
            ("Firewall", None),
        ] {
            let owner = server.client().owner(&live(kind, "7", &json!({}))).await.unwrap();
            assert_eq!((owner.controller(), owner.warning().as_deref()), (None, says), "{kind}");
        }
    }
}
