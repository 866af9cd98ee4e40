//! Domains: each starts with default records, and refuses invalid records.

use serde_json::{Map, Value, json};

use crate::{
    cloud::Cloud,
    reply::Refusal,
    values::{set, text_of},
};

/// Records whose data is a host name: it is sent with a final dot in every change, and returned without it.
const TO_HOSTS: &[&str] = &["CAA", "CNAME", "MX", "NS", "SRV"];

/// Checks a record's fields: the request's over the stored ones.
pub(crate) fn adapt_record(fields: &mut Map<String, Value>, old: Option<&Map<String, Value>>) -> Result<(), Refusal> {
    for (field, name) in [("type", "Type"), ("name", "Name"), ("data", "Data")] {
        let value = fields.get(field).or(old.and_then(|it| it.get(field))).and_then(Value::as_str);
        if value.is_none_or(str::is_empty) {
            return Err(Refusal::unprocessable(format!("{name} can't be blank")));
        }
    }
    let kind = fields.get("type").or(old.and_then(|it| it.get("type"))).and_then(Value::as_str).unwrap_or_default();
    let tag = fields.get("tag").or(old.and_then(|it| it.get("tag"))).and_then(Value::as_str);
    // The `iodef` of a CAA record is a web or mail address, not a host.
    if !TO_HOSTS.contains(&kind.to_ascii_uppercase().as_str()) || tag == Some("iodef") {
        return Ok(());
    }
    match fields.get("data").and_then(Value::as_str) {
        Some("@") => Ok(()),
        // Without the dot, the API accepts the host as it returned it: https://github.com/digitalocean/doctl/issues/919
        host => {
            let name = host.and_then(|host| host.strip_suffix('.'));
            let name = name.ok_or_else(|| Refusal::unprocessable("Data needs to end with a dot (.)"))?;
            let name = Value::from(name);
            fields.insert("data".to_owned(), name);
            Ok(())
        }
    }
}

/// Checks the body of a PUT or PATCH of a record.
pub(crate) fn prepare(old: &Value, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::unprocessable(message));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_ascii_uppercase();
    let kind = text(body.get("type"));
    if kind != text(old.get("type")) {
        return refuse("type of a record cannot be changed");
    }
    if body.get("ttl").is_some_and(|ttl| ttl.as_u64().is_none_or(|ttl| ttl < 30)) {
        return refuse("Ttl must be greater than or equal to 30");
    }
    if kind == "SOA" {
        let other = body.keys().any(|field| !["type", "ttl"].contains(&field.as_str()));
        return if other { refuse("only the TTL of the SOA record can be changed") } else { Ok(()) };
    }
    adapt_record(body, old.as_object())
}

/// Gives all records of one name and type the same TTL.
pub(crate) fn share_ttl(cloud: &mut Cloud, records: &str, id: &str, record: &Value) {
    let siblings: Vec<String> = cloud
        .store
        .all(records)
        .iter()
        .filter(|it| ["name", "type"].iter().all(|field| it.get(*field) == record.get(*field)))
        .filter_map(|it| it.get("id").map(text_of))
        .filter(|it| it != id)
        .collect();
    for sibling in siblings {
        cloud.store.edit(records, &sibling, |it| set(it, "ttl", record.get("ttl").cloned().unwrap_or_default()));
    }
}

/// Adds the SOA and NS records of a new domain, and an A record if an address was given.
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
        // Cannot fail: the collection is known and the record is an object.
        let _ = cloud.put(&collection, record);
    }
    cloud.store.edit("domains", domain, |document| {
        if let Some(fields) = document.as_object_mut() {
            fields.remove("ip_address");
            fields.insert("zone_file".to_owned(), Value::from(format!("$ORIGIN {domain}.\n$TTL 1800\n")));
        }
    });
}
