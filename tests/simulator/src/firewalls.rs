//! Firewalls: the spelling of rules differs between reads and writes, and droplets follow a change after a while.

use serde_json::{Map, Value, json};

use super::values::set;
use crate::{
    cloud::Cloud,
    reply::Refusal,
    request::Call,
    writes::{Busy, check_exists, check_text, items},
};

static BUSY: Busy =
    Busy { collection: "firewalls", place: "/status", during: "waiting", after: "succeeded", failed: "failed" };

const MOST_DROPLETS: usize = 10;
/// The ports of a rule for all ports, or for a protocol without ports, in responses.
const ALL_PORTS: &str = "0";

/// The lists of rules, each with the field of its sources or destinations.
pub(crate) const RULES: [(&str, &str); 2] = [("inbound_rules", "sources"), ("outbound_rules", "destinations")];

/// Checks the body of a PUT, and normalizes its spelling.
pub(crate) fn prepare(cloud: &Cloud, body: &mut Map<String, Value>, call: &Call) -> Result<(), Refusal> {
    check_text(body, "name")?;
    let mut count = 0;
    for (field, ends) in RULES {
        let Some(rules) = body.get_mut(field) else { continue };
        count += spell_rules(cloud, rules, ends, call)?;
    }
    if count == 0 {
        return Err(Refusal::unprocessable("a firewall must have at least one rule"));
    }
    let document = Value::Object(body.clone());
    check_members(cloud, items(&document, "droplet_ids"), items(&document, "tags"))
}

/// Refuses droplets and tags that a firewall cannot have.
pub(crate) fn check_members(cloud: &Cloud, droplets: &[Value], tags: &[Value]) -> Result<(), Refusal> {
    if droplets.len() > MOST_DROPLETS {
        return Err(Refusal::unprocessable("a firewall takes at most 10 Droplets by id; use a tag for more"));
    }
    check_exists(cloud, "droplets", "Droplet", droplets)?;
    check_exists(cloud, "tags", "tag", tags)
}

/// Checks rules, normalizes their ports, and returns the number of rules.
pub(crate) fn spell_rules(cloud: &Cloud, rules: &mut Value, ends: &str, call: &Call) -> Result<usize, Refusal> {
    let rules = rules.as_array_mut().ok_or_else(|| Refusal::unprocessable("rules must be a list"))?;
    for rule in rules.iter_mut() {
        let ports = ports(rule, call)?;
        set(rule, "ports", Value::from(ports));
        let end = rule.get(ends).and_then(Value::as_object).cloned().unwrap_or_default();
        if end.values().all(|list| list.as_array().is_none_or(Vec::is_empty)) {
            return Err(Refusal::unprocessable(format!("a rule must have at least one of its {ends}")));
        }
        let end = Value::Object(end);
        check_exists(cloud, "droplets", "Droplet", items(&end, "droplet_ids"))?;
        check_exists(cloud, "load_balancers", "load balancer", items(&end, "load_balancer_uids"))?;
        check_exists(cloud, "kubernetes/clusters", "cluster", items(&end, "kubernetes_ids"))?;
        check_exists(cloud, "tags", "tag", items(&end, "tags"))?;
    }
    Ok(rules.len())
}

/// The ports of a rule in responses. The API accepts `all` or `0` for all ports, but not both at one time.
fn ports(rule: &Value, call: &Call) -> Result<String, Refusal> {
    let protocol = rule.get("protocol").and_then(Value::as_str).unwrap_or_default();
    if !["tcp", "udp", "icmp"].contains(&protocol) {
        return Err(Refusal::unprocessable(format!("{protocol:?} is not a valid protocol")));
    }
    let refuse = || Err(Refusal::unprocessable("You must specify a positive value for ports"));
    let ports = rule.get("ports").and_then(Value::as_str).unwrap_or_default();
    let refused = call.distortion.refused_ports.as_deref().unwrap_or(ALL_PORTS);
    match ports {
        "" if protocol == "icmp" => Ok(ALL_PORTS.to_owned()),
        "all" | ALL_PORTS if ports != refused => Ok(ALL_PORTS.to_owned()),
        ports if protocol != "icmp" && are_ports(ports) => Ok(ports.to_owned()),
        _ => refuse(),
    }
}

/// Returns true if this is a port or a range of ports.
fn are_ports(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        Some((from, to)) => port(from).zip(port(to)).is_some_and(|(from, to)| from <= to),
        None => port(text).is_some(),
    }
}

/// Applies a change to the droplets of a firewall after a while.
pub(crate) fn work(cloud: &mut Cloud, id: &str, old: &Value, call: &Call) {
    let new = cloud.store.get("firewalls", id).unwrap_or_default();
    let (before, after) = (items(old, "droplet_ids"), items(&new, "droplet_ids"));
    let pending = |removing: bool| move |droplet: &Value| json!({"droplet_id": droplet, "removing": removing, "status": "waiting"});
    let gone = before.iter().filter(|droplet| !after.contains(droplet)).map(pending(true));
    let pending: Vec<Value> = gone.chain(after.iter().map(pending(false))).collect();
    cloud.store.edit("firewalls", id, |firewall| set(firewall, "pending_changes", Value::from(pending)));
    BUSY.begin(cloud, id, call, |cloud, id| {
        cloud.store.edit("firewalls", id, |firewall| set(firewall, "pending_changes", json!([])));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_a_port_or_a_range() {
        for text in ["1", "443", "8000-9000", "65535"] {
            assert!(are_ports(text), "{text}");
        }
        for text in ["", "0", "all", "-1", "9000-8000", "1-", "65536", "80,443"] {
            assert!(!are_ports(text), "{text}");
        }
    }
}
