//! One step done and undone as by the runner, with its own clock and with lost responses.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::world::StepWorld;
use crate::{
    api::saga::{ActionId, ErrorKind, StepError, StepState, StepStatus, UndoStatus, Values},
    digitalocean::Endpoint,
    saga::{
        step::{AnyStep, Failure, Identity, Lookup, Progress, StepContext, Undo},
        steps::named,
    },
};

/// The settle time of tests.
const SETTLE: Duration = Duration::from_millis(100);
/// The maximum real time of a wait.
const LONGEST_WAIT: Duration = Duration::from_millis(60);
/// The maximum number of polls in either direction.
const MOST_LOOKS: usize = 60;

/// The call at which the process crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process crashes after the intent is recorded and before the call.
    Before(usize),
    /// The process crashes after the call, and its response is lost.
    After(usize),
}

/// A step, its parameters and its journal entry.
pub(super) struct Journey<'w> {
    world: &'w StepWorld,
    step: &'static dyn AnyStep,
    parameters: Value,
    entry: StepStatus,
    /// The time of the journey's clock, which only advances in waits.
    now: Timestamp,
    /// The number of calls of the step.
    pub(super) calls: usize,
    crash: Option<Crash>,
}

/// The next operation of the step.
enum Turn {
    Call,
    Look,
    Done(Values),
    Failed(ErrorKind, String),
}

impl<'w> Journey<'w> {
    pub(super) fn new(world: &'w StepWorld, step: &'static dyn AnyStep, parameters: &Value) -> Self {
        let entry = StepStatus { name: "it".to_owned(), ..StepStatus::default() };
        Self { world, step, parameters: parameters.clone(), entry, now: Timestamp::now(), calls: 0, crash: None }
    }

    /// The process crashes at this call, and the next one resumes.
    pub(super) fn with(self, crash: Crash) -> Self {
        Self { crash: Some(crash), ..self }
    }

    /// The state before the step, as the journal holds it.
    pub(super) fn before(&self) -> Value {
        self.entry.before.clone().unwrap_or_default()
    }

