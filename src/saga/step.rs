//! The interface of a step: its parameters, and how to do it, find it again and undo it.
//!
//! The journal announces every call that changes something. If the process ends right after, the next process finds a
//! step that was started and has no result: a step in doubt. Each step handles doubt in one of two ways, by
//! [`Step::find`]:
//!
//! - it *creates* a resource (a droplet, a snapshot): the resource carries the step's [`Identity`], by which it is
//!   found. The call is repeated only after the effect of the first one would have appeared;
//! - it *converges* (powers off, attaches): it reads the state before it acts, so it can be repeated at any time.

use std::{future::Future, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{clock, digest::short_digest, step_rules::StepRules};
use crate::{
    api::saga::{ActionId, ErrorKind, SagaStatus, StepStatus, Values},
    digitalocean::{self, SAGA_TAG},
    kube_ext::call,
};

pub(crate) use super::step_result::{Failure, Lookup, Progress, Undo};

pub(super) use super::clock::has_passed;

/// One kind of step.
pub trait Step: Send + Sync + 'static {
    /// The value of `step` in a saga.
    const NAME: &'static str;
    /// The default timeout, with all retries.
    const TIMEOUT: Duration = Duration::from_mins(15);
    /// The step changes nothing and only reads or waits, so it can be repeated without an entry in the journal.
    const IS_PASSIVE: bool = false;

    /// The parameters. The description of the type is the step's documentation.
    type Parameters: DeserializeOwned + JsonSchema + Send + Sync;
    /// The output, to which later steps can refer.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// The state before the step, as far as undoing needs it.
    type Before: Serialize + DeserializeOwned + Default + Send + Sync;

    /// Checks that the schema cannot express: returns the mistake in a combination of parameters.
    fn objection(&self, parameters: &Self::Parameters) -> Option<String> {
        let _ = parameters;
        None
    }

    /// The reason why the step cannot be undone with these parameters.
    fn irreversible(&self, parameters: &Self::Parameters) -> Option<&'static str> {
        let _ = parameters;
        None
    }

    /// The reason why the output lacks a field with these parameters.
    fn withholds(&self, parameters: &Self::Parameters, field: &str) -> Option<&'static str> {
        let _ = (parameters, field);
        None
    }

    /// Reads the state before the step. Changes nothing.
    fn before(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
    ) -> impl Future<Output = Result<Self::Before, Failure>> + Send {
        let _ = (context, parameters);
        async { Ok(Self::Before::default()) }
    }

    /// Does the step, with at most one change.
    fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
    ) -> impl Future<Output = Result<Progress<Self::Output>, Failure>> + Send;

    /// Looks up the effect of the step. Changes nothing.
    fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
    ) -> impl Future<Output = Result<Lookup<Self::Output>, Failure>> + Send {
        let _ = (context, parameters, before);
        async { Ok(Lookup::Converges) }
    }

    /// Adopts a resource that a person names as created by the step.
    fn adopt(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        id: &str,
    ) -> impl Future<Output = Result<Progress<Self::Output>, Failure>> + Send {
        let _ = (context, parameters, id);
        async { Err(Failure::Permanent(format!("{} creates nothing that could be adopted", Self::NAME))) }
    }

    /// Reads the traces of a step that cannot be undone. Changes nothing.
    fn trace(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
    ) -> impl Future<Output = Result<Trace, Failure>> + Send {
        let _ = (context, parameters, before);
        async {
            if Self::IS_PASSIVE {
                return Ok(Trace::Nothing);
            }
            Err(Failure::Permanent(format!("{} defines neither undo nor trace", Self::NAME)))
        }
    }

    /// Undoes the step, with at most one change. It reads the state before it acts, so it can be repeated at any time,
    /// also for a step that was done in part or not at all. `output` is the step's output if the step is known to be
    /// done.
    ///
    /// A step that cannot be undone returns its traces by [`Step::trace`] instead.
    fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
        output: Option<&Self::Output>,
    ) -> impl Future<Output = Result<Undo, Failure>> + Send {
        let _ = output;
        async {
            match self.trace(context, parameters, before).await? {
                Trace::Nothing => Ok(Undo::NothingThere),
                Trace::UnderWay(action) => Ok(Undo::Started(action)),
                Trace::There(why) => Err(Failure::Permanent(why)),
            }
        }
    }
}

/// The traces of a step that cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// None: there is nothing to undo.
    Nothing,
    /// This action has to end first; then the trace is read again.
    UnderWay(ActionId),
    /// The step is done and cannot be undone, for this reason.
    There(String),
}

