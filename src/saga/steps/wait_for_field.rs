//! `WaitForField`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::common::{NoOutput, any_id, kind_name, text_or_number};
use crate::{
    comparison::{secret::hide_unknown as hide, show::full as shown},
    digitalocean::{Kind, Live, Priority, ResourceKey},
    drift::evaluate::{Finding, compare},
    saga::step::{Failure, Progress, Step, StepContext},
};

/// How many characters of a live value are told.
const MOST_SHOWN: usize = 100;

/// Waits until a field of a live resource has a value. They are compared as drift is: what only differs in how it is
/// written is the same. Fails where there is no such resource or no such field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The resource's kind, such as `Droplet`.
    #[schemars(schema_with = "kind_name")]
    kind: Kind,
    /// The resource's id.
    #[serde(deserialize_with = "text_or_number")]
    #[schemars(schema_with = "any_id")]
    id: String,
    /// The field: one of the kind's, such as `status`, or a dotted path into the document that the API returns.
    #[schemars(length(min = 1, max = 253))]
    field: String,
    /// The value to wait for.
    equals: Value,
    /// How long to wait before it is looked at again, in seconds.
    #[serde(default = "some_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    poll_seconds: u32,
}

fn some_seconds() -> u32 {
    15
}

/// The step.
pub struct WaitForField;

impl Step for WaitForField {
    const NAME: &'static str = "WaitForField";
    const TIMEOUT: Duration = Duration::from_hours(1);
    const IS_PASSIVE: bool = true;

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = ();

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Progress<NoOutput>, Failure> {
        let Parameters { kind, id, field, equals, poll_seconds } = parameters;
        let key = ResourceKey::new(*kind, id.as_str());
        let later = |why: String| {
            let again = Duration::from_secs(u64::from(*poll_seconds));
            let wanted = visible(field, equals);
            Ok(Progress::NotYet { again, why: format!("waiting until {field} of {key} is {wanted}: {why}") })
        };
        let document = match context.cloud.get(&key, Priority::Urgent).await {
            Ok(document) => document.ok_or_else(|| Failure::Permanent(format!("there is no {key}")))?,
            // It waits anyway: nothing has failed that could be tried too often.
            Err(error) if error.retryable() => return later(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        match compare(&Live::parse(&key, &document)?, field, equals) {
            Finding::Matches { .. } => Ok(Progress::Done(NoOutput {})),
            Finding::Differs { live, .. } => later(format!("it is {}", visible(field, &live))),
            Finding::Unknown(why) => later(why),
            Finding::Invalid(why) => Err(Failure::Permanent(format!("{key}: {why}"))),
            Finding::Moot => later("its value is unknown".to_owned()),
        }
    }
}

/// The beginning of a field's value, without credentials.
fn visible(field: &str, value: &Value) -> String {
    let hidden = hide(&json!({ field: value }));
    shown(hidden.get(field).unwrap_or(&Value::Null)).chars().take(MOST_SHOWN).collect()
}
