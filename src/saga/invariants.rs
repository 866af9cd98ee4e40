//! The guarantees of a saga over random histories: two runners with stale caches, crashes between any two operations,
//! calls whose responses are lost and whose effects appear late. The journal has versions, as on the API server; the
//! cloud is a list of resources, each created by one step.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::{
    command::Command,
    decide::decide,
    event::{Event, StepEvent, Why},
    journal,
    order::{Order, digest},
    outcome::{StepOutcome, after_call, after_lookup, after_prepare, after_undo},
    state,
    step::{Failure, Lookup, Progress, Undo},
    steps::RULES,
    view::{CallState, SagaView, late_in},
};
use crate::api::{
    conditions::ConditionReason,
    saga::{
        ActionId, MAX_SPEC_BYTES, MAX_STATUS_BYTES, SagaPhase, SagaSpec, SagaStatus, StepState, StepStatus, Values,
    },
};

const SETTLE: Duration = Duration::from_secs(40);

/// The behaviour of the cloud and the runner in the next operation.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The operation succeeds.
    Well,
    /// The call takes effect late, and its response is lost.
    Lost,
    /// The call is refused temporarily; nothing is done.
    Refused,
    /// The call is refused permanently.
    Denied,
    /// The cloud postpones the call.
    Later,
    /// The runner ends before the operation.
    CrashBefore,
    /// The runner ends after the operation, before it writes the result.
    CrashAfter,
}

/// A resource in the cloud.
#[derive(Clone, Debug)]
struct Thing {
    step: usize,
    seen_from: Timestamp,
}

struct World {
    spec: SagaSpec,
    order: Order,
    digest: String,
    now: Timestamp,
    /// All versions of the journal, newest last.
    journal: Vec<SagaStatus>,
    things: Vec<Thing>,
    runners: [Runner; 2],
}

/// A process that runs sagas.
#[derive(Clone, Debug, Default)]
struct Runner {
    /// The version in its cache.
    version: usize,
    status: SagaStatus,
    is_dirty: bool,
    call_state: CallState,
    intended: Option<Timestamp>,
    /// The time until which it is idle.
    rests_until: Option<Timestamp>,
}

impl World {
    fn new(steps: usize, fails: bool) -> Self {
        let mut ordered: Vec<_> = (0..steps)
            .map(|step| json!({"name": format!("make-{step}"), "step": "CreateDropletSnapshot", "retry": {"attempts": 3}}))
            .collect();
        if fails {
            ordered.push(json!({"name": "fail", "step": "Fail", "with": {"message": "no"}}));
        }
        let spec = json!({"kind": "test", "inputs": {"droplet_provider_id": "1"}, "steps": ordered});
        let spec: SagaSpec = serde_json::from_value(spec).unwrap();
        Self {
            order: Order::read(&spec, &RULES).unwrap(),
            digest: digest(&spec),
            spec,
            now: Timestamp::from_second(1_000_000).unwrap(),
            journal: vec![SagaStatus::default()],
            things: Vec::new(),
            runners: Default::default(),
        }
    }

    fn view<'s>(&'s self, runner: &'s Runner) -> SagaView<'s> {
        SagaView {
            spec: &self.spec,
            status: &runner.status,
            generation: 1,
            is_deleting: false,
            has_finalizer: true,
            order: Ok(&self.order),
            undoes: None,
            digest: &self.digest,
            waits_for: None,
            undone_by: None,
            intervention: None,
            action: None,
            call_state: runner.call_state,
            settle: SETTLE,
            now: self.now,
            dice: 1.0,
        }
    }

    /// Executes one command on one runner.
    fn go(&mut self, which: usize, fate: Fate, lag: usize) {
        let mut runner = std::mem::take(&mut self.runners[which]);
        if matches!(fate, Fate::CrashBefore) || runner.rests_until.is_none() && runner.version == 0 {
            self.restart(&mut runner, lag);
        }
        if runner.rests_until.is_some_and(|until| until > self.now) {
            self.runners[which] = runner;
            return;
        }
        let is_alive = self.make(&mut runner, fate) && !matches!(fate, Fate::CrashAfter);
        if !is_alive {
            self.restart(&mut runner, lag);
        }
        self.runners[which] = runner;
    }

    /// A new process, whose cache may hold an old version.
    fn restart(&self, runner: &mut Runner, lag: usize) {
        let version = (self.journal.len() - 1).saturating_sub(lag);
        *runner = Runner { version, status: self.journal[version].clone(), ..Runner::default() };
        runner.rests_until = Some(self.now);
    }

