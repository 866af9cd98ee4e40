//! Load balancers: the fields of an update, and the refusal of an update while another is in progress.

use serde_json::{Map, Value, json};

use crate::{
    certificates,
    cloud::Cloud,
    projects,
    reply::Refusal,
    request::Call,
    templates,
    values::{set, text_of},
    writes::{Busy, Target, check_exists, check_one_of, check_text, items},
};

static BUSY: Busy =
    Busy { collection: "load_balancers", place: "/status", during: "new", after: "active", failed: "errored" };

/// Regions in which sizes are names, not units.
const NAMED_SIZES: &[&str] = &["ams2", "nyc2", "sfo1"];
const MOST_DROPLETS: usize = 10;

/// Refuses a change of a load balancer that processes another change.
pub(crate) fn check_free(cloud: &Cloud, id: &str) -> Result<(), Refusal> {
    let is_new = cloud.store.get("load_balancers", id).is_some_and(|it| it.get("status") == Some(&json!("new")));
    if is_new || cloud.is_busy("load_balancers", id) {
        return Err(Refusal::forbidden("Load Balancer can't be updated while it processes previous actions"));
    }
    Ok(())
}

/// Makes a load balancer busy with a change.
pub(crate) fn work(cloud: &mut Cloud, id: &str, call: &Call) {
    BUSY.begin(cloud, id, call, |_, _| {});
}

/// Checks the body of a PUT, and completes it.
pub(crate) fn prepare(cloud: &Cloud, target: &Target<'_>, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    let old = target.old;
    check_free(cloud, target.id)?;
    check_text(body, "name")?;
    let is_global = is_global(old);
    check_region(old, body, is_global)?;
    check_members(cloud, old, body)?;
    size(body, is_global)?;
    if !is_global || !items(&Value::Object(body.clone()), "forwarding_rules").is_empty() {
        check_rules(body.get("forwarding_rules"))?;
    }
    if let Some(rules) = body.get_mut("forwarding_rules").and_then(Value::as_array_mut) {
        rules.iter_mut().for_each(complete_rule);
    }
    check_settings(body)?;
    if !is_global
        && let Some(field) = ["domains", "glb_settings", "target_load_balancer_ids"]
            .into_iter()
            .find(|field| body.get(*field).is_some_and(|value| value.as_array().is_none_or(|items| !items.is_empty())))
    {
        return Err(Refusal::unprocessable(format!("{field} is only for global load balancers")));
    }
    certificates::check_used(cloud, target.collection, &Value::Object(body.clone()))?;
    if let Some(object) = body.get_mut("health_check") {
        complete_health_check(object);
    }
    if let Some(object) = body.get_mut("firewall") {
        complete_object(object, "firewall");
    }
    let project = body.get("project_id").and_then(Value::as_str).map(str::to_owned);
    match project {
        Some(project) if old.get("project_id").and_then(Value::as_str) != Some(&project) => {
            if !cloud.store.contains("projects", &project) {
                return Err(Refusal::not_found());
            }
        }
        Some(_) => {}
        // A load balancer without a project belongs to the default project.
        None => {
            if let Some(default) = projects::default_id(cloud) {
                body.insert("project_id".to_owned(), Value::from(default));
            }
        }
    }
    // The algorithm is deprecated and kept as it is.
    if let Some(algorithm) = old.get("algorithm") {
        body.insert("algorithm".to_owned(), algorithm.clone());
    }
    if let Some(region) = old.get("region") {
        body.insert("region".to_owned(), region.clone());
    }
    Ok(())
}

fn is_global(balancer: &Value) -> bool {
    balancer.get("type").and_then(Value::as_str) == Some("GLOBAL")
}

fn check_region(old: &Value, body: &Map<String, Value>, is_global: bool) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::unprocessable(message));
    match body.get("region") {
        Some(_) if is_global => refuse("region must not be given for a global load balancer"),
        None if is_global => Ok(()),
        None => refuse("region is required"),
        Some(Value::String(slug)) if old.pointer("/region/slug").and_then(Value::as_str) == Some(slug) => Ok(()),
        Some(Value::String(_)) => refuse("region cannot be changed"),
        Some(_) => refuse("region must be a slug"),
    }
}

