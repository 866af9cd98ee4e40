//! Domains: each begins with the records that every domain has.

use crate::cloud::Cloud;
use serde_json::{Value, json};

/// Adds the SOA and NS records of a new domain, and an A record where an address was given with it.
pub(crate) fn add_default_records(cloud: &mut Cloud, domain: &str, document: &Value) {
    let collection = format!("domains/{domain}/records");
    if cloud.store.collection(&collection).is_some() {
        return;
    }
    let mut records = vec![json!({"type": "SOA", "name": "@", "data": "1800", "ttl": 1800})];
    records.extend(
        (1..=3).map(|n| json!({"type": "NS", "name": "@", "data": format!("ns{n}.digitalocean.com"), "ttl": 1800})),
    );
    if let Some(address) = document.get("ip_address").and_then(Value::as_str) {
        records.push(json!({"type": "A", "name": "@", "data": address, "ttl": 1800}));
    }
    for record in records {
        // The collection is one we know and the record an object: this cannot be refused.
        let _ = cloud.put(&collection, record);
    }
    cloud.store.edit("domains", domain, |document| {
        if let Some(fields) = document.as_object_mut() {
            fields.remove("ip_address");
            fields.insert("zone_file".to_owned(), Value::from(format!("$ORIGIN {domain}.\n$TTL 1800\n")));
        }
    });
}
