//! Certificates: a renewal gives a new id and keeps the name, as Let's Encrypt certificates do.

use serde_json::{Map, Value};

use crate::{
    cloud::Cloud,
    generated::{now, uuid},
    places,
    reply::Refusal,
    values::set,
};

/// The fields of other resources that contain the id of a certificate.
const USES: &[(&str, &str)] = &[
    ("load_balancers", "forwarding_rules.*.certificate_id"),
    ("load_balancers", "domains.*.certificate_id"),
    ("cdn/endpoints", "certificate_id"),
];

/// The id that endpoints use for a certificate of Cloudflare.
const FOREIGN: &str = "needs-cloudflare-cert";

/// The valid cache lifetimes of a CDN endpoint, in seconds.
const LIFETIMES: &[u64] = &[60, 600, 3600, 86_400, 604_800];

/// Refuses a document with an unknown certificate with 404, as after a renewal.
pub(crate) fn check_used(cloud: &Cloud, collection: &str, document: &Value) -> Result<(), Refusal> {
    let mut document = document.clone();
    let mut is_missing = false;
    for (_, place) in USES.iter().filter(|it| it.0 == collection) {
        places::visit(&mut document, place, &mut |value| {
            let id = value.as_str().unwrap_or_default();
            is_missing |= !id.is_empty() && id != FOREIGN && !cloud.store.contains("certificates", id);
        });
    }
    if is_missing { Err(Refusal::not_found()) } else { Ok(()) }
}

/// Checks the body of a PUT of a CDN endpoint. Blank text removes the domain or the certificate.
pub(crate) fn prepare_endpoint(cloud: &Cloud, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    if !body.get("ttl").is_none_or(|ttl| ttl.as_u64().is_some_and(|ttl| LIFETIMES.contains(&ttl))) {
        return Err(Refusal::unprocessable(format!("ttl must be one of {LIFETIMES:?}")));
    }
    check_used(cloud, "cdn/endpoints", &Value::Object(body.clone()))?;
    for field in ["custom_domain", "certificate_id"] {
        if body.get(field).and_then(Value::as_str) == Some("") {
            body.remove(field);
        }
    }
    Ok(())
}

/// Returns true if a resource uses a certificate.
pub(crate) fn is_used(cloud: &Cloud, id: &str) -> bool {
    USES.iter().any(|(collection, place)| {
        cloud.store.all(collection).iter_mut().any(|document| {
            let mut is_used = false;
            places::visit(document, place, &mut |value| is_used |= value.as_str() == Some(id));
            is_used
        })
    })
}

/// Replaces a certificate by one with a new id and the same name, in all resources that use it, and returns the new
/// one.
pub(crate) fn renew(cloud: &mut Cloud, id: &str) -> Option<Value> {
    let mut certificate = cloud.store.get("certificates", id)?;
    let (new, fingerprint) = (uuid(), format!("{:040x}", rand::random::<u128>()));
    set(&mut certificate, "id", Value::from(new.clone()));
    set(&mut certificate, "sha1_fingerprint", Value::from(fingerprint));
    set(&mut certificate, "created_at", Value::from(now()));
    cloud.store.put("certificates", &new, &certificate);
    for (collection, place) in USES {
        for row in ids(cloud, collection) {
            cloud.store.edit(collection, &row, |document| {
                places::visit(document, place, &mut |value| {
                    if value.as_str() == Some(id) {
                        *value = Value::from(new.clone());
                    }
                });
            });
        }
    }
    cloud.remove("certificates", id);
    Some(certificate)
}

fn ids(cloud: &Cloud, collection: &str) -> Vec<String> {
    let rows = cloud.store.collection(collection).map(crate::store::Collection::rows).unwrap_or_default();
    rows.iter().map(|row| row.id.clone()).collect()
}
