//! The step `WaitForField`.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    common::{NoOutput, also_null, any_id, kind_name, text_or_number},
    decided::DIGEST,
    record::{self, NAME},
};
use crate::{
    comparison::{secret, show::full as shown},
    digitalocean::{Error, FieldSet, Kind, ResourceKey},
    drift::finding::{Finding, compare},
    saga::step::{Failure, Progress, Step, StepContext, has_passed},
};

/// The time after which a verification ends if the resource cannot be read. It is shorter than the timeout of verifications.
const UNREAD: Duration = Duration::from_mins(4);

/// The maximum length of a live value in messages, in characters.
const MOST_SHOWN: usize = 100;

/// Waits until a field of a live resource has a value. Values are normalized as in drift detection. Fails if the
/// resource or the field does not exist.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The kind of the resource, such as `Droplet`.
    #[schemars(schema_with = "kind_name")]
    kind: Kind,
    /// The id of the resource.
    #[serde(deserialize_with = "text_or_number")]
    #[schemars(schema_with = "any_id")]
    id: String,
    /// The field: one of the kind's fields, such as `status`, or a dotted path into the API's document.
    #[schemars(length(min = 1, max = 253))]
    field: String,
    /// The value to wait for, unless `record` is set.
    #[serde(default, deserialize_with = "also_null")]
    equals: Option<Value>,
    /// The name of the record of the resource, to wait for the desired value that it has for the field.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    record: Option<String>,
    /// The digest of the desired value of the record that is waited for. The wait ends without a failure if the
    /// desired value of the record changes or is removed, or if the resource cannot be read after 4 minutes: the operator
    /// compares the field after a revert.
    #[serde(default)]
    #[schemars(regex(pattern = DIGEST))]
    digest: Option<String>,
    /// The poll interval, in seconds.
    #[serde(default = "some_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    poll_seconds: u32,
}

fn some_seconds() -> u32 {
    15
}

pub(super) struct WaitForField;

impl Step for WaitForField {
    const NAME: &'static str = "WaitForField";
    const TIMEOUT: Duration = Duration::from_hours(1);
    const IS_PASSIVE: bool = true;

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = ();

    fn objection(&self, parameters: &Parameters) -> Option<String> {
        let is_one = parameters.equals.is_some() != parameters.record.is_some();
        if !is_one {
            return Some("`equals` or `record` must be set, and not both".to_owned());
        }
        let is_alone = parameters.digest.is_some() && parameters.record.is_none();
        is_alone.then(|| "`digest` needs `record`".to_owned())
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { kind, id, field, equals, record, digest, poll_seconds } = parameters;
        let key = ResourceKey::new(*kind, id.as_str());
        let record = match record {
            Some(name) => Some(record::about(context, name, &key).await?),
            None => None,
        };
        let equals = match (equals, &record, digest) {
            (Some(equals), ..) => equals.clone(),
            (None, Some(record), None) => record::desired_value(context, record, field).await?,
            (None, Some(record), Some(decided)) => {
                let desired = record::desired(context, record, field).await?;
                match desired.filter(|desired| secret::digest(desired) == *decided) {
                    Some(desired) => desired,
                    None => return Ok(Progress::Done(NoOutput {})),
                }
            }
            (None, None, _) => Value::Null,
        };
        let again = Duration::from_secs(u64::from(*poll_seconds));
        let fields = FieldSet::of_values(*kind, [(field.as_str(), &equals)]);
        let live = match context.cloud.live(&key, fields).await {
            Ok(live) => live.ok_or_else(|| Failure::Permanent(format!("there is no {key}")))?,
            // The step waits anyway, so a failed read counts as no attempt. Without calls, it keeps its place in the line.
            Err(error) if error.retryable() || error.may_have_happened() || error.status() == Some(401) => {
                // The operator compares the field after a revert, so an unreadable API does not undo it.
                if digest.is_some() && has_passed(context.began(), UNREAD, Timestamp::now()) {
                    return Ok(Progress::Done(NoOutput {}));
                }
                if let Error::NoBudget { .. } = error {
                    return Err(error.into());
                }
                return Ok(Progress::NotYet { again, why: format!("waiting for {field} of {key}: {error}") });
            }
            Err(error) => return Err(error.into()),
        };
        let live = record.as_ref().map_or_else(|| live.clone(), |record| live.beside(record::beside(record)));
        let later = |why: String| {
            let wanted = visible(&live.hide(field, &equals));
            Ok(Progress::NotYet { again, why: format!("waiting until {field} of {key} is {wanted}: {why}") })
        };
        match compare(&live, field, &equals) {
            Finding::Matches => Ok(Progress::Done(NoOutput {})),
            Finding::Differs { live, .. } => later(format!("it is {}", visible(&live))),
            Finding::Unknown(why) => later(why),
            Finding::Invalid(why) => Err(Failure::Permanent(format!("{key}: {why}"))),
            Finding::Moot => later("its value is unknown".to_owned()),
        }
    }
}

/// The start of a value without credentials.
fn visible(hidden: &Value) -> String {
    shown(hidden).chars().take(MOST_SHOWN).collect()
}
