//! The decisions when people change the spec and when the cloud is slow.

mod doubt;
mod stored;
mod suspension;
mod waiting;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::saga::*,
    digitalocean::ActionState,
    saga::{
        event::*,
        journal::apply,
        order::{Order, digest},
        outcome::*,
        step::*,
        steps::RULES,
        view::*,
    },
};

const SETTLE: Duration = Duration::from_mins(1);

/// A saga that the test executes.
struct Story {
    spec: SagaSpec,
    order: Order,
    status: SagaStatus,
    now: Timestamp,
    call_state: CallState,
    intervention: Option<Intervention>,
    is_deleting: bool,
    undone_by: Option<&'static str>,
}

impl Story {
    /// A started saga with these steps.
    fn started(steps: &Value) -> Self {
        let mut story = Self::ordered(json!({ "kind": "test", "steps": steps }));
        let entries = story.order.steps.iter();
        let steps = entries.map(|step| StepStatus { name: step.name.clone(), ..StepStatus::default() }).collect();
        let digest = digest(&story.spec);
        story.write(Event::Start { steps, digest, rollback_of: None });
        story
    }

    fn ordered(spec: Value) -> Self {
        let spec: SagaSpec = serde_json::from_value(spec).unwrap();
        Self {
            order: Order::read(&spec, &RULES).unwrap(),
            spec,
            status: SagaStatus::default(),
            now: Timestamp::from_second(1_000_000).unwrap(),
            call_state: CallState::Unknown,
            intervention: None,
            is_deleting: false,
            undone_by: None,
        }
    }

    fn view(&self) -> SagaView<'_> {
        SagaView {
            spec: &self.spec,
            status: &self.status,
            generation: 1,
            is_deleting: self.is_deleting,
            has_finalizer: true,
            order: Ok(&self.order),
            undoes: None,
            digest: self.status.spec_digest.as_deref().unwrap_or_default(),
            waits_for: None,
            undone_by: self.undone_by,
            intervention: self.intervention.as_ref(),
            action: None,
            call_state: self.call_state,
            settle: SETTLE,
            now: self.now,
            dice: 1.0,
        }
    }

    fn next(&self) -> Command {
        decide(&self.view())
    }

    fn write(&mut self, event: Event) {
        apply(&mut self.status, event, self.now).unwrap();
        self.call_state = CallState::Unknown;
    }

    fn begin(&mut self, step: usize) {
        self.write(StepEvent::Begin { before: json!(null) }.of(step));
    }

    fn complete(&mut self, step: usize) {
        self.begin(step);
        self.write(StepEvent::Complete { output: Values::new() }.of(step));
    }

    fn pass(&mut self, time: Duration) {
        self.now += SignedDuration::try_from(time).unwrap();
    }

    /// Resolves the saga as a person, as the next command.
    fn resolve(&mut self, what: &str, choice: Choice) {
        let resolution = Resolution {
            at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now),
            step: String::new(),
            what: what.to_owned(),
            by: "jane".to_owned(),
            why: None,
        };
        self.intervention = Some(Intervention::Choose(choice, resolution));
        let Command::Note(event) = self.next() else { panic!("{:?}", self.next()) };
        self.write(event);
        self.intervention = None;
    }

    /// Executes the command that makes the saga stuck, and returns the reason.
    fn stick(&mut self) -> ConditionReason {
        let Command::Note(Event::Stick { why, stop }) = self.next() else { panic!("{:?}", self.next()) };
        self.write(Event::Stick { why: why.clone(), stop });
        why.reason
    }
}

fn deletes(names: &[&str]) -> Value {
    let step = |name: &&str| json!({"name": name, "step": "DeleteSnapshot", "with": {"snapshot_id": name}, "irreversible": true});
    names.iter().map(step).collect()
}

fn error(kind: ErrorKind, message: &str) -> StepError {
    StepError { kind, message: message.to_owned() }
}

#[test]
fn a_step_that_could_not_be_started_is_not_undone() {
    let mut story = Story::started(&json!([{"name": "nap", "step": "Sleep", "with": {"seconds": 1}},
                                         {"name": "label", "step": "TagResource",
                                          "with": {"tag": "a", "droplet_provider_id": "1"}}]));
    story.complete(0);
    story.write(StepEvent::Fail { error: error(ErrorKind::Permanent, "no such key") }.of(1));
    let Command::Note(back @ Event::RollBack { .. }) = story.next() else { panic!("{:?}", story.next()) };
    story.write(back);
    assert_eq!(story.next(), Command::Note(StepEvent::CompleteUndo.of(1)));
}