fn check_members(cloud: &Cloud, old: &Value, body: &Map<String, Value>) -> Result<(), Refusal> {
    let droplets = body.get("droplet_ids").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let tag = body.get("tag").and_then(Value::as_str).unwrap_or_default();
    if !droplets.is_empty() && !tag.is_empty() {
        return Err(Refusal::unprocessable("only one of tag and droplet_ids can be given"));
    }
    if !tag.is_empty() && !cloud.store.contains("tags", tag) {
        return Err(Refusal::unprocessable(format!("tag {tag} could not be found")));
    }
    check_droplets(cloud, old, droplets)
}

/// Refuses droplets that cannot be targets of this load balancer.
pub(crate) fn check_droplets(cloud: &Cloud, balancer: &Value, droplets: &[Value]) -> Result<(), Refusal> {
    if droplets.len() > MOST_DROPLETS {
        return Err(Refusal::unprocessable("a load balancer takes at most 10 Droplets by id; use a tag for more"));
    }
    check_exists(cloud, "droplets", "Droplet", droplets)?;
    for id in droplets.iter().map(text_of) {
        let droplet = cloud.store.get("droplets", &id).unwrap_or_default();
        let is_near = balancer.pointer("/region/slug").is_none_or(|it| droplet.pointer("/region/slug") == Some(it));
        let vpc = |document: &Value| document.get("vpc_uuid").and_then(Value::as_str).map(str::to_owned);
        let is_inside = vpc(balancer).is_none_or(|it| vpc(&droplet) == Some(it));
        if !is_near || !is_inside {
            return Err(Refusal::unprocessable(format!(
                "Droplet {id} is not in the region and VPC of the load balancer"
            )));
        }
    }
    Ok(())
}

/// Sets the size by name and in units, from the given one.
fn size(body: &mut Map<String, Value>, is_global: bool) -> Result<(), Refusal> {
    let region = body.get("region").and_then(Value::as_str).unwrap_or_default();
    let is_named = NAMED_SIZES.contains(&region);
    let pair = match (body.get("size"), body.get("size_unit")) {
        (Some(_), Some(_)) => return Err(Refusal::unprocessable("only one of size and size_unit can be given")),
        (None, None) => return Ok(()),
        _ if is_global => return Err(Refusal::unprocessable("a global load balancer has no size")),
        (None, Some(_)) if is_named => {
            return Err(Refusal::unprocessable(format!("size_unit is not available in {region}; use size")));
        }
        (Some(slug), None) => sized_by_name(slug.as_str().unwrap_or_default()),
        (None, Some(unit)) => unit.as_u64().filter(|unit| (1..=100).contains(unit)).map(sized_by_unit),
    };
    let (slug, unit) = pair.ok_or_else(|| Refusal::unprocessable("the size is invalid"))?;
    body.insert("size".to_owned(), Value::from(slug));
    body.insert("size_unit".to_owned(), Value::from(unit));
    Ok(())
}

fn sized_by_name(slug: &str) -> Option<(&'static str, u64)> {
    [("lb-small", 1), ("lb-medium", 3), ("lb-large", 6)].into_iter().find(|it| it.0 == slug)
}

fn sized_by_unit(unit: u64) -> (&'static str, u64) {
    let slug = match unit {
        0..=2 => "lb-small",
        3..=5 => "lb-medium",
        _ => "lb-large",
    };
    (slug, unit)
}

/// Removes the fields that only regional load balancers have.
pub(crate) fn simplify(balancer: &mut Value) {
    if is_global(balancer) {
        for field in ["region", "size", "size_unit", "vpc_uuid"] {
            crate::places::remove(balancer, field);
        }
    }
}

/// Fills in the missing form of the size, and the fields that objects leave out.
pub(crate) fn complete(balancer: &mut Value) {
    let unit = balancer.get("size_unit").and_then(Value::as_u64).map(sized_by_unit);
    let slug = balancer.get("size").and_then(Value::as_str).and_then(sized_by_name);
    match (unit, slug) {
        (Some((slug, _)), None) => set(balancer, "size", Value::from(slug)),
        (None, Some((_, unit))) => set(balancer, "size_unit", Value::from(unit)),
        _ => {}
    }
    if let Some(object) = balancer.get_mut("health_check") {
        complete_health_check(object);
    }
    if let Some(object) = balancer.get_mut("firewall") {
        complete_object(object, "firewall");
    }
    if let Some(rules) = balancer.get_mut("forwarding_rules").and_then(Value::as_array_mut) {
        rules.iter_mut().for_each(complete_rule);
    }
}

