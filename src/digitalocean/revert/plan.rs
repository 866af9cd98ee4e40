//! The plan of a revert: the steps of its saga, and the information for people.

use super::{
    Allow, Assessment, Revert, RevertClass,
    assess::{Judged, judge},
    planned::{ProposedCall, ProposedStep},
    steps::{Permitted, Steps},
};
use crate::{comparison::secret::hide_text, digitalocean::kinds::How};

/// The maximum number of steps of a saga.
const MAX_STEPS: usize = 64;

/// The maximum length of a field in the parameters of a step, in bytes.
const LONGEST_FIELD: usize = 253;

/// The maximum number of changes of a call that a Drift shows.
const MAX_CHANGES: usize = 64;

/// The plan to revert a field.
#[derive(Clone, Debug, PartialEq)]
pub struct RevertProposal {
    /// The class, its reasons and the warnings.
    pub assessment: Assessment,
    /// The steps of the saga, in order. The last one waits until the live value is the recorded one.
    pub steps: Vec<ProposedStep>,
    /// The calls that change something, for people.
    pub calls: Vec<ProposedCall>,
}

/// The reason why a field is not reverted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevertRefusal {
    /// It cannot be reverted.
    #[error("{what} is {class}: {why}")]
    Never {
        /// The field and the resource.
        what: String,
        /// The class.
        class: RevertClass,
        /// The reason and the alternative.
        why: String,
    },
    /// The user has to allow more effects.
    #[error("{what} is {class}: {why} To allow that, set arcadia.cloud/revert={}", needs.annotation())]
    NotAllowed {
        /// The field and the resource.
        what: String,
        /// The class.
        class: RevertClass,
        /// The effect.
        why: String,
        /// The missing permission.
        needs: Allow,
    },
}

impl RevertRefusal {
    /// The class of the revert.
    #[must_use]
    pub fn class(&self) -> RevertClass {
        match self {
            Self::Never { class, .. } | Self::NotAllowed { class, .. } => *class,
        }
    }

    fn assessment(self) -> Assessment {
        let (Self::Never { class, why, .. } | Self::NotAllowed { class, why, .. }) = self;
        Assessment { class, why: Some(why), warnings: Vec::new(), may_rise: false }
    }
}

/// The class of a revert, in its direction. It is the class that a decision finds: a revert whose steps cannot be
/// planned is not revertible from the start.
#[must_use]
pub fn assess(revert: &Revert<'_>) -> Assessment {
    match proposal(revert, "") {
        Ok((proposal, _)) => proposal.assessment,
        Err(refused) => refused.assessment(),
    }
}

/// Plans the revert of a field of a record.
///
/// # Errors
/// If the field cannot be reverted, or the user has to allow more.
pub fn plan(revert: &Revert<'_>, record: &str, allow: Allow) -> Result<RevertProposal, RevertRefusal> {
    let Judged { assessment, how } = judge(revert);
    let what = what(revert);
    let never = |why: String| RevertRefusal::Never {
        what: what.clone(),
        class: RevertClass::NotRevertible,
        // It may quote a recorded value.
        why: hide_text(&why),
    };
    let planned = match how {
        // Before the permission: the refusal of an impossible revert must not name one.
        Some(how) => Some(compose(&Permitted { revert, record, allow, class: assessment.class }, how).map_err(never)?),
        None => None,
    };
    permit(revert, &assessment, allow)?;
    let (steps, calls) =
        planned.ok_or_else(|| never("The operator has no step for it; change it in DigitalOcean.".to_owned()))?;
    Ok(RevertProposal { assessment, steps, calls })
}

/// The steps of a saga, and their calls.
fn compose(permitted: &Permitted<'_>, how: &How) -> Result<Steps, String> {
    if permitted.revert.field.len() > LONGEST_FIELD {
        return Err(format!(
            "Its path is longer than {LONGEST_FIELD} bytes, the maximum of a step; record a map instead."
        ));
    }
    let (steps, mut calls) = permitted.steps(how)?;
    for call in &mut calls {
        shorten(&mut call.changes);
    }
    if steps.len() > MAX_STEPS {
        return Err(format!("It needs {} steps, and a saga has at most {MAX_STEPS}.", steps.len()));
    }
    Ok((steps, calls))
}

/// Plans the revert of a field of a record with the permission that it needs and no more, as the user would allow it.
///
/// # Errors
/// If the field cannot be reverted.
pub fn proposal(revert: &Revert<'_>, record: &str) -> Result<(RevertProposal, Allow), RevertRefusal> {
    let needs = Allow::needed(judge(revert).assessment.class).unwrap_or_default();
    Ok((plan(revert, record, needs)?, needs))
}

/// Checks that the user allows a revert. The step that carries it out checks it again.
///
/// # Errors
/// If the field cannot be reverted, or the user has to allow more.
pub(crate) fn check(revert: &Revert<'_>, allow: Allow) -> Result<(), RevertRefusal> {
    permit(revert, &judge(revert).assessment, allow)
}

/// Replaces the last changes by their number, if there are too many.
fn shorten(changes: &mut Vec<String>) {
    if changes.len() > MAX_CHANGES {
        let more = changes.len() - (MAX_CHANGES - 1);
        changes.truncate(MAX_CHANGES - 1);
        changes.push(format!("and {more} more"));
    }
}

fn permit(revert: &Revert<'_>, assessment: &Assessment, allow: Allow) -> Result<(), RevertRefusal> {
    let Assessment { class, why, .. } = assessment;
    let (what, class, why) = (what(revert), *class, why.clone().unwrap_or_default());
    match Allow::needed(class) {
        None => Err(RevertRefusal::Never { what, class, why }),
        Some(needs) if needs > allow => Err(RevertRefusal::NotAllowed { what, class, why, needs }),
        Some(_) => Ok(()),
    }
}

fn what(revert: &Revert<'_>) -> String {
    format!("reverting {} of {}", revert.field, revert.document.key())
}
