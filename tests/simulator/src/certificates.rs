//! Certificates: a renewal gives a new id and keeps the name, as with those of Let's Encrypt.

use crate::cloud::{Cloud, now, uuid};
use crate::places;
use crate::store::set;
use serde_json::Value;

/// The places at which other resources name a certificate by its id.
const USES: &[(&str, &str)] =
    &[("load_balancers", "forwarding_rules.*.certificate_id"), ("cdn/endpoints", "certificate_id")];

/// Whether a resource uses a certificate.
pub(crate) fn is_used(cloud: &Cloud, id: &str) -> bool {
    USES.iter().any(|(collection, place)| {
        cloud.store.all(collection).iter_mut().any(|document| {
            let mut is_used = false;
            places::visit(document, place, &mut |value| is_used |= value.as_str() == Some(id));
            is_used
        })
    })
}

/// Replaces a certificate by one with a new id and the same name, in all resources that use it, and returns the new one.
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
