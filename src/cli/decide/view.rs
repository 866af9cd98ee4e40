//! Decisions as text: the question before, and the result of each. Pure.

use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::Value;

use super::verdict::{DecisionKind, PatchResponse, Verdict};
use crate::{
    api::{
        SagaPhase,
        conditions::{self, ConditionReason},
    },
    cli::{
        Error,
        drift::{DriftView, condition, text},
        text::{Table, count, one_line},
    },
    drift::shown::first,
};

/// The number of changes that a question lists.
const LISTED: usize = 10;
/// The number of records that it names for each.
const NAMED: usize = 3;

/// The effect of a decision, and the drifts.
pub(in crate::cli) fn question(verb: DecisionKind, drifts: &[DriftView], effect: Option<&str>) -> String {
    let effect = effect.unwrap_or(match verb {
        DecisionKind::Accept => {
            "The live value becomes the desired one. If a manifest declares the field, the acceptance stands on the \
             drift and the record is not changed."
        }
        DecisionKind::Revert => "A saga changes the resource in the cloud back to the desired value.",
        DecisionKind::Plan => "The operator shows the steps of the revert and changes nothing.",
        DecisionKind::Withdraw => "The decision is removed. A drift that was accepted only by it opens again.",
        DecisionKind::Restore => "The withdrawn decision is stored again.",
    });
    let mut rows: Vec<&DriftView> = drifts.iter().collect();
    rows.sort_by(|one, other| group(one).cmp(&group(other)));
    let groups: Vec<_> = rows.chunk_by(|one, other| group(one) == group(other)).collect();
    let is_spread = drifts.iter().any(|drift| drifts.first().is_some_and(|other| other.namespace != drift.namespace));
    let mut table = Table::default().indented(2);
    for drifts in groups.iter().take(LISTED) {
        let Some(drift) = drifts.first() else { continue };
        let names: Vec<String> = drifts.iter().map(|drift| located(drift, is_spread)).collect();
        let effect = drift.effect().filter(|_| matches!(verb, DecisionKind::Revert | DecisionKind::Plan));
        table.row([
            format!("{} {}", drift.kind, drift.field),
            drift.change_in_short(),
            first(&names, NAMED, ", "),
            effect.unwrap_or_default(),
        ]);
    }
    let more = match groups.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("  and {} more\n", count(more, "change")),
    };
    let verb = match verb {
        DecisionKind::Accept if drifts.iter().all(DriftView::stands) => "Change the end of the acceptance of",
        DecisionKind::Accept => "Accept",
        DecisionKind::Revert => "Revert",
        DecisionKind::Plan => "Plan the revert of",
        DecisionKind::Withdraw => "Withdraw the decision on",
        DecisionKind::Restore => "Restore the decision on",
    };
    format!("{verb} {}?\n{}{more}{effect}", count(drifts.len(), "drift"), table.render())
}

/// The record of a drift, with its namespace if the question is about several.
fn located(drift: &DriftView, is_spread: bool) -> String {
    if is_spread { format!("{}/{}", drift.namespace, drift.record) } else { drift.record.clone() }
}

fn group(drift: &DriftView) -> (&str, &str, String, Option<String>) {
    (&drift.kind, &drift.field, drift.change_in_short(), drift.effect())
}

pub(super) fn stored(verb: DecisionKind, drift: &DriftView, is_dry: bool) -> String {
    let done = match verb {
        DecisionKind::Accept if drift.stands() => "change of the end requested",
        DecisionKind::Accept => "accept requested",
        DecisionKind::Revert => "revert requested",
        DecisionKind::Plan => "plan requested",
        DecisionKind::Withdraw => "withdrawal requested",
        DecisionKind::Restore => "decision restored",
    };
    let dry = if is_dry { " (server dry run)" } else { "" };
    format!("drift.arcadia.cloud/{} {done}{dry}\n", drift.name)
}

/// The answer to a decision on a resolved drift, without a call.
pub(super) fn resolved_already(drift: &DriftView, flag: &str) -> String {
    let DriftView { name, phase, reason, .. } = drift;
    let next = if drift.stands() {
        format!(
            "; change the end of the acceptance with: kubectl arcadia accept {name} --until TIME{flag}, or end it with: \
             kubectl arcadia withdraw {name}{flag}"
        )
    } else {
        String::new()
    };
    format!("drift.arcadia.cloud/{name} not decided: it is resolved already, as {phase} ({reason}){next}")
}

pub(super) fn not_stored(drift: &DriftView, outcome: &PatchResponse, flag: &str) -> String {
    let name = &drift.name;
    match outcome {
        PatchResponse::Stored => String::new(),
        PatchResponse::Moved(now) if now.is_open() => format!(
            "drift.arcadia.cloud/{name} not decided: it changed after it was read, from {} to {}; read it again with: \
             kubectl arcadia show {name}{flag}",
            drift.change_in_short(),
            now.change_in_short(),
        ),
        PatchResponse::Moved(now) => {
            format!(
                "drift.arcadia.cloud/{name} not decided: it was resolved meanwhile, as {} ({})",
                now.phase, now.reason
            )
        }
        PatchResponse::Gone => format!("drift.arcadia.cloud/{name} not decided: it was deleted meanwhile"),
        PatchResponse::Refused(message) => format!("drift.arcadia.cloud/{name} not decided: {message}"),
    }
}

