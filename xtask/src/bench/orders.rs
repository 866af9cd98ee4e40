//! The sagas that the benchmark creates, and the journal of each.

use arcadia_operator::{
    api::saga::{SagaSpec, SagaStatus, StepStatus, Values},
    saga::{
        event::{Event, StepEvent},
        journal,
        order::digest,
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{failure::failed, objects};
use crate::Error;

/// The number of steps of each saga.
pub(super) const STEPS: usize = 5;

/// The work of the steps, which all end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Steps {
    /// No work.
    Nothing,
    /// Each puts a tag on the saga's droplet.
    Tag,
}

/// Sagas of one kind, numbered from 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    name: String,
    /// The work of their steps.
    pub(super) steps: Steps,
}

impl Steps {
    /// Their name in the report.
    pub(super) fn phase(self) -> &'static str {
        match self {
            Self::Nothing => "(a) steps that do nothing",
            Self::Tag => "(b) steps that tag a droplet of the simulated cloud",
        }
    }

    /// The recorded state before a step.
    fn before(self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Tag => json!({ "lacked_it": true }),
        }
    }
}

impl Batch {
    /// Creates a batch with this prefix of names. The tags that its steps put on droplets belong to it.
    pub(super) fn new(name: &str, steps: Steps) -> Self {
        Self { name: name.to_owned(), steps }
    }

    /// The name of a saga.
    pub(super) fn name(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }

    /// A saga as a user creates it.
    pub(super) fn saga(&self, number: u32) -> Value {
        objects::saga(&self.name(number), &self.spec(number))
    }

    /// The tags that its steps put on droplets, one each.
    pub(super) fn tags(&self) -> Vec<String> {
        match self.steps {
            Steps::Nothing => Vec::new(),
            Steps::Tag => (1..=STEPS).map(|step| format!("{}-{step}", self.name)).collect(),
        }
    }

    /// The journal of a saga that succeeds: the status of each write.
    pub(super) fn journal(&self) -> Result<Vec<Value>, Error> {
        let spec: SagaSpec = serde_json::from_value(self.spec(0)).map_err(failed("read an order"))?;
        let mut status = SagaStatus { observed_generation: Some(1), ..SagaStatus::default() };
        let mut note = |event| {
            journal::apply(&mut status, event, Timestamp::now()).map_err(failed("write a journal"))?;
            serde_json::to_value(&status).map_err(failed("write a journal"))
        };
        let steps = spec.steps.iter().map(|step| StepStatus { name: step.name.clone(), ..StepStatus::default() });
        note(Event::Start { steps: steps.collect(), digest: digest(&spec), rollback_of: None })?;
        // The result of one step and the intent of the next share a write.
        let mut writes = Vec::new();
        for step in 0..spec.steps.len() {
            writes.push(note(StepEvent::Begin { before: self.steps.before() }.of(step))?);
            note(StepEvent::Complete { output: Values::new() }.of(step))?;
        }
        writes.push(note(Event::Finish { is_rollback_kind: false })?);
        Ok(writes)
    }

    /// The spec of a saga.
    pub(super) fn spec(&self, number: u32) -> Value {
        let step = match self.steps {
            Steps::Nothing => "Sleep",
            Steps::Tag => "TagResource",
        };
        let with = |index: usize| match self.tags().get(index) {
            None => json!({ "seconds": 0 }),
            Some(tag) => json!({ "tag": tag }),
        };
        let steps: Vec<_> = (0..STEPS)
            .map(|index| json!({ "name": format!("step-{}", index + 1), "step": step, "with": with(index) }))
            .collect();
        json!({
            "kind": "provision",
            "deploymentId": self.name(number),
            "triggeredBy": "system:bench",
            "inputs": { "droplet_provider_id": objects::droplet(number) },
            "steps": steps,
        })
    }
}