#[test]
fn what_cannot_be_undone_and_is_known_not_to_be_done_is_stopped() {
    let begun = || {
        let mut story = Story::started(&deletes(&["a"]));
        story.begin(0);
        story.spec.cancel_requested = true;
        story
    };
    let is_stopped = |next: &Command| matches!(next, Command::Note(Event::RollBack { .. }));

    let mut refused_for_now = begun();
    refused_for_now.call_state = CallState::Idle(refused_for_now.now);
    assert!(is_stopped(&refused_for_now.next()));

    let mut failed_once = begun();
    let retry_at = failed_once.now + Duration::from_secs(1);
    failed_once
        .write(StepEvent::Retry { error: error(ErrorKind::Transient, "503"), retry_at, of: 5, latest: None }.of(0));
    assert!(is_stopped(&failed_once.next()));

    let mut in_doubt = begun();
    assert_eq!(in_doubt.next(), Command::LookUp(0));
    let looked = |story: &Story, found| after_lookup(&story.view(), 0, Ok(found));
    assert!(matches!(looked(&in_doubt, Lookup::Converges), StepOutcome::Note(Event::RollBack { .. })));
    assert!(matches!(looked(&in_doubt, Lookup::Nothing), StepOutcome::Rest(_)), "it may still appear");
    in_doubt.pass(SETTLE * 2);
    assert!(matches!(looked(&in_doubt, Lookup::Nothing), StepOutcome::Note(Event::RollBack { .. })));
    in_doubt.spec.cancel_requested = false;
    assert!(matches!(
        looked(&in_doubt, Lookup::Converges),
        StepOutcome::Intend(Event::Step { event: StepEvent::Renew { .. }, .. })
    ));
}

#[test]
fn a_step_that_a_person_skips_is_skipped_even_if_it_never_started() {
    let mut story = Story::started(&deletes(&["a", "b"]));
    story.complete(0);
    story.spec.cancel_requested = true;
    assert_eq!(story.stick(), ConditionReason::Irreversible);
    story.resolve("skip", Choice::Skip);
    assert_eq!(story.status.steps[1].state, StepState::Skipped);
    assert_eq!(story.next(), Command::Note(Event::Finish { is_rollback_kind: false }));
}

#[test]
fn a_person_overrules_the_stop_request_and_nothing_else() {
    let mut story = Story::started(&deletes(&["a", "b", "c"]));
    story.begin(0);
    story.write(StepEvent::Fail { error: error(ErrorKind::Ambiguous, "several") }.of(0));
    assert_eq!(story.stick(), ConditionReason::SeveralCandidates);
    story.resolve("skip", Choice::Skip);
    assert_eq!(story.status.overruled, []);
    story.complete(1);

    story.spec.cancel_requested = true;
    assert_eq!(story.stick(), ConditionReason::Irreversible);
    story.resolve("retry", Choice::Retry);
    assert_eq!(story.status.overruled, [StopReason::Cancelled]);
    assert_eq!(story.next(), Command::Prepare(2));

    story.is_deleting = true;
    assert_eq!(story.stick(), ConditionReason::Irreversible, "a person did not decide on that");
}

#[test]
fn a_request_to_stop_that_came_during_the_last_step_is_followed_after_it() {
    let back = |story: &Story| matches!(story.next(), Command::Note(Event::RollBack { .. }));
    let mut story = Story::started(&label());
    story.complete(0);
    assert_eq!(story.next(), Command::Note(Event::Finish { is_rollback_kind: false }));
    story.spec.cancel_requested = true;
    assert!(back(&story), "{:?}", story.next());
    story.spec.cancel_requested = false;
    story.is_deleting = true;
    assert!(back(&story), "{:?}", story.next());

    let mut irreversible = Story::started(&deletes(&["a"]));
    irreversible.complete(0);
    irreversible.spec.cancel_requested = true;
    assert_eq!(irreversible.next(), Command::Note(Event::Finish { is_rollback_kind: false }), "it is done anyway");
}

#[test]
fn an_adoption_does_not_overrule_a_cancellation() {
    let mut story = Story::started(&deletes(&["a", "b"]));
    story.begin(0);
    story.spec.cancel_requested = true;
    story.write(StepEvent::Fail { error: error(ErrorKind::Timeout, "no answer") }.of(0));
    assert_eq!(story.stick(), ConditionReason::Irreversible, "it may have been done");
    story.resolve("retry", Choice::Retry);
    assert_eq!(story.status.overruled, []);
}

