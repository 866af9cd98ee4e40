//! The API's spelling of bodies: values that are equal in a comparison, but refused in a write.

use serde_json::{Map, Value, json};

use crate::{
    comparison::scalar::text,
    digitalocean::{
        document::{is_empty_value, str_at},
        equivalence::{ALL_PORTS, port_range},
        kinds::Spelling,
        texts::each_text,
    },
};

/// Regions whose load balancers have a named size instead of a number of nodes.
const NAMED_SIZES: [&str; 3] = ["ams2", "nyc2", "sfo1"];
/// The names of these sizes, with their numbers of nodes.
const SIZES: [(&str, u64); 3] = [("lb-small", 1), ("lb-medium", 3), ("lb-large", 6)];

impl Spelling {
    /// Normalizes a body in which the field `changed` differs from the live document.
    pub(super) fn spell(self, body: &mut Map<String, Value>, changed: &str) {
        match self {
            Self::AlertPolicy => alert_policy(body),
            Self::Cluster => cluster(body),
            // The step looks the version up.
            Self::ClusterVersion => {}
            Self::FirewallRules => each_rule(body, SIDES, |rule| ports(rule, "all")),
            Self::LoadBalancer => load_balancer(body, changed),
            Self::MaintenanceWindow => maintenance_window(body),
            Self::Project => project(body),
            Self::Slugs => ["region", "size", "tier_slug"].iter().for_each(|key| lower_case(body, key)),
            Self::UptimeCheck => {
                lower_case(body, "type");
                lower_case(body, "regions");
            }
        }
    }

    /// The other spelling, if some servers refuse the first one.
    pub(super) fn alternative(self, body: &Map<String, Value>) -> Option<Map<String, Value>> {
        if self != Self::FirewallRules {
            return None;
        }
        let mut other = body.clone();
        each_rule(&mut other, SIDES, |rule| ports(rule, ALL_PORTS));
        (other != *body).then_some(other)
    }
}

/// Converts the text, or the texts of a list, to lower case: the comparison ignores letter case, and the API does not.
fn lower_case(body: &mut Map<String, Value>, key: &str) {
    if let Some(value) = body.get_mut(key) {
        each_text(value, &|text| text.to_lowercase());
    }
}

fn alert_policy(body: &mut Map<String, Value>) {
    if let Some(Value::Object(alerts)) = body.get_mut("alerts") {
        for list in ["email", "slack"] {
            if alerts.get(list).is_none_or(Value::is_null) {
                alerts.insert(list.to_owned(), json!([]));
            }
        }
    }
    if let Some(Value::Array(entities)) = body.get_mut("entities") {
        let texts: Vec<_> = entities.iter().filter_map(text).map(|text| json!(text)).collect();
        *entities = texts;
    }
}

fn cluster(body: &mut Map<String, Value>) {
    if let Some(Value::Array(tags)) = body.get_mut("tags") {
        // The cloud keeps its own tags, and refuses them in a write.
        tags.retain(|tag| !tag.as_str().is_some_and(|tag| tag == "k8s" || tag.starts_with("k8s:")));
    }
    if let Some(Value::Object(policy)) = body.get_mut("maintenance_policy") {
        lower_case(policy, "day");
        if let Some(Value::String(start)) = policy.get_mut("start_time")
            && start.find(':') == Some(1)
        {
            start.insert(0, '0');
        }
    }
}

/// The lists of a firewall's rules.
const SIDES: &[&str] = &["inbound_rules", "outbound_rules"];

fn each_rule(body: &mut Map<String, Value>, lists: &[&str], spell: impl Fn(&mut Map<String, Value>)) {
    for list in lists {
        let rules = body.get_mut(*list).and_then(Value::as_array_mut);
        rules.into_iter().flatten().filter_map(Value::as_object_mut).for_each(&spell);
    }
}

fn ports(rule: &mut Map<String, Value>, all: &str) {
    lower_case(rule, "protocol");
    if rule.get("protocol").and_then(Value::as_str).is_some_and(|protocol| protocol == "icmp") {
        rule.remove("ports");
        return;
    }
    let ports = rule.get("ports").and_then(text).unwrap_or_default();
    let ports = port_range(&ports);
    rule.insert("ports".to_owned(), if ports == ALL_PORTS { json!(all) } else { json!(ports) });
}

fn maintenance_window(body: &mut Map<String, Value>) {
    lower_case(body, "day");
    if let Some(Value::String(hour)) = body.get_mut("hour") {
        let parts: Vec<&str> = hour.splitn(3, ':').take(2).collect();
        *hour = parts.join(":");
    }
}

