//! A saga and its journal as a tree. Pure, and lenient: states of a later operator are shown as stored.

use std::fmt::Write as _;

use jiff::Timestamp;
use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::Value;

use crate::{
    api::{
        SagaPhase,
        conditions::{self, ConditionReason},
        saga::StepState,
    },
    cli::{
        drift::{condition, text},
        text::{Paint, Table, age, one_line},
    },
    nearest::nearest,
};

/// The step kind that waits for a person.
const APPROVAL: &str = "Approval";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SagaRow {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) resource_version: Option<String>,
    pub(super) phase: String,
    /// The current step.
    pub(super) step: Option<String>,
    /// Why it is in its phase.
    pub(super) message: String,
    kind: String,
    reason: String,
    progress: String,
    pub(super) is_suspended: bool,
    is_cancelled: bool,
    pub(super) is_deleted: bool,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    created: Option<Timestamp>,
    steps: Vec<StepView>,
    /// The resolutions of people while it was stuck, each in one line.
    resolutions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct StepView {
    name: String,
    kind: String,
    state: String,
    attempts: i64,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    external_ids: Vec<String>,
    waiting_for: Option<String>,
    error: Option<String>,
}

impl SagaRow {
    pub(super) fn is_finished(&self) -> bool {
        self.phase.parse().is_ok_and(SagaPhase::is_finished)
    }

    pub(super) fn read(saga: &DynamicObject) -> Self {
        let data = &saga.data;
        let owned = |pointer: &str| text(data, pointer).unwrap_or_default().to_owned();
        let is_true = |pointer: &str| data.pointer(pointer).and_then(Value::as_bool).unwrap_or_default();
        let list =
            |pointer: &str| data.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_deleted = saga.metadata.deletion_timestamp.is_some();
        let journal = list("/status/steps");
        let ordered = list("/spec/steps");
        let succeeded = condition(data, conditions::SUCCEEDED);
        let phase = text(data, "/status/phase").unwrap_or(SagaPhase::Pending.name());
        // The condition of a suspended saga does not say why it is stuck.
        let stuck =
            |part: &str| text(data, &format!("/status/stuckBy/{part}")).filter(|_| phase == SagaPhase::Stuck.name());
        let message = stuck("message").or(succeeded.as_ref().map(|found| found.message.as_str()));
        let reason = stuck("reason").or(succeeded.as_ref().map(|found| found.reason.as_str()));
        let entry = |name: &str| journal.iter().find(|entry| text(entry, "/name") == Some(name));
        let step = |step: &Value| {
            let name = text(step, "/name").unwrap_or_default();
            StepView::read(name, text(step, "/step").unwrap_or_default(), entry(name))
        };
        // A rollback has no steps itself: its journal names the steps that it undoes.
        let steps = if ordered.is_empty() {
            journal
                .iter()
                .map(|entry| StepView::read(text(entry, "/name").unwrap_or_default(), "", Some(entry)))
                .collect()
        } else {
            ordered.iter().map(step).collect()
        };
        Self {
            namespace: saga.namespace().unwrap_or_default(),
            name: saga.name_any(),
            resource_version: saga.resource_version(),
            phase: phase.to_owned(),
            step: text(data, "/status/step").map(str::to_owned),
            message: message.map(one_line).unwrap_or_default(),
            reason: reason.unwrap_or_default().to_owned(),
            kind: owned("/spec/kind"),
            progress: owned("/status/progress"),
            // A deletion resumes the saga.
            is_suspended: is_true("/spec/suspend") && !is_deleted,
            is_cancelled: is_true("/spec/cancelRequested"),
            is_deleted,
            started: at(data, "/status/startedAt"),
            finished: at(data, "/status/finishedAt"),
            created: saga.creation_timestamp().map(|time| time.0),
            steps,
            resolutions: list("/status/resolutions").iter().map(resolution).collect(),
        }
    }

    /// The state that a resolution is about, in words: the phase, the step and the cause.
    pub(super) fn state(&self) -> String {
        let step = self.step.as_ref().map(|step| format!(" at step {step}")).unwrap_or_default();
        format!("{}{step} ({})", self.phase, self.message)
    }