#[test]
fn undoing_is_recorded_before_each_call_and_times_out() {
    let mut story = Story::started(&json!([{"name": "label", "step": "TagResource", "timeoutSeconds": 100,
                                          "with": {"tag": "a", "droplet_provider_id": "1"}}]));
    story.complete(0);
    story.write(Event::RollBack { why: Why { reason: ConditionReason::Cancelled, message: "cancelled".to_owned() } });
    let undo = |counts| Command::Intend(StepEvent::Undo { counts }.of(0));
    assert_eq!(story.next(), undo(true));
    story.write(StepEvent::Undo { counts: true }.of(0));
    story.call_state = CallState::Intent;
    assert_eq!(story.next(), Command::CallUndo(0));
    story.call_state = CallState::Idle(story.now + Duration::from_secs(5));
    assert_eq!(story.next(), Command::Rest(Some(Duration::from_secs(5))));
    story.pass(Duration::from_secs(5));
    assert_eq!(story.next(), undo(false), "each call is written down first");

    let not_yet = |story: &Story, waits| after_undo(&story.view(), 0, Ok(Undo::not_yet(Duration::from_secs(2))), waits);
    let waits = |waits| match not_yet(&story, waits) {
        StepOutcome::Idle { until, .. } => until.duration_since(story.now).as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 9].map(waits), [2, 4, 8, 60]);

    story.write(StepEvent::Wait { why: "the droplet is locked".to_owned() }.of(0));
    story.pass(Duration::from_mins(5));
    assert_eq!(late_in(&story.view()), None, "a wait has its own time");
    assert_eq!(story.next(), undo(false), "it was not looked up since: it is undone once more");
    story.write(StepEvent::Undo { counts: false }.of(0));
    let StepOutcome::Note(Event::Stick { why, .. }) = not_yet(&story, 0) else { panic!("{:?}", not_yet(&story, 0)) };
    assert_eq!(why.reason, ConditionReason::UndoFailed);
    assert!(why.message.contains("not done within 200 s; last: the droplet is locked"), "{}", why.message);
    story.write(StepEvent::AwaitUndo { action: ActionId::new(7).unwrap() }.of(0));
    story.stick();
    story.resolve("retry", Choice::Retry);
    assert_eq!((story.next(), &story.status.steps[0].undo), (undo(false), &None), "its time and attempts are new");
    story.write(StepEvent::Undo { counts: false }.of(0));
    story.write(StepEvent::AwaitUndo { action: ActionId::new(8).unwrap() }.of(0));
    let late = late_in(&story.view()).unwrap();
    assert!((200..205).contains(&late.as_secs()), "{late:?}");
}

#[test]
fn the_wait_of_a_step_is_published_once_and_with_the_timeout() {
    let mut story = Story::started(&deletes(&["a"]));
    let prepared = after_prepare(&story.view(), 0, Err(Failure::Waiting("locked".to_owned())), 0);
    assert!(matches!(prepared, StepOutcome::Idle { why, .. } if why == "locked"));
    story.begin(0);
    let long = "x".repeat(5000);
    let look = |story: &Story| after_lookup(&story.view(), 0, Err(Failure::Permanent(long.clone())));
    let StepOutcome::Publish(news, _) = look(&story) else { panic!("{:?}", look(&story)) };
    story.write(news);
    assert!(matches!(look(&story), StepOutcome::Rest(_)));
    story.write(StepEvent::Wait { why: "it cannot be seen".to_owned() }.of(0));
    story.pass(Duration::from_hours(24));
    let Command::Note(Event::Step { event: StepEvent::Fail { error, .. }, .. }) = story.next() else {
        panic!("{:?}", story.next())
    };
    assert!(error.message.ends_with("; last: it cannot be seen"), "{}", error.message);
}

#[test]
fn a_saga_that_is_being_undone_stays_until_that_is_over() {
    let mut story = Story::started(&json!([{"name": "nap", "step": "Sleep", "with": {"seconds": 1}}]));
    story.complete(0);
    story.write(Event::Finish { is_rollback_kind: false });
    story.spec.ttl_seconds_after_finished = Some(0);
    story.pass(Duration::from_secs(5));
    assert_eq!(story.next(), Command::Expire);
    story.spec.suspend = true;
    assert_eq!(story.next(), Command::Rest(None), "suspension stops the clock of a finished saga too");
    story.spec.suspend = false;
    story.undone_by = Some("undo");
    assert_eq!(story.next(), Command::Rest(None));
    story.is_deleting = true;
    assert_eq!(story.next(), Command::Rest(None));
    story.undone_by = None;
    assert_eq!(story.next(), Command::LetGo);
}

