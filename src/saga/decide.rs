//! Decides the next command for a saga. Pure: values in, one command out. The runner executes the command and decides
//! again.

#![warn(clippy::wildcard_enum_match_arm)]

mod back;
mod forward;

use std::time::Duration;

use self::{back::back, forward::forward};
use super::{
    command::Command,
    event::{Event, Why},
    order::Ordered,
    state::{Direction, current, direction},
    view::{CallState, Intervention, SagaView},
};
use crate::api::{
    conditions::ConditionReason,
    saga::{SagaPhase, StepStatus},
};

/// Decides the next command.
#[must_use]
pub(crate) fn decide(view: &SagaView<'_>) -> Command {
    let status = view.status;
    if view.intervention.is_some() && status.phase != SagaPhase::Stuck {
        let is_handled = status
            .resolutions
            .last()
            .is_some_and(|last| view.intervention.is_some_and(|intervention| intervention.is(last)));
        let refusal =
            (!is_handled).then(|| "resolving the saga: its phase is not Stuck; nothing was changed".to_owned());
        return Command::Forget { refusal };
    }
    match status.phase {
        SagaPhase::Pending => pending(view),
        SagaPhase::Running | SagaPhase::RollingBack => {
            if let Some(why) = unfit(view) {
                return Command::Note(Event::Stick { why, stop: None });
            }
            // A call that the journal announces is made even if the saga was suspended since.
            if let Some(pause) = pause(view).filter(|_| view.call_state != CallState::Intent) {
                return pause;
            }
            if status.phase == SagaPhase::Running { forward(view) } else { back(view) }
        }
        SagaPhase::Stuck => stuck(view),
        SagaPhase::Succeeded | SagaPhase::RolledBack | SagaPhase::Failed => finished(view),
    }
}

fn pending(view: &SagaView<'_>) -> Command {
    let refuse =
        |reason: ConditionReason, message: String| Command::Note(Event::Refuse { why: Why { reason, message } });
    if view.is_deleting {
        return if view.has_finalizer { Command::LetGo } else { Command::Rest(None) };
    }
    if view.spec.cancel_requested {
        return refuse(ConditionReason::Cancelled, "cancelled before the first step; nothing was changed".to_owned());
    }
    let invalid = |why: &str| refuse(ConditionReason::InvalidOrder, format!("{why}; nothing was changed"));
    let order = match view.order {
        Ok(order) => order,
        Err(why) => return invalid(why),
    };
    let objection = match &view.undoes {
        Some(undoes) => undoes.refusal(order),
        None => order.objections().err().map(|why| why.to_string()),
    };
    if let Some(why) = objection {
        return invalid(&why);
    }
    if let Some(pause) = pause(view) {
        return pause;
    }
    if let Some(other) = view.waits_for {
        let key = view.spec.concurrency_key.as_deref().or(view.spec.deployment_id.as_deref()).unwrap_or_default();
        if view.status.waiting_for_saga.as_deref() == Some(other) {
            return Command::Rest(None);
        }
        return Command::Note(Event::Hold { other: other.to_owned(), key: key.to_owned() });
    }
    let is_passive = view.undoes.is_none() && order.steps.iter().all(|ordered| ordered.step.is_passive());
    if !view.has_finalizer && !is_passive {
        return Command::Hold;
    }
    let rollback_of = view.undoes.as_ref().map(|undoes| undoes.uid.to_owned());
    let new = |ordered: &Ordered| StepStatus { name: ordered.name.clone(), ..StepStatus::default() };
    let steps =
        view.undoes.as_ref().map_or_else(|| order.steps.iter().map(new).collect(), |undoes| undoes.steps.to_vec());
    Command::Note(Event::Start { steps, digest: view.digest.to_owned(), rollback_of })
}

/// The command of a suspended saga: wait. Deleting a saga resumes it, so that no deletion waits for a person.
fn pause(view: &SagaView<'_>) -> Option<Command> {
    match (view.spec.suspend && !view.is_deleting, view.status.suspended_at.is_some()) {
        (true, false) => Some(Command::Note(Event::Suspend)),
        (true, true) => Some(Command::Rest(None)),
        (false, true) => Some(Command::Note(Event::Unsuspend)),
        (false, false) => None,
    }
}

/// The reason why a started saga cannot be resumed.
fn unfit(view: &SagaView<'_>) -> Option<Why> {
    if view.status.spec_digest.as_deref() != Some(view.digest) {
        let message = "the spec changed after the saga started; restore `steps` and `inputs` and annotate the saga \
                       with arcadia.cloud/resolve=retry, or abandon";
        return Some(Why { reason: ConditionReason::OrderChanged, message: message.to_owned() });
    }
    let why = match view.order {
        Ok(order) if order.steps.len() == view.status.steps.len() => return None,
        Ok(_) => "the number of steps differs from the journal",
        Err(why) => why,
    };
    Some(Why {
        reason: ConditionReason::InvalidOrder,
        message: format!("{why}; the saga was started and cannot be resumed"),
    })
}

fn stuck(view: &SagaView<'_>) -> Command {
    let index = current(view.status);
    match view.intervention {
        None => pause(view).unwrap_or(Command::Rest(None)),
        Some(Intervention::Choose(choice, resolution)) => {
            Command::Note(Event::Resolve { resolution: resolution.clone(), choice: *choice })
        }
        Some(Intervention::Adopt(id, resolution)) => match (index, direction(view.status)) {
            (Some(index), Direction::Forward) => Command::Adopt(index, id.clone(), resolution.clone()),
            (None, Direction::Forward | Direction::Back) | (Some(_), Direction::Back) => Command::Forget {
                refusal: Some("adopting a resource: the step is being undone, so nothing can be adopted".to_owned()),
            },
        },
        Some(Intervention::Unknown(word)) => Command::Forget {
            refusal: Some(format!("arcadia.cloud/resolve must be retry, skip or abandon, not {word:?}")),
        },
    }
}

fn finished(view: &SagaView<'_>) -> Command {
    // The journal holds the state that undoing needs.
    if view.undone_by.is_some() {
        return Command::Rest(None);
    }
    if view.is_deleting {
        return if view.has_finalizer { Command::LetGo } else { Command::Rest(None) };
    }
    let is_news = view.status.observed_generation != Some(view.generation);
    if is_news && view.status.phase == SagaPhase::Succeeded && view.spec.cancel_requested {
        return Command::RefuseCancel;
    }
    // Suspension stops every clock.
    if view.spec.suspend {
        return Command::Rest(None);
    }
    let Some(ttl) = view.spec.ttl_seconds_after_finished else { return Command::Rest(None) };
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or_default());
    let Some(finished) = &view.status.finished_at else { return Command::Rest(None) };
    match view.left(finished.0, ttl) {
        Duration::ZERO => Command::Expire,
        left => Command::Rest(Some(left)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a test names only the outcome that it expects")]
#[cfg(test)]
mod tests;