fn load_balancer(body: &mut Map<String, Value>, changed: &str) {
    let region = body.remove("region").map(|region| match region {
        Value::Object(region) => str_at(&Value::Object(region), "slug").to_owned(),
        region => region.as_str().unwrap_or_default().to_owned(),
    });
    let region = region.unwrap_or_default();
    let is_global = body.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("GLOBAL"));
    if !is_global && !region.is_empty() {
        body.insert("region".to_owned(), json!(region));
    }
    if is_global {
        body.remove("size");
        body.remove("size_unit");
    } else {
        size(body, changed, NAMED_SIZES.contains(&region.as_str()));
    }
    each_rule(body, &["forwarding_rules"], |rule| {
        lower_case(rule, "entry_protocol");
        lower_case(rule, "target_protocol");
    });
    let has_tag = body.get("tag").is_some_and(|tag| !is_empty_value(tag));
    body.remove(if has_tag { "droplet_ids" } else { "tag" });
    if let Some(Value::Object(firewall)) = body.get_mut("firewall") {
        firewall.values_mut().filter_map(Value::as_array_mut).flatten().for_each(source);
    }
    if let Some(Value::Object(sessions)) = body.get_mut("sticky_sessions")
        && sessions.get("type").is_none_or(|kind| kind != "cookies")
    {
        sessions.retain(|key, _| key == "type");
    }
}

/// Adds the type to a source of a load balancer's firewall.
fn source(source: &mut Value) {
    if let Value::String(text) = source
        && !text.starts_with("ip:")
        && !text.starts_with("cidr:")
    {
        let kind = if text.contains('/') { "cidr" } else { "ip" };
        *text = format!("{kind}:{text}");
    }
}

/// Keeps one notation of the size: the changed one, in the form of the region.
fn size(body: &mut Map<String, Value>, changed: &str, is_named: bool) {
    let units = |name: &Value| SIZES.iter().find(|(size, _)| name == size).map(|(_, units)| json!(units));
    let name =
        |units: &Value| SIZES.iter().find(|(_, number)| units.as_u64() == Some(*number)).map(|(name, _)| json!(name));
    let (size, unit) = (body.remove("size"), body.remove("size_unit"));
    let (from_size, from_unit) = (size.as_ref().and_then(units), unit.as_ref().and_then(name));
    let (key, value) = match (is_named, changed) {
        (true, "size_unit") => ("size", from_unit.or(size)),
        (true, _) => ("size", size.or(from_unit)),
        (false, "size") => ("size_unit", from_size.or(size).or(unit)),
        (false, _) => ("size_unit", unit.or(from_size)),
    };
    if let Some(value) = value.filter(|value| !is_empty_value(value)) {
        let number = value.as_str().and_then(|text| text.parse::<u64>().ok());
        let value = number.filter(|_| key == "size_unit").map_or(value, Value::from);
        body.insert(key.to_owned(), value);
    }
}

fn project(body: &mut Map<String, Value>) {
    if let Some(Value::String(purpose)) = body.get_mut("purpose")
        && let Some(rest) = purpose.strip_prefix("Other: ")
    {
        *purpose = rest.to_owned();
    }
    if let Some(Value::String(environment)) = body.get_mut("environment") {
        let known = ["Development", "Staging", "Production"];
        if let Some(known) = known.iter().find(|known| known.eq_ignore_ascii_case(environment)) {
            *environment = (*known).to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_compared_without_letter_case_are_sent_in_lower_case() {
        let rule = |protocol: &str| json!({ "protocol": protocol, "ports": "443" });
        let forwarding = |entry: &str, target: &str| json!([{ "entry_protocol": entry, "target_protocol": target }]);
        for (spelling, recorded, sent) in [
            (
                Spelling::FirewallRules,
                json!({ "inbound_rules": [rule("TCP")], "outbound_rules": [{ "protocol": "ICMP", "ports": "0" }] }),
                json!({ "inbound_rules": [rule("tcp")], "outbound_rules": [{ "protocol": "icmp" }] }),
            ),
            (
                Spelling::LoadBalancer,
                json!({ "region": "nyc3", "forwarding_rules": forwarding("HTTPS", "Http") }),
                json!({ "region": "nyc3", "forwarding_rules": forwarding("https", "http") }),
            ),
            (
                Spelling::UptimeCheck,
                json!({ "name": "Shop", "type": "HTTPS", "regions": ["US_East"] }),
                json!({ "name": "Shop", "type": "https", "regions": ["us_east"] }),
            ),
            (
                Spelling::MaintenanceWindow,
                json!({ "day": "Tuesday", "hour": "04:00:00" }),
                json!({ "day": "tuesday", "hour": "04:00" }),
            ),
            (
                Spelling::Slugs,
                json!({ "region": "NYC3", "size": "DB-s-1vcpu-2gb", "num_nodes": 1 }),
                json!({ "region": "nyc3", "size": "db-s-1vcpu-2gb", "num_nodes": 1 }),
            ),
            (
                Spelling::Cluster,
                json!({ "maintenance_policy": { "day": "Any", "start_time": "4:00" } }),
                json!({ "maintenance_policy": { "day": "any", "start_time": "04:00" } }),
            ),
        ] {
            let Value::Object(mut body) = recorded else { panic!("{recorded}") };
            spelling.spell(&mut body, "name");
            assert_eq!(Value::Object(body), sent, "{spelling:?}");
        }
    }
}
