//! The admission policies that enforce the roles. The API server evaluates them itself, also while the operator is
//! down.
//!
//! - *decisions* and *saga-decisions*: setting, changing or removing a decision needs the verb for it and the user's
//!   own signature;
//! - *cancellations*: stopping an active saga needs a verb;
//! - *orders*: the spec of a saga is immutable and limited in size;
//! - *contents*: only the operator writes the spec and status of a Drift and the journal of a Saga;
//! - *marks*: only the operator sets its marks on a record;
//! - *revert-marks*: only the operator marks a saga as the revert of a Drift;
//! - *decided-by* and *saga-decided-by* (mutating, Kubernetes 1.36 and later): the API server itself signs a decision.
//!
//! Only *cancellations* checks deletions, except those by Kubernetes' own controllers. No policy checks unrelated
//! metadata. So garbage collection, namespace deletion and storage migration work as usual.

mod cancellations;
mod decisions;
mod orders;
mod rule;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec,
};

use self::rule::{DRIFTS, SAGAS, condition, named, never, not_the_operator, on, refusing, text, watched};
use super::installation::{Error, Installation, document, owned};
use crate::api::{annotations, labels};

pub use decisions::{DECISIONS, DecisionAnnotation, Signature};

/// The validating policies. Each is installed under the name of the installation, a dash and this name.
pub const NAMES: [&str; 7] =
    ["decisions", "saga-decisions", "cancellations", "orders", "contents", "marks", "revert-marks"];

/// The validating policies and their bindings.
///
/// # Errors
/// When they cannot be serialized.
pub fn validating(installation: &Installation) -> Result<String, Error> {
    let mut manifest = String::new();
    let specs = [
        decisions::signed_by_those_who_may(installation, DRIFTS),
        decisions::signed_by_those_who_may(installation, SAGAS),
        cancellations::by_those_who_may(installation),
        orders::stay_as_they_are(),
        contents(installation),
        marks(installation),
        revert_marks(installation),
    ];
    for (name, spec) in NAMES.into_iter().zip(specs) {
        let name = format!("{}-{name}", installation.name);
        let policy = ValidatingAdmissionPolicy { metadata: named(&name), spec: Some(spec), status: None };
        let binding = ValidatingAdmissionPolicyBinding {
            metadata: named(&name),
            spec: Some(ValidatingAdmissionPolicyBindingSpec {
                policy_name: Some(name),
                validation_actions: Some(owned(&["Deny"])),
                match_resources: watched(installation),
                ..ValidatingAdmissionPolicyBindingSpec::default()
            }),
        };
        manifest += &document(&policy)?;
        manifest += &document(&binding)?;
    }
    Ok(manifest)
}

/// The policies that sign decisions, and their bindings, for Kubernetes 1.36 and later. In earlier versions people sign
/// decisions, and *decisions* and *saga-decisions* refuse decisions without the user's own name.
///
/// # Errors
/// When they cannot be serialized.
pub fn mutating(installation: &Installation) -> Result<String, Error> {
    Ok(decisions::signing(installation, "decided-by", DRIFTS)?
        + &decisions::signing(installation, "saga-decided-by", SAGAS)?)
}

/// Limits writing of Drifts and of the journals of Sagas to the operator. The CRD makes the
/// spec of a Drift immutable except for the class of its revert; this policy limits who writes that and who creates one.
fn contents(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let differs = "oldObject == null || object.spec != oldObject.spec || object.?status != oldObject.?status";
    let username = installation.username();
    let message = format!(
        "request.resource.resource == '{SAGAS}'\n? 'user ' + request.userInfo.username + ' cannot write the journal of a \
         Saga: only the operator ({username}) writes its status. To resolve a Saga that is Stuck, annotate it with \
         {}'\n: 'user ' + request.userInfo.username + ' cannot write a Drift: only the operator ({username}) creates \
         Drifts and writes their spec and status. To decide a Drift, annotate it with {}'",
        annotations::RESOLVE,
        annotations::ACCEPT,
    );
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![not_the_operator(installation), condition("contents-differ", differs.to_owned())]),
        ..refusing(on(&["drifts", "drifts/status", "sagas/status"], &["CREATE", "UPDATE"]), vec![never(message)])
    }
}

/// Limits setting the mark by which the operator remembers an executed accept. Anyone who could set it could have a
/// drift resolved as Accepted without a decision. Removing it is harmless, and so is a new record with a copied mark:
/// it contains the drift's UID.
fn marks(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let mark = annotations::LAST_ACCEPTED;
    let key = text(mark);
    let differs = format!(
        "object.metadata.?annotations[?{key}].hasValue() && object.metadata.?annotations[?{key}] != \
         oldObject.metadata.?annotations[?{key}]"
    );
    let message = format!(
        "'user ' + request.userInfo.username + ' cannot set the annotation {mark}: only the operator ({}) sets it, to \
         remember an accepted value. Keep its value, or remove it'",
        installation.username(),
    );
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![not_the_operator(installation), condition("the-mark-is-set", differs)]),
        ..refusing(on(&["provisionedresources"], &["UPDATE"]), vec![never(message)])
    }
}

/// Limits marking a saga as the revert of a Drift. While such a saga runs, its record is not compared: anyone who could set
/// the mark could hide drifts.
fn revert_marks(installation: &Installation) -> ValidatingAdmissionPolicySpec {
    let (label, annotation) = (labels::REVERT_OF, annotations::REVERT_DECISION);
    let differs = |map: &str, key: &str| {
        let key = text(key);
        format!(
            "object.metadata.?{map}[?{key}] != (oldObject == null ? optional.none() : oldObject.metadata.?{map}[?{key}])"
        )
    };
    let differs = format!("{} || {}", differs("labels", label), differs("annotations", annotation));
    let message = format!(
        "'user ' + request.userInfo.username + ' cannot set, change or remove the label {label} or the annotation \
         {annotation}: only the operator ({}) sets them, on the Sagas that it creates. To revert a Drift, annotate it \
         with {}'",
        installation.username(),
        annotations::REVERT,
    );
    ValidatingAdmissionPolicySpec {
        match_conditions: Some(vec![not_the_operator(installation), condition("the-mark-differs", differs)]),
        ..refusing(on(&[SAGAS], &["CREATE", "UPDATE"]), vec![never(message)])
    }
}
