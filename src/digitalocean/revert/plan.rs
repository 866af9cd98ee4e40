//! The plan of a revert: the steps of its saga, and the information for people.

use super::{
    Allow, Assessment, Class, Revert,
    assess::{Judged, judge},
    planned::{PlannedCall, PlannedStep},
    steps::Permitted,
};

/// The maximum number of steps of a saga.
const MAX_STEPS: usize = 64;

/// The plan to revert a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The class, its reasons and the warnings.
    pub assessment: Assessment,
    /// The steps of the saga, in order. The last one waits until the live value is the recorded one.
    pub steps: Vec<PlannedStep>,
    /// The calls that change something, for people.
    pub calls: Vec<PlannedCall>,
}

/// The reason why a field is not reverted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be reverted.
    #[error("{what} is {class}: {why}")]
    Never {
        /// The field and the resource.
        what: String,
        /// The class.
        class: Class,
        /// The reason and the alternative.
        why: String,
    },
    /// The user has to allow more effects.
    #[error("{what} is {class}: {why} To allow that, set arcadia.cloud/revert={}", needs.annotation())]
    NotAllowed {
        /// The field and the resource.
        what: String,
        /// The class.
        class: Class,
        /// The effect.
        why: String,
        /// The missing permission.
        needs: Allow,
    },
}

impl Refused {
    /// The class of the revert.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Never { class, .. } | Self::NotAllowed { class, .. } => *class,
        }
    }
}

/// Plans the revert of a field of a record.
///
/// # Errors
/// If the field cannot be reverted, or the user has to allow more.
pub fn plan(revert: &Revert<'_>, record: &str, allow: Allow) -> Result<Plan, Refused> {
    let Judged { assessment, how } = permitted(revert, allow)?;
    let never = |why: String| Refused::Never { what: what(revert), class: Class::NotRevertible, why };
    let how = how.ok_or_else(|| never("The operator has no step for it; change it in DigitalOcean.".to_owned()))?;
    let permitted = Permitted { revert, record, allow, class: assessment.class };
    let (steps, calls) = permitted.steps(how).map_err(never)?;
    if steps.len() > MAX_STEPS {
        return Err(never(format!("It needs {} steps, and a saga has at most {MAX_STEPS}.", steps.len())));
    }
    Ok(Plan { assessment, steps, calls })
}

/// Plans the revert of a field of a record with the permission that it needs and no more, as the user would allow it.
///
/// # Errors
/// If the field cannot be reverted.
pub fn proposal(revert: &Revert<'_>, record: &str) -> Result<(Plan, Allow), Refused> {
    let needs = Allow::needed(judge(revert).assessment.class).unwrap_or_default();
    Ok((plan(revert, record, needs)?, needs))
}

/// Checks that the user allows a revert. The step that carries it out checks it again.
///
/// # Errors
/// If the field cannot be reverted, or the user has to allow more.
pub(crate) fn check(revert: &Revert<'_>, allow: Allow) -> Result<(), Refused> {
    permitted(revert, allow).map(drop)
}

fn permitted(revert: &Revert<'_>, allow: Allow) -> Result<Judged, Refused> {
    let judged = judge(revert);
    let Assessment { class, why, .. } = &judged.assessment;
    let (what, class, why) = (what(revert), *class, why.clone().unwrap_or_default());
    match Allow::needed(class) {
        None => Err(Refused::Never { what, class, why }),
        Some(needs) if needs > allow => Err(Refused::NotAllowed { what, class, why, needs }),
        Some(_) => Ok(judged),
    }
}

fn what(revert: &Revert<'_>) -> String {
    format!("reverting {} of {}", revert.field, revert.document.key())
}
