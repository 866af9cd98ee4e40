//! The plan of a revert: the steps of its saga, and what people should know before.

use std::time::Duration;

use serde_json::{Map, Value};

use super::assess::{Judged, judge};
use super::{Allow, Assessment, Class, Revert, steps};

/// The most steps of a saga.
const MAX_STEPS: usize = 64;

/// How a field is put back.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The class, its reasons and the warnings.
    pub assessment: Assessment,
    /// The steps of the saga, in order. The last one waits until the live value is the recorded one.
    pub steps: Vec<PlannedStep>,
    /// The calls that change something, for people.
    pub calls: Vec<PlannedCall>,
}

/// A step of the saga.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// Its unique name.
    pub name: String,
    /// The kind of step.
    pub step: &'static str,
    /// Its parameters. They hold no credentials.
    pub with: Map<String, Value>,
    /// Whether it cannot be undone.
    pub irreversible: bool,
    /// The timeout, where the default of the step is too short.
    pub timeout: Option<Duration>,
}

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCall {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, with ids.
    pub path: String,
    /// The changes in its body, such as `ttl: 60 -> 3600`. Credentials stand as fingerprints.
    pub changes: Vec<String>,
}

/// A field is not reverted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be reverted.
    #[error("{what} is {class}: {why}")]
    Never {
        /// The field and the resource.
        what: String,
        /// The class.
        class: Class,
        /// The reason and the way out.
        why: String,
    },
    /// The user has to allow more.
    #[error("{what} is {class}: {why} To allow that, set arcadia.cloud/revert={}", needs.annotation())]
    NotAllowed {
        /// The field and the resource.
        what: String,
        /// The class.
        class: Class,
        /// The effect.
        why: String,
        /// The permission that is missing.
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
    let order = steps::Order { revert, record, allow, class: assessment.class };
    let (steps, calls) = order.steps(how).map_err(never)?;
    if steps.len() > MAX_STEPS {
        return Err(never(format!("It needs {} steps, and a saga has at most {MAX_STEPS}.", steps.len())));
    }
    Ok(Plan { assessment, steps, calls })
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
