//! Reserved addresses: reserve, assign, unassign, release.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    actions::{self, Resource},
    catalogue,
    cloud::Cloud,
    droplet_events::check_free,
    reply::{Refusal, Reply},
    request::Call,
    values::{set, text_of},
};

/// `POST /v2/reserved_ips`: for a region or for a droplet.
pub(crate) fn create(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let droplet_id = call.body.get("droplet_id").filter(|it| !it.is_null()).map(text_of);
    let region = match &droplet_id {
        Some(id) => {
            let droplet = cloud.store.get("droplets", id).ok_or_else(Refusal::not_found)?;
            check_free(cloud, id)?;
            droplet.pointer("/region/slug").cloned()
        }
        None => call.text("region").filter(|it| catalogue::is_region(it)).map(Value::from),
    };
    let region = region.ok_or_else(|| Refusal::unprocessable("region or droplet_id is required"))?;
    let ip = free_address(cloud);
    let document = cloud.put("reserved_ips", json!({"ip": ip, "region": region})).map_err(Refusal::unprocessable)?;
    let mut body = json!({"reserved_ip": document, "links": {}});
    if let Some(droplet) = droplet_id {
        let action = start_assigning(cloud, call, "reserved_ips", &ip, Some(&droplet))?;
        let link = json!({"id": droplet.parse::<u64>().ok(), "rel": "droplet", "href": format!("{}/v2/droplets/{droplet}", call.origin)});
        body = json!({
            "reserved_ip": cloud.store.get("reserved_ips", &ip),
            "links": {"droplets": [link], "actions": [actions::link(&action, "assign_ip", &call.origin)]},
        });
    }
    Ok(Reply::json(StatusCode::ACCEPTED, &body))
}

fn free_address(cloud: &mut Cloud) -> String {
    loop {
        let [.., a, b] = cloud.next_id().to_be_bytes();
        let ip = Ipv4Addr::new(203, 0, a, b).to_string();
        if !cloud.store.contains("reserved_ips", &ip) {
            return ip;
        }
    }
}

/// `DELETE /v2/reserved_ips/{ip}`
pub(crate) fn delete(cloud: &mut Cloud, ip: &str) -> Result<Reply, Refusal> {
    check_settled(cloud, "reserved_ips", ip)?;
    cloud.remove("reserved_ips", ip);
    Ok(Reply::nothing())
}

fn check_settled(cloud: &Cloud, collection: &str, ip: &str) -> Result<(), Refusal> {
    if !cloud.store.contains(collection, ip) {
        return Err(Refusal::not_found());
    }
    if cloud.is_busy(collection, ip) {
        return Err(Refusal::unprocessable("The reserved IP already has a pending event."));
    }
    Ok(())
}

/// `POST /v2/reserved_ipv6`
pub(crate) fn create_v6(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let region = call.text("region_slug").ok_or_else(|| Refusal::unprocessable("region_slug can't be blank"))?;
    let id = u128::from(cloud.next_id());
    let ip = Ipv6Addr::from_bits(0x2001_0db8_0dc9_0000_0000_0000_0000_0000 | id).to_string();
    let document =
        cloud.put("reserved_ipv6", json!({"ip": ip, "region_slug": region})).map_err(Refusal::unprocessable)?;
    let brief = json!({"ip": document.get("ip"), "region_slug": region, "reserved_at": document.get("reserved_at")});
    Ok(Reply::json(StatusCode::CREATED, &json!({"reserved_ipv6": brief})))
}

/// `POST /v2/reserved_ips/{ip}/actions` and `/v2/reserved_ipv6/{ip}/actions`
pub(crate) fn start(cloud: &mut Cloud, collection: &'static str, ip: &str, call: &Call) -> Result<Reply, Refusal> {
    check_settled(cloud, collection, ip)?;
    let action = match call.text("type") {
        Some("assign") => {
            let droplet = call.body.get("droplet_id").map(text_of).unwrap_or_default();
            start_assigning(cloud, call, collection, ip, Some(&droplet))?
        }
        Some("unassign") => start_assigning(cloud, call, collection, ip, None)?,
        other => return Err(Refusal::unprocessable(format!("{other:?} is not a valid action type"))),
    };
    Ok(actions::started(StatusCode::CREATED, &action))
}

fn start_assigning(
    cloud: &mut Cloud,
    call: &Call,
    collection: &'static str,
    ip: &str,
    droplet: Option<&str>,
) -> Result<Value, Refusal> {
    let address = cloud.store.get(collection, ip).ok_or_else(Refusal::not_found)?;
    let now = address.pointer("/droplet/id").map(text_of);
    let at = droplet.or(now.as_deref());
    let at = at.ok_or_else(|| Refusal::unprocessable("The reserved IP is not assigned to a Droplet."))?;
    if let Some(id) = droplet {
        let droplet = cloud.store.get("droplets", id).ok_or_else(Refusal::not_found)?;
        if droplet.pointer("/region/slug") != address.pointer("/region/slug").or(address.get("region_slug")) {
            return Err(Refusal::unprocessable("The reserved IP and the Droplet must be in the same region."));
        }
    }
    check_free(cloud, at)?;
    let resource = Resource::of(cloud, collection, ip).at(at);
    let kind = if droplet.is_some() { "assign_ip" } else { "unassign_ip" };
    let (ip, droplet) = (ip.to_owned(), droplet.map(str::to_owned));
    Ok(actions::start(cloud, call, &resource, kind, move |cloud| {
        let document = droplet.and_then(|id| cloud.store.get("droplets", &id)).unwrap_or_default();
        set_droplet(cloud, collection, &ip, document);
    }))
}

/// Sets the droplet of an address.
pub(crate) fn set_droplet(cloud: &mut Cloud, collection: &str, ip: &str, droplet: Value) {
    cloud.store.edit(collection, ip, |document| set(document, "droplet", droplet));
}
