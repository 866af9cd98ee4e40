//! What a step is: its parameters, and how it is done, found again and undone.
//!
//! Every call that changes something is made right after the journal says that it will be. If the process ends in
//! between, the next one finds a step that was begun and does not know what came of it: in doubt. So a step is one of
//! two sorts, and says by [`Step::find`] which:
//!
//! - it *makes* something (a droplet, a snapshot): what it makes carries the step's [`Identity`], by which it is found,
//!   and nothing is made a second time before everybody would have seen the first;
//! - it *converges* (powers off, attaches): it looks before it acts, so it can be done again at any time.

use std::{fmt::Display, future::Future, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::clock;
pub(super) use super::clock::has_passed;
use crate::{
    api::saga::{ActionId, ErrorKind, SagaStatus, StepStatus, Values},
    digitalocean::{self, SAGA_TAG},
    kube_ext::call,
};

/// One kind of step.
pub trait Step: Send + Sync + 'static {
    /// As sagas name it.
    const NAME: &'static str;
    /// How long it may take with all its retries, unless the saga says otherwise.
    const TIMEOUT: Duration = Duration::from_mins(15);
    /// It changes nothing and only looks or waits, so that it can be done again without a word in the journal.
    const IS_PASSIVE: bool = false;

    /// What it is told. The description of the type is the step's documentation.
    type Parameters: DeserializeOwned + JsonSchema + Send + Sync;
    /// What later steps can refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// What undoing it takes of how things were before.
    type Before: Serialize + DeserializeOwned + Default + Send + Sync;

    /// What is wrong with parameters of which each by itself is as the schema says.
    fn objection(&self, parameters: &Self::Parameters) -> Option<String> {
        let _ = parameters;
        None
    }

    /// Why it cannot be undone, where that is so.
    fn irreversible(&self, parameters: &Self::Parameters) -> Option<&'static str> {
        let _ = parameters;
        None
    }

    /// Why its output lacks a field with these parameters.
    fn withholds(&self, parameters: &Self::Parameters, field: &str) -> Option<&'static str> {
        let _ = (parameters, field);
        None
    }

    /// Reads how things are before it is done. Changes nothing.
    fn before(
        &self,
        scene: &Scene<'_>,
        parameters: &Self::Parameters,
    ) -> impl Future<Output = Result<Self::Before, Failure>> + Send {
        let _ = (scene, parameters);
        async { Ok(Self::Before::default()) }
    }

    /// Does it, with one change at the most.
    fn run(
        &self,
        scene: &Scene<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
    ) -> impl Future<Output = Result<Progress<Self::Output>, Failure>> + Send;

    /// Looks for what it did. Changes nothing.
    fn find(
        &self,
        scene: &Scene<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
    ) -> impl Future<Output = Result<Found<Self::Output>, Failure>> + Send {
        let _ = (scene, parameters, before);
        async { Ok(Found::Converges) }
    }

    /// Takes what a person says that it did.
    fn adopt(
        &self,
        scene: &Scene<'_>,
        parameters: &Self::Parameters,
        id: &str,
    ) -> impl Future<Output = Result<Progress<Self::Output>, Failure>> + Send {
        let _ = (scene, parameters, id);
        async { Err(Failure::Permanent(format!("{} makes nothing that could be adopted", Self::NAME))) }
    }

    /// What is to be seen of what it did, for a step that cannot be undone. Changes nothing.
    fn trace(
        &self,
        scene: &Scene<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
    ) -> impl Future<Output = Result<Trace, Failure>> + Send {
        let _ = (scene, parameters, before);
        async {
            if Self::IS_PASSIVE {
                return Ok(Trace::Nothing);
            }
            Err(Failure::Permanent(format!("{} says neither how it is undone nor what is left of it", Self::NAME)))
        }
    }

    /// Undoes it, with one change at the most. It looks before it acts, so that it can be done again at any time, also
    /// where the step was not done at all or only in part. `output` is what it came to, if it is known to be done.
    ///
    /// A step that cannot be undone says by [`Step::trace`] whether there is anything to undo.
    fn undo(
        &self,
        scene: &Scene<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
        output: Option<&Self::Output>,
    ) -> impl Future<Output = Result<Undo, Failure>> + Send {
        let _ = output;
        async {
            match self.trace(scene, parameters, before).await? {
                Trace::Nothing => Ok(Undo::NothingThere),
                Trace::UnderWay(action) => Ok(Undo::Started(action)),
                Trace::There(why) => Err(Failure::Permanent(why)),
            }
        }
    }
}

/// What is to be seen of a step that cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: there is nothing to undo.
    Nothing,
    /// This action has to end first; then it is looked at again.
    UnderWay(ActionId),
    /// It is done, and cannot be undone, for this reason.
    There(String),
}