    /// Writes the journal. Returns false after a conflict: the runner decides again.
    fn make(&mut self, runner: &mut Runner, fate: Fate) -> bool {
        let next = decide(&self.view(runner));
        match next {
            Command::Note(event) => self.note(runner, event),
            Command::Intend(event) => self.intend(runner, event),
            Command::Prepare(index) => {
                let after = after_prepare(&self.view(runner), index, Ok(json!(null)), 0);
                self.follow(runner, after)
            }
            Command::Poll(_) | Command::LookUp(_) | Command::CallUndo(_) if runner.is_dirty => self.write(runner),
            Command::Poll(index) => {
                let result = Err(Failure::Permanent("no".to_owned()));
                let after = after_call(&self.view(runner), index, result, 0);
                self.follow(runner, after)
            }
            Command::Call(_) | Command::CallUndo(_) if !self.is_fresh(runner) => {
                runner.call_state = CallState::Idle(self.now);
                true
            }
            Command::Call(index) => {
                runner.call_state = CallState::Unknown;
                let result = self.call(index, fate);
                let after = after_call(&self.view(runner), index, result, 0);
                self.follow(runner, after)
            }
            Command::LookUp(index) => {
                let found = match self.visible(index) {
                    0 => Lookup::Nothing,
                    1 => Lookup::One(Progress::Done(Values::new())),
                    _ => Lookup::Several(vec!["a".to_owned(), "b".to_owned()]),
                };
                let after = after_lookup(&self.view(runner), index, Ok(found));
                self.follow(runner, after)
            }
            Command::CallUndo(index) => {
                runner.call_state = CallState::Unknown;
                let result = self.undo(index, fate);
                let after = after_undo(&self.view(runner), index, result, 0);
                self.follow(runner, after)
            }
            Command::Rest(wait) => {
                let is_written = self.write(runner);
                let late = late_in(&self.view(runner));
                let wait = wait.into_iter().chain(late).min().unwrap_or(Duration::from_secs(1));
                runner.rests_until = Some(self.now + wait);
                is_written
            }
            other => panic!("unexpected command {other:?}"),
        }
    }

    /// Returns true if the intent of the operation is recent.
    fn is_fresh(&self, runner: &Runner) -> bool {
        let since = runner.intended.map(|at| self.now.duration_since(at));
        since.is_some_and(|since| since <= SignedDuration::try_from(SETTLE / 4).unwrap())
    }

    fn call(&mut self, index: usize, fate: Fate) -> Result<Progress<Values>, Failure> {
        match fate {
            Fate::Well | Fate::CrashBefore | Fate::CrashAfter => {
                self.things.push(Thing { step: index, seen_from: self.now });
                Ok(Progress::Done(Values::new()))
            }
            Fate::Lost => {
                // The call takes time and its effect appears later, all within the settle time.
                self.things.push(Thing { step: index, seen_from: self.now + SETTLE / 2 });
                Err(Failure::Doubt("lost".to_owned()))
            }
            Fate::Refused => Err(Failure::Transient("refused".to_owned())),
            Fate::Denied => Err(Failure::Permanent("denied".to_owned())),
            Fate::Later => Err(Failure::Waiting("later".to_owned())),
        }
    }

    fn undo(&mut self, index: usize, fate: Fate) -> Result<Undo, Failure> {
        let now = self.now;
        let view = self.things.iter().position(|thing| thing.step == index && thing.seen_from <= now);
        match (fate, view) {
            (Fate::Refused, _) => Err(Failure::Transient("refused".to_owned())),
            (Fate::Later, _) => Err(Failure::Waiting("later".to_owned())),
            (_, None) => Ok(Undo::NothingThere),
            (Fate::Lost, Some(at)) => {
                self.things.remove(at);
                Err(Failure::Doubt("lost".to_owned()))
            }
            (_, Some(at)) => {
                self.things.remove(at);
                Ok(Undo::Done)
            }
        }
    }

    fn visible(&self, index: usize) -> usize {
        self.things.iter().filter(|thing| thing.step == index && thing.seen_from <= self.now).count()
    }

    fn follow(&mut self, runner: &mut Runner, after: StepOutcome) -> bool {
        match after {
            StepOutcome::Note(event) => self.note(runner, event),
            StepOutcome::Intend(event) => self.intend(runner, event),
            StepOutcome::Idle { until, .. } => {
                runner.call_state = CallState::Idle(until);
                runner.rests_until = Some(until);
                self.write(runner)
            }
            StepOutcome::Rest(wait) => {
                runner.rests_until = Some(self.now + wait);
                self.write(runner)
            }
            StepOutcome::Publish(event, wait) => {
                self.note(runner, event);
                runner.rests_until = Some(self.now + wait);
                self.write(runner)
            }
        }
    }

    fn note(&mut self, runner: &mut Runner, event: Event) -> bool {
        journal::apply(&mut runner.status, event, self.now).expect("the runner keeps to the journal");
        runner.is_dirty = true;
        runner.call_state = CallState::Unknown;
        true
    }