    /// The step to approve: the given one, or the waiting one.
    pub(super) fn step_to_approve(&self, name: Option<&str>, flag: &str) -> Result<String, String> {
        let approvals: Vec<&StepView> = self.steps.iter().filter(|step| step.kind == APPROVAL).collect();
        let see = format!("see its journal with: kubectl arcadia saga tree {}{flag}", self.name);
        let Some(name) = name else {
            let waiting = approvals.iter().find(|step| step.state == StepState::Running.name());
            return waiting.map(|step| step.name.clone()).ok_or_else(|| {
                format!(
                    "no step of Saga {} waits for an approval; name a later step to approve it now, or {see}",
                    self.name
                )
            });
        };
        if approvals.iter().any(|step| step.name == name) {
            return Ok(name.to_owned());
        }
        let nearest = nearest(name, approvals.iter().map(|step| step.name.as_str()));
        let hint = if nearest.is_empty() { String::new() } else { format!(", did you mean {}?", nearest.join(" or ")) };
        Err(format!("Saga {} has no Approval step {name:?}{hint}; {see}", self.name))
    }
}

impl StepView {
    fn read(name: &str, kind: &str, journal: Option<&Value>) -> Self {
        let journal = journal.unwrap_or(&Value::Null);
        // During an undo, the undo contains the current wait.
        let current = journal.get("undo").filter(|undo| !undo.is_null()).unwrap_or(journal);
        let attempts = current.get("attempts").and_then(Value::as_i64).unwrap_or_default();
        let ids = journal.get("externalIds").and_then(Value::as_array).into_iter().flatten();
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            state: text(journal, "/state").unwrap_or(StepState::Pending.name()).to_owned(),
            attempts,
            started: at(current, "/startedAt").or_else(|| at(journal, "/startedAt")),
            finished: at(current, "/finishedAt"),
            retry_at: at(current, "/retryAt"),
            external_ids: ids.filter_map(Value::as_str).map(str::to_owned).collect(),
            waiting_for: text(current, "/waitingFor").map(one_line),
            error: text(current, "/error/message").map(one_line),
        }
    }

    fn is_settled(&self) -> bool {
        ["Done", "Skipped", "Undone", "Left"].contains(&self.state.as_str())
    }

    /// The current wait of the step, or the cause of its failure.
    fn detail(&self, now: Timestamp) -> Option<String> {
        if self.is_settled() {
            return None;
        }
        let retry = self.retry_at.filter(|at| *at > now).map(|at| format!("next attempt in {}", age(Some(now), at)));
        let parts = [self.waiting_for.as_ref().map(|what| format!("waits: {what}")), self.error.clone(), retry];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn at(value: &Value, pointer: &str) -> Option<Timestamp> {
    text(value, pointer)?.parse().ok()
}

fn resolution(resolution: &Value) -> String {
    let part = |pointer| text(resolution, pointer).unwrap_or_default();
    let why = text(resolution, "/why").map(|why| format!(": {}", one_line(why))).unwrap_or_default();
    let step = Some(part("/step")).filter(|step| !step.is_empty()).map(|step| format!(" of step {step}"));
    format!("{}{} by {} at {}{why}", part("/what"), step.unwrap_or_default(), part("/by"), part("/at"))
}

/// The refusal of a resolution of a saga in another state than the user saw.
pub(super) fn moved(seen: &SagaRow, now: &SagaRow, flag: &str) -> String {
    let (name, before, now) = (&seen.name, seen.state(), now.state());
    format!(
        "saga.arcadia.cloud/{name} not resolved: it changed after it was read, from {before} to {now}; read it again \
         with: kubectl arcadia saga tree {name}{flag}"
    )
}

/// The journal as a tree, and the possible actions.
pub(super) fn tree(saga: &SagaRow, flag: &str, now: Timestamp, paint: Paint) -> String {
    let known = saga.phase.parse::<SagaPhase>();
    let phase = match known {
        Ok(SagaPhase::Succeeded) => paint.good(&saga.phase),
        Ok(SagaPhase::Stuck | SagaPhase::Failed) => paint.bad(&saga.phase),
        Ok(SagaPhase::RollingBack | SagaPhase::RolledBack) => paint.warn(&saga.phase),
        Ok(SagaPhase::Pending | SagaPhase::Running) | Err(_) => saga.phase.clone(),
    };
    let took = saga.started.map(|started| age(Some(started), saga.finished.unwrap_or(now)));
    let took = took.unwrap_or_else(|| format!("ordered {} ago", age(saga.created, now)));
    let marks =
        [(saga.is_suspended, "suspended"), (saga.is_cancelled, "cancel requested"), (saga.is_deleted, "being deleted")];
    let marks = marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark.to_owned());
    let head = [saga.kind.clone(), phase, saga.progress.clone(), took];
    let head: Vec<String> = head.into_iter().chain(marks).filter(|part| !part.is_empty()).collect();
    let mut table = Table::default();
    let last = saga.steps.len().saturating_sub(1);
    for (position, step) in saga.steps.iter().enumerate() {
        let (branch, below) = if position == last { ("└─", "  ") } else { ("├─", "│ ") };
        let state = match step.state.parse() {
            Ok(StepState::Done) => paint.good(&step.state),
            Ok(StepState::Failed) => paint.bad(&step.state),
            Ok(StepState::Running | StepState::Undoing) => paint.warn(&step.state),
            Ok(StepState::Pending) => paint.dim(&step.state),
            Ok(StepState::Skipped | StepState::Undone | StepState::Left) | Err(_) => step.state.clone(),
        };
        let took = step.started.map(|started| age(Some(started), step.finished.unwrap_or(now))).unwrap_or_default();
        let attempts = if step.attempts > 1 { format!("attempt {}", step.attempts) } else { String::new() };
        table.row([
            format!("{branch} {}", step.name),
            step.kind.clone(),
            state,
            took,
            [step.external_ids.join(", "), attempts]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
        ]);
        if let Some(detail) = step.detail(now) {
            table.line(format!("{below}   {detail}"));
        }
    }
    let mut text = format!("{}  {}\n{}", paint.bold(&saga.name), head.join("  "), table.render());
    for resolution in &saga.resolutions {
        let _ = writeln!(text, "resolved: {resolution}");
    }
    let is_stuck = known == Ok(SagaPhase::Stuck);
    if !saga.message.is_empty() && known != Ok(SagaPhase::Succeeded) {
        let _ = writeln!(text, "{}: {}", saga.reason, saga.message);
    }
    text + &next(saga, is_stuck, flag, paint)
}

