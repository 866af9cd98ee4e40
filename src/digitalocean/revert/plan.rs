//! The plan of a revert: the steps of its saga, and the information for people.

use super::{
    Allow, Assessment, Revert, RevertClass,
    assess::{Judged, judge},
    planned::{ProposedCall, ProposedStep},
    steps::Permitted,
};

/// The maximum number of steps of a saga.
const MAX_STEPS: usize = 64;

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
}

/// Plans the revert of a field of a record.
///
/// # Errors
/// If the field cannot be reverted, or the user has to allow more.
pub fn plan(revert: &Revert<'_>, record: &str, allow: Allow) -> Result<RevertProposal, RevertRefusal> {
    let Judged { assessment, how } = permitted(revert, allow)?;
    let never = |why: String| RevertRefusal::Never { what: what(revert), class: RevertClass::NotRevertible, why };
    let how = how.ok_or_else(|| never("The operator has no step for it; change it in DigitalOcean.".to_owned()))?;
    let permitted = Permitted { revert, record, allow, class: assessment.class };
    let (steps, calls) = permitted.steps(how).map_err(never)?;
    if steps.len() > MAX_STEPS {
        return Err(never(format!("It needs {} steps, and a saga has at most {MAX_STEPS}.", steps.len())));
    }
    Ok(RevertProposal { assessment, steps, calls })
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
    permitted(revert, allow).map(drop)
}

fn permitted(revert: &Revert<'_>, allow: Allow) -> Result<Judged, RevertRefusal> {
    let judged = judge(revert);
    let Assessment { class, why, .. } = &judged.assessment;
    let (what, class, why) = (what(revert), *class, why.clone().unwrap_or_default());
    match Allow::needed(class) {
        None => Err(RevertRefusal::Never { what, class, why }),
        Some(needs) if needs > allow => Err(RevertRefusal::NotAllowed { what, class, why, needs }),
        Some(_) => Ok(judged),
    }
}

fn what(revert: &Revert<'_>) -> String {
    format!("reverting {} of {}", revert.field, revert.document.key())
}
