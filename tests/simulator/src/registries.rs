//! Registries: all registries of an account share one subscription, which lists show with each of them.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    generated::now,
    reply::{Refusal, Reply},
    request::Call,
    values::set,
};

/// slug, name, repositories, GiB, cents a month.
const TIERS: &[(&str, &str, u64, u64, u64)] =
    &[("starter", "Starter", 1, 1, 0), ("basic", "Basic", 5, 5, 500), ("professional", "Professional", 0, 100, 2000)];

/// A subscription to a tier; `None` when there is no such tier.
pub(crate) fn subscription(slug: &str) -> Option<Value> {
    let (slug, name, repositories, gib, cents) = TIERS.iter().find(|tier| tier.0 == slug)?;
    let bytes = gib << 30;
    Some(json!({
        "tier": {
            "name": name, "slug": slug, "included_repositories": repositories, "included_storage_bytes": bytes,
            "allow_storage_overage": *slug != "starter", "included_bandwidth_bytes": bytes,
            "monthly_price_in_cents": cents, "storage_overage_price_in_cents": 2,
        },
        "created_at": now(), "updated_at": now(),
    }))
}

/// The reasons why a tier is not available, in the API's terms.
fn obstacles(registries: &[Value], slug: &str) -> Vec<&'static str> {
    let Some((_, _, _, gib, _)) = TIERS.iter().find(|tier| tier.0 == slug) else { return Vec::new() };
    let used: u64 = registries.iter().filter_map(|it| it.get("storage_usage_bytes")).filter_map(Value::as_u64).sum();
    let mut reasons = Vec::new();
    if registries.len() > 1 && slug != "professional" {
        reasons.push("OverRepositoryLimit");
    }
    if used > gib << 30 && slug == "starter" {
        reasons.push("OverStorageLimit");
    }
    reasons
}

/// `GET /v2/registries/options`
pub(crate) fn options(cloud: &Cloud) -> Reply {
    let registries = cloud.store.all("registries");
    let tiers: Vec<Value> = TIERS
        .iter()
        .filter_map(|tier| {
            let mut row = subscription(tier.0)?.get("tier")?.clone();
            let reasons = obstacles(&registries, tier.0);
            set(&mut row, "eligible", Value::from(reasons.is_empty()));
            set(&mut row, "eligibility_reasons", Value::from(reasons));
            Some(row)
        })
        .collect();
    let regions = ["nyc3", "sfo3", "sfo2", "ams3", "sgp1", "fra1", "blr1", "syd1"];
    Reply::json(StatusCode::OK, &json!({"options": {"available_regions": regions, "subscription_tiers": tiers}}))
}

/// The refusal of paths that only accounts with one registry can use.
pub(crate) fn several() -> Refusal {
    Refusal::precondition_failed("this endpoint is not supported if you have created multiple registries")
}

/// `GET /v2/registry`: the only registry of the account, without its subscription.
pub(crate) fn only(cloud: &Cloud) -> Result<Reply, Refusal> {
    match cloud.store.all("registries").as_slice() {
        [] => Err(Refusal::not_found()),
        [registry] => {
            let mut registry = registry.clone();
            crate::places::remove(&mut registry, "subscription");
            Ok(Reply::json(StatusCode::OK, &json!({"registry": registry})))
        }
        _ => Err(several()),
    }
}

/// `GET` and `POST /v2/registries/subscription`: the plan of the whole account.
pub(crate) fn subscribe(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let registries = cloud.store.all("registries");
    let kept = registries.iter().find_map(|it| it.get("subscription").cloned());
    if call.method == Method::GET {
        let subscription = kept.or_else(|| subscription("starter")).unwrap_or_default();
        return Ok(Reply::json(StatusCode::OK, &json!({"subscription": subscription})));
    }
    let slug = call.text("tier_slug").unwrap_or_default();
    let subscription = subscription(slug);
    let mut subscription =
        subscription.ok_or_else(|| Refusal::unprocessable(format!("{slug:?} is not a valid subscription tier")))?;
    let reasons = obstacles(&registries, slug);
    if !reasons.is_empty() {
        return Err(Refusal::precondition_failed(format!(
            "registry is not eligible for tier {slug}: {}",
            reasons.join(", ")
        )));
    }
    if let Some(created) = kept.as_ref().and_then(|it| it.get("created_at")) {
        set(&mut subscription, "created_at", created.clone());
    }
    share_subscription(cloud, &json!({"subscription": subscription}));
    Ok(Reply::json(StatusCode::OK, &json!({"subscription": subscription})))
}

/// Gives all registries the subscription of this one.
pub(crate) fn share_subscription(cloud: &mut Cloud, registry: &Value) {
    let Some(subscription) = registry.get("subscription") else { return };
    for name in cloud.store.all("registries").iter().filter_map(|it| it.get("name").and_then(Value::as_str)) {
        cloud.store.edit("registries", name, |registry| set(registry, "subscription", subscription.clone()));
    }
}
