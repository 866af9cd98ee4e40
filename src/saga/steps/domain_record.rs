//! The calls about the records of a domain that several steps make.

use serde_json::{Map, Value};

use super::common::{ProviderId, id_text};
use crate::{
    digitalocean::{Kind, Live, Path, ResourceKey},
    drift::evaluate::{self, Finding},
    saga::step::{Failure, Scene},
};

/// Where the records of a domain are.
pub(super) fn all<'p>(domain: &'p ProviderId, scope: &'static str) -> Path<'p> {
    Path { route: "/v2/domains/{parent}/records", parent: Some(domain.as_str()), id: None, scope }
}

/// Where one record of a domain is.
pub(super) fn one<'p>(domain: &'p ProviderId, id: &'p str, scope: &'static str) -> Path<'p> {
    Path { route: "/v2/domains/{parent}/records/{id}", parent: Some(domain.as_str()), id: Some(id), scope }
}

/// A record as the cloud has it.
pub(super) async fn get(scene: &Scene<'_>, domain: &ProviderId, id: &str) -> Result<Option<Value>, Failure> {
    let answer = scene.cloud.fetch(one(domain, id, "domain:read"), &[]).await?;
    Ok(answer.and_then(|mut answer| answer.get_mut("domain_record").map(Value::take)))
}

/// The fields of which a record has another value, in whatever way both are written.
pub(super) fn differing<'w>(
    domain: &ProviderId,
    record: &Value,
    wanted: &'w Map<String, Value>,
) -> Result<Vec<&'w String>, Failure> {
    let kind = Kind::named("DomainRecord").ok_or_else(|| Failure::permanent("there is no kind DomainRecord"))?;
    let id = record.get("id").map(id_text).unwrap_or_default();
    let live = Live::parse(&ResourceKey::new(kind, format!("{domain}/{id}")), &record.to_string())?;
    let differs =
        |(field, value): &(&String, &Value)| !matches!(evaluate::compare(&live, field, value), Finding::Matches { .. });
    Ok(wanted.iter().filter(differs).map(|(field, _)| field).collect())
}

/// The fields that a step was given, as the API takes them.
pub(super) fn fields(parameters: &impl serde::Serialize) -> Result<Map<String, Value>, Failure> {
    match serde_json::to_value(parameters).map_err(Failure::permanent)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}