    /// Records the start of the step, without any call.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        let before = self.step.before(&self.context(false), &self.parameters).await?;
        let now = self.time();
        self.entry.state = StepState::Running;
        self.entry.started_at = now.clone();
        self.entry.called_at = now;
        self.entry.before = (!before.is_null()).then_some(before);
        Ok(())
    }

    /// The wait of an approval.
    pub(super) async fn ask(&self) -> Result<Progress<Values>, Failure> {
        self.step.run(&StepContext { approved_by: None, ..self.context(false) }, &self.parameters).await
    }

    /// Does the step.
    pub(super) async fn go(&mut self) -> Result<Values, Failure> {
        self.begin().await?;
        self.call_on().await
    }

    /// Does a started step.
    pub(super) async fn call_on(&mut self) -> Result<Values, Failure> {
        let output = self.go_on(false).await?.expect("it ends, since nothing stops it");
        self.entry.state = StepState::Done;
        self.entry.finished_at = self.time();
        self.entry.called_at = None;
        self.entry.action = None;
        self.entry.output.clone_from(&output);
        Ok(output)
    }

    /// Does the step until the process crashes, without a restart. Returns whether it crashed.
    pub(super) async fn go_until_crash(&mut self) -> Result<bool, Failure> {
        self.begin().await?;
        Ok(self.go_on(true).await?.is_none())
    }

    /// Looks up the effect of a step in doubt as a new process does, and repeats the step if necessary.
    pub(super) async fn resume(&mut self) -> Result<Values, Failure> {
        self.entry.state = StepState::Running;
        self.entry.finished_at = None;
        self.entry.called_at = self.time();
        self.entry.output = Values::new();
        self.entry.error = None;
        let output = self.turn(Turn::Look, false).await?;
        Ok(output.expect("it ends, since nothing stops it"))
    }

    /// Adopts a resource that a person names.
    pub(super) async fn adopt(&mut self, id: &str) -> Result<Values, Failure> {
        let adopted = self.step.adopt(&self.context(false), &self.parameters, id).await?;
        let turn = self.take(adopted).await;
        Ok(self.turn(turn, false).await?.expect("it ends, since nothing stops it"))
    }

    /// Calls a started step once.
    pub(super) async fn call_once(&mut self) -> Result<Progress<Values>, Failure> {
        self.call().await.expect("it does not crash")
    }

    /// Moves the start of the step into the past.
    pub(super) fn started_before(&mut self, time: Duration) {
        let started = Timestamp::now() - SignedDuration::try_from(time).unwrap();
        self.entry.started_at = Some(Time(started));
    }

    async fn go_on(&mut self, stops: bool) -> Result<Option<Values>, Failure> {
        self.turn(Turn::Call, stops).await
    }

    /// Continues to the end. None if the process crashed and is not restarted.
    async fn turn(&mut self, mut turn: Turn, stops: bool) -> Result<Option<Values>, Failure> {
        for _ in 0..MOST_LOOKS {
            turn = match turn {
                Turn::Done(output) => return Ok(Some(output)),
                Turn::Failed(kind, message) => {
                    self.entry.state = StepState::Failed;
                    self.entry.finished_at = self.time();
                    self.entry.error = Some(StepError { kind, message: message.clone() });
                    return Err(Failure::Permanent(message));
                }
                Turn::Call => match self.call().await {
                    None if stops => return Ok(None),
                    None => Turn::Look,
                    Some(Ok(progress)) => self.take(progress).await,
                    Some(Err(Failure::Doubt(message))) => {
                        self.entry.error = Some(StepError { kind: ErrorKind::Doubt, message });
                        Turn::Look
                    }
                    Some(Err(Failure::Permanent(message))) => Turn::Failed(ErrorKind::Permanent, message),
                    Some(Err(Failure::Transient(_) | Failure::Waiting(_) | Failure::OutOfCalls(_))) => {
                        self.wait(Duration::from_secs(1)).await;
                        self.renew()
                    }
                },
                Turn::Look => match self.step.find(&self.context(false), &self.parameters).await {
                    Ok(Lookup::Converges) => self.renew(),
                    // The cloud reports it as done, so its effect will appear and it is not repeated.
                    Ok(Lookup::Nothing) if self.entry.action.is_some() => {
                        self.wait(Duration::from_secs(1)).await;
                        Turn::Look
                    }
                    Ok(Lookup::Nothing) if self.context(false).has_settled() => self.renew(),
                    Ok(Lookup::Nothing) => {
                        self.wait(SETTLE + Duration::from_secs(2)).await;
                        Turn::Look
                    }
                    Ok(Lookup::One(progress)) => self.take(progress).await,
                    Ok(Lookup::Several(ids)) => Turn::Failed(ErrorKind::Ambiguous, format!("one of {ids:?}")),
                    Err(Failure::Permanent(message)) => Turn::Failed(ErrorKind::Permanent, message),
                    Err(_) => {
                        self.wait(Duration::from_secs(1)).await;
                        Turn::Look
                    }
                },
            };
        }
        panic!("{} does not end: {:?}", self.step.name(), self.entry)
    }

    /// Records another call of the step.
    fn renew(&mut self) -> Turn {
        self.entry.called_at = self.time();
        self.entry.action = None;
        self.entry.error = None;
        Turn::Call
    }

    /// The result of a call; none if the process crashed.
    async fn call(&mut self) -> Option<Result<Progress<Values>, Failure>> {
        let call = self.calls;
        self.calls += 1;
        if self.crash == Some(Crash::Before(call)) {
            return None;
        }
        let result = self.step.run(&self.context(false), &self.parameters).await;
        (self.crash != Some(Crash::After(call))).then_some(result)
    }

    async fn take(&mut self, progress: Progress<Values>) -> Turn {
        match progress {
            Progress::Done(output) => return Turn::Done(output),
            // The action has ended and its effect does not appear yet.
            Progress::Started { action, .. } if self.entry.action == Some(action) => {
                self.wait(Duration::from_secs(1)).await;
            }
            Progress::Started { action, ids } => {
                self.entry.action = Some(action);
                self.entry.error = None;
                for id in ids {
                    if !self.entry.external_ids.contains(&id) {
                        self.entry.external_ids.push(id);
                    }
                }
                if self.wait_for(action).await == "errored" {
                    self.wait(Duration::from_secs(1)).await;
                    return self.renew();
                }
            }
            Progress::NotYet { again, .. } => self.wait(again).await,
        }
        Turn::Look
    }

    /// Undoes the step without recording it: it can be undone again.
    pub(super) async fn undo(&mut self) -> Result<(), Failure> {
        self.entry.state = StepState::Undoing;
        for _ in 0..MOST_LOOKS {
            self.entry.undo = Some(UndoStatus::default());
            match self.step.undo(&self.context(true), &self.parameters).await {
                Ok(Undo::Done) => return Ok(()),
                Ok(Undo::NothingThere) if self.is_refused() || self.context(true).has_settled() => return Ok(()),
                Ok(Undo::NothingThere) => self.wait(SETTLE + Duration::from_secs(2)).await,
                Ok(Undo::Started(action)) => drop(self.wait_for(action).await),
                Ok(Undo::NotYet { again, .. }) => self.wait(again).await,
                Err(Failure::Permanent(why)) => return Err(Failure::Permanent(why)),
                Err(_) => self.wait(Duration::from_secs(1)).await,
            }
        }
        panic!("undoing {} does not end: {:?}", self.step.name(), self.entry)
    }

    /// Returns true if the latest call was refused.
    fn is_refused(&self) -> bool {
        self.entry.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Permanent)
    }

    /// Waits until an action has ended, and returns its result.
    async fn wait_for(&mut self, action: ActionId) -> String {
        let id = action.to_string();
        let path = Endpoint { route: "/v2/actions/{id}", parent: None, id: Some(&id), scope: "actions:read" };
        for _ in 0..MOST_LOOKS {
            if let Ok(Some(answer)) = self.world.cloud.fetch(path, "action", &[]).await
                && answer["status"] != "in-progress"
            {
                return answer["status"].as_str().unwrap().to_owned();
            }
            self.wait(Duration::from_millis(10)).await;
        }
        panic!("action {action} does not end");
    }

    /// Advances the time, mostly on the own clock only.
    async fn wait(&mut self, time: Duration) {
        tokio::time::sleep(time.min(LONGEST_WAIT)).await;
        self.now += SignedDuration::try_from(time).unwrap();
    }

    /// The journal entry as JSON.
    pub(super) fn journal(&self) -> String {
        serde_json::to_string(&self.entry).unwrap()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The time as in the journal.
    fn time(&self) -> Option<Time> {
        Timestamp::from_second(self.now().as_second()).ok().map(Time)
    }

    fn context(&self, is_undo: bool) -> StepContext<'_> {
        StepContext {
            cloud: &self.world.cloud,
            kube: self.world.kube(),
            http: &self.world.http,
            namespace: self.world.namespace(),
            saga: "trial",
            identity: Identity::new("7d7bc8cd-04f5-4c5c-a2ef-7bcbb0c6e6a3", 2, is_undo),
            entry: &self.entry,
            approved_by: Some("jane"),
            settle: SETTLE,
            now: self.now(),
        }
    }
}

/// A step of this name, before it is done.
pub(super) fn journey<'w>(world: &'w StepWorld, step: &str, parameters: &Value) -> Journey<'w> {
    Journey::new(world, named(step).unwrap(), parameters)
}

/// Does a step of this name.
pub(super) async fn go(world: &StepWorld, step: &str, parameters: Value) -> Result<Values, Failure> {
    journey(world, step, &parameters).go().await
}

/// The refusal of a step that changed nothing.
pub(super) async fn refusal(world: &StepWorld, step: &str, parameters: Value) -> String {
    world.control.reset_requests().await.unwrap();
    let Err(Failure::Permanent(why)) = go(world, step, parameters.clone()).await else {
        panic!("{step} takes {parameters}")
    };
    assert_eq!(world.changes().await, 0, "{step} {parameters}");
    why
}
