//! `Fail`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::NoOutput;
use crate::saga::step::{Failure, Progress, Step, StepContext};

/// Fails. For trying out what follows from it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What it says.
    #[schemars(length(min = 1, max = 500))]
    message: String,
    /// Fails in a way that may pass, so that it is tried again.
    #[serde(default)]
    transient: bool,
}

/// The step.
pub struct Fail;

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
