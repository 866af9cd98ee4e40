//! Members of firewalls and load balancers: adding and removing them changes nothing else.

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    certificates,
    cloud::Cloud,
    firewalls, load_balancers,
    reply::{Refusal, Reply},
    request::Call,
    values::set,
    writes::items,
};

/// `POST` and `DELETE /v2/firewalls/{id}/{droplets|tags|rules}`
pub(crate) fn of_firewall(cloud: &mut Cloud, id: &str, part: &str, call: &Call) -> Result<Reply, Refusal> {
    let fields: &[&str] = match part {
        "droplets" => &["droplet_ids"],
        "tags" => &["tags"],
        "rules" => &["inbound_rules", "outbound_rules"],
        _ => return Err(Refusal::not_found()),
    };
    let old = cloud.store.get("firewalls", id).ok_or_else(Refusal::not_found)?;
    if fields.iter().all(|field| items(&call.body, field).is_empty()) {
        return Err(Refusal::unprocessable(format!("{} is required", fields.join(" or "))));
    }
    let adds = call.method == Method::POST;
    let mut body = call.body.clone();
    if adds {
        for (field, ends) in firewalls::RULES {
            if let Some(rules) = body.get_mut(field).filter(|rules| part == "rules" && !rules.is_null()) {
                firewalls::spell_rules(cloud, rules, ends, call)?;
            }
        }
    }
    let mut new = old.clone();
    change(&mut new, &body, fields, adds);
    if adds {
        firewalls::check_members(cloud, items(&new, "droplet_ids"), items(&new, "tags"))?;
    }
    // Only an exact match is removed; otherwise the response is the same.
    if new != old {
        cloud.store.put("firewalls", id, &new);
        firewalls::work(cloud, id, &old, call);
    }
    Ok(Reply::nothing())
}

/// `POST` and `DELETE /v2/load_balancers/{id}/{droplets|forwarding_rules}`
pub(crate) fn of_load_balancer(cloud: &mut Cloud, id: &str, part: &str, call: &Call) -> Result<Reply, Refusal> {
    let field = match part {
        "droplets" => "droplet_ids",
        "forwarding_rules" => "forwarding_rules",
        _ => return Err(Refusal::not_found()),
    };
    let old = cloud.store.get("load_balancers", id).ok_or_else(Refusal::not_found)?;
    load_balancers::check_free(cloud, id)?;
    if items(&call.body, field).is_empty() {
        return Err(Refusal::unprocessable(format!("{field} is required")));
    }
    let adds = call.method == Method::POST;
    let mut body = call.body.clone();
    let mut new = old.clone();
    if field == "forwarding_rules" {
        if let Some(rules) = body.get_mut(field).and_then(Value::as_array_mut) {
            rules.iter_mut().for_each(load_balancers::complete_rule);
        }
        change(&mut new, &body, &[field], adds);
        load_balancers::check_rules(new.get(field))?;
        if adds {
            certificates::check_used(cloud, "load_balancers", &body)?;
        }
    } else {
        if old.get("tag").and_then(Value::as_str).is_some_and(|tag| !tag.is_empty()) {
            return Err(Refusal::unprocessable("the Droplets of this load balancer are those with its tag"));
        }
        change(&mut new, &body, &[field], adds);
        if items(&old, field).is_empty() || items(&new, field).is_empty() {
            return Err(Refusal::unprocessable("need to provide either a tag or a list of droplets"));
        }
        if adds {
            load_balancers::check_droplets(cloud, &old, items(&new, field))?;
        }
    }
    if new != old {
        cloud.store.put("load_balancers", id, &new);
        load_balancers::work(cloud, id, call);
    }
    Ok(Reply::nothing())
}

/// Adds members to lists of a document, or removes them. Existing members keep their position.
fn change(document: &mut Value, body: &Value, fields: &[&str], adds: bool) {
    for field in fields {
        let asked = items(body, field);
        let mut members = items(document, field).to_vec();
        if adds {
            let new: Vec<Value> = asked.iter().filter(|it| !members.contains(it)).cloned().collect();
            members.extend(new);
        } else {
            members.retain(|it| !asked.contains(it));
        }
        if document.get(*field).is_some() || !members.is_empty() {
            set(document, field, json!(members));
        }
    }
}