/// What a step can see.
pub struct Scene<'a> {
    /// The cloud.
    pub cloud: &'a digitalocean::Client,
    /// The cluster.
    pub kube: &'a kube::Client,
    /// For calls to the user's own services.
    pub http: &'a reqwest::Client,
    /// The saga's namespace.
    pub namespace: &'a str,
    /// The saga.
    pub saga: &'a str,
    /// Who this step is.
    pub identity: Identity,
    /// What the journal says of it.
    pub entry: &'a StepStatus,
    /// Who approved it, for a step that waits for that.
    pub approved_by: Option<&'a str>,
    /// How long after a call that was made, what it did may not be seen yet.
    pub settle: Duration,
    /// The moment.
    pub now: Timestamp,
}

impl Scene<'_> {
    /// When the step began, as if the saga had never been suspended since.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        clock::step_began(&SagaStatus::default(), self.entry, self.now).unwrap_or(self.now)
    }

    /// Whether what the latest call did would be seen by now.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.entry.called_at.as_ref().is_none_or(|called| has_passed(called.0, self.settle, self.now))
    }

    /// Whether all that the step's calls did would be seen by now. So it is, too, where the latest did nothing: it was not
    /// made before what the earlier ones did would be seen.
    #[must_use]
    pub fn shows_everything(&self) -> bool {
        let error = self.entry.error.as_ref();
        let did_nothing = error.is_some_and(|it| matches!(it.kind, ErrorKind::Permanent | ErrorKind::Transient));
        self.has_settled() || did_nothing
    }

    /// The ids of a collection, such as `droplets`, that the journal has noted.
    pub fn noted<'s>(&'s self, collection: &'s str) -> impl Iterator<Item = &'s str> {
        self.entry.external_ids.iter().filter_map(move |id| id.strip_prefix(collection)?.strip_prefix('/'))
    }
}

/// What a step calls its own: derived from the saga's UID, the step's place and the direction, so it is the same
/// whoever does it and however often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uid: String,
    index: usize,
    is_undo: bool,
}

impl Identity {
    /// The identity of one step of one saga.
    #[must_use]
    pub fn new(uid: &str, index: usize, is_undo: bool) -> Self {
        Self { uid: uid.to_owned(), index, is_undo }
    }

    /// A tag for what it makes. The same in both directions, since undoing looks for it.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{SAGA_TAG}{}:{}", self.uid, self.index)
    }

    /// A short text for the names of what it makes. The same in both directions.
    #[must_use]
    pub fn suffix(&self) -> String {
        short_digest(&format!("{}/{}", self.uid, self.index), 5)
    }

    /// A key for calls of which the other side makes sure that they count once.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.uid, self.index, if self.is_undo { "undo" } else { "do" })
    }
}

/// The first bytes of a text's digest, in hexadecimal.
#[must_use]
pub fn short_digest(text: &str, bytes: usize) -> String {
    Sha256::digest(text).iter().take(bytes).fold(String::new(), |digest, byte| digest + &format!("{byte:02x}"))
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<O> {
    /// It is done.
    Done(O),
    /// The cloud works on it: this action has to end first.
    Started {
        /// The action.
        action: ActionId,
        /// What it has to do with, such as `droplets/3164444`.
        ids: Vec<String>,
    },
    /// It has to be looked at again.
    NotYet {
        /// After how long.
        again: Duration,
        /// What it waits for, for people.
        why: String,
    },
}

/// What was found of a step that is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<O> {
    /// It looks before it acts: it is just done again.
    Converges,
    /// Nothing that could be its doing.
    Nothing,
    /// This is its doing.
    One(Progress<O>),
    /// Any of these could be.
    Several(Vec<String>),
}

/// How far undoing a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It is undone.
    Done,
    /// There is nothing to undo, as far as can be seen now.
    NothingThere,
    /// This action has to end first; then it is looked at again.
    Started(ActionId),
    /// It has to be looked at again.
    NotYet {
        /// After how long.
        again: Duration,
        /// What it waits for, for people; nothing where that passes in a moment.
        why: String,
    },
}

impl Undo {
    /// It was just asked for, and is soon over.
    #[must_use]
    pub fn not_yet(again: Duration) -> Self {
        Self::NotYet { again, why: String::new() }
    }
}

/// Why a step could not go on, by what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may pass, and nothing was changed.
    #[error("{0}")]
    Transient(String),
    /// The cloud is not ready for it. Tried again without counting.
    #[error("{0}")]
    Waiting(String),
    /// Nobody knows whether it was done.
    #[error("{0}")]
    Doubt(String),
    /// It will not pass.
    #[error("{0}")]
    Permanent(String),
}

impl Failure {
    /// One that will not pass.
    pub fn permanent(why: impl Display) -> Self {
        Self::Permanent(why.to_string())
    }

    /// The same, said of what it is about.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        let said = |why: String| format!("{what}: {why}");
        match self {
            Self::Transient(why) => Self::Transient(said(why)),
            Self::Waiting(why) => Self::Waiting(said(why)),
            Self::Doubt(why) => Self::Doubt(said(why)),
            Self::Permanent(why) => Self::Permanent(said(why)),
        }
    }
}