/// Completes a merge patch of a load balancer: either form of the size changes the other.
pub(crate) fn changed(balancer: &mut Value, patch: &Value) {
    match (patch.get("size"), patch.get("size_unit")) {
        (Some(_), None) => crate::places::remove(balancer, "size_unit"),
        (None, Some(_)) => crate::places::remove(balancer, "size"),
        _ => {}
    }
    complete(balancer);
}

fn complete_health_check(check: &mut Value) {
    let has_path = check.get("protocol").and_then(Value::as_str) != Some("tcp");
    complete_object(check, "health_check");
    if !has_path && check.get("path") == Some(&json!("/")) {
        crate::places::remove(check, "path");
    }
}

/// Fills in the missing keys of an object: an update resets omitted keys.
fn complete_object(object: &mut Value, field: &str) {
    let Some(kind) = crate::kinds::list("load_balancers").map(|(kind, _)| kind) else { return };
    for (key, default) in templates::default_of(kind, field).as_ref().and_then(Value::as_object).into_iter().flatten() {
        if object.get(key).is_none_or(Value::is_null) {
            set(object, key, default.clone());
        }
    }
}

/// Gives a rule the keys of a response.
pub(crate) fn complete_rule(rule: &mut Value) {
    for (key, default) in [("certificate_id", Value::from("")), ("tls_passthrough", Value::from(false))] {
        if rule.get(key).is_none_or(Value::is_null) {
            set(rule, key, default);
        }
    }
}

/// Refuses invalid forwarding rules.
pub(crate) fn check_rules(rules: Option<&Value>) -> Result<(), Refusal> {
    let rules = rules.and_then(Value::as_array).filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| Refusal::unprocessable("forwarding_rules must have at least one rule"))?;
    let mut entries = Vec::new();
    for rule in rules {
        for field in ["entry_protocol", "entry_port", "target_protocol", "target_port"] {
            if rule.get(field).is_none_or(Value::is_null) {
                return Err(Refusal::unprocessable(format!("{field} is required in forwarding_rules")));
            }
        }
        let text = |field: &str| rule.get(field).and_then(Value::as_str).unwrap_or_default();
        let needs_certificate = ["https", "http2", "http3"].contains(&text("entry_protocol"));
        let passes = rule.get("tls_passthrough").and_then(Value::as_bool) == Some(true);
        if needs_certificate && !passes && text("certificate_id").is_empty() {
            return Err(Refusal::unprocessable("certificate_id is required where tls_passthrough is false"));
        }
        let is_udp = text("entry_protocol") == "udp";
        let entry = (is_udp, rule.get("entry_port").cloned());
        if entries.contains(&entry) {
            return Err(Refusal::unprocessable("two forwarding rules have the same entry port"));
        }
        entries.push(entry);
    }
    Ok(())
}

fn check_settings(body: &Map<String, Value>) -> Result<(), Refusal> {
    check_one_of(body, "tls_cipher_policy", &["DEFAULT", "STRONG"])?;
    let is_timeout = |value: &Value| value.as_u64().is_some_and(|seconds| (30..=600).contains(&seconds));
    if !body.get("http_idle_timeout_seconds").is_none_or(is_timeout) {
        return Err(Refusal::unprocessable("http_idle_timeout_seconds must be between 30 and 600"));
    }
    let empty = json!({});
    let firewall = body.get("firewall").unwrap_or(&empty);
    let is_source = |source: &Value| source.as_str().is_some_and(|it| it.starts_with("ip:") || it.starts_with("cidr:"));
    if !items(firewall, "allow").iter().chain(items(firewall, "deny")).all(is_source) {
        return Err(Refusal::unprocessable("a source of the firewall begins with ip: or cidr:"));
    }
    let sticky = body.get("sticky_sessions").unwrap_or(&empty);
    let has_cookies = sticky.get("type").and_then(Value::as_str) == Some("cookies");
    let is_set = |field: &str| sticky.get(field).is_some_and(|it| ![json!(""), json!(0), Value::Null].contains(it));
    if has_cookies != is_set("cookie_name") || has_cookies != is_set("cookie_ttl_seconds") {
        return Err(Refusal::unprocessable("cookie_name and cookie_ttl_seconds go with sticky sessions by cookies"));
    }
    Ok(())
}