#[test]
fn a_saga_that_undoes_another_can_be_paused_and_stopped() {
    let mut story = Story::started(&json!([{"name": "label", "step": "TagResource",
                                          "with": {"tag": "a", "droplet_provider_id": "1"}}]));
    story.complete(0);
    let steps = story.status.steps.clone();
    story.status = SagaStatus::default();
    story.spec.kind = SagaKind::Rollback;
    story.write(Event::Start { steps, digest: String::new(), rollback_of: Some("uid".to_owned()) });

    story.spec.suspend = true;
    assert_eq!(story.next(), Command::Note(Event::Suspend));
    story.write(Event::Suspend);
    assert_eq!(story.next(), Command::Rest(None));
    story.spec.suspend = false;
    story.write(Event::Unsuspend);

    story.spec.cancel_requested = true;
    assert_eq!(story.stick(), ConditionReason::Cancelled);
    story.resolve("retry", Choice::Retry);
    assert_eq!(story.next(), Command::Intend(StepEvent::Undo { counts: true }.of(0)));
}

#[test]
fn only_what_was_carried_out_as_it_stands_is_undone_and_once() {
    let mut story = Story::started(&json!([{"name": "nap", "step": "Sleep", "with": {"seconds": 1}}]));
    story.complete(0);
    let steps = story.status.steps.clone();
    story.status = SagaStatus::default();
    let undone = |undoes: Undoes<'_>| match decide(&SagaView { undoes: Some(undoes), ..story.view() }) {
        Command::Note(Event::Refuse { why }) => why.message,
        next => next.name().to_owned(),
    };
    let good = || Undoes {
        uid: "uid",
        kind: SagaKind::Provision,
        is_unchanged: true,
        phase: SagaPhase::Succeeded,
        steps: &steps,
        undone_by: None,
    };
    assert_eq!(undone(good()), "Start");
    for (undoes, says) in [
        (Undoes { kind: SagaKind::Rollback, ..good() }, "names a saga of kind rollback"),
        (Undoes { phase: SagaPhase::RolledBack, ..good() }, "only a saga that Succeeded"),
        (Undoes { undone_by: Some("other"), ..good() }, "saga other has already undone it"),
        (Undoes { is_unchanged: false, ..good() }, "have changed since it ran"),
        (Undoes { steps: &[], ..good() }, "have changed since it ran"),
    ] {
        let said = undone(undoes);
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_request_to_resolve_a_saga_that_is_not_stuck_is_removed_and_refused_unless_it_was_handled() {
    let mut story = Story::started(&deletes(&["a"]));
    story.begin(0);
    let resolution = Resolution {
        at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(story.now),
        step: "a".to_owned(),
        what: "retry".to_owned(),
        by: "jane".to_owned(),
        why: None,
    };
    story.intervention = Some(Intervention::Choose(Choice::Retry, resolution.clone()));
    let Command::Forget { refusal: Some(refusal) } = story.next() else { panic!("{:?}", story.next()) };
    assert!(refusal.contains("its phase is not Stuck"), "{refusal}");
    // The process ended after the resolution was written, and before its annotation was removed.
    story.status.resolutions.push(resolution);
    assert_eq!(story.next(), Command::Forget { refusal: None });
}

#[test]
fn a_saga_waits_for_the_one_before_it_with_one_write() {
    let mut story = Story::ordered(json!({"kind": "test", "concurrencyKey": "dep-1", "steps": deletes(&["a"])}));
    let next = |story: &Story| decide(&SagaView { waits_for: Some("first"), ..story.view() });
    let hold = Event::Hold { other: "first".to_owned(), key: "dep-1".to_owned() };
    assert_eq!(next(&story), Command::Note(hold.clone()));
    story.write(hold);
    assert_eq!(next(&story), Command::Rest(None));
    assert!(matches!(story.next(), Command::Note(Event::Start { .. })), "{:?}", story.next());
}

#[test]
fn a_saga_that_changes_the_cloud_gets_its_finalizer_before_it_starts() {
    let next = |steps: Value| {
        let story = Story::ordered(json!({"kind": "test", "steps": steps}));
        decide(&SagaView { has_finalizer: false, ..story.view() }).name()
    };
    let nap = json!({"name": "nap", "step": "Sleep", "with": {"seconds": 1}});
    assert_eq!(next(json!([nap])), "Start");
    assert_eq!(next(deletes(&["a"])), "Hold");
    assert_eq!(next(json!([nap, deletes(&["a"])[0]])), "Hold");
}

#[test]
fn a_started_saga_whose_spec_changed_is_stuck() {
    let mut story = Story::started(&deletes(&["a"]));
    story.begin(0);
    let stuck = |view: SagaView<'_>| match decide(&view) {
        Command::Note(Event::Stick { why, stop: None }) => (why.reason, why.message),
        next => panic!("{next:?}"),
    };
    let (reason, message) = stuck(SagaView { digest: "other", ..story.view() });
    assert_eq!(reason, ConditionReason::OrderChanged);
    assert!(message.contains("restore `steps` and `inputs`"), "{message}");
    let longer = Story::started(&deletes(&["a", "b"]));
    for (order, says) in [
        (Ok(&longer.order), "the number of steps differs from the journal"),
        (Err("there is no step \"Slep\""), "there is no step \"Slep\""),
    ] {
        let (reason, message) = stuck(SagaView { order, ..story.view() });
        assert_eq!(reason, ConditionReason::InvalidOrder);
        assert!(message.starts_with(says), "{message}");
    }
}