/// The surroundings of a call of a step.
pub struct StepContext<'a> {
    pub cloud: &'a digitalocean::Client,
    pub kube: &'a kube::Client,
    /// The client for calls to the users' own services.
    pub http: &'a reqwest::Client,
    pub namespace: &'a str,
    pub saga: &'a str,
    pub identity: Identity,
    /// The step's entry in the journal.
    pub entry: &'a StepStatus,
    /// The person who approved the step, by annotation.
    pub approved_by: Option<&'a str>,
    /// The time to wait for the effect of a call whose response was lost.
    pub settle: Duration,
    pub now: Timestamp,
}

impl StepContext<'_> {
    /// The start of the step, moved by the time for which the saga was suspended since.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        clock::step_began(&SagaStatus::default(), self.entry, self.now).unwrap_or(self.now)
    }

    /// Reads. A failed read sent nothing, so it counts as no attempt of a started step: an outage of the API does not undo a
    /// step that has to wait for hours. No timeout limits a step that has not started, so its attempts count.
    pub async fn read<T, E: Into<Failure>>(&self, reading: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
        let has_started = self.entry.started_at.is_some();
        reading.await.map_err(|error| if has_started { error.into().into_wait() } else { error.into() })
    }

    /// Checks that a call to a service may be sent now: the journal announces it, and this process leads. The client of
    /// the cloud checks that by itself.
    pub async fn check_intent(&self, doing: &str) -> Result<(), Failure> {
        if self.cloud.may_change().await {
            return Ok(());
        }
        Err(Failure::Waiting(format!(
            "{doing}: it was not sent in time after it was decided, and will be decided again"
        )))
    }

    /// Returns true if the step had no turn before the current or latest one, so it made no call then.
    #[must_use]
    pub fn is_first_call(&self) -> bool {
        self.entry.called_at == self.entry.started_at
    }

    /// Returns true if the settle time of the latest call is over.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.entry.called_at.as_ref().is_none_or(|called| has_passed(called.0, self.settle, self.now))
    }

    /// Returns true if the settle times of all calls are over. A refused call has no effect, and it was only made after
    /// the effects of the earlier calls would have appeared.
    #[must_use]
    pub fn shows_everything(&self) -> bool {
        let error = self.entry.error.as_ref();
        let did_nothing = error.is_some_and(|it| matches!(it.kind, ErrorKind::Permanent | ErrorKind::Transient));
        self.has_settled() || did_nothing
    }

    /// The ids of a collection, such as `droplets`, that the journal has recorded.
    pub fn noted<'s>(&'s self, collection: &'s str) -> impl Iterator<Item = &'s str> {
        self.entry.external_ids.iter().filter_map(move |id| id.strip_prefix(collection)?.strip_prefix('/'))
    }
}

/// The identity of a step: derived from the saga's UID, the step's index and the direction, so every process and every
/// attempt derives the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uid: String,
    index: usize,
    is_undo: bool,
}

impl Identity {
    #[must_use]
    pub fn new(uid: &str, index: usize, is_undo: bool) -> Self {
        Self { uid: uid.to_owned(), index, is_undo }
    }

    /// The tag of the resources that the step creates. It is the same in both directions, since undoing looks it up.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{SAGA_TAG}{}:{}", self.uid, self.index)
    }

    /// A short suffix for the names of the resources that the step creates. It is the same in both directions.
    #[must_use]
    pub fn suffix(&self) -> String {
        short_digest(&format!("{}/{}", self.uid, self.index), 5)
    }

    /// An idempotency key for calls to services.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.uid, self.index, if self.is_undo { "undo" } else { "do" })
    }
}

impl From<digitalocean::Error> for Failure {
    fn from(error: digitalocean::Error) -> Self {
        let text = error.to_string();
        if matches!(error, digitalocean::Error::NoBudget { .. }) {
            Self::OutOfCalls(text)
        } else if is_waiting(&error) {
            Self::Waiting(text)
        } else if error.may_have_happened() {
            Self::Doubt(text)
        } else if error.retryable() || error.status() == Some(409) {
            Self::Transient(text)
        } else {
            Self::Permanent(text)
        }
    }
}

/// Returns true if the cloud only postpones the call.
fn is_waiting(error: &digitalocean::Error) -> bool {
    match error {
        // A token can be replaced while the operator runs.
        digitalocean::Error::RateLimited { .. }
        | digitalocean::Error::TooLate { .. }
        | digitalocean::Error::Unauthorized { .. } => true,
        error => error.is_busy(),
    }
}

impl From<call::Error> for Failure {
    fn from(error: call::Error) -> Self {
        match error {
            call::Error::TimedOut { .. } | call::Error::Failed { .. } => Self::Doubt(error.to_string()),
            call::Error::Conflict { .. } | call::Error::AlreadyExists { .. } => Self::Transient(error.to_string()),
            call::Error::NotFound { .. } | call::Error::Forbidden { .. } | call::Error::Refused { .. } => {
                Self::Permanent(error.to_string())
            }
        }
    }
}

