//! Registries: all of an account share one subscription, which lists show with each.

use crate::cloud::{Cloud, now};
use crate::reply::{Refusal, Reply};
use crate::request::Call;
use crate::store::set;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

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

/// `GET` and `POST /v2/registries/subscription`
pub(crate) fn subscribe(cloud: &mut Cloud, call: &Call) -> Result<Reply, Refusal> {
    let registries = cloud.store.all("registries");
    let subscription = if call.method == Method::GET {
        let kept = registries.iter().find_map(|it| it.get("subscription"));
        kept.cloned().or_else(|| subscription("starter")).unwrap_or_default()
    } else {
        let slug = call.text("tier_slug").unwrap_or_default();
        let subscription = subscription(slug)
            .ok_or_else(|| Refusal::unprocessable(format!("{slug:?} is not a valid subscription tier")))?;
        for name in registries.iter().filter_map(|it| it.get("name").and_then(Value::as_str)) {
            cloud.store.edit("registries", name, |registry| set(registry, "subscription", subscription.clone()));
        }
        subscription
    };
    Ok(Reply::json(StatusCode::OK, &json!({"subscription": subscription})))
}