fn label() -> Value {
    json!([{"name": "label", "step": "TagResource", "timeoutSeconds": 100, "with": {"tag": "a", "droplet_provider_id": "1"}}])
}

fn roll_back() -> Event {
    Event::RollBack { why: Why { reason: ConditionReason::Cancelled, message: "cancelled".to_owned() } }
}

#[test]
fn a_cancelled_saga_turns_back_and_undoes_its_steps() {
    let mut story = Story::started(&label());
    story.begin(0);
    story.spec.cancel_requested = true;
    // A step that can be undone need not be looked up first.
    let Command::Note(back @ Event::RollBack { .. }) = story.next() else { panic!("{:?}", story.next()) };
    story.write(back);
    assert_eq!(story.next(), Command::Intend(StepEvent::Undo { counts: true }.of(0)));
    story.write(StepEvent::CompleteUndo.of(0));
    assert_eq!(story.next(), Command::Note(Event::Finish { is_rollback_kind: false }));
    story.spec.kind = SagaKind::Rollback;
    assert_eq!(story.next(), Command::Note(Event::Finish { is_rollback_kind: true }));
}

#[test]
fn a_cloud_action_ends_before_its_step_is_undone_unless_it_never_ends() {
    let mut story = Story::started(&label());
    story.begin(0);
    story.write(StepEvent::Await { action: ActionId::new(7).unwrap(), ids: Vec::new() }.of(0));
    story.write(roll_back());
    let undo = Command::Intend(StepEvent::Undo { counts: true }.of(0));
    let Command::Rest(Some(left)) = story.next() else { panic!("{:?}", story.next()) };
    assert!((200..205).contains(&left.as_secs()), "{left:?}");
    assert_eq!(decide(&SagaView { action: Some(ActionState::Completed), ..story.view() }), undo);
    story.pass(left);
    assert_eq!(story.next(), undo);
}

#[test]
fn an_attempt_that_failed_is_repeated_after_its_pause() {
    let nap = json!([{"name": "nap", "step": "Sleep", "with": {"seconds": 1}}]);
    for (steps, wanted) in [
        (label(), Command::Intend(StepEvent::Renew { counts: true }.of(0))),
        (nap, Command::Note(StepEvent::Renew { counts: true }.of(0))),
    ] {
        let mut story = Story::started(&steps);
        story.begin(0);
        let retry_at = story.now + Duration::from_secs(5);
        story
            .write(StepEvent::Retry { error: error(ErrorKind::Transient, "503"), retry_at, of: 5, latest: None }.of(0));
        assert_eq!(story.next(), Command::Rest(Some(Duration::from_secs(5))));
        story.pass(Duration::from_secs(5));
        assert_eq!(story.next(), wanted);
    }
}

#[test]
fn a_step_that_failed_turns_the_saga_back_unless_it_may_be_done_and_cannot_be_undone() {
    let after = |steps: &Value, kind| {
        let mut story = Story::started(steps);
        story.begin(0);
        story.write(StepEvent::Fail { error: error(kind, "no") }.of(0));
        match story.next() {
            Command::Note(Event::RollBack { why }) => ("RollBack", why.reason),
            Command::Note(Event::Stick { why, .. }) => ("Stick", why.reason),
            next => panic!("{next:?}"),
        }
    };
    for (steps, kind, wanted) in [
        (label(), ErrorKind::Permanent, ("RollBack", ConditionReason::StepFailed)),
        (label(), ErrorKind::Timeout, ("RollBack", ConditionReason::TimedOut)),
        (deletes(&["a"]), ErrorKind::Permanent, ("RollBack", ConditionReason::StepFailed)),
        (deletes(&["a"]), ErrorKind::Timeout, ("Stick", ConditionReason::Irreversible)),
    ] {
        assert_eq!(after(&steps, kind), wanted, "{kind:?}");
    }
}