fn next(saga: &SagaRow, is_stuck: bool, flag: &str, paint: Paint) -> String {
    let name = &saga.name;
    let mut commands: Vec<(String, &str)> = Vec::new();
    if is_stuck {
        if saga.reason == ConditionReason::SeveralCandidates {
            commands.push((format!("kubectl arcadia saga adopt ID {name}{flag}"), "name the right resource"));
        }
        commands.push((format!("kubectl arcadia saga retry {name}{flag}"), "retry the step"));
        commands.push((format!("kubectl arcadia saga skip {name}{flag}"), "continue without the step"));
        commands.push((format!("kubectl arcadia saga abandon {name}{flag}"), "give the saga up"));
    }
    if let Some(step) = saga.steps.iter().find(|step| step.kind == APPROVAL && step.state == StepState::Running.name())
    {
        commands.push((format!("kubectl arcadia saga approve {name} {}{flag}", step.name), "let the saga continue"));
        commands.push((format!("kubectl arcadia saga cancel {name}{flag}"), "roll the saga back"));
    }
    if saga.is_suspended {
        commands.push((format!("kubectl arcadia saga resume {name}{flag}"), "end the pause"));
    }
    if commands.is_empty() {
        return String::new();
    }
    let mut table = Table::default().indented(2);
    for (command, effect) in commands {
        table.row([command, paint.dim(effect)]);
    }
    format!("Next\n{}", table.render())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn stored(yaml: &str) -> SagaRow {
        SagaRow::read(&serde_saphyr::from_str(yaml).unwrap())
    }

    fn check(yaml: &str, expected: &Expect) {
        let now = Timestamp::from_second(1_000_060).unwrap();
        expected.assert_eq(&tree(&stored(yaml), "", now, Paint::NONE));
    }

    #[test]
    fn a_saga_that_waits_for_a_person_says_what_to_type() {
        check(
            include_str!("../../../tests/stored/sagas/running-waits-for-approval.yaml"),
            &expect![[r#"
            running-waits-for-approval  test  Running  1/2  60s
            ├─ label   TagResource   Done      0s
            └─ ask     Approval      Running   60s
            Running: step "ask": Approve it with your name, as kubectl auth whoami shows it: kubectl annotate saga waits arcadia.cloud/approve-ask=NAME
            Next
              kubectl arcadia saga approve running-waits-for-approval ask   let the saga continue
              kubectl arcadia saga cancel running-waits-for-approval        roll the saga back
        "#]],
        );
        check(
            include_str!("../../../tests/stored/sagas/stuck-several-candidates.yaml"),
            &expect![[r#"
            stuck-several-candidates  test  Stuck  1/2  60s
            ├─ label      TagResource             Done     0s
            └─ snapshot   CreateDropletSnapshot   Failed   0s
                 any of these could be its doing: 77, 78
            SeveralCandidates: step "snapshot" failed: any of these could be its doing: 77, 78; look at them and annotate the saga with arcadia.cloud/adopt=ID, or arcadia.cloud/resolve=retry, skip or abandon
            Next
              kubectl arcadia saga adopt ID stuck-several-candidates   name the right resource
              kubectl arcadia saga retry stuck-several-candidates      retry the step
              kubectl arcadia saga skip stuck-several-candidates       continue without the step
              kubectl arcadia saga abandon stuck-several-candidates    give the saga up
        "#]],
        );
    }

    #[test]
    fn each_phase_has_a_tree() {
        check(
            include_str!("../../../tests/stored/sagas/pending-suspended.yaml"),
            &expect![[r#"
            pending-suspended  test  Pending  ordered 65s ago  suspended
            ├─ label      TagResource             Pending
            └─ snapshot   CreateDropletSnapshot   Pending
            Suspended: suspended; set spec.suspend to false to go on
            Next
              kubectl arcadia saga resume pending-suspended   end the pause
        "#]],
        );
        check(
            include_str!("../../../tests/stored/sagas/running-retried.yaml"),
            &expect![[r#"
            running-retried  test  Running  0/2  60s
            ├─ label      TagResource             Running   60s
            │    DigitalOcean failed (503)
            └─ snapshot   CreateDropletSnapshot   Pending
        "#]],
        );
        check(
            include_str!("../../../tests/stored/sagas/rolling-back.yaml"),
            &expect![[r#"
            rolling-back  test  RollingBack  1/2  60s
            ├─ label      TagResource             Done     0s
            └─ snapshot   CreateDropletSnapshot   Failed   0s
                 there is no droplet 1
            StepFailed: step "snapshot" failed: there is no droplet 1
        "#]],
        );
        check(
            include_str!("../../../tests/stored/sagas/succeeded.yaml"),
            &expect![[r#"
            succeeded  test  Succeeded  2/2  0s  cancel requested
            ├─ a   DeleteSnapshot   Done   0s
            └─ b   DeleteSnapshot   Done   0s
            resolved: retry by jane at 1970-01-12T13:46:40Z
        "#]],
        );
    }

    #[test]
    fn a_resolution_is_refused_once_the_saga_is_stuck_elsewhere() {
        let seen = stored(include_str!("../../../tests/stored/sagas/stuck-several-candidates.yaml"));
        let seen = SagaRow { message: "77, 78".to_owned(), ..seen };
        let touched = SagaRow { resource_version: Some("8".to_owned()), ..seen.clone() };
        assert_eq!(touched.state(), seen.state());
        let now = SagaRow { step: Some("label".to_owned()), message: "no quota".to_owned(), ..seen.clone() };
        let refusal = moved(&seen, &now, " -n a");
        assert!(refusal.contains("Stuck at step snapshot (77, 78) to Stuck at step label (no quota);"), "{refusal}");
        assert!(refusal.ends_with(": kubectl arcadia saga tree stuck-several-candidates -n a"), "{refusal}");
    }

    #[test]
    fn only_steps_that_wait_for_a_person_can_be_approved() {
        let saga = stored(include_str!("../../../tests/stored/sagas/running-waits-for-approval.yaml"));
        assert_eq!(saga.step_to_approve(None, "").as_deref(), Ok("ask"));
        assert_eq!(saga.step_to_approve(Some("ask"), "").as_deref(), Ok("ask"));
        let error = saga.step_to_approve(Some("askk"), "").unwrap_err();
        assert!(error.contains("did you mean ask?") && error.contains("saga tree"), "{error}");
        let done = stored(include_str!("../../../tests/stored/sagas/succeeded.yaml"));
        assert!(done.step_to_approve(None, "").is_err());
    }
}
