//! The step `AssignToProject`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    common::{NoOutput, ProviderId, any_id, changed_since, kind_name, nothing_left, text, text_or_number, unnamed},
    decided::{self, LiveDigest},
};
use crate::{
    digitalocean::{ChangeMethod, Endpoint, Error, FieldSet, Kind, ResourceKey, revert},
    saga::step::{Failure, Progress, Step, StepContext, Undo},
};

/// Assigns a resource to a project. Undone by assigning it to its earlier project, which is refused if it has been
/// moved since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The kind of the resource: `App`, `Database`, `LoadBalancer` or `ReservedIP`.
    #[schemars(schema_with = "kind_name")]
    kind: Kind,
    /// The id of the resource.
    #[serde(deserialize_with = "text_or_number")]
    #[schemars(schema_with = "any_id")]
    id: String,
    /// The id of the project.
    project_id: ProviderId,
    /// The digest of the live project that was decided on. The step fails, before it changes anything, if it is neither this
    /// one nor the desired one by then.
    #[serde(default)]
    live: Option<LiveDigest>,
}

/// The state before the step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// The earlier project, unless it was this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
}

pub(super) struct AssignToProject;

impl Step for AssignToProject {
    const NAME: &'static str = "AssignToProject";

    type Parameters = Parameters;
    type Output = NoOutput;
    type Before = Before;

    fn objection(&self, parameters: &Parameters) -> Option<String> {
        let urn = revert::urn(&parameters.key());
        urn.is_none().then(|| format!("a resource of kind {} cannot be assigned to a project", parameters.kind))
    }

    async fn before(&self, context: &StepContext<'_>, parameters: &Parameters) -> Result<Before, Failure> {
        let project = project(context, parameters).await?;
        parameters.check_live(&project)?;
        Ok(Before { project: Some(project).filter(|project| project != parameters.project_id.as_str()) })
    }

    async fn run(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        _: &Before,
    ) -> Result<Progress<NoOutput>, Failure> {
        let wanted = parameters.project_id.as_str();
        let now = project(context, parameters).await?;
        if now != wanted {
            parameters.check_live(&now)?;
            assign(context, parameters, wanted).await?;
        }
        Ok(Progress::Done(NoOutput {}))
    }

    async fn undo(
        &self,
        context: &StepContext<'_>,
        parameters: &Parameters,
        before: &Before,
        output: Option<&NoOutput>,
    ) -> Result<Undo, Failure> {
        let Some(earlier) = &before.project else { return Ok(Undo::Done) };
        match project(context, parameters).await? {
            now if now == *earlier => return Ok(nothing_left(output)),
            now if now == parameters.project_id.as_str() => {}
            _ => return Err(changed_since("project_id", &parameters.key())),
        }
        assign(context, parameters, earlier).await?;
        Ok(Undo::Done)
    }
}

impl Parameters {
    fn key(&self) -> ResourceKey {
        ResourceKey::new(self.kind, self.id.as_str())
    }

    /// Refuses a project other than the decided and the desired one.
    fn check_live(&self, project: &str) -> Result<(), Failure> {
        if project == self.project_id.as_str() {
            return Ok(());
        }
        decided::check(self.live.as_ref(), "project_id", &Value::from(project), &self.key())
    }
}

/// The id of the resource's project.
async fn project(context: &StepContext<'_>, parameters: &Parameters) -> Result<String, Failure> {
    let key = parameters.key();
    let live = context.cloud.live(&key, FieldSet::default()).await?;
    let live = live.ok_or_else(|| Failure::Permanent(format!("there is no {key}")))?;
    let project = live.raw("project_id").and_then(Value::as_str).map(str::to_owned);
    project.ok_or_else(|| {
        Failure::Permanent(format!("reading the project of {key}: the response has none; give the token project:read"))
    })
}

/// Assigns the resource to a project. The response contains a result for each resource.
async fn assign(context: &StepContext<'_>, parameters: &Parameters, project: &str) -> Result<(), Failure> {
    let key = parameters.key();
    let urn = revert::urn(&key).ok_or_else(|| Failure::Permanent(format!("{key} cannot be assigned to a project")))?;
    let route = "/v2/projects/{id}/resources";
    let path = Endpoint { route, parent: None, id: Some(project), scope: "project:assign_resource" };
    let body = json!({ "resources": [urn] });
    let answer = match context.cloud.send(ChangeMethod::Post, path, Some(&body)).await {
        Ok(answer) => answer,
        Err(Error::NotFound { .. }) => return Err(Failure::Permanent(format!("there is no project {project}"))),
        Err(error) => return Err(error.into()),
    };
    // It may list the project's other resources, too, and address a reserved IP by its former kind.
    let mut results = answer.get("resources").and_then(Value::as_array).into_iter().flatten();
    let is_it = |result: &&Value| {
        text(result, "urn").and_then(|urn| urn.splitn(3, ':').nth(2)).is_some_and(|id| id == &*key.id)
    };
    let result = results.find(is_it);
    match result.and_then(|result| text(result, "status")) {
        Some("ok" | "assigned" | "already_assigned") => Ok(()),
        Some("service_down") => Err(Failure::Transient(format!("assigning {key} to project {project}: service_down"))),
        Some(status) => Err(Failure::Permanent(format!("assigning {key} to project {project}: {status}"))),
        None => Err(unnamed("status of the resource")),
    }
}