    fn intend(&mut self, runner: &mut Runner, event: Event) -> bool {
        self.note(runner, event);
        if !self.write(runner) {
            return false;
        }
        runner.call_state = CallState::Intent;
        runner.intended = Some(self.now);
        true
    }

    /// Bound to the version that was read, as on the API server.
    fn write(&mut self, runner: &mut Runner) -> bool {
        if !runner.is_dirty {
            return true;
        }
        if runner.version + 1 != self.journal.len() {
            return false;
        }
        self.journal.push(runner.status.clone());
        runner.version += 1;
        runner.is_dirty = false;
        true
    }

    fn newest(&self) -> &SagaStatus {
        self.journal.last().unwrap()
    }

    /// No step ever has two resources at the same time.
    fn check(&self) {
        for index in 0..self.order.steps.len() {
            let made = self.things.iter().filter(|thing| thing.step == index).count();
            assert!(made <= 1, "step {index} made {made} things\n{:#?}", self.newest());
        }
    }

    /// Lets every operation succeed until the saga ends.
    fn settle(&mut self) {
        for _ in 0..2000 {
            if self.newest().phase.is_finished() || self.newest().phase == SagaPhase::Stuck {
                return;
            }
            self.go(0, Fate::Well, 0);
            self.check();
            self.now += Duration::from_secs(1);
            // A runner with a conflict decides again, as after a watch event.
            let is_behind = self.runners[0].version + 1 != self.journal.len();
            if is_behind {
                let mut runner = std::mem::take(&mut self.runners[0]);
                self.restart(&mut runner, 0);
                self.runners[0] = runner;
            }
        }
        panic!("it does not end: {:#?}", self.newest());
    }
}

fn fates() -> impl Strategy<Value = Vec<(usize, Fate, usize, u8)>> {
    let fate = prop_oneof![
        6 => Just(Fate::Well),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Denied),
        1 => Just(Fate::Later),
        2 => Just(Fate::CrashBefore),
        2 => Just(Fate::CrashAfter),
    ];
    prop::collection::vec((0..2_usize, fate, 0..4_usize, prop_oneof![0..3_u8, 0..60_u8]), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_step_creates_two_resources_despite_crashes_and_races(steps in 1..4_usize, fails: bool, fates in fates()) {
        let mut world = World::new(steps, fails);
        for (which, fate, lag, seconds) in fates {
            world.go(which, fate, lag);
            world.check();
            world.now += Duration::from_secs(seconds.into());
        }
        world.settle();
        let made = world.things.len();
        match world.newest().phase {
            SagaPhase::Succeeded => prop_assert_eq!(made, steps),
            SagaPhase::RolledBack => prop_assert_eq!(made, 0, "a leak: {:#?}", world.newest()),
            // A step whose undo failed in every attempt.
            SagaPhase::Stuck => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn the_whole_object_stays_below_64_kib() {
    let before = json!({"x": "y".repeat(3000)});
    let mut status = SagaStatus::default();
    let steps = (0..64).map(|step| StepStatus { name: format!("{step:050}"), ..StepStatus::default() }).collect();
    let now = Timestamp::now();
    let mut apply = |event| journal::apply(&mut status, event, now).unwrap();
    apply(Event::Start { steps, digest: "0".repeat(32), rollback_of: None });
    for step in 0..64 {
        apply(StepEvent::Begin { before: json!(null) }.of(step));
        apply(
            StepEvent::Await {
                action: ActionId::new(i64::MAX.unsigned_abs()).unwrap(),
                ids: vec!["droplets/3164444".to_owned()],
            }
            .of(step),
        );
        apply(StepEvent::Complete { output: Values::new() }.of(step));
    }
    assert!(!state::has_room(&status, crate::api::saga::MAX_OUTPUT_BYTES + 1));
    while state::has_room(&status, state::json_size(&before)) {
        let free = status.steps.iter_mut().find(|entry| entry.before.is_none()).unwrap();
        free.before = Some(before.clone());
    }
    let why = Why { reason: ConditionReason::Cancelled, message: "x".repeat(5000) };
    journal::apply(&mut status, Event::RollBack { why }, now).unwrap();
    for step in (0..64).rev() {
        journal::apply(&mut status, StepEvent::Undo { counts: true }.of(step), now).unwrap();
        journal::apply(&mut status, StepEvent::CompleteUndo.of(step), now).unwrap();
    }
    let size = state::json_size(&status);
    assert!(
        size <= MAX_STATUS_BYTES && size + MAX_SPEC_BYTES + 2048 < 64 * 1024,
        "{size} bytes of journal, {MAX_STATUS_BYTES} were to be"
    );
    assert!(status.steps.iter().all(|entry| entry.state == StepState::Undone));
}
