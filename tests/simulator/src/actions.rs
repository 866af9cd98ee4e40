//! Actions: each is in progress for a while, then completed. The resource shows the result only after completion.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    generated::now,
    pages,
    reply::Reply,
    request::{Call, Ending},
    values::{set, text_of},
};

/// The resource of an action.
pub(crate) struct Resource {
    pub(crate) collection: &'static str,
    pub(crate) id: String,
    pub(crate) region: Value,
    /// The droplet that a volume or an address is attached to or detached from. It is busy during the action.
    droplet: Option<String>,
}

impl Resource {
    pub(crate) fn of(cloud: &Cloud, collection: &'static str, id: &str) -> Self {
        let document = cloud.store.get(collection, id).unwrap_or_default();
        let region = match document.get("region") {
            Some(Value::String(slug)) => crate::catalogue::region(slug),
            Some(region) => region.clone(),
            None => crate::catalogue::region(document.get("region_slug").and_then(Value::as_str).unwrap_or("nyc3")),
        };
        Self { collection, id: id.to_owned(), region, droplet: None }
    }

    pub(crate) fn at(self, droplet: &str) -> Self {
        Self { droplet: Some(droplet.to_owned()), ..self }
    }

    fn busy(&self) -> Vec<(&'static str, String)> {
        let droplet = self.droplet.iter().map(|id| ("droplets", id.clone()));
        droplet.chain([(self.collection, self.id.clone())]).collect()
    }

    /// The `resource_type` and `resource_id` of an action.
    fn named(&self) -> (&'static str, Value) {
        match self.collection {
            "droplets" => ("droplet", Value::from(self.id.parse::<u64>().unwrap_or_default())),
            "images" => ("image", Value::from(self.id.parse::<u64>().unwrap_or_default())),
            // The API returns no number here: the action of a volume has no id, and an address contains its number.
            "volumes" => ("volume", Value::Null),
            "reserved_ips" => (
                "reserved_ip",
                self.id.parse::<std::net::Ipv4Addr>().map_or(Value::Null, |it| Value::from(it.to_bits())),
            ),
            _ => (
                "reserved_ipv6",
                self.id.parse::<std::net::Ipv6Addr>().map_or(Value::Null, |it| Value::from(low_bits(it))),
            ),
        }
    }
}

/// The low bits of an address, for the numeric id of an action.
fn low_bits(address: std::net::Ipv6Addr) -> u32 {
    let [.., a, b, c, d] = address.octets();
    u32::from_be_bytes([a, b, c, d])
}

/// Starts an action: the resource is busy until the action ends, and `finish` runs then. A reserved address is locked
/// meanwhile. A droplet is not: only DigitalOcean locks droplets.
pub(crate) fn start(
    cloud: &mut Cloud,
    call: &Call,
    resource: &Resource,
    kind: &str,
    finish: impl FnOnce(&mut Cloud) + Send + 'static,
) -> Value {
    let id = cloud.next_id();
    let (resource_type, resource_id) = resource.named();
    let action = json!({
        "id": id, "status": "in-progress", "type": kind, "started_at": now(), "completed_at": null,
        "resource_id": resource_id, "resource_type": resource_type, "region": resource.region,
        "region_slug": resource.region.get("slug"),
    });
    let id = id.to_string();
    cloud.store.put("actions", &id, &action);
    cloud.actions.entry(format!("{}/{}", resource.collection, resource.id)).or_default().push(id.clone());
    let (busy, ending) = (resource.busy(), call.distortion.ending);
    set_busy(cloud, &busy, true);
    cloud.later(call.distortion.delay, move |cloud| {
        set_busy(cloud, &busy, false);
        if ending == Ending::Done {
            finish(cloud);
        }
        cloud.store.edit("actions", &id, |action| {
            if let Some(fields) = action.as_object_mut() {
                let status = if ending == Ending::Failed { "errored" } else { "completed" };
                fields.insert("status".to_owned(), Value::from(status));
                fields.insert("completed_at".to_owned(), Value::from(now()));
            }
        });
    });
    action
}

fn set_busy(cloud: &mut Cloud, resources: &[(&'static str, String)], busy: bool) {
    for (collection, id) in resources {
        cloud.set_busy(collection, id, busy);
        if *collection == "reserved_ips" {
            cloud.store.edit(collection, id, |document| set(document, "locked", Value::from(busy)));
        }
    }
}

/// `links.actions` of a response whose work continues.
pub(crate) fn link(action: &Value, rel: &str, origin: &str) -> Value {
    let id = action.get("id").map(text_of).unwrap_or_default();
    json!({"id": action.get("id"), "rel": rel, "href": format!("{origin}/v2/actions/{id}")})
}

/// `{"action": ..}`
pub(crate) fn started(status: StatusCode, action: &Value) -> Reply {
    Reply::json(status, &json!({"action": action}))
}

/// `GET /v2/{collection}/{id}/actions`
pub(crate) fn list_of(cloud: &Cloud, collection: &str, id: &str, call: &Call) -> Reply {
    let actions = cloud.actions.get(&format!("{collection}/{id}")).into_iter().flatten();
    let newest_first = actions.rev().filter_map(|id| cloud.store.row("actions", id));
    pages::of_rows(cloud, "actions", call, newest_first)
}

/// `GET /v2/{collection}/{id}/actions/{action}`
pub(crate) fn get_of(cloud: &Cloud, collection: &str, id: &str, action: &str) -> Option<Reply> {
    let actions = cloud.actions.get(&format!("{collection}/{id}"));
    let owned = actions.is_some_and(|actions| actions.iter().any(|it| it == action));
    let action = cloud.store.text("actions", action).filter(|_| owned)?;
    Some(Reply::text(StatusCode::OK, format!("{{\"action\":{action}}}")))
}
