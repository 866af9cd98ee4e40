//! A Drift on the command line. It is read leniently, since an operator of another version may have more or fewer
//! fields. Missing fields are shown as missing.

use jiff::Timestamp;
use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::Value;

use super::text::one_line;
use crate::{
    api::{
        DriftPhase, annotations,
        conditions::{self, ConditionReason},
        drift::EXISTS,
        labels,
    },
    comparison::show,
    digitalocean::revert::{self, Allow},
};

/// The value of the annotation that only shows the steps of a revert.
pub(super) const PLAN: &str = "plan";
/// The columns of a value in a list of drifts.
const COLUMN: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DriftView {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) resource_version: Option<String>,
    /// The name of the record.
    pub(super) record: String,
    pub(super) kind: String,
    pub(super) id: String,
    /// The recorded field, in full and in short form.
    pub(super) field_name: String,
    pub(super) field: String,
    pub(super) episode: i64,
    /// The label of the change.
    pub(super) change: String,
    /// The desired value, in full and in short form.
    pub(super) expected: String,
    pub(super) expected_short: String,
    /// The live value now, in full and in short form.
    pub(super) actual: String,
    pub(super) actual_short: String,
    /// Each difference, in one line.
    pub(super) differences: Vec<String>,
    /// The likely cause.
    pub(super) note: Option<String>,
    /// The class of a revert; none from operators that do not store it.
    pub(super) class: Option<ClassText>,
    /// The effect of a revert in a sentence, as the operator describes it.
    revert_note: Option<String>,
    /// The time of the last plan of a revert.
    pub(super) planned_at: Option<String>,
    /// The saga of the latest revert.
    pub(super) saga: Option<String>,
    pub(super) phase: String,
    pub(super) reason: String,
    /// The message of the condition `Resolved`.
    pub(super) message: String,
    pub(super) created: Option<Timestamp>,
    pub(super) resolved: Option<Timestamp>,
    pub(super) decided_by: Option<String>,
    /// The person's reason for the decision.
    pub(super) because: Option<String>,
    /// The pending decision.
    pub(super) pending: Option<Pending>,
    /// The condition `Standing`, as status and reason.
    pub(super) standing: Option<(String, String)>,
    /// True if the drift has the annotation `accept`. An acceptance that stands without it is about to be withdrawn.
    pub(super) has_accept: bool,
    /// The end of a standing acceptance.
    pub(super) until: Option<String>,
    /// True if a standing acceptance has the end and the reason of the annotations.
    pub(super) is_applied: bool,
    /// The answer to a decision that could not be carried out, and its time.
    pub(super) answer: Option<(String, String)>,
}

/// A pending decision: the value of its annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Accept(String),
    Revert(String),
}

impl Pending {
    /// The decision in one word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Revert(permission) if permission == PLAN => "plan",
            Self::Revert(_) => "revert",
        }
    }
}

/// The class of a revert.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClassText {
    Known(revert::RevertClass),
    /// A class that this version does not know.
    Other(String),
}

impl ClassText {
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_value(text.into()).map_or_else(|_| Self::Other(text.to_owned()), Self::Known)
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Known(class) => class.to_string(),
            Self::Other(name) => name.clone(),
        }
    }

    /// The effect of a revert, if the drift does not describe it.
    fn effect(&self) -> Option<&'static str> {
        match self {
            Self::Known(class) => Some(match class {
                revert::RevertClass::Safe => "no interruption and no loss",
                revert::RevertClass::Disruptive => "the resource is interrupted",
                revert::RevertClass::Lossy => "data may be lost",
                revert::RevertClass::OneWay => "it cannot be undone afterwards",
                revert::RevertClass::NotRevertible => "no saga can revert it: change it in the cloud, or accept it",
                revert::RevertClass::NotOurs => "another system owns the value: change it there",
            }),
            Self::Other(_) => None,
        }
    }

    /// The permission that a revert needs; none if it is never possible.
    pub(super) fn needs(&self) -> Option<Allow> {
        match self {
            Self::Known(class) => Allow::needed(*class),
            Self::Other(_) => Some(Allow::Safe),
        }
    }

    /// Returns true if a revert may lose data, or cannot be undone.
    pub(super) const fn loses(&self) -> bool {
        matches!(self, Self::Known(revert::RevertClass::Lossy | revert::RevertClass::OneWay))
    }

    /// The position in the inbox, worst first.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Known(revert::RevertClass::Lossy) => 0,
            Self::Known(revert::RevertClass::OneWay) => 1,
            Self::Known(revert::RevertClass::Disruptive) => 2,
            Self::Known(revert::RevertClass::NotRevertible) => 3,
            Self::Known(revert::RevertClass::Safe) => 4,
            Self::Known(revert::RevertClass::NotOurs) => 5,
            Self::Other(_) => 6,
        }
    }
}