/// The failure of storing a decision. Without a response, it may be stored.
pub(super) fn failed_to_store(drift: &DriftView, error: &Error) -> String {
    let name = &drift.name;
    match error {
        Error::Unusable { .. } => {
            format!("drift.arcadia.cloud/{name}: whether the decision was stored is unknown: {error}")
        }
        error => format!("drift.arcadia.cloud/{name} not decided: {error}"),
    }
}

/// The failure of reading the result of a stored decision.
pub(super) fn failed_to_wait(drift: &DriftView, error: &Error) -> String {
    format!("drift.arcadia.cloud/{}: the decision is stored, and its result is unknown: {error}", drift.name)
}

/// The part of a decision that is done, without the drift's name; nothing before the operator says so.
pub(super) fn progress(drift: &DriftView, saga: Option<&DynamicObject>) -> Option<String> {
    match (ConditionReason::read(&drift.reason), saga) {
        (Some(ConditionReason::DecisionWaiting), _) | (Some(ConditionReason::Reverting), None) => {
            Some(drift.message.clone())
        }
        (Some(ConditionReason::Reverting), Some(saga)) => {
            let part = |pointer| text(&saga.data, pointer).filter(|text| !text.is_empty());
            let step = part("/status/step").map(|step| format!(", step {step}")).unwrap_or_default();
            let steps = part("/status/progress").map(|steps| format!(" {steps}")).unwrap_or_default();
            let phase = part("/status/phase").unwrap_or(SagaPhase::Pending.name());
            // A saga that has not started says what it waits for.
            let why = condition(&saga.data, conditions::SUCCEEDED).map(|found| found.message);
            let why = why.filter(|why| phase == SagaPhase::Pending.name() && !why.is_empty());
            let why = why.map(|why| format!(": {}", one_line(&why))).unwrap_or_default();
            Some(format!("saga {} is {phase}{steps}{step}{why}", saga.name_any()))
        }
        _ => None,
    }
}

pub(super) fn verdict(drift: &DriftView, verdict: &Verdict, flag: &str) -> String {
    let name = &drift.name;
    match verdict {
        Verdict::Done(what) => format!("drift.arcadia.cloud/{name} {what}\n"),
        Verdict::Refused(message) => format!("drift.arcadia.cloud/{name} not decided: {message}\n"),
        Verdict::Late(cause) => format!(
            "drift.arcadia.cloud/{name} still waits ({cause}); check the operator with: kubectl arcadia \
             status{flag}, and the drift with: kubectl arcadia show {name}{flag}\n"
        ),
    }
}

