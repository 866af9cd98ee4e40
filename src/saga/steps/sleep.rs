//! The step `Sleep`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::NoOutput;
use crate::saga::{
    clock::{has_passed, left},
    step::{Failure, Progress, Step, StepContext},
};

/// Waits for a fixed time: for tests, and for processes without a status.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The duration in seconds.
    #[schemars(range(min = 0, max = 604_800))]
    seconds: u32,
}

pub(super) struct Sleep;

impl Step for Sleep {
    const NAME: &'static str = "Sleep";
    const TIMEOUT: Duration = Duration::from_hours(8 * 24);
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
        let time = Duration::from_secs(u64::from(parameters.seconds));
        let began = context.began();
        if time.is_zero() || has_passed(began, time, context.now) {
            return Ok(Progress::Done(NoOutput {}));
        }
        let again = left(began, time, context.now);
        Ok(Progress::NotYet {
            again,
            why: format!(
                "sleeping for {} s, until {}",
                parameters.seconds,
                (began + time).strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
        })
    }
}