impl DriftView {
    pub(super) fn read(object: &DynamicObject) -> Self {
        let data = &object.data;
        let text = |pointer: &str| text(data, pointer).map(str::to_owned);
        let expected = text("/spec/expected").unwrap_or_default();
        let found = text("/spec/actual").unwrap_or_default();
        let has_moved = text("/status/actual").is_some();
        let actual = text("/status/actual").unwrap_or(found);
        let place = if has_moved { "/status" } else { "/spec" };
        let actual_short = text(&format!("{place}/actualShort"));
        let annotation = |key: &str| object.annotations().get(key).cloned();
        let phase = text("/status/phase").unwrap_or_else(|| DriftPhase::Open.name().to_owned());
        let accept = annotation(annotations::ACCEPT).map(Pending::Accept);
        let pending = accept.or_else(|| annotation(annotations::REVERT).map(Pending::Revert));
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            resource_version: object.resource_version(),
            record: text("/spec/resourceRef/name").unwrap_or_default(),
            kind: text("/spec/resource/kind").unwrap_or_default(),
            id: text("/spec/resource/id").unwrap_or_default(),
            field_name: text("/spec/field").unwrap_or_default(),
            field: text("/spec/fieldShort").or_else(|| text("/spec/field")).unwrap_or_default(),
            episode: data.pointer("/spec/episode").and_then(Value::as_i64).unwrap_or_default(),
            change: object.labels().get(labels::CHANGE).cloned().unwrap_or_default(),
            expected_short: text("/spec/expectedShort").unwrap_or_else(|| show::short_text(&expected, COLUMN)),
            actual_short: actual_short.unwrap_or_else(|| show::short_text(&actual, COLUMN)),
            differences: differences(data.pointer(&format!("{place}/differences"))),
            note: text("/spec/note").map(|note| one_line(&note)),
            class: text("/spec/revert").or_else(|| text("/spec/revert/class")).map(|class| ClassText::read(&class)),
            revert_note: text("/spec/revertNote"),
            planned_at: text("/status/plan/plannedAt"),
            saga: text("/status/sagaRef/name"),
            reason: text("/status/reason").unwrap_or_default(),
            message: condition(data, conditions::RESOLVED)
                .map(|resolved| one_line(&resolved.message))
                .unwrap_or_default(),
            created: object.creation_timestamp().map(|time| time.0),
            resolved: text("/status/resolvedAt").and_then(|time| time.parse().ok()),
            decided_by: text("/status/decidedBy").map(|by| one_line(&by)),
            because: text("/status/because").or_else(|| annotation(annotations::BECAUSE)).map(|why| one_line(&why)),
            pending: pending.filter(|_| phase == DriftPhase::Open.name()),
            standing: condition(data, conditions::STANDING).map(|standing| (standing.status, standing.reason)),
            has_accept: annotation(annotations::ACCEPT).is_some(),
            until: text("/status/acceptance/until").or_else(|| annotation(annotations::ACCEPT_UNTIL)),
            is_applied: [
                (annotations::ACCEPT_UNTIL, "/status/acceptance/untilRequested"),
                (annotations::BECAUSE, "/status/because"),
            ]
            .into_iter()
            .all(|(key, pointer)| annotation(key) == text(pointer)),
            answer: condition(data, conditions::DECISION_APPLIED)
                .map(|answer| (one_line(&answer.message), answer.since)),
            phase,
            expected,
            actual,
        }
    }

    /// The class of a revert with its effect: `Disruptive: the droplet is powered off`.
    pub(super) fn effect(&self) -> Option<String> {
        let class = self.class.as_ref()?;
        let effect = self.revert_note.as_deref().or_else(|| class.effect());
        Some(format!("{}{}", class.name(), effect.map(|effect| format!(": {effect}")).unwrap_or_default()))
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == DriftPhase::Open.name()
    }

    /// Returns true if the acceptance stands.
    pub(super) fn stands(&self) -> bool {
        self.standing.as_ref().is_some_and(|(status, _)| status == "True")
    }

    /// Returns true if the acceptance stood, and its value is in the record now.
    pub(super) fn is_moved_to_record(&self) -> bool {
        self.standing.as_ref().is_some_and(|(_, reason)| *reason == ConditionReason::InRecord)
    }

    /// The reason of the phase and its message.
    pub(super) fn state(&self) -> Option<String> {
        let message = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        (!self.reason.is_empty()).then(|| format!("{}{message}", self.reason))
    }

    /// Returns true if a saga reverts the drift, or is stuck.
    pub(super) fn is_reverting(&self) -> bool {
        [ConditionReason::Reverting, ConditionReason::RevertStuck].iter().any(|reason| self.reason == *reason)
    }

    /// The saga that reverts the open drift, or is stuck.
    pub(super) fn reverting_saga(&self) -> Option<&str> {
        self.saga.as_deref().filter(|_| self.is_open() && self.is_reverting())
    }

    /// Returns true if the drift is about a deleted resource.
    pub(super) fn is_about_existence(&self) -> bool {
        self.field == EXISTS
    }

    /// Takes the decision that an earlier state of the drift shows.
    pub(super) fn clone_decision(&mut self, earlier: &Self) {
        self.pending.clone_from(&earlier.pending);
        self.until.clone_from(&earlier.until);
        self.because.clone_from(&earlier.because);
    }

    /// The places that differ, unless the change in short says it all.
    pub(super) fn differing_parts(&self) -> &[String] {
        match self.differences.as_slice() {
            [one] if *one == self.change_in_short() => &[],
            parts => parts,
        }
    }

    /// The first difference in one line: `s-2vcpu-4gb -> s-4vcpu-8gb`.
    pub(super) fn change_in_short(&self) -> String {
        format!("{} -> {}", self.expected_short, self.actual_short)
    }
}

