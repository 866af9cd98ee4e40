//! Droplet steps that converge: each reads the droplet at rest and starts the next action towards the target state.

use std::{future::Future, time::Duration};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    common::{NoOutput, ProviderId},
    droplet::{self, NextAction},
};
use crate::saga::step::{Failure, Lookup, Progress, Step, StepContext, Undo};

/// A step that converges. It can be repeated at any time, in both directions.
pub trait Converging: Send + Sync + 'static {
    /// See [`Step::NAME`].
    const NAME: &'static str;
    /// See [`Step::TIMEOUT`].
    const TIMEOUT: Duration = Duration::from_mins(15);

    /// See [`Step::Parameters`].
    type Parameters: DeserializeOwned + JsonSchema + Send + Sync;
    /// See [`Step::Before`].
    type Before: Serialize + DeserializeOwned + Default + Send + Sync;

    /// The id of the droplet.
    fn droplet(parameters: &Self::Parameters) -> &ProviderId;

    /// See [`Step::irreversible`].
    fn irreversible(&self, parameters: &Self::Parameters) -> Option<&'static str> {
        let _ = parameters;
        None
    }

    /// Refuses an action on this droplet, right before it would be started.
    fn check(&self, parameters: &Self::Parameters, droplet: &Value) -> Result<(), Failure> {
        let _ = (parameters, droplet);
        Ok(())
    }

    /// The state before the step, from the droplet.
    fn before(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        droplet: &Value,
    ) -> impl Future<Output = Result<Self::Before, Failure>> + Send;

    /// The next operation towards the target state, from the droplet at rest.
    fn next(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
        droplet: &Value,
    ) -> impl Future<Output = Result<NextAction, Failure>> + Send;

    /// The next operation back to the state before the step, from the droplet at rest.
    fn previous(
        &self,
        context: &StepContext<'_>,
        parameters: &Self::Parameters,
        before: &Self::Before,
        droplet: &Value,
    ) -> impl Future<Output = Result<NextAction, Failure>> + Send;
}

impl<S: Converging> Step for S {
    const NAME: &'static str = <S as Converging>::NAME;
    const TIMEOUT: Duration = <S as Converging>::TIMEOUT;

    type Parameters = S::Parameters;
    type Output = NoOutput;
    type Before = S::Before;

    fn irreversible(&self, parameters: &S::Parameters) -> Option<&'static str> {
        Converging::irreversible(self, parameters)
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &S::Parameters) -> Result<S::Before, Failure> {
        let droplet = droplet::before(context, S::droplet(parameters).as_str()).await?;
        Converging::before(self, context, parameters, &droplet).await
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &S::Parameters,
        before: &S::Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let id = S::droplet(parameters).as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(droplet) => {
                self.check(parameters, &droplet)?;
                self.next(context, parameters, before, &droplet).await?
            }
            Err(next) => next,
        };
        droplet::go(context, id, next).await
    }

    async fn find(
        &self,
        context: &StepContext<'_>,
        parameters: &S::Parameters,
        before: &S::Before,
    ) -> Result<Lookup<NoOutput>, Failure> {
        let id = S::droplet(parameters).as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(droplet) => self.next(context, parameters, before, &droplet).await?,
            Err(next) => next,
        };
        Ok(droplet::found(id, next))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &S::Parameters,
        before: &S::Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let id = S::droplet(parameters).as_str();
        let next = match droplet::at_rest(context, id).await? {
            Ok(droplet) => self.previous(context, parameters, before, &droplet).await?,
            Err(next) => next,
        };
        droplet::go_back(context, id, next, output.is_some()).await
    }
}