/// The plan of a revert: its effect, steps, calls and warnings.
pub(in crate::cli) fn plan(plan: &Value) -> String {
    let list = |pointer: &str| plan.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let effect = text(plan, "/effect").map(|effect| format!(": {}", effect.trim_end_matches('.'))).unwrap_or_default();
    let needs = text(plan, "/needs").and_then(|needs| needs.strip_prefix("allow-"));
    let needs = needs.map(|needs| format!("; it needs --allow {needs}")).unwrap_or_default();
    let mut lines = vec![format!("plan: {}{effect}{needs}", text(plan, "/class").unwrap_or("revert"))];
    for (number, step) in list("/steps").iter().enumerate() {
        let is_irreversible = step.get("irreversible").and_then(Value::as_bool) == Some(true);
        let mark = if is_irreversible { " (cannot be undone)" } else { "" };
        let part = |pointer| text(step, pointer).unwrap_or_default();
        lines.push(format!("  {}. {}: {}{mark}", number + 1, part("/name"), part("/step")));
    }
    for call in list("/calls") {
        let part = |pointer| text(call, pointer).unwrap_or_default();
        let changes = call.get("changes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let changes: Vec<&str> = changes.collect();
        lines.push(
            format!("  calls {} {} {}", part("/method"), part("/path"), changes.join(", ")).trim_end().to_owned(),
        );
    }
    lines.extend(list("/warnings").iter().filter_map(Value::as_str).map(|warning| format!("  warning: {warning}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    fn drifts() -> Vec<DriftView> {
        let mut drifts: Vec<_> = (1..=5)
            .map(|number| view(&format!("web-{number}"), &json!({ "spec": { "revert": "Disruptive" } })))
            .collect();
        drifts.push(view(
            "web-9",
            &json!({ "spec": { "field": "tags", "expectedShort": "[]", "actualShort": r#"["x"]"# } }),
        ));
        drifts
    }

    #[test]
    fn a_question_describes_the_effect() {
        expect![[r#"
            Accept 6 drifts?
              Droplet size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   web-1, web-2, web-3 and 2 more
              Droplet tags        [] -> ["x"]                  web-9
            The live value becomes the desired one. If a manifest declares the field, the acceptance stands on the drift and the record is not changed."#]].assert_eq(&question(DecisionKind::Accept, &drifts(), None));
        expect![[r#"
            Revert 1 drift?
              Droplet size_slug   s-2vcpu-4gb -> s-4vcpu-8gb   web-1   Disruptive: the resource is interrupted
            A saga changes the resource in the cloud back to the desired value."#]]
        .assert_eq(&question(DecisionKind::Revert, &drifts()[..1], None));
        let elsewhere = view("web-1", &json!({ "metadata": { "namespace": "team-b" } }));
        let spread = question(DecisionKind::Accept, &[view("web-1", &json!({})), elsewhere], None);
        assert!(spread.contains("   default/web-1, team-b/web-1\n"), "{spread}");
    }

    #[test]
    fn each_outcome_names_the_next_command() {
        let seen = view("web-1", &json!({}));
        let moved = |more| PatchResponse::Moved(Box::new(view("web-1", &more)));
        let outcomes = [
            moved(json!({ "status": { "actual": "s-8", "actualShort": "s-8" } })),
            moved(json!({ "status": { "phase": "Stale", "reason": "LiveReturned" } })),
            PatchResponse::Gone,
            PatchResponse::Refused("user jane cannot accept".into()),
        ];
        let lines: Vec<_> = outcomes.iter().map(|outcome| not_stored(&seen, outcome, " -n default")).collect();
        expect![[r#"
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 not decided: it changed after it was read, from s-2vcpu-4gb -> s-4vcpu-8gb to s-2vcpu-4gb -> s-8; read it again with: kubectl arcadia show web-1-size-slug-e7320a9aaf-1 -n default
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 not decided: it was resolved meanwhile, as Stale (LiveReturned)
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 not decided: it was deleted meanwhile
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 not decided: user jane cannot accept"#]].assert_eq(&lines.join("\n"));
        expect![[r#"
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 still waits (the record is suspended); check the operator with: kubectl arcadia status, and the drift with: kubectl arcadia show web-1-size-slug-e7320a9aaf-1
        "#]].assert_eq(&verdict(&seen, &Verdict::Late("the record is suspended".into()), ""));
        let late = verdict(&seen, &Verdict::Late("it waits".into()), " --context far");
        assert!(late.contains("kubectl arcadia status --context far, and the drift with: "), "{late}");
        expect![[r#"
            drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 accept requested (server dry run)
        "#]]
        .assert_eq(&stored(DecisionKind::Accept, &seen, true));
    }

    #[test]
    fn a_decision_on_a_standing_acceptance_names_what_is_possible() {
        let stands = json!({ "status": { "phase": "Accepted", "reason": "Accepted",
            "conditions": [{ "type": "Standing", "status": "True", "reason": "R" }] } });
        expect!["drift.arcadia.cloud/web-1-size-slug-e7320a9aaf-1 not decided: it is resolved already, as Accepted (Accepted); change the end of the acceptance with: kubectl arcadia accept web-1-size-slug-e7320a9aaf-1 --until TIME, or end it with: kubectl arcadia withdraw web-1-size-slug-e7320a9aaf-1"]
            .assert_eq(&resolved_already(&view("web-1", &stands), ""));
    }

    #[test]
    fn a_plan_has_its_effect_steps_calls_and_warnings() {
        let steps = json!({ "class": "Disruptive", "effect": "the droplet is powered off.", "needs": "allow-disruption",
            "steps": [{ "name": "off", "step": "PowerOffDroplet" }, { "name": "resize", "step": "ResizeDroplet", "irreversible": true }],
            "calls": [{ "method": "POST", "path": "/v2/droplets/1/actions", "changes": ["size: s-4 -> s-2"] }],
            "warnings": ["the address may change"] });
        expect![[r#"
            plan: Disruptive: the droplet is powered off; it needs --allow disruption
              1. off: PowerOffDroplet
              2. resize: ResizeDroplet (cannot be undone)
              calls POST /v2/droplets/1/actions size: s-4 -> s-2
              warning: the address may change"#]]
        .assert_eq(&plan(&steps));
    }

    #[test]
    fn a_wait_says_how_far_the_operator_is() {
        let of = |reason: &str, saga: Option<&DynamicObject>| {
            let message = json!({ "type": "Resolved", "status": "False", "reason": reason, "message": "it waits" });
            progress(&view("web-1", &json!({ "status": { "reason": reason, "conditions": [message] } })), saga)
        };
        let saga = json!({ "apiVersion": "arcadia.cloud/v1alpha1", "kind": "Saga", "metadata": { "name": "revert-web-1" },
            "status": { "phase": "Running", "progress": "1/3", "step": "resize" } });
        let saga: DynamicObject = serde_json::from_value(saga).unwrap();
        assert_eq!(of("AwaitingDecision", None), None);
        assert_eq!(of("DecisionRefused", Some(&saga)), None);
        assert_eq!(of("DecisionWaiting", None), Some("it waits".to_owned()));
        assert_eq!(of("Reverting", None), Some("it waits".to_owned()));
        assert_eq!(of("Reverting", Some(&saga)), Some("saga revert-web-1 is Running 1/3, step resize".to_owned()));
    }
}