/// A condition, as status, reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConditionView {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// The transition time.
    pub(super) since: String,
}

/// A condition of an object.
pub(super) fn condition(data: &Value, kind: &str) -> Option<ConditionView> {
    let conditions = data.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| text(condition, "/type") == Some(kind))?;
    let part = |pointer: &str| text(found, pointer).unwrap_or_default().to_owned();
    Some(ConditionView {
        status: part("/status"),
        reason: part("/reason"),
        message: part("/message"),
        since: part("/lastTransitionTime"),
    })
}

/// The text at a JSON pointer.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

/// Each place that differs, in one line.
fn differences(list: Option<&Value>) -> Vec<String> {
    let line = |difference: &Value| {
        let side = |pointer: &str| text(difference, pointer);
        let path = side("/path").filter(|path| !path.is_empty()).map(|path| format!("{path}: ")).unwrap_or_default();
        match (side("/expected"), side("/actual")) {
            (Some(expected), Some(actual)) => format!("{path}{expected} -> {actual}"),
            (None, Some(actual)) => format!("{path}{}", signed('+', actual)),
            (Some(expected), None) => format!("{path}{}", signed('-', expected)),
            (None, None) => path,
        }
    };
    list.and_then(Value::as_array).into_iter().flatten().map(line).collect()
}

/// An added or removed item. Its short form may already contain the sign.
fn signed(sign: char, item: &str) -> String {
    if item.starts_with(sign) { item.to_owned() } else { format!("{sign} {item}") }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// An open drift of a droplet's size.
    pub(in crate::cli) fn object(record: &str, more: &Value) -> DynamicObject {
        let mut drift = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift",
            "metadata": {
                "name": format!("{record}-size-slug-e7320a9aaf-1"), "namespace": "default", "resourceVersion": "7",
                "creationTimestamp": "2026-05-10T09:00:00Z",
                "labels": { "arcadia.cloud/change": "a4b70a39" },
            },
            "spec": {
                "resourceRef": { "name": record, "uid": "u" }, "resource": { "kind": "Droplet", "id": "3164444" },
                "field": "size_slug", "episode": 1, "expected": "s-2vcpu-4gb", "actual": "s-4vcpu-8gb",
                "expectedShort": "s-2vcpu-4gb", "actualShort": "s-4vcpu-8gb",
                "differences": [{ "path": "", "expected": "s-2vcpu-4gb", "actual": "s-4vcpu-8gb" }],
                "specVersion": 1,
            },
            "status": { "phase": "Open", "reason": "AwaitingDecision" },
        });
        merge(&mut drift, more);
        serde_json::from_value(drift).unwrap()
    }

    pub(in crate::cli) fn view(record: &str, more: &Value) -> DriftView {
        DriftView::read(&object(record, more))
    }

    /// A JSON merge patch, without its deletions.
    pub(in crate::cli) fn merge(target: &mut Value, more: &Value) {
        match (target, more) {
            (Value::Object(target), Value::Object(more)) => {
                for (key, value) in more {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
            (target, more) => *target = more.clone(),
        }
    }

    #[test]
    fn fields_of_earlier_and_later_operators_are_optional() {
        let bare = json!({
            "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Drift", "metadata": { "name": "d" },
            "spec": { "field": "tags", "expected": "[\"web\"]", "actual": "[]", "resource": { "kind": "Spaceship" } },
        });
        let drift = DriftView::read(&serde_json::from_value(bare).unwrap());
        assert_eq!((drift.change_in_short().as_str(), drift.phase.as_str()), (r#"["web"] -> []"#, "Open"));
        assert_eq!((drift.class, drift.kind.as_str()), (None, "Spaceship"));
        for revert in [json!("Disruptive"), json!({ "class": "Disruptive" })] {
            assert_eq!(
                view("web-1", &json!({ "spec": { "revert": revert } })).class,
                Some(ClassText::Known(revert::RevertClass::Disruptive))
            );
        }
        let later = view("web-1", &json!({ "spec": { "revert": "Annoying" } }));
        assert_eq!(later.class, Some(ClassText::Other("Annoying".into())));
    }

    #[test]
    fn a_reason_does_not_command_the_terminal() {
        let drift = view("web-1", &json!({ "status": { "because": "so\u{1b}[2J", "decidedBy": "jane\n" } }));
        assert_eq!(
            (drift.because.as_deref(), drift.decided_by.as_deref()),
            (Some(r#""so\u001b[2J""#), Some(r#""jane\n""#))
        );
    }

    #[test]
    fn the_live_value_of_now_is_shown() {
        let moved = view("web-1", &json!({ "status": { "actual": "s-8", "actualShort": "s-8" } }));
        assert_eq!(moved.change_in_short(), "s-2vcpu-4gb -> s-8");
    }
}
