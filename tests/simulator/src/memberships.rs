//! What belongs to a firewall, load balancer or project, added and taken away without replacing the whole.

use crate::cloud::{Cloud, now};
use crate::reply::{Refusal, Reply};
use crate::request::Call;
use crate::store::text_of;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// `POST` and `DELETE /v2/{firewalls|load_balancers}/{id}/{droplets|tags|rules|forwarding_rules}`
pub(crate) fn change(
    cloud: &mut Cloud,
    collection: &str,
    id: &str,
    part: &str,
    call: &Call,
    add: bool,
) -> Result<Reply, Refusal> {
    let fields: &[&str] = match (collection, part) {
        (_, "droplets") => &["droplet_ids"],
        ("firewalls", "tags") => &["tags"],
        ("firewalls", "rules") => &["inbound_rules", "outbound_rules"],
        ("load_balancers", "forwarding_rules") => &["forwarding_rules"],
        _ => return Err(Refusal::not_found()),
    };
    if !cloud.store.contains(collection, id) {
        return Err(Refusal::not_found());
    }
    if part == "droplets" {
        let asked = call.body.get("droplet_ids").and_then(Value::as_array).into_iter().flatten();
        if let Some(missing) = asked.map(text_of).find(|id| add && !cloud.store.contains("droplets", id)) {
            return Err(Refusal::unprocessable(format!("Droplet {missing} could not be found")));
        }
    }
    cloud.store.edit(collection, id, |document| {
        for field in fields {
            let asked = call.body.get(*field).and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(members) = document.get_mut(*field).and_then(Value::as_array_mut) {
                members.retain(|it| !asked.contains(it));
                if add {
                    members.extend(asked);
                }
            }
        }
    });
    Ok(Reply::nothing())
}

/// `POST /v2/projects/{id}/resources`
pub(crate) fn assign(cloud: &mut Cloud, project: &str, call: &Call) -> Result<Reply, Refusal> {
    if !cloud.store.contains("projects", project) {
        return Err(Refusal::not_found());
    }
    let urns = call.body.get("resources").and_then(Value::as_array);
    let urns = urns.ok_or_else(|| Refusal::unprocessable("resources can't be blank"))?;
    let mut resources = Vec::new();
    for urn in urns.iter().filter_map(Value::as_str) {
        let mut parts = urn.splitn(3, ':').skip(1);
        let (kind, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let href = format!("{}/v2/{kind}s/{id}", call.origin);
        let resource = json!({"urn": urn, "assigned_at": now(), "links": {"self": href}, "status": "assigned"});
        cloud.store.put(&format!("projects/{project}/resources"), urn, &resource);
        resources.push(resource);
    }
    Ok(Reply::json(StatusCode::OK, &json!({"resources": resources})))
}