/// A step with its types erased, for the runner.
pub trait AnyStep: StepRules {
    /// See [`Step::before`].
    fn before<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Value, Failure>>;
    /// See [`Step::run`].
    fn run<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>>;
    /// See [`Step::find`].
    fn find<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Lookup<Values>, Failure>>;
    /// See [`Step::adopt`].
    fn adopt<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>>;
    /// See [`Step::undo`].
    fn undo<'a>(&'a self, context: &'a StepContext<'a>, parameters: &'a Value) -> BoxFuture<'a, Result<Undo, Failure>>;
}

impl<S: Step> StepRules for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn timeout(&self) -> Duration {
        S::TIMEOUT
    }

    fn is_passive(&self) -> bool {
        S::IS_PASSIVE
    }

    fn parameters(&self) -> Value {
        schema::<S::Parameters>()
    }

    fn output(&self) -> Value {
        schema::<S::Output>()
    }

    fn check(&self, parameters: &Value) -> Result<Option<&'static str>, String> {
        let parameters = S::Parameters::deserialize_from(parameters).map_err(|error| error.to_string())?;
        self.objection(&parameters).map_or_else(|| Ok(self.irreversible(&parameters)), Err)
    }

    fn withholds(&self, parameters: &Value, field: &str) -> Option<&'static str> {
        Step::withholds(self, &S::Parameters::deserialize_from(parameters).ok()?, field)
    }
}

impl<S: Step> AnyStep for S {
    fn before<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        async move {
            let before = Step::before(self, context, &typed(parameters)?).await?;
            serde_json::to_value(&before).map_err(Failure::permanent)
        }
        .boxed()
    }

    fn run<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>> {
        async move { untyped(Step::run(self, context, &typed(parameters)?, &was::<S>(context.entry)?).await?) }.boxed()
    }

    fn find<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Lookup<Values>, Failure>> {
        async move {
            Ok(match Step::find(self, context, &typed(parameters)?, &was::<S>(context.entry)?).await? {
                Lookup::Converges => Lookup::Converges,
                Lookup::Nothing => Lookup::Nothing,
                Lookup::One(progress) => Lookup::One(untyped(progress)?),
                Lookup::Several(ids) => Lookup::Several(ids),
            })
        }
        .boxed()
    }

    fn adopt<'a>(
        &'a self,
        context: &'a StepContext<'a>,
        parameters: &'a Value,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>> {
        async move { untyped(Step::adopt(self, context, &typed(parameters)?, id).await?) }.boxed()
    }

    fn undo<'a>(&'a self, context: &'a StepContext<'a>, parameters: &'a Value) -> BoxFuture<'a, Result<Undo, Failure>> {
        async move {
            let entry = context.entry;
            // A step in doubt has no output; neither has one that ended halfway.
            let output = S::Output::deserialize_from(&Value::Object(entry.output.clone())).ok();
            let output = output.filter(|_| entry.finished_at.is_some() && entry.error.is_none());
            Step::undo(self, context, &typed(parameters)?, &was::<S>(entry)?, output.as_ref()).await
        }
        .boxed()
    }
}

trait DeserializeFrom: DeserializeOwned {
    fn deserialize_from(value: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(value)
    }
}

impl<T: DeserializeOwned> DeserializeFrom for T {}

fn typed<P: DeserializeOwned>(parameters: &Value) -> Result<P, Failure> {
    P::deserialize_from(parameters).map_err(|error| Failure::Permanent(format!("reading its parameters: {error}")))
}

/// The state before the step, from the journal.
fn was<S: Step>(entry: &StepStatus) -> Result<S::Before, Failure> {
    let Some(before) = entry.before.as_ref().filter(|before| !before.is_null()) else {
        return Ok(S::Before::default());
    };
    S::Before::deserialize_from(before)
        .map_err(|error| Failure::Permanent(format!("reading the state before the step from the journal: {error}")))
}

fn untyped<O: Serialize>(progress: Progress<O>) -> Result<Progress<Values>, Failure> {
    Ok(match progress {
        Progress::Done(output) => match serde_json::to_value(&output).map_err(Failure::permanent)? {
            Value::Object(output) => Progress::Done(output),
            _ => Progress::Done(Values::new()),
        },
        Progress::Started { action, ids } => Progress::Started { action, ids },
        Progress::NotYet { again, why } => Progress::NotYet { again, why },
    })
}

/// The schema of a type, with all subschemas inlined.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
