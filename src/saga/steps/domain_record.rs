//! The calls about records of a domain that several steps share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::common::{ProviderId, id_text};
use crate::{
    digitalocean::{Endpoint, Kind, Live, ResourceKey, full_name, is_host_type, record_name},
    drift::finding::{self, Finding},
    saga::step::{Failure, StepContext},
};

/// A record type. SOA records come with their domain and cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RecordType {
    A,
    Aaaa,
    Caa,
    Cname,
    Mx,
    Ns,
    Srv,
    Txt,
}

/// The tag of a CAA record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CaaTag {
    Issue,
    IssueWild,
    Iodef,
}

/// The path of a domain's records.
pub(super) fn all<'p>(domain: &'p ProviderId, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route: "/v2/domains/{parent}/records", parent: Some(domain.as_str()), id: None, scope }
}

/// The path of one record.
pub(super) fn one<'p>(domain: &'p ProviderId, id: &'p str, scope: &'static str) -> Endpoint<'p> {
    Endpoint { route: "/v2/domains/{parent}/records/{id}", parent: Some(domain.as_str()), id: Some(id), scope }
}

/// Fetches a record.
pub(super) async fn get(context: &StepContext<'_>, domain: &ProviderId, id: &str) -> Result<Option<Value>, Failure> {
    Ok(context.cloud.fetch(one(domain, id, "domain:read"), "domain_record", &[]).await?)
}

/// The fields in which a record differs, after normalizing both sides.
pub(super) fn differing<'w>(
    domain: &ProviderId,
    record: &Value,
    wanted: &'w Map<String, Value>,
) -> Result<Vec<&'w String>, Failure> {
    let kind = Kind::named("DomainRecord").ok_or_else(|| Failure::permanent("there is no kind DomainRecord"))?;
    let id = record.get("id").map(id_text).unwrap_or_default();
    let live = Live::parse(&ResourceKey::new(kind, format!("{domain}/{id}")), &record.to_string())?;
    let differs =
        |(field, value): &(&String, &Value)| !matches!(finding::compare(&live, field, value), Finding::Matches);
    Ok(wanted.iter().filter(differs).map(|(field, _)| field).collect())
}

/// The given fields of a record as the API reads them: its name relative to the domain, and the full name of its host. People
/// may write both either way.
pub(super) fn resolved(domain: &ProviderId, mut fields: Map<String, Value>, record: &Value) -> Map<String, Value> {
    let kind = fields.get("type").or_else(|| record.get("type")).and_then(Value::as_str);
    let is_host = kind.is_some_and(is_host_type);
    if let Some(Value::String(data)) = fields.get_mut("data").filter(|_| is_host) {
        *data = full_name(data, domain.as_str());
    }
    if let Some(Value::String(name)) = fields.get_mut("name") {
        *name = record_name(name, domain.as_str());
    }
    fields
}

/// Some fields of a record as the API accepts them: with the type, and with the host name if the type has one or, for CAA, the
/// authority. The API accepts it with a final dot only, returns it without, and requires it in every change
/// (<https://github.com/digitalocean/doctl/issues/919>).
pub(super) fn spelled(mut fields: Map<String, Value>, record: &Value) -> Map<String, Value> {
    let of = |field: &str| fields.get(field).or_else(|| record.get(field)).cloned().unwrap_or_default();
    let (kind, data, tag) = (of("type"), of("data"), of("tag"));
    let is_to_host = kind.as_str().is_some_and(|kind| is_host_type(kind) || kind.eq_ignore_ascii_case("CAA"));
    fields.insert("type".to_owned(), kind);
    if let (true, Some(host)) = (is_to_host, data.as_str()) {
        // `iodef` is a URL or mail address. Parameters of an issuer follow a semicolon.
        let name = host.split(';').next().unwrap_or_default();
        let is_whole = name.trim().is_empty() || name.trim_end().ends_with('.') || name == "@" || tag == "iodef";
        let host = if is_whole {
            host.to_owned()
        } else {
            let (name, rest) = host.split_at(name.trim_end().len());
            format!("{name}.{rest}")
        };
        fields.insert("data".to_owned(), host.into());
    }
    fields
}

/// The given fields, by their names in the API.
pub(super) fn fields(parameters: &impl serde::Serialize) -> Result<Map<String, Value>, Failure> {
    match serde_json::to_value(parameters).map_err(Failure::permanent)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_is_sent_with_every_change_and_with_a_final_dot() {
        let record = |kind: &str, data: &str| json!({ "type": kind, "data": data, "ttl": 1800, "tag": null });
        let iodef = json!({ "type": "CAA", "data": "mailto:jane@example.com", "tag": "iodef" });
        for (fields, record, told) in [
            (json!({ "ttl": 60 }), record("A", "192.0.2.1"), json!({ "ttl": 60, "type": "A" })),
            (json!({ "data": "v=spf1" }), record("TXT", "x"), json!({ "data": "v=spf1", "type": "TXT" })),
            (
                json!({ "ttl": 60 }),
                record("MX", "mail.example.org"),
                json!({ "ttl": 60, "type": "MX", "data": "mail.example.org." }),
            ),
            (
                json!({ "data": "b.example.org" }),
                record("cname", "@"),
                json!({ "type": "cname", "data": "b.example.org." }),
            ),
            (json!({ "data": "b.example.org." }), record("NS", "x"), json!({ "type": "NS", "data": "b.example.org." })),
            (json!({ "ttl": 60 }), record("CNAME", "@"), json!({ "ttl": 60, "type": "CNAME", "data": "@" })),
            (
                json!({ "ttl": 60 }),
                iodef.clone(),
                json!({ "ttl": 60, "type": "CAA", "data": "mailto:jane@example.com" }),
            ),
            (
                json!({ "tag": "issue", "data": "letsencrypt.org" }),
                iodef,
                json!({ "tag": "issue", "type": "CAA", "data": "letsencrypt.org." }),
            ),
            (
                json!({ "ttl": 60 }),
                json!({ "type": "CAA", "data": "letsencrypt.org; accounturi=https://acme.example/A", "tag": "issue" }),
                json!({ "ttl": 60, "type": "CAA", "data": "letsencrypt.org.; accounturi=https://acme.example/A" }),
            ),
            (
                json!({ "ttl": 60 }),
                json!({ "type": "CAA", "data": ";", "tag": "issue" }),
                json!({ "ttl": 60, "type": "CAA", "data": ";" }),
            ),
            (json!({ "type": "SRV", "data": "a.b" }), Value::Null, json!({ "type": "SRV", "data": "a.b." })),
        ] {
            let Value::Object(given) = fields else { panic!("{fields}") };
            assert_eq!(Value::Object(spelled(given, &record)), told, "{record}");
        }
    }
}
