//! The step `Fail`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::NoOutput;
use crate::saga::step::{Failure, Progress, Step, StepContext};

/// Fails, to try out the reaction of a saga.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The error message.
    #[schemars(length(min = 1, max = 500))]
    message: String,
    /// Fail temporarily, so that the step is retried.
    #[serde(default)]
    transient: bool,
}

pub(super) struct Fail;

impl Step for Fail {
    const NAME: &'static str = "Fail";
    const IS_PASSIVE: bool = true;

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = ();

    async fn run(&self, _: &StepContext<'_>, parameters: &Parameters, (): &()) -> Result<Progress<NoOutput>, Failure> {
        let message = parameters.message.clone();
        Err(if parameters.transient { Failure::Transient(message) } else { Failure::Permanent(message) })
    }
}
