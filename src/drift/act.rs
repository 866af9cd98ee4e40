//! Executes a plan: each write is bound to the version of the object that the plan was made for.

mod accepting;
mod closing;
mod deciding;
mod executor;
mod opening;
mod record_status;
mod reverting;
mod standing;

use std::collections::HashSet;

use tracing::warn;

use self::executor::is_refusal;
use super::{
    plan::{PlannedWrite, waiting},
    shown::named,
};
use crate::{api::drift::awaiting_decision, kube_ext::call::Error};

pub(super) use self::executor::Executor;

/// The outcome of the writes of a plan.
#[derive(Debug, Default)]
pub(super) struct WriteOutcome {
    /// At least one write was made.
    pub wrote: bool,
    /// Writes that the API server refused.
    pub refused: Vec<RefusedWrite>,
}

/// A write that the API server refused.
#[derive(Debug)]
pub(super) struct RefusedWrite {
    pub field: String,
    pub error: Error,
}

impl WriteOutcome {
    /// The refusals as messages for people.
    #[must_use]
    pub(super) fn messages(&self) -> Vec<String> {
        self.refused.iter().map(|RefusedWrite { field, error }| format!("{}: {error}", named(field))).collect()
    }
}

impl Executor<'_> {
    /// Makes all writes. A refused write skips the later writes of its drift, and no others.
    ///
    /// # Errors
    /// If an object changed in the meantime, or the API server could not be reached.
    pub(super) async fn carry_out(&mut self, writes: Vec<PlannedWrite>) -> Result<WriteOutcome, Error> {
        let mut outcome = WriteOutcome::default();
        let mut failed: HashSet<Box<str>> = HashSet::new();
        for write in writes {
            let field = self.field_of(&write);
            // A new drift waits until the earlier one of its field is closed.
            let waits = match &write {
                PlannedWrite::Open { .. } => {
                    failed.iter().any(|name| self.known(name).is_some_and(|it| *it.field == *field))
                }
                write => write.drift().is_some_and(|drift| failed.contains(drift)),
            };
            if waits {
                continue;
            }
            let drift = write.drift().map(Box::from);
            match self.take(write, &mut outcome, &mut failed).await {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => {
                    warn!(record = %self.key, field, %error, "the API server refused a write about one field; the other fields continue");
                    failed.extend(drift);
                    outcome.refused.push(RefusedWrite { field, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Makes one write. The index is updated with the response at once.
    async fn take(
        &mut self,
        write: PlannedWrite,
        outcome: &mut WriteOutcome,
        failed: &mut HashSet<Box<str>>,
    ) -> Result<(), Error> {
        match write {
            PlannedWrite::Adopt { adoptions, in_doubt } => {
                let count = adoptions.len();
                let refused = self.adopt(adoptions, in_doubt).await?;
                outcome.wrote |= refused.len() < count;
                for (adoption, error) in refused {
                    failed.insert(adoption.drift.clone());
                    // An acceptance that stands continues, and the record names the refusal.
                    if !adoption.stands {
                        outcome.wrote |= self.wait_if_new(&adoption.drift, waiting(&error.to_string())).await?;
                    }
                    outcome.refused.push(RefusedWrite { field: adoption.field, error });
                }
                return Ok(());
            }
            PlannedWrite::Open { field, episode, shown } => self.open(field, episode, *shown).await?,
            PlannedWrite::Relabel { drift, change } => self.relabel(&drift, &change).await?,
            PlannedWrite::Refresh { drift, shown } => self.refresh(&drift, *shown).await?,
            PlannedWrite::Reassess { drift, revert } => self.reassess(&drift, *revert).await?,
            PlannedWrite::Close { drift, why, accepted } => {
                self.close(&drift, why, accepted.map(|accepted| *accepted)).await?;
            }
            PlannedWrite::Stand { drift, accepted, until, patch } => {
                self.stand(&drift, *accepted, until, patch.map(|patch| *patch)).await?;
            }
            PlannedWrite::End { drift, why } => self.end(&drift, why).await?,
            PlannedWrite::Revert { drift, saga } => self.revert(&drift, *saga).await?,
            PlannedWrite::Follow { drift, saga, stuck } => self.follow(&drift, &saga, stuck).await?,
            PlannedWrite::CancelRevert { drift, saga } => self.cancel_revert(&drift, &saga).await?,
            PlannedWrite::FailRevert { drift, message } => self.fail_revert(&drift, message).await?,
            PlannedWrite::LoseRevert { drift, saga } => self.lose_revert(&drift, &saga).await?,
            PlannedWrite::ShowPlan { drift, plan, needs } => self.show_plan(&drift, *plan, needs).await?,
            PlannedWrite::Reaffirm { drift, until } => self.reaffirm(&drift, until).await?,
            PlannedWrite::RestoreDecision { drift } => self.restore_decision(&drift).await?,
            PlannedWrite::Refuse { drift, message } => self.refuse(&drift, message).await?,
            PlannedWrite::Wait { drift, message } => self.wait(&drift, message).await?,
            PlannedWrite::Await { drift } => self.set_condition(&drift, "reopening", awaiting_decision()).await?,
            PlannedWrite::Answer { drift, message } => self.answer(&drift, message).await?,
            PlannedWrite::DropDecision { drift } => self.drop_decision(&drift).await?,
            PlannedWrite::Prune { drift } => self.prune(&drift).await?,
        }
        outcome.wrote = true;
        Ok(())
    }

    fn field_of(&self, write: &PlannedWrite) -> String {
        match write {
            PlannedWrite::Open { field, .. } => field.clone(),
            write => {
                let drift = write.drift().and_then(|name| self.known(name));
                drift.map(|drift| drift.field.to_string()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests;
