//! The step `Approval`.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::annotations::APPROVE_PREFIX,
    saga::step::{Failure, Progress, Step, StepContext},
};

/// Waits until a person approves it by the annotation `arcadia.cloud/approve-<step>` on the saga, with the step's name.
/// The output records who approved it and when. To refuse it, set `spec.cancelRequested`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// A question or instruction for the approver.
    #[serde(default)]
    #[schemars(length(min = 1, max = 300))]
    message: Option<String>,
}

/// The output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// The person who approved it.
    approved_by: String,
    /// The time at which the operator read the approval.
    approved_at: Time,
}

/// A message of a user as a separate sentence, before another one.
fn sentence(message: &str) -> String {
    let end = if message.ends_with(['.', '?', '!', ':']) { " " } else { ". " };
    format!("{message}{end}")
}

pub(super) struct Approval;

impl Step for Approval {
    const NAME: &'static str = "Approval";
    const TIMEOUT: Duration = Duration::from_hours(7 * 24);
    const IS_PASSIVE: bool = true;

    type Parameters = Parameters;
    type Output = Output;
    type Before = ();

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        (): &(),
    ) -> Result<Progress<Output>, Failure> {
        if let Some(by) = context.approved_by {
            return Ok(Progress::Done(Output { approved_by: by.to_owned(), approved_at: Time(context.now) }));
        }
        let (saga, namespace, step) = (context.saga, context.namespace, &context.entry.name);
        let question = parameters.message.as_deref().map(sentence).unwrap_or_default();
        let why = format!(
            "{question}To approve, set your name from kubectl auth whoami: kubectl annotate saga {saga} \
             -n {namespace} {APPROVE_PREFIX}{step}=NAME"
        );
        // The annotation itself requeues the saga, and so does the timeout of the step.
        Ok(Progress::NotYet { again: Self::TIMEOUT, why })
    }
}
