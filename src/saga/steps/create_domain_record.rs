//! The step `CreateDomainRecord`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    common::{ProviderId, id_text, unnamed},
    domain_record::{self, CaaTag, RecordType, differing, fields, resolved, spelled},
};
use crate::{
    api::saga::ErrorKind,
    digitalocean::{ChangeMethod, Error},
    saga::step::{Failure, Lookup, Progress, Step, StepContext, Undo},
};

/// Creates a record of a domain. Undone by deleting the record.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The domain name.
    #[serde(skip_serializing)]
    domain: ProviderId,
    /// The record type.
    #[serde(rename = "type")]
    kind: RecordType,
    /// The name within the domain, `@` for the domain itself.
    #[schemars(length(min = 1, max = 255))]
    name: String,
    /// The value: an address, a host name (full, with or without its final dot, or relative to the domain) or a text.
    #[schemars(length(min = 1, max = 4096))]
    data: String,
    /// The time to live, in seconds. All records of one name and type share it, so this changes theirs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    /// The priority. Required for `MX` and `SRV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    /// The port. Required for `SRV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The weight. Required for `SRV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    /// The flags. Required for `CAA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flags: Option<u8>,
    /// The tag. Required for `CAA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<CaaTag>,
}

/// The output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The id of the record within its domain.
    record_id: String,
}

/// The state before the step. Records have no tags and no unique names, so a record that this step created is
/// recognized by its absence before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The ids of equal records; none if they were not listed.
    alike: Option<Vec<String>>,
}

pub(super) struct CreateDomainRecord;

impl Step for CreateDomainRecord {
    const NAME: &'static str = "CreateDomainRecord";

    type Parameters = Parameters;
    type Output = Output;
    type Before = Before;

    fn objection(&self, parameters: &Parameters) -> Option<String> {
        let Parameters { kind, priority, port, weight, flags, tag, .. } = parameters;
        let needed = match kind {
            RecordType::Mx => vec![("priority", priority.is_some())],
            RecordType::Srv => {
                vec![("priority", priority.is_some()), ("port", port.is_some()), ("weight", weight.is_some())]
            }
            RecordType::Caa => vec![("flags", flags.is_some()), ("tag", tag.is_some())],
            RecordType::A | RecordType::Aaaa | RecordType::Cname | RecordType::Ns | RecordType::Txt => Vec::new(),
        };
        let missing: Vec<_> = needed.into_iter().filter(|(_, is_given)| !is_given).map(|(name, _)| name).collect();
        (!missing.is_empty()).then(|| format!("a record of this type needs `{}` too", missing.join("` and `")))
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let alike = alike(context, parameters).await?;
        let missing = || Failure::Permanent(format!("there is no domain {}", parameters.domain));
        Ok(Before { alike: Some(alike.ok_or_else(missing)?) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<Output>, Failure> {
        let path = domain_record::all(&parameters.domain, "domain:create");
        let record =
            Value::Object(spelled(resolved(&parameters.domain, fields(parameters)?, &Value::Null), &Value::Null));
        let answer = context.cloud.send(ChangeMethod::Post, path, Some(&record)).await?;
        match answer.pointer("/domain_record/id") {
            Some(id) => Ok(Progress::Done(Output { record_id: id_text(id) })),
            None => Err(unnamed("record")),
        }
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
    ) -> Result<Lookup<Output>, Failure> {
        let mut ids = new(context, parameters, before).await?.unwrap_or_default();
        Ok(match (ids.pop(), ids.is_empty()) {
            (None, _) => Lookup::Nothing,
            (Some(record_id), true) => Lookup::One(Progress::Done(Output { record_id })),
            (Some(last), false) => Lookup::Several(ids.into_iter().chain([last]).collect()),
        })
    }

    async fn adopt(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        id: &str,
    ) -> Result<Progress<Output>, Failure> {
        match domain_record::get(context, &parameters.domain, id).await? {
            Some(_) => Ok(Progress::Done(Output { record_id: id.to_owned() })),
            None => Err(Failure::Permanent(format!("there is no record {id} of {}", parameters.domain))),
        }
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&Output>,
    ) -> Result<Undo, Failure> {
        if was_refused_at_once(context) {
            return Ok(Undo::NothingThere);
        }
        let ids = match output {
            Some(output) => vec![output.record_id.clone()],
            None => match new(context, parameters, before).await? {
                Some(ids) => ids,
                // The domain was deleted with all its records.
                None => return Ok(Undo::Done),
            },
        };
        let id = match ids.as_slice() {
            [] => return Ok(Undo::NothingThere),
            [id] => id,
            several => {
                return Err(Failure::Permanent(format!(
                    "several records of {} could be the result of this step: {}; delete the right one",
                    parameters.domain,
                    several.join(", ")
                )));
            }
        };
        let path = domain_record::one(&parameters.domain, id, "domain:delete");
        match context.cloud.send(ChangeMethod::Delete, path, None).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Undo::Done),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns true if the only call was refused. An equal record then belongs to someone else, and may be the reason for
/// the refusal.
fn was_refused_at_once(context: &StepContext<'_>) -> bool {
    let is_refused = context.entry.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Permanent);
    is_refused && context.is_first_call()
}

/// The ids of equal records that are new since the step started; none if the domain does not exist.
async fn new(
    context: &StepContext<'_>,
    parameters: &Parameters,
    before: &Before,
) -> Result<Option<Vec<String>>, Failure> {
    let Some(old) = &before.alike else { return Ok(Some(Vec::new())) };
    let alike = alike(context, parameters).await?;
    Ok(alike.map(|ids| ids.into_iter().filter(|id| !old.contains(id)).collect()))
}

/// The ids of equal records; none if the domain does not exist.
async fn alike(context: &StepContext<'_>, parameters: &Parameters) -> Result<Option<Vec<String>>, Failure> {
    let Parameters { domain, .. } = parameters;
    let mut wanted = fields(parameters)?;
    let kind = wanted.get("type").and_then(Value::as_str).unwrap_or_default();
    let path = domain_record::all(domain, "domain:read");
    let records = match context.cloud.rows(path, "domain_records", &[("type", kind)]).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        records => records?,
    };
    // The time to live does not distinguish records.
    wanted.remove("ttl");
    let mut ids = Vec::new();
    for record in &records {
        if differing(domain, record, &wanted)?.is_empty() {
            ids.extend(record.get("id").map(id_text));
        }
    }
    Ok(Some(ids))
}
