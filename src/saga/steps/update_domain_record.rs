//! The step `UpdateDomainRecord`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    common::{NoOutput, ProviderId, changed_since, nothing_left, unnamed},
    decided::{self, LiveDigest},
    domain_record::{self, CaaTag, differing, fields, resolved, spelled},
};
use crate::{
    digitalocean::ChangeMethod,
    saga::step::{Failure, Progress, Step, StepContext, Undo},
};

/// Updates fields of a domain's record; absent fields are kept. Undone by restoring the earlier values, which is
/// refused if one has been changed since.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The domain name.
    #[serde(skip_serializing)]
    domain: ProviderId,
    /// The id of the record within its domain.
    #[serde(skip_serializing)]
    record_id: ProviderId,
    /// The name within the domain, `@` for the domain itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    name: Option<String>,
    /// The value: an address, a host name (full, with or without its final dot, or relative to the domain) or a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    data: Option<String>,
    /// The time to live, in seconds. All records of one name and type share it, so this changes theirs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    /// The priority, for `MX` and `SRV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    /// The port, for `SRV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The weight, for `SRV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    /// The flags, for `CAA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flags: Option<u8>,
    /// The tag, for `CAA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<CaaTag>,
    /// The digest of the live value that was decided on, for one field. The step fails, before it changes anything, if the
    /// live value is neither this one nor the desired one by then.
    #[serde(default, skip_serializing)]
    live: Option<LiveDigest>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The earlier values of the fields that the step changes.
    fields: Map<String, Value>,
}

pub(super) struct UpdateDomainRecord;

impl Step for UpdateDomainRecord {
    const NAME: &'static str = "UpdateDomainRecord";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn objection(&self, parameters: &Parameters) -> Option<String> {
        let is_one = fields(parameters).is_ok_and(|fields| fields.len() == 1);
        (parameters.live.is_some() && !is_one).then(|| "`live` needs exactly one field to change".to_owned())
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let record = existing(context, parameters).await?;
        let wanted = fields(parameters)?;
        let changed = differing(&parameters.domain, &record, &wanted)?;
        parameters.check_live(&record, &changed)?;
        let was = |field: &String| record.get(field).cloned().unwrap_or_default();
        Ok(Before { fields: changed.into_iter().map(|field| (field.clone(), was(field))).collect() })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let record = existing(context, parameters).await?;
        let wanted = fields(parameters)?;
        let changed = differing(&parameters.domain, &record, &wanted)?;
        if !changed.is_empty() {
            parameters.check_live(&record, &changed)?;
            write(context, parameters, &record, resolved(&parameters.domain, wanted, &record)).await?;
        }
        Ok(Progress::Done(NoOutput {}))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        if before.fields.is_empty() {
            return Ok(Undo::Done);
        }
        let record = existing(context, parameters).await?;
        let wanted = fields(parameters)?;
        let moved = differing(&parameters.domain, &record, &wanted)?;
        let mut restored = before.fields.clone();
        let left = differing(&parameters.domain, &record, &before.fields)?;
        if let Some(field) = left.iter().find(|field| moved.contains(*field)) {
            return Err(changed_since(field, &parameters.record()));
        }
        restored.retain(|field, _| left.contains(&field));
        if restored.is_empty() {
            return Ok(nothing_left(output));
        }
        write(context, parameters, &record, restored).await?;
        Ok(Undo::Done)
    }
}

impl Parameters {
    /// Refuses a value other than the decided and the desired one.
    fn check_live(&self, record: &Value, changed: &[&String]) -> Result<(), Failure> {
        let live = |field: &str| record.get(field).unwrap_or(&Value::Null);
        changed.iter().try_for_each(|field| decided::check(self.live.as_ref(), field, live(field), &self.record()))
    }

    /// The record, for people.
    fn record(&self) -> String {
        format!("record {} of {}", self.record_id, self.domain)
    }
}

async fn existing(context: &StepContext<'_>, parameters: &Parameters) -> Result<Value, Failure> {
    let Parameters { domain, record_id, .. } = parameters;
    let record = domain_record::get(context, domain, record_id.as_str()).await?;
    record.ok_or_else(|| Failure::Permanent(format!("there is no record {record_id} of {domain}")))
}

/// Updates some fields.
async fn write(
    context: &StepContext<'_>,
    parameters: &Parameters,
    record: &Value,
    fields: Map<String, Value>,
) -> Result<(), Failure> {
    let fields = spelled(fields, record);
    let path = domain_record::one(&parameters.domain, parameters.record_id.as_str(), "domain:update");
    let answer = context.cloud.send(ChangeMethod::Patch, path, Some(&Value::Object(fields))).await?;
    answer.pointer("/domain_record/id").map(drop).ok_or_else(|| unnamed("record"))
}