impl From<digitalocean::Error> for Failure {
    fn from(error: digitalocean::Error) -> Self {
        let text = error.to_string();
        if is_waiting(&error) {
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

/// Whether the cloud only wants it to be asked later.
fn is_waiting(error: &digitalocean::Error) -> bool {
    match error {
        // A token can be replaced while the operator runs.
        digitalocean::Error::RateLimited { .. }
        | digitalocean::Error::NoBudget { .. }
        | digitalocean::Error::TooLate { .. }
        | digitalocean::Error::Unauthorized { .. } => true,
        digitalocean::Error::Refused { message, .. } => {
            let message = message.to_lowercase();
            message.contains("pending event") || message.contains("is currently locked")
        }
        _ => false,
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

/// A step whose types are not known: how the runner sees it.
pub trait AnyStep: Send + Sync {
    /// As sagas name it.
    fn name(&self) -> &'static str;
    /// How long it may take, unless the saga says otherwise.
    fn timeout(&self) -> Duration;
    /// It changes nothing.
    fn is_passive(&self) -> bool;
    /// The schema of its parameters.
    fn parameters(&self) -> Value;
    /// The schema of its output.
    fn output(&self) -> Value;
    /// Whether these are parameters, and why the step could not be undone with them.
    ///
    /// # Errors
    /// When they are not; the text says why.
    fn check(&self, parameters: &Value) -> Result<Option<&'static str>, String>;
    /// See [`Step::withholds`].
    fn withholds(&self, parameters: &Value, field: &str) -> Option<&'static str>;
    /// See [`Step::before`].
    fn before<'a>(&'a self, scene: &'a Scene<'a>, parameters: &'a Value) -> BoxFuture<'a, Result<Value, Failure>>;
    /// See [`Step::run`].
    fn run<'a>(
        &'a self,
        scene: &'a Scene<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>>;
    /// See [`Step::find`].
    fn find<'a>(&'a self, scene: &'a Scene<'a>, parameters: &'a Value)
    -> BoxFuture<'a, Result<Found<Values>, Failure>>;
    /// See [`Step::adopt`].
    fn adopt<'a>(
        &'a self,
        scene: &'a Scene<'a>,
        parameters: &'a Value,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>>;
    /// See [`Step::undo`].
    fn undo<'a>(&'a self, scene: &'a Scene<'a>, parameters: &'a Value) -> BoxFuture<'a, Result<Undo, Failure>>;
}

impl<S: Step> AnyStep for S {
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

    fn before<'a>(&'a self, scene: &'a Scene<'a>, parameters: &'a Value) -> BoxFuture<'a, Result<Value, Failure>> {
        async move {
            let before = Step::before(self, scene, &typed(parameters)?).await?;
            serde_json::to_value(&before).map_err(Failure::permanent)
        }
        .boxed()
    }

    fn run<'a>(
        &'a self,
        scene: &'a Scene<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>> {
        async move { untyped(Step::run(self, scene, &typed(parameters)?, &was::<S>(scene.entry)?).await?) }.boxed()
    }

    fn find<'a>(
        &'a self,
        scene: &'a Scene<'a>,
        parameters: &'a Value,
    ) -> BoxFuture<'a, Result<Found<Values>, Failure>> {
        async move {
            Ok(match Step::find(self, scene, &typed(parameters)?, &was::<S>(scene.entry)?).await? {
                Found::Converges => Found::Converges,
                Found::Nothing => Found::Nothing,
                Found::One(progress) => Found::One(untyped(progress)?),
                Found::Several(ids) => Found::Several(ids),
            })
        }
        .boxed()
    }

    fn adopt<'a>(
        &'a self,
        scene: &'a Scene<'a>,
        parameters: &'a Value,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Progress<Values>, Failure>> {
        async move { untyped(Step::adopt(self, scene, &typed(parameters)?, id).await?) }.boxed()
    }

    fn undo<'a>(&'a self, scene: &'a Scene<'a>, parameters: &'a Value) -> BoxFuture<'a, Result<Undo, Failure>> {
        async move {
            let entry = scene.entry;
            // A step in doubt has no output; neither has one that ended in the midst of it.
            let output = S::Output::deserialize_from(&Value::Object(entry.output.clone())).ok();
            let output = output.filter(|_| entry.finished_at.is_some() && entry.error.is_none());
            Step::undo(self, scene, &typed(parameters)?, &was::<S>(entry)?, output.as_ref()).await
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
    P::deserialize_from(parameters).map_err(|error| Failure::Permanent(format!("its parameters: {error}")))
}

/// How things were before, by the journal.
fn was<S: Step>(entry: &StepStatus) -> Result<S::Before, Failure> {
    let Some(before) = entry.before.as_ref().filter(|before| !before.is_null()) else {
        return Ok(S::Before::default());
    };
    S::Before::deserialize_from(before)
        .map_err(|error| Failure::Permanent(format!("what the journal says of how it was before: {error}")))
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

/// The schema of a type, with everything in one place.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
