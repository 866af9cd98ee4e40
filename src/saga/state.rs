//! Queries on a saga's status: its direction, its current step, its remaining room. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use crate::{
    api::{
        conditions,
        saga::{MAX_OUTPUT_BYTES, MAX_STATUS_BYTES, SagaPhase, SagaStatus, StepState, StepStatus},
    },
    comparison::show::cut,
};

/// The maximum length of a message in the journal, in bytes.
pub(super) const LONGEST_MESSAGE: usize = 600;

/// The maximum length of the message that refuses a saga, in bytes. The journal is empty otherwise.
pub(super) const LONGEST_REFUSAL: usize = 6000;

/// The maximum length of the text that a step waits for, in bytes.
pub(crate) const LONGEST_WAIT: usize = 400;

/// The size reserved for undoing one step, as JSON.
const UNDO_BYTES: usize = 66;

/// The size reserved for the end of the saga, as JSON: the messages of two conditions, the cause of the rollback, and the
/// wait of the last step.
const END_BYTES: usize = 3 * LONGEST_MESSAGE + LONGEST_WAIT + 300;

/// The size of an empty map, always reserved.
pub(super) const NOTHING_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Its steps are executed.
    Forward,
    /// Its steps are undone.
    Back,
}

/// The direction of this saga, or its direction before it became stuck.
#[must_use]
pub(crate) fn direction(status: &SagaStatus) -> Direction {
    let undoes = |entry: &StepStatus| matches!(entry.state, StepState::Undoing | StepState::Undone | StepState::Left);
    // A saga can become stuck between its rollback and the first undone step.
    let is_back = status.phase == SagaPhase::RollingBack
        || status.rolled_back_by.is_some()
        || status.rollback_of_uid.is_some()
        || status.steps.iter().any(undoes);
    if is_back { Direction::Back } else { Direction::Forward }
}

/// The next step in the saga's direction.
#[must_use]
pub(crate) fn current(status: &SagaStatus) -> Option<usize> {
    match direction(status) {
        Direction::Forward => {
            status.steps.iter().position(|entry| !matches!(entry.state, StepState::Done | StepState::Skipped))
        }
        Direction::Back => status.steps.iter().rposition(|entry| {
            matches!(entry.state, StepState::Running | StepState::Done | StepState::Failed | StepState::Undoing)
        }),
    }
}

/// Returns true if the journal has room for this many bytes, beside the size reserved for undoing all steps.
#[must_use]
pub(crate) fn has_room(status: &SagaStatus, bytes: usize) -> bool {
    let kept = status.steps.len().saturating_mul(UNDO_BYTES).saturating_add(END_BYTES);
    let taken = json_size(status).saturating_add(kept);
    bytes <= NOTHING_BYTES || (bytes <= MAX_OUTPUT_BYTES && taken.saturating_add(bytes) <= MAX_STATUS_BYTES)
}

/// The condition of this type.
#[must_use]
pub(crate) fn condition<'s>(status: &'s SagaStatus, kind: &str) -> Option<&'s Condition> {
    conditions::find(&status.conditions, kind)
}

/// Truncates a text to this many bytes.
#[must_use]
pub(crate) fn short(mut text: String, bytes: usize) -> String {
    text.truncate(cut(&text, bytes).len());
    text
}

/// The size of a value as JSON, in bytes.
pub(crate) fn json_size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_takes_an_output_up_to_its_own_limit_and_that_of_the_journal() {
        let empty = SagaStatus::default();
        assert!(has_room(&empty, MAX_OUTPUT_BYTES) && !has_room(&empty, MAX_OUTPUT_BYTES + 1));
        let full = SagaStatus { spec_digest: Some("x".repeat(MAX_STATUS_BYTES)), ..SagaStatus::default() };
        assert!(has_room(&full, NOTHING_BYTES) && !has_room(&full, NOTHING_BYTES + 1));
        // The undoing of each step has its reserve.
        let room = |steps: usize| {
            let status = SagaStatus { steps: vec![StepStatus::default(); steps], ..SagaStatus::default() };
            let text = MAX_STATUS_BYTES.saturating_sub(json_size(&status) + END_BYTES + NOTHING_BYTES + 100);
            has_room(&SagaStatus { spec_digest: Some("x".repeat(text)), ..status }, NOTHING_BYTES + 1)
        };
        assert_eq!([room(0), room(1), room(3)], [true, true, false]);
    }
}
